"""Laws of the onset of the denoising gap as a function of N and width, fitted with censoring.

Let t be the images shown at the onset (`galbook.onset.gap`) of a network of width W trained on N images,
and load = N d / p the training pixels per parameter. In epochs, t / N, the laws are

    load            A W^-b (1 + load / l_0)     three constants
    power           c N^a W^-b                  a power of both; three constants
    proportional    A_W                         t proportional to N, with one constant per width

*Censoring.* The learning rate falls over the last tenth of a training. If the onset is in that tenth, or if
there is no onset, the onset is censored at nine tenths of the training.

*Likelihood.* log t is normal about the law with the scatter s of trainings within a configuration (W, N),
taken as known: two, for N below 100 and from 100 on. A censored training contributes the probability of an
onset after the censoring time. Standard errors are from the observed information, and intervals from
Student's t with the degrees of freedom of s.

*Prediction* of the geometric mean of n trainings of a configuration: the value of the law, with the error of
its constants and s / n^1/2, and Student's t. An observation outside the interval contradicts the law. The
power against another law is the probability of that if the other one is true, by the noncentral t.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
import pandas as pd
from scipy import optimize, stats

from galgen.compare.uncertainty import Estimate
from galgen.runs.errors import GalgenError

__all__ = [
    "CONFIGURATION",
    "LAWS",
    "Fit",
    "Law",
    "Place",
    "fit",
    "log_density",
    "power",
    "scatter",
    "trainings",
]

CONFIGURATION = ["width", "N"]


@dataclass(frozen=True)
class Place:
    """Arguments of a law: base channels, N and load."""

    base_channels: int
    N: int
    load: float


@dataclass(frozen=True)
class Law:
    """A law of log t/N.

    Attributes:
        name: Its name.
        parameters: From widths to names of constants, which are logarithms except the powers a and b.
        value: log t/N at a place, from the constants by name.
    """

    name: str
    parameters: Callable[[Sequence[int]], list[str]]
    value: Callable[[dict[str, float], Place], float]


LAWS = {
    "load": Law(
        "load",
        lambda widths: ["A", "b", "l_0"],
        lambda c, at: c["A"] - c["b"] * log(at.base_channels) + log(1 + at.load / exp(c["l_0"])),
    ),
    "power": Law(
        "power",
        lambda widths: ["c", "a", "b"],
        lambda c, at: c["c"] + c["a"] * log(at.N) - c["b"] * log(at.base_channels),
    ),
    "proportional": Law(
        "proportional",
        lambda widths: [f"A_{width}" for width in widths],
        lambda c, at: c[f"A_{at.base_channels}"],
    ),
}
MANY = 100  # N from which trainings have the second scatter


def trainings(rows: pd.DataFrame, level: float = 1.0) -> pd.DataFrame:
    """One row per training: load, onset at a level (or the images shown when censored), and `censored`.

    Args:
        rows: A table of measurements with `onset`, `onset_censored` and `load`; only the standard learning
            rate is used.
        level: Level of the gap, in dB.
    """
    names = ["load", "onset", "onset_censored"]
    rows = rows[rows.statistic.isin(names) & rows.model.isin(["A0", "B1"])]
    rows = rows[rows["at"].isna() | (rows["at"] == level)].set_index(
        ["seed", "model", *CONFIGURATION, "statistic"]
    )
    table = rows.value.unstack().reindex(columns=names).dropna().reset_index()
    return table.assign(censored=table.onset_censored == 1, log_epochs=np.log(table.onset / table.N))


def scatter(trainings: pd.DataFrame) -> tuple[dict[int, float], int]:
    """Standard deviation of log t within configurations, by N, and its total degrees of freedom.

    Args:
        trainings: Output of `trainings`.

    Raises:
        GalgenError: If no configuration has two trainings with an onset.
    """
    onsets = trainings[~trainings.censored]
    cells = onsets.groupby([onsets.N >= MANY, *CONFIGURATION]).log_epochs
    parts = pd.DataFrame({"freedom": cells.size() - 1, "squares": cells.var(ddof=0) * cells.size()})
    if (parts := parts.groupby(level=0).sum().query("freedom > 0")).empty:
        raise GalgenError("the scatter needs a configuration of two trainings with an onset")
    pooled = np.sqrt(parts.squares / parts.freedom)
    by_N = {int(N): pooled.get(N >= MANY, pooled.iloc[-1]) for N in sorted(trainings.N.unique())}
    return by_N, int(parts.freedom.sum())


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Attributes:
        law: The law.
        values: Constants by name, as logarithms except the powers a and b.
        covariance: Covariance of the constants of the law, in that order.
        s: Scatter of a training, by N.
        freedom: Degrees of freedom of the scatter.
    """

    law: Law
    values: dict[str, float]
    covariance: np.ndarray
    s: dict[int, float]
    freedom: int

    def predicted(self, at: Place, n: int) -> tuple[Estimate, float]:
        """Predict the images shown at the onset, geometric mean of n trainings; and the error of its log."""
        slope, s = _slope(self.law, self.values, at), self.s.get(at.N, self.s[max(self.s)])
        error = sqrt(float(slope @ self.covariance @ slope) + s**2 / n)
        middle, half = self.law.value(self.values, at) + log(at.N), stats.t.ppf(0.975, self.freedom) * error
        return Estimate(*map(exp, (middle, middle - half, middle + half)), n), error


def fit(law: Law, trainings: pd.DataFrame) -> Fit:
    """Fit a law to `trainings`, including censored ones, by maximum likelihood.

    Raises:
        GalgenError: As `scatter`, or if there are fewer configurations with an onset than constants.
    """
    s, freedom = scatter(trainings)
    onsets = trainings[~trainings.censored]
    names = law.parameters(sorted(onsets.width.unique()))
    if onsets.groupby(CONFIGURATION).ngroups < len(names):
        raise GalgenError(f"{law.name} has {len(names)} constants, more than configurations with an onset")
    if widths := {int(name[2:]) for name in names if name.startswith("A_")}:
        trainings = trainings[trainings.width.isin(widths)]  # the law has no constant for other widths
    columns = trainings[[*CONFIGURATION, "load"]].to_numpy()
    places = [Place(int(width), int(N), float(load)) for width, N, load in columns]
    y, late = trainings.log_epochs.to_numpy(), trainings.censored.to_numpy()
    scatters = trainings.N.map(s).to_numpy(float)

    def loss(theta: np.ndarray) -> float:
        """Negative log likelihood, up to a constant."""
        values = dict(zip(names, theta, strict=True))
        z = (y - [law.value(values, at) for at in places]) / scatters
        return -float(np.where(late, stats.norm.logsf(z), -(z**2) / 2).sum())

    start = [{"l_0": -1.0, "a": 0.3, "b": 1.0}.get(name, 7.0) for name in names]
    theta = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-6}).x
    covariance = np.linalg.pinv(_hessian(loss, theta))
    return Fit(law, dict(zip(names, map(float, theta), strict=True)), covariance, s, freedom)


def power(one: Estimate, error: float, other: Estimate, freedom: int) -> float:
    """Probability that an observation contradicts one prediction if another law is true.

    Args:
        one: Prediction of the law in question.
        error: Standard error of its log.
        other: Prediction of the true law.
        freedom: Degrees of freedom of the scatter.
    """
    t = stats.t.ppf(0.975, freedom)
    shift = np.clip(log(other.value / one.value) / error, -10, 10)  # beyond, `nct` has no value
    return float(stats.nct.sf(t, freedom, shift) + stats.nct.cdf(-t, freedom, shift))


def log_density(predicted: Estimate, error: float, new: pd.DataFrame) -> float:
    """Log predictive density of the mean log t of a configuration, or log probability of its censoring.

    Args:
        predicted: Prediction of the geometric mean.
        error: Standard error of its log.
        new: Output of `trainings` for the configuration.
    """
    z = (float(np.log(new.onset).mean()) - log(predicted.value)) / error
    return float(stats.norm.logsf(z) if new.censored.any() else stats.norm.logpdf(z) - log(error))


def _slope(law: Law, constants: dict[str, float], at: Place, step: float = 1e-5) -> np.ndarray:
    """Derivatives of a law with respect to its parameters."""
    return np.array(
        [
            (law.value(constants | {name: x + step}, at) - law.value(constants | {name: x - step}, at))
            / (2 * step)
            for name, x in constants.items()
        ]
    )


def _hessian(f: object, at: Sequence[float], step: float = 1e-3) -> np.ndarray:
    """Matrix of second derivatives of a function, by finite differences."""
    steps = step * np.eye(len(at))
    return np.array(
        [[(f(at + a + b) - f(at + a - b) - f(at - a + b) + f(at - a - b)) for b in steps] for a in steps]
    ) / (4 * step**2)
