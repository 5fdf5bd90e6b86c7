"""Classifier two-sample test (C2ST): are two sets of images distinguishable?

A classifier is trained on a part of two sets and applied to the rest. Its area under the curve (AUC, the
probability that it scores an image of the second set above one of the first) is 1/2 up to chance if the sets
are samples of one density; permuted labels give the null distribution.

The classifier is kernel ridge regression on fixed features: for labels y = -1, 1 the prediction for the
images T of a fold, fitted on all others R, is

    f_T = K_TR (K_RR + lambda)^-1 (y_R - mean(y_R)),     in short f = P y,

with a Gaussian K whose width is the median distance, and P fixed by images and folds. So all permutations are
refitted in one matrix product P (y_1 ... y_R): 0.2 s for 256 + 256 images and 500 permutations. Labels are
permuted within folds, which contain the same fractions of both sets; or exchanged within pairs that share a
fold, if A's and B's images of one seed are compared. In both cases the p-value is exact.

Features are invariant to flips and rotations by 90 degrees, as galaxies have random orientations. At each
scale of a pyramid (halved down to 8 pixels) the image is filtered with the products of l = (1, 2, 1)/4,
d = (1, 0, -1)/2 and s = (1, -2, 1)/4 along rows and columns. In each of three rings about the center, the
features are the mean of the image, and the log mean square and the peakedness of each filtered image; the two
orientations of a filter are replaced by the larger and the smaller value, which preserves elongation. Images
are first rounded to the 8 bits of the data, or else the rounding would be detected.

*Coarse*: a model with any defect at the finest scale is always distinguishable from galaxies, AUC 1, however
good it is at other scales. The same test with images averaged down to fewer pixels excludes the scales at
which noise and sharpness dominate.

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

MOST = 2048  # maximum rows of a set: the test needs n x n matrices, 0.4 GB for three with n = 2 x 2048
_FOLDS = 5  # folds of the cross-validation
_PENALTY = 0.1  # ridge penalty lambda
_AT_ONCE = 1024  # images per batch of features: 10 000 filtered images of 32 x 32 pixels take 1 GB


@dataclass(frozen=True)
class C2ST:
    """Result of a classifier two-sample test.

    Attributes:
        auc: Cross-validated area under the curve, with Newcombe's interval for independent predictions.
        outcome: The same area with its null distribution for permuted labels.
    """

    auc: Estimate
    outcome: Outcome

    @property
    def p(self) -> float:
        """Permutation p-value: fraction of labelings, the observed one included, with at least this AUC."""
        return self.outcome.p


def features(images: Tensor | np.ndarray, *, side: int | None = None) -> np.ndarray:
    """Compute the classifier features of images in [0, 1] or uint8, (n, C, H, H): float64 (n, p).

    p is 51 per scale (3 scales at 32 x 32 pixels) and channel. With a `side` the images are averaged down to
    it after the rounding; both are powers of two, at least 8.
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
    values = []
    while x.shape[-1] >= 8:
        y = F.conv2d(x, bank[:, None])
        position = torch.arange(y.shape[-1]) - (y.shape[-1] - 1) / 2
        radius = torch.hypot(position[:, None], position) / x.shape[-1]
        for ring in (radius < 1 / 8, (radius >= 1 / 8) & (radius < 1 / 4), radius >= 1 / 4):
            inside = y[:, :, ring]
            energy = inside[:, 1:].square().mean(2) + 255**-2 / 12  # plus the variance of rounding
            peakedness = inside[:, 1:].abs().mean(2) / energy.sqrt()
            values.append(inside[:, :1].mean(2))
            for value in (energy.log(), peakedness):
                one, two = value[:, 2:5], value[:, 5:]
                values += [value[:, :2], torch.maximum(one, two), torch.minimum(one, two)]
        x = F.avg_pool2d(x, 2)
    return torch.cat(values, 1).reshape(n, -1).numpy()


def auc(low: np.ndarray, high: np.ndarray) -> Estimate:
    """Return the AUC, P(a value of `high` is above one of `low`), where ties count 1/2.

    The 95 % interval contains the areas A with |A - AUC| <= 1.96 sd(A), sd that of Hanley and McNeil
    (Newcombe's method 5). Its width is above 0 at AUC = 1, and it contains 1/2 if the rank-sum test does not
    reject. Repeated values count once in n: a copy of a sample is not independent evidence.
    """
    if not (len(low) and len(high)) or np.isnan(low).any() or np.isnan(high).any():
        raise GalgenError("no values to rank, or some are NaN: omit those samples")
    area = float(stats.mannwhitneyu(high, low, method="asymptotic").statistic / (len(low) * len(high)))
    m, n = len(np.unique(low)), len(np.unique(high))
    z = stats.norm.ppf(0.975)

    def excess(a: float) -> float:
        spread = 1 + ((m + n) / 2 - 1) * ((1 - a) / (2 - a) + a / (1 + a))
        return abs(a - area) - z * (a * (1 - a) * spread / (m * n)) ** 0.5

    inside = min(max(area, 1e-9), 1 - 1e-9)  # at 0 and 1 the sd is 0, which hides the other root
    limits = [end if excess(end) <= 0 else optimize.brentq(excess, inside, end) for end in (0.0, 1.0)]
    return Estimate(area, *limits, n=min(m, n))


def c2st(
    x: np.ndarray, y: np.ndarray, *, paired: bool = False, permutations: int = 500, seed: int = 0
) -> C2ST:
    """Run the classifier two-sample test on the features of two sets, at most the first `MOST` rows of each.

    The n of the AUC is the number of rows used.

    Args:
        x: Features of the first set, (n, p).
        y: Features of the second set, (m, p).
        paired: Whether x_i and y_i come from one latent, so that the null is their exchange.
        permutations: Number R of permutations.
        seed: Random seed.

    Returns:
        The test; its AUC is above 1/2 if the classifier distinguishes the sets.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if paired and len(x) != len(y):
        raise GalgenError(f"{len(x)} and {len(y)} images are not pairs")
    if min(len(x), len(y)) < 2 * _FOLDS or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise GalgenError(f"the test needs {2 * _FOLDS} finite rows per set, not {len(x)} and {len(y)}")
    x, y = x[:MOST], y[:MOST]
    rng = np.random.default_rng(seed)
    part = rng.permutation(len(x)) % _FOLDS
    fold = np.concatenate([part, part if paired else rng.permutation(len(y)) % _FOLDS])
    labels = np.repeat([-1.0, 1.0], [len(x), len(y)])
    labels = permuted(labels, permutations, rng, paired=paired, groups=fold)
    # rounded, or equal images would be ranked by the last bit
    score = np.round(_predicted(labels, np.concatenate([x, y]), fold), 9)
    ranks = (stats.rankdata(score, axis=1) * (labels > 0)).sum(1)
    area = (ranks - len(y) * (len(y) + 1) / 2) / (len(x) * len(y))
    return C2ST(auc(score[0, : len(x)], score[0, len(x) :]), permutation_test(area))


def _predicted(labels: np.ndarray, x: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return P y for each row of labels, (R, n): predictions of each image from the other folds."""
    sd = x.std(0)
    varies = sd > 1e-9 * np.abs(x).max(0)
    x = ((x - x.mean(0)) / np.where(varies, sd, 1))[:, varies]
    square = spatial.distance.pdist(x, "sqeuclidean")
    positive = square[square > 0]
    width = np.median(positive) if len(positive) else 1.0
    kernel = spatial.distance.squareform(square)
    np.exp(kernel / (-2 * width), out=kernel)
    predicted = np.empty(labels.shape)
    for k in np.unique(fold):
        test, rest = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        ridge = kernel[np.ix_(rest, rest)]
        ridge[np.diag_indices(len(rest))] += _PENALTY
        M = np.linalg.solve(ridge, kernel[np.ix_(rest, test)])
        predicted[:, test] = labels[:, rest] @ (M - M.mean(0))  # nonzero columns of P
    return predicted
