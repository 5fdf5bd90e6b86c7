r"""Does the onset of memorization grow in proportion to N? The statement on time (S1).

If it does, then within one budget of images shown only small sets are copied, and that a large one is not
says nothing of its size. To the onsets t* (`galbook.clock.gap`) of several trainings at several N a power
law is fitted by least squares, for each width of the network,

    log t* = b log N + constant,        se(b) = s / sqrt(sum (x - mean x)^2),   x = log N of each training.

s^2 is the variance of log t* among trainings of one cell, a width and an N, pooled over all cells: it holds
what another training and another set of N images change, and assumes nothing of the law. Two trainings in
each of six cells leave 6 degrees of freedom, and b +- 2.45 se(b) covers 95 %. How far the law is from
straight, the coefficient of (log N)^2 in a parabola, is printed beside it.

Power, by simulation of six such cells: where two trainings of a cell scatter by 10, 15, 20 or 30 % (s), the
statement is held in 100, 88, 53 and 9 % of cases if b = 1 at both widths, and not held in 100, 88, 68 and
40 % if b = .5. With six trainings of a cell and 30 % it is 87 and 93 %.

References:
    Bonnaire et al. 2025, https://arxiv.org/abs/2505.17638, and Favero et al. 2025,
    https://arxiv.org/abs/2505.16959, who find b = 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy import stats

from galbook.clock.gap import LEVEL, LEVELS, Gap, mean_onset
from galgen.compare.uncertainty import Estimate
from galgen.figures.words import spaced
from galgen.runs.errors import GalgenError

__all__ = ["SCALE", "TRAININGS", "Cell", "Statement", "arranged", "in_proportion", "power_laws"]

Verdict = Literal["held", "not held", "underpowered", "not testable here"]

# Margins, fixed before any onset of this book was measured.

# A power off by .3 moves the onset by a factor of two between N = 10 and 100 (10^.3 = 2.0): up to that, a
# prediction in proportion is of use. No growth (0), the square root (.5) and the square (2) lie outside.
POWER = (0.7, 1.3)
SIZES = 3  # N at a width: the fewest that show whether a power law is straight
WIDTHS = 2  # one would leave open whether the law is that of one network
TRAININGS = 2  # in a cell on which a verdict hangs: the fewest that show how far another one lies
SCALE = 100  # the largest N asked of every width, whose onset sets the scale of the statement on size

_MARGIN = (
    "the interval of the power within .7 to 1.3 at every width: off by .3 it moves the onset by a factor of "
    "two between N = 10 and 100, and no growth (0), the square root (.5) and the square (2) are excluded"
)


@dataclass(frozen=True)
class Cell:
    """Trainings of one network on sets of one size, all by one recipe.

    Attributes:
        kernels: Width of the network.
        N: Training images.
        gaps: g of each training, on disjoint sets (A, B).
        load: Pixels of the training set over weights of the network: what it is asked to keep.
    """

    kernels: int
    N: int
    gaps: Sequence[Gap]
    load: float

    def __str__(self) -> str:
        return f"{self.kernels} kernels at N = {spaced(self.N)}"

    def onset(self, level: float = LEVEL) -> float | None:
        """Images shown at the onset, the geometric mean over trainings; None if there is one without."""
        return mean_onset(self.gaps, level)


@dataclass(frozen=True)
class Statement:
    """What is said, and what the trainings answer.

    Attributes:
        text: The statement.
        verdict: held, not held, underpowered or not testable here.
        reason: Why.
        margin: What would have to be so, and why that.
        numbers: What the verdict rests on: the power by width, or g in dB by cell and training.
        beside: What is printed with them and decides nothing.
        load: Numbers in a set over weights, in the cell on which the verdict hangs or the largest that was
            read; None where none was.
    """

    text: str
    verdict: Verdict
    reason: str
    margin: str
    numbers: Mapping[str, Estimate] = field(default_factory=dict)
    beside: Mapping[str, Estimate] = field(default_factory=dict)
    load: float | None = None


@dataclass(frozen=True)
class PowerLaw:
    """How onsets grow with N at one width.

    Attributes:
        power: b.
        curvature: Coefficient of (log N)^2 in a parabola through the same onsets; None below three N.
    """

    power: Estimate
    curvature: Estimate | None


def arranged(cells: Iterable[Cell]) -> list[Cell]:
    """The cells by width and N, growing; there must be one for each."""
    found = sorted(cells, key=lambda cell: (cell.kernels, cell.N))
    for one, other in pairwise(found):
        if (one.kernels, one.N) == (other.kernels, other.N):
            raise GalgenError(f"two cells of {one}: put all its trainings into one")
    return found


def power_laws(onsets: Mapping[int, Mapping[int, Sequence[float]]]) -> dict[int, PowerLaw]:
    """The power of N by which onsets grow, by width, with 95 % intervals from the scatter within all cells.

    Args:
        onsets: By width and by N, images shown at the onset of each training.

    Raises:
        GalgenError: If a width has fewer than two N, or no cell two trainings.
    """
    cells = [np.log(found) for by_size in onsets.values() for found in by_size.values()]
    freedom = sum(len(y) - 1 for y in cells)
    if not freedom or min(map(len, onsets.values())) < 2:
        raise GalgenError("a power law needs two N at every width, and two trainings in some cell")
    half = stats.t.ppf(0.975, freedom) * np.sqrt(sum(y.var() * len(y) for y in cells) / freedom)

    def leading(x: np.ndarray, y: np.ndarray, degree: int) -> Estimate:
        """The leading coefficient of the polynomial of least squares."""
        design = np.vander(x - x.mean(), degree + 1)
        inverse = np.linalg.inv(design.T @ design)
        value, width = float((inverse @ design.T @ y)[0]), float(half * np.sqrt(inverse[0, 0]))
        return Estimate(value, value - width, value + width, len(y))

    laws = {}
    for kernels, by_size in onsets.items():
        x = np.log(np.repeat(list(by_size), [len(found) for found in by_size.values()]))
        y = np.log(np.concatenate(list(by_size.values())))
        laws[kernels] = PowerLaw(leading(x, y, 1), leading(x, y, 2) if len(by_size) > 2 else None)
    return laws


def _least(rows: Mapping[int, Sequence[Cell]], late: Cell) -> str:
    """By what power of N onsets grow at least, if those of the smallest N come and a later one does not."""
    first = min(rows[late.kernels], key=lambda cell: cell.N)
    if first is late or not (onset := first.onset()):
        return ""
    end = min(gap.shown[-1] for gap in late.gaps if gap.onset() is None)
    return f" (N to a power of {np.log(end / onset) / np.log(late.N / first.N):.2f} or more)"


def in_proportion(cells: Iterable[Cell]) -> Statement:
    """S1: the onset grows in proportion to N, at every width that has three N of `SCALE` or fewer.

    Held where the interval of the power lies within `POWER` at every width, not held where that of one lies
    wholly outside, else underpowered. Not testable with fewer than two such widths, fewer than two trainings
    in a cell, or a training without an onset. The powers at 2 and 3 dB decide nothing.

    Raises:
        GalgenError: If two cells are of one width and N.
    """
    said = {"text": "The onset of memorization grows in proportion to N.", "margin": _MARGIN}
    rows: dict[int, list[Cell]] = {}
    for cell in arranged(cells):
        if cell.N <= SCALE:
            rows.setdefault(cell.kernels, []).append(cell)
    rows = {kernels: row for kernels, row in rows.items() if len(row) >= SIZES}
    asked = [cell for row in rows.values() for cell in row]
    missing = ""
    if len(rows) < WIDTHS:
        missing = f"{len(rows)} of {WIDTHS} widths have {SIZES} N of {SCALE} or fewer"
    elif few := [cell for cell in asked if len(cell.gaps) < TRAININGS]:
        missing = f"fewer than {TRAININGS} trainings: {', '.join(map(str, few))}"
    elif late := [cell for cell in asked if cell.onset() is None]:
        missing = f"a training without an onset: {', '.join(f'{cell}{_least(rows, cell)}' for cell in late)}"
    if missing:
        return Statement(verdict="not testable here", reason=missing, **said)

    def laws(level: float) -> dict[int, PowerLaw]:
        onsets = {n: {cell.N: [g.onset(level) for g in cell.gaps] for cell in row} for n, row in rows.items()}
        return power_laws(onsets)

    found = laws(LEVEL)
    beside = {f"curvature, {kernels} kernels": law.curvature for kernels, law in found.items()}
    for level in LEVELS[1:]:
        if all(cell.onset(level) for cell in asked):
            beside |= {f"power at {level:g} dB, {k} kernels": law.power for k, law in laws(level).items()}
    powers = {f"{kernels} kernels": law.power for kernels, law in found.items()}
    low, high = POWER
    verdict: Verdict = "underpowered"
    if all(low <= power.low and power.high <= high for power in powers.values()):
        verdict = "held"
    elif any(power.high < low or power.low > high for power in powers.values()):
        verdict = "not held"
    reason = ", ".join(f"{kernels} kernels: N to the power of {law.power}" for kernels, law in found.items())
    if all(power.low > 1 for power in powers.values()):
        reason += "; more steeply than N at every width, so that onsets come later than in proportion"
    load = max(cell.load for cell in asked)
    return Statement(verdict=verdict, reason=reason, numbers=powers, beside=beside, load=load, **said)
