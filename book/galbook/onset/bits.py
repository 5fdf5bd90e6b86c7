r"""How much does a network know of its own images by heart, in bits, and in bits a weight?

By I-MMSE a denoiser of squared error E(sigma), summed over pixels, says as much of an image as

    I = int E(sigma) sigma^-3 d sigma        less is more,        in nats,

is short of that of a network that knows nothing. So what the weights know of their own images beyond other
galaxies, the *unintended memorization* of Morris et al., is

    B(t) = N / ln 2  int [E_held out(sigma; t) - E_own(sigma; t)] sigma^-3 d sigma,        in bits,

here by the trapezoid rule in log sigma over five levels from .02 to .5. What is below .02 would count without
end, and is left out; above .5 own and held-out images do not part. B is given less that at t_0
(`galbook.onset.gap`): by how much one set is harder than another cancels, as in g.

If a network has room for so much a weight and no more (*size*), B at equal passes is the same at every N; if
all is a matter of time, B is in proportion to N. The exponent of N in B says which, or what in between.

Cells made before five levels were asked have one, sigma = .1. There g stands for the rest:

    B ~ N d / 2  log2 10^(g / 10),        d pixels,

as if all errors fell by one factor; marked as that wherever it is shown.

References:
    Guo, Shamai & Verdu 2005, https://arxiv.org/abs/cs/0412108 (I-MMSE).
    Morris et al. 2025, How much do language models memorize?, https://arxiv.org/abs/2505.24832.
"""

import numpy as np
from scipy import stats

from galbook.onset.gap import SIGMAS
from galgen.compare.uncertainty import Estimate

__all__ = ["approximated", "exponent", "memorized"]


def memorized(own: np.ndarray, held_out: np.ndarray, N: int) -> np.ndarray:
    """B at each milestone, (T,), in bits.

    Args:
        own: Squared error of own images, summed over pixels, mean over images, (L, T), at `SIGMAS`.
        held_out: The same of held-out images.
        N: Training images.
    """
    sigmas = np.array(SIGMAS)[:, None]
    return N / np.log(2) * np.trapezoid((held_out - own) * sigmas**-2, np.log(sigmas), axis=0)


def approximated(gap: np.ndarray, N: int, pixels: int) -> np.ndarray:
    """B from the gap g at one noise level, in bits."""
    return N * pixels / 2 * np.log2(10 ** (np.asarray(gap) / 10))


def exponent(bits: dict[int, list[float]]) -> Estimate:
    """The power of N by which B grows between the smallest N and the largest, over trainings.

    Student's interval, of the scatter of log B within both cells.

    Args:
        bits: By N, B of each training at equal passes; two N.
    """
    (small, one), (large, other) = sorted(bits.items())
    few, many = np.log(one), np.log(other)
    freedom = len(few) + len(many) - 2
    scatter = np.sqrt((few.var() * len(few) + many.var() * len(many)) / freedom)
    span = np.log(large / small)
    value = (many.mean() - few.mean()) / span
    half = stats.t.ppf(0.975, freedom) * scatter * np.sqrt(1 / len(few) + 1 / len(many)) / span
    return Estimate(float(value), float(value - half), float(value + half), len(few) + len(many))
