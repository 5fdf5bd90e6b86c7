"""The inversion test over pairs: are flows of other images farther apart than flows of the same?

W1(z'_B, z) (`galgen.compare.inversion`) is asked of any number of pairs (A_i, B_i). If it does not matter
which images a model was trained on, the letters A and B may be dealt out anew among the models of all pairs,
which share neither initialisation, order nor noise. With w(i, j) the W1 of what j finds in the images of i,

    T = mean of w over disjoint images - mean of w over the same images,

and p is the share of all ways to deal k letters of each kind for which T is as large: 1/35 at least for four
pairs, 1/3 for two, which show nothing. Of all levels together T is the sum of the logarithms of the ratio of
the two means. The ratio of the two means has an interval over trainings, by the
jackknife that leaves out a model. That w falls with N is asked of the pairs, as each shares no model
with another: the exact rank-sum test of the pairs at two N, p >= 1/70 for four. How far it moves has an
interval over trainings, Welch's, of the logarithms.

The same ratio is asked of the likelihoods. An image of D values that i draws is likelier to i than to j by

    d(i, j) = median over images x of i of (log p_i(x) - log p_j(x)) / (D log 2)   bits a dimension.

The AUC of that difference (`galgen.compare.likelihood`) is 1 wherever one image tells two flows apart, also
two of the same images; d goes on to say by how much.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats
from torch import Tensor

from galgen.compare.distances import iid_floor
from galgen.compare.inversion import clipped, compare_levels, finite_images, inversions
from galgen.compare.uncertainty import Estimate
from galgen.models.glow import Glow

__all__ = ["Latents", "falls", "latents_test", "model_pairs", "moves", "ratio_over_trainings"]


@dataclass(frozen=True)
class Latents:
    """The inversion test of all pairs of one N, by level, finest first.

    Attributes:
        echo: W1(z'_A, z), of the model farthest from it.
        apart: W1(z'_B, z) of each pair, the mean of both directions.
        same: The range of W1 of models on the same images; empty for a single pair, which has none.
        ratio: Mean W1 of models on disjoint images over that of models on the same, with an interval over
            trainings; empty likewise.
        p: Of the letters dealt out anew.
        floor: W1 of as many independent normals.
        shared: How far z'_B of the first pair depends on z: its multiple correlation with the channels at the
            same place, less that of shuffled images.
        bits: d in bits a dimension, its mean over models on disjoint images and over models on the same;
            of a single pair only the first.
        joint: p of all levels together; 1 for a single pair.
        likelihood: The ratio of the two, with an interval over trainings; None for a single pair.
    """

    echo: list[float]
    apart: list[list[float]]
    same: list[list[float]]
    ratio: list[Estimate]
    p: list[float]
    floor: list[float]
    shared: list[float]
    bits: list[float]
    joint: float
    likelihood: Estimate | None = None


def model_pairs(pairs: Sequence[tuple]) -> list[tuple]:
    """Who draws and which two invert, of pairs (A_i, B_i) that are on the same two sets of images.

    Each draws once, for its partner, on disjoint images, and for its twin, on the same images, which differs
    in its training only: the null of the first. Twins are A_1 and A_2, B_1 and B_2, A_3 and A_4, ...
    """
    both = zip(pairs, (pairs[_twin(i, len(pairs))] for i in range(len(pairs))), strict=True)
    return [test for (a, b), (a2, b2) in both for test in ((a, (b, a2)), (b, (a, b2)))]


def _twin(i: int, k: int) -> int:
    """Which of k pairs is beside pair i: 0 and 1, 2 and 3, ...; the last of an odd k takes that before it."""
    alone = i == k - 1 and k % 2 == 1
    return i - 1 if alone or i % 2 == 1 else i + 1


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
    d = np.zeros((2 * k, 2 * k))
    for i, flow in enumerate(models):
        others = [j for j in range(2 * k) if j != i]
        for j, tested in zip(others, inversions(flow, [models[j] for j in others], latents), strict=True):
            if (i, j) == (0, k):
                first = tested
            finite = finite_images(tested)
            # Of a few images the median may by chance lie below 0, which no ratio could be made of.
            d[i, j] = max(np.median(tested.log_ratio[finite]) / tested.x[0].size / np.log(2), 1e-9)
            for level, z in enumerate(tested.z):
                w[level, i, i], w[level, i, j] = (
                    stats.wasserstein_distance(clipped(found[level][finite]).ravel(), z[finite].ravel())
                    for found in (tested.z_a, tested.z_b)
                )
    ways = [np.isin(np.arange(2 * k), a) for a in combinations(range(2 * k), k)]  # the first is the true one
    alike = [(a[:, None] == a) & ~np.eye(2 * k, dtype=bool) for a in ways]
    apart = [a[:, None] != a for a in ways]
    same, p, ratio, joint = [[] for _ in w], [], [], np.zeros(len(ways))
    for level, null in zip(w, same, strict=True):
        far, near = (
            ([level[which].mean() for which in ways] for ways in (apart, alike)) if k > 1 else ([0], [0])
        )
        gaps = np.subtract(far, near)
        p.append(float(np.mean(gaps >= gaps[0] - 1e-12)))
        if k > 1:
            null += [float(level[alike[0]].min()), float(level[alike[0]].max())]
            ratio.append(ratio_over_trainings(level, apart[0], alike[0]))
            joint += np.log(np.divide(far, near))
    kinds = [apart[0], alike[0]][: 1 + (k > 1)]
    return Latents(
        echo=[float(level.diagonal().max()) for level in w],
        apart=[[float(level[i, i + k] + level[i + k, i]) / 2 for i in range(k)] for level in w],
        same=same,
        ratio=ratio,
        p=p,
        floor=[iid_floor(z.numel()) for z in latents],
        shared=[test.shared - test.shared_null for test in compare_levels(first)],
        bits=[float(d[kind].mean()) for kind in kinds],
        joint=float(np.mean(joint >= joint[0] - 1e-12)),
        likelihood=ratio_over_trainings(d, *kinds) if k > 1 else None,
    )


def ratio_over_trainings(w: np.ndarray, apart: np.ndarray, alike: np.ndarray) -> Estimate:
    """The mean of w over some pairs of models over that over others, (m, m) each, with its interval.

    Over trainings: of the logarithm, by the jackknife that leaves out a model, with Student's t of m - 2.
    """
    m = len(w)

    def log(kept: np.ndarray) -> float:
        both = np.ix_(kept, kept)
        return float(np.log(w[both][apart[both]].mean() / w[both][alike[both]].mean()))

    value, left = log(np.arange(m)), np.array([log(np.delete(np.arange(m), j)) for j in range(m)])
    half = stats.t.ppf(0.975, m - 2) * np.sqrt((m - 1) / m * np.square(left - left.mean()).sum())
    return Estimate(*map(float, np.exp([value, value - half, value + half])), m)


def falls(first: Sequence[float], last: Sequence[float]) -> float:
    """The p-value of the exact rank-sum test that the values of the first pairs lie above the last.

    >>> round(falls([5, 6, 7, 8], [1, 2, 3, 4]) * 70)  # one of 70 orders
    1
    """
    return float(stats.mannwhitneyu(first, last, alternative="greater", method="exact").pvalue)


def moves(first: Sequence[float], last: Sequence[float]) -> Estimate:
    """How many times as large the first values are as the last, by their geometric means.

    >>> f"{moves([2, 2.2, 1.8], [1, 1.1, 0.9]):.1f}"
    '2.0 [1.6, 2.5]'
    """
    logs = np.log(first), np.log(last)
    ends = stats.ttest_ind(*logs, equal_var=False).confidence_interval()
    return Estimate(*map(float, np.exp([logs[0].mean() - logs[1].mean(), *ends])), len(first) + len(last))
