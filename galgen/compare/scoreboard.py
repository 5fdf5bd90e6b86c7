"""Two tables of morphology: how far apart they are, and whether they have the same share of valid rows."""

from collections.abc import Sequence

from astropy.table import Table
from scipy import stats

from galgen.compare.distances import Distances, distances, with_spread
from galgen.compare.morphology import valid

__all__ = ["morphology_distances", "same_fraction"]


def morphology_distances(
    reference: Table, other: Table, names: Sequence[str], *, seed: int = 0
) -> Distances | None:
    """The distances of two tables of `galgen.compare.morphology.measure`, of their valid rows.

    None without names, where a table has fewer than three valid rows, and where a coefficient has no spread
    in the reference, as in one set of samples held against another it may.
    """
    known, rows = valid(reference), valid(other)
    if not names or min(len(known), len(rows)) < 3 or with_spread(known, names) != list(names):
        return None
    return distances(known, rows, names, seed=seed)


def same_fraction(one: Table, other: Table) -> float:
    """The p-value of Fisher's exact test that two tables have the same share of valid rows."""
    counts = [(len(valid(table)), len(table) - len(valid(table))) for table in (one, other)]
    return float(stats.fisher_exact(counts).pvalue)
