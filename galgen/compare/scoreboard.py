"""The same questions to every pair of models, and to pairs that are wrong in a known way; and to single sets.

*The scoreboard* asks pairs:

    question               value                                    null                         p of
    agreement              median anomaly cosine of a_i and b_i     seeds re-paired at random    either
    memorization           mean margin in favour of the own set     exchange within latents, and
                                                                    shrunk Gaussians of the sets a larger one
    distribution           AUC of a classifier, model and held-out  labels permuted              a larger one
    coarse distribution    the same at 8 pixels a side              labels permuted              a larger one
    morphology             energy distance of five coefficients     labels permuted              a larger one

All but the first two are asked of A and of B: the value farther out counts, and twice the smaller p.
Each has a band that holds 95 % of its null. A question is of use where it finds the controls it should and no
others (`galgen.compare.controls`).

*A portrait* is of one set of images, of a model or of galaxies, beside galaxies it should resemble:

    brightness    mean of all pixels over that of the training images               1 is right
    spread        `galgen.compare.scales`: variance over that of the training set   1
    classifier    `galgen.compare.twosample`, at the full side, half of it, ... 8   AUC 1/2
    morphology    `galgen.compare.distances` of the valid rows                      p above 0.05

Everything is rounded to as many gray levels as the set has.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from astropy.table import Table
from scipy import stats
from torch import Tensor

from galgen.compare.agreement import TwoModels
from galgen.compare.controls import rounded
from galgen.compare.distances import Distances, distances, with_spread
from galgen.compare.morphology import COEFFICIENTS, valid
from galgen.compare.scales import brightness, principal_spread
from galgen.compare.twosample import C2ST, c2st, features
from galgen.compare.uncertainty import Outcome, worse

__all__ = ["QUESTIONS", "Portrait", "apart", "portrait", "same_share", "scores"]


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
        bits: Of the gray levels.
        names: Of the coefficients of morphology.
        measure: Measures images, as `galgen.compare.morphology.measure`; None asks nothing of morphology.
        seed: Random seed.
    """
    part, known = rounded(images, bits), rounded(reference, bits)
    sides = [side for k in range(9) if (side := part.shape[-1] >> k) >= 8]
    rows = measure(part) if measure else None
    return Portrait(
        brightness=brightness(part, train),
        spread=principal_spread(part, train),
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


QUESTIONS = ("agreement", "memorization", "distribution", "coarse distribution", "morphology")

# What each control must show; the questions left out are free. At 8 pixels little is left of a blur.


def scores(
    a: np.ndarray | Tensor,
    b: np.ndarray | Tensor,
    reference: np.ndarray,
    pair: TwoModels,
    *,
    morphology: Callable[[np.ndarray | Tensor], Table] | None = None,
    both: bool = True,
    permutations: int = 500,
    seed: int = 0,
) -> dict[str, Outcome]:
    """The answers for one pair, by question; those that cannot be asked are left out.

    Args:
        a: Images of model A, (n, 1, H, W) in [0, 1], array or tensor. Agreement and memorization take all n,
            the other questions the first m.
        b: Images of model B of the same latents.
        reference: 2 m held-out images, uint8 or in [0, 1], of as many gray levels as the samples.
        pair: `galgen.compare.agreement.two_models` of the two.
        morphology: Measures images, as `galgen.compare.morphology.measure`; None asks nothing of it.
        both: Whether B is held against the held-out images as A is.
        permutations: Of each null.
        seed: Random seed.
    """
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    options = {"permutations": permutations, "seed": seed}
    answers = {
        "agreement": pair.agreement,
        "memorization": pair.memorization.outcome,
    }
    drawn = [part[: len(reference) // 2] for part in ((a, b) if both else (a,))]
    if min(len(drawn[0]), len(reference)) >= 10:  # two a fold
        for question, side in (("distribution", None), ("coarse distribution", 8)):
            known, *seen = (features(part, side=side) for part in (reference, *drawn))
            found = [c2st(known, part, **options).outcome for part in seen]
            answers[question] = worse(found)
    if morphology is not None:
        known, *tables = (valid(morphology(part)) for part in (reference, *drawn))
        used = with_spread(known, COEFFICIENTS)
        if min(map(len, (known, *tables))) >= 10 and used:
            found = [distances(known, t, used, **options).energy for t in tables]
            answers["morphology"] = worse(found)
    return answers
