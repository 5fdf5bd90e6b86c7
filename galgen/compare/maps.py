r"""How far apart are two maps from noise to images? Scale by scale, in units of two that have nothing to do.

With a_i and b_i what two samplers make of the latent i, u and v their coefficients in a group of principal
components of the galaxies (about the mean galaxy),

    d^2 = sum_i |u_i - v_i|^2 / sum_i (|u_i|^2 + |v_i|^2)

is 0 for one map, 1 (but for luck) for two with nothing in common but the mean, and up to 2 for opposites. It
is like the probability flow distance (PFD) of Zhang et al. 2025 and normalised: theirs is the root of the
mean of |u_i - v_i|^2, in a descriptor if wanted; ours the mean itself, in pixels, over what re-paired latents
have. Unlike a cosine it sees amplitudes, and unlike a distance of samples it sees which latent makes which
image.

*How much of the agreement is the network?* Let A and B be networks trained on galaxies, g the closed-form
denoiser of a Gaussian with A's mean and covariance, and G a network trained on draws of that Gaussian. A is
nearer to B than to g by what is beyond second moments; and nearer to G than to g by what networks add to
them, whatever they were shown. The share

    (d^2(A, g) - d^2(A, G)) / (d^2(A, g) - d^2(A, B))

is 0 if G is g, and 1 if G is as near to A as B is. Where A may be as near to g as to B, nothing is shared
beyond second moments and there is no share (`galgen.compare.uncertainty.ratio`).

Intervals draw latents anew; they are of these trained networks.

References:
    Zhang et al. 2025, Understanding generalization in diffusion models via probability flow distance (version
    1; of another title since), https://arxiv.org/abs/2505.20123.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from galgen.compare.gaussian import Gaussian
from galgen.compare.scales import groups
from galgen.compare.uncertainty import Estimate, permuted, ratio
from galgen.runs.errors import GalgenError

WHOLE = "all scales"


@dataclass(frozen=True)
class MapDistance:
    """A distance d^2 of two maps.

    Attributes:
        value: With its interval over latents.
        null: Below it, 2.5 % of the distances with latents paired anew.
    """

    value: Estimate
    null: float


def map_distance(a: Tensor, b: Tensor, galaxies: Gaussian) -> dict[str, MapDistance]:
    """By scale, and of all scales, of the images (n, C, H, W) that two maps make of the same latents."""
    if a.shape != b.shape or len(a) < 2:
        raise GalgenError(f"images {tuple(a.shape)} and {tuple(b.shape)}: give pairs, two or more")
    weights, orders = _weights(len(a)), permuted(np.arange(len(a)), 200, 0)[1:]
    found = {}
    for name, (x, y) in _by_scale(galaxies, a, b).items():
        one = np.ones((1, len(x)))
        null = [_distances(x, y[order], one)[0] for order in orders]
        value = _estimate(_distances(x, y, weights), len(x))
        found[name] = MapDistance(value, float(np.quantile(null, 0.025)))
    return found


def network_share(
    a: Tensor, b: Tensor, exact: Tensor, trained: Tensor, galaxies: Gaussian
) -> dict[str, Estimate | None]:
    """How much of the agreement of A and B beyond second moments a network has that saw only these.

    Images (n, C, H, W) are of the same latents: of A, of B, of A's Gaussian, and of the network of its draws.
    None where the interval of the agreement to be shared holds 0.
    """
    weights, found = _weights(len(a)), {}
    for name, (own, *others) in _by_scale(galaxies, a, exact, trained, b).items():
        linear, network, other = (_distances(own, x, weights) for x in others)
        parts = np.stack([linear - network, linear - other])
        found[name] = ratio(*parts[:, 0], np.cov(parts[:, 1:]), freedom=len(a) - 1, n=len(a))
    return found


def crossing(distances: Mapping[float, float], level: float) -> float | None:
    """Where a distance that falls along the keys passes a level first, linear in their logarithm; or None."""
    x, y = np.log(sorted(distances)), [distances[key] for key in sorted(distances)]
    for k in range(len(x) - 1):
        if y[k] > level >= y[k + 1]:
            return float(np.exp(x[k] + (x[k + 1] - x[k]) * (y[k] - level) / (y[k] - y[k + 1])))
    return None


def _by_scale(galaxies: Gaussian, *images: Tensor) -> dict[str, list[np.ndarray]]:
    """The coefficients of images in each group of components, (n, k), and all of them."""
    rows = [((x - galaxies.mean).flatten(1) @ galaxies.components.T).double().numpy() for x in images]
    parts = groups(rows[0].shape[1]) | {WHOLE: slice(None)}
    return {name: [row[:, part] for row in rows] for name, part in parts.items()}


def _distances(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """d^2 for each weighting of the latents."""
    return (weights @ np.square(x - y).sum(1)) / (weights @ (np.square(x) + np.square(y)).sum(1))


def _weights(n: int) -> np.ndarray:
    """How often each latent is drawn: once in the first row, anew in 2000 more."""
    return np.concatenate([np.ones((1, n)), np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), 2000)])


def _estimate(values: np.ndarray, n: int) -> Estimate:
    return Estimate(float(values[0]), *map(float, np.quantile(values[1:], (0.025, 0.975))), n)
