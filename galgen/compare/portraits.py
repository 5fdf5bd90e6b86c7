"""All that can be asked of one set of images, of models or of galaxies, beside galaxies it should resemble.

    brightness    mean of all pixels over that of the training images               1 is right
    spread        `galgen.compare.scales`: variance over that of the training set   1
    classifier    `galgen.compare.twosample`, at the full side, half of it, ... 8   AUC 1/2
    morphology    `galgen.compare.distances` of the valid rows                      p above 0.05

Everything is rounded to as many grey levels as the set has.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from astropy.table import Table
from scipy import stats

from galgen.compare.controls import rounded
from galgen.compare.distances import Distances, distances, with_spread
from galgen.compare.morphology import valid
from galgen.compare.scales import brightness, principal_spread
from galgen.compare.twosample import C2ST, c2st, features


@dataclass(frozen=True)
class Portrait:
    """What was found of a set of images.

    Attributes:
        brightness: Over that of the training images.
        spread: Variance over that of the training images, by group of principal components.
        c2st: The classifier's test by side in pixels, the full one first.
        morphology: Distances from the reference; None where they cannot be measured.
        valid: Share of the images that have all five coefficients; NaN if nobody asked.
    """

    brightness: float
    spread: dict[str, float]
    c2st: dict[int, C2ST]
    morphology: Distances | None
    valid: float

    def faults(self, alpha: float = 0.05) -> list[str]:
        """The tests that distinguish the set from galaxies."""
        coarse = min(self.c2st)
        p = {"the classifier": self.c2st[max(self.c2st)].p}
        p[f"the classifier at {coarse} pixels"] = self.c2st[coarse].p
        if self.morphology:
            p["morphology"] = self.morphology.energy.p
        return [test for test in p if p[test] <= alpha]


def portrait(
    images: np.ndarray,
    reference: np.ndarray,
    train: np.ndarray,
    *,
    bits: int = 8,
    names: Sequence[str] = (),
    measure: Callable[[np.ndarray], Table] | None = None,
    seed: int = 0,
) -> Portrait:
    """Ask a set of images everything.

    Args:
        images: (n, 1, H, H) in [0, 1].
        reference: Held-out images, uint8 or in [0, 1], (m, 1, H, H).
        train: The training images, uint8 (N, 1, H, H).
        bits: Of the grey levels.
        names: Of the coefficients of morphology.
        measure: Measures images, as `galgen.compare.morphology.measure`; None asks nothing of morphology.
        seed: Random seed.
    """
    part, known = rounded(images, bits), rounded(reference, bits)
    sides = [side for k in range(9) if (side := part.shape[-1] >> k) >= 8]
    rows = measure(part) if measure else None
    return Portrait(
        brightness=brightness(part, train),
        spread=principal_spread(torch.from_numpy(part), train),
        c2st={side: c2st(*(features(x, side=side) for x in (known, part))) for side in sides},
        morphology=apart(measure(known), rows, names, seed=seed) if measure else None,
        valid=len(valid(rows)) / len(rows) if measure else math.nan,
    )


def apart(reference: Table, other: Table, names: Sequence[str], *, seed: int = 0) -> Distances | None:
    """The distances of two tables of `galgen.compare.morphology.measure`, of their valid rows.

    None without names, where a table has fewer than three valid rows, and where a coefficient has no spread
    in the reference, as in one set of samples held against another it may.
    """
    known, rows = valid(reference), valid(other)
    if not names or min(len(known), len(rows)) < 3 or with_spread(known, names) != list(names):
        return None
    return distances(known, rows, names, seed=seed)


def same_share(one: Table, other: Table) -> float:
    """The p-value of Fisher's exact test that two tables have the same share of valid rows."""
    counts = [(len(valid(table)), len(table) - len(valid(table))) for table in (one, other)]
    return float(stats.fisher_exact(counts).pvalue)
