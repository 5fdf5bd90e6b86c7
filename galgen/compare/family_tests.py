"""What only Glow and only the GAN can be asked, as a number with its null, for the scoreboard.

Glow: W1(z'_B, z) of every level (`galgen.compare.inversion`), of any number of pairs (A_i, B_i). If it does
not matter which images a model was trained on, the letters A and B may be dealt out anew among the models of
all pairs, which share neither initialisation, order nor noise. With w(i, j) the W1 of what j finds in the
images of i,

    T = mean of w over disjoint images - mean of w over the same images,

and p is the share of all ways to deal k letters of each kind for which T is as large: 1/35 at least for four
pairs, 1/3 for two, which show nothing. That w falls with N is asked of the pairs, as each shares no model
with another: the exact rank-sum test of the pairs at two N, p >= 1/70 for four.

GAN: the discriminator test (`galgen.compare.discriminator`), along the training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from scipy import stats
from torch import Tensor

from galgen.compare.discriminator import DiscriminatorTest
from galgen.compare.inversion import compare_levels, invert
from galgen.compare.uncertainty import Outcome
from galgen.compare.wasserstein import iid_floor
from galgen.models.glow import Glow
from galgen.runs.errors import GalgenError


@dataclass(frozen=True)
class Latents:
    """The inversion test of all pairs of one N, by level, finest first.

    Attributes:
        echo: W1(z'_A, z), of the model farthest from it.
        apart: W1(z'_B, z) of each pair, the mean of both directions.
        same: The range of W1 of models on the same images; empty for a single pair, which has none.
        ratio: Mean W1 of models on disjoint images over that of models on the same; empty likewise.
        p: Of the letters dealt out anew.
        floor: W1 of as many independent normals.
        shared: How far z'_B of the first pair depends on z: its multiple correlation with the channels at the
            same place, less that of shuffled images.
    """

    echo: list[float]
    apart: list[list[float]]
    same: list[list[float]]
    ratio: list[float]
    p: list[float]
    floor: list[float]
    shared: list[float]

    def deepest(self) -> Outcome:
        """W1 of the pairs at the deepest level; its null is the range of models on the same images."""
        return Outcome(float(np.mean(self.apart[-1])), *(self.same[-1] or (0.0, 0.0)), self.p[-1])


@dataclass(frozen=True)
class Course:
    """What the test of a pair says along its training, and at its end.

    Attributes:
        losses: By images shown, the means of the paper's four curves: D_A of other and train, then D_B.
        p: By the same, that own, other and training images are alike.
        start: At the first, that the other model's samples and training images are alike, to both D.
        verdict: At the end.
        distance: The largest of own, other and training images, at the end.
        fresh: The same of own, other and held-out images.
        memory: The lower end of P(training above held-out image), of the D with less of it.
    """

    losses: dict[int, list[float]]
    p: dict[int, float]
    start: float
    verdict: str
    distance: float
    fresh: Outcome
    memory: float


def course(tests: Mapping[int, DiscriminatorTest]) -> Course:
    """The same of a pair's tests by images shown, growing."""
    first, last = (list(tests.values())[k] for k in (0, -1))
    apart = {shown: test.apart() for shown, test in tests.items()}
    return Course(
        losses={n: [c.mean.value for c in test.curves.values()] for n, test in tests.items()},
        p={shown: found.p for shown, found in apart.items()},
        start=min(1.0, 2 * min(D.contrasts["other", "train"].p for D in (first.A, first.B))),
        verdict=last.verdict(),
        distance=last.apart().value,
        fresh=last.apart("held_out"),
        memory=min(D.memory.low for D in (last.A, last.B)),
    )


def latents_test(pairs: Sequence[tuple[Glow, Glow]], latents: Sequence[Tensor]) -> Latents:
    """The inversion test of every model of the pairs with every other.

    Args:
        pairs: Flows A and B of each pair; all A were trained on the same images, and all B on the same.
        latents: Unit normals (n, c, h, w), one tensor a level, finest first.

    Raises:
        GalgenError: If fewer than two images of a flow are finite.
    """
    k, models = len(pairs), [pair[which] for which in (0, 1) for pair in pairs]  # all A, then all B
    w = np.zeros((len(latents), 2 * k, 2 * k))  # who draws, who inverts
    for i, j in permutations(range(2 * k), 2):
        tested = invert(models[i], models[j], latents)
        finite = np.all([np.isfinite(z).all((1, 2, 3)) for z in (*tested.z_a, *tested.z_b)], axis=0)
        if finite.sum() < 2:
            raise GalgenError(
                f"{finite.sum()} of {len(finite)} images of a flow are finite: look at its training"
            )
        for level, z in enumerate(tested.z):
            w[level, i, i], w[level, i, j] = (
                stats.wasserstein_distance(found[level][finite].ravel(), z[finite].ravel())
                for found in (tested.z_a, tested.z_b)
            )
    ways = [np.isin(np.arange(2 * k), a) for a in combinations(range(2 * k), k)]  # the first is the true one
    alike = [(a[:, None] == a) & ~np.eye(2 * k, dtype=bool) for a in ways]
    apart = [a[:, None] != a for a in ways]
    same, p, ratio = [[] for _ in w], [], []
    for level, null in zip(w, same, strict=True):
        far, near = (
            ([level[which].mean() for which in ways] for ways in (apart, alike)) if k > 1 else ([0], [0])
        )
        gaps = np.subtract(far, near)
        p.append(float(np.mean(gaps >= gaps[0] - 1e-12)))
        if k > 1:
            null += [float(level[alike[0]].min()), float(level[alike[0]].max())]
            ratio.append(float(far[0] / near[0]))
    first = compare_levels(invert(*pairs[0], latents))
    return Latents(
        echo=[float(level.diagonal().max()) for level in w],
        apart=[[float(level[i, i + k] + level[i + k, i]) / 2 for i in range(k)] for level in w],
        same=same,
        ratio=ratio,
        p=p,
        floor=[iid_floor(z.numel()) for z in latents],
        shared=[test.shared - test.shared_null for test in first],
    )


def falls(first: Sequence[float], last: Sequence[float]) -> float:
    """The p-value of the exact rank-sum test that the values of the first pairs lie above the last."""
    return float(stats.mannwhitneyu(first, last, alternative="greater", method="exact").pvalue)
