"""Overlap of the leading principal directions of two sets of images.

Let the rows of U and of V be the k leading principal directions of two sets of images, each about its own
mean. Their overlap is

    overlap = |U V^T|^2 / k          1: the same subspace,    k / d: two random ones in d dimensions.

A missing direction, as when a set has fewer images than k, contributes nothing. The overlap of two sets of n
galaxies is below 1, as sampling noise mixes directions of similar variance: that of held-out galaxies with
other held-out galaxies is the *ceiling*. Agreement is a different quantity: for linear models Maillard &
Goldt show that models agree at numbers of images at which the leading directions need not have been found.

Intervals: the jackknife over G groups of images, left out of both sets at once. With t_g the overlap without
group g,

    s^2 = (G - 1) / G sum_g (t_g - mean t)^2,

and the interval is the overlap -+ s times Student's quantile for G - 1, clipped to [0, 1]. (A bootstrap
repeats images, which rotates the directions of small variance.) It is over images or latents, not trainings;
for normal sets with a power-law spectrum it covers the mean over other sets in 83 to 100 % of cases.

References:
    Maillard & Goldt 2026, https://arxiv.org/abs/2605.21402. Efron & Tibshirani 1993, An introduction to the
    bootstrap, chapter 11.

Comparisons, with n images per set, for all pairs of a family of denoisers at one N:

    agreement    median anomaly cosine of A's and B's samples of one latent
    pairs        directions of A's samples and of B's: of the same latents, so that they share the sampling
                 noise of the latents
    galaxies     directions of a model's samples and of held-out galaxies
    gaussian     directions of samples of the Gaussian of A's images, by A's sampler, and of the same
                 galaxies: what the second moments of N images give

and the ceiling, two sets of held-out galaxies.
"""

import numpy as np
from scipy import stats
from scipy.linalg import eigh

from galgen.compare.uncertainty import Estimate, finite
from galgen.runs.errors import GalgenError

__all__ = ["GROUPS", "directions", "shared"]


GROUPS = 16  # of images, left out in turn; single images if n is smaller


def directions(images: np.ndarray, count: int) -> np.ndarray:
    """Leading principal directions of a set, and those without each group of images.

    Args:
        images: (n, C, H, W), at least three.
        count: Number of directions; missing ones are zeros.

    Returns:
        (1 + G, count, C H W), float64: with all images, and without each group.

    Raises:
        GalgenError: If there are too few images, or some are not finite.
    """
    rows = finite(images).reshape(len(images), -1).astype(np.float64)
    if len(rows) < 3:
        raise GalgenError(f"{len(rows)} images are too few for principal directions: give three or more")
    group = np.arange(len(rows)) % GROUPS
    return np.stack([_leading(rows[group != left], count) for left in (-1, *np.unique(group))])


def shared(one: np.ndarray, other: np.ndarray) -> list[Estimate]:
    """Overlap of the first k directions of two sets, for each k, with its interval over images.

    Args:
        one: Output of `directions` for one set.
        other: Output of `directions` for the other set.
    """
    cross = np.square(one @ other.transpose(0, 2, 1)).cumsum(1).cumsum(2)  # (1 + G, count, count)
    value, *without = np.diagonal(cross, axis1=1, axis2=2) / np.arange(1, one.shape[1] + 1)
    freedom = len(without) - 1
    half = stats.t.ppf(0.975, freedom) * np.sqrt(freedom * np.var(without, axis=0))
    low, high = np.clip([value - half, value + half], 0, 1)
    return [Estimate(*map(float, numbers), len(without)) for numbers in zip(value, low, high, strict=True)]


def _leading(rows: np.ndarray, count: int) -> np.ndarray:
    """Leading directions from the matrix of inner products, smaller than the covariance if n < d."""
    centered = rows - rows.mean(0)
    n = min(len(rows), count)
    squares, vectors = eigh(centered @ centered.T, subset_by_index=(len(rows) - n, len(rows) - 1))
    real = squares > 1e-10 * max(squares[-1], 0)  # rank is reduced by the mean, and by repeated images
    axes = np.zeros((count, rows.shape[1]))
    axes[: real.sum()] = (vectors.T[real] @ centered / np.sqrt(squares[real, None]))[::-1]
    return axes
