r"""The probability flow of a denoiser as an invertible map: Glow's inversion test, asked of diffusion.

A denoiser that is told the noise moves images along

    dy / dsigma = F(y, sigma) = (y - D(y; sigma)) / sigma,

an ordinary differential equation and so a bijection between latents and images:

    decode   y(sigma_most) = m + sigma_most z,  down to  x = y(sigma_least)
    encode   up again:  z = (y(sigma_most) - m) / sigma_most

Heun's steps, both ways on one ladder; nothing is clipped, and there is no last denoising, which has no
inverse. So z'_A = encode_A(decode_A(z)) is z but for the error of the steps, which is shown, and
z'_B = encode_B(decode_A(z)) is asked what `galgen.compare.inversion` asks of a flow. If the maps are one, its
correlation with z is 1. If p_A = p_B, z'_B is unit normal, and W1(z'_B, z) what two sets of unit normals have
that are correlated as z'_B and z are: far below the floor of independent ones, as values that nearly agree
one by one have nearly one distribution, whatever it is. By scale: in groups of principal components of the
galaxies, of which z has a coefficient each.

References:
    Song et al. 2021, https://arxiv.org/abs/2011.13456, section 4.3 and appendix D.2. Karras et al. 2022,
    https://arxiv.org/abs/2206.00364, algorithm 1.

The inversion test of a denoiser's flow (`galbook.mechanisms.flow`), asked of the pairs of an experiment.

A draws images from unit normal latents. Who finds the latents in them? B; a network of other galaxies; and
the Gaussian of B's images, which knows second moments and no galaxy.
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
from galgen.models.sampling import ConditionalDenoiser

__all__ = ["ScaleTest", "decode", "encode", "inverted", "paired_w1", "walk"]


@torch.inference_mode()
def walk(denoise: ConditionalDenoiser, y: Tensor, ladder: Sequence[float]) -> Tensor:
    """Follow the flow over a ladder of noise levels, in either direction, by Heun's steps.

    Args:
        denoise: The posterior mean of images (B, C, H, W) with noise of levels (B,), in evaluation mode.
        y: Images at the first level, (n, C, H, W).
        ladder: The levels to pass, growing or falling.

    Returns:
        The images at the last level.
    """

    def slope(y: Tensor, sigma: float) -> Tensor:
        return (y - denoise(y, y.new_full((len(y),), sigma))) / sigma

    ends = []
    for part in y.split(32):
        for now, following in pairwise(ladder):
            first = slope(part, now)
            ahead = slope(part + (following - now) * first, following)
            part = part + (following - now) / 2 * (first + ahead)
        ends.append(part)
    return torch.cat(ends)


def decode(denoise: ConditionalDenoiser, z: Tensor, start: Tensor, ladder: Sequence[float]) -> Tensor:
    """The images (n, C, H, W) of latents z, likewise; `start` is m, (C, H, W), the ladder falls."""
    return walk(denoise, start + ladder[0] * z, ladder)


def encode(denoise: ConditionalDenoiser, x: Tensor, start: Tensor, ladder: Sequence[float]) -> Tensor:
    """The latents (n, C, H, W) of images with noise of the last level of a falling ladder."""
    return (walk(denoise, x, ladder[::-1]) - start) / ladder[0]


@dataclass(frozen=True)
class ScaleTest:
    """What another finds of the latents at one scale.

    Attributes:
        components: Which ones, as `2-5`.
        test: As of a level of a flow, with the correlation and its null.
        apart: W1(z'_B, z) over the mean of its null.
        null: Where 95 % of that null lie, over its mean.
        echo: W1(z'_A, z) over the same mean: the error of the steps.
    """

    components: str
    test: LevelTest
    apart: Estimate
    null: tuple[float, float]
    echo: float


def inverted(z: Tensor, z_a: Tensor, z_b: Tensor, components: np.ndarray) -> dict[str, ScaleTest]:
    """The inversion test, a scale in the place of a level.

    Args:
        z: The latents, (n, C, H, W).
        z_a: What A finds in its own images.
        z_b: What B finds in them.
        components: Orthonormal rows, (k, C H W), from the largest scale on.
    """
    parts, unknown = groups(len(components)), np.full(len(z), np.nan)
    rows = [part.double().flatten(1).numpy() @ components.T for part in (z, z_a, z_b)]
    by_scale = [[row[:, None, part, None] for part in parts.values()] for row in rows]
    tests, found = compare_levels(Inversion(*by_scale, x=unknown, log_a=unknown, log_b=unknown)), {}
    for group, test, values in zip(parts, tests, by_scale[0], strict=True):
        null = paired_w1(test.correlation.value, values.size)
        mean, (low, high) = null.mean(), np.quantile(null, (0.025, 0.975)) / null.mean()
        apart = Estimate(*(end / mean for end in (test.w1_b.value, test.w1_b.low, test.w1_b.high)), len(z))
        found[group] = ScaleTest(group.span, test, apart, (float(low), float(high)), test.w1_a.value / mean)
    return found


def paired_w1(correlation: float, size: int) -> np.ndarray:
    """W1 of two sets of unit normals, correlated value by value, (100,): the null of W1(z'_B, z)."""
    correlation = float(np.clip(correlation, 1e-6 - 1, 1 - 1e-6))  # to as many digits as latents have
    rng, found = np.random.default_rng(0), []
    for z, rest in (rng.standard_normal((2, size)) for _ in range(100)):
        other = correlation * z + math.sqrt(1 - correlation**2) * rest
        found.append(np.abs(np.sort(z) - np.sort(other)).mean())
    return np.array(found)
