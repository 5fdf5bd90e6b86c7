"""Patch denoiser: the optimal local denoiser of the training images, in closed form.

A convolutional network has a local receptive field. Among denoisers that at pixel p depend only on the k x k
pixels around it, and on p, the one with the lowest loss on training images x_1 .. x_N is the posterior mean

    D(y; sigma)_p = sum_i w_i(p) x_i,p,    w(p) = softmax_i(-|y - x_i|^2 over the patch of p / (2 sigma^2)),

which needs one box filter of squared differences per training image: with R these as a matrix, S R S, where
S_ij = 1 if |i - j| <= k // 2. If k covers the whole image it is the empirical denoiser
(`galgen.compare.gaussian.Empirical`), which returns training images; with k = 1 pixels are independent. At
the edge, patches are cut off. Patches have fixed positions, as galaxies are centered: two patch denoisers, of
A's and of B's images, agree by locality alone, without a network.

*Explained fraction.* Let D be a network and g the denoiser of a Gaussian of its training images. Of the
residual D - g, on images y with noise sigma, a patch denoiser M explains the fraction

    1 - sum |D(y) - M(y)|^2 / sum |D(y) - g(y)|^2,

which is 1 for D itself, 0 for g, and negative for a denoiser farther from D than g. The excess of M over
another patch denoiser is the difference of their fractions. For A's own images minus B's, at one k, it
measures memorization of A's images, as opposed to what any images of the data set give.

References:
    Kamb & Ganguli 2025, https://arxiv.org/abs/2412.20292. Niedoba et al. 2025,
    https://arxiv.org/abs/2411.19339. Lukoianov et al. 2025, https://arxiv.org/abs/2509.09672.

Comparisons for a pair of models, on held-out images with noise, y = x + sigma z: fraction of the residual of
A's denoiser D_A (`explained_fraction`), for each noise level and patch:

    twin       of D_A, explained by D_B: what two trainings on disjoint sets share beyond second moments
    own        of D_A, explained by patches of A's images: locality and these images, no network
    other      of D_A, explained by patches of B's images: locality and other galaxies
    memory     own minus other: above 0 if A reproduces its own images
    machines   of A's patch denoiser, explained by B's: agreement of A and B without a network
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galgen.compare.uncertainty import Estimate, ratio
from galgen.runs.errors import GalgenError

__all__ = ["Local", "explained_fraction"]


@dataclass(frozen=True)
class Local:
    """Patch denoiser, callable like a network conditioned on the noise level.

    Attributes:
        images: uint8 (N, 1, H, W), may be a memory map.
        side: Side of the patch in pixels, odd; from 2 H - 1 on it covers the whole image at every pixel.
        chunk: Training images at a time, which limits memory to chunk x B x H x W numbers.
    """

    images: np.ndarray
    side: int
    chunk: int = 8

    def __post_init__(self):
        if self.side < 1 or self.side % 2 == 0:
            raise GalgenError(f"a patch of {self.side} pixels has no center: give an odd side")
        if self.images.ndim != 4 or self.images.shape[1] != 1 or not len(self.images):
            raise GalgenError(f"images have shape {self.images.shape}: give one or more, (N, 1, H, W)")

    @torch.inference_mode()
    def __call__(self, y: Tensor, sigma: Tensor) -> Tensor:
        """Posterior mean of y (B, 1, H, W) at noise levels sigma (B,), in the precision of y."""
        noise = 2 * sigma.to(y).square().reshape(-1, 1, 1, 1)
        best = torch.full((len(y), *y.shape[2:]), -torch.inf, dtype=y.dtype)
        weight, total = torch.zeros_like(best), torch.zeros_like(best)
        for first in range(0, len(self.images), self.chunk):
            train = torch.from_numpy(np.array(self.images[first : first + self.chunk]))[:, 0].to(y) / 255
            fit = -self._boxed((y - train).square()) / noise  # (B, chunk, H, W)
            top = torch.maximum(best, fit.amax(1))
            # weights below e^-60 are negligible, and denormal numbers are slow
            old, new = (best - top).exp(), (fit - top[:, None]).clamp_min(-60).exp()
            weight, total = old * weight + new.sum(1), old * total + (new * train).sum(1)
            best = top
        return (total / weight)[:, None]

    def _boxed(self, square: Tensor) -> Tensor:
        """Sums over the patch of each pixel, by rows and columns."""
        rows, columns = (
            (torch.arange(n)[:, None] - torch.arange(n)).abs() <= self.side // 2 for n in square.shape[-2:]
        )
        return rows.to(square) @ (square @ columns.to(square))


def explained_fraction(
    model: Tensor, linear: Tensor, machine: Tensor, beyond: Tensor | None = None
) -> Estimate | None:
    """Fraction of the non-Gaussian part of a model that a denoiser explains; Fieller's interval over images.

    Args:
        model: D(y) of a network, (n, C, H, W), n of two or more.
        linear: g(y) of the same noisy images.
        machine: M(y) of the same noisy images.
        beyond: Output of another denoiser, whose fraction is subtracted; by default g, with fraction 0.

    Returns:
        The estimate; None if the interval of the Gaussian residual includes 0.
    """
    left, missed, otherwise = (
        (model - other).double().square().flatten(1).sum(1).numpy()
        for other in (linear, machine, linear if beyond is None else beyond)
    )
    parts = np.stack([otherwise - missed, left])
    return ratio(*parts.mean(1), np.cov(parts) / len(left), freedom=len(left) - 1, n=len(left))
