"""Tests of memorization: the exchange test, whose null does not depend on the sets, and near-copies.

Let c_A(x) and c_B(x) be the cosines of an image x with its nearest of A's and of B's training images, and

    m(x) = c_A(x) - c_B(x)                          the margin by which x is nearer to A's set,
    P    = mean of [m(a_i) > 0] and [m(b_i) < 0]    P(train closer), ties counting half,
    M    = mean (m(a_i) - m(b_i)) / 2               the mean margin towards the model's own set,

over latents i with the images a_i and b_i of the two models. One of the sets is nearer to all images than the
other by chance, the more so the smaller the sets are. This offset enters P and M once for A and once, with
the opposite sign, for B, and cancels.

If neither model is biased towards its own set and the two trained networks are exchangeable, so are a_i and
b_i. An exchange changes the sign of a term of M, and mirrors a term of P about 1/2; terms of different
latents are independent, however similar a_i and b_i are. So random signs give both an exact null, of means 0
and 1/2, for any sets. (Two given networks are not exactly exchangeable: either may be biased towards one set
by the randomness of its training, which adds to the spread over latents.) The p-value is that of M: a few
copies hardly change P, but each has a large margin. The interval resamples latents, as a_i and b_i share one;
a latent whose two images are nearer to the same set does not contribute to P.

A bias towards the model's own set is not yet memorization: second moments estimated from N images cause one,
too. So a pair of models *memorizes* if it is biased towards its own sets, and by more than samples of shrunk
Gaussians of these sets (`galgen.compare.gaussian`; the margins are permuted between models and Gaussians, as
many of each). The p-value is the larger of the two: both nulls must be rejected.

*Memorized fraction*: the fraction of samples with d1 / d2 < 1/3, where d1 and d2 are the distances to the
nearest and the second nearest training image (Yoon et al. 2023; Gu et al. 2023), here between images of unit
norm after the projection of the cosine, d = sqrt(2 - 2 cosine): copies are then detected in spite of small
errors in brightness and contrast, a few percent for diffusion samples. Two copies of an image in the training
set hide one: remove duplicates first. The exchange test needs no such threshold.

*Near-copy fraction*: the same, with d2 the distance to the nearest training image that is not a
near-duplicate (anomaly cosine >= 0.99) of the nearest one, so that duplicates hide nothing, and with an exact
interval.

References:
    Yoon et al. 2023, Diffusion probabilistic models generalize when they fail to memorize,
    https://openreview.net/forum?id=shciCbSk9h. Gu et al. 2023, On memorization in diffusion models,
    https://arxiv.org/abs/2310.02664.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from torch import Tensor

from galgen.compare import similarity
from galgen.compare.gaussian import fit_gaussian, shrunk_gaussian
from galgen.compare.uncertainty import (
    Estimate,
    Outcome,
    finite,
    permutation_test,
    permuted_sums,
    proportion,
)
from galgen.data.split import Split
from galgen.data.unit import unit
from galgen.runs.errors import GalgenError

__all__ = ["Exchange", "Memorization", "distance_ratio", "exchange_test", "gap_ratio", "gaussian_margins",
    "margins", "memorization_test", "near_copy_fraction"]  # fmt: skip

# Seeds of the Gaussians' samples: different from those of latents, whose noise would be the same.
_FIRST_SEED = 3_000_000_000
_OTHERS = 4096  # maximum number of galaxies of neither set whose moments are pooled with those of each
_NEAR_DUPLICATE = 0.99  # anomaly cosine, as in `galgen.auditing.copies`
_NEIGHBORS = 64  # maximum number searched for one that is not a near-duplicate of the first


@dataclass(frozen=True)
class Exchange:
    """Exchange test of the training-set bias of two models.

    Attributes:
        p_closer: P(train closer) of both models, 1/2 without bias, with an interval over latents.
        margin: Mean margin towards the model's own set, 0 without bias, with its null.
    """

    p_closer: Estimate
    margin: Outcome


@dataclass(frozen=True)
class Memorization:
    """Test of the training-set bias of two models against that of shrunk Gaussians of their training sets.

    Attributes:
        models: The exchange test of the models.
        gaussians: The exchange test of samples of the two Gaussians.
        beyond: p-value of a larger bias of the models than of the Gaussians, by permutation.
    """

    models: Exchange
    gaussians: Exchange
    beyond: float

    @property
    def outcome(self) -> Outcome:
        """Mean margin; the null range extends from that of the exchange to the margin of the Gaussians."""
        own, linear = self.models.margin, self.gaussians.margin
        return Outcome(own.value, own.low, max(own.high, linear.value), max(own.p, self.beyond))


def margins(
    queries: Tensor, images: np.ndarray, sets: Split, *, mean: np.ndarray, flips: bool = False
) -> np.ndarray:
    """Return the margin by which each image is nearer to A's training set than to B's, in cosines, (n,).

    Args:
        queries: Images (n, C, H, W) in [0, 1].
        images: The data set, uint8 (M, C, H, W).
        sets: Rows of A's and B's training images.
        mean: The data set's mean image.
        flips: Whether to include flipped images in the search for the nearest one.
    """
    to_a, to_b = (
        similarity.nearest(queries, images[rows], kind="anomaly", mean=mean, flips=flips).cosine[:, 0]
        for rows in (sets.A, sets.B)
    )
    return to_a - to_b


def exchange_test(of_a: np.ndarray, of_b: np.ndarray, *, permutations: int = 9999, seed: int = 0) -> Exchange:
    """Run the exchange test on the margins of both models' images of the same latents.

    Args:
        of_a: `margins` of A's images, (n,).
        of_b: `margins` of B's images, in the same order.
        permutations: Number of random sets of signs.
        seed: Random seed.

    Raises:
        GalgenError: If the margins are not finite.
    """
    of_a, of_b = finite(of_a).astype(np.float64), finite(of_b).astype(np.float64)
    interval = proportion(0.5 + (np.sign(of_a) - np.sign(of_b)) / 4, seed=seed)
    labels = np.repeat([0.5, -0.5], len(of_a)) / len(of_a)  # times the margins: half their mean difference
    margin = permuted_sums(labels, np.concatenate([of_a, of_b]), permutations, seed, paired=True)
    return Exchange(interval, permutation_test(margin))


def gaussian_margins(
    images: np.ndarray, sets: Split, count: int, *, mean: np.ndarray, flips: bool = False
) -> list[np.ndarray]:
    """Return the `margins` of samples of shrunk Gaussians of A's and B's training images, each (count,).

    The samples of the two Gaussians have the same noise.

    Raises:
        GalgenError: If fewer than two images are in neither set, for the pooling.
    """
    rest = np.setdiff1d(np.arange(len(images)), np.concatenate([sets.A, sets.B]))
    if len(rest) < 2:
        raise GalgenError(f"{len(rest)} images in neither training set: hold out two or more")
    others = fit_gaussian(images[rest[:: -(-len(rest) // _OTHERS)]])  # evenly, as a data set may be sorted
    seeds = range(_FIRST_SEED, _FIRST_SEED + count)
    samples = (shrunk_gaussian(images[rows], others).draw(seeds).clamp(0, 1) for rows in (sets.A, sets.B))
    return [margins(part, images, sets, mean=mean, flips=flips) for part in samples]


def memorization_test(
    models: Sequence[np.ndarray], gaussians: Sequence[np.ndarray], *, permutations: int = 9999, seed: int = 0
) -> Memorization:
    """Test two models for memorization: the exchange test, then a comparison with shrunk Gaussians.

    Args:
        models: `margins` of A's and of B's images of the same latents, each (n,).
        gaussians: `gaussian_margins`, each (m,).
        permutations: Number of permutations for each null.
        seed: Random seed.
    """
    options = {"permutations": permutations, "seed": seed}
    biases = [(of_a - of_b) / 2 for of_a, of_b in (models, gaussians)]
    labels = np.repeat([1 / len(biases[0]), -1 / len(biases[1])], [len(part) for part in biases])
    excess = permutation_test(permuted_sums(labels, np.concatenate(biases), permutations, seed))
    return Memorization(exchange_test(*models, **options), exchange_test(*gaussians, **options), excess.p)


def gap_ratio(cosine: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest divided by that to the second nearest training image.

    Args:
        cosine: Cosines to the two (or more) nearest training images, nearest first, (..., k >= 2).

    Returns:
        d1 / d2 in [0, 1], (...); 1 if both are 0: a sample equal to two training images does not count as
        memorized.
    """
    cosine = finite(cosine)
    nearest = np.moveaxis(cosine[..., :2].astype(np.float64), -1, 0)
    first, second = np.sqrt(np.clip(2 - 2 * nearest, 0, None))
    return np.divide(first, second, out=np.ones_like(first), where=second > 0)


def distance_ratio(
    queries: Tensor, images: np.ndarray, *, mean: np.ndarray, flips: bool = False
) -> np.ndarray:
    """Return the distance to the nearest training image over that to the nearest other one, d1 / d2, (n,).

    Distances are between images of unit norm after the projection of the anomaly cosine, as in `gap_ratio`.
    Near-duplicates of the nearest image, in its orientation nearest to the query, are skipped. If all of the
    64 nearest images are near-duplicates, d2 is that of an unrelated image, of cosine 0.

    Args:
        queries: Images (n, C, H, W) in [0, 1].
        images: The training images, uint8 (N, C, H, W).
        mean: The data set's mean image.
        flips: Whether to include flipped images in the search.
    """
    k, options = min(len(images), _NEIGHBORS), {"kind": "anomaly", "mean": mean}
    near = similarity.nearest(queries, images, k, flips=flips, **options)
    first, second, left = unit(near.first(images)), np.zeros(len(queries)), np.arange(len(queries))
    for j in range(1, k):
        others = similarity.Neighbors(*(part[left, j:] for part in (near.cosine, near.index, near.flip)))
        alike = similarity.cosine(first[left], unit(others.first(images)), **options) >= _NEAR_DUPLICATE
        second[left[~alike]] = others.cosine[~alike, 0]
        left = left[alike]
        if len(left) == 0:
            break
    return gap_ratio(np.stack([near.cosine[:, 0], second], axis=1))


def near_copy_fraction(ratio: np.ndarray) -> Estimate:
    """Return the fraction of near-copies, d1 / d2 < 1/3, with Clopper-Pearson interval over latents.

    Args:
        ratio: `distance_ratio` of one sample per latent, (n,), or of m samples per latent, (n, m), which
            count as one observation, as samples of one latent may be near-copies together.

    >>> near_copy_fraction(np.ones(256)).high.__round__(4)  # upper limit of 1.4 % without near-copies
    0.0143
    """
    n, copies = len(ratio), (finite(ratio) < 1 / 3).reshape(len(ratio), -1).mean(1).sum()
    low = stats.beta.ppf(0.025, copies, n - copies + 1) if copies > 0 else 0.0
    high = stats.beta.ppf(0.975, copies + 1, n - copies) if copies < n else 1.0
    return Estimate(float(copies / n), float(low), float(high), n)
