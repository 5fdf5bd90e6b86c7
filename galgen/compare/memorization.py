"""Has a model memorized? The share of its samples that are copies.

**Memorized fraction**, the share of samples with d1 / d2 < 1/3, where d1 and d2 are the Euclidean distances
to the nearest and the second nearest training image (Yoon et al. 2023; Gu et al. 2023). Here the distances
are those between images of unit length after the projection of the cosine, d = sqrt(2 - 2 cosine):
brightness and contrast, in which diffusion samples are a few per cent off, then hide no copy. Two copies of
an image in the training set hide one: remove duplicates first. With fewer than two training images there is
no ratio. It has a threshold; the test without one is `galgen.compare.exchange`.

References:
    Yoon et al. 2023, Diffusion probabilistic models generalize when they fail to memorize,
    https://openreview.net/forum?id=shciCbSk9h. Gu et al. 2023, On memorization in diffusion models,
    https://arxiv.org/abs/2310.02664.
"""

import numpy as np

from galgen.compare.uncertainty import Estimate, bootstrap, finite, share


def gap_ratio(cosine: np.ndarray) -> np.ndarray:
    """Nearest over second nearest distance.

    Args:
        cosine: Cosines to the two (or more) nearest training images, nearest first, (n, k >= 2).

    Returns:
        d1 / d2 in [0, 1], (n,); 1 where both are 0: two copies in the training set do not count as memorized.
    """
    cosine = finite(cosine)
    first, second = np.sqrt(np.clip(2 - 2 * cosine[:, :2].astype(np.float64), 0, None)).T
    return np.divide(first, second, out=np.ones_like(first), where=second > 0)


def memorized_fraction(cosine: np.ndarray) -> Estimate:
    """The share of samples with d1 / d2 < 1/3.

    Args:
        cosine: Cosines to the two nearest training images, nearest first, (n, 2).

    Returns:
        The share with its bootstrap interval; where none or all are memorized, resampling sees no spread
        and the interval is Wilson's.
    """
    memorized = gap_ratio(cosine) < 1 / 3
    if memorized.all() or not memorized.any():
        return share(memorized)
    return bootstrap(memorized, np.mean)
