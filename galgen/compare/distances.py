r"""How far apart are two sets of morphologies? Coefficient by coefficient, and all of them together.

For each coefficient, with F and G the empirical distribution functions of the two sets:

    W1 = int |F(x) - G(x)| dx    in the coefficient's own unit: the mean shift that makes one set the other

and together, x and y being rows of coefficients and |.| the Euclidean length, the energy distance

    E = 2 mean |x - y| - mean |x - x'| - mean |y - y'| >= 0

which is 0 for equal distributions only; the means count x with itself, so that small sets are never at 0.
First each coefficient is divided by its normalised median absolute deviation in the reference set, a robust
standard deviation (M20 has tails) that a bad model's wide spread cannot enlarge.

The null is that the labels "reference" and "other" are exchangeable, so they are dealt out anew. With D the
matrix of distances and s a column of 1/n for one set and -1/m for the other, E = -s' D s: all permutations
are one matrix product. In the order of growing x the running sum of s is F - G, and gives the permuted W1.
Rows are taken as independent: of two sets from shared latents, or one that repeats its images, p is no longer
that.

References:
    Szekely & Rizzo 2013, Energy statistics, https://doi.org/10.1016/j.jspi.2013.03.018.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist

from galgen.compare.estimates import Outcome, permutation_test
from galgen.runs.errors import GalgenError

__all__ = ["Distances", "distances", "with_spread"]

_BAND = (0.0, 0.95)  # of the null: nothing is too near


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
    reference: Mapping[str, np.ndarray],
    other: Mapping[str, np.ndarray],
    names: Sequence[str],
    *,
    permutations: int = 999,
    seed: int = 0,
) -> Distances:
    """Compare a set with a reference set.

    Args:
        reference: Columns by name, of valid rows only: a table will do. Its spread is the unit.
        other: The same for the other set.
        names: Of the coefficients.
        permutations: For the p-value, which is at least 1 / (1 + permutations).
        seed: Of the permutations.

    Raises:
        GalgenError: If a set has fewer than three rows, a value is not finite, or a coefficient is constant.
    """
    x, y = _rows(reference, names, "reference"), _rows(other, names, "other")
    scale = stats.median_abs_deviation(x, axis=0, scale="normal")
    if flat := ", ".join(np.array(names)[scale == 0]):
        raise GalgenError(f"no spread in the reference set's {flat}: leave it out, or use more images")
    labels = _deal(len(x), len(y), permutations, seed)
    return Distances(
        w1={name: _w1(a, b, labels) for name, a, b in zip(names, x.T, y.T, strict=True)},
        energy=_energy(np.concatenate([x, y]) / scale, labels),
        n=len(y),
    )


def with_spread(reference: Mapping[str, np.ndarray], names: Sequence[str]) -> list[str]:
    """Those of the coefficients that `distances` can use: not one and the same value for half of the set.

    Args:
        reference: Columns by name, of valid rows only; an empty set has no spread.
        names: Of the coefficients.
    """
    columns = {name: np.asarray(reference[name], np.float64) for name in names}
    return [name for name, x in columns.items() if len(x) and stats.median_abs_deviation(x) > 0]


def _deal(n: int, m: int, permutations: int, seed: int) -> np.ndarray:
    """The labels, 1/n and -1/m, and their permutations, (n + m, 1 + permutations)."""
    labels = np.repeat([1 / n, -1 / m], [n, m])[:, None]
    dealt = np.random.default_rng(seed).permuted(np.repeat(labels, permutations, axis=1), axis=0)
    return np.concatenate([labels, dealt], axis=1)


def _energy(rows: np.ndarray, labels: np.ndarray) -> Outcome:
    found = np.zeros(labels.shape[1])
    for part in (slice(i, i + 1024) for i in range(0, len(rows), 1024)):  # of 2 x 10 000 rows D has 3 GB
        found -= ((cdist(rows[part], rows) @ labels) * labels[part]).sum(0)
    return permutation_test(found, _BAND)


def _w1(x: np.ndarray, y: np.ndarray, labels: np.ndarray) -> Outcome:
    both = np.concatenate([x, y])
    order = both.argsort()
    return permutation_test(np.diff(both[order]) @ np.abs(labels[order].cumsum(0)[:-1]), _BAND)


def _rows(columns: Mapping[str, np.ndarray], names: Sequence[str], which: str) -> np.ndarray:
    rows = np.stack([np.asarray(columns[name], np.float64) for name in names], axis=1)
    if len(rows) < 3 or not np.isfinite(rows).all():
        raise GalgenError(
            f"the {which} set has {len(rows)} rows, or some not finite: give valid rows, three or more"
        )
    return rows
