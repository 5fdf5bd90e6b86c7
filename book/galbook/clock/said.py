"""The clock, in tables and sentences: laws, what was foretold and seen, bits, and the chapter's answer."""

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log

import numpy as np
from scipy import stats

from galbook.clock.bits import exponent
from galbook.clock.cells import Cell, by_width
from galbook.clock.foretold import Foretelling, Outcome, Score, sentence
from galbook.clock.gap import LEVEL, LEVELS
from galbook.clock.law import LAWS, reach
from galgen.compare.uncertainty import Estimate
from galgen.figures.tables import Markdown, points, table
from galgen.figures.words import spaced

__all__ = ["answer", "bits_said", "cells_table", "controls_said", "exponents", "extrapolated",
    "foretold_table", "kept", "laws_table", "longer", "own_said", "power_table", "ten_times"]  # fmt: skip

FLAT = 0.1  # dB in the last doubling: below it, with its interval, nothing grows


def cells_table(cells: Iterable[Cell]) -> Markdown:
    """For each cell when the gap passes 1, 2 and 3 dB, in passes and steps, and g at the end."""
    rows = []
    for row in by_width(cells).values():
        for cell in row:
            onsets = [cell.onset(level) for level in LEVELS]
            passes = [spaced(round(t / cell.N)) if t else "–" for t in onsets]
            late = sum(gap.onset() is None for gap in cell.gaps)
            g = [gap.value[-1] for gap in cell.gaps]
            ends = f"{np.mean(g):.1f} ({min(g):.1f} to {max(g):.1f})"
            name = f"{cell.kernels}" + ", half rate" * (cell.rate != 1)
            steps = spaced(int(float(f"{onsets[0] / 16:.2g}"))) if onsets[0] else "–"
            end = ", ".join(map(spaced, sorted({round(float(gap.shown[-1]) / cell.N) for gap in cell.gaps})))
            note = f"{len(cell.gaps)}" + f" ({late} without)" * bool(late)
            rows.append([name, spaced(cell.N), f"{cell.load:.2g}", note, *passes, steps, end, ends])
    head = ["kernels", "N", "load", "trainings", *(f"{level:g} dB" for level in LEVELS), "1 dB, steps", "end",
        "g at the end, dB"]  # fmt: skip
    return table(
        head, rows, before="Passes over the training set until the gap is, geometric mean of the trainings:"
    )


def laws_table(told: Foretelling) -> Markdown:
    """Each law with its constants, and whether it fits the cells that there were."""
    rows = []
    for law, constants in told.constants.items():
        each = ", ".join(f"{name} = {_number(e)}" for name, e in constants.items())
        rows.append([law, f"`{told.formulas[law]}`", each, f"{told.lack[law]:.2g}" if law != "P" else "–"])
    before = f"Fitted to the open marks; a training scatters about its cell by {told.scatter:.2f} in log t "
    before += f"({told.freedom} degrees of freedom). A small p says that the law does not fit these cells:"
    return table(["law", "images shown at 1 dB", "constants [95 %]", "p of lack of fit"], rows, before=before)


def _number(e: Estimate) -> str:
    form = ".0f" if e.value > 20 else ".2f"
    return f"{e.value:{form}} [{e.low:{form}}, {e.high:{form}}]"


def foretold_table(told: Foretelling, held: dict[tuple[int, int], dict[str, Outcome]]) -> Markdown:
    """Each cell: onset foretold by each law, in thousand images or over N = 100's, and what was seen."""
    rows = []
    for asked in told.asked:
        cells, outcomes = [], held[asked.kernels, asked.N]
        for law in LAWS:
            if law not in asked.foretold:
                cells.append("–")
                continue
            one, outcome = asked.foretold[law].images, outcomes[law]
            of = _ratio(one) if law in asked.ratio else _thousands(one)
            p = f", p {outcome.p:.2g}" if outcome.p is not None else ""
            cells.append(of + (f": **{outcome.word}**{p}" if outcome.word != "not run" else ""))
        known = {law in asked.ratio: outcome for law, outcome in outcomes.items() if outcome.seen}
        said = [_ratio(o.seen) if ratio else _thousands(o.seen) for ratio, o in sorted(known.items())]
        late = max(o.late for law, o in outcomes.items() if law not in asked.ratio)
        told_of = "; ".join(said) + f" ({late} without an onset)" * bool(late)
        if late == asked.trainings:
            told_of = f"none by {spaced(round(asked.images / 1000))}"
        name = f"({asked.kernels}; {spaced(asked.N)}), {asked.trainings}"
        rows.append([name, f"{asked.load:.2g}", *cells, told_of or "*not run*"])
    head = ["kernels; N, trainings", "load", *LAWS, "seen"]
    return table(
        head, rows, before="Onset, thousand images [95 %], or over that at N = 100 of the same width (×):"
    )


def _thousands(e: Estimate) -> str:
    return "{} [{}, {}]".format(*(spaced(round(x / 1000)) for x in (e.value, e.low, e.high)))


def _ratio(e: Estimate) -> str:
    return f"× {e.value:.1f} [{e.low:.1f}, {e.high:.1f}]"


def power_table(told: Foretelling) -> Markdown:
    """How often each cell contradicts one law where another is true."""
    rows = []
    for asked in told.asked:
        apart = {pair: value for pair, value in asked.power.items() if value >= 0.1}
        said = ", ".join(f"{pair} {value:.2f}" for pair, value in apart.items())
        rows.append([f"({asked.kernels}; {spaced(asked.N)})", said or "none above .1"])
    before = (
        "How often a cell contradicts the law named first where the law named second is true, from .1 on:"
    )
    return table(["cell", "power"], rows, before=before)


def exponents(told: Foretelling, cells: Iterable[Cell]) -> dict[int, Estimate]:
    """By width the power of N in bits at equal passes, between N = 100 and 300 of cells with five levels."""
    found = {}
    for kernels, passes in told.passes.items():
        bits = {}
        for cell in (c for c in cells if c.kernels == kernels and c.N in (100, 300) and c.rate == 1):
            each = zip(cell.traces, cell.bits(passes), strict=True)
            bits[cell.N] = [value for trace, value in each if trace.own_errors is not None]
        if len(bits) == 2 and all(len(each) > 1 for each in bits.values()):
            found[kernels] = exponent(bits)
    return found


def bits_said(told: Foretelling, cells: Iterable[Cell]) -> Markdown:
    """The exponents, and with what half-width they could be known."""
    said, found = [], exponents(told, cells)
    for kernels, passes in told.passes.items():
        text = f"{kernels} kernels, {spaced(round(passes))} passes: "
        if kernels in found:
            e = found[kernels]
            out = [name for name, at in (("size (0)", 0), ("time (1)", 1)) if not e.low <= at <= e.high]
            text += f"exponent {e} between N = 100 and 300; excluded: {', '.join(out) or 'neither'}"
        else:
            text += f"not run (it will be known to ± {told.exponent[kernels]:.2f})"
        said.append(text)
    return points(said)


def longer(cells: Iterable[Cell]) -> str:
    """That in words, and whether it is more where the network is fuller: of all pairs, by Kendall's tau."""
    cells = list(cells)
    loads, times = {(cell.kernels, cell.N): cell.load for cell in cells}, ten_times(cells)
    text = f"{min(times.values()):.0f} to {max(times.values()):.0f} times as long"
    onsets = {(cell.kernels, cell.N): cell.onset() for cell in cells if cell.rate == 1}
    least = [
        max(float(gap.shown[-1]) for gap in cell.gaps if not gap.onset()) / first
        for cell in cells
        if cell.rate == 1 and not cell.onset() and (first := onsets.get((cell.kernels, cell.N // 10)))
    ]
    if max(least, default=0) > max(times.values()):
        text += f" (more than {max(least):.0f} where it has not begun)"
    tau = stats.kendalltau([loads[at] for at in times], list(times.values())).statistic
    return text + ", longer the more pixels there are to learn for each weight" * bool(tau > 0.5)


def controls_said(told: Foretelling, new: Iterable[Cell]) -> Markdown:
    """Half the rate, and the narrowest network at a thousand galaxies: what was foretold, and what came."""
    new = list(new)
    slow = next((cell for cell in new if cell.rate != 1), None)
    onset, end = told.half["onset"], told.half["g at the end"]
    text = f"*Half the rate*, (4; 300): if rate times images is what counts, 1 dB after {_thousands(onset)} "
    text += f"thousand images, and g = {end} dB at the end. "
    if slow:
        g = float(np.mean([gap.value[-1] for gap in slow.gaps]))
        above = "more than that: in part it is the rate" if g > end.high else "within that"
        seen = f"after {spaced(round(slow.onset() / 1000))} thousand" if slow.onset() else "not by the end"
        usual = told.fitted[f"{slow.kernels} kernels, N = {slow.N}"][0] * slow.N / 1000
        text += f"Seen: {seen} (at the usual rate {spaced(round(usual))}); "
        text += f"g = {g:.2f} dB at the end, {above if g >= end.low else 'less than that'}."
    else:
        text += "Not run."
    late = next((cell for cell in new if (cell.kernels, cell.N) == (4, 1000)), None)
    narrow = "*The narrowest network*, (4; 1 000), to 18 million images"
    no_test = told.said["(4; 1 000) is no test of P and N"]
    if not late:
        return points([text, f"{narrow}: not run. {no_test}"])
    before = [0.9 * gap.shown[-1] for gap in late.gaps]  # from there on the rate falls
    gains = [gap.gained(t) for gap, t in zip(late.gaps, before, strict=True)]
    g = " and ".join(str(gap.at(t)) for gap, t in zip(late.gaps, before, strict=True))
    gained = " and ".join(map(str, gains))
    begun = sum(gap.onset() is not None for gap in late.gaps)
    grows = any(gain.high >= FLAT for gain in gains)
    came = "begins" if begun == len(gains) else f"does not begin, g {'grows' if grows else 'does not grow'}"
    asked = next(a for a in told.asked if (a.kernels, a.N) == (4, 1000))
    of = asked.foretold["L"].images
    said = f"{no_test} By 18 million: g = {g} dB before the rate falls, {gained} of it in the last doubling. "
    said += f"L has 1 dB after {_thousands(of)} thousand; were it true, "
    said += f"{100 * asked.late['L']:.0f} % of such trainings would end before. "
    if late.onset():
        said += f"It begins after {spaced(round(late.onset() / 1000))} thousand. "
    elif begun:
        said += f"It begins in {begun} of {len(gains)}. "
    elif all(gain.value > 0 for gain in gains):
        each = zip(late.gaps, before, gains, strict=True)
        away = " and ".join(f"{(LEVEL - gap.at(t).value) / gain.value:.0f}" for gap, t, gain in each)
        said += f"At the pace of that doubling 1 dB is {away} doublings away, and the end of L's interval "
        said += f"{log(of.high / before[0], 2):.1f}: unless it hastens, L has it too early (a reading for "
        said += "which no rule was fixed). "
    said += told.said[f"(4; 1 000) {came}"]
    return points([text, f"{narrow}. {said}"])


def own_said(own: Sequence[Cell], published: Sequence[Cell]) -> Markdown:
    """When the networks of a run begin, in passes, beside the committed cells of the same width and N."""
    known, said = {(c.kernels, c.N): c for c in published}, []
    for cell in own:
        begins = [f"{t / cell.N:.0f}" if (t := gap.onset()) else "–" for gap in cell.gaps]
        end = f"{cell.gaps[0].shown[-1] / cell.N:.0f}"
        text = f"{cell}: copying begins after {' and '.join(begins)} passes of {end}"
        if (of := known.get((cell.kernels, cell.N))) and of.onset():
            text += f" (published, {len(of.gaps)} trainings: {of.onset() / cell.N:.0f})"
        said.append(text)
    return points(said or ["no network of the clock in this run"])


def ten_times(cells: Iterable[Cell]) -> dict[tuple[int, int], float]:
    """By width and N: how many times as many images copying takes of ten times the galaxies."""
    onsets = {(cell.kernels, cell.N): cell.onset() for cell in cells if cell.rate == 1}
    both = {at: onsets.get((at[0], 10 * at[1])) for at in onsets}
    return {at: late / onsets[at] for at, late in sorted(both.items()) if late and onsets[at]}


def extrapolated(told: Foretelling, held: Mapping[tuple[int, int], Mapping[str, Outcome]]) -> Markdown:
    """By L, the N of which copying begins within the paper's budget: if images count, and if steps do."""
    constants = told.constants["L"]
    widths = {int(name[2:]): log(e.value) for name, e in constants.items() if name.startswith("A_")}
    slope, at_one = np.polyfit(np.log(list(widths)), list(widths.values()), 1)
    A, l_0 = exp(at_one + slope * log(64)), constants["l_0"].value
    images, steps = (reach(A, l_0, shown, 64 * 64, 7.66e6) for shown in (25e6, 25e6 * 16 / 512))
    two = [spaced(int(float(f"{n:.1g}"))) for n in (images, steps)]
    loads = " and ".join(f"{n * 64 * 64 / 7.66e6:.1f}" for n in (images, steps))
    outcomes = ((asked.load, held[asked.kernels, asked.N].get("L")) for asked in told.asked)
    tested = [load for load, outcome in outcomes if outcome and outcome.p is not None]
    most = f" (up to {max(tested):.2g})" if tested else ""
    return Markdown(
        ":::{admonition} An extrapolation, and no more\n"
        f"By L, with A = {A:.0f} passes for 64 kernels (4, 8, 16 go as the power {slope:.2f} of the width) "
        f"and l_0 = {l_0:.2f}, such a training copies up to about **{two[0]}** galaxies if "
        f"images count, and up to about **{two[1]}** if steps do (its batches are of 512, ours of 16). "
        "It reaches over a decade of weights, to another optimizer and other pixels, and to loads "
        f"({loads}) beyond those at which L was tested{most}. Whoever has the paper's scripts can refute "
        "it: twice the epochs should move the transition by the root of two or more.\n:::"
    )


def answer(cells: Sequence[Cell], scores: Mapping[str, Score]) -> str:
    """The chapter in a few sentences."""
    laws = "Cells were foretold by laws of load (L, L1), by proportion to N (P) and by a power of it (N). "
    at = {(cell.kernels, cell.N): cell for cell in cells if cell.rate == 1}
    gaps = {n: np.mean([gap.at(4000 * n).value for gap in at[4, n].gaps]) for n in (10, 1000)}
    return (
        f"**To copy ten times as many simulated galaxies takes {longer(cells)}.** After 4 000 showings a "
        f"network of 4 kernels has gained {gaps[10]:.1f} dB on its own ten galaxies, "
        f"{gaps[1000]:.1f} on a thousand. {laws * bool(scores)}{sentence(scores)}"
    )


def kept(scores: Mapping[str, Score], told: Foretelling, cells: Sequence[Cell]) -> dict:
    """What a book keeps of the chapter."""
    onsets = {f"{c.kernels}x{c.N}": c.onset() for c in cells if c.rate == 1}
    each = {law: {"foretold": s.foretold, "asked": s.asked, "p": s.p} for law, s in scores.items()}
    powers = {k: vars(e) for k, e in exponents(told, cells).items()}
    return {"scores": each, "onsets": onsets, "exponents": powers}
