"""What `make beyond` found and results/beyond.json keeps, by data set: pictures and tables."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.calibrated import STATISTICS
from galgen.figures.results import select
from galgen.figures.style import COLOURS
from galgen.figures.tables import table
from galgen.words import spaced

__all__ = ["chance_table", "distances_table", "grid", "level", "verdict_figure"]

FOUND = 0.05  # level of the cells of a table of distances
_SPACES = ("pixels", "features", "morphology")
Found = Mapping[str, Mapping]  # what was found, by data set


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


def distances_table(found: Found) -> Markdown:
    """How many models PQMass tells from galaxies, and from how many draws on it gives a memorizer away."""
    rows = []
    for name, run in found.items():
        cells = []
        for space in _SPACES:
            tests = select(run["records"], against="held-out galaxies", statistic="PQMass", space=space)
            p = [_both_sides(r) for r in tests if ", N = " in r["set"]]
            cells.append(f"{sum(x <= FOUND for x in p)} of {len(p)}")
        own = select(run["memorizer"], kind="with repeats", against="training set")
        for part in (0.1, 1):
            r = min(own, key=lambda r: abs(r["n"] - part * r["N"]))
            cells.append(
                f"{r['too close']} of {r['tests']} sets of {spaced(r['n'])} draws, N = {spaced(r['N'])}"
            )
        rows.append([name, *cells])
    head = ["", *(f"models that differ from galaxies in {space}" for space in _SPACES)]
    head += ["a memorizer is given away by", "and by"]
    return table(
        head, rows, before=f"What PQMass tells of models, and of a memorizer, at p of {FOUND} or less:"
    )


def chance_table(found: Found) -> Markdown:
    """How many cells are coloured of sets of which none should be, but for chance."""
    rows = []
    for name, run in found.items():
        galaxies = [r for r in run["records"] if r["set"] in ("held out", "training images")]
        tests = select(galaxies, against="held-out galaxies")
        named = [
            f"{r['set']}, {r['statistic']} of {r['space']}: "
            f"too {'far' if r['far'] < r['close'] else 'close'}, p {_both_sides(r):.2f}"
            for r in tests
            if _both_sides(r) < FOUND
        ]
        chance = f"{FOUND * len(tests):.1f}"
        rows.append([name, f"{len(named)} of {len(tests)}", chance, "; ".join(named) or "none"])
    return table(["galaxies against held-out galaxies", f"p < {FOUND}", "by chance", "which"], rows)


def _both_sides(record: Mapping) -> float:
    return min(1.0, 2 * min(record["far"], record["close"]))
