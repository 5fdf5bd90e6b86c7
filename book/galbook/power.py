"""Size and power of the book's tests, as `make power` found them and results/power.json keeps them.

Of each data set there are parts, made at different times by the code of different commits. They hold
records: of one question, one fault (`alternative`, empty where there is none) and one size of it (`level`),
how many of the tests reject. A fault is *seen* at a size where half of the tests of some question, or more,
find it, and at every larger size as well.
"""

from collections.abc import Mapping, Sequence
from math import inf

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from scipy import stats

from galbook.readings import Reading
from galbook.results import made, select
from galgen.compare.scoreboard import QUESTIONS
from galgen.figures.style import COLOURS, shades
from galgen.figures.tables import Markdown, escaped, table
from galgen.figures.words import spaced

__all__ = ["MISSING", "effects_table", "in_short", "missed", "missed_in_short", "power_figure", "records",
    "size_answer", "size_table"]  # fmt: skip

Records = Sequence[Mapping]

_FAULTS = {  # in an astronomer's words
    "blur": "a blur",
    "sky noise": "more noise of the sky",
    "size": "radii too large",
    "ellipticity": "ellipticities too large",
    "spirals without arms": "spirals without their arms",
    "copies": "copies among the samples",
    "latents in common": "latents at which B draws A's galaxy",
}
_HERE = [*QUESTIONS, "energy difference"]
_HERE.insert(2, "exchange alone")  # the first of the two nulls of memorization
_NO_FAULT = ("", "nothing changed")  # of real galaxies, and of fresh ones like those with a fault
MISSING = "**Not measured yet:** `results/power.json` holds no simulated galaxies; `make power` makes it."


def records(run: Mapping, **wanted: object) -> Records:
    """All records of a data set, one value of `galbook.results.measured`, that have these values."""
    return select((record for part in run["parts"] for record in part["records"]), **wanted)


def effects(run: Mapping) -> dict[tuple[str, int | None], tuple[Records, Records]]:
    """By fault, and N where it depends on one: where the scoreboard begins to see it, and just below.

    Returns:
        Records of the least size that is seen, of the questions that see it (none if no size is); and of all
        questions at the next smaller size, or, where none is seen, at the largest.
    """
    found = {}
    for fault, N in _faults(run):
        curves = [c for question in QUESTIONS if (c := _curve(run, fault, N, question))]
        seen, rarer = [], []
        for level in sorted({r["level"] for curve in curves for r in curve}, reverse=True):
            at = [r for curve in curves for r in curve if r["level"] == level]
            often = list(filter(_often, at))
            if not often:
                rarer = at
                break
            seen = often
        found[fault, N] = seen, rarer
    return found


def effects_table(run: Mapping) -> Markdown:
    """From what size on each fault is seen, by which questions, and how often the next smaller one is."""
    rows = []
    for (fault, N), sides in effects(run).items():
        sizes = [_size(fault, side[0]["level"]) if side else "" for side in sides]
        counts = [", ".join(f"{r['question']} {_count(r)}" for r in side) for side in sides]
        name = f"{_FAULTS[fault]}, N = {spaced(N)}" if N else _FAULTS[fault]
        rows.append(
            [name, sizes[0] or "**not seen**", counts[0], f"{sizes[1]}: {counts[1]}" * bool(sides[1])]
        )
    head = [f"with {run['count']} images of each", "half of the tests see", "by", "seen less often"]
    return table(head, rows, after=f"*Simulated galaxies; {made({'simulated': run}, *QUESTIONS)}.*")


def in_short(run: Mapping | None, count: int) -> str:
    """The same, and whether a run that compares so many images of each sees as much; or how to measure it."""
    if not run:
        return MISSING
    (fault, _), (seen, _) = next(iter(effects(run).items()))
    least = f"from {_size(fault, seen[0]['level'])} on" if seen else "at no size that was tried"
    said = f"With {run['count']} images of each, half of the tests see {_FAULTS[fault]} {least}. "
    said += f"What is smaller may be in any model that passes.\n\n{effects_table(run).data}"
    if count == run["count"]:
        return said
    less = "less" if count < run["count"] else "more"
    return f"{said} This run compares {count} images of each, with which a test sees {less}."


def missed_in_short(run: Mapping | None) -> str:
    """What a classifier finds and morphology misses."""
    if not run:
        return "not measured yet"
    return f"a classifier finds, and morphology misses: {missed(run, 'morphology', 'distribution')}"


def missed(run: Mapping, question: str, by: str) -> str:
    """Of each fault the least size that half of the tests of `by` find, and fewer of those of `question`."""
    told = []
    for fault, N in _faults(run, by):
        less = {r["level"]: r for r in _curve(run, fault, N, question) if not _often(r)}
        seen = [r for r in _curve(run, fault, N, by) if _often(r) and r["level"] in less]
        for r in seen[:1]:
            counts = f"{_count(r)}, {question} {_count(less[r['level']])}"
            told.append(f"{_FAULTS[fault]} ({_size(fault, r['level'])}: {by} {counts})")
    return ", ".join(told) or "nothing that was tried"


def power_figure(run: Mapping) -> Figure:
    """The share of the tests that reject, over the size of the fault; a panel for each question.

    Args:
        run: Of simulated galaxies.
    """
    figure, axes = plt.subplots(2, 3, figsize=(10, 6), sharey=True)
    key = axes.flat[-1]
    key.axis("off")
    for axis, question in zip(axes.flat, QUESTIONS, strict=False):
        known = records(run, question=question)
        sizes = sorted({r["N"] for r in known if r["N"]})
        for fault, N in _faults(run, question):
            # from those without a fault, which for distribution and morphology are of fresh galaxies
            nothing = [r for r in known if r["alternative"] in _NO_FAULT and r["N"] == N]
            curve = [*nothing[-1:], *_curve(run, fault, N, question)]
            style = {"color": shades(sizes)[N], "label": f"N = {spaced(N)}"} if N else {}
            style = {"label": "blur, % of a pixel" if fault == "blur" else fault} | style
            style |= {"color": "black"} if fault == "latents in common" else {}
            shares = [r["rejected"] / r["tests"] for r in curve]
            axis.plot([100 * r["level"] for r in curve], shares, marker="o", ms=3, **style)
            axis.set_xlabel({"copies": "copies, %", "latents in common": "latents, %"}.get(fault, "fault, %"))
        axis.axhline(run["alpha"], ls="--", color=COLOURS["null"], lw=0.8)
        axis.set_title(question, fontsize=10)
        if sizes:
            axis.legend(fontsize=8, loc="lower right")
        elif len(lines := axis.lines[:-1]) > 1:  # faults of images, the same in three panels
            key.legend(handles=lines, loc="center left")
    for row in axes:
        row[0].set(ylabel=f"share with p < {run['alpha']:g}", ylim=(-0.03, 1.03))
    return figure


def size_table(runs: Mapping[str, Mapping]) -> Markdown:
    """How many of the tests reject where there is nothing to find; bold where that is too many for luck.

    The share that would be in doubt is one whose 95 % interval lies above the level. The runs are those of
    `galbook.results.measured`, by data set.
    """
    found = {name: {k: r for k, r in _nothing(run).items() if k[0] in _HERE} for name, run in runs.items()}
    rows = []
    keys = {key for each in found.values() for key in each}
    for question, n in sorted(keys, key=lambda key: (_HERE.index(key[0]), key[1] or 0)):
        cells = [_cell(each.get((question, n)), runs[name]["alpha"]) for name, each in found.items()]
        rows.append([question, spaced(n) if n else "any", *cells])
    return table(
        ["question", "N", *(f"{escaped(name)}: rejected" for name in found)],
        rows,
        after=f"{size_answer(runs)}.",
    )


def size_answer(runs: Mapping[str, Mapping]) -> Reading:
    """All tests of the scoreboard where there is nothing to find: how many reject, and how many may by luck.

    Of memorization the exchange alone is counted: the test of both nulls never rejects more often.
    """
    alpha, asked = next(iter(runs.values()))["alpha"], {"exchange alone", *QUESTIONS} - {"memorization"}
    found = [r for run in runs.values() for (question, _), r in _nothing(run).items() if question in asked]
    rejected, total = (sum(r[name] for r in found) for name in ("rejected", "tests"))
    low, high = stats.binom.interval(0.99, total, alpha)
    luck = (low - 1, "fewer than luck gives"), (high, "as many as luck gives, 99 % of the time")
    what = f"Tests of the scoreboard that reject at p < {alpha:g} where nothing is to be found"
    what += " (of memorization the exchange alone)"
    return Reading(what, rejected, (*luck, (inf, "more than luck gives")), f"{rejected} of {spaced(total)}")


def _faults(run: Mapping, *questions: str) -> list[tuple[str, int | None]]:
    """Each fault, and each N where it depends on one, that the questions (of the scoreboard) were put to."""
    known = {(r["alternative"], r["N"]) for q in questions or QUESTIONS for r in records(run, question=q)}
    return sorted(
        ((fault, N) for fault, N in known if fault in _FAULTS),
        key=lambda one: (list(_FAULTS).index(one[0]), one[1] or 0),
    )


def _curve(run: Mapping, fault: str, N: int | None, question: str) -> Records:
    found = records(run, question=question, alternative=fault, N=N)
    return sorted(found, key=lambda record: record["level"])


def _nothing(run: Mapping) -> dict[tuple[str, int | None], Mapping]:
    """By question and N the record of real galaxies without a fault."""
    return {(r["question"], r["N"]): r for r in records(run, alternative="")}


def _often(record: Mapping) -> bool:
    return 2 * record["rejected"] >= record["tests"]


def _size(fault: str, level: float) -> str:
    return f"{level:g} pixels" if fault == "blur" else "all" if level == 1 else f"{100 * level:.0f} %"


def _count(record: Mapping) -> str:
    return f"{record['rejected']} of {record['tests']}"


def _cell(record: Mapping | None, alpha: float) -> str:
    if record is None:
        return "not asked"
    text = _count(record)
    unlikely = (
        stats.binomtest(record["rejected"], record["tests"], alpha, alternative="greater").pvalue < 0.025
    )
    return f"**{text}**" if unlikely else text
