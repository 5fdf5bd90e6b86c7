"""The scoreboard: the same questions to every pair of models, and to pairs that are wrong in a known way.

    question               value                                    null                         p of
    agreement              median anomaly cosine of a_i and b_i     seeds re-paired at random    a larger one
    memorization           mean margin in favour of the own set     exchange within latents, and
                                                                    Gaussians of the same sets   a larger one
    distribution           AUC of a classifier, model and held-out  labels permuted              a larger one
    coarse distribution    the same at 8 pixels a side              labels permuted              a larger one
    morphology             energy distance of five coefficients     labels permuted              a larger one

The last three are asked of A and of B: the larger value counts, and twice the smaller p (Bonferroni).
Each has a band that holds 95 % of its null. A question is of use where it finds the controls it should and no
others (`galgen.compare.controls`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from astropy.table import Table
from torch import Tensor

from galgen.compare.agreement import TwoModels, repaired
from galgen.compare.distances import distances, with_spread
from galgen.compare.morphology import COEFFICIENTS, valid
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import Outcome

QUESTIONS = ("agreement", "memorization", "distribution", "coarse distribution", "morphology")

# What each control must show; the questions left out are free. At 8 pixels little is left of a blur.
EXPECTED = {
    "held out": dict.fromkeys(QUESTIONS, False),
    "empirical denoiser": {"memorization": True},  # alike sets have alike images near: it may agree
    "blurred": {"agreement": False, "memorization": False, "distribution": True, "morphology": True},
    # two Gaussians of similar covariance draw similar images, and copy none
    "Gaussian": {
        "agreement": True,
        "memorization": False,
        "distribution": True,
        "coarse distribution": True,
        "morphology": True,
    },
}


def scores(
    a: np.ndarray | Tensor,
    b: np.ndarray | Tensor,
    reference: np.ndarray,
    pair: TwoModels,
    *,
    mean: np.ndarray,
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
        reference: 2 m held-out images, uint8 or in [0, 1], of as many grey levels as the samples.
        pair: `galgen.compare.agreement.two_models` of the two.
        mean: The data set's mean image.
        morphology: Measures images, as `galgen.compare.morphology.measure`; None asks nothing of it.
        both: Whether B is held against the held-out images as A is.
        permutations: Of each null.
        seed: Random seed.
    """
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    answers = {
        "agreement": repaired(a, b, mean=mean, permutations=permutations, seed=seed),
        "memorization": pair.memorization.outcome,
    }
    drawn = [part[: len(reference) // 2] for part in ((a, b) if both else (a,))]
    if min(len(drawn[0]), len(reference)) >= 10:  # two a fold
        for question, side in (("distribution", None), ("coarse distribution", 8)):
            known, *seen = (features(part, side=side) for part in (reference, *drawn))
            found = [c2st(known, part, permutations=permutations, seed=seed).outcome for part in seen]
            answers[question] = _worse(found)
    if morphology is not None:
        known, *tables = (valid(morphology(part)) for part in (reference, *drawn))
        used = with_spread(known, COEFFICIENTS)
        if min(map(len, (known, *tables))) >= 10 and used:
            found = [distances(known, t, used, permutations=permutations, seed=seed).energy for t in tables]
            answers["morphology"] = _worse(found)
    return answers


def _worse(found: Sequence[Outcome]) -> Outcome:
    """Of the answers of both models the one of the larger value, with a p-value for either."""
    worse = max(found, key=lambda answer: answer.value)
    return replace(worse, p=min(1.0, len(found) * min(answer.p for answer in found)))
