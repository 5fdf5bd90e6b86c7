"""Confidence intervals and permutation tests.

**Interval.** Covers the choice of images: a percentile bootstrap for independent samples with one value each,
or with several dependent ones; Wilson's interval if all values are equal, as for a proportion of 0 or 1.

For a ratio a / b of two estimates with covariance V, Fieller's interval: all r for which a - r b is
compatible with 0,

    (a - r b)^2 <= t^2 (V_aa - 2 r V_ab + r^2 V_bb),

with t the 97.5 % quantile of Student's t. It has two ends only if b^2 > t^2 V_bb. If the interval of b
contains 0, the ratio is unbounded and is not reported.

**Null distribution.** The values t_1 .. t_R of the statistic for permutations that leave its distribution
unchanged under the null hypothesis. With t_0 the observed value,

    p = #{r = 0 .. R : t_r >= t_0} / (1 + R),

so that P(p <= t) <= t under the null hypothesis, and p is never 0. `permuted` returns the permutations. A
two-sided p is twice the smaller of that and the same with t_r <= t_0, at most 1.

References:
    Fieller 1954, Some problems in interval estimation, J. R. Stat. Soc. B 16, 175. Phipson & Smyth 2010,
    Permutation p-values should never be zero, https://arxiv.org/abs/1603.05766.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from galgen.runs.errors import GalgenError

__all__ = ["Estimate", "Outcome", "bootstrap", "finite", "holm", "over_trainings", "p_text",
    "permutation_test", "permuted", "permuted_sums", "proportion", "ratio"]  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: The estimate.
        low: Lower end of the interval.
        high: Upper end.
        n: Number of samples.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return format(self)

    def __format__(self, form: str) -> str:
        """Format the value and its interval, by default with two decimals."""
        value, low, high = (format(number, form or ".2f") for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]".replace("inf", "∞")


@dataclass(frozen=True)
class Outcome:
    """A statistic with its null distribution.

    Attributes:
        value: The observed value.
        low: Lower end of a range that contains 95 % of the null distribution.
        high: Upper end.
        p: The p-value.
    """

    value: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f}), p {p_text(self.p)}"


def p_text(p: float) -> str:
    """Format a p-value with three decimals, or as "< 0.001".

    >>> p_text(0.0421), p_text(0.0004)
    ('0.042', '< 0.001')
    """
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def bootstrap(
    values: np.ndarray, statistic: Callable[..., np.ndarray] = np.median, *, seed: int = 0
) -> Estimate:
    """Return a statistic of independent samples with its percentile bootstrap interval (2000 resamplings).

    Args:
        values: One number per sample, (n,), or k dependent ones, (n, k): the value is that of all numbers,
            the interval resamples the n samples.
        statistic: A numpy reduction with argument `axis`; by default the median, for cosines.
        seed: Random seed.
    """
    values = finite(values)
    if len(values) < 2:
        raise GalgenError(f"a bootstrap needs two samples or more, not {len(values)}")

    def of(rows: np.ndarray, axis: int) -> np.ndarray:
        return statistic(values[rows].reshape(*rows.shape[:-1], -1), axis=axis)

    low, high = stats.bootstrap(
        (np.arange(len(values)),),
        of,
        n_resamples=2000,
        batch=max(1, 10**6 // values.size),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(float(statistic(values.ravel(), axis=0)), float(low), float(high), len(values))


def proportion(values: np.ndarray, *, seed: int = 0) -> Estimate:
    """Return the mean of values in [0, 1], (n,) or (n, k) as in `bootstrap`, with its bootstrap interval.

    If all values are equal, such as all 0, the bootstrap has no spread, and the interval is Wilson's.
    """
    if len(values) and (values == (value := values.flat[0])).all():
        z2 = stats.norm.ppf(0.975) ** 2 / len(values)
        low, rest = (
            (p + z2 / 2 - np.sqrt(z2 * p * (1 - p) + z2**2 / 4)) / (1 + z2) for p in (value, 1 - value)
        )
        return Estimate(float(value), float(low), float(1 - rest), len(values))
    return bootstrap(values, np.mean, seed=seed)


def over_trainings(values: Sequence[float]) -> Estimate:
    """Return the mean over a few trainings, or pairs of them, with Student's t interval."""
    values = finite(values)
    if len(values) < 2:
        raise GalgenError(f"an interval over trainings needs two or more, not {len(values)}")
    mean, half = float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return Estimate(mean, mean - half, mean + half, len(values))


def ratio(top: float, bottom: float, covariance: np.ndarray, *, freedom: float, n: int) -> Estimate | None:
    """Return the ratio of two estimates with Fieller's interval.

    Args:
        top: The numerator.
        bottom: The denominator.
        covariance: Covariance of the two, (2, 2).
        freedom: Degrees of freedom of the covariance.
        n: Number of samples, for the record.

    Returns:
        None if the interval of the denominator contains 0.
    """
    square = stats.t.ppf(0.975, freedom) ** 2
    (v_top, v_both), (_, v_bottom) = np.asarray(covariance, np.float64)
    a, b, c = bottom**2 - square * v_bottom, top * bottom - square * v_both, top**2 - square * v_top
    if a <= 0:
        return None
    half = np.sqrt(max(b**2 - a * c, 0.0))
    return Estimate(float(top / bottom), float((b - half) / a), float((b + half) / a), n)


def permuted(
    given: np.ndarray,
    permutations: int,
    seed: int | np.random.Generator,
    *,
    paired: bool = False,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return the given labels, followed by random permutations of them: (1 + permutations, n).

    Args:
        given: Labels, or indices, (n,).
        permutations: Number of permutations.
        seed: Random seed, or a generator to continue.
        paired: Labels i and n/2 + i are opposite and belong to one latent: only they are exchanged.
        groups: Group of each label, (n,): labels are permuted within groups only.
    """
    rng = np.random.default_rng(seed)
    if paired:
        signs = rng.choice([-1.0, 1.0], (permutations, len(given) // 2))
        return np.concatenate([given[None], given * np.tile(signs, 2)])
    shuffled = np.tile(given, (permutations, 1))
    groups = np.zeros(len(given)) if groups is None else groups
    for group in np.unique(groups):
        shuffled[:, groups == group] = rng.permuted(shuffled[:, groups == group], axis=1)
    return np.concatenate([given[None], shuffled])


def permuted_sums(
    given: np.ndarray,
    values: np.ndarray,
    permutations: int,
    seed: int | np.random.Generator,
    *,
    paired: bool = False,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return the product of `permuted` labels and values, (1 + permutations, ...), computed in batches.

    Args:
        given: Labels, (n,).
        values: Values, (n, ...), of statistics that are linear in the labels.
        permutations: Number of permutations.
        seed: Random seed, or a generator to continue.
        paired: As in `permuted`.
        groups: As in `permuted`.
    """
    rng, rows = np.random.default_rng(seed), max(1, 2**22 // len(given))
    parts = (min(rows, permutations - first) for first in range(0, permutations, rows))
    null = [permuted(given, count, rng, paired=paired, groups=groups)[1:] @ values for count in parts]
    sums = np.concatenate([(given @ values)[None], *null])
    return np.where(np.abs(sums) < 1e-12 * (np.abs(given) @ np.abs(values)), 0, sums)  # a sum of 0, rounded


def permutation_test(
    values: np.ndarray, band: tuple[float, float] = (0.025, 0.975), *, both: bool = False
) -> Outcome:
    """Test the first value, t_0, against the others, the null distribution.

    Args:
        values: Values of the statistic, (1 + R,).
        band: Range of the null distribution, in quantiles.
        both: Whether the test is two-sided.

    Raises:
        GalgenError: If some values are not finite: comparisons with NaN are false, and p would be 0.

    >>> permutation_test(np.array([3.0, 1.0, 2.0, 4.0])).p  # 3 and 4 of four values are as large
    0.5
    """
    low, high = np.quantile(finite(values)[1:], band)
    slack = 1e-9 * abs(values[0])  # equal values may differ in the last bits
    p = np.mean(values >= values[0] - slack)
    if both:
        p = min(1.0, 2 * min(p, np.mean(values <= values[0] + slack)))
    return Outcome(float(values[0]), float(low), float(high), float(p))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Adjust the p-values of several tests by Holm's method, which controls the family-wise error rate."""
    largest, adjusted = 0.0, {}
    for k, name in enumerate(sorted(p, key=p.get)):
        largest = max(largest, min(1.0, (len(p) - k) * p[name]))
        adjusted[name] = largest
    return adjusted


def finite(values: np.ndarray) -> np.ndarray:
    """Return the values as an array, and refuse an empty one or values that are not finite."""
    values = np.asarray(values)
    if len(values) == 0 or not np.isfinite(values).all():
        raise GalgenError("no values, or some not finite: omit samples that did not converge")
    return values
