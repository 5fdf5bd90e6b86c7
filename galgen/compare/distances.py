"""How far apart are two sets? The 1-Wasserstein distance, and the energy distance of morphologies or pixels.

For each coefficient, with F and G the empirical distribution functions of the two sets:

    W1 = int |F(x) - G(x)| dx    in the coefficient's own unit: the mean shift that makes one set the other

and together, x and y being rows of coefficients and |.| the Euclidean length, the energy distance

    E = 2 mean |x - y| - mean |x - x'| - mean |y - y'| >= 0

which is 0 for equal distributions only; the means count x with itself, so that small sets are never at 0.
`energy` multiplies the mean within a set of n rows by n / (n - 1) and is without bias. Each coefficient is
first divided by its normalised median absolute deviation in the reference, a robust standard deviation that a
bad model's wide spread cannot enlarge; pixels share a unit.

*Null.* The labels "reference" and "other" are dealt out anew. With D the matrix of distances and s a column
of 1/n for one set and -1/m for the other, E = -s' D s: all permutations are one matrix product. For W1, the
running sum of s along growing values is F - G, and the area under its size is W1. Rows are taken as
independent: of two sets from shared latents, or one that repeats its images, p is no longer that.

*Interval* of W1 of values pooled over images: by the dual form

    W1(x, y) = max over 1-Lipschitz f of  mean f(x) - mean f(y)

it is a mean over images of mean f(x_i) - mean f(y_i), with the best potential, f' = sign(F_y - F_x). That
mean is bootstrapped, over images, as values within one depend on each other; f stays fixed, as W1 of a
resample carries the noise of sampling twice. So the interval covers another choice of images, not the upward
bias of W1, whose size is the floor.

*Floor.* Two sets of m independent unit normals are not 0 apart. F_x - F_y is near sqrt(2 / m) times a
Brownian bridge B(Phi(t)), so

    mean W1 = 2 / sqrt(pi m) * integral sqrt(Phi (1 - Phi)) dt,

good to 6 % from m = 100 on. Values that depend on each other within an image have a higher floor.

References:
    Szekely & Rizzo 2013, Energy statistics, https://doi.org/10.1016/j.jspi.2013.03.018.
    Villani 2009, Optimal transport, Theorem 5.10 (duality). Del Barrio, Gine & Matran 1999, Central limit
    theorems for the Wasserstein distance between the empirical and the true distributions,
    https://doi.org/10.1214/aop/1022677394.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import integrate, special, stats
from scipy.spatial.distance import cdist

from galgen.compare.uncertainty import Estimate, Outcome, bootstrap, permutation_test, permuted
from galgen.runs.errors import GalgenError

__all__ = ["Columns", "Distances", "distances", "energy", "energy_of_pixels",
    "iid_floor", "permuted_w1", "wasserstein", "with_spread"]  # fmt: skip


def wasserstein(x: np.ndarray, y: np.ndarray, *, seed: int = 0) -> Estimate:
    """W1 of all values of x and all of y, with its 95 % interval.

    Args:
        x: One row or array an image, (n, ...).
        y: Of the same shape.
        seed: Random seed.

    Returns:
        The value equals scipy's `wasserstein_distance` of the raveled arrays.
    """
    values = np.concatenate([x.ravel(), y.ravel()])
    order = np.argsort(values)
    ahead = np.cumsum(np.where(order < x.size, 1, -1))[:-1]  # F_x - F_y past each value, times x.size
    potential = np.empty(len(values))
    potential[order] = np.append(0, np.cumsum(-np.sign(ahead) * np.diff(values[order].astype(np.float64))))
    of_x, of_y = potential.reshape(2, len(x), -1).mean(2)
    return bootstrap(of_x - of_y, np.mean, seed=seed)


def permuted_w1(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """W1 of two sets, for each way to divide values into two.

    Args:
        values: Of both sets, (n,).
        steps: 1 over the size of its set at each value of the one, -1 over it at those of the other, (R, n).

    Returns:
        The distances, (R,).
    """
    order = np.argsort(values)
    return np.abs(steps[:, order].cumsum(1)[:, :-1]) @ np.diff(values[order])


def iid_floor(count: int) -> float:
    """Mean W1 of two sets of `count` independent unit normals, which falls with the root of it.

    >>> round(iid_floor(100) / iid_floor(10_000))
    10
    """
    bridge, _ = integrate.quad(lambda t: np.sqrt(special.ndtr(t) * special.ndtr(-t)), -np.inf, np.inf)
    return 2 * bridge / float(np.sqrt(np.pi * count))


_BAND = (0.0, 0.95)  # of the null: nothing is too near

Columns = Mapping[str, np.ndarray]  # by the name of a coefficient; a table will do


@dataclass(frozen=True)
class Distances:
    """The distances of a set from a reference set; coefficients by name.

    Attributes:
        w1: Wasserstein-1 distances, in each coefficient's unit, and what 95 % of permutations stay below.
        energy: Energy distance of all coefficients together.
        n: Rows of the set.
    """

    w1: dict[str, Outcome]
    energy: Outcome
    n: int


def distances(
    reference: Columns, other: Columns, names: Sequence[str], *, permutations: int = 999, seed: int = 0
) -> Distances:
    """Compare a set with a reference set.

    Args:
        reference: Columns of valid rows only. Its spread is the unit.
        other: The same for the other set.
        names: Of the coefficients.
        permutations: For the p-value, which is at least 1 / (1 + permutations).
        seed: Random seed.

    Raises:
        GalgenError: If a set has fewer than three rows, a value is not finite, or a coefficient is constant.
    """
    x, y = _rows(reference, names, "reference"), _rows(other, names, "other")
    scale = stats.median_abs_deviation(x, axis=0, scale="normal")
    if flat := ", ".join(np.array(names)[scale == 0]):
        raise GalgenError(f"no spread in the reference set's {flat}: leave it out, or use more images")
    both = np.concatenate([x, y])
    steps = permuted(np.repeat([1 / len(x), -1 / len(y)], [len(x), len(y)]), permutations, seed)
    w1 = {name: permutation_test(permuted_w1(a, steps), _BAND) for name, a in zip(names, both.T, strict=True)}
    return Distances(w1, permutation_test(_energies(both / scale, steps), _BAND), len(y))


def energy(reference: Columns, other: Columns, names: Sequence[str]) -> float:
    """The energy distance of two sets, without bias: its mean is 0 for sets of one distribution."""
    x, y = _rows(reference, names, "reference"), _rows(other, names, "other")
    x, y = (rows / stats.median_abs_deviation(x, axis=0, scale="normal") for rows in (x, y))
    weights = [np.full((1, len(rows)), 1 / len(rows)) for rows in (x, y)]
    between = _energies(np.concatenate([x, y]), np.concatenate([weights[0], -weights[1]], axis=1))
    return (between + _lacking(x, weights[0]) + _lacking(y, weights[1])).item()


def energy_of_pixels(x: np.ndarray, y: np.ndarray, *, permutations: int = 999, seed: int = 0) -> Outcome:
    """The energy distance of two sets of images, (n, p) and (m, p), with its null: low is too near.

    All distances are held at once, 134 MB for twice 2048 images; as a product of matrices they take seconds.
    """
    rows = torch.from_numpy(np.concatenate([x, y]).astype(np.float64))
    D = torch.cdist(rows, rows).numpy()
    np.fill_diagonal(D, 0)
    steps = permuted(np.repeat([1 / len(x), -1 / len(y)], [len(x), len(y)]), permutations, seed)
    return permutation_test(-((steps @ D) * steps).sum(1))


def with_spread(reference: Columns, names: Sequence[str]) -> list[str]:
    """Those of the coefficients that `distances` can use: not one and the same value for half of the set."""
    columns = {name: np.asarray(reference[name], np.float64) for name in names}
    return [name for name, x in columns.items() if len(x) and stats.median_abs_deviation(x) > 0]


def _energies(rows: np.ndarray, steps: np.ndarray) -> np.ndarray:
    columns = np.ascontiguousarray(steps.T)
    found = np.zeros(len(steps))
    for part in (slice(i, i + 1024) for i in range(0, len(rows), 1024)):  # of 2 x 10 000 rows D has 3 GB
        found -= ((cdist(rows[part], rows) @ columns) * columns[part]).sum(0)
    return found


def _lacking(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Minus what the mean distance within a set lacks, as it counts each row with itself."""
    return (len(rows) / (len(rows) - 1) - 1) * _energies(rows, weights)


def _rows(columns: Columns, names: Sequence[str], which: str) -> np.ndarray:
    rows = np.stack([np.asarray(columns[name], np.float64) for name in names], axis=1)
    if len(rows) < 3 or not np.isfinite(rows).all():
        raise GalgenError(
            f"the {which} set has {len(rows)} rows, or some not finite: give valid rows, three or more"
        )
    return rows
