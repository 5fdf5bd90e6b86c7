"""What `make beyond` found and results/beyond.json keeps, by data set and part, as pictures and sentences."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.calibrated import STATISTICS
from galgen.compare.uncertainty import Estimate
from galgen.figures.results import measured
from galgen.figures.style import COLOURS, spaced
from galgen.runs.provenance import processor

Records = Sequence[Mapping]
Found = Mapping[str, Mapping]  # what a part found, by data set


def committed(part: str, folder: str | Path | None = None) -> dict[str, dict]:
    """What a part found, by data set, simulated galaxies first; nothing if `make beyond` never ran."""
    runs = measured("beyond", folder)
    order = sorted(runs, key=lambda name: name != "simulated")
    return {name: runs[name][part] for name in order if part in runs[name]}


def note(found: Found) -> str:
    """When, where and of what the numbers are: they are not of the run that shows them."""
    made = [
        f"{name}, {run['date']}, commit {run['commit'][:8]}, {processor(run['machine'])}"
        for name, run in found.items()
    ]
    profiles = dict.fromkeys(run["profile"] for run in found.values())
    return f"committed: profile {', '.join(profiles)} · {'; '.join(made)}"


def select(records: Records, **wanted: object) -> Records:
    """The records that have these values."""
    return [r for r in records if all(r[name] == value for name, value in wanted.items())]


def values(records: Iterable[Mapping], key: str = "value") -> list[Estimate]:
    """The estimates that records have under a key, as dictionaries or as several values of a mean."""
    cells = [record[key] for record in records]
    return [Estimate(**c) if isinstance(c, Mapping) else _mean(c) for c in cells]


def grid(rows: int, columns: int, **options: object) -> tuple[Figure, np.ndarray]:
    """Panels, (rows, columns), by default of one scale in a row."""
    size = (min(10, 1 + 3.4 * columns), 0.6 + 2.5 * rows)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, **{"sharey": "row"} | options)


def level(axis: Axes, at: float, **style: object) -> None:
    """A gray dashed line, at what there is when there is nothing to find."""
    axis.axhline(at, **{"ls": "--", "lw": 0.8, "color": COLOURS["null"]} | style)


def verdict_figure(run: Mapping, against: str) -> Figure:
    """Which distances find which set too far from a reference, which too close, and how sure they are.

    A cell that was not measured is hatched, as white says that there is nothing to find.
    """
    records = select(run["records"], against=against)
    rows, spaces = (list(dict.fromkeys(r[key] for r in records)) for key in ("set", "space"))
    columns = [(space, statistic) for space in spaces for statistic in STATISTICS]
    shown = np.full((len(rows), len(columns)), np.nan)
    for r in records:
        signed = np.log10(_both_sides(r)) * (-1 if r["far"] < r["close"] else 1)
        shown[rows.index(r["set"]), columns.index((r["space"], r["statistic"]))] = signed
    figure, axis = plt.subplots(figsize=(9, 1.5 + 0.26 * len(rows)))
    picture = axis.imshow(shown, cmap="PuOr_r", vmin=-2, vmax=2, aspect="auto")
    axis.patch.set(hatch="////", edgecolor=COLOURS["null"])  # shows where the picture has nothing
    axis.set_yticks(range(len(rows)), rows)
    axis.set_xticks(range(len(columns)), [name for _, name in columns], rotation=90, fontsize=8)
    for k, space in enumerate(spaces):
        middle = (k + 0.5) * len(STATISTICS) - 0.5
        axis.text(middle, -0.7, space, ha="center", va="bottom")
        axis.axvline(k * len(STATISTICS) - 0.5, color="white", lw=3)
    bar = figure.colorbar(picture, ax=axis, ticks=(-2, -1.3, 0, 1.3, 2))
    bar.set_ticklabels(["too close, p = 0.01", "0.05", "1", "0.05", "too far, p = 0.01"], fontsize=8)
    return figure


def answer(what: str) -> Callable[[Callable[[Mapping], str]], Callable[[Found], str]]:
    """Makes a sentence for all data sets, which begins with `what`, of one for each."""

    def of_each(say: Callable[[Mapping], str]) -> Callable[[Found], str]:
        @functools.wraps(say)
        def said(found: Found) -> str:
            return f"**{what}:** {'. '.join(f'*{name}*: {say(run)}' for name, run in found.items())}."

        return said

    return of_each


@answer("PQMass of models, and of a memorizer")
def distances_answer(run: Mapping) -> str:
    """How many models it tells from galaxies, and from how many draws on it gives a memorizer away."""
    told = []
    for space in ("pixels", "features"):
        tests = select(run["records"], against="held-out galaxies", statistic="PQMass", space=space)
        p = [_both_sides(r) for r in tests if ", N = " in r["set"]]
        told.append(f"{sum(x <= 0.05 for x in p)} of {len(p)} in {space}")
    own = select(run["memorizer"], kind="with repeats", against="training set")
    N = own[0]["N"]
    some = (min(own, key=lambda r: abs(r["n"] - n)) for n in (N / 10, N))
    sets = (f"{r['too close']} of {r['tests']} sets of {spaced(r['n'])} draws" for r in some)
    return (
        f"of the models {' and '.join(told)} differ from galaxies; a memorizer of {spaced(N)} images is "
        f"given away by {' and by '.join(sets)}"
    )


@answer("Cells of galaxies against held-out galaxies")
def chance_answer(run: Mapping) -> str:
    """How many cells are coloured of sets of which none should be, but for chance."""
    galaxies = [r for r in run["records"] if r["set"] in ("held out", "training images")]
    tests = select(galaxies, against="held-out galaxies")
    named = [
        f"{r['set']}, {r['statistic']} of {r['space']}: too {'far' if r['far'] < r['close'] else 'close'}, "
        f"p {_both_sides(r):.2f}"
        for r in tests
        if _both_sides(r) < 0.05
    ]
    chance = f"{len(tests) / 20:.1f} would by chance"
    return f"{len(named)} of {len(tests)} have p < 0.05, {chance} ({'; '.join(named) or 'none'})"


def _both_sides(record: Mapping) -> float:
    return min(1.0, 2 * min(record["far"], record["close"]))


def _mean(sample: Sequence[float]) -> Estimate:
    """The mean of a few values, with the least and the largest of them."""
    return Estimate(float(np.mean(sample)), float(min(sample)), float(max(sample)), len(sample))
