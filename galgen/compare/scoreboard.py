"""Comparison of two morphology tables: their distances, and their fractions of valid rows."""

from collections.abc import Sequence

from astropy.table import Table
from scipy import stats

from galgen.compare.distances import Distances, distances, with_spread
from galgen.compare.morphology import valid

__all__ = ["morphology_distances", "same_fraction"]


def morphology_distances(
    reference: Table, other: Table, names: Sequence[str], *, seed: int = 0
) -> Distances | None:
    """Return the distances between the valid rows of two tables of `galgen.compare.morphology.measure`.

    None without names, if a table has fewer than three valid rows, or if a coefficient has no spread in the
    reference, which can happen if the reference is a set of samples.
    """
    one, two = valid(reference), valid(other)
    if not names or min(len(one), len(two)) < 3 or with_spread(one, names) != list(names):
        return None
    return distances(one, two, names, seed=seed)


def same_fraction(one: Table, other: Table) -> float:
    """Return the p-value of Fisher's exact test that two tables have the same fraction of valid rows."""
    counts = [(len(valid(table)), len(table) - len(valid(table))) for table in (one, other)]
    return float(stats.fisher_exact(counts).pvalue)
