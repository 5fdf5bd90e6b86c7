r"""Calibrated distances of two sets of images: too far from each other, or too close?

For rows x_i of one set (n of them) and y_j of another (m):

    PQMass     the space is cut into cells, those nearest to each of R rows of both sets, which are then left
               out; chi^2 of the counts n_c and m_c in the cells over its degrees of freedom, mean over many
               tessellations                                                               1 for one density
    energy     2 mean |x - y| - mean |x - x'| - mean |y - y'|
    MMD        mean k(x, x') + mean k(y, y') - 2 mean k(x, y),  k = exp(-|x - y|^2 / 2 h^2), h the median of
               all distances: a Gaussian kernel
    precision  share of x within the ball of some y, which reaches to its 5th neighbour among the y
    recall     the same of y within the balls of the x
    density    how many balls of the y hold an x, over 5, in the mean: precision that one outlier cannot raise
    coverage   share of the balls of the y that hold an x

Each is calibrated by permutation: labels are dealt out anew, and neither cells nor units depend on labels. A
set that is *too close* is as telling as one that is too far. An audit asks the energy distance alone; the
others stand in the same function, on whose text its answers hang.

References:
    Lemos et al. 2024, PQMass, https://arxiv.org/abs/2402.04355 (package pqm). Gretton et al. 2012, A kernel
    two-sample test, https://jmlr.org/papers/v13/gretton12a.html. Naeem et al. 2020, Reliable fidelity and
    diversity metrics for generative models, https://arxiv.org/abs/2002.09797. Szekely & Rizzo 2013,
    https://doi.org/10.1016/j.jspi.2013.03.018.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from galgen.compare.uncertainty import permuted
from galgen.runs.errors import GalgenError

__all__ = ["STATISTICS", "calibrated", "prdc"]

MOST = 4096  # rows of a set: all distances among them are held, a gigabyte of two such sets
NEIGHBOURS = 5  # of precision, recall, density and coverage
_NEAR = ("precision", "recall", "density", "coverage")  # that fall as sets move apart
STATISTICS = ("PQMass", "energy", "MMD", *_NEAR)


@dataclass(frozen=True)
class TwoSided:
    """A distance beside its null, which it may leave on either side.

    Attributes:
        value: What was found.
        low: Lower end of the range that holds 95 % of the null.
        high: Upper end.
        far: How often sets of one density are as far apart.
        close: How often they are as close.
    """

    value: float
    low: float
    high: float
    far: float
    close: float

    @property
    def p(self) -> float:
        """Of both sides: twice the smaller one."""
        return min(1.0, 2 * min(self.far, self.close))

    def verdict(self, alpha: float = 0.05) -> str:
        """On which side of the null, if on either."""
        return "" if self.p > alpha else "too far" if self.far < self.close else "too close"


def calibrated(
    x: np.ndarray,
    y: np.ndarray,
    *,
    statistics: Sequence[str] = STATISTICS,
    permutations: int = 200,
    tessellations: int = 20,
    seed: int = 0,
) -> dict[str, TwoSided]:
    """The distances of two sets, each with its null; of more than `MOST` rows of the first so many.

    Args:
        x: Rows of the samples, (n, p).
        y: Rows of the reference, (m, p).
        statistics: Which, of `STATISTICS`.
        permutations: Of the labels.
        tessellations: Of PQMass, with one cell for 8 rows, 100 at most.
        seed: Random seed.

    Raises:
        GalgenError: If a set has too few rows for balls of `NEIGHBOURS` neighbours, or some are not finite.
    """
    x, y = x[:MOST], y[:MOST]
    both = np.concatenate([x, y]).astype(np.float64)
    if min(len(x), len(y)) <= NEIGHBOURS or not np.isfinite(both).all():
        raise GalgenError(f"sets of {len(x)} and {len(y)}: give more than {NEIGHBOURS} finite rows of each")
    rng = np.random.default_rng(seed)
    first = permuted(np.repeat([True, False], [len(x), len(y)]), permutations, rng)
    rows = torch.from_numpy(both)
    D = torch.cdist(rows, rows).numpy()
    np.fill_diagonal(D, 0)
    steps = np.where(first, 1 / len(x), -1 / len(y))
    values: dict[str, np.ndarray] = {}
    if "energy" in statistics:
        values["energy"] = -((steps @ D) * steps).sum(1)
    if "MMD" in statistics:
        width = np.median(D[np.triu_indices(len(D), 1)])
        kernel = np.exp(-np.square(D) / (2 * width**2)) if width > 0 else np.ones_like(D)
        values["MMD"] = ((steps @ kernel) * steps).sum(1)
    if "PQMass" in statistics:
        cells = min(100, max(2, len(both) // 8))
        values["PQMass"] = np.mean([_chi2(D, first, cells, rng) for _ in range(tessellations)], 0)
    if set(statistics) & set(_NEAR):
        near = np.array([prdc(D[np.ix_(~f, f)], D[np.ix_(f, f)], D[np.ix_(~f, ~f)]) for f in first])
        values |= dict(zip(_NEAR, near.T, strict=True))
    return {name: _two_sided(values[name], farther=-1 if name in _NEAR else 1) for name in statistics}


def prdc(across: np.ndarray, among_x: np.ndarray, among_y: np.ndarray) -> tuple[float, float, float, float]:
    """Precision, recall, density and coverage, of the distances of y and x, (m, n), and within each set."""
    of_x, of_y = (np.partition(D, NEIGHBOURS, 1)[:, NEIGHBOURS] for D in (among_x, among_y))
    inside = across <= of_y[:, None]
    recall = (across <= of_x).any(1).mean()
    return inside.any(0).mean(), recall, inside.sum() / (NEIGHBOURS * len(of_x)), inside.any(1).mean()


def _chi2(D: np.ndarray, first: np.ndarray, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Chi^2 over its degrees of freedom for each way to label the rows, (R,), in one tessellation."""
    order = rng.permutation(len(D))
    centres, rest = order[:cells], order[cells:]
    held = np.eye(cells)[D[np.ix_(rest, centres)].argmin(1)]
    held = held[:, held.any(0)]
    of_x = first[:, rest].astype(float)
    n = of_x.sum(1, keepdims=True)  # the centres were left out, of whichever set
    m, counts, total = len(rest) - n, of_x @ held, held.sum(0)
    if len(total) < 2:
        return np.ones(len(first))
    square = np.square(np.sqrt(m / n) * counts - np.sqrt(n / m) * (total - counts)) / total
    return square.sum(1) / (len(total) - 1)


def _two_sided(values: np.ndarray, farther: int) -> TwoSided:
    low, high = np.quantile(values[1:], (0.025, 0.975))
    slack = 1e-9 * abs(values[0])  # equals may differ in the last bits
    above, below = np.mean(values >= values[0] - slack), np.mean(values <= values[0] + slack)
    far, close = (above, below)[::farther]
    return TwoSided(float(values[0]), float(low), float(high), float(far), float(close))
