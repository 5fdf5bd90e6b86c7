"""Size and power of the tests of the scoreboard, as `make power` found and results/power.json keeps them."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from IPython.display import Markdown
from matplotlib.figure import Figure
from scipy import stats

from galgen.compare.scoreboard import QUESTIONS
from galgen.figures.style import COLOURS, shades, spaced
from galgen.figures.tables import table

_NAMES = {"copies": "copies", "latents in common": "latents at which A and B draw the same"}


def power_figure(run: Mapping) -> Figure:
    """The share of the tests that reject, over the size of the fault; a panel for each question.

    Args:
        run: Of simulated galaxies, one value of `galgen.figures.results.measured`.
    """
    figure, axes = plt.subplots(2, 4, figsize=(10, 6.4), sharey=True)
    for axis in axes.flat[len(QUESTIONS) :]:
        axis.remove()
    for axis, question in zip(axes.flat, QUESTIONS, strict=False):
        records = [r for r in run["records"] if r["question"] == question]
        sizes = sorted({r["N"] for r in records if r["N"]})
        for line in sorted({(r["alternative"], r["N"] or 0) for r in records if r["alternative"]}):
            curve = {r["level"]: r for r in records if (r["alternative"], r["N"] or 0) == line}
            nothing = [r for r in records if not r["alternative"] and (r["N"] or 0) == line[1]]
            # the last of those without a fault, which for distribution and morphology is of fresh galaxies
            curve = {0.0: nothing[-1]} | dict(sorted(curve.items()))
            shares = [r["rejected"] / r["tests"] for r in curve.values()]
            colour = {"color": shades(sizes)[line[1]]} if line[1] else {}
            label = f"N = {spaced(line[1])}" if line[1] else _NAMES.get(line[0], line[0])
            axis.plot([100 * level for level in curve], shares, marker="o", ms=3, label=label, **colour)
            axis.set_xlabel(f"{_NAMES[line[0]].split()[0]}, %" if line[0] in _NAMES else "change, %")
        axis.axhline(run["alpha"], ls="--", color=COLOURS["null"], lw=0.8)
        axis.set_title(question, fontsize=10)
        if axis.lines[1:]:
            axis.legend(fontsize=7)
    for row in axes:
        row[0].set(ylabel=f"share with p < {run['alpha']:g}", ylim=(-0.03, 1.2))
    return figure


def size_table(runs: Mapping[str, Mapping]) -> Markdown:
    """How many of the tests reject where there is nothing to find; bold where that is too many for luck.

    The share that would be in doubt is one whose 95 % interval lies above the level.
    """
    found = {name: _nothing(run) for name, run in runs.items()}
    rows = []
    for question, n in dict.fromkeys(key for each in found.values() for key in each):
        cells = [_cell(each.get((question, n)), runs[name]["alpha"]) for name, each in found.items()]
        rows.append([question, spaced(n) if n else "any", *cells])
    return table(["question", "N", *(f"{name}: rejected" for name in found)], rows)


def power_answer(runs: Mapping[str, Mapping]) -> str:
    """In one sentence: whether the tests keep their level, and the smallest change that each finds."""
    if not (run := runs.get("simulated")):
        return (
            "**Not measured yet:** `results/power.json` holds no simulated galaxies; `make power` makes it."
        )
    tests = [record for each in runs.values() for record in _nothing(each).values()]
    rejected, total = (sum(record[name] for record in tests) for name in ("rejected", "tests"))
    says = []
    for question in QUESTIONS:
        faults = [r for r in run["records"] if r["question"] == question and r["alternative"]]
        told = {}  # by how much is found, the faults or the N of which
        for name, n in dict.fromkeys((r["alternative"], r["N"]) for r in faults):
            levels = [r for r in faults if (r["alternative"], r["N"]) == (name, n)]
            seen = [r["level"] for r in levels if 2 * r["rejected"] >= r["tests"]]
            found = f"{min(seen):.0%}" if seen else f"none up to {max(r['level'] for r in levels):.0%}"
            what = _NAMES.get(name, name)
            part = f"{found} {'of' if name in _NAMES else 'in'}"
            key, of = (f"{part} {what} at N =", spaced(n)) if n else (part, what)
            told.setdefault(key, []).append(of)
        if told:
            says.append(f"*{question}*: {'; '.join(' '.join((k, ', '.join(of))) for k, of in told.items())}")
    return (
        f"**Where there is nothing to find, {rejected} of {spaced(total)} tests reject at "
        f"p < {run['alpha']:g} ({rejected / total:.1%}).** The smallest fault tried that at least half of "
        f"the tests find: {'. '.join(says)}."
    )


def power_note(runs: Mapping[str, Mapping]) -> str:
    """When, where and of what the numbers are: they are not of the run that shows them."""
    return "; ".join(
        f"{name}, profile {run['profile']}, {run['count']} samples, "
        + ", ".join(f"{made['date']}, commit {made['commit'][:8]}" for made in run["made"])
        for name, run in runs.items()
    )


def _nothing(run: Mapping) -> dict[tuple[str, int | None], Mapping]:
    """The first record of each question and N without a fault."""
    found = {}
    for record in run["records"]:
        if not record["alternative"]:
            found.setdefault((record["question"], record["N"]), record)
    return found


def _cell(record: Mapping | None, alpha: float) -> str:
    if record is None:
        return ""
    text = f"{record['rejected']} of {record['tests']}"
    unlikely = (
        stats.binomtest(record["rejected"], record["tests"], alpha, alternative="greater").pvalue < 0.025
    )
    return f"**{text}**" if unlikely else text
