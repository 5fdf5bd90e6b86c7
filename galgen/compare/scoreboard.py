"""The scoreboard: the same questions to every pair of models, and to pairs that are wrong in a known way.

    question       value                                       null                           p of
    agreement      median anomaly cosine of a_i and b_i        seeds re-paired at random      a larger one
    memorization   P(train closer), both models                held-out images as samples     a larger one
    distribution   AUC of a classifier, a against held out     labels permuted                a larger one
    morphology     energy distance of five coefficients        labels permuted                a larger one

Each has a band, the 2.5 and 97.5 % quantiles of its null. A question is of use where it finds the controls it
should and no others: images nobody was shown in the place of both models' samples ("held out"), training
images with a little noise ("memorizer"), held-out images blurred by a pixel ("blurred").
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from astropy.table import Table
from scipy import ndimage, stats
from torch import Tensor

from galgen.compare import agreement, memorization, similarity
from galgen.compare.distances import distances
from galgen.compare.twosample import c2st, features
from galgen.data.dataset import Split
from galgen.errors import GalgenError
from galgen.morphology import COEFFICIENTS, valid

__all__ = ["EXPECTED", "QUESTIONS", "Score", "control_pairs", "scores"]

QUESTIONS = ("agreement", "memorization", "distribution", "morphology")

# What each control must show at p < 0.05; the questions left out are free.
EXPECTED = {
    "held out": dict.fromkeys(QUESTIONS, False),
    "memorizer": {"agreement": False, "memorization": True},
    "blurred": {"agreement": False, "distribution": True, "morphology": True},
}


@dataclass(frozen=True)
class Score:
    """A value, the 95 % band of its null, and its one-sided p-value."""

    value: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f}), p {_told(self.p)}"


def control_pairs(images: np.ndarray, sets: Split, n: int, seed: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    """Pairs of image sets that stand for A's and B's samples, (n, 1, H, W) each, by name.

    The first n validation images are left for the reference.

    Raises:
        GalgenError: If there are fewer than 3 n validation images.
    """
    if len(sets.validation) < 3 * n:
        raise GalgenError(f"the controls need {3 * n} validation images, not {len(sets.validation)}")
    rng = np.random.default_rng(seed)

    def some(rows: np.ndarray) -> Tensor:
        return torch.from_numpy(images[rows]).float() / 255

    unseen = tuple(some(sets.validation[k * n : (k + 1) * n]) for k in (1, 2))
    shown = tuple(some(rng.choice(rows, n)) for rows in (sets.A, sets.B))
    noise = torch.Generator().manual_seed(seed)
    return {
        "held out": unseen,
        "memorizer": tuple(x + 0.01 * torch.randn(x.shape, generator=noise) for x in shown),
        "blurred": tuple(
            torch.from_numpy(ndimage.gaussian_filter(x.numpy(), 1.0, axes=(2, 3))) for x in unseen
        ),
    }


def scores(
    a: Tensor,
    b: Tensor,
    reference: np.ndarray,
    images: np.ndarray,
    sets: Split,
    *,
    mean: np.ndarray,
    flips: bool = False,
    morphology: Callable[[np.ndarray | Tensor], Table] | None = None,
    permutations: int = 500,
    seed: int = 0,
) -> dict[str, Score]:
    """The answers for one pair, by question; those that cannot be asked are left out.

    Args:
        a: Images of model A, (n, 1, H, W) in [0, 1].
        b: Images of model B of the same latents.
        reference: Held-out images, uint8 or in [0, 1], of as many grey levels as the samples.
        images: The data set, uint8 (M, 1, H, W).
        sets: Rows of A's and B's training images and of the validation images.
        mean: The data set's mean image.
        flips: Whether the nearest image is looked for among the flipped ones too.
        morphology: Measures images, as `galgen.morphology.measure`; None asks nothing of it.
        permutations: Of each null.
        seed: Of the permutations.
    """
    rng = np.random.default_rng(seed)

    def median(order: np.ndarray) -> float:
        return float(np.median(similarity.cosine(a, b[order], kind="anomaly", mean=mean)))

    found = agreement.two_models(a, b, images, sets, mean=mean, flips=flips)
    answers = {
        "agreement": _permuted(
            median(np.arange(len(a))), [median(rng.permutation(len(a))) for _ in range(permutations)]
        ),
        "memorization": _more_often(found.closer, found.closer_null),
    }
    if min(len(a), len(reference)) >= 10:  # two a fold
        judged = c2st(features(reference), features(a), permutations=permutations, seed=seed)
        answers["distribution"] = Score(judged.auc.value, *np.quantile(judged.null, (0.025, 0.975)), judged.p)
    if morphology is not None:
        tables = [valid(morphology(part)) for part in (reference, a)]
        if min(map(len, tables)) >= 10:
            energy = distances(*tables, COEFFICIENTS, permutations=permutations, seed=seed).energy
            answers["morphology"] = Score(energy.value, 0.0, energy.high, energy.p)
    return answers


def _permuted(value: float, null: list[float]) -> Score:
    p = (1 + sum(other >= value for other in null)) / (1 + len(null))
    return Score(value, *np.quantile(null, (0.025, 0.975)), p)


def _more_often(share: memorization.Estimate, null: memorization.Estimate) -> Score:
    """Fisher's exact test of two shares."""
    hits, expected = round(share.value * share.n), round(null.value * null.n)
    table = [[hits, share.n - hits], [expected, null.n - expected]]
    return Score(share.value, null.low, null.high, float(stats.fisher_exact(table, "greater").pvalue))


def _told(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
