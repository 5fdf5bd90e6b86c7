"""The two-models test on images: agreement of samples of one latent, and their similarity to training images.

For each latent i, with a_i and b_i the images of the two models (the paper's figures 7, 9 and 13):

    agreement_i  cosine of a_i and b_i                     null: a_i and b_j, another seed; two-sided
    nearest_i    cosine of a_i and A's nearest training    null: a held-out image in place of a_i
                 image

and, over the samples of both models, P(train closer) with the exchange test of memorization
(`galgen.compare.memorization`). Intervals are over latents: a_i and b_i are one observation. With flips the
nearest image may be flipped, as in the paper for the models that are trained with flips; the null is then
computed in the same way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from galgen.compare import similarity
from galgen.compare.memorization import Memorization, gaussian_margins, memorization_test
from galgen.compare.uncertainty import Estimate, Outcome, bootstrap, permutation_test, permuted
from galgen.data.split import Split
from galgen.data.unit import unit

__all__ = ["TwoModels", "agreement_test", "excess", "two_models"]


@dataclass(frozen=True)
class Cosines:
    """Four sets of cosines of one kind.

    Attributes:
        agreement: Between A's and B's image of one latent, (n,).
        shuffled: Between A's and B's images of different latents, (m,).
        nearest: Between A's image and the nearest image of its training set, (n,).
        held_out: Between a held-out image and the nearest image of A's training set, (v,).
    """

    agreement: np.ndarray
    shuffled: np.ndarray
    nearest: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class TwoModels:
    """Results of the two-models test at one N.

    Attributes:
        cosines: Cosines by kind, "pearson" and "anomaly".
        agreement: Median anomaly cosine of A and B, with its interval.
        permutation: The same with its null distribution for permuted latents.
        agreement_null: Median anomaly cosine of A and B for different latents.
        memorization: Test of training-set bias, also against Gaussians of the training sets.
        n: Number of latents.
    """

    cosines: dict[str, Cosines]
    agreement: Estimate
    permutation: Outcome
    agreement_null: float
    memorization: Memorization
    n: int

    @property
    def p_closer(self) -> Estimate:
        """P(train closer) of both models, 1/2 without training-set bias."""
        return self.memorization.models.p_closer


def two_models(
    a: Tensor, b: Tensor, images: np.ndarray, sets: Split, *, mean: np.ndarray, flips: bool = False
) -> TwoModels:
    """Compare two models' images of the same latents with each other and with their training images.

    Args:
        a: Images of model A, (n, 1, H, W).
        b: Images of model B of the same latents.
        images: The data set, uint8 (M, 1, H, W).
        sets: Rows of A's and B's training images and of the validation images.
        mean: The data set's mean image, (1, H, W).
        flips: Whether to include flipped images in the search for the nearest one.
    """
    held_out = unit(images[sets.validation[: len(a)]])
    A, B = images[sets.A], images[sets.B]  # training sets
    nearest = partial(similarity.nearest, mean=mean, flips=flips)
    near = {kind: [nearest(x, A, kind=kind).cosine for x in (a, held_out)] for kind in ("pearson", "anomaly")}
    cosines = {
        kind: Cosines(
            similarity.cosine(a, b, kind=kind, mean=mean),
            similarity.shuffled_cosine(a, b, kind=kind, mean=mean),
            train[:, 0],
            null[:, 0],
        )
        for kind, (train, null) in near.items()
    }
    a_to_a, _ = near["anomaly"]
    b_to_b, a_to_b, b_to_a = (nearest(*pair, kind="anomaly").cosine for pair in ((b, B), (a, B), (b, A)))
    model_margins = a_to_a[:, 0] - a_to_b[:, 0], b_to_a[:, 0] - b_to_b[:, 0]
    linear_margins = gaussian_margins(images, sets, len(a), mean=mean, flips=flips)
    return TwoModels(
        cosines=cosines,
        agreement=bootstrap(cosines["anomaly"].agreement),
        permutation=agreement_test(a, b, mean=mean),
        agreement_null=float(np.median(cosines["anomaly"].shuffled)),
        memorization=memorization_test(model_margins, linear_margins),
        n=len(a),
    )


def agreement_test(
    a: Tensor, b: Tensor, *, mean: np.ndarray, permutations: int = 500, seed: int = 0
) -> Outcome:
    """Test the median anomaly cosine of a_i and b_i against permuted latents.

    Two-sided: images that are *less* similar than unrelated ones are evidence of a relation, too.

    Args:
        a: Images or residuals (n, C, H, W).
        b: Those of the other model, for the same latents.
        mean: The data set's mean image.
        permutations: Number of permutations for the null distribution.
        seed: Random seed.
    """
    orders = permuted(np.arange(len(a)), permutations, seed)
    cosines = np.empty(orders.shape, np.float32)
    # in parts, as the whole matrix of 10 000 images takes 0.4 GB
    for rows in np.array_split(np.arange(len(a)), -(-len(a) // 1024)):
        part = similarity.cosine_matrix(a[rows], b, kind="anomaly", mean=mean)
        cosines[:, rows] = part[np.arange(len(rows)), orders[:, rows]]
    return permutation_test(np.median(cosines, axis=1), both=True)


def excess(networks: np.ndarray, controls: Iterable[np.ndarray]) -> Estimate:
    """Return the median excess of the agreement of two models over the control with the smallest excess.

    Agreement varies more between latents than between models and controls, so the difference is taken per
    latent. The interval is over latents, and does not cover other trainings.

    Args:
        networks: Cosines of A and B, (n,).
        controls: Cosines of each control, for the same latents, (n,).
    """
    return min((bootstrap(networks - cosines) for cosines in controls), key=lambda interval: interval.low)
