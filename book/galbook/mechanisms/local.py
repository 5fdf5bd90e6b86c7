r"""The local machine: the denoiser that can be written down of nothing but patches of the training images.

A convolutional network sees a neighbourhood of each pixel. Of all denoisers that see at pixel p only the k x
k pixels about it, and place them, the one with the least loss on training images x_1 .. x_N is the posterior
mean

    D(y; sigma)_p = sum_i w_i(p) x_i,p,    w(p) = softmax_i(-|y - x_i|^2 over the patch of p / (2 sigma^2)),

which needs one box filter of squared differences a training image: with R these as a matrix, S R S, where
S_ij = 1 if |i - j| <= k // 2. With k the whole image it is the empirical denoiser
(`galgen.compare.gaussian.Empirical`), which copies; with k = 1 it takes pixels one by one. At the rim a patch
ends with the image. Patches keep their place, as galaxies are centred: two machines of A's and of B's images
agree by locality alone, with no network.

*What does a machine explain?* Let D be a network and g the denoiser of a Gaussian of its training images. Of
what g leaves of D, on images y with noise sigma, a machine M explains

    1 - sum |D(y) - M(y)|^2 / sum |D(y) - g(y)|^2,

which is 1 for D itself, 0 for g, and below 0 for one that is farther off than g. What M explains beyond
another machine is the difference of their shares. Of A's own images beyond B's, at one k, it is what A
remembers, and not what any such images tell.

References:
    Kamb & Ganguli 2025, https://arxiv.org/abs/2412.20292. Niedoba et al. 2025,
    https://arxiv.org/abs/2411.19339. Lukoianov et al. 2025, https://arxiv.org/abs/2509.09672.

What of a denoiser its twin explains, and what machines of patches do: asked of the pairs of an experiment.

On held-out images with noise, y = x + sigma z, of what the Gaussian of A's images leaves of A's denoiser D_A
(`galbook.mechanisms.local.explained`), for each noise level and patch:

    twin       of D_A, what D_B explains: all that two trainings on other images share beyond second moments
    own        of D_A, what the machine of A's images does: locality and these images, no network
    other      of D_A, what the machine of B's images does: locality and galaxies, none of them A's
    memory     own less other: above 0 where A answers with its own images
    machines   of A's machine, what B's machine explains: agreement of A and B with no network
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galgen.compare.uncertainty import Estimate, ratio
from galgen.runs.errors import GalgenError

__all__ = ["Local", "explained"]


@dataclass(frozen=True)
class Local:
    """The denoiser of patches; as a callable, in the form of a network that is told the noise.

    Attributes:
        images: uint8 (N, 1, H, W), may be a memory map.
        side: Of the patch, odd, in pixels; 2 H - 1 or more sees the whole image from everywhere.
        chunk: Training images at a time, which bounds memory: chunk x B x H x W numbers.
    """

    images: np.ndarray
    side: int
    chunk: int = 8

    def __post_init__(self):
        if self.side < 1 or self.side % 2 == 0:
            raise GalgenError(f"a patch of {self.side} pixels has no middle: give an odd side")
        if self.images.ndim != 4 or self.images.shape[1] != 1 or not len(self.images):
            raise GalgenError(f"images of shape {self.images.shape}: give one or more, (N, 1, H, W)")

    @torch.inference_mode()
    def __call__(self, y: Tensor, sigma: Tensor) -> Tensor:
        """Of y (B, 1, H, W) the posterior mean at the noise levels sigma (B,), in the precision of y."""
        noise = 2 * sigma.to(y).square().reshape(-1, 1, 1, 1)
        best = torch.full((len(y), *y.shape[2:]), -torch.inf, dtype=y.dtype)
        weight, total = torch.zeros_like(best), torch.zeros_like(best)
        for first in range(0, len(self.images), self.chunk):
            known = torch.from_numpy(np.array(self.images[first : first + self.chunk]))[:, 0].to(y) / 255
            fit = -self._boxed((y - known).square()) / noise  # (B, chunk, H, W)
            top = torch.maximum(best, fit.amax(1))
            # a weight below e^-60 counts for nothing, and denormal numbers are slow
            old, new = (best - top).exp(), (fit - top[:, None]).clamp_min(-60).exp()
            weight, total = old * weight + new.sum(1), old * total + (new * known).sum(1)
            best = top
        return (total / weight)[:, None]

    def _boxed(self, square: Tensor) -> Tensor:
        """Sums over the patch of each pixel, along the rows and then along the columns."""
        rows, columns = (
            (torch.arange(n)[:, None] - torch.arange(n)).abs() <= self.side // 2 for n in square.shape[-2:]
        )
        return rows.to(square) @ (square @ columns.to(square))


def explained(
    model: Tensor, linear: Tensor, machine: Tensor, beyond: Tensor | None = None
) -> Estimate | None:
    """The share that a machine explains of what a Gaussian leaves, with Fieller's interval over images.

    Args:
        model: D(y) of a network, (n, C, H, W), n of two or more.
        linear: g(y) of the same noisy images.
        machine: M(y) of them.
        beyond: Of another machine, whose share is subtracted; by default g's, which is 0.

    Returns:
        None where the Gaussian may leave nothing.
    """
    left, missed, otherwise = (
        (model - other).double().square().flatten(1).sum(1).numpy()
        for other in (linear, machine, linear if beyond is None else beyond)
    )
    parts = np.stack([otherwise - missed, left])
    return ratio(*parts.mean(1), np.cov(parts) / len(left), freedom=len(left) - 1, n=len(left))
