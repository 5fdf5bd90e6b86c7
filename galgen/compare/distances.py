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
are one matrix product.
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

from galgen.compare.uncertainty import Estimate, Outcome, permutation_test, permuted
from galgen.compare.wasserstein import permuted_w1
from galgen.runs.errors import GalgenError

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


def energy_difference(reference: Columns, one: Columns, other: Columns, names: Sequence[str]) -> Estimate:
    """By how much farther one set is from the reference than another, with a bootstrap interval.

    Args:
        reference: Columns of valid rows only. Its spread is the unit.
        one: Of the first set.
        other: Of the second, of other latents than the first.
        names: Of the coefficients.

    Returns:
        The energy distance of the first less that of the second, and a 95 % percentile interval, of 2000
        resamplings of the rows of all three sets: above 0 where the first is farther off.
    """
    sets = zip((reference, one, other), ("reference", "first", "second"), strict=True)
    x, y, z = (_rows(columns, names, which) for columns, which in sets)
    both = np.concatenate([x, y, z]) / stats.median_abs_deviation(x, axis=0, scale="normal")
    rng, ends = np.random.default_rng(0), np.cumsum([0, len(x), len(y), len(z)])
    weights = np.zeros((3, 2001, len(both)))
    for weight, first, last in zip(weights, ends, ends[1:], strict=False):
        n = last - first
        weight[0, first:last] = 1 / n
        weight[1:, first:last] = rng.multinomial(n, np.full(n, 1 / n), 2000) / n
    far, near = (_energies(both, weights[0] - weights[k]) for k in (1, 2))
    difference = far - near
    low, high = np.quantile(difference[1:], (0.025, 0.975))
    return Estimate(float(difference[0]), float(low), float(high), min(len(y), len(z)))


def with_spread(reference: Columns, names: Sequence[str]) -> list[str]:
    """Those of the coefficients that `distances` can use: not one and the same value for half of the set.

    Args:
        reference: Columns of valid rows only; an empty set has no spread.
        names: Of the coefficients.
    """
    columns = {name: np.asarray(reference[name], np.float64) for name in names}
    return [name for name, x in columns.items() if len(x) and stats.median_abs_deviation(x) > 0]


def _energies(rows: np.ndarray, steps: np.ndarray) -> np.ndarray:
    columns = np.ascontiguousarray(steps.T)
    found = np.zeros(len(steps))
    for part in (slice(i, i + 1024) for i in range(0, len(rows), 1024)):  # of 2 x 10 000 rows D has 3 GB
        found -= ((cdist(rows[part], rows) @ columns) * columns[part]).sum(0)
    return found


def _rows(columns: Columns, names: Sequence[str], which: str) -> np.ndarray:
    rows = np.stack([np.asarray(columns[name], np.float64) for name in names], axis=1)
    if len(rows) < 3 or not np.isfinite(rows).all():
        raise GalgenError(
            f"the {which} set has {len(rows)} rows, or some not finite: give valid rows, three or more"
        )
    return rows
