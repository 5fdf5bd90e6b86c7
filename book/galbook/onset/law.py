"""Laws of the onset as a function of N and width: fits with censored onsets, and predictions.

Let t* be the images shown at the onset of a training on N images (`galbook.onset.gap`), W the base channels
and l = N d / p the load, training pixels per parameter. The laws are for epochs, t* / N:

    L     t*/N = A_W (1 + l / l_0)          one constant per width; increases with the load
    L1    t*/N = (c / W) (1 + l / l_0)      as L, inversely proportional to the width
    P     t*/N = t*(100; W) / 100           t* proportional to N, from N = 100 of the same width
    N     t*/N = c N^a / W                  a power of N, inversely proportional to the width

*Fit.* log t* of a training is normal about its law, with the standard deviation s of trainings within a
configuration (W, N), pooled over all configurations. A training that ended before its onset is censored.
The fit is maximum likelihood at that s; the parameters are those of log t*/N.

*Lack of fit.* Twice the loss of log likelihood relative to a free mean for each configuration, divided by the
number of excess parameters, follows F with the degrees of freedom of s if the law is true.

*Prediction* of the geometric mean of n trainings of a configuration: the value of the law, with the error of
its parameters and s / sqrt(n), and Student's t with the degrees of freedom of s. An observation outside the
interval contradicts the law. The power against another law is the probability of that if the other is true,
by the noncentral t. P, and L at a width without data, predict relative to N = 100 of the same width, whose
error is included.

References:
    Bonnaire et al. 2025, https://arxiv.org/abs/2505.17638 (proportional to N, inversely to W).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from scipy import optimize, stats

from galbook.onset.configurations import Configuration
from galgen.compare.uncertainty import Estimate
from galgen.runs.errors import GalgenError

__all__ = [
    "LAWS",
    "SCALE",
    "Fit",
    "Law",
    "Observations",
    "Place",
    "Prediction",
    "fit",
    "largest_N",
    "observations",
    "power",
    "scatter",
    "slope_of",
]

SCALE = 100  # N of the configurations that anchor predictions at the same width


@dataclass(frozen=True)
class Place:
    """Arguments of a law: base channels, N and load."""

    base_channels: int
    N: int
    load: float


@dataclass(frozen=True)
class Observations:
    """Onsets and censoring times of one configuration, to which laws are fitted.

    Attributes:
        place: Its width, N and load.
        onsets: Log of the epochs at the onset, of trainings with an onset.
        ends: Log of the epochs at the end, of censored trainings.
    """

    place: Place
    onsets: Sequence[float]
    ends: Sequence[float] = ()


def observations(configurations: Iterable[Configuration]) -> list[Observations]:
    """Extract onsets and censoring times of the configurations at the standard learning rate."""
    found = []
    for each in (each for each in configurations if each.rate == 1):
        onsets = [gap.onset() for gap in each.gaps]
        ends = [log(gap.shown[-1] / each.N) for gap, t in zip(each.gaps, onsets, strict=True) if not t]
        place = Place(each.base_channels, each.N, each.load)
        found.append(Observations(place, [log(t / each.N) for t in onsets if t], ends))
    return found


def scatter(data: Iterable[Observations]) -> tuple[float, int]:
    """Standard deviation s of log t* within configurations, pooled, and its degrees of freedom.

    Raises:
        GalgenError: If no configuration has two trainings with an onset.
    """
    onsets = [np.array(each.onsets) for each in data if each.onsets]
    freedom = sum(len(y) - 1 for y in onsets)
    if not freedom:
        raise GalgenError("fitting a law needs a configuration of two trainings with an onset")
    return sqrt(sum(len(y) * y.var() for y in onsets) / freedom), freedom


@dataclass(frozen=True)
class Law:
    """A law of log t*/N.

    Attributes:
        name: Its letter.
        formula: Its formula, as text.
        parameters: From widths to names of parameters, which are logarithms except for the power a.
        value: log t*/N at a place, from the parameters by name.
        anchored: Whether it has one constant per width, fitted to configurations of that width.
    """

    name: str
    formula: str
    parameters: Callable[[Sequence[int]], list[str]]
    value: Callable[[dict[str, float], Place], float]
    anchored: bool = False


def _times(widths: Sequence[int]) -> list[str]:
    return [f"A_{width}" for width in widths]


LAWS = {
    law.name: law
    for law in (
        Law(
            "L",
            "t = N A_W (1 + load / l_0)",
            lambda widths: [*_times(widths), "l_0"],
            lambda of, at: of[f"A_{at.base_channels}"] + log(1 + at.load / exp(of["l_0"])),
            anchored=True,
        ),
        Law(
            "L1",
            "t = N (c / W) (1 + load / l_0)",
            lambda widths: ["c", "l_0"],
            lambda of, at: of["c"] - log(at.base_channels) + log(1 + at.load / exp(of["l_0"])),
        ),
        Law("P", "t = t(100; W) N / 100", _times, lambda of, at: of[f"A_{at.base_channels}"], anchored=True),
        Law(
            "N",
            "t = N c N^a / W",
            lambda widths: ["c", "a"],
            lambda of, at: of["c"] + of["a"] * log(at.N) - log(at.base_channels),
        ),
    )
}


@dataclass(frozen=True)
class Prediction:
    """Prediction of a law for one configuration.

    Attributes:
        images: Images shown at the onset, geometric mean of n trainings, with its 95 % prediction interval.
        error: Standard error of the log of that mean, from the parameters and the n trainings.
    """

    images: Estimate
    error: float


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Attributes:
        law: The law.
        values: Parameters by name.
        covariance: Covariance of the parameters, in that order.
        s: Standard deviation over trainings.
        freedom: Degrees of freedom of s.
        lack: p value of the lack of fit.
    """

    law: Law
    values: dict[str, float]
    covariance: np.ndarray
    s: float
    freedom: int
    lack: float

    def constants(self) -> dict[str, Estimate]:
        """The parameters, exponentiated where they are logarithms, with 95 % intervals."""
        found, t = {}, stats.t.ppf(0.975, self.freedom)
        for (name, value), variance in zip(self.values.items(), self.covariance.diagonal(), strict=True):
            ends = value, value - t * sqrt(variance), value + t * sqrt(variance)
            found[name] = Estimate(*(ends if name == "a" else map(exp, ends)), self.freedom)
        return found

    def predict(self, at: Place, n: int) -> Prediction:
        """Predict the onset of n trainings.

        Raises:
            GalgenError: If the law is anchored and was fitted without data at that width.
        """
        if f"A_{at.base_channels}" not in self.values and self.law.anchored:
            raise GalgenError(f"{self.law.name} has no constant for {at.base_channels} base channels")
        slope = slope_of(self.law, self.values, at)
        error = sqrt(float(slope @ self.covariance @ slope) + self.s**2 / n)
        middle, half = self.law.value(self.values, at) + log(at.N), stats.t.ppf(0.975, self.freedom) * error
        return Prediction(Estimate(*map(exp, (middle, middle - half, middle + half)), n), error)

    def ratio(self, at: Place, anchor: Place, n: int, before: int) -> Prediction:
        """Predict the ratio of images shown at the onsets of two configurations of one width.

        Args:
            at: The numerator.
            anchor: The denominator.
            n: Trainings of the numerator.
            before: Trainings of the denominator.
        """
        free = {f"A_{at.base_channels}": 0.0} if self.law.anchored else {}  # cancels in the ratio
        of, names = self.values | free, list(self.values)
        slope = slope_of(self.law, of, at) - slope_of(self.law, of, anchor)
        known = slope[[list(of).index(name) for name in names]]
        error = sqrt(float(known @ self.covariance @ known) + self.s**2 * (1 / n + 1 / before))
        middle = self.law.value(of, at) - self.law.value(of, anchor) + log(at.N / anchor.N)
        half = stats.t.ppf(0.975, self.freedom) * error
        return Prediction(Estimate(*map(exp, (middle, middle - half, middle + half)), n + before), error)


def slope_of(law: Law, of: dict[str, float], at: Place, step: float = 1e-5) -> np.ndarray:
    """Derivatives of a law with respect to its parameters."""
    return np.array(
        [
            (law.value(of | {name: x + step}, at) - law.value(of | {name: x - step}, at)) / (2 * step)
            for name, x in of.items()
        ]
    )


def fit(law: Law, data: Sequence[Observations]) -> Fit:
    """Fit a law to all configurations; P to those with N = 100.

    Raises:
        GalgenError: As `scatter`, or if there are fewer configurations than parameters.
    """
    s, freedom = scatter(data)
    if law.name == "P":
        data = [each for each in data if each.place.N == SCALE]
    names = law.parameters(sorted({each.place.base_channels for each in data}))
    if len(data) < len(names):
        raise GalgenError(f"{law.name} has {len(names)} parameters, but there are {len(data)} configurations")

    def lost(values: np.ndarray) -> float:
        """Negative log likelihood, up to a constant."""
        of, total = dict(zip(names, values, strict=True)), 0.0
        for each in data:
            middle = law.value(of, each.place)
            total += sum((y - middle) ** 2 for y in each.onsets) / (2 * s**2)
            total -= sum(stats.norm.logsf((end - middle) / s) for end in each.ends)
        return total

    start = [-1.0 if name == "l_0" else 0.3 if name == "a" else 7.0 for name in names]
    found = optimize.minimize(lost, start, method="BFGS", options={"gtol": 1e-7}).x
    of = dict(zip(names, map(float, found), strict=True))
    information = np.zeros((len(names), len(names)))
    for each in data:
        slope, middle = slope_of(law, of, each.place), law.value(of, each.place)
        z = (np.array(each.ends) - middle) / s
        hazard = np.exp(stats.norm.logpdf(z) - stats.norm.logsf(z))
        weight = len(each.onsets) + float((hazard * (hazard - z)).sum())  # censored: partial weight
        information += weight / s**2 * np.outer(slope, slope)
    own = sum(len(each.onsets) * np.var(each.onsets) for each in data if each.onsets) / (2 * s**2)
    spare = len(data) - len(names)
    lack = stats.f.sf(2 * (lost(found) - own) / spare, spare, freedom) if spare else 1.0
    return Fit(law, of, np.linalg.pinv(information), s, freedom, float(lack))


def largest_N(epochs: float, l_0: float, images: float, pixels: int, parameters: float) -> float:
    """Largest N with an onset within a number of images shown, by law L.

    With A = epochs: images = N A (1 + N d / (l_0 p)), solved for N.
    """
    full = l_0 * parameters / pixels  # N at which the epochs to the onset have doubled
    return full / 2 * (sqrt(1 + 4 * images / (epochs * full)) - 1)


def power(one: Prediction, other: Prediction, freedom: int) -> float:
    """Probability that an observation contradicts one fitted law if the other is true."""
    t, shift = stats.t.ppf(0.975, freedom), log(other.images.value / one.images.value) / one.error
    return float(stats.nct.sf(t, freedom, shift) + stats.nct.cdf(-t, freedom, shift))
