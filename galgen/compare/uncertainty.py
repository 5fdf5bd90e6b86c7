"""How sure is a number? An interval about it, or a null beside it.

**Interval.** Where the value might have come out with other images: for independent samples of a value each,
or of some that are drawn together, a percentile bootstrap; where all are equal, as of a share of 0 or of 1,
Wilson's.

Of a ratio a / b of two estimates with covariance V, Fieller's: all r for which a - r b is compatible with 0,

    (a - r b)^2 <= t^2 (V_aa - 2 r V_ab + r^2 V_bb),

with t the 97.5 % quantile of Student's t. It has two ends only where b^2 > t^2 V_bb. Where the interval of b
holds 0 any r may do, and there is no ratio to quote.

**Null.** What the value is when there is nothing to find, t_1 .. t_R, as permutations make it that change
nothing then. With t_0 the value itself,

    p = #{r = 0 .. R : t_r >= t_0} / (1 + R),

so that P(p <= t) <= t where there is nothing to find, and p is never 0. `permuted` deals them out. Where the
value may lie on either side, p is twice the smaller of that and the same with t_r <= t_0, or 1.

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
        n: Samples it rests on.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return format(self)

    def __format__(self, form: str) -> str:
        """The value and its interval, each in that format of a float, by default with two digits."""
        value, low, high = (format(number, form or ".2f") for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]".replace("inf", "∞")


@dataclass(frozen=True)
class Outcome:
    """A number with its null.

    Attributes:
        value: What was found.
        low: Lower end of a range that holds 95 % of the null.
        high: Upper end.
        p: How often the null is as large as the value.
    """

    value: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f}), p {p_text(self.p)}"


def p_text(p: float) -> str:
    """A p-value to three digits, or that it is below them: it is never 0.

    >>> p_text(0.0421), p_text(0.0004)
    ('0.042', '< 0.001')
    """
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def bootstrap(
    values: np.ndarray, statistic: Callable[..., np.ndarray] = np.median, *, seed: int = 0
) -> Estimate:
    """A statistic of independent samples with its percentile bootstrap interval, of 2000 resamplings.

    Args:
        values: One number a sample, (n,), or some that are drawn together, (n, k): of n k numbers the value,
            of n draws the interval.
        statistic: A numpy reduction that takes `axis`; the median by default, for cosines.
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
    """The mean of values in [0, 1], (n,) or (n, k) as in `bootstrap`, with its bootstrap interval.

    Where all are equal, as where all are 0, resampling sees no spread: there the interval is Wilson's.
    """
    if len(values) and (values == (value := values.flat[0])).all():
        z2 = stats.norm.ppf(0.975) ** 2 / len(values)
        low, rest = (
            (p + z2 / 2 - np.sqrt(z2 * p * (1 - p) + z2**2 / 4)) / (1 + z2) for p in (value, 1 - value)
        )
        return Estimate(float(value), float(low), float(1 - rest), len(values))
    return bootstrap(values, np.mean, seed=seed)


def over_trainings(values: Sequence[float]) -> Estimate:
    """The mean of a number of each of a few trainings, or pairs of them, with the interval of Student's t."""
    values = finite(values)
    if len(values) < 2:
        raise GalgenError(f"an interval over trainings needs two or more, not {len(values)}")
    mean, half = float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return Estimate(mean, mean - half, mean + half, len(values))


def ratio(top: float, bottom: float, covariance: np.ndarray, *, freedom: float, n: int) -> Estimate | None:
    """Of two estimates, with Fieller's interval.

    Args:
        top: The numerator.
        bottom: The denominator.
        covariance: Of the two, (2, 2).
        freedom: Degrees of freedom of that covariance.
        n: Samples, for the record.

    Returns:
        None where the interval of the denominator holds 0.
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
    """What is given, and how it might as well have been: (1 + permutations, n).

    Args:
        given: Labels, or indices, (n,).
        permutations: How often they are dealt out anew.
        seed: Random seed, or a generator to go on with.
        paired: Labels i and n/2 + i are opposite and belong to one latent: only they are exchanged.
        groups: Of each label, (n,): it is exchanged with others of its group only.
    """
    rng = np.random.default_rng(seed)
    if paired:
        signs = rng.choice([-1.0, 1.0], (permutations, len(given) // 2))
        return np.concatenate([given[None], given * np.tile(signs, 2)])
    dealt = np.tile(given, (permutations, 1))
    groups = np.zeros(len(given)) if groups is None else groups
    for group in np.unique(groups):
        dealt[:, groups == group] = rng.permuted(dealt[:, groups == group], axis=1)
    return np.concatenate([given[None], dealt])


def permuted_sums(
    given: np.ndarray,
    values: np.ndarray,
    permutations: int,
    seed: int | np.random.Generator,
    *,
    paired: bool = False,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """The product of `permuted` and of values, (1 + permutations, ...), of few arrangements at a time.

    Args:
        given: Labels, (n,).
        values: Of each, (n, ...): statistics that are linear in the labels.
        permutations: How often they are dealt out anew.
        seed: Random seed, or a generator to go on with.
        paired: As in `permuted`.
        groups: As those of `permuted`.
    """
    rng, rows = np.random.default_rng(seed), max(1, 2**22 // len(given))
    parts = (min(rows, permutations - first) for first in range(0, permutations, rows))
    dealt = [permuted(given, count, rng, paired=paired, groups=groups)[1:] @ values for count in parts]
    sums = np.concatenate([(given @ values)[None], *dealt])
    return np.where(np.abs(sums) < 1e-12 * (np.abs(given) @ np.abs(values)), 0, sums)  # a sum of 0, rounded


def permutation_test(
    values: np.ndarray, band: tuple[float, float] = (0.025, 0.975), *, both: bool = False
) -> Outcome:
    """The first of the values, t_0, beside the others, those of the null: (1 + R,).

    Args:
        values: Of the statistic.
        band: In quantiles of the null.
        both: Whether a value as small counts as well: p is then twice the smaller of the two sides'.

    Raises:
        GalgenError: If some are not finite: with no number NaN compares, and p would be 0.

    >>> permutation_test(np.array([3.0, 1.0, 2.0, 4.0])).p  # 3 and 4 of four values are as large
    0.5
    """
    low, high = np.quantile(finite(values)[1:], band)
    slack = 1e-9 * abs(values[0])  # equals may differ in the last bits
    p = np.mean(values >= values[0] - slack)
    if both:
        p = min(1.0, 2 * min(p, np.mean(values <= values[0] + slack)))
    return Outcome(float(values[0]), float(low), float(high), float(p))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """P-values of several questions by Holm's method: that any is wrongly below a level is as unlikely."""
    least, found = 0.0, {}
    for k, name in enumerate(sorted(p, key=p.get)):
        least = max(least, min(1.0, (len(p) - k) * p[name]))
        found[name] = least
    return found


def finite(values: np.ndarray) -> np.ndarray:
    """The values, if there are any and all are finite."""
    values = np.asarray(values)
    if len(values) == 0 or not np.isfinite(values).all():
        raise GalgenError("no values, or some not finite: leave out samples that did not converge")
    return values
