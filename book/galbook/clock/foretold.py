"""What each law foretells of cells that nobody has seen, written before they were trained.

`results/foretold.json` is committed before the first of these trainings, and is not made again. A cell is
held against it once, when its last training is done:

    foretold        the geometric mean of the onsets lies in the law's interval (`galbook.clock.law`)
    contradicted    it lies outside
    open            a training ended before its onset, and what was seen contradicts nothing
    no test         by the words of the file: what was there before contradicts the law
    not run         otherwise

At 16 and 32 kernels P, and at 32 kernels L, foretell by way of the cell of N = 100 that is trained beside it:
onsets of the one over onsets of the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from pathlib import Path

import numpy as np
from scipy import stats

from galbook.clock.cells import Cell, Committed, together
from galbook.clock.law import LAWS, SCALE, Fit, Foretold, Place, fit, power, scatter, seen
from galgen.compare.uncertainty import Estimate
from galgen.figures.words import spaced
from galgen.runs.files import project
from galgen.runs.store import read_answer

__all__ = [
    "Asked",
    "Foretelling",
    "Outcome",
    "Score",
    "foretell",
    "held",
    "parted",
    "read",
    "scores",
    "sentence",
]


@dataclass(frozen=True)
class Asked:
    """A cell that is to be trained.

    Attributes:
        kernels: Width.
        N: Training images.
        load: Pixels of the set over weights.
        trainings: How many.
        images: Shown to each.
        foretold: By law, images shown at the onset; of those in `ratio` over those of N = 100.
        ratio: The laws that foretell it by way of N = 100 of the same width.
        power: By "L not P" and so on, how often the cell contradicts the first where the second is true.
        late: By law, how often a training ends before its onset where the law is true.
    """

    kernels: int
    N: int
    load: float
    trainings: int
    images: int
    foretold: Mapping[str, Foretold]
    ratio: Sequence[str]
    power: Mapping[str, float]
    late: Mapping[str, float]


@dataclass(frozen=True)
class Foretelling:
    """The file.

    Attributes:
        scatter: s, of a training about its cell, in log t*.
        freedom: Its degrees of freedom.
        formulas: Of each law.
        constants: Of each law its parameters, with intervals.
        lack: Of each law the p of its lack of fit.
        fitted: By cell, passes at the onset (geometric mean of the trainings that have one) and trainings
            with and without one.
        asked: The cells, in the order in which they are trained.
        exponent: By width, the half-width with which the power of N in bits at equal passes will be known,
            from how log B scatters in the cells that are there.
        passes: By width, passes at which it is read.
        half: Of (4; 300) at half the rate, where rate times images is what counts: images shown at the onset,
            and g at the end, dB, the mean of two trainings each, with the intervals in which they then lie.
        said: What will be said of each outcome.
        made: When, at which commit and on what machine.
    """

    scatter: float
    freedom: int
    formulas: Mapping[str, str]
    constants: Mapping[str, Mapping[str, Estimate]]
    lack: Mapping[str, float]
    fitted: Mapping[str, Sequence[float | None]]
    asked: Sequence[Asked]
    exponent: Mapping[int, float]
    passes: Mapping[int, float]
    half: Mapping[str, Estimate]
    said: Mapping[str, str]
    made: Mapping[str, object]


NO_TEST = {(4, 1000): ("P", "N")}  # see `SAID`
SAID = {
    "a law": (
        "“{law} foretold n of the m cells that it speaks of; it is contradicted by those named.” A true law "
        "is contradicted by one cell in twenty. So it is given up as it stands, whatever its fit to the old "
        "cells, where its least p over the m cells is below .05 / m."
    ),
    "L holds, P and N fall": (
        "“Showings to memory grow with the load: ten times the galaxies take more than ten times as long, "
        "more the fuller the network.”"
    ),
    "L and P hold": (
        "“In proportion to N at loads below .2, where L and P cannot be told apart with so many trainings; "
        "what parts them is the old cells of 4 kernels.”"
    ),
    "N holds, L falls": (
        "“The time grows with N beyond proportion where the load is small too: it is N, not how full the "
        "network is.”"
    ),
    "L1 holds at 32 kernels": (
        "“And the time is inverse to the width.” If it does not: “how fast a width is must be measured.”"
    ),
    "(4; 1 000) is no test of P and N": (
        "After 6 million images two trainings had no onset, where P has it at 2 and N at 4.5 million: what "
        "was there contradicts both, and L and L1 were fitted to it."
    ),
    "none holds": ("“No law so far foretells the onset.”"),
    "(4; 1 000) begins": (
        "“The narrowest network, too, memorizes a thousand: it is time, in the end.” Whether by 18 million "
        "is L's alone to foretell."
    ),
    "(4; 1 000) does not begin, g grows": (
        "“Slower than it was asked for; that it never comes is not shown.”"
    ),
    "(4; 1 000) does not begin, g does not grow": (
        "“A bound: S.” It takes the interval of the gain of g in the last doubling to lie below .1 dB in "
        "both trainings, before the rate falls."
    ),
    "bits": (
        "S has B a weight the same at N = 100 and 300 at equal passes (exponent 0), time has it in "
        "proportion to N (1). The exponent is given with its interval; what it excludes is said, and "
        "nothing more. S is also a bound of C bits a weight: of the cells of one noise level (4; 300) has "
        "about .5, and 1 dB at (4; 1 000) takes 1.4."
    ),
    "half the rate": (
        "Where rate times images is what counts the onset comes after twice as many images, and g at the "
        "end is the same. If g at the end is larger, beyond the scatter of trainings: “what was called size"
        " was in part the rate” (Wu et al. 2025). If not: “half the rate changes nothing but the count.”"
    ),
}


def _places(law: str, kernels: int, N: int, known: Fit) -> bool:
    """Whether a law foretells a cell by way of N = 100 of the same width, trained beside it."""
    return LAWS[law].anchored and (kernels == 32 or (law == "P" and kernels == 16 and N != SCALE))


def foretell(
    cells: Sequence[Cell], to_come: Iterable[tuple[int, int, float, int, int]], made: Mapping[str, object]
) -> Foretelling:
    """Fit the laws, and have them foretell.

    Args:
        cells: Those that there are.
        to_come: Kernels, N, load, trainings and images shown of each that is to be trained.
        made: Provenance.
    """
    known, to_come = seen(cells), list(to_come)
    s, freedom = scatter(known)
    fits = {name: fit(law, known) for name, law in LAWS.items()}
    before = {(one.place.kernels, one.place.N): len(one.onsets) for one in known}
    for kernels, N, _, n, _ in to_come:
        before[kernels, N] = before.get((kernels, N), 0) + n
    anchors = {k: Place(k, N, load) for k, N, load, *_ in to_come if N == SCALE}
    asked = []
    for kernels, N, load, n, images in to_come:
        at, foretold, ratio = Place(kernels, N, load), {}, []
        for name, of in fits.items():
            if not _places(name, kernels, N, of):
                foretold[name] = of.foretold(at, n)
            elif N != SCALE:
                foretold[name] = of.ratio(at, anchors[kernels], n, before[kernels, SCALE])
                ratio.append(name)
        alike = [(a, b) for a in foretold for b in foretold if a != b and (a in ratio) == (b in ratio)]
        powers = {f"{a} not {b}": power(foretold[a], foretold[b], freedom) for a, b in alike}
        for a in ratio:  # what foretells the level foretells the ratio too
            for b in set(foretold) - set(ratio):
                other = fits[b].ratio(at, anchors[kernels], n, before[kernels, SCALE])
                powers[f"{a} not {b}"] = power(foretold[a], other, freedom)
        late = {name: _late(f, s, n, freedom, images) for name, f in foretold.items() if name not in ratio}
        asked.append(Asked(kernels, N, load, n, images, foretold, ratio, powers, late))
    fitted = {
        f"{c.place.kernels} kernels, N = {c.place.N}": [
            exp(np.mean(c.onsets)) if c.onsets else None,
            len(c.onsets),
            len(c.ends),
        ]
        for c in known
    }
    passes = {16: 1200.0, 32: 400.0}  # before the rate falls, where both N of a width have been
    return Foretelling(
        s,
        freedom,
        {name: law.formula for name, law in LAWS.items()},
        {name: of.constants() for name, of in fits.items()},
        {name: of.lack for name, of in fits.items()},
        fitted,
        asked,
        _exponents(cells, to_come),
        passes,
        _half(cells, s, freedom),
        SAID,
        made,
    )


def _late(foretold: Foretold, s: float, n: int, freedom: int, images: int) -> float:
    """How often a training is at its end before its onset."""
    error = sqrt(foretold.error**2 - s**2 / n + s**2)
    return float(stats.t.sf(log(images / foretold.images.value) / error, freedom))


def _exponents(cells: Sequence[Cell], to_come: Sequence[tuple]) -> dict[int, float]:
    """Half-widths, by the scatter of log B at 1 000 passes within cells of 100 images or more."""
    logs = [np.log(cell.bits(1000)) for cell in cells if cell.N >= SCALE and len(cell.traces) > 1]
    freedom = sum(len(x) - 1 for x in logs)
    s = sqrt(sum(len(x) * x.var() for x in logs) / freedom)
    found = {}
    for width in (16, 32):
        n = {N: trainings for kernels, N, _, trainings, _ in to_come if kernels == width}
        error = s * sqrt(sum(1 / each for each in n.values())) / log(max(n) / min(n))
        found[width] = float(stats.t.ppf(0.975, sum(n.values()) - 2) * error)
    return found


def _half(cells: Sequence[Cell], s: float, freedom: int) -> dict[str, Estimate]:
    """Of (4; 300) at half the rate; g at the end scatters as within all cells of 300 images or more."""
    (usual,) = (cell for cell in cells if (cell.kernels, cell.N) == (4, 300))
    n = len(usual.gaps)
    middle, half = log(2 * usual.onset()), stats.t.ppf(0.975, freedom) * s * sqrt(2 / n)
    onset = Estimate(*map(exp, (middle, middle - half, middle + half)), 2 * n)
    ends = [np.array([gap.value[-1] for gap in cell.gaps]) for cell in cells if cell.N >= usual.N]
    spare = sum(len(x) - 1 for x in ends)
    scatter_of_g = sqrt(sum(len(x) * x.var() for x in ends) / spare)
    g = float(np.mean([gap.value[-1] for gap in usual.gaps]))
    half = float(stats.t.ppf(0.975, spare)) * scatter_of_g * sqrt(2 / n)
    return {"onset": onset, "g at the end": Estimate(g, g - half, g + half, 2 * n)}


def read(path: Path | None = None) -> Foretelling:
    """The file; by default the project's."""
    return read_answer(path or project() / "results" / "foretold.json", Foretelling)


def parted(kept: Iterable[Committed], told: Foretelling) -> tuple[list[Cell], list[Cell]]:
    """The committed cells that there were when it was foretold, and those that were made since."""
    sides: tuple[list[Committed], list[Committed]] = ([], [])
    for one in kept:
        sides[str(one.made["date"]) >= str(told.made["date"])].append(one)
    return together(sides[0]), together(sides[1])


@dataclass(frozen=True)
class Outcome:
    """What a law foretold of a cell, and what was seen.

    Attributes:
        word: foretold, contradicted, open, no test or not run.
        seen: Images shown at the onset, the geometric mean, with its interval by the scatter of trainings;
            where the law is one of a ratio that over N = 100's. None where the cell was not run.
        p: Of what was seen, or more, where the law is true.
        late: Trainings that ended before their onset, which count as if it came at the end.
    """

    word: str
    seen: Estimate | None = None
    p: float | None = None
    late: int = 0


def held(
    foretelling: Foretelling, new: Iterable[Cell], old: Iterable[Cell]
) -> dict[tuple[int, int], dict[str, Outcome]]:
    """What became of each cell, by kernels and N, and law.

    Args:
        foretelling: The file.
        new: Cells that were foretold.
        old: Those that there were; where N = 100 is what a ratio is over, the old trainings count too.
    """
    known, found = {(cell.kernels, cell.N): cell for cell in new if cell.rate == 1}, {}
    before = {(cell.kernels, cell.N): cell for cell in old}
    for asked in foretelling.asked:
        one, anchor = known.get((asked.kernels, asked.N)), known.get((asked.kernels, SCALE))
        if anchor and (earlier := before.get((asked.kernels, SCALE))):
            anchor = replace(anchor, traces=[*earlier.traces, *anchor.traces])
        found[asked.kernels, asked.N] = {}
        for law, foretold in asked.foretold.items():
            of = [one, anchor] if law in asked.ratio else [one]
            ready = None not in of and len(one.traces) >= asked.trainings
            if ready and law in NO_TEST.get((asked.kernels, asked.N), ()):
                outcome = Outcome("no test")
            else:
                outcome = _judged(foretold, of, foretelling) if ready else Outcome("not run")
            found[asked.kernels, asked.N][law] = outcome
    return found


def _judged(foretold: Foretold, of: Sequence[Cell], by: Foretelling) -> Outcome:
    """A cell, or a cell over another."""
    middle, square, late = 0.0, 0.0, []
    for sign, cell in zip((1, -1), of, strict=False):
        onsets = [gap.onset() for gap in cell.gaps]
        logs = [log(t or gap.shown[-1]) for t, gap in zip(onsets, cell.gaps, strict=True)]
        late.append(onsets.count(None))
        middle, square = middle + sign * float(np.mean(logs)), square + by.scatter**2 / len(logs)
    half = stats.t.ppf(0.975, by.freedom) * sqrt(square)
    value = Estimate(*map(exp, (middle, middle - half, middle + half)), len(of[0].traces))
    away = log(value.value / foretold.images.value) / foretold.error
    p = 2 * float(stats.t.sf(abs(away), by.freedom))
    if not any(late):
        return Outcome("contradicted" if p < 0.05 else "foretold", value, p)
    # what was seen of the cell itself is the least that it can be, and of a ratio nothing is known
    above = away > 0 and p < 0.05 and not any(late[1:])
    return Outcome("contradicted" if above else "open", value, p if above else None, sum(late))


@dataclass(frozen=True)
class Score:
    """How a law did.

    Attributes:
        foretold: Cells.
        asked: Cells that were run and test it, and are not open.
        against: Names of those that contradict it.
        open: Names of those that are open.
        p: The least p of them, times their number (Bonferroni); a law below .05 is given up.
    """

    foretold: int
    asked: int
    against: Sequence[str]
    open: Sequence[str]
    p: float


def scores(held: Mapping[tuple[int, int], Mapping[str, Outcome]]) -> dict[str, Score]:
    """Of each law of which a cell was run."""
    found = {}
    for law in LAWS:
        all_of = {place: outcomes[law] for place, outcomes in held.items() if law in outcomes}
        known = {place: o for place, o in all_of.items() if o.word in ("foretold", "contradicted")}
        if known:
            against, undecided = (
                [f"({k}; {spaced(N)})" for (k, N), o in all_of.items() if o.word == word]
                for word in ("contradicted", "open")
            )
            p = min(1.0, len(known) * min(o.p for o in known.values()))
            found[law] = Score(len(known) - len(against), len(known), against, undecided, p)
    return found


def sentence(found: Mapping[str, Score]) -> str:
    """What came of it, in the words that were fixed beforehand."""
    if not found:
        return "None of the cells that were foretold has been trained yet."
    said = []
    for law, score in found.items():
        notes = []
        if score.against:
            notes += [f"contradicted by {', '.join(score.against)}{', given up' * (score.p < 0.05)}"]
        if score.open:
            notes += [f"open at {', '.join(score.open)}"]
        text = f"{law} foretold {score.foretold} of {score.asked} cells"
        said.append(text + f" ({'; '.join(notes)})" * bool(notes))
    return "; ".join(said) + "."
