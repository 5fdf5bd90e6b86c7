r"""Was a denoiser trained on this image? Two models of disjoint sets, on one image and one noise.

With the loss of a denoiser D on an image x, a mean over K noises z_k that are the same for all images,

    L_D(x) = mean_k mean (D(x + sigma z_k; sigma) - x)^2,            sigma = .1,  K = 32,

the score of x is s(x) = L_B(x) - L_A(x), above 0 where A does better. The loss of A alone tells how hard x is
to denoise: that cancels, as B has not seen x. An image is placed among others h that neither model has seen:
the false-positive rate of saying *A was trained on it* at its score is

    (1 + #{h: s(h) >= s(x)}) / (1 + #h),

a p-value of "x is one of these" where x and h are of one pool. It is never less than 1 / (1 + #h). What can
be found at all is told by the AUC of own against held-out images: 1/2 where nothing can.

References:
    Carlini et al. 2023, Extracting training data from diffusion models, https://arxiv.org/abs/2301.13188
    (the loss of a denoiser tells its training images, and best beside that of networks without the image).
"""

from dataclasses import dataclass

import numpy as np
import torch

from galgen.compare.twosample import auc
from galgen.compare.uncertainty import Estimate
from galgen.data.unit import unit
from galgen.models.sampling import ConditionalDenoiser, noise, posterior_mean, seeded
from galgen.runs.errors import GalgenError

__all__ = ["NOISES", "SIGMA", "Membership", "membership"]

SIGMA = 0.1  # where own and held-out images part (`galbook.onset.gap`)
NOISES = 32
_SEEDS = range(2**32 - NOISES, 2**32)  # the noise of small seeds is that of latents
_CHUNK = 64


@dataclass(frozen=True)
class Membership:
    """Scores of images, and their place among those that neither model has seen.

    Attributes:
        score: s(x) of each image, (n,).
        held_out: s(h) of each held-out image, (m,).
        rate: False-positive rate at each score, (n,).
    """

    score: np.ndarray
    held_out: np.ndarray
    rate: np.ndarray

    @property
    def auc(self) -> Estimate:
        """The chance that one of the images has a larger score than a held-out one."""
        return auc(self.held_out, self.score)


def membership(
    a: ConditionalDenoiser, b: ConditionalDenoiser, images: np.ndarray, held_out: np.ndarray
) -> Membership:
    """Was A trained on these images?

    Args:
        a: The posterior mean of model A, in evaluation mode.
        b: That of model B, which has seen neither these images nor the held-out ones.
        images: uint8 (n, 1, H, W).
        held_out: Those that neither has seen, uint8 (m, 1, H, W).

    Raises:
        GalgenError: If there are none of either.
    """
    if not (len(images) and len(held_out)):
        raise GalgenError(f"{len(images)} images and {len(held_out)} held-out ones: give some of both")
    score, others = (losses(b, x) - losses(a, x) for x in (images, held_out))
    above = len(others) - np.searchsorted(np.sort(others), score, side="left")
    return Membership(score, others, (1 + above) / (1 + len(others)))


@torch.inference_mode()
def losses(denoise: ConditionalDenoiser, images: np.ndarray) -> np.ndarray:
    """L_D of images, uint8 (n, 1, H, W): float64 (n,)."""
    x = unit(images)
    total = torch.zeros(len(x), dtype=torch.float64)
    for z in noise(seeded(_SEEDS), x.shape[1:]):
        off = posterior_mean(denoise, x + SIGMA * z, SIGMA, _CHUNK) - x
        total += off.double().square().mean((1, 2, 3))
    return (total / NOISES).numpy()
