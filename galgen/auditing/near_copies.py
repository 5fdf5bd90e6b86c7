"""Near-copies of training images among the samples of a model, and samples equal to training images.

A *near-copy* is a sample with d1 / d2 < 1/3 to its nearest training images (`galgen.compare.memorization`),
also flipped. Held-out images are counted as if they were samples: p is that of Fisher's exact test that
near-copies are not more frequent among samples. *Equal* is a sample that has all bytes of a training image,
at the full resolution, also flipped or rotated by quarter turns.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from galgen.compare import similarity
from galgen.compare.memorization import distance_ratio, near_copy_fraction
from galgen.compare.uncertainty import Estimate
from galgen.data.unit import mean_image, unit

__all__ = ["NearCopies", "Pair", "equal", "near_copies"]

SHOWN = 20  # pairs in the result


@dataclass(frozen=True)
class Pair:
    """A sample and its nearest training image.

    Attributes:
        sample: Row of the sample.
        image: Row of the training image.
        flip: Flip of the sample that matches best, an index of `galgen.compare.similarity.FLIPS`.
        ratio: d1 / d2.
    """

    sample: int
    image: int
    flip: int
    ratio: float


@dataclass(frozen=True)
class NearCopies:
    """Near-copies of training images.

    Attributes:
        fraction: Fraction of near-copies among the samples.
        held_out: The same for held-out images.
        p: One-sided p-value of Fisher's exact test of the two.
        flipped: Number of near-copies that match after a flip.
        nearest: The pairs with the smallest d1 / d2.
    """

    fraction: Estimate
    held_out: Estimate
    p: float
    flipped: int
    nearest: tuple[Pair, ...]


def near_copies(samples: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> NearCopies:
    """Count near-copies of training images among samples and among held-out images, uint8 (n, 1, H, H)."""
    options = {"mean": mean_image(np.concatenate([train, held_out])), "flips": True}
    ratio, null = (distance_ratio(unit(x), train, **options) for x in (samples, held_out))
    fractions = near_copy_fraction(ratio), near_copy_fraction(null)
    counts = [[round(f.value * f.n), f.n - round(f.value * f.n)] for f in fractions]
    rows = np.argsort(ratio, kind="stable")[: max(SHOWN, counts[0][0])]
    near = similarity.nearest(unit(samples[rows]), train, kind="anomaly", **options)
    columns = rows.tolist(), near.index[:, 0].tolist(), near.flip[:, 0].tolist(), ratio[rows].tolist()
    pairs = [Pair(*row) for row in zip(*columns, strict=True)]
    flipped = sum(pair.flip > 0 for pair in pairs[: counts[0][0]])
    p = float(stats.fisher_exact(counts, alternative="greater").pvalue)
    return NearCopies(*fractions, p, flipped, tuple(pairs[:SHOWN]))


def equal(samples: np.ndarray, train: np.ndarray) -> tuple[int, int]:
    """Return the number of samples equal to a training image, and of those equal only after a turn or flip.

    >>> equal(np.arange(8)[::-1].reshape(2, 1, 2, 2), np.arange(8).reshape(2, 1, 2, 2))
    (2, 2)
    """
    known = {hash(image.tobytes()) for image in train}
    turns = [(k, axes) for k in range(4) for axes in ((), (-1,))]
    found = [
        [hash(np.rot90(np.flip(x, axes), k, (-2, -1)).tobytes()) in known for k, axes in turns]
        for x in samples
    ]
    same = np.array(found).any(1)
    return int(same.sum()), int((same & ~np.array(found)[:, 0]).sum())
