"""Can a fresh classifier distinguish two sets of images? The classifier two-sample test (C2ST).

A classifier is trained on a part of two sets and asked about the rest. Its area under the curve (AUC, the
chance that it puts an image of the second set above one of the first) is 1/2 where the sets are draws of one
density, and beyond that by no more than luck, which permuted labels measure.

The classifier is kernel ridge regression on fixed features: for labels y = -1, 1 the prediction for the
images T of a fold, fitted on all others R, is

    f_T = K_TR (K_RR + lambda)^-1 (y_R - mean(y_R)),     in short f = P y,

with a Gaussian K as wide as the median distance, and P fixed by images and folds. So all permutations are
refitted in one matrix product P (y_1 ... y_R): 0.2 s for 256 + 256 images and 500 permutations. Labels are
permuted within folds, which hold their share of each set; or exchanged within pairs that share a fold, where
A's and B's images of one seed are compared. Either way the p-value is exact.

Features are invariant to flips and quarter turns, which the sky does not know. At each scale of a pyramid
(halved down to 8 pixels) the image is filtered with the products of l = (1, 2, 1)/4, d = (1, 0, -1)/2 and
s = (1, -2, 1)/4 along rows and columns, and three rings about the centre keep the mean of the image, the log
of the mean square of each filtered image, and how peaked it is; the two orientations of a filter become
the larger and the smaller value, so that elongation stays. Images are rounded to the 8 bits of the data
first, or else the rounding would be what is found.

*Coarse*: a model that is not perfect at the finest scale is always distinguished from galaxies, AUC 1,
however good the rest. The same test of images averaged down to fewer pixels leaves out the scales at which
noise and sharpness give all away.

References:
    Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests, https://arxiv.org/abs/1610.06545.
    Newcombe 2006, Confidence intervals for an effect size measure based on the Mann-Whitney statistic,
    Part 2, https://doi.org/10.1002/sim.2324 (the interval of an AUC).
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import optimize, spatial, stats
from torch import Tensor
from torch.nn import functional as F

from galgen.compare.uncertainty import Estimate, Outcome, permutation_test, permuted
from galgen.runs.errors import GalgenError

__all__ = ["C2ST", "auc", "c2st", "features"]

MOST = 2048  # rows of a set: the test has matrices of n x n, and three of 2 x 2048 rows take 0.4 GB
_FOLDS = 5  # parts of the cross-validation
_PENALTY = 0.1  # the ridge, lambda
_AT_ONCE = 1024  # images whose features are computed: filtered, 10 000 of 32 pixels have a gigabyte


@dataclass(frozen=True)
class C2ST:
    """One classifier two-sample test.

    Attributes:
        auc: Cross-validated area under the curve, with Newcombe's interval for independent predictions.
        outcome: The same area beside that of permuted labels.
    """

    auc: Estimate
    outcome: Outcome

    @property
    def p(self) -> float:
        """Share of the permutations, the given labels among them, that reach this area."""
        return self.outcome.p


def features(images: Tensor | np.ndarray, *, side: int | None = None) -> np.ndarray:
    """What the classifier sees of images in [0, 1] or uint8, (n, C, H, H): float64 (n, p).

    p is 51 for each scale (3 of them at 32 pixels) and channel. With a `side` the images are averaged down to
    it after the rounding; both are powers of two, 8 at least.
    """
    x = torch.as_tensor(np.array(images)) if isinstance(images, np.ndarray) else images
    if x.ndim != 4 or x.shape[-1] != x.shape[-2] or x.shape[-1] < 8 or x.shape[-1] & (x.shape[-1] - 1):
        raise GalgenError(f"images {tuple(x.shape)}: the features need (n, C, H, H), H = 8, 16, 32, ...")
    side = side or x.shape[-1]
    return np.concatenate([_features(part, side) for part in x.split(_AT_ONCE)])


def _features(x: Tensor, side: int) -> np.ndarray:
    x = x.double() if x.dtype == torch.uint8 else (x.double().clamp(0, 1) * 255).round()
    n, channels = x.shape[:2]
    x = x.reshape(n * channels, 1, *x.shape[2:]) / 255
    low, first, second = torch.tensor([[1, 2, 1], [2, 0, -2], [1, -2, 1]], dtype=x.dtype) / 4
    pairs = [(low, low), (first, first), (second, second), (low, first), (low, second), (first, second)]
    bank = torch.stack([torch.outer(a, b) for a, b in pairs] + [torch.outer(b, a) for a, b in pairs[3:]])
    x = F.avg_pool2d(x, x.shape[-1] // side)
    found = []
    while x.shape[-1] >= 8:
        y = F.conv2d(x, bank[:, None])
        place = torch.arange(y.shape[-1]) - (y.shape[-1] - 1) / 2
        radius = torch.hypot(place[:, None], place) / x.shape[-1]
        for ring in (radius < 1 / 8, (radius >= 1 / 8) & (radius < 1 / 4), radius >= 1 / 4):
            inside = y[:, :, ring]
            energy = inside[:, 1:].square().mean(2) + 255**-2 / 12  # a constant has the variance of rounding
            peaked = inside[:, 1:].abs().mean(2) / energy.sqrt()
            found.append(inside[:, :1].mean(2))
            for value in (energy.log(), peaked):
                one, two = value[:, 2:5], value[:, 5:]
                found += [value[:, :2], torch.maximum(one, two), torch.minimum(one, two)]
        x = F.avg_pool2d(x, 2)
    return torch.cat(found, 1).reshape(n, -1).numpy()


def auc(low: np.ndarray, high: np.ndarray) -> Estimate:
    """P(a value of `high` is above one of `low`), a tie counting half.

    The 95 % interval holds the areas A with |A - AUC| <= 1.96 sd(A), sd that of Hanley and McNeil (Newcombe's
    method 5). It has a width at AUC = 1, and holds 1/2 where the rank-sum test does not reject. A value that
    comes twice in its set counts once in n: a copy of a sample is no new evidence.
    """
    if not (len(low) and len(high)) or np.isnan(low).any() or np.isnan(high).any():
        raise GalgenError("no values to rank, or some that are not numbers: leave those samples out")
    area = float(stats.mannwhitneyu(high, low, method="asymptotic").statistic / (len(low) * len(high)))
    m, n = len(np.unique(low)), len(np.unique(high))
    z = stats.norm.ppf(0.975)

    def excess(a: float) -> float:
        spread = 1 + ((m + n) / 2 - 1) * ((1 - a) / (2 - a) + a / (1 + a))
        return abs(a - area) - z * (a * (1 - a) * spread / (m * n)) ** 0.5

    inside = min(max(area, 1e-9), 1 - 1e-9)  # at 0 and 1 the sd vanishes, and hides the other root
    ends = [end if excess(end) <= 0 else optimize.brentq(excess, inside, end) for end in (0.0, 1.0)]
    return Estimate(area, *ends, n=min(m, n))


def c2st(
    x: np.ndarray, y: np.ndarray, *, paired: bool = False, permutations: int = 500, seed: int = 0
) -> C2ST:
    """The classifier two-sample test of two sets of features; of more than `MOST` rows the first so many.

    The n of the area says how many were asked.

    Args:
        x: Features of the first set, (n, p).
        y: Of the second, (m, p).
        paired: Whether x_i and y_i come from one latent, so that only their exchange is a null.
        permutations: R.
        seed: Random seed.

    Returns:
        The test; its AUC is above 1/2 where the classifier finds the sets to differ.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if paired and len(x) != len(y):
        raise GalgenError(f"{len(x)} and {len(y)} images are no pairs")
    if min(len(x), len(y)) < 2 * _FOLDS or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise GalgenError(f"the test needs {2 * _FOLDS} finite rows a set or more, not {len(x)} and {len(y)}")
    x, y = x[:MOST], y[:MOST]
    rng = np.random.default_rng(seed)
    part = rng.permutation(len(x)) % _FOLDS
    fold = np.concatenate([part, part if paired else rng.permutation(len(y)) % _FOLDS])
    given = np.repeat([-1.0, 1.0], [len(x), len(y)])
    labels = permuted(given, permutations, rng, paired=paired, groups=fold)
    # rounded, or images that are all alike would be ranked by the last bit
    score = np.round(_predicted(labels, np.concatenate([x, y]), fold), 9)
    ranks = (stats.rankdata(score, axis=1) * (labels > 0)).sum(1)
    area = (ranks - len(y) * (len(y) + 1) / 2) / (len(x) * len(y))
    return C2ST(auc(score[0, : len(x)], score[0, len(x) :]), permutation_test(area))


def _predicted(labels: np.ndarray, x: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """P y for each row of labels, (R, n): an image is predicted from the images of the other folds."""
    sd = x.std(0)
    varies = sd > 1e-9 * np.abs(x).max(0)
    x = ((x - x.mean(0)) / np.where(varies, sd, 1))[:, varies]
    square = spatial.distance.pdist(x, "sqeuclidean")
    apart = square[square > 0]
    width = np.median(apart) if len(apart) else 1.0
    kernel = spatial.distance.squareform(square)
    np.exp(kernel / (-2 * width), out=kernel)
    found = np.empty(labels.shape)
    for k in np.unique(fold):
        test, rest = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        ridge = kernel[np.ix_(rest, rest)]
        ridge[np.diag_indices(len(rest))] += _PENALTY
        M = np.linalg.solve(ridge, kernel[np.ix_(rest, test)])
        found[:, test] = labels[:, rest] @ (M - M.mean(0))  # the columns of P that are not 0
    return found
