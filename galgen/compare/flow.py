r"""The probability flow of a denoiser as an invertible map: Glow's two tests, asked of diffusion.

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

The density is that of images with noise sigma_least:

    log p(x) = log N(z; 0, 1) - d log sigma_least - int tr J(y(sigma), sigma) d log sigma,    J = dD / dy,

from sigma_least to sigma_most: the flow without D stretches by sigma alone, and of that the integral is
known. tr J = E e^T J e for signs e = +-1 (Hutchinson), one draw for an image and the whole walk, which leaves
log p unbiased (but for the steps). What these cost shows in the flow of a Gaussian, whose density is known:
no difference of bits/dim is quoted below that (`resolution`). Asked of images without that noise, as those of
8 bits are, it is a little off besides.

References:
    Song et al. 2021, https://arxiv.org/abs/2011.13456, section 4.3 and appendix D.2. Karras et al. 2022,
    https://arxiv.org/abs/2206.00364, algorithm 1. Grathwohl et al. 2019, FFJORD,
    https://arxiv.org/abs/1810.01367 (one probe for a walk).
"""

import functools
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from galgen.compare.inversion import Inversion, LevelTest, compare_levels
from galgen.compare.scales import groups
from galgen.models.sampling import ConditionalDenoiser, seeded


def walk(
    denoise: ConditionalDenoiser,
    y: Tensor,
    ladder: Sequence[float],
    *,
    probes: Tensor | None = None,
    chunk: int = 32,
) -> tuple[Tensor, Tensor]:
    """Follow the flow over a ladder of noise levels, in either direction.

    Args:
        denoise: The posterior mean of images (B, C, H, W) with noise of levels (B,), in evaluation mode.
        y: Images at the first level, (n, C, H, W).
        ladder: The levels to pass, growing or falling.
        probes: Signs e, as many as y, for the trace; None leaves it out.
        chunk: Images at a time.

    Returns:
        The images at the last level, and int e^T J e d log sigma of each walk, (n,) float64, or 0.
    """
    signs = [None] * len(y) if probes is None else probes.split(chunk)
    parts = [_heun(denoise, part, e, ladder) for part, e in zip(y.split(chunk), signs, strict=False)]
    return tuple(map(torch.cat, zip(*parts, strict=True)))


def decode(denoise: ConditionalDenoiser, z: Tensor, start: Tensor, ladder: Sequence[float]) -> Tensor:
    """The images (n, C, H, W) of latents z, likewise; `start` is m, (C, H, W), the ladder falls."""
    return walk(denoise, start + ladder[0] * z, ladder)[0]


def encode(denoise: ConditionalDenoiser, x: Tensor, start: Tensor, ladder: Sequence[float]) -> Tensor:
    """The latents (n, C, H, W) of images with noise of the last level of a falling ladder."""
    return (walk(denoise, x, ladder[::-1])[0] - start) / ladder[0]


def log_density(
    denoise: ConditionalDenoiser,
    x: Tensor,
    start: Tensor,
    ladder: Sequence[float],
    *,
    seeds: Sequence[int],
) -> np.ndarray:
    """Log p of images x (n, C, H, W) with noise of the ladder's last level, in nats, (n,) float64.

    `seeds` name the signs of each image's probe.
    """
    signs = [torch.randint(0, 2, x.shape[1:], generator=g) * 2 - 1 for g in seeded(seeds)]
    y, stretched = walk(denoise, x, ladder[::-1], probes=torch.stack(signs).to(x))
    z = ((y - start) / ladder[0]).double().flatten(1)
    d = z.shape[1]
    normal = -0.5 * (z.square().sum(1) + d * math.log(2 * math.pi))
    return (normal - d * math.log(ladder[-1]) - stretched).numpy()


def grey_bits(log_density: np.ndarray, dimensions: int) -> np.ndarray:
    """Bits/dim of images dequantised to (v + u - 1/2) / 255, v = 0 .. 255, from their log density, (n,)."""
    return (math.log(255) - log_density / dimensions) / math.log(2)


def resolution(told: np.ndarray, known: np.ndarray) -> float:
    """The least difference of bits/dim that the integral tells apart: its error, with two standard errors.

    Args:
        told: Bits/dim by the integral, of images under a density that is known, (n,).
        known: Those by its formula.
    """
    error = told - known
    return float(abs(error.mean()) + 2 * error.std() / math.sqrt(len(error)))


def inverted(z: Tensor, z_a: Tensor, z_b: Tensor, components: np.ndarray) -> dict[str, LevelTest]:
    """The inversion test, a scale in the place of a level.

    Args:
        z: The latents, (n, C, H, W).
        z_a: What A finds in its own images.
        z_b: What B finds in them.
        components: Orthonormal rows, (k, C H W), from the largest scale on.
    """
    parts, unknown = groups(len(components)), np.full(len(z), np.nan)
    rows = [part.double().flatten(1).numpy() @ components.T for part in (z, z_a, z_b)]
    by_scale = ([row[:, None, part, None] for part in parts.values()] for row in rows)
    tests = compare_levels(Inversion(*by_scale, x=unknown, log_a=unknown, log_b=unknown))
    return dict(zip(parts, tests, strict=True))


@functools.cache
def paired_w1(correlation: float, size: int, *, draws: int = 100, seed: int = 0) -> np.ndarray:
    """W1 of two sets of unit normals, correlated value by value, (draws,): the null of W1(z'_B, z)."""
    z, rest = np.random.default_rng(seed).standard_normal((2, draws, size))
    other = correlation * z + math.sqrt(1 - correlation**2) * rest
    return np.abs(np.sort(z) - np.sort(other)).mean(1)


def _heun(
    denoise: ConditionalDenoiser, y: Tensor, probes: Tensor | None, ladder: Sequence[float]
) -> tuple[Tensor, Tensor]:
    traces = []

    def slope(y: Tensor, sigma: float) -> Tensor:
        return (y - denoise(y, y.new_full((len(y),), sigma))) / sigma

    for now, following in pairwise(ladder):
        if probes is None:
            with torch.inference_mode():
                first = slope(y, now)
        else:
            first, trace = _traced(denoise, y, now, probes)
            traces.append(trace)
        with torch.inference_mode():
            y_next = y + (following - now) * first
            y = y + (following - now) / 2 * (first + slope(y_next, following))
        y = y.clone()  # a tensor of inference mode could not be asked for a trace
    if probes is None:
        return y, y.new_zeros(len(y))
    traces.append(_traced(denoise, y, ladder[-1], probes)[1])
    at = torch.tensor(ladder, dtype=torch.float64).log()
    return y, torch.trapezoid(torch.stack(traces), at, dim=0)


def _traced(denoise: ConditionalDenoiser, y: Tensor, sigma: float, probes: Tensor) -> tuple[Tensor, Tensor]:
    """The slope, and e^T J e of each image in float64."""
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        denoised = denoise(y, y.new_full((len(y),), sigma))
        (pulled,) = torch.autograd.grad(denoised, y, probes)
    slope = (y.detach() - denoised.detach()) / sigma
    return slope, (pulled * probes).double().flatten(1).sum(1)
