"""Probability flow of a denoiser as an invertible map: the inversion test of Glow, for diffusion models.

A denoiser conditioned on the noise level moves images along

    dy / dsigma = F(y, sigma) = (y - D(y; sigma)) / sigma,

an ordinary differential equation and so a bijection between latents and images:

    decode   y(sigma_most) = m + sigma_most z,  down to  x = y(sigma_least)
    encode   the reverse:  z = (y(sigma_most) - m) / sigma_most

Both directions take Heun steps on the same noise levels; nothing is clipped, and the final denoising step,
which has no inverse, is omitted. So z'_A = encode_A(decode_A(z)) equals z up to the error of the steps, which
is reported, and z'_B = encode_B(decode_A(z)) is compared with z as in `galgen.compare.inversion`. If the maps
are equal, its correlation with z is 1. If p_A = p_B, z'_B is unit normal, and the null of W1(z'_B, z) is that
of two sets of unit normals with the correlation of z'_B and z: far below the floor of independent sets, as
values that nearly agree one by one have nearly the same distribution. The test is by scale: in groups of
principal components of the galaxies, with one coefficient of z each.

References:
    Song et al. 2021, https://arxiv.org/abs/2011.13456, section 4.3 and appendix D.2. Karras et al. 2022,
    https://arxiv.org/abs/2206.00364, algorithm 1.

For a pair of models, A generates images from unit normal latents. The latents are recovered with B; with an
out-of-domain network; and with the Gaussian of B's images, which has only second moments.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from galgen.compare.inversion import Inversion, LevelTest, compare_levels
from galgen.compare.scales import groups
from galgen.compare.uncertainty import Estimate
from galgen.models.sampling import Denoiser

__all__ = ["ScaleTest", "decode", "encode", "integrate", "inverted", "paired_w1"]


@torch.inference_mode()
def integrate(denoiser: Denoiser, y: Tensor, levels: Sequence[float]) -> Tensor:
    """Integrate the probability flow over noise levels, in either direction, with Heun steps.

    Args:
        denoiser: In evaluation mode.
        y: Images at the first level, (n, C, H, W).
        levels: Noise levels, increasing or decreasing.

    Returns:
        The images at the last level.
    """

    def slope(y: Tensor, sigma: float) -> Tensor:
        return (y - denoiser(y, y.new_full((len(y),), sigma))) / sigma

    parts = []
    for part in y.split(32):
        for now, following in pairwise(levels):
            first = slope(part, now)
            ahead = slope(part + (following - now) * first, following)
            part = part + (following - now) / 2 * (first + ahead)
        parts.append(part)
    return torch.cat(parts)


def decode(denoiser: Denoiser, z: Tensor, start: Tensor, levels: Sequence[float]) -> Tensor:
    """Images (n, C, H, W) of latents z; `start` is m, (C, H, W), and the noise levels decrease."""
    return integrate(denoiser, start + levels[0] * z, levels)


def encode(denoiser: Denoiser, x: Tensor, start: Tensor, levels: Sequence[float]) -> Tensor:
    """Latents (n, C, H, W) of images with noise of the last of the decreasing levels."""
    return (integrate(denoiser, x, levels[::-1]) - start) / levels[0]


@dataclass(frozen=True)
class ScaleTest:
    """Inversion test of a second model at one scale.

    Attributes:
        components: Principal components of the group, as `2-5`.
        test: As for a level of a flow, with the correlation and its null.
        apart: W1(z'_B, z) divided by the mean of its null.
        null: 95 % interval of that null, divided by its mean.
        echo: W1(z'_A, z) divided by the same mean: the error of the steps.
    """

    components: str
    test: LevelTest
    apart: Estimate
    null: tuple[float, float]
    echo: float


def inverted(z: Tensor, z_a: Tensor, z_b: Tensor, components: np.ndarray) -> dict[str, ScaleTest]:
    """Inversion test by scale, with groups of components as levels.

    Args:
        z: The latents, (n, C, H, W).
        z_a: Latents recovered with A from its own images.
        z_b: Latents recovered with B from the same images.
        components: Orthonormal rows, (k, C H W), from the largest scale on.
    """
    parts, unknown = groups(len(components)), np.full(len(z), np.nan)
    rows = [part.double().flatten(1).numpy() @ components.T for part in (z, z_a, z_b)]
    by_scale = [[row[:, None, part, None] for part in parts.values()] for row in rows]
    tests, scales = compare_levels(Inversion(*by_scale, x=unknown, log_a=unknown, log_b=unknown)), {}
    for group, test, values in zip(parts, tests, by_scale[0], strict=True):
        null = paired_w1(test.correlation.value, values.size)
        mean, (low, high) = null.mean(), np.quantile(null, (0.025, 0.975)) / null.mean()
        apart = Estimate(*(end / mean for end in (test.w1_b.value, test.w1_b.low, test.w1_b.high)), len(z))
        scales[group] = ScaleTest(group.span, test, apart, (float(low), float(high)), test.w1_a.value / mean)
    return scales


def paired_w1(correlation: float, size: int) -> np.ndarray:
    """Null of W1(z'_B, z): W1 of two sets of unit normals with a given correlation, (100,)."""
    correlation = float(np.clip(correlation, 1e-6 - 1, 1 - 1e-6))  # within the precision of the latents
    rng, distances = np.random.default_rng(0), []
    for z, rest in (rng.standard_normal((2, size)) for _ in range(100)):
        other = correlation * z + math.sqrt(1 - correlation**2) * rest
        distances.append(np.abs(np.sort(z) - np.sort(other)).mean())
    return np.array(distances)
