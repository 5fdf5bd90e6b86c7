"""The two-models test on images: agreement of samples of one latent, and their similarity to training images.

For each latent i, with a_i and b_i the images of the two models (the paper's figures 7, 9 and 13):

    agreement_i  cosine of a_i and b_i                     null: a_i and b_j, another seed; two-sided
    nearest_i    cosine of a_i and A's nearest training    null: a held-out image in place of a_i
                 image

and, over the samples of both models, P(train closer) with the exchange test of memorization
(`galgen.compare.memorization`), and the memorized fraction, whose null is that of held-out images.
Intervals are over latents: a_i and b_i are one observation. With flips the nearest image may be flipped, as
in the paper for the models that are trained with flips; the null is then computed in the same way.

*Unrelated*: the similarity of unrelated galaxies, the baseline of all cosines, for held-out images:

    random     cosine of two of them
    nearest    cosine of one of them and the nearest of N training images, which grows with N

*Coefficients*: for latent i let a_i and b_i be a coefficient of A's and of B's image. If both models have
learned one map from latents to galaxies, a_i = b_i; if they have learned one distribution by unrelated maps,
a_i and b_i are independent, and no comparison of distributions can distinguish the two cases. We measure

    rho = the correlation of the ranks of a_i and b_i (Spearman)

over the latents whose images are both valid, and |rho| against a null with the latents of B permuted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats
from torch import Tensor

from galgen.compare import similarity
from galgen.compare.distances import Columns
from galgen.compare.memorization import Memorization, gaussian_margins, memorization_test, memorized_fraction
from galgen.compare.uncertainty import Estimate, Outcome, bootstrap, permutation_test, permuted
from galgen.data.split import Split
from galgen.data.unit import unit

__all__ = ["TwoModels", "Unrelated", "agreement_test", "excess", "shared_latents", "two_models", "unrelated"]


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
        nearest_cosine: Median anomaly cosine to the nearest training image, both models.
        memorization: Test of training-set bias, also against Gaussians of the training sets.
        memorized: Memorized fraction, both models.
        memorized_null: Memorized fraction of held-out images with respect to A's training images.
        n: Number of latents.
    """

    cosines: dict[str, Cosines]
    agreement: Estimate
    permutation: Outcome
    agreement_null: float
    nearest_cosine: Estimate
    memorization: Memorization
    memorized: Estimate
    memorized_null: float
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
    nearest = partial(similarity.nearest, k=min(2, len(A)), mean=mean, flips=flips)
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
    a_to_a, null = near["anomaly"]
    b_to_b, a_to_b, b_to_a = (nearest(*pair, kind="anomaly").cosine for pair in ((b, B), (a, B), (b, A)))
    train = np.stack([a_to_a, b_to_b], axis=1)  # one row per latent
    model_margins = a_to_a[:, 0] - a_to_b[:, 0], b_to_a[:, 0] - b_to_b[:, 0]
    linear_margins = gaussian_margins(images, sets, len(a), mean=mean, flips=flips)
    return TwoModels(
        cosines=cosines,
        agreement=bootstrap(cosines["anomaly"].agreement),
        permutation=agreement_test(a, b, mean=mean),
        agreement_null=float(np.median(cosines["anomaly"].shuffled)),
        nearest_cosine=bootstrap(train[..., 0]),
        memorization=memorization_test(model_margins, linear_margins),
        memorized=memorized_fraction(train),
        memorized_null=memorized_fraction(null).value,
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
    return min((bootstrap(networks - cosines) for cosines in controls), key=lambda each: each.low)


@dataclass(frozen=True)
class Unrelated:
    """Cosines of one kind between unrelated images.

    Attributes:
        random: Between pairs of held-out images, (m,).
        nearest: By N, between each held-out image and the nearest of N training images, (n,).
    """

    random: np.ndarray
    nearest: dict[int, np.ndarray]


def unrelated(held_out: Tensor, train: Mapping[int, np.ndarray], *, mean: np.ndarray) -> dict[str, Unrelated]:
    """Return the cosines between unrelated images, by kind.

    Args:
        held_out: Held-out images, (n, 1, H, W) in [0, 1].
        train: Training images by N, uint8 (N, 1, H, W).
        mean: The data set's mean image, (1, H, W).
    """
    found = {}
    for kind in similarity.KINDS:
        options = {"kind": kind, "mean": mean}
        near = {n: similarity.nearest(held_out, part, **options).cosine[:, 0] for n, part in train.items()}
        found[kind] = Unrelated(similarity.shuffled_cosine(held_out, held_out, **options), near)
    return found


def shared_latents(
    a: Columns, b: Columns, names: Sequence[str], *, permutations: int = 999, seed: int = 0
) -> dict[str, Outcome]:
    """Correlate the coefficients of two models' images of the same latents, with a permutation null.

    Args:
        a: Columns of all rows of A, in the order of the latents, with `reason` empty if valid.
        b: The columns of B.
        names: Names of the coefficients.
        permutations: Number of permutations for the null distribution.
        seed: Random seed.

    Returns:
        The rank correlations by coefficient. A coefficient is omitted if it is constant, or if fewer than
        four latents are valid in both.
    """
    both = (np.asarray(a["reason"]) == "") & (np.asarray(b["reason"]) == "")
    n = int(both.sum())
    if n < 4:
        return {}
    orders, found = permuted(np.arange(n), permutations, seed), {}
    for name in names:
        x, y = (stats.rankdata(np.asarray(columns[name])[both]) for columns in (a, b))
        x, y = x - x.mean(), y - y.mean()
        norm = np.sqrt((x @ x) * (y @ y))
        if norm == 0:
            continue
        rho = y[orders] @ x / norm
        size = permutation_test(np.abs(rho), (0.0, 0.95))
        found[name] = Outcome(float(rho[0]), -size.high, size.high, size.p)
    return found
