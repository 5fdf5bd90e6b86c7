r"""Denoising gap of any denoiser: PSNR gain on training images minus that on held-out images.

    g = mean (PSNR_i - PSNR_i^0) over training images - the same mean over held-out images,  in dB,

at one noise level, with PSNR_i^0 that of a baseline: an early checkpoint of the same network, or a network
that was trained on other images. Both denoise the same noisy images, so the difficulty of an image cancels.
Without a baseline it does not: PSNR_i varies by several dB between images, the interval is wider, and if the
held-out images are not a random part of the pool, g measures how they differ. The gap along a training is
that of its checkpoints with one baseline.

Each image has its own noise, so that training and held-out images are exchangeable if the denoiser treats
both alike. The interval is Welch's t over images: it does not cover another training of the network.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy import stats
from torch import Tensor

from galgen.compare.denoising import psnr
from galgen.compare.uncertainty import Estimate
from galgen.data.preprocess import DRAWN
from galgen.data.unit import unit
from galgen.models.sampling import Denoiser, noise, posterior_mean, seeded
from galgen.runs.arguments import Images, validated
from galgen.runs.errors import GalgenError

__all__ = ["DenoisingGap", "denoising_gap"]

CHUNK = 64  # images per call of a denoiser


@dataclass(frozen=True)
class DenoisingGap(Estimate):
    """Denoising gap in dB, with its 95 % interval; n counts training and held-out images.

    Attributes:
        has_baseline: Whether the difficulty of the images cancels.
    """

    has_baseline: bool

    def __format__(self, form: str) -> str:
        """Format the gap and its interval, by default with two decimals."""
        difficulty = "" if self.has_baseline else "; without a baseline, difficulty does not cancel"
        return f"denoising gap {super().__format__(form)} dB (n = {self.n}{difficulty})"


@validated
def denoising_gap(
    denoiser: Denoiser,
    train: Images,
    held_out: Images,
    sigma: Annotated[float, Field(gt=0)] = 0.1,
    baseline: Denoiser | None = None,
) -> DenoisingGap:
    """Return how much better a denoiser is on its training images than on held-out ones, in dB.

    Args:
        denoiser: `denoiser(noisy, sigma)` returns the clean estimate of images (B, C, H, W) = x + sigma z, in
            float32 on the CPU, sigma (B,), in evaluation mode; see also `galgen.from_epsilon`.
        train: Training images, (n, C, H, W) or (n, H, W), two or more: uint8, or floats with black at 0 and
            white at 1.
        held_out: Images of the same pool that it was not trained on, likewise.
        sigma: Noise level in units of the dynamic range.
        baseline: Another denoiser, such as an early checkpoint; without one, difficulty does not cancel.

    Raises:
        GalgenError: If an argument is invalid, or the PSNR of an image is not finite.
    """
    sets = [_scaled("held_out", held_out), _scaled("train", train)]
    if sets[0].shape[1:] != sets[1].shape[1:]:
        shapes = ", ".join(str(tuple(images.shape[1:])) for images in sets)
        raise GalgenError(f"held-out and training images have different shapes, {shapes}: resize them")
    x = torch.cat(sets)  # held-out images first: their noise does not depend on the training set
    y = x + sigma * noise(seeded(range(len(x))), x.shape[1:])
    with torch.inference_mode():
        curves = [psnr(posterior_mean(D, y, sigma, CHUNK), x).numpy() for D in (denoiser, baseline) if D]
    gain = curves[0] - curves[1] if baseline else curves[0]
    if lost := int((~np.isfinite(gain)).sum()):
        raise GalgenError(
            f"the PSNR of {lost} of {len(x)} images is not finite: check what the denoiser returns"
        )
    others, own = np.split(gain, [len(sets[0])])
    interval = stats.ttest_ind(own, others, equal_var=False).confidence_interval()
    return DenoisingGap(
        float(own.mean() - others.mean()), *map(float, interval), len(x), baseline is not None
    )


def _scaled(name: str, images: np.ndarray) -> Tensor:
    """Convert a set of images to float32 (n, C, H, W) in [0, 1]."""
    x = unit(images) if images.dtype == np.uint8 else torch.from_numpy(np.array(images, np.float32))
    x = x[:, None] if x.ndim == 3 else x
    if x.ndim != 4 or len(x) < 2 or images.dtype.kind not in "fu" or not x.numel():
        raise GalgenError(f"{name}: an array {images.shape} of {images.dtype}; give two images or more, "
            "(n, C, H, W), as uint8 or floats")  # fmt: skip
    if not (x.min() >= DRAWN[0] and x.max() <= DRAWN[1]):  # false for NaN
        raise GalgenError(
            f"{name}: pixels from {x.min():.3g} to {x.max():.3g}; scale them to black at 0, white at 1"
        )
    return x
