r"""Laws of the onset as a function of N and width: fits with censored onsets, and predictions.

Let t* be the images shown at the onset of a training of N images (`galbook.onset.gap`), W its kernels and
l = N d / p its load, pixels of the set over weights. The laws are of passes, t* / N:

    L     t*/N = A_W (1 + l / l_0)          a time of each width, growing with the load
    L1    t*/N = (c / W) (1 + l / l_0)      the same, with the time inverse to the width
    P     t*/N = t*(100; W) / 100           in proportion to N, from N = 100 of the same width
    N     t*/N = c N^a / W                  a power of N alone, inverse to the width

*Fit.* log t* of a training scatters about its law normally, with the standard deviation s of trainings
within a cell, a width and an N, pooled over all cells. A training that ended before its onset counts as one
beyond that (censored). Maximum likelihood at that s; parameters are those of log t*/N.

*Lack of fit.* Twice the log-likelihood that is lost against a mean of its own for each cell, over the
parameters that this spends, is F with the degrees of freedom of s where the law is true.

*Foretold* is the geometric mean of n trainings of a cell: the law's value, with the error of its parameters
and s / sqrt(n), by Student's t of the degrees of s. A law is contradicted by a cell that lies outside. Its
power against another law is how often that comes out where the other is true, by the noncentral t.
P, and L at a width that it has not seen, foretell by way of N = 100 of the same width, whose error counts.

References:
    Bonnaire et al. 2025, https://arxiv.org/abs/2505.17638 (in proportion to N, inverse to W).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from scipy import optimize, stats

from galbook.onset.configurations import Cell
from galgen.compare.uncertainty import Estimate
from galgen.runs.errors import GalgenError

__all__ = [
    "LAWS",
    "SCALE",
    "Fit",
    "Foretold",
    "Law",
    "Place",
    "Seen",
    "fit",
    "power",
    "reach",
    "scatter",
    "seen",
    "slope_of",
]

SCALE = 100  # N of the cells from which a law foretells those of the same width


@dataclass(frozen=True)
class Place:
    """Where a law is asked: base_channels, N, and the load."""

    base_channels: int
    N: int
    load: float


@dataclass(frozen=True)
class Seen:
    """A cell as the laws see it.

    Attributes:
        place: Where.
        onsets: Log of passes at the onset, of the trainings that have one.
        ends: Log of passes shown, of those that have none.
    """

    place: Place
    onsets: Sequence[float]
    ends: Sequence[float] = ()


def seen(cells: Iterable[Cell]) -> list[Seen]:
    """The cells of the usual rate."""
    found = []
    for cell in (cell for cell in cells if cell.rate == 1):
        onsets = [gap.onset() for gap in cell.gaps]
        ends = [log(gap.shown[-1] / cell.N) for gap, t in zip(cell.gaps, onsets, strict=True) if not t]
        found.append(
            Seen(Place(cell.base_channels, cell.N, cell.load), [log(t / cell.N) for t in onsets if t], ends)
        )
    return found


def scatter(cells: Iterable[Seen]) -> tuple[float, int]:
    """s, the standard deviation of log t* within a cell, pooled over cells, and its degrees of freedom.

    Raises:
        GalgenError: If no cell has two trainings with an onset.
    """
    onsets = [np.array(cell.onsets) for cell in cells if cell.onsets]
    freedom = sum(len(y) - 1 for y in onsets)
    if not freedom:
        raise GalgenError("a law needs a cell of two trainings with an onset, to see how they scatter")
    return sqrt(sum(len(y) * y.var() for y in onsets) / freedom), freedom


@dataclass(frozen=True)
class Law:
    """A law of log t*/N.

    Attributes:
        name: Its letter.
        formula: In words that a reader can compute by.
        parameters: Names of its parameters, all of them logarithms but the power a, for these widths.
        value: log t*/N at a place, from the parameters by name.
        anchored: Whether its times are of single widths, known by cells of each alone.
    """

    name: str
    formula: str
    parameters: Callable[[Sequence[int]], list[str]]
    value: Callable[[dict[str, float], Place], float]
    anchored: bool = False


def _times(widths: Sequence[int]) -> list[str]:
    return [f"A_{kernels}" for kernels in widths]


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
class Foretold:
    """What a law foretells of a cell.

    Attributes:
        images: Images shown at the onset, the geometric mean of n trainings, with the interval in which it
            lies where the law is true.
        error: Standard error of the log of that mean, of the parameters and the n trainings together.
    """

    images: Estimate
    error: float


@dataclass(frozen=True)
class Fit:
    """A law and its parameters.

    Attributes:
        law: Which.
        values: Parameters by name.
        covariance: Of them, in that order.
        s: Scatter of a training.
        freedom: Its degrees of freedom.
        lack: p of its lack of fit.
    """

    law: Law
    values: dict[str, float]
    covariance: np.ndarray
    s: float
    freedom: int
    lack: float

    def constants(self) -> dict[str, Estimate]:
        """The parameters, logarithms taken back, with intervals."""
        found, t = {}, stats.t.ppf(0.975, self.freedom)
        for (name, value), variance in zip(self.values.items(), self.covariance.diagonal(), strict=True):
            ends = value, value - t * sqrt(variance), value + t * sqrt(variance)
            found[name] = Estimate(*(ends if name == "a" else map(exp, ends)), self.freedom)
        return found

    def foretold(self, at: Place, n: int) -> Foretold:
        """What it foretells of n trainings.

        Raises:
            GalgenError: If the law is anchored, and no cell of that width was seen.
        """
        if f"A_{at.base_channels}" not in self.values and self.law.anchored:
            raise GalgenError(f"{self.law.name} has no constant for {at.base_channels} base channels")
        slope = slope_of(self.law, self.values, at)
        error = sqrt(float(slope @ self.covariance @ slope) + self.s**2 / n)
        middle, half = self.law.value(self.values, at) + log(at.N), stats.t.ppf(0.975, self.freedom) * error
        return Foretold(Estimate(*map(exp, (middle, middle - half, middle + half)), n), error)

    def ratio(self, at: Place, anchor: Place, n: int, before: int) -> Foretold:
        """What it foretells of the images at the onset over those of another cell of the same width.

        Args:
            at: Where it is asked.
            anchor: The other.
            n: Trainings there.
            before: Trainings of the other.
        """
        free = {f"A_{at.base_channels}": 0.0} if self.law.anchored else {}  # it cancels
        of, names = self.values | free, list(self.values)
        slope = slope_of(self.law, of, at) - slope_of(self.law, of, anchor)
        known = slope[[list(of).index(name) for name in names]]
        error = sqrt(float(known @ self.covariance @ known) + self.s**2 * (1 / n + 1 / before))
        middle = self.law.value(of, at) - self.law.value(of, anchor) + log(at.N / anchor.N)
        half = stats.t.ppf(0.975, self.freedom) * error
        return Foretold(Estimate(*map(exp, (middle, middle - half, middle + half)), n + before), error)


def slope_of(law: Law, of: dict[str, float], at: Place, step: float = 1e-5) -> np.ndarray:
    """Derivatives of a law by its parameters."""
    return np.array(
        [
            (law.value(of | {name: x + step}, at) - law.value(of | {name: x - step}, at)) / (2 * step)
            for name, x in of.items()
        ]
    )


def fit(law: Law, cells: Sequence[Seen]) -> Fit:
    """Fit a law to all cells; P to those of N = 100.

    Raises:
        GalgenError: As `scatter`, or if there are fewer cells than parameters.
    """
    s, freedom = scatter(cells)
    if law.name == "P":
        cells = [cell for cell in cells if cell.place.N == SCALE]
    names = law.parameters(sorted({cell.place.base_channels for cell in cells}))
    if len(cells) < len(names):
        raise GalgenError(f"{law.name} has {len(names)} parameters, and there are {len(cells)} cells")

    def lost(values: np.ndarray) -> float:
        """Minus the log-likelihood, but for a constant."""
        of, total = dict(zip(names, values, strict=True)), 0.0
        for cell in cells:
            middle = law.value(of, cell.place)
            total += sum((y - middle) ** 2 for y in cell.onsets) / (2 * s**2)
            total -= sum(stats.norm.logsf((end - middle) / s) for end in cell.ends)
        return total

    start = [-1.0 if name == "l_0" else 0.3 if name == "a" else 7.0 for name in names]
    found = optimize.minimize(lost, start, method="BFGS", options={"gtol": 1e-7}).x
    of = dict(zip(names, map(float, found), strict=True))
    information = np.zeros((len(names), len(names)))
    for cell in cells:
        slope, middle = slope_of(law, of, cell.place), law.value(of, cell.place)
        z = (np.array(cell.ends) - middle) / s
        hazard = np.exp(stats.norm.logpdf(z) - stats.norm.logsf(z))
        weight = len(cell.onsets) + float((hazard * (hazard - z)).sum())  # of a censored one, in part
        information += weight / s**2 * np.outer(slope, slope)
    own = sum(len(cell.onsets) * np.var(cell.onsets) for cell in cells if cell.onsets) / (2 * s**2)
    spare = len(cells) - len(names)
    lack = stats.f.sf(2 * (lost(found) - own) / spare, spare, freedom) if spare else 1.0
    return Fit(law, of, np.linalg.pinv(information), s, freedom, float(lack))


def reach(passes: float, l_0: float, images: float, pixels: int, weights: float) -> float:
    """The largest N of which copying begins within so many images shown, by law L.

    With A = passes: images = N A (1 + N d / (l_0 p)), solved for N.
    """
    full = l_0 * weights / pixels  # N at which the time has doubled
    return full / 2 * (sqrt(1 + 4 * images / (passes * full)) - 1)


def power(one: Foretold, other: Foretold, freedom: int) -> float:
    """How often a cell contradicts one law where the other is true, just as it was fitted."""
    t, shift = stats.t.ppf(0.975, freedom), log(other.images.value / one.images.value) / one.error
    return float(stats.nct.sf(t, freedom, shift) + stats.nct.cdf(-t, freedom, shift))
