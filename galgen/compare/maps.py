r"""How far apart are two maps from noise to images? Scale by scale, in units of two that have nothing to do.

With a_i and b_i what two samplers make of the latent i, u and v their coefficients in a group of principal
components of the galaxies (about the mean galaxy),

    d^2 = sum_i |u_i - v_i|^2 / sum_i (|u_i|^2 + |v_i|^2)

is 0 for one map, 1 (but for luck) for two with nothing in common but the mean, and up to 2 for opposites: the
probability flow distance of Wang et al. 2025, in pixels, over what re-paired latents have. Unlike a
cosine it sees amplitudes, and unlike a distance of samples it sees which latent makes which image.

*How much of the agreement is the network?* Let A and B be networks trained on galaxies, g the closed-form
denoiser of a Gaussian with A's mean and covariance, and G a network trained on draws of that Gaussian. A is
nearer to B than to g by what is beyond second moments; and nearer to G than to g by what networks add to them,
whatever they were shown. The share

    (d^2(A, g) - d^2(A, G)) / (d^2(A, g) - d^2(A, B))

is 0 if G is g, and 1 if G is as near to A as B is.

Intervals draw latents anew; they are of these trained networks.

References:
    Wang et al. 2025, Exploring generalization of diffusion models via probability flow distance,
    https://arxiv.org/abs/2505.20123.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from galgen.compare.gaussian import Gaussian
from galgen.compare.scales import groups
from galgen.compare.uncertainty import Estimate, permuted
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
    """The distance by group of components, and of all together.

    Args:
        a: Images of the one map, (n, C, H, W).
        b: Of the other, of the same latents.
        galaxies: Whose mean and components are used.
    """
    if a.shape != b.shape or len(a) < 2:
        raise GalgenError(f"images {tuple(a.shape)} and {tuple(b.shape)}: give pairs, two or more")
    u, v = (((x - galaxies.mean).flatten(1) @ galaxies.components.T).double().numpy() for x in (a, b))
    orders = permuted(np.arange(len(a)), 200, 0)[1:]
    found = {}
    for name, part in {**groups(u.shape[1]), WHOLE: slice(None)}.items():
        x, y = u[:, part], v[:, part]
        norm = np.square(x).sum(1) + np.square(y).sum(1)
        value = _ratio(np.square(x - y).sum(1), norm)
        products = x @ y.T
        null = [1 - 2 * products[np.arange(len(x)), order].sum() / norm.sum() for order in orders]
        found[name] = MapDistance(value, float(np.quantile(null, 0.025)))
    return found


def network_share(
    a: Tensor, b: Tensor, exact: Tensor, trained: Tensor, galaxies: Gaussian
) -> dict[str, Estimate]:
    """How much of the agreement of A and B beyond second moments a network has that saw only these.

    Args:
        a: Images of A, (n, C, H, W).
        b: Of B, of the same latents.
        exact: Of the closed-form Gaussian of A's images.
        trained: Of a network trained on its draws.
        galaxies: As for `map_distance`.

    Returns:
        The share by group of components, and of all together.
    """
    rows = [((x - galaxies.mean).flatten(1) @ galaxies.components.T).double().numpy() for x in
            (a, b, exact, trained)]  # fmt: skip
    weights, found = _weights(len(a)), {}
    for name, part in {**groups(rows[0].shape[1]), WHOLE: slice(None)}.items():
        own, other, linear, network = (row[:, part] for row in rows)
        distance = [
            (weights @ np.square(own - x).sum(1)) / (weights @ (np.square(own) + np.square(x)).sum(1))
            for x in (linear, network, other)
        ]
        shares = (distance[0] - distance[1]) / (distance[0] - distance[2])
        found[name] = Estimate(float(shares[0]), *map(float, np.quantile(shares[1:], (0.025, 0.975))), len(a))
    return found


def rule_of_thumb(N: int, pixels: int, weights: int) -> float:
    """Numbers in the training set over parameters of the network: 1 where networks are said to generalise."""
    return N * pixels / weights


def crossing(distances: Mapping[float, float], level: float = 0.5) -> float | None:
    """Where a distance that falls along the keys passes a level first, linear in their logarithm; or None."""
    x, y = np.log(sorted(distances)), [distances[key] for key in sorted(distances)]
    for k in range(len(x) - 1):
        if y[k] > level >= y[k + 1]:
            return float(np.exp(x[k] + (x[k + 1] - x[k]) * (y[k] - level) / (y[k] - y[k + 1])))
    return None


def _ratio(part: np.ndarray, whole: np.ndarray) -> Estimate:
    weights = _weights(len(part))
    values = (weights @ part) / (weights @ whole)
    return Estimate(float(values[0]), *map(float, np.quantile(values[1:], (0.025, 0.975))), len(part))


def _weights(n: int) -> np.ndarray:
    """How often each latent is drawn: once in the first row, anew in 2000 more."""
    return np.concatenate([np.ones((1, n)), np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), 2000)])
