"""Distances between two sets: 1-Wasserstein distance, and energy distance of morphologies or pixels.

For each coefficient, with F and G the empirical distribution functions of the two sets:

    W1 = int |F(x) - G(x)| dx    in the unit of the coefficient: the mean shift that maps one set to the other

and for all together, with x and y rows of coefficients and |.| the Euclidean norm, the energy distance

    E = 2 mean |x - y| - mean |x - x'| - mean |y - y'| >= 0

which is 0 only for equal distributions; the means include pairs of x with itself, so that E > 0 for small
sets. `energy` multiplies the mean within a set of n rows by n / (n - 1) and is unbiased. Each coefficient is
first divided by its normalized median absolute deviation in the reference, a robust standard deviation that
does not depend on the spread of the model; pixels share a unit.

*Null.* The labels "reference" and "other" are permuted. With D the matrix of distances and s a column of 1/n
for one set and -1/m for the other, E = -s' D s: all permutations are one matrix product. For W1, the
cumulative sum of s in the order of the values is F - G, and the area under its absolute value is W1. Rows are
assumed independent: p is not valid for two sets with shared latents, or for a set with repeated images.

*Interval* of W1 of values pooled over images: by the dual form

    W1(x, y) = max over 1-Lipschitz f of  mean f(x) - mean f(y)

it is a mean over images of mean f(x_i) - mean f(y_i), with the optimal potential, f' = sign(F_y - F_x). That
mean is bootstrapped over images, as values within an image are dependent; f is fixed, as W1 of a resample
contains the sampling noise twice. So the interval covers another choice of images, not the upward bias of W1,
whose size is the floor.

*Floor.* The W1 of two sets of m independent unit normals is not 0. F_x - F_y is approximately sqrt(2 / m)
times a Brownian bridge B(Phi(t)), so

    mean W1 = 2 / sqrt(pi m) * integral sqrt(Phi (1 - Phi)) dt,

accurate to 6 % from m = 100 on. Values that are dependent within an image have a higher floor.

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
    """Return W1 between all values of x and all of y, with its 95 % interval.

    Args:
        x: One row or array per image, (n, ...).
        y: Array of the same shape.
        seed: Random seed.

    Returns:
        The value equals scipy's `wasserstein_distance` of the raveled arrays.
    """
    values = np.concatenate([x.ravel(), y.ravel()])
    order = np.argsort(values)
    excess = np.cumsum(np.where(order < x.size, 1, -1))[:-1]  # F_x - F_y above each value, times x.size
    potential = np.empty(len(values))
    potential[order] = np.append(0, np.cumsum(-np.sign(excess) * np.diff(values[order].astype(np.float64))))
    mean_x, mean_y = potential.reshape(2, len(x), -1).mean(2)
    return bootstrap(mean_x - mean_y, np.mean, seed=seed)


def permuted_w1(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return W1 between two sets for each of R assignments of the values to the sets.

    Args:
        values: Values of both sets, (n,).
        steps: 1 / size of the first set for its values, -1 / size of the second for the others, (R, n).

    Returns:
        The distances, (R,).
    """
    order = np.argsort(values)
    return np.abs(steps[:, order].cumsum(1)[:, :-1]) @ np.diff(values[order])


def iid_floor(count: int) -> float:
    """Return the mean W1 of two sets of `count` independent unit normals, proportional to count^(-1/2).

    >>> round(iid_floor(100) / iid_floor(10_000))
    10
    """
    bridge, _ = integrate.quad(lambda t: np.sqrt(special.ndtr(t) * special.ndtr(-t)), -np.inf, np.inf)
    return 2 * bridge / float(np.sqrt(np.pi * count))


_BAND = (0.0, 0.95)  # quantiles of the null, one-sided

Columns = Mapping[str, np.ndarray]  # by the name of a coefficient, such as a table


@dataclass(frozen=True)
class Distances:
    """Distances of a set from a reference set; coefficients by name.

    Attributes:
        w1: Wasserstein-1 distances in the unit of each coefficient, with the 95 % quantile of permutations.
        energy: Energy distance of all coefficients together.
        n: Number of rows of the set.
    """

    w1: dict[str, Outcome]
    energy: Outcome
    n: int


def distances(
    reference: Columns, other: Columns, names: Sequence[str], *, permutations: int = 999, seed: int = 0
) -> Distances:
    """Return the Wasserstein and energy distances of a set from a reference set.

    Args:
        reference: Columns with valid rows only. Its spread is the unit of the energy distance.
        other: The columns of the other set.
        names: Names of the coefficients.
        permutations: Number of permutations; the p-value is at least 1 / (1 + permutations).
        seed: Random seed.

    Raises:
        GalgenError: If a set has fewer than three rows, a value is not finite, or a coefficient is constant.
    """
    x, y = _rows(reference, names, "reference"), _rows(other, names, "other")
    scale = stats.median_abs_deviation(x, axis=0, scale="normal")
    if flat := ", ".join(np.array(names)[scale == 0]):
        raise GalgenError(f"no spread in the reference set's {flat}: omit it, or use more images")
    both = np.concatenate([x, y])
    steps = permuted(np.repeat([1 / len(x), -1 / len(y)], [len(x), len(y)]), permutations, seed)
    w1 = {name: permutation_test(permuted_w1(a, steps), _BAND) for name, a in zip(names, both.T, strict=True)}
    return Distances(w1, permutation_test(_energies(both / scale, steps), _BAND), len(y))


def energy(reference: Columns, other: Columns, names: Sequence[str]) -> float:
    """Return the unbiased energy distance of two sets, with mean 0 for sets of one distribution."""
    x, y = _rows(reference, names, "reference"), _rows(other, names, "other")
    x, y = (rows / stats.median_abs_deviation(x, axis=0, scale="normal") for rows in (x, y))
    weights = [np.full((1, len(rows)), 1 / len(rows)) for rows in (x, y)]
    between = _energies(np.concatenate([x, y]), np.concatenate([weights[0], -weights[1]], axis=1))
    return (between + _bias(x, weights[0]) + _bias(y, weights[1])).item()


def energy_of_pixels(x: np.ndarray, y: np.ndarray, *, permutations: int = 999, seed: int = 0) -> Outcome:
    """Return the energy distance of two sets of images, (n, p) and (m, p), with its two-sided null range.

    All distances are in memory at once, 134 MB for twice 2048 images; as a matrix product they take seconds.
    """
    rows = torch.from_numpy(np.concatenate([x, y]).astype(np.float64))
    D = torch.cdist(rows, rows).numpy()
    np.fill_diagonal(D, 0)
    steps = permuted(np.repeat([1 / len(x), -1 / len(y)], [len(x), len(y)]), permutations, seed)
    return permutation_test(-((steps @ D) * steps).sum(1))


def with_spread(reference: Columns, names: Sequence[str]) -> list[str]:
    """Return the names of coefficients with a median absolute deviation above 0, as `distances` needs."""
    columns = {name: np.asarray(reference[name], np.float64) for name in names}
    return [name for name, x in columns.items() if len(x) and stats.median_abs_deviation(x) > 0]


def _energies(rows: np.ndarray, steps: np.ndarray) -> np.ndarray:
    columns = np.ascontiguousarray(steps.T)
    energies = np.zeros(len(steps))
    for part in (slice(i, i + 1024) for i in range(0, len(rows), 1024)):  # 3 GB at once for 2 x 10 000 rows
        energies -= ((cdist(rows[part], rows) @ columns) * columns[part]).sum(0)
    return energies


def _bias(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the correction for pairs of a row with itself in the mean distance within a set."""
    return (len(rows) / (len(rows) - 1) - 1) * _energies(rows, weights)


def _rows(columns: Columns, names: Sequence[str], which: str) -> np.ndarray:
    rows = np.stack([np.asarray(columns[name], np.float64) for name in names], axis=1)
    if len(rows) < 3 or not np.isfinite(rows).all():
        raise GalgenError(
            f"the {which} set has {len(rows)} rows, or values that are not finite: give 3 or more valid rows"
        )
    return rows
