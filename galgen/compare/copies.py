r"""Has one model copied its training images? An exact test that needs held-out images, and no second model.

*The statistic.* Training and held-out images together are the pool. Of sample s let u_s be the unit of its
nearest image there (an image, or a group of near-duplicates), d_1 and d_5 its distances to the nearest and to
the fifth nearest unit, between images of length 1 after the projection of the anomaly cosine, and

    w_s = 1 - d_1 / d_5,  0 where d_5 = 0;      T = sum_s w_s l(u_s),   l = 1 for training, 0 for held-out.

w_s is near 1 for a copy and near 0 for an image that lies between others. It is free of labels, so T is
linear in them: with c_u the weights that fall to unit u, every permutation of the labels is a row of one
product.

*When it is exact.* If held-out was a random part of one pool and the model leans to no image of its own, the
labels may be dealt out anew, whatever the samples and the images: p is exact. Near-duplicates, in any of the
eight orientations, cannot be parted by a copy. A group of them wholly in one set has one label. Groups of
unequal size are not exchangeable (of four training images to a held-out one, a group of two is rarely
held out), so labels are dealt among units of equal size; which groups lie in one set is thereby given, and
within it all arrangements are equally likely. Mixed groups carry no evidence, and are left out.
Whether held-out *was* a random part is asked first, without the samples, by the classifier of
`galgen.compare.twosample`: where it finds the two to differ (p <= .01), there is no p. (Of fewer than ten
images it cannot be asked, and is taken on trust.)

*Copies, or less?* To lean to one's own images is not yet to copy: what has learnt only their second moments
does so too. So the same is asked of draws of their shrunk Gaussian (`galgen.compare.gaussian`), pooled with
the whole pool, which leans to neither set. With q_u the chance of label 1 at unit u, the terms

    e_s = w_s (l(u_s) - q(u_s))

have mean 0 where nothing leans. *Copies* are said only if those of the samples are beyond those of the
Gaussian, by permutation; otherwise such a model *favours* its training set.

*Effect.* If a share c of the samples lie nearest to training images whatever the chance, f = c + (1 - c) f_0
of them do, with f_0 the mean of the null: c = (f - f_0) / (1 - f_0) is the *excess share*. Its interval is
Wilson's of f, with as many samples as would scatter like f under permutation: few images may be nearest to
many samples. The *smallest share* that would be seen is the least c of exact copies, of N training images at
random, that four of five tests or more find at the level .01 (a bound, as no term counts that copies have a
weight of 1): with n samples, and V the variance of the null of T of those that are no copies (w at most 1/2),

    c n (1 - f_0) = (z_.99 + z_.8) sqrt(f_0 (1 - f_0) (c n + (c n)^2 / N) + (1 - c)^2 V).

References:
    Phipson & Smyth 2010, https://arxiv.org/abs/1603.05766. Meehan, Chaudhuri & Dasgupta 2020, A
    non-parametric test to detect data-copying in generative models, https://arxiv.org/abs/2004.05675.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse, stats

from galgen.compare import similarity
from galgen.compare.gaussian import weighted_draws
from galgen.compare.twosample import C2ST, c2st, features_by_parts
from galgen.compare.uncertainty import Estimate, Outcome, p_text, permutation_test, permuted_sums
from galgen.data.preprocess import to_uint8
from galgen.data.unit import mean_image, unit
from galgen.runs.errors import GalgenError

__all__ = ["LEVEL", "Copies", "copies"]

# Anomaly cosine of near-duplicates: of 8 000 simulated galaxies of 32 pixels 2 pairs reach it by chance,
# .97 would join 178 galaxies, and .95 one in twenty.
ALIKE = 0.99
LEVEL = 0.01
DRAWS = 2048  # of the Gaussian
SHOWN = 20  # pairs
ASKED = 1024  # images of each set that are asked whether training and held-out differ
_FIFTH, _MOST = 5, 64  # neighbours: to weigh by, and looked for at most where there are near-duplicates

_DIFFER = (
    "Without any sample a classifier tells training from held-out images (AUC {auc}, p {p}). So these are no "
    "random part of one pool, and to be nearer to one set than to the other is no evidence: no p is given. "
    "Hold out a random part before the training."
)
_NOTHING = (
    "No sample is nearer than to others to an image that may as well lie in the other set: nothing is there "
    "to permute."
)


@dataclass(frozen=True)
class Nearest:
    """A sample and its nearest image in the pool.

    Attributes:
        sample: Its row.
        of: "train" or "held_out".
        row: The row of the nearest image there.
        flip: How the sample is flipped to lie best on it, a place in `galgen.compare.similarity.FLIPS`.
        cosine: Their anomaly cosine.
        weight: w, near 1 for a copy.
    """

    sample: int
    of: str
    row: int
    flip: int
    cosine: float
    weight: float


@dataclass(frozen=True)
class Copies:
    """Whether samples are nearer to training than to held-out images.

    Attributes:
        difference: Training against held-out images, without the samples; None if there are too few to ask.
        grouped: Images that were permuted with near-duplicates of theirs.
        alone: Images of groups of a size that the other set has not: they carry no evidence.
        mixed: Training and held-out images left out, as near-duplicates of theirs are in the other set.
        nearest: The pairs of largest weight.
        missing: Why there is no outcome; "" if there is.
        outcome: T over the sum of the weights, with its null; None, as all below, where it cannot be had.
        opposite: How often, of permutations, T is as small.
        leaning: The mean of e over the samples: their weight beyond chance.
        gaussian: The same of draws of the shrunk Gaussian.
        beyond: How often, of permutations of samples and draws, the former is so much larger.
        chance: The share of samples that would be nearest to training images if nothing leaned to them.
        excess: The excess share of samples nearest to training images.
        smallest: The smallest share of copies that would have been seen; None also if not even all.
    """

    difference: C2ST | None
    grouped: int
    alone: int
    mixed: tuple[int, int]
    nearest: tuple[Nearest, ...]
    missing: str = ""
    outcome: Outcome | None = None
    opposite: float | None = None
    leaning: float | None = None
    gaussian: float | None = None
    beyond: float | None = None
    chance: float | None = None
    excess: Estimate | None = None
    smallest: float | None = None

    def verdict(self, p: float | None = None) -> str:
        """In two or three words; p may be one that counts other questions too."""
        if self.outcome is None:
            return "cannot be said"
        if (self.outcome.p if p is None else p) <= LEVEL:
            return "copies" if self.beyond <= LEVEL else "favours its training set"
        return "favours held-out images" if self.opposite <= LEVEL else "no sign of memory"


@dataclass(frozen=True)
class _Pool:
    """Training and held-out images in random order, without those of mixed groups.

    Attributes:
        images: uint8 (P, C, H, H).
        rows: Where each was among training and then held-out images, (P,).
        unit: Its group, (P,).
        size: Images of each group, (U,).
        label: Whether each group is of training images, (U,).
        first: An image of each group, (U,).
    """

    images: np.ndarray
    rows: np.ndarray
    unit: np.ndarray
    size: np.ndarray
    label: np.ndarray
    first: np.ndarray

    @property
    def chance(self) -> np.ndarray:
        """Of label 1 at each group, q: the mean over those of its size, (U,)."""
        return (np.bincount(self.size, self.label) / np.maximum(np.bincount(self.size), 1))[self.size]

    @property
    def free(self) -> np.ndarray:
        """Whether each group might as well lie in the other set: one of its size does, (U,)."""
        return (self.chance > 0) & (self.chance < 1)


def copies(
    samples: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    *,
    flips: bool = False,
    permutations: int = 9999,
    seed: int = 0,
    progress: Callable[[str], None] = lambda step: None,
) -> Copies:
    """The test.

    Args:
        samples: Of the model, uint8 (n, C, H, H), H = 8, 16, 32, ...
        train: Its training images, uint8 (N, C, H, H).
        held_out: Others, a random part of the same pool, that it has not seen.
        flips: Whether samples are looked for flipped as well.
        permutations: Of each null.
        seed: Random seed.
        progress: Told of each step before it is taken.

    Raises:
        GalgenError: If fewer than two images of a set are left without mixed groups.
    """
    rng, n = np.random.default_rng(seed), len(samples)
    progress(f"near-duplicates among {len(train) + len(held_out)} images")
    pool, mixed = _pooled(train, held_out, rng)
    progress("training against held-out images, without the samples")
    asked, apart = [rng.permutation(pool.first[pool.label == own])[:ASKED] for own in (True, False)], None
    if min(map(len, asked)) >= 10:
        apart = c2st(*(features_by_parts(pool.images[rows]) for rows in asked), permutations=999, seed=seed)
    near, of, weight = _weighed(samples, pool, flips, progress)
    said = {"difference": apart, "grouped": int((pool.size[pool.unit] > 1).sum()), "mixed": mixed}
    said["alone"] = int((~pool.free[pool.unit]).sum())
    said["nearest"] = tuple(_pairs(near, weight, pool, len(train)))
    if apart and apart.p <= LEVEL:
        return Copies(**said, missing=_DIFFER.format(auc=apart.auc, p=p_text(apart.p)))
    if not (weight * pool.free[of]).any():
        return Copies(**said, missing=_NOTHING)

    progress("permutations")
    units, W = len(pool.size), weight.sum()
    columns = np.column_stack([np.bincount(of, weight, units) / W, np.bincount(of, minlength=units) / n])
    T, f = permuted_sums(pool.label, columns, permutations, rng, groups=pool.size).T
    chance, beside = float(pool.chance[of].mean()), pool.label - pool.chance
    V = np.bincount(of, weight * (weight <= 0.5), units) ** 2 @ (pool.chance * (1 - pool.chance))
    excess, smallest = _effect(f, chance, n, int(pool.label.sum()), float(V))
    _, of_drawn, weight_drawn = _weighed(_drawn(pool, min(n, DRAWS), seed), pool, flips, progress)
    e, e_drawn = weight * beside[of], weight_drawn * beside[of_drawn]
    steps = np.repeat([1 / n, -1 / len(e_drawn)], [n, len(e_drawn)])
    more = permutation_test(permuted_sums(steps, np.concatenate([e, e_drawn]), permutations, rng))
    return Copies(
        **said,
        outcome=permutation_test(T),
        opposite=permutation_test(-T).p,
        leaning=float(e.mean()),
        gaussian=float(e_drawn.mean()),
        beyond=more.p,
        chance=chance,
        excess=excess,
        smallest=smallest,
    )


def _pooled(
    train: np.ndarray, held_out: np.ndarray, rng: np.random.Generator
) -> tuple[_Pool, tuple[int, int]]:
    """The pool, and how many training and held-out images are not in it."""
    images = np.concatenate([train, held_out])
    pairs, n = similarity.near_duplicates(images, ALIKE), len(images)
    edges = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(n, n))
    group, own = sparse.csgraph.connected_components(edges)[1], np.arange(n) < len(train)
    share = np.bincount(group, own) / np.bincount(group)
    kept = np.flatnonzero(np.isin(share[group], (0, 1)))
    left = int(own[kept].sum()), int((~own[kept]).sum())
    mixed = len(train) - left[0], len(held_out) - left[1]
    if min(left) < 2:
        raise GalgenError(
            f"{mixed[0]} of {len(train)} training images and {mixed[1]} of {len(held_out)} held-out ones are "
            "in both sets, or nearly: hold out images that the model has not seen"
        )
    kept = rng.permutation(kept)  # of images equally near any may come first: that must not hang on labels
    _, first, unit_, size = np.unique(group[kept], return_index=True, return_inverse=True, return_counts=True)
    return _Pool(images[kept], kept, unit_, size, own[kept][first], first), mixed


def _weighed(
    samples: np.ndarray, pool: _Pool, flips: bool, progress: Callable[[str], None]
) -> tuple[similarity.Neighbours, np.ndarray, np.ndarray]:
    """The nearest images of samples, their nearest unit u_s, and w_s."""
    k, parts = min(len(pool.rows), 1 + (_FIFTH - 1) * int(pool.size.max()), _MOST), []
    asked = {"kind": "anomaly", "mean": mean_image(pool.images), "flips": flips}
    for i in range(0, len(samples), 1024):
        progress(f"nearest of {len(pool.rows)} images, {i} of {len(samples)} done")
        parts.append(similarity.nearest(unit(samples[i : i + 1024]), pool.images, k, **asked))
    columns = ([getattr(part, name) for part in parts] for name in ("cosine", "index", "flip"))
    near = similarity.Neighbours(*map(np.concatenate, columns))
    units = pool.unit[near.index]
    return near, units[:, 0], _weights(near.cosine, units)


def _pairs(near: similarity.Neighbours, weight: np.ndarray, pool: _Pool, train: int) -> Iterator[Nearest]:
    """The pairs of largest weight."""
    for s in np.argsort(-weight, kind="stable")[:SHOWN]:
        row = int(pool.rows[near.index[s, 0]])
        place = ("train", row) if row < train else ("held_out", row - train)
        yield Nearest(int(s), *place, int(near.flip[s, 0]), float(near.cosine[s, 0]), float(weight[s]))


def _drawn(pool: _Pool, count: int, seed: int) -> np.ndarray:
    """Draws of the shrunk Gaussian of the training images, pooled with all."""
    own, d = pool.label[pool.unit], pool.images[0].size
    w = d / (own.sum() + d)
    weights = np.where(own, (1 - w) / own.sum(), 0) + w / len(own)
    return to_uint8(weighted_draws(pool.images, weights, count, seed=seed).numpy())


def _weights(cosine: np.ndarray, units: np.ndarray) -> np.ndarray:
    """1 - d_1 / d_5, (n,), d_5 to the fifth unit or, where too many neighbours are alike, the last one found.

    Args:
        cosine: With the nearest images, (n, k).
        units: Of these, (n, k).
    """
    d = np.sqrt(np.clip(2 - 2 * cosine.astype(np.float64), 0, None))
    new = np.column_stack([(units[:, [j]] != units[:, :j]).all(1) for j in range(units.shape[1])])
    place = (new.cumsum(1) >= _FIFTH).argmax(1)
    fifth = np.where(place > 0, d[np.arange(len(d)), place], d[:, -1])
    return 1 - np.divide(d[:, 0], fifth, out=np.ones(len(d)), where=fifth > 0)


def _effect(f: np.ndarray, f0: float, n: int, N: int, V: float) -> tuple[Estimate, float | None]:
    """The excess share with its interval, and the smallest share of copies that would be seen.

    Args:
        f: Share of the samples that are nearest to training images, given and permuted, (1 + R,).
        f0: Its mean under permutation.
        n: Samples.
        N: Units of training images.
        V: Variance of the null of T of samples that are no copies.
    """
    free = f0 * (1 - f0)
    scatter = int(np.clip(free / max(f[1:].var(), 1e-12), 1, n))
    ends = stats.binomtest(round(f[0] * scatter), scatter).proportion_ci(method="wilson")
    value, low, high = ((float(share) - f0) / (1 - f0) for share in (f[0], ends.low, ends.high))
    z = stats.norm.ppf([0.99, 0.8]).sum()

    def lacking(c: float) -> float:
        spread = free * (c * n + (c * n) ** 2 / N) + (1 - c) ** 2 * V
        return z * np.sqrt(spread) - c * n * (1 - f0)

    least = float(optimize.brentq(lacking, 0, 1)) if lacking(1) < 0 else None
    return Estimate(value, low, high, n), least
