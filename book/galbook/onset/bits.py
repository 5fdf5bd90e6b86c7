"""Unintended memorization of the training set, in bits and in bits per parameter.

By I-MMSE a denoiser with squared error E(sigma), summed over pixels, implies the code length of an image

    I = int E(sigma) sigma^-3 d sigma,        in nats, up to a constant; smaller is better.

The *unintended memorization* of Morris et al., the information in the parameters about the training images
beyond that about other galaxies, is therefore

    B(t) = N / ln 2  int [E_held out(sigma; t) - E_own(sigma; t)] sigma^-3 d sigma,        in bits,

here by the trapezoid rule in log sigma over five levels from 0.02 to 0.5. The integral diverges below 0.02,
which is left out; above 0.5 training and held-out images do not differ. B at t_0 (`galbook.onset.gap`) is
subtracted, so that differences in difficulty between the two sets cancel, as in g.

If capacity per parameter is limiting (*size*), B at equal epochs is the same for every N; if training time
is, B is proportional to N. The exponent of N in B distinguishes the two, or gives a value in between.

Configurations measured at sigma = 0.1 only use an approximation from the gap g,

    B ~ N d / 2  log2 10^(g / 10),        d pixels,

as if all errors fell by one factor; it is labeled as such wherever it is reported.

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
    """Unintended memorization B at each milestone, (T,), in bits.

    Args:
        own: Squared error of training images, summed over pixels, mean over images, (L, T), at `SIGMAS`.
        held_out: Squared error of held-out images, (L, T).
        N: Training images.
    """
    sigmas = np.array(SIGMAS)[:, None]
    return N / np.log(2) * np.trapezoid((held_out - own) * sigmas**-2, np.log(sigmas), axis=0)


def approximated(gap: np.ndarray, N: int, pixels: int) -> np.ndarray:
    """Approximate B from the gap g at one noise level, in bits."""
    return N * pixels / 2 * np.log2(10 ** (np.asarray(gap) / 10))


def exponent(bits: dict[int, list[float]]) -> Estimate:
    """Exponent of N in B, between the smallest and the largest N, with Student's interval over trainings.

    The interval uses the scatter of log B pooled over both configurations.

    Args:
        bits: B of each training at equal epochs, by N; two N.
    """
    (small, one), (large, other) = sorted(bits.items())
    few, many = np.log(one), np.log(other)
    freedom = len(few) + len(many) - 2
    scatter = np.sqrt((few.var() * len(few) + many.var() * len(many)) / freedom)
    span = np.log(large / small)
    value = (many.mean() - few.mean()) / span
    half = stats.t.ppf(0.975, freedom) * scatter * np.sqrt(1 / len(few) + 1 / len(many)) / span
    return Estimate(float(value), float(value - half), float(value + half), len(few) + len(many))
