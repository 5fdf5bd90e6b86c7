"""Chapter 13, calibrated distances: what `make beyond` found of controls, and what PQMass tells of a run."""

from collections.abc import Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galbook.claims.findings import ALPHA
from galbook.results import select
from galgen.compare import calibrated
from galgen.figures.style import COLOURS
from galgen.figures.tables import Markdown, escaped, table
from galgen.figures.words import spaced

__all__ = ["chance_table", "grid", "in_short", "level", "verdict_figure"]

FOUND = 0.05  # level of the cells of a table of distances
_AGAINST = {"held-out galaxies": "", "own training set": ", own images"}  # and what a row is called
Found = Mapping[str, Mapping]  # results/beyond.json: what was found, by data set


def grid(rows: int, columns: int, **options: object) -> tuple[Figure, np.ndarray]:
    """Panels, (rows, columns), by default of one scale in a row."""
    size = (min(10, 1 + 3.4 * columns), 0.6 + 2.5 * rows)
    return plt.subplots(rows, columns, figsize=size, squeeze=False, **{"sharey": "row"} | options)


def level(axis: Axes, at: float, **style: object) -> None:
    """A gray dashed line, at what there is when there is nothing to find."""
    axis.axhline(at, **{"ls": "--", "lw": 0.8, "color": COLOURS["null"]} | style)


def verdict_figure(run: Mapping) -> Figure:
    """Which distances find which control too far from a reference, which too close, and how sure they are.

    Against held-out galaxies and, below a line, against its own training images. A cell that was not measured
    is hatched, as white says that there is nothing to find.
    """
    records = [r for against in _AGAINST for r in select(run["records"], against=against)]
    rows = list(dict.fromkeys((r["against"], r["set"]) for r in records))
    spaces = list(dict.fromkeys(r["space"] for r in records))
    columns = [(space, statistic) for space in spaces for statistic in calibrated.STATISTICS]
    shown = np.full((len(rows), len(columns)), np.nan)
    for r in records:
        found = _test(r)
        signed = np.log10(found.p) * (-1 if found.far < found.close else 1)
        shown[rows.index((r["against"], r["set"])), columns.index((r["space"], r["statistic"]))] = signed
    figure, axis = plt.subplots(figsize=(9, 1.5 + 0.26 * len(rows)))
    picture = axis.imshow(shown, cmap="PuOr_r", vmin=-2, vmax=2, aspect="auto")
    axis.patch.set(hatch="////", edgecolor=COLOURS["null"])  # shows where the picture has nothing
    axis.set_yticks(range(len(rows)), [name + _AGAINST[against] for against, name in rows])
    axis.axhline(sum(against == "held-out galaxies" for against, _ in rows) - 0.5, color="black", lw=0.7)
    axis.set_xticks(range(len(columns)), [name for _, name in columns], rotation=90, fontsize=8)
    for k, space in enumerate(spaces):
        middle = (k + 0.5) * len(calibrated.STATISTICS) - 0.5
        axis.text(middle, -0.7, space, ha="center", va="bottom")
        axis.axvline(k * len(calibrated.STATISTICS) - 0.5, color="white", lw=3)
    bar = figure.colorbar(picture, ax=axis, ticks=(-2, -1.3, 0, 1.3, 2))
    bar.set_ticklabels(["too close, p = 0.01", "0.05", "1", "0.05", "too far, p = 0.01"], fontsize=8)
    return figure


def memorizer_table(found: Found) -> Markdown:
    """From how many draws on PQMass gives a perfect memorizer away, against its training set."""
    rows = []
    for name, run in found.items():
        own = select(run["memorizer"], kind="with repeats", against="training set")
        cells = []
        for part in (0.1, 1):
            r = min(own, key=lambda r: abs(r["n"] - part * r["N"]))
            cells.append(
                f"{r['too close']} of {r['tests']} sets of {spaced(r['n'])} draws, N = {spaced(r['N'])}"
            )
        rows.append([escaped(name), *cells])
    return table(["", "a memorizer is given away by", "and by"], rows)


def in_short(asked: Iterable[Mapping], found: Found) -> str:
    """What PQMass tells of the first pairs of this run, and of a memorizer.

    Args:
        asked: Of each pair and N, the question (PQMass or too close), its p, and whether it memorizes by the
            test of the scoreboard.
        found: What is committed.
    """
    asked = list(asked)
    far, close = (select(asked, question=question) for question in ("PQMass", "too close"))
    few = f"This run has too few images for PQMass, which needs more than {calibrated.NEIGHBOURS}."
    told = [sum(r["p"] < ALPHA for r in rows) for rows in (far, close)]
    said = (
        f"At p < {ALPHA:g} PQMass in pixels finds {told[0]} of the {len(far)} pairs, the first of each "
        f"family and N, too far from held-out galaxies, and {told[1]} too close to their own training images."
    )
    if copiers := [r["p"] < ALPHA for r in close if r["memorizes"]]:
        said += f" Of the {len(copiers)} that memorize by the test of the scoreboard it finds {sum(copiers)} "
        said += "too close."
    text = said if asked else few
    if not found:
        return f"{text}\n\n**Of a memorizer not measured yet:** `make beyond` does it."
    text += " A perfect memorizer passes it while few images are drawn (committed, at p of "
    return f"{text}{FOUND:g} or less):\n\n{memorizer_table(found).data}"


def chance_table(found: Found) -> Markdown:
    """How many cells are coloured of sets of which none should be, but for chance."""
    rows = []
    for name, run in found.items():
        galaxies = [r for r in run["records"] if r["set"] in ("held out", "training images")]
        tests = [(r, _test(r)) for r in select(galaxies, against="held-out galaxies")]
        named = [
            f"{r['set']}, {r['statistic']} of {r['space']}: {side}, p {test.p:.2f}"
            for r, test in tests
            if (side := test.verdict(FOUND))
        ]
        chance = f"{FOUND * len(tests):.1f}"
        rows.append([escaped(name), f"{len(named)} of {len(tests)}", chance, "; ".join(named) or "none"])
    return table(["galaxies against held-out galaxies", f"p of {FOUND} or less", "by chance", "which"], rows)


def _test(record: Mapping) -> calibrated.TwoSided:
    return calibrated.TwoSided(*(record[name] for name in ("value", "low", "high", "far", "close")))
