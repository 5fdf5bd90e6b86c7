"""Size and power of the book's tests, as `make power` found them and results/power.json keeps them.

Of each data set there are parts, made at different times by the code of different commits. They hold
records: of one question, one fault (`alternative`, empty where there is none) and one size of it (`level`),
how many of the tests reject. A fault is *seen* at a size where half of the tests of some question, or more,
find it, and at every larger size as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
from IPython.display import Markdown
from matplotlib.figure import Figure
from scipy import stats

from galgen.compare.scoreboard import QUESTIONS
from galgen.figures.style import COLOURS, shades, spaced
from galgen.figures.tables import table
from galgen.runs.provenance import processor

Records = Sequence[Mapping]

# Faults in an astronomer's words: at the head of a row, and with their size in a sentence.
_FAULTS = {
    "blur": ("a blur", "a blur of {}"),
    "sky noise": ("more noise of the sky", "{} more noise of the sky"),
    "size": ("radii too large", "radii {} too large"),
    "ellipticity": ("ellipticities too large", "ellipticities {} too large"),
    "spirals without arms": ("spirals without their arms", "arms missing in {} of the spirals"),
    "copies": ("copies among the samples", "{}"),
    "latents in common": ("latents at which B draws A's galaxy", "{} of the latents"),
}
_OF_IMAGES = list(_FAULTS)[:5]
_HERE = [*QUESTIONS, "energy difference"]
_HERE.insert(2, "exchange alone")  # the first of the two nulls of memorization
_NO_FAULT = ("", "nothing changed")  # of real galaxies, and of fresh ones like those with a fault
MISSING = "**Not measured yet:** `results/power.json` holds no simulated galaxies; `make power` makes it."


@dataclass(frozen=True)
class Effect:
    """How large a fault has to be.

    Attributes:
        fault: Its name in the records.
        N: Training images, where it depends on them.
        seen: Records of the least size that is seen, of the questions that see it; none if no size is.
        rarer: Those of all questions at the next smaller size, or, where none is seen, at the largest.
    """

    fault: str
    N: int | None
    seen: Records
    rarer: Records

    @property
    def best(self) -> Mapping | None:
        """Of the rarer records that of the most findings."""
        return max(self.rarer, key=lambda record: record["rejected"], default=None)

    def said(self, record: Mapping) -> str:
        """The fault, as large as in that record, in words."""
        return _FAULTS[self.fault][1].format(_size(self.fault, record["level"]))


def records(run: Mapping, **wanted: object) -> Records:
    """All records of a data set, one value of `galgen.figures.results.measured`, that have these values."""
    found = (record for part in run["parts"] for record in part["records"])
    return [r for r in found if all(r[name] == value for name, value in wanted.items())]


def effects(run: Mapping) -> list[Effect]:
    """Each fault that the questions of the scoreboard were put to, in simulated galaxies."""
    found = []
    for fault, N in _faults(run):
        curves = [c for question in QUESTIONS if (c := _curve(run, fault, N, question))]
        seen, rarer = [], []
        for level in sorted({r["level"] for curve in curves for r in curve}, reverse=True):
            at = [r for curve in curves for r in curve if r["level"] == level]
            often = [r for r in at if 2 * r["rejected"] >= r["tests"]]
            if not often:
                rarer = at
                break
            seen = often
        found.append(Effect(fault, N, seen, rarer))
    return found


def effects_table(run: Mapping) -> Markdown:
    """From what size on each fault is seen, by which questions, and how often the next smaller one is."""
    rows = []
    for effect in effects(run):
        words, least, by, less = _FAULTS[effect.fault][0], "**not seen**", "", ""
        if effect.seen:
            least = _size(effect.fault, effect.seen[0]["level"])
            by = ", ".join(f"{r['question']} ({r['rejected']} of {r['tests']})" for r in effect.seen)
        if effect.rarer:
            counts = ", ".join(f"{r['question']} {r['rejected']}" for r in effect.rarer)
            level = _size(effect.fault, effect.rarer[0]["level"])
            less = f"{level}: {counts} of {effect.rarer[0]['tests']}"
        rows.append([f"{words}, N = {spaced(effect.N)}" if effect.N else words, least, by, less])
    return table(
        [f"with {run['count']} images of each", "half of the tests see", "by", "seen less often"], rows
    )


def smallest_effects(run: Mapping) -> str:
    """The same in two sentences: what half of the tests or more see, and what they see less often."""
    known = effects(run)
    images = [effect for effect in known if effect.fault in _OF_IMAGES]
    sees = [effect.said(effect.seen[0]) for effect in images if effect.seen]
    copied = {}  # the N by the share that is seen
    for effect in known:
        if effect.fault == "copies" and effect.seen:
            copied.setdefault(_size("copies", effect.seen[0]["level"]), []).append(spaced(effect.N))
    sees += [f"copies in {share} of both models' samples at N = {_listed(N)}" for share, N in copied.items()]
    misses = [f"{e.said(e.best)} in {e.best['rejected']}" for e in images if e.rarer]
    said = f"With {run['count']} images of each, half of the tests or more see {_listed(sees, '; ')}."
    tests = max((e.best["tests"] for e in images if e.rarer), default=0)
    return f"{said} Of {tests} tests each, the best question sees {_listed(misses)}." if misses else said


def left_out(run: Mapping) -> str:
    """What PQMass and "too close", which the scoreboard does not ask, find of the same faults."""
    level = max(r["level"] for r in records(run, question="PQMass"))
    faults = records(run, question="PQMass", level=level)
    found = [
        f"{_FAULTS[r['alternative']][1].format(_size('', level))} in {r['rejected']}"
        for r in faults
        if r["alternative"] in _FAULTS
    ]
    close = records(run, question="too close", alternative="copies")
    of = {share: _listed(str(r["rejected"]) for r in close if r["level"] == share) for share in (0.2, 0.5)}
    sizes = _listed(spaced(N) for N in sorted({r["N"] for r in close}))
    return (
        f"Of {faults[0]['tests']} tests with {run['count']} images of each, PQMass in pixels sees "
        f"{_listed(found)}. *Too close* sees 20 % of copies in {of[0.2]} at N = {sizes}, and 50 % in "
        f"{of[0.5]}."
    )


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


def size_table(runs: Mapping[str, Mapping], after: str = "") -> Markdown:
    """How many of the tests reject where there is nothing to find; bold where that is too many for luck.

    The share that would be in doubt is one whose 95 % interval lies above the level.

    Args:
        runs: By data set, as `galgen.figures.results.measured` gives them.
        after: Text under the table.
    """
    found = {name: {k: r for k, r in _nothing(run).items() if k[0] in _HERE} for name, run in runs.items()}
    rows = []
    keys = {key for each in found.values() for key in each}
    for question, n in sorted(keys, key=lambda key: (_HERE.index(key[0]), key[1] or 0)):
        cells = [_cell(each.get((question, n)), runs[name]["alpha"]) for name, each in found.items()]
        rows.append([question, spaced(n) if n else "any", *cells])
    return table(["question", "N", *(f"{name}: rejected" for name in found)], rows, after=after)


def size_answer(runs: Mapping[str, Mapping]) -> str:
    """All tests of the scoreboard where there is nothing to find: how many reject, and how many may by luck.

    Of memorization the exchange alone is counted: the test of both nulls never rejects more often.
    """
    tests = [(question, r) for run in runs.values() for (question, _), r in _nothing(run).items()]
    alpha = next(iter(runs.values()))["alpha"]

    def counts(*questions: str) -> tuple[int, int]:
        asked = [record for question, record in tests if question in questions]
        return sum(r["rejected"] for r in asked), sum(r["tests"] for r in asked)

    rejected, total = counts("exchange alone", *(q for q in QUESTIONS if q != "memorization"))
    low, high = stats.binom.interval(0.99, total, alpha)
    both, all_both = counts("memorization")
    return (
        f"{rejected} of {spaced(total)} reject at p < {alpha:g}, where luck alone gives {low:.0f} to "
        f"{high:.0f} (99 % of the time), *exchange alone* for memorization. That has to exceed both nulls "
        f"and rejects {both} of {spaced(all_both)}."
    )


def power_note(runs: Mapping[str, Mapping], *questions: str) -> str:
    """When, where and of what the numbers are: they are not of the run that shows them.

    Args:
        runs: By data set.
        questions: Those that are shown; by default all.
    """
    said = []
    for name, run in runs.items():
        made = [
            f"{part['date']}, commit {part['commit'][:8]}, {processor(part['machine'])}"
            for part in run["parts"]
            if not questions or {record["question"] for record in part["records"]} & set(questions)
        ]
        made = ", ".join(dict.fromkeys(made))
        said.append(f"{name}, profile {run['profile']}, {run['count']} samples, {made}")
    return "; ".join(said)


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


def _size(fault: str, level: float) -> str:
    return f"{level:g} pixels" if fault == "blur" else "all" if level == 1 else f"{100 * level:.0f} %"


def _listed(parts: Iterable[str], comma: str = ", ") -> str:
    *most, last = list(parts) or ["nothing that was tried"]
    return f"{comma.join(most)}{comma if comma == '; ' else ' '}and {last}" if most else last


def _cell(record: Mapping | None, alpha: float) -> str:
    if record is None:
        return ""
    text = f"{record['rejected']} of {record['tests']}"
    unlikely = (
        stats.binomtest(record["rejected"], record["tests"], alpha, alternative="greater").pvalue < 0.025
    )
    return f"**{text}**" if unlikely else text
