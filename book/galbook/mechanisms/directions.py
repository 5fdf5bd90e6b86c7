"""Do samples vary along the directions in which galaxies do? Overlap of leading principal directions.

Let the k leading principal directions of two sets of images, each about its own mean, be the rows of U and of
V. They share

    overlap = |U V^T|^2 / k          1: one subspace,    k / d: two random ones in d dimensions.

A direction that a set has not, as when it has fewer images than k, shares nothing. Two sets of n galaxies
share less than all, as directions of nearly one variance turn into one another with the luck of the draw:
held-out galaxies beside other held-out ones are the *ceiling*. Agreement is another thing: of linear models
Maillard & Goldt show that it comes at a number of images at which the leading directions need not have been
found.

Intervals: the jackknife, with images left out in G groups, of both sets at once. With t_g the overlap without
the g-th group,

    s^2 = (G - 1) / G sum_g (t_g - mean t)^2,

and the interval is the overlap -+ s times Student's quantile for G - 1, within 0 and 1. (A bootstrap draws
images twice, which turns the directions of small variance.) It is over images or latents, not trainings; of
normal sets of a power-law spectrum it holds the mean of other sets in 83 to 100 % of cases.

References:
    Maillard & Goldt 2026, https://arxiv.org/abs/2605.21402. Efron & Tibshirani 1993, An introduction to the
    bootstrap, chapter 11.

Along which directions do the samples of two models vary, and are they the galaxies'?

Sets of n images each, for all the pairs that a family of denoisers has at an N:

    agreement    median anomaly cosine of A's and B's samples of one latent
    pairs        the directions of A's samples beside those of B's: of the same latents, so that they share
                 the luck of these draws, too
    galaxies     those of a model's samples beside those of held-out galaxies
    gaussian     those of what the Gaussian of A's images draws by A's sampler, beside those of the same
                 galaxies: what second moments of N images give

and the ceiling, held-out galaxies beside other held-out ones.
"""

import numpy as np
from scipy import stats
from scipy.linalg import eigh

from galgen.compare.uncertainty import Estimate, finite
from galgen.runs.errors import GalgenError

__all__ = ["GROUPS", "directions", "shared"]


GROUPS = 16  # of images, left out in turn; one image each, if there are fewer


def directions(images: np.ndarray, count: int) -> np.ndarray:
    """The leading principal directions of a set, and those of it without each group of images.

    Args:
        images: (n, C, H, W), at least three.
        count: How many directions; those that the set has not are zeros.

    Returns:
        (1 + G, count, C H W), float64: of all images, and without each group.

    Raises:
        GalgenError: If there are too few images, or some are not finite.
    """
    rows = finite(images).reshape(len(images), -1).astype(np.float64)
    if len(rows) < 3:
        raise GalgenError(f"{len(rows)} images have no principal directions: give three or more")
    group = np.arange(len(rows)) % GROUPS
    return np.stack([_leading(rows[group != left], count) for left in (-1, *np.unique(group))])


def shared(one: np.ndarray, other: np.ndarray) -> list[Estimate]:
    """The overlap of the first k directions of two sets, for each k, with its interval over images.

    Args:
        one: As `directions` returns them.
        other: The same of the other set.
    """
    cross = np.square(one @ other.transpose(0, 2, 1)).cumsum(1).cumsum(2)  # (1 + G, count, count)
    value, *without = np.diagonal(cross, axis1=1, axis2=2) / np.arange(1, one.shape[1] + 1)
    freedom = len(without) - 1
    half = stats.t.ppf(0.975, freedom) * np.sqrt(freedom * np.var(without, axis=0))
    low, high = np.clip([value - half, value + half], 0, 1)
    return [Estimate(*map(float, ends), len(without)) for ends in zip(value, low, high, strict=True)]


def _leading(rows: np.ndarray, count: int) -> np.ndarray:
    """Of the matrix of inner products, which has the same spectrum as the covariance and is smaller."""
    centred = rows - rows.mean(0)
    n = min(len(rows), count)
    squares, vectors = eigh(centred @ centred.T, subset_by_index=(len(rows) - n, len(rows) - 1))
    real = squares > 1e-10 * max(squares[-1], 0)  # the mean takes one direction, repeated images more
    found = np.zeros((count, rows.shape[1]))
    found[: real.sum()] = (vectors.T[real] @ centred / np.sqrt(squares[real, None]))[::-1]
    return found
