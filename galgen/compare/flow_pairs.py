"""Ratio of two means over pairs of models, with its interval over trainings.

For m models let w(i, j) be a quantity of each ordered pair, such as the W1 of the latents that j infers from
images of i (`galgen.compare.inversion`). The ratio

    mean of w over pairs of one kind / mean of w over pairs of another

for pairs trained on disjoint and on the same images is 1 if the choice of training images has no effect.
Pairs share models, so the interval is that of the jackknife that leaves out one model at a time.
"""

import numpy as np
from scipy import stats

from galgen.compare.uncertainty import Estimate

__all__ = ["ratio_over_trainings"]


def ratio_over_trainings(w: np.ndarray, apart: np.ndarray, alike: np.ndarray) -> Estimate:
    """Return the mean of w over pairs `apart` divided by that over pairs `alike`, with its interval.

    Args:
        w: Quantity of each ordered pair of m models, (m, m).
        apart: Pairs in the numerator, bool (m, m).
        alike: Pairs in the denominator, bool (m, m).
    """
    m = len(w)

    def log(models: np.ndarray) -> float:
        both = np.ix_(models, models)
        return float(np.log(w[both][apart[both]].mean() / w[both][alike[both]].mean()))

    value, left = log(np.arange(m)), np.array([log(np.delete(np.arange(m), j)) for j in range(m)])
    half = stats.t.ppf(0.975, m - 2) * np.sqrt((m - 1) / m * np.square(left - left.mean()).sum())
    return Estimate(*map(float, np.exp([value, value - half, value + half])), m)
