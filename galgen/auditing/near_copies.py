"""Near-copies of training images among the samples of a model.

A *near-copy* is a sample with d1 / d2 < 1/3 to its nearest training images (`galgen.compare.memorization`),
also flipped. Held-out images are counted as if they were samples: p is that of Fisher's exact test that
near-copies are not more frequent among samples.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from galgen.compare import similarity
from galgen.compare.memorization import distance_ratio, near_copy_fraction
from galgen.compare.uncertainty import Estimate
from galgen.data.unit import mean_image, unit

__all__ = ["NearCopies", "near_copies"]

SHOWN = 10  # pairs in the result


@dataclass(frozen=True)
class NearCopies:
    """Near-copies of training images.

    Attributes:
        fraction: Fraction of near-copies among the samples.
        held_out: The same for held-out images.
        p: One-sided p-value of Fisher's exact test of the two.
        nearest: Row of the sample, row of its nearest training image, and d1 / d2; the smallest ratios.
        stamps: These samples and training images, flipped to match, uint8 (k, 2, 1, H, H).
    """

    fraction: Estimate
    held_out: Estimate
    p: float
    nearest: tuple[tuple[int, int, float], ...]
    stamps: np.ndarray = field(compare=False)


def near_copies(samples: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> NearCopies:
    """Count near-copies of training images among samples and held-out images, uint8 (n, 1, H, H)."""
    options = {"mean": mean_image(np.concatenate([train, held_out])), "flips": True}
    ratios = [distance_ratio(unit(x), train, **options) for x in (samples, held_out)]
    counts = [[int((ratio < 1 / 3).sum()), int((ratio >= 1 / 3).sum())] for ratio in ratios]
    rows = np.argsort(ratios[0], kind="stable")[:SHOWN]
    near = similarity.nearest(unit(samples[rows]), train, kind="anomaly", **options)
    pairs = zip(rows.tolist(), near.index[:, 0].tolist(), ratios[0][rows].tolist(), strict=True)
    stamps = np.stack([samples[rows], near.first(train)], axis=1)
    p = float(stats.fisher_exact(counts, alternative="greater").pvalue)
    return NearCopies(*map(near_copy_fraction, ratios), p, tuple(pairs), stamps)
