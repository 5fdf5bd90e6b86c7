"""The two-models test on images: do A and B draw the same from one latent, and is it what they were shown?

For each latent i, with a_i and b_i the images of the two models (the paper's figures 7, 9 and 13):

    agreement_i  cosine of a_i and b_i                     null: a_i and b_j, another seed; two-sided
    copying_i    cosine of a_i and A's nearest training    null: a held-out image in the place of a_i
                 image

and, over the samples of both models, P(train closer) and whether it is memorization, both of
`galgen.compare.memorization`, like the memorized fraction, whose null is that of held-out images. Intervals
are over latents: a_i and b_i are one draw. With flips the nearest image may be flipped, as the paper has it
for the models that are trained with flips; the null then is searched in the same way.

*Unrelated*: how alike are galaxies that have nothing to do with each other? The ground on which all this
stands, of held-out images, which no model is trained on:

    random     cosine of two of them
    nearest    cosine of one of them and the nearest of N training images, which grows with N

*One kind of galaxy*: for latent i let a_i and b_i be a coefficient of A's and of B's image. If both have
learnt one map from latents to galaxies, a_i = b_i; if they have learnt one distribution by unrelated maps,
a_i and b_i are independent, and no comparison of distributions can tell the two cases apart. We measure

    rho = the correlation of the ranks of a_i and b_i (Spearman)

over the latents whose images are both valid, and |rho| against a null that deals out the latents of B anew.
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

__all__ = [
    "TwoModels",
    "Unrelated",
    "agreement_test",
    "excess",
    "shared_latents",
    "two_models",
    "unrelated",
]  # fmt: skip


@dataclass(frozen=True)
class Cosines:
    """The four sets of cosines in one kind of cosine.

    Attributes:
        agreement: Of A's and B's image of one latent, (n,).
        shuffled: Of A's and B's images of two latents, (m,).
        copying: Of A's image and the nearest of its training set, (n,).
        held_out: Of a held-out image and the nearest of A's training set, (v,).
    """

    agreement: np.ndarray
    shuffled: np.ndarray
    copying: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class TwoModels:
    """The test at one N.

    Attributes:
        cosines: By kind, "pearson" and "anomaly".
        agree: Median anomaly cosine of A and B.
        agreement: The same beside latents paired anew.
        null: The same of shuffled seeds.
        copy: Median anomaly cosine to the nearest training image, both models.
        held_out: The same of held-out images to A's training images.
        memorization: Whether they favour their own training images, and more than Gaussians of these do.
        memorized: Memorized fraction, both models.
        memorized_null: The same of held-out images beside A's training images.
        n: Latents.
    """

    cosines: dict[str, Cosines]
    agree: Estimate
    agreement: Outcome
    null: float
    copy: Estimate
    held_out: float
    memorization: Memorization
    memorized: Estimate
    memorized_null: float
    n: int

    @property
    def p_closer(self) -> Estimate:
        """P(train closer) of both models, 1/2 where neither favours its own training images."""
        return self.memorization.models.p_closer


def two_models(
    a: Tensor, b: Tensor, images: np.ndarray, sets: Split, *, mean: np.ndarray, flips: bool = False
) -> TwoModels:
    """Compare two models' images of the same latents with each other and with what each was shown.

    Args:
        a: Images of model A, (n, 1, H, W).
        b: Images of model B of the same latents.
        images: The data set, uint8 (M, 1, H, W).
        sets: Rows of A's and B's training images and of the validation images.
        mean: The data set's mean image, (1, H, W).
        flips: Whether the nearest image is looked for among the flipped ones too.
    """
    held_out = unit(images[sets.validation[: len(a)]])
    of_a, of_b = images[sets.A], images[sets.B]
    nearest = partial(similarity.nearest, k=min(2, len(of_a)), mean=mean, flips=flips)
    near = {
        kind: [nearest(x, of_a, kind=kind).cosine for x in (a, held_out)] for kind in ("pearson", "anomaly")
    }
    cosines = {
        kind: Cosines(
            similarity.cosine(a, b, kind=kind, mean=mean),
            similarity.shuffled_cosine(a, b, kind=kind, mean=mean),
            own[:, 0],
            unseen[:, 0],
        )
        for kind, (own, unseen) in near.items()
    }
    own_a, unseen = near["anomaly"]
    own_b, of_other, by_other = (
        nearest(*where, kind="anomaly").cosine for where in ((b, of_b), (a, of_b), (b, of_a))
    )
    own = np.stack([own_a, own_b], axis=1)  # a row a latent
    of_models = own_a[:, 0] - of_other[:, 0], by_other[:, 0] - own_b[:, 0]
    of_gaussians = gaussian_margins(images, sets, len(a), mean=mean, flips=flips)
    return TwoModels(
        cosines=cosines,
        agree=bootstrap(cosines["anomaly"].agreement),
        agreement=agreement_test(a, b, mean=mean),
        null=float(np.median(cosines["anomaly"].shuffled)),
        copy=bootstrap(own[..., 0]),
        held_out=float(np.median(cosines["anomaly"].held_out)),
        memorization=memorization_test(of_models, of_gaussians),
        memorized=memorized_fraction(own),
        memorized_null=memorized_fraction(unseen).value,
        n=len(a),
    )


def agreement_test(
    a: Tensor, b: Tensor, *, mean: np.ndarray, permutations: int = 500, seed: int = 0
) -> Outcome:
    """The median anomaly cosine of a_i and b_i beside that of latents paired anew.

    Two-sided: images that are *less* alike than those of strangers are not unrelated either.

    Args:
        a: Images or residuals (n, C, H, W).
        b: Those of the other model, of the same latents.
        mean: The data set's mean image.
        permutations: Of the null.
        seed: Random seed.
    """
    orders = permuted(np.arange(len(a)), permutations, seed)
    cosines = np.empty(orders.shape, np.float32)
    # in parts, as the whole matrix of 10 000 images has 0.4 GB
    for rows in np.array_split(np.arange(len(a)), -(-len(a) // 1024)):
        part = similarity.cosine_matrix(a[rows], b, kind="anomaly", mean=mean)
        cosines[:, rows] = part[np.arange(len(rows)), orders[:, rows]]
    return permutation_test(np.median(cosines, axis=1), both=True)


def excess(networks: np.ndarray, controls: Iterable[np.ndarray]) -> Estimate:
    """By how much two models agree more than the control that leaves the least: the median over latents.

    What is drawn from one latent is more alike than from another, by more than models and controls differ: so
    each latent is compared with itself. The interval is over latents, and says nothing of other trainings.

    Args:
        networks: Cosines of A and B, (n,).
        controls: Those of each control, of the same latents, (n,).
    """
    return min((bootstrap(networks - cosines) for cosines in controls), key=lambda each: each.low)


@dataclass(frozen=True)
class Unrelated:
    """Cosines of one kind.

    Attributes:
        random: Of pairs of held-out images, (m,).
        nearest: By N, of each held-out image and the nearest of N training images, (n,).
    """

    random: np.ndarray
    nearest: dict[int, np.ndarray]


def unrelated(held_out: Tensor, train: Mapping[int, np.ndarray], *, mean: np.ndarray) -> dict[str, Unrelated]:
    """The cosines by kind.

    Args:
        held_out: Held-out images, (n, 1, H, W) in [0, 1].
        train: By N, the training images, uint8 (N, 1, H, W).
        mean: The data set's mean image, (1, H, W).
    """
    found = {}
    for kind in similarity.KINDS:
        given = {"kind": kind, "mean": mean}
        near = {n: similarity.nearest(held_out, part, **given).cosine[:, 0] for n, part in train.items()}
        found[kind] = Unrelated(similarity.shuffled_cosine(held_out, held_out, **given), near)
    return found


def shared_latents(
    a: Columns, b: Columns, names: Sequence[str], *, permutations: int = 999, seed: int = 0
) -> dict[str, Outcome]:
    """Correlate the coefficients of two models' images of the same latents, beside shuffled latents.

    Args:
        a: Columns of all rows of A, in the order of the latents, with `reason` empty where valid.
        b: The same of B.
        names: Of the coefficients.
        permutations: For the null.
        seed: Random seed.

    Returns:
        By coefficient. With fewer than four latents valid in both, or a coefficient that is the same for all,
        there is no correlation: the coefficient is left out.
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
