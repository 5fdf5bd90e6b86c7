r"""Has one model copied its training images? An exact test that needs held-out images, and no second model.

*The statistic.* Training and held-out images together are the pool. Of sample s let u_s be the unit of its
nearest image there (an image, or a group of near-duplicates), d_1 and d_5 its distances to the nearest and to
the fifth nearest unit, between images of length 1 after the projection of the anomaly cosine, and

    w_s = 1 - d_1 / d_5,  0 where d_5 = 0;      T = sum_s w_s l(u_s),   l = 1 for training, 0 for held-out.

w_s is near 1 for a copy and near 0 for an image that lies between others. It is free of labels, so T is
linear in them: with c_u the weights that fall to unit u, every permutation of the labels is a row of one
product.

*When it is exact.* If held-out was a random part of one pool and the model leans to no image of its own, the
labels may be dealt out anew, whatever the samples and the images. Near-duplicates, in any of the eight
orientations, cannot be parted by a copy: a group of them wholly in one set has one label, and as groups of
unequal size are not exchangeable (of four training images to a held-out one, a group of two is rarely held
out), labels are dealt among units of equal size. Mixed groups carry no evidence, and are left out. Whether
held-out *was* a random part is asked first, without the samples, by a classifier: where it finds the two to
differ (p <= .01), there is no p. (Of fewer than ten images it cannot be asked, and is taken on trust.)

*Copies, or less?* What has learnt only the second moments of its images leans to them, too. So the same is
asked of draws of their shrunk Gaussian (`galgen.compare.gaussian`), pooled with the whole pool. With q_u the
chance of label 1 at unit u, the terms e_s = w_s (l(u_s) - q(u_s)) have mean 0 where nothing leans. *Copies*
are said only if those of the samples are beyond those of the Gaussian, by permutation; otherwise such a model
*favours* its training set.

*Effect.* If a share c of the samples lie nearest to training images whatever the chance, f = c + (1 - c) f_0
of them do, with f_0 the mean of the null: c = (f - f_0) / (1 - f_0) is the *excess share*. Its interval is
Wilson's of f, with as many samples as would scatter like f under permutation: few images may be nearest to
many samples. The *smallest share* that would be seen is the least c of exact copies, of N training images at
random, that four of five tests or more find at the level .01 (measured: 31 to 37 of 40). Copies have label
1, all of them: they widen the null, which permutes labels, and leave T its scatter. With n samples, and V the
variance of the null of T of those that are no copies (w at most 1/2),

    c n (1 - f_0) = z_.99 sqrt(f_0 (1 - f_0) (c n + (c n)^2 / N) + (1 - c)^2 V) + z_.8 (1 - c) sqrt(V).

*Of few images.* A model that draws one image again and again is nearest to one unit, whose label is as good
as tossed: no p can be small. The least p is the chance that all units that samples are nearest to have label
1; where that is above the level, or not even samples that are copies all would be found, nothing can be said,
as "none found" would acquit. Of the samples close to one unit (w above 1/2) let r be the ordered pairs that
share theirs, beyond those that copies at random have, by two deviations: r f_0 (1 - f_0) is added under both
roots above. Samples that repeat one another are counted, whatever they are nearest to.

References:
    Phipson & Smyth 2010, https://arxiv.org/abs/1603.05766. Meehan, Chaudhuri & Dasgupta 2020, A
    non-parametric test to detect data-copying in generative models, https://arxiv.org/abs/2004.05675.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy import optimize, sparse, stats

from galgen.compare import similarity
from galgen.compare.gaussian import fit_gaussian, shrunk_gaussian
from galgen.compare.twosample import C2ST, c2st, features
from galgen.compare.uncertainty import Estimate, Outcome, holm, permutation_test, permuted_sums
from galgen.data.preprocess import to_uint8
from galgen.data.unit import mean_image, unit
from galgen.runs.errors import GalgenError

__all__ = ["ALIKE", "LEVEL", "REPEATED", "Copies", "copies"]

# Anomaly cosine of near-duplicates: of 8 000 simulated galaxies of 32 pixels 2 pairs reach it by chance,
# .97 would join 178 galaxies, and .95 one in twenty.
ALIKE = 0.99
LEVEL = 0.01
DRAWS = 2048  # of the Gaussian
_FIRST_SEED = 3_500_000_000  # of these: the noise of small seeds is that of latents
REPEATED = 2048  # samples that are asked whether they repeat one another
SHOWN = 20  # pairs
ASKED = 1024  # images of each set that are asked whether training and held-out differ
_FIFTH, _MOST = 5, 64  # neighbours: to weigh by, and looked for at most where there are near-duplicates

_DIFFER = "training and held-out images differ, so they are no random parts of one pool"
_NOTHING = "no sample is nearest to an image that may as well lie in the other set"


@dataclass(frozen=True)
class Nearest:
    """A sample and its nearest image in the pool.

    Attributes:
        sample: Its row.
        image: The row of the image among training and then held-out images.
        flip: How the sample is flipped to lie best on it, a place in `galgen.compare.similarity.FLIPS`.
        weight: w, near 1 for a copy.
    """

    sample: int
    image: int
    flip: int
    weight: float


@dataclass(frozen=True)
class Copies:
    """Whether samples are nearer to training than to held-out images.

    Attributes:
        difference: Training against held-out images, without the samples; None if there are too few to ask.
        grouped: Images that were permuted with near-duplicates of theirs.
        mixed: Training and held-out images left out, as near-duplicates of theirs are in the other set.
        nearest: The pairs of largest weight.
        known: Samples that are training and held-out images, or nearly.
        repeats: Of `REPEATED` samples, groups of near-duplicates: a sample of each, and how many there are.
        units: Images, or groups of near-duplicates, that samples are nearest to.
        missing: Why there is no outcome; "" if there is.
        outcome: T over the sum of the weights, with its null; None, as all below, where it cannot be had.
        least: The smallest p that samples nearest to these units can have.
        beyond: How often, of permutations of samples and draws of the Gaussian, the former lean so much more.
        chance: The share of samples that would be nearest to training images if nothing leaned to them.
        excess: The excess share of samples nearest to training images.
        smallest: The smallest share of copies that would have been seen; None also if not even all.
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
    excess: Estimate | None = None
    smallest: float | None = None

    def verdict(self, asked: Mapping[str, float] = MappingProxyType({})) -> str:
        """In a few words; by Holm's method, if there are p of other questions that were asked."""
        if self.outcome is None:
            return f"cannot be said: {self.missing}"
        p, least = (holm({**asked, "memory": each})["memory"] for each in (self.outcome.p, self.least))
        if p <= LEVEL:
            return "copies" if self.beyond <= LEVEL else "favours its training set"
        if least > LEVEL:
            of = "one image" if self.units == 1 else f"{self.units} images"
            return f"cannot be said: all samples are nearest to {of}"
        return "none found" if self.smallest else "cannot be said: the test is too weak here"


def copies(
    samples: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    *,
    flips: bool = False,
    permutations: int = 9999,
    seed: int = 0,
) -> Copies:
    """The test.

    Args:
        samples: Of the model, uint8 (n, 1, H, H), H = 8, 16, 32, ...
        train: Its training images, uint8 (N, 1, H, H).
        held_out: Others, a random part of the same pool, that it has not seen.
        flips: Whether samples are looked for flipped as well.
        permutations: Of each null.
        seed: Random seed.

    Raises:
        GalgenError: If fewer than two images of a set are left without mixed groups.
    """
    rng, n = np.random.default_rng(seed), len(samples)
    images, own = np.concatenate([train, held_out]), np.arange(len(train) + len(held_out)) < len(train)
    group = _groups(images)
    kept = np.flatnonzero(np.isin((np.bincount(group, own) / np.bincount(group))[group], (0, 1)))
    left = int(own[kept].sum()), int((~own[kept]).sum())
    mixed = len(train) - left[0], len(held_out) - left[1]
    if min(left) < 2:
        raise GalgenError(
            f"{mixed[0]} of {len(train)} training images and {mixed[1]} of {len(held_out)} held-out ones are "
            "in both sets, or nearly: hold out images that the model has not seen"
        )
    kept = rng.permutation(kept)  # of images equally near any may come first: that must not hang on labels
    _, first, group, size = np.unique(group[kept], return_index=True, return_inverse=True, return_counts=True)
    pool, label = images[kept], own[kept][first]
    del images  # so that they are not held three times
    q = (np.bincount(size, label) / np.maximum(np.bincount(size), 1))[size]  # the chance of label 1
    asked, apart = [rng.permutation(first[label == which])[:ASKED] for which in (True, False)], None
    if min(map(len, asked)) >= 10:
        given = {"permutations": min(999, permutations), "seed": seed}
        apart = c2st(*(features(pool[rows]) for rows in asked), **given)
    near, of, weight = _weighed(samples, pool, group, flips)
    shown = np.argsort(-weight, kind="stable")[:SHOWN]
    columns = shown, kept[near.index[shown, 0]], near.flip[shown, 0], weight[shown]
    nearest = tuple(Nearest(*row) for row in zip(*(column.tolist() for column in columns), strict=True))
    same, trained = near.cosine[:, 0] >= ALIKE, own[kept[near.index[:, 0]]]
    said = {"difference": apart, "grouped": int((size[group] > 1).sum()), "mixed": mixed, "nearest": nearest}
    said |= {"known": tuple(int((same & which).sum()) for which in (trained, ~trained))}
    said |= {"repeats": _repeats(samples, mean_image(pool), flips, seed), "units": len(np.unique(of))}
    if apart and apart.p <= LEVEL:
        return Copies(**said, missing=_DIFFER)
    if not (weight * q[of] * (1 - q[of])).any():
        return Copies(**said, missing=_NOTHING)

    weights, counts = np.bincount(of, weight, len(size)), np.bincount(of, minlength=len(size))
    sums = np.column_stack([weights / weight.sum(), counts / n])
    T, f = permuted_sums(label, sums, permutations, rng, groups=size).T
    chance, loose = float(q[of].mean()), np.bincount(of, weight * (weight <= 0.5), len(size))
    close = np.bincount(of, weight > 0.5)
    pairs = close.sum() * (close.sum() - 1) / label.sum()  # that share their unit by chance
    again = max(0.0, float(close @ (close - 1) - pairs - 2 * np.sqrt(2 * pairs)))
    loose -= (np.bincount(size, loose) / np.maximum(np.bincount(size), 1))[size]  # labels are dealt in groups
    V = float(loose**2 @ (q * (1 - q)))
    excess, smallest = _effect(f, chance, n, int(label.sum()), V, again)
    drawn = range(_FIRST_SEED + seed, _FIRST_SEED + seed + min(n, DRAWS))
    linear = shrunk_gaussian(pool[label[group]], fit_gaussian(pool)).draw(drawn)
    _, of_linear, weight_linear = _weighed(to_uint8(linear.numpy()), pool, group, flips)
    e, e_linear = weight * (label - q)[of], weight_linear * (label - q)[of_linear]
    steps = np.repeat([1 / n, -1 / len(e_linear)], [n, len(e_linear)])
    more = permutation_test(permuted_sums(steps, np.concatenate([e, e_linear]), permutations, rng))
    found = {"outcome": permutation_test(T), "beyond": more.p, "chance": chance}
    least = max(_least(size, label, weights > 0), 1 / (1 + permutations))
    found |= {"least": least, "smallest": smallest if least <= LEVEL else None}
    return Copies(**said, **found, excess=excess)


def _groups(images: np.ndarray) -> np.ndarray:
    """The number of the group of near-duplicates that each image is in, (n,)."""
    pairs, n = similarity.near_duplicates(images, ALIKE), len(images)
    edges = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(n, n))
    return sparse.csgraph.connected_components(edges)[1]


def _repeats(samples: np.ndarray, mean: np.ndarray, flips: bool, seed: int) -> tuple[tuple[int, int], ...]:
    """Groups of near-duplicates among samples, the largest first: the row of one, and how many there are."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(samples))[:REPEATED])
    equal = np.unique(samples[rows].reshape(len(rows), -1), axis=0, return_inverse=True)[1].ravel()
    alike, x = equal[:, None] == equal, unit(samples[rows])  # of blank images all cosines are 0
    for axes in similarity.FLIPS if flips else similarity.FLIPS[:1]:
        alike |= similarity.cosine_matrix(x.flip(axes), x, kind="anomaly", mean=mean) >= ALIKE
    group = sparse.csgraph.connected_components(alike)[1]
    _, first, count = np.unique(group, return_index=True, return_counts=True)
    found = sorted(zip((-count).tolist(), rows[first].tolist(), strict=True))
    return tuple((row, -many) for many, row in found if many < -1)


def _least(size: np.ndarray, label: np.ndarray, hit: np.ndarray) -> float:
    """The chance that all units that are hit have label 1, or as many as there are labels."""
    p = 1.0
    for each in np.unique(size[hit]):
        n, K, h = ((size == each) & which for which in (True, label, hit))
        most = min(K.sum(), h.sum())
        p *= float(stats.hypergeom.pmf(most, n.sum(), K.sum(), most))
    return p


def _weighed(
    samples: np.ndarray, pool: np.ndarray, group: np.ndarray, flips: bool
) -> tuple[similarity.Neighbors, np.ndarray, np.ndarray]:
    """The nearest images of samples, their nearest unit u_s, and w_s.

    d_5 is to the fifth unit or, where too many neighbours are alike, to the last one found.
    """
    k = min(len(pool), 1 + (_FIFTH - 1) * int(np.bincount(group).max()), _MOST)
    near = similarity.nearest(unit(samples), pool, k, kind="anomaly", mean=mean_image(pool), flips=flips)
    d, units = np.sqrt(np.clip(2 - 2 * near.cosine.astype(np.float64), 0, None)), group[near.index]
    new = np.column_stack([(units[:, [j]] != units[:, :j]).all(1) for j in range(k)])
    place = (new.cumsum(1) >= _FIFTH).argmax(1)
    fifth = np.where(place > 0, d[np.arange(len(d)), place], d[:, -1])
    return near, units[:, 0], 1 - np.divide(d[:, 0], fifth, out=np.ones(len(d)), where=fifth > 0)


def _effect(
    f: np.ndarray, f0: float, n: int, N: int, V: float, again: float
) -> tuple[Estimate, float | None]:
    """The excess share with its interval, and the smallest share of copies that would be seen.

    Args:
        f: Share of the samples that are nearest to training images, given and permuted, (1 + R,).
        f0: Its mean under permutation.
        n: Samples.
        N: Units of training images.
        V: Variance of the null of T of samples that are no copies.
        again: Pairs of close samples that share their unit, beyond chance.
    """
    free = f0 * (1 - f0)
    scatter = int(np.clip(free / max(f[1:].var(), 1e-12), 1, n))
    ends = stats.binomtest(round(f[0] * scatter), scatter).proportion_ci(method="wilson")
    value, low, high = ((float(share) - f0) / (1 - f0) for share in (f[0], ends.low, ends.high))
    z, z_power = stats.norm.ppf([0.99, 0.8])

    def lacking(c: float) -> float:
        rest = (1 - c) ** 2 * V + free * again
        null = np.sqrt(free * (c * n + (c * n) ** 2 / N) + rest)
        return z * null + z_power * np.sqrt(rest) - c * n * (1 - f0)

    # from above 0, a root where all samples are copies, V = 0
    least = float(optimize.brentq(lacking, 1e-9, 1)) if lacking(1) < 0 else None
    return Estimate(value, low, high, n), least
