r"""Exact test for copies of training images in the samples of one model, with held-out images.

*Statistic.* Training and held-out images together are the pool. For sample s let u_s be the unit of its
nearest image in the pool (an image, or a group of near-duplicates), d_1 and d_5 its distances to the nearest
and to the fifth nearest unit, between images of norm 1 after the projection of the anomaly cosine, and

    w_s = 1 - d_1 / d_5,  0 where d_5 = 0;      T = sum_s w_s l(u_s),   l = 1 for training, 0 for held-out.

w_s is near 1 for a copy and near 0 for an image between others. It does not depend on the labels, so T is
linear in them: with c_u the sum of the weights at unit u, all permutations of the labels are one matrix
product.

*Exactness.* If the held-out images were a random part of one pool and the model has no training-set bias, the
labels are exchangeable for any samples and images. A copy does not distinguish near-duplicates, in any of the
eight orientations: a group of them within one set has one label, and as groups of unequal size are not
exchangeable (with four training images per held-out one, a group of two is rarely held out), labels are
permuted among units of equal size. Mixed groups are no evidence, and are omitted. Whether the held-out images
*were* a random part is first tested by a classifier, without the samples: if it distinguishes the sets
(p <= 0.01), no p is computed. (With fewer than ten images it is not tested, but assumed.)

*Copies, or second moments?* A model that has learned only the second moments of its images is biased towards
them, too. So the samples are compared with those of the shrunk Gaussian of the training images
(`galgen.compare.gaussian`), shrunk to the whole pool. With q_u the probability of label 1 at unit u, the
terms e_s = w_s (l(u_s) - q(u_s)) have mean 0 without bias. The verdict is *copies* only if those of the
samples exceed those of the Gaussian, by permutation; otherwise the model is *biased towards* its training
set.

*Effect size.* The *training-set bias* is f - f_0, with f the fraction of samples whose nearest image is a
training image, and f_0 its mean under permutation. Its interval is Wilson's of f, with the number of samples
that gives the scatter of f under permutation, as few images may be nearest to many samples.

*Power.* If a fraction c of the samples are copies, and the others are nearest to training images by chance,
f = c + (1 - c) f_0. The *smallest fraction* detected is the smallest c of exact copies, of N random training
images, that at least four of five tests detect at the level 0.01 (measured: 31 to 37 of 40). An audit reports
that of noisy copies (`galgen.auditing.sensitivity`). All copies have label 1: they widen the null, which
permutes labels, but do not change the scatter of T. With n samples, and V the variance of the null of T of
those that are not copies (w at most 1/2),

    c n (1 - f_0) = z_.99 sqrt(f_0 (1 - f_0) (c n + (c n)^2 / N) + (1 - c)^2 V) + z_.8 (1 - c) sqrt(V).

*Low diversity.* A model that generates one image repeatedly is nearest to one unit, whose label is random: p
cannot be small. The smallest possible p is the probability that all units nearest to samples have label 1; if
that is above the level, or not even samples that are all copies would be detected, the test is inconclusive,
as "no copies found" would be misleading. Among the samples close to one unit (w above 1/2) let r be the
excess of ordered pairs that share theirs over random copies, minus two standard deviations: r f_0 (1 - f_0)
is added under both roots above. Repeated samples are counted, whatever they are nearest to.

References:
    Phipson & Smyth 2010, https://arxiv.org/abs/1603.05766. Meehan, Chaudhuri & Dasgupta 2020, A
    non-parametric test to detect data-copying in generative models, https://arxiv.org/abs/2004.05675.
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse, stats

from galgen.compare import similarity
from galgen.compare.gaussian import fit_gaussian, shrunk_gaussian
from galgen.compare.twosample import C2ST, c2st, features
from galgen.compare.uncertainty import Estimate, Outcome, permutation_test, permuted_sums
from galgen.data.preprocess import to_uint8
from galgen.data.unit import mean_image, unit
from galgen.runs.errors import GalgenError

__all__ = ["ALIKE", "ASKED", "LEVEL", "REPEATED", "Copies", "copies"]

# Anomaly cosine of near-duplicates: 2 pairs of 8 000 simulated galaxies of 32 x 32 pixels reach it by chance;
# 0.97 would join 178 galaxies, and 0.95 one in twenty.
ALIKE = 0.99
LEVEL = 0.01
DRAWS = 2048  # maximum number of samples of the Gaussian
_FIRST_SEED = 3_500_000_000  # of these samples; small seeds are those of latents
REPEATED = 2048  # maximum number of samples that are searched for repeats
SHOWN = 20  # pairs in the result
ASKED = 1024  # maximum images per set for the classifier of training and held-out images
_FIFTH, _MOST = 5, 64  # neighbor that defines the weight; most neighbors searched, with near-duplicates

_DIFFER = "training and held-out images differ, so they are not random parts of one pool"
_NOTHING = "no sample is nearest to an image that could be in the other set"


@dataclass(frozen=True)
class Nearest:
    """A sample and its nearest image in the pool.

    Attributes:
        sample: Row of the sample.
        image: Row of the image among training images, followed by held-out images.
        flip: Flip of the sample that matches best, an index of `galgen.compare.similarity.FLIPS`.
        weight: w, near 1 for a copy.
    """

    sample: int
    image: int
    flip: int
    weight: float


@dataclass(frozen=True)
class Copies:
    """Result of the test for copies of training images.

    Attributes:
        difference: Classifier test of training against held-out images; None if they are too few.
        grouped: Number of images in groups of near-duplicates.
        mixed: Numbers of training and held-out images omitted, as near-duplicates are in the other set.
        nearest: The pairs of largest weight.
        known: Numbers of samples equal to training and to held-out images, or near-duplicates.
        repeats: Groups of near-duplicates among `REPEATED` samples: one sample of each, and its size.
        units: Number of images, or groups of near-duplicates, that samples are nearest to.
        missing: Reason for a missing outcome, or "".
        outcome: T over the sum of the weights, with its null; None, as all below, if undefined.
        least: Smallest possible p, given the units nearest to samples.
        beyond: p-value of a larger bias of the samples than of the Gaussian, by permutation.
        chance: Expected fraction of samples nearest to training images without bias.
        bias: Training-set bias f - f_0.
        smallest: Smallest fraction of copies detected; None also if not even all would be.
    """

    difference: C2ST | None
    grouped: int
    mixed: tuple[int, int]
    nearest: tuple[Nearest, ...]
    known: tuple[int, int]
    repeats: tuple[tuple[int, int], ...]
    units: int
    missing: str = ""
    outcome: Outcome | None = None
    least: float | None = None
    beyond: float | None = None
    chance: float | None = None
    bias: Estimate | None = None
    smallest: float | None = None

    @property
    def inconclusive(self) -> str:
        """Reason why the test can find no copies, or ""."""
        if self.outcome is None or self.outcome.p <= LEVEL:
            return self.missing
        if self.least > LEVEL:
            return f"all samples are nearest to {'one image' if self.units == 1 else f'{self.units} images'}"
        return "" if self.smallest else "the test has too little power"

    @property
    def verdict(self) -> str:
        """Verdict in a few words."""
        if self.inconclusive:
            return f"inconclusive: {self.inconclusive}"
        if self.outcome.p > LEVEL:
            return "no copies found"
        return "copies" if self.beyond <= LEVEL else "biased towards its training set"


def copies(
    samples: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    *,
    flips: bool = False,
    permutations: int = 9999,
    seed: int = 0,
) -> Copies:
    """Test whether samples are copies of training images.

    Args:
        samples: Samples of the model, uint8 (n, 1, H, H), H = 8, 16, 32, ...
        train: Its training images, uint8 (N, 1, H, H).
        held_out: Other images, a random part of the same pool, not used for the training.
        flips: Whether to search for flipped copies as well.
        permutations: Number of permutations for each null.
        seed: Random seed.

    Raises:
        GalgenError: If fewer than two images of a set are left without mixed groups.
    """
    rng, n = np.random.default_rng(seed), len(samples)
    images, own = np.concatenate([train, held_out]), np.arange(len(train) + len(held_out)) < len(train)
    group = _groups(images)
    rows = np.flatnonzero(np.isin((np.bincount(group, own) / np.bincount(group))[group], (0, 1)))
    left = int(own[rows].sum()), int((~own[rows]).sum())
    mixed = len(train) - left[0], len(held_out) - left[1]
    if min(left) < 2:
        raise GalgenError(
            f"{mixed[0]} of {len(train)} training images and {mixed[1]} of {len(held_out)} held-out ones are "
            "in both sets, or nearly: hold out images that are not used for the training"
        )
    rows = rng.permutation(rows)  # ties of nearest images must not depend on the labels
    _, first, group, size = np.unique(group[rows], return_index=True, return_inverse=True, return_counts=True)
    pool, label = images[rows], own[rows][first]
    del images  # to have at most two copies in memory
    q = (np.bincount(size, label) / np.maximum(np.bincount(size), 1))[size]  # the probability of label 1
    parts, difference = [rng.permutation(first[label == which])[:ASKED] for which in (True, False)], None
    if min(map(len, parts)) >= 10:
        options = {"permutations": min(999, permutations), "seed": seed}
        difference = c2st(*(features(pool[part]) for part in parts), **options)
    near, unit_of, weight = _weighted(samples, pool, group, flips)
    top = np.argsort(-weight, kind="stable")[:SHOWN]
    columns = top, rows[near.index[top, 0]], near.flip[top, 0], weight[top]
    nearest = tuple(Nearest(*row) for row in zip(*(column.tolist() for column in columns), strict=True))
    same, trained = near.cosine[:, 0] >= ALIKE, own[rows[near.index[:, 0]]]
    result = {"difference": difference, "grouped": int((size[group] > 1).sum()), "mixed": mixed}
    result |= {"known": tuple(int((same & which).sum()) for which in (trained, ~trained)), "nearest": nearest}
    result |= {"repeats": _repeats(samples, mean_image(pool), flips, seed), "units": len(np.unique(unit_of))}
    if difference and difference.p <= LEVEL:
        return Copies(**result, missing=_DIFFER)
    if not (weight * q[unit_of] * (1 - q[unit_of])).any():
        return Copies(**result, missing=_NOTHING)

    weights, counts = np.bincount(unit_of, weight, len(size)), np.bincount(unit_of, minlength=len(size))
    sums = np.column_stack([weights / weight.sum(), counts / n])
    T, f = permuted_sums(label, sums, permutations, rng, groups=size).T
    chance, loose = float(q[unit_of].mean()), np.bincount(unit_of, weight * (weight <= 0.5), len(size))
    close = np.bincount(unit_of, weight > 0.5)
    pairs = close.sum() * (close.sum() - 1) / label.sum()  # expected number that share their unit by chance
    repeated = max(0.0, float(close @ (close - 1) - pairs - 2 * np.sqrt(2 * pairs)))
    loose -= (np.bincount(size, loose) / np.maximum(np.bincount(size), 1))[size]  # permuted within sizes
    V = float(loose**2 @ (q * (1 - q)))
    bias, smallest = _effect(f, chance, n, int(label.sum()), V, repeated)
    seeds = range(_FIRST_SEED + seed, _FIRST_SEED + seed + min(n, DRAWS))
    linear = shrunk_gaussian(pool[label[group]], fit_gaussian(pool)).draw(seeds)
    _, unit_linear, weight_linear = _weighted(to_uint8(linear.numpy()), pool, group, flips)
    e, e_linear = weight * (label - q)[unit_of], weight_linear * (label - q)[unit_linear]
    steps = np.repeat([1 / n, -1 / len(e_linear)], [n, len(e_linear)])
    beyond = permutation_test(permuted_sums(steps, np.concatenate([e, e_linear]), permutations, rng))
    result |= {"outcome": permutation_test(T), "beyond": beyond.p, "chance": chance}
    least = max(_least(size, label, weights > 0), 1 / (1 + permutations))
    result |= {"least": least, "smallest": smallest if least <= LEVEL else None}
    return Copies(**result, bias=bias)


def _groups(images: np.ndarray) -> np.ndarray:
    """Return the number of the group of near-duplicates of each image, (n,)."""
    pairs, n = similarity.near_duplicates(images, ALIKE), len(images)
    edges = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(n, n))
    return sparse.csgraph.connected_components(edges)[1]


def _repeats(samples: np.ndarray, mean: np.ndarray, flips: bool, seed: int) -> tuple[tuple[int, int], ...]:
    """Find groups of near-duplicate samples, the largest first: the row of one sample, and the size."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(samples))[:REPEATED])
    equal = np.unique(samples[rows].reshape(len(rows), -1), axis=0, return_inverse=True)[1].ravel()
    alike, x = equal[:, None] == equal, unit(samples[rows])  # the cosine of blank images is 0
    for axes in similarity.FLIPS if flips else similarity.FLIPS[:1]:
        alike |= similarity.cosine_matrix(x.flip(axes), x, kind="anomaly", mean=mean) >= ALIKE
    group = sparse.csgraph.connected_components(alike)[1]
    _, first, count = np.unique(group, return_index=True, return_counts=True)
    repeats = sorted(zip((-count).tolist(), rows[first].tolist(), strict=True))
    return tuple((row, -many) for many, row in repeats if many < -1)


def _least(size: np.ndarray, label: np.ndarray, hit: np.ndarray) -> float:
    """Return the probability that all units hit have label 1, or as many as have this label."""
    p = 1.0
    for length in np.unique(size[hit]):
        n, K, h = ((size == length) & which for which in (True, label, hit))
        most = min(K.sum(), h.sum())
        p *= float(stats.hypergeom.pmf(most, n.sum(), K.sum(), most))
    return p


def _weighted(
    samples: np.ndarray, pool: np.ndarray, group: np.ndarray, flips: bool
) -> tuple[similarity.Neighbors, np.ndarray, np.ndarray]:
    """Return the nearest images of samples, their nearest unit u_s, and w_s.

    d_5 is the distance to the fifth unit or, with too many near-duplicates, to the last image searched.
    """
    k = min(len(pool), 1 + (_FIFTH - 1) * int(np.bincount(group).max()), _MOST)
    near = similarity.nearest(unit(samples), pool, k, kind="anomaly", mean=mean_image(pool), flips=flips)
    d, units = np.sqrt(np.clip(2 - 2 * near.cosine.astype(np.float64), 0, None)), group[near.index]
    new = np.column_stack([(units[:, [j]] != units[:, :j]).all(1) for j in range(k)])
    column = (new.cumsum(1) >= _FIFTH).argmax(1)
    fifth = np.where(column > 0, d[np.arange(len(d)), column], d[:, -1])
    return near, units[:, 0], 1 - np.divide(d[:, 0], fifth, out=np.ones(len(d)), where=fifth > 0)


def _effect(
    f: np.ndarray, f0: float, n: int, N: int, V: float, repeated: float
) -> tuple[Estimate, float | None]:
    """Return the training-set bias with its interval, and the smallest fraction of copies detected.

    Args:
        f: Fraction of the samples nearest to training images, observed and permuted, (1 + R,).
        f0: Its mean under permutation.
        n: Number of samples.
        N: Number of units of training images.
        V: Variance of the null of T of samples that are not copies.
        repeated: Number of pairs of close samples that share their unit, in excess of chance.
    """
    variance = f0 * (1 - f0)
    effective = int(np.clip(variance / max(f[1:].var(), 1e-12), 1, n))
    interval = stats.binomtest(round(f[0] * effective), effective).proportion_ci(method="wilson")
    value, low, high = (float(fraction) - f0 for fraction in (f[0], interval.low, interval.high))
    z, z_power = stats.norm.ppf([0.99, 0.8])

    def lacking(c: float) -> float:
        rest = (1 - c) ** 2 * V + variance * repeated
        null = np.sqrt(variance * (c * n + (c * n) ** 2 / N) + rest)
        return z * null + z_power * np.sqrt(rest) - c * n * (1 - f0)

    # from above 0, which is a root if all samples are copies, V = 0
    least = float(optimize.brentq(lacking, 1e-9, 1)) if lacking(1) < 0 else None
    return Estimate(value, low, high, n), least
