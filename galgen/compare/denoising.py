"""How well a denoiser denoises images it was, and was not, trained on (figures 5 and 6 of the paper).

    PSNR = -10 log10 mean (x_hat - x)^2,  in dB, for images in [0, 1],  x_hat = D(y; sigma),  y = x + sigma z,

where a blind denoiser makes no use of sigma.

The gap that training leaves is that of two denoisers on the *same* images, D_A and D_B on those of A and of
B: images differ in how hard they are to denoise, ten of them from two hundred others by more than a network
can gain.

A denoiser that has memorized returns its training images: on others its PSNR stays flat however little noise
there is (the paper sees 27 dB at N = 100). One that has learned the density has the same curve for both.

Image i of every set gets the same unit noise z_i, at every level and for every model. So curves differ by
what the denoisers do and not by luck, and adding a level or an image changes no other value.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galgen.data.unit import unit
from galgen.models.sampling import ConditionalDenoiser, noise, posterior_mean, seeded

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
    """One image over noise levels, as each model sees it: what figures 5 and 6 show.

    Attributes:
        clean: The image, (C, H, W).
        noisy: The noisy images, (L, C, H, W).
        noisy_psnr: Their PSNR, (L,), in dB.
        denoised: For each model's name, the denoised images, (L, C, H, W).
        denoised_psnr: For each model's name, their PSNR, (L,), in dB.
    """

    clean: np.ndarray
    noisy: np.ndarray
    noisy_psnr: np.ndarray
    denoised: dict[str, np.ndarray]
    denoised_psnr: dict[str, np.ndarray]


def psnr(estimate: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image, (n,), for (n, C, H, W) in [0, 1]; infinite if equal.

    >>> clean = torch.zeros(1, 1, 8, 8)
    >>> psnr(clean + 0.1, clean).round()
    tensor([20.], dtype=torch.float64)
    """
    return -10 * (estimate.double() - clean.double()).square().mean((1, 2, 3)).log10()


@torch.inference_mode()
def denoising_curve(
    denoise: ConditionalDenoiser,
    images: np.ndarray,
    sigmas: Sequence[float],
    *,
    seed: int = 0,
    chunk: int = 64,
) -> Denoising:
    """PSNR of every image at every noise level.

    Args:
        denoise: In evaluation mode, the posterior mean of images (B, C, H, W) with noise of levels (B,).
        images: uint8 (n, C, H, W), may be a memory map.
        sigmas: Noise levels, in units of the dynamic range.
        seed: Seed of the noise of the first image; image i has seed + i.
        chunk: Images in a call.
    """
    found = [
        (psnr(y, x), psnr(estimate, x)) for x, y, estimate in _denoised(denoise, images, sigmas, seed, chunk)
    ]
    return Denoising(*np.array(found).swapaxes(0, 1))


def training_gap(
    pair: Sequence[ConditionalDenoiser], train: Sequence[np.ndarray], sigmas: Sequence[float]
) -> np.ndarray:
    """By how much a denoiser does better for having been trained on an image, in dB at each level, (L,).

    The median, over the training images of A and of B, of the PSNR of the denoiser that was trained on the
    image less that of the other one, on the same noise.

    Args:
        pair: The denoisers D_A and D_B.
        train: Training images of A and of B, uint8 (n, C, H, W).
        sigmas: Noise levels.
    """
    gains = []
    for own, other, images in zip(pair, pair[::-1], train, strict=True):
        seen, unseen = (denoising_curve(D, images, sigmas).denoised for D in (own, other))
        gains.append(seen - unseen)
    return np.median(np.concatenate(gains, axis=1), axis=1)


@torch.inference_mode()
def denoise_panel(
    models: Mapping[str, ConditionalDenoiser], image: np.ndarray, sigmas: Sequence[float], *, seed: int = 0
) -> Panel:
    """One image (uint8, (C, H, W)) with one noise at growing levels, denoised by each model; see `Panel`."""
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
    denoise: ConditionalDenoiser, images: np.ndarray, sigmas: Sequence[float], seed: int, chunk: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """At each level the images, the same with noise, and denoised, each (n, C, H, W)."""
    x = unit(images)
    z = noise(seeded(range(seed, seed + len(x))), x.shape[1:])
    for sigma in sigmas:
        y = x + sigma * z
        yield x, y, posterior_mean(denoise, y, sigma, chunk)
