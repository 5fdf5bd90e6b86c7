"""PSNR of denoisers on training and on held-out images (figures 5 and 6 of the paper).

    PSNR = -10 log10 mean (x_hat - x)^2,  in dB, for images in [0, 1],  x_hat = D(y; sigma),  y = x + sigma z,

where a blind denoiser ignores sigma.

The denoising gap is measured with two denoisers on the *same* images, D_A and D_B on those of A and of B:
images differ in how hard they are to denoise, so that the mean of ten images differs from that of others by
more than a network can gain.

A denoiser that has memorized returns its training images: on others its PSNR is bounded at any noise level
(27 dB at N = 100 in the paper). One that has learned the density has the same curve for both.

Image i of every set has the same unit noise z_i, at every level and for every model. So curves do not differ
by the noise, and adding a level or an image changes no other value.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galgen.data.unit import unit
from galgen.models.sampling import Denoiser, noise, posterior_mean, seeded

__all__ = ["Denoising", "Panel", "denoise_panel", "denoising_curve", "psnr", "training_gap"]


@dataclass(frozen=True)
class Denoising:
    """PSNR of one model on one set of images.

    Attributes:
        noisy: PSNR of the noisy images at each level, (L, n), in dB.
        denoised: PSNR of the denoised images, (L, n), in dB.
    """

    noisy: np.ndarray
    denoised: np.ndarray


@dataclass(frozen=True)
class Panel:
    """One image at several noise levels, denoised by each model, for figures 5 and 6.

    Attributes:
        clean: The image, (C, H, W).
        noisy: The noisy images, (L, C, H, W).
        noisy_psnr: PSNR of the noisy images, (L,), in dB.
        denoised: Denoised images by name of the model, (L, C, H, W).
        denoised_psnr: PSNR of the denoised images by name of the model, (L,), in dB.
    """

    clean: np.ndarray
    noisy: np.ndarray
    noisy_psnr: np.ndarray
    denoised: dict[str, np.ndarray]
    denoised_psnr: dict[str, np.ndarray]


def psnr(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB, (n,), of images (n, C, H, W) in [0, 1]; infinite if equal.

    >>> clean = torch.zeros(1, 1, 8, 8)
    >>> psnr(clean + 0.1, clean).round()
    tensor([20.], dtype=torch.float64)
    """
    return -10 * (estimate.double() - clean.double()).square().mean((1, 2, 3)).log10()


@torch.inference_mode()
def denoising_curve(
    denoiser: Denoiser,
    images: np.ndarray,
    sigmas: Sequence[float],
    *,
    seed: int = 0,
    chunk: int = 64,
) -> Denoising:
    """Return the PSNR of every image at every noise level, before and after denoising.

    Args:
        denoiser: In evaluation mode.
        images: uint8 (n, C, H, W), may be a memory map.
        sigmas: Noise levels, in units of the dynamic range.
        seed: Seed of the noise of the first image; image i has seed + i.
        chunk: Images per call.
    """
    levels = [
        (psnr(y, x), psnr(estimate, x)) for x, y, estimate in _denoised(denoiser, images, sigmas, seed, chunk)
    ]
    return Denoising(*np.array(levels).swapaxes(0, 1))


def training_gap(
    pair: Sequence[Denoiser], train: Sequence[np.ndarray], sigmas: Sequence[float]
) -> np.ndarray:
    """Return the denoising gap at each noise level, (L,), in dB.

    The median, over the training images of A and of B, of the PSNR of the denoiser that was trained on the
    image minus that of the other one, for the same noise.

    Args:
        pair: The denoisers D_A and D_B.
        train: Training images of A and of B, uint8 (n, C, H, W).
        sigmas: Noise levels.
    """
    gains = []
    for own, other, images in zip(pair, pair[::-1], train, strict=True):
        train_psnr, other_psnr = (denoising_curve(D, images, sigmas).denoised for D in (own, other))
        gains.append(train_psnr - other_psnr)
    return np.median(np.concatenate(gains, axis=1), axis=1)


@torch.inference_mode()
def denoise_panel(
    models: Mapping[str, Denoiser], image: np.ndarray, sigmas: Sequence[float], *, seed: int = 0
) -> Panel:
    """Denoise an image (uint8, (C, H, W)) with one noise at several levels by each model; see `Panel`."""
    x = unit(image)[None]
    levels = torch.tensor(sigmas).to(x)
    y = x + levels[:, None, None, None] * noise(seeded([seed]), x.shape[1:])
    estimates = {name: D(y, levels).float() for name, D in models.items()}
    return Panel(
        clean=x[0].numpy(),
        noisy=y.numpy(),
        noisy_psnr=psnr(y, x).numpy(),
        denoised={name: estimate.numpy() for name, estimate in estimates.items()},
        denoised_psnr={name: psnr(estimate, x).numpy() for name, estimate in estimates.items()},
    )


def _denoised(
    denoiser: Denoiser, images: np.ndarray, sigmas: Sequence[float], seed: int, chunk: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the images, noisy images and denoised images of each level, each (n, C, H, W)."""
    x = unit(images)
    z = noise(seeded(range(seed, seed + len(x))), x.shape[1:])
    for sigma in sigmas:
        y = x + sigma * z
        yield x, y, posterior_mean(denoiser, y, sigma, chunk)
