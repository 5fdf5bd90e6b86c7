r"""Membership inference for denoisers: was a model trained on this image?

With the loss of a denoiser D on an image x, a mean over K noises z_k that are the same for all images,

    L_D(x) = mean_k mean (D(x + sigma z_k; sigma) - x)^2,            sigma = 0.1,  K = 32,

the score of x is s(x) = L_B(x) - L_A(x), above 0 if A is better. The loss of A alone depends on how hard x is
to denoise: this cancels, as B was not trained on x. The score is ranked among those of held-out images h: the
false-positive rate of the decision *A was trained on x* at this threshold is

    (1 + #{h: s(h) >= s(x)}) / (1 + #h),

a p-value of "x is held out" if x and h come from one pool. It is at least 1 / (1 + #h). The power of the
method is given by the AUC of training against held-out images: 1/2 if it has none.

References:
    Carlini et al. 2023, Extracting training data from diffusion models, https://arxiv.org/abs/2301.13188
    (the loss of a denoiser reveals its training images, best compared with networks without the image).
"""

from dataclasses import dataclass

import numpy as np
import torch

from galgen.compare.twosample import auc
from galgen.compare.uncertainty import Estimate
from galgen.data.unit import unit
from galgen.models.sampling import Denoiser, noise, posterior_mean, seeded
from galgen.runs.errors import GalgenError
from galgen.runs.progress import Display

__all__ = ["NOISES", "SIGMA", "Membership", "membership"]

SIGMA = 0.1  # noise level at which training and held-out images differ (`galbook.onset.gap`)
NOISES = 32
_SEEDS = range(2**32 - NOISES, 2**32)  # small seeds are those of latents
_CHUNK = 64


@dataclass(frozen=True)
class Membership:
    """Membership scores of images, and their ranks among those of held-out images.

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
        """Probability that one of the images has a larger score than a held-out one."""
        return auc(self.held_out, self.score)


def membership(
    a: Denoiser, b: Denoiser, images: np.ndarray, held_out: np.ndarray, progress: bool = False
) -> Membership:
    """Score how likely A was trained on these images, relative to held-out ones.

    Args:
        a: The posterior mean of model A, in evaluation mode.
        b: That of model B, which was trained neither on these images nor on the held-out ones.
        images: uint8 (n, 1, H, W).
        held_out: Images on which neither was trained, uint8 (m, 1, H, W).
        progress: Display the remaining time.

    Raises:
        GalgenError: If one of the sets is empty.
    """
    if not (len(images) and len(held_out)):
        raise GalgenError(f"{len(images)} images and {len(held_out)} held-out ones: give one or more of each")
    display = Display("membership", 2 * NOISES * (len(images) + len(held_out))) if progress else None
    score, others = (losses(b, x, display) - losses(a, x, display) for x in (images, held_out))
    above = len(others) - np.searchsorted(np.sort(others), score, side="left")
    return Membership(score, others, (1 + above) / (1 + len(others)))


@torch.inference_mode()
def losses(denoiser: Denoiser, images: np.ndarray, display: Display | None = None) -> np.ndarray:
    """Return the denoising loss L_D of images uint8 (n, 1, H, W): float64 (n,)."""
    x = unit(images)
    total = torch.zeros(len(x), dtype=torch.float64)
    for z in noise(seeded(_SEEDS), x.shape[1:]):
        error = posterior_mean(denoiser, x + SIGMA * z, SIGMA, _CHUNK) - x
        total += error.double().square().mean((1, 2, 3))
        if display:
            display.show(display.bar.n + len(x))
    return (total / NOISES).numpy()
