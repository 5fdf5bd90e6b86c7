"""Is the onset of the denoising gap that of near-copies? Times of both, compared between configurations.

For one training let t* be the onset of the denoising gap (`galbook.onset.gap`), and t_c the number of images
shown from which more than 5 % of its samples are near-copies for good. If both are one event, t_c / t* is the
same for all configurations (W; N). With r = ln(t_c / t*), k configurations of n trainings, their means m and
the pooled standard deviation s with f = k (n - 1) degrees of freedom, the ratio of the largest to the
smallest t_c / t* has the interval

    exp(max m - min m +- q s / n^(1/2)),        q the 0.95 quantile of the studentized range for k and f

(Tukey's, so it allows for the choice of the extremes). They are *one event* if it lies below 2, *two events*
if above, else it is inconclusive. A training without t_c by the end of the constant learning rate is censored
there: its t_c / t*, and so the ratio, are lower limits, and its configuration does not count for s.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

__all__ = ["FRACTION", "INCONCLUSIVE", "ONE", "TWO", "one_event"]

FRACTION = 0.05
WITHIN = 2.0
ONE, TWO, INCONCLUSIVE = "one event", "two events", "inconclusive"


def one_event(ratios: Sequence[Sequence[float]], censored: Sequence[Sequence[bool]]) -> dict:
    """Ratio of the largest to the smallest mean of t_c / t*, its interval and the verdict.

    Args:
        ratios: t_c / t* of each training, (k, n).
        censored: Whether it is a lower limit, (k, n).
    """
    r, late = np.log(ratios), np.asarray(censored).any(axis=1)
    spread = float(np.ptp(r.mean(axis=1)))
    freedom = int((~late).sum()) * (r.shape[1] - 1)
    half = math.inf
    if freedom:
        s = math.sqrt(r[~late].var(axis=1, ddof=1).mean())
        half = stats.studentized_range.ppf(0.95, len(r), freedom) * s / math.sqrt(r.shape[1])
    low, high = math.exp(spread - half), math.inf if late.any() else math.exp(spread + half)
    # the smallest ratio must be known: if it is a limit, so is the difference in both directions
    least = not late[np.argmin(r.mean(axis=1))]
    verdict = ONE if high < WITHIN else TWO if least and low > WITHIN else INCONCLUSIVE
    return {"value": math.exp(spread), "low": low, "high": high, "freedom": freedom, "verdict": verdict}
