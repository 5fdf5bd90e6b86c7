"""The clock, in figures: gaps over passes, onsets over load, harm, bits a weight, and copies."""

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from galbook.clock.asked import Copying
from galbook.clock.cells import Cell, by_width
from galbook.clock.gap import LEVEL
from galbook.clock.law import LAWS, Fit, Law, Place, fit, seen
from galgen.figures.style import COLOURS, OTHERS, intervals, shades
from galgen.figures.words import spaced

__all__ = [
    "bits_figure",
    "bits_said",
    "copying_figure",
    "copying_said",
    "gaps_figure",
    "gaps_said",
    "harm_figure",
    "harm_said",
    "onsets_figure",
    "onsets_said",
]

_MARKERS = {4: "s", 8: "o", 16: "^", 32: "D"}
_STYLES = {"L": "-", "L1": "--", "P": ":", "N": "-."}

# Of random features: the slowest mode of what is learnt by heart, at the edge of a Marchenko-Pastur bulk.
EDGE = Law(
    "edge",
    "t = N (c / W) x / (r + (1 - x^1/2)^2), x = l_c / load",
    lambda widths: ["c", "r", "l_c"],
    lambda of, at: of["c"] - log(at.kernels) + _edge(exp(of["r"]), exp(of["l_c"]) / at.load),
)


def _edge(r: float, x: float) -> float:
    return log(x / (r + (1 - x**0.5) ** 2))


def gaps_figure(cells: Iterable[Cell]) -> Figure:
    """The gap g over passes, a panel for each width and a colour for each N; broken at half the rate."""
    rows = by_width(cells)
    shade = shades(sorted({cell.N for row in rows.values() for cell in row}))
    figure, axes = plt.subplots(
        1, len(rows), figsize=(2.7 * len(rows) + 0.6, 3.6), squeeze=False, sharey=True
    )
    for axis, (kernels, row) in zip(axes[0], rows.items(), strict=True):
        axis.axhline(LEVEL, ls="--", color=COLOURS["null"], lw=0.8)
        for cell in row:
            style = {"ls": "-" if cell.rate == 1 else ":", "color": shade[cell.N]}
            name = f"{spaced(cell.N)} ({cell.load:.2g})" if cell.rate == 1 else f"{spaced(cell.N)}, half rate"
            for gap in cell.gaps:
                axis.plot(gap.shown[1:] / cell.N, gap.value[1:], lw=0.6, alpha=0.35, **style)
            shown = np.geomspace(max(g.shown[1] for g in cell.gaps), min(g.shown[-1] for g in cell.gaps), 30)
            each = [np.interp(np.log(shown), np.log(gap.shown), gap.value) for gap in cell.gaps]
            axis.plot(shown / cell.N, np.mean(each, 0), lw=1.8, label=name, **style)
        axis.set(xscale="log", xlabel="passes", title=f"{kernels} kernels")
        axis.xaxis.set_minor_formatter(NullFormatter())  # of less than a decade each would be written out
        axis.set_yscale("symlog", linthresh=0.5)
        axis.legend(fontsize=7, title="galaxies (load)", title_fontsize=7, loc="upper left")
    low, _ = axes[0][0].get_ylim()
    axes[0][0].set(ylabel="gap g: own less unseen galaxies, dB", ylim=(max(low, -0.4), 200))
    axes[0][0].set_yticks([0, 0.5, 1, 2, 5, 10], ["0", ".5", "1", "2", "5", "10"])
    axes[0][0].minorticks_off()
    return figure


def gaps_said(cells: Iterable[Cell]) -> str:
    """At how many widths g falls as N grows, after as many passes as all cells of it have: the title."""
    falls = []
    for row in by_width(cell for cell in cells if cell.rate == 1).values():
        passes = min(gap.shown[-1] / cell.N for cell in row for gap in cell.gaps)
        ends = {}
        for cell in row:
            at = [np.interp(passes * cell.N, gap.shown, gap.value) for gap in cell.gaps]
            ends[cell.N] = -np.mean(at)
        falls.append(_rises(ends))
    return f"Shown each as often, more galaxies are copied less{_at(falls)}"


def _rises(values: Mapping[float, float]) -> bool:
    return bool((np.diff([values[at] for at in sorted(values)]) > 0).all())


def _at(held: Sequence[bool]) -> str:
    return "" if all(held) else f", without exception at {sum(held)} of {len(held)} widths"


def onsets_figure(cells: Iterable[Cell], new: Iterable[Cell] = ()) -> Figure:
    """Passes at the onset times kernels, over load, of each training; filled are those that were foretold.

    Lines: L, P and the edge law of random features, fitted to those that were not, at the mean of the widths.
    An arrow: no onset up to there.
    """
    cells, new = list(cells), list(new)
    before, both = seen(cells), seen([*cells, *new])
    figure, axis = plt.subplots(figsize=(6.8, 4.2))
    for k, of in enumerate((cells, new)):
        for kernels, row in by_width(cell for cell in of if cell.rate == 1).items():
            _onsets(axis, row, kernels, filled=bool(k))
    loads = np.geomspace(min(c.place.load for c in both) / 1.5, max(c.place.load for c in both) * 1.5, 200)
    law, flat, inverse, edge = (fit(of, before) for of in (*(LAWS[k] for k in ("L", "P", "L1")), EDGE))
    l_0 = exp(law.values["l_0"])
    curve = _mean(law) * (1 + loads / l_0)
    axis.plot(loads, curve, "-", color="0.2", label=f"L: 1 + load / {l_0:.2f}")
    curve = [16 * exp(inverse.law.value(inverse.values, Place(16, 100, x))) for x in loads]
    axis.plot(loads, curve, "--", color="0.2", lw=1, label="L1: the same, time inverse to width")
    curve = [16 * exp(EDGE.value(edge.values, Place(16, 100, x))) for x in loads]
    axis.plot(loads, curve, "-.", color=OTHERS[1], lw=1.2, label="edge of random features")
    axis.axhline(_mean(flat), ls=":", color=COLOURS["null"], label="P: in proportion to N")
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="load: training pixels a weight",
        ylabel="kernels × passes when copying begins",
    )
    axis.legend(fontsize=7.5, loc="upper left", ncols=2)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * 2.5)
    return figure


def _mean(law: Fit) -> float:
    """Kernels times passes, the mean of the widths."""
    return exp(np.mean([log(k) + law.values[f"A_{k}"] for k in _MARKERS if f"A_{k}" in law.values]))


def onsets_said(cells: Iterable[Cell]) -> str:
    """At how many widths copying begins after more passes the larger the load: the title.

    Where it has not begun it begins after the last pass at the earliest.
    """
    rows = by_width(cell for cell in cells if cell.rate == 1).values()
    rises = [_rises({c.load: (c.onset() or c.gaps[0].shown[-1]) / c.N for c in row}) for row in rows]
    return f"The fuller the network, the more showings it takes{_at(rises)}"


def _onsets(axis: Axes, row: Sequence[Cell], kernels: int, *, filled: bool) -> None:
    """One width's onsets."""
    colour = plt.cm.plasma(0.8 * list(_MARKERS).index(kernels) / 3)
    style = {"ls": "none", "ms": 5.5, "color": colour, "mfc": colour if filled else "none"}
    label = {"label": f"{kernels} kernels" + ", foretold" * filled}
    for cell in row:
        for gap in cell.gaps:
            onset = gap.onset()
            y = kernels * (onset or gap.shown[-1]) / cell.N
            axis.plot(cell.load, y, _MARKERS[kernels], **style, **label)
            label = {}
            if not onset:
                ends = {"xy": (cell.load, y * 1.6), "xytext": (cell.load, y)}
                axis.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": colour})


def copying_figure(found: Mapping[int, Mapping[int, Copying]]) -> Figure:
    """P(train closer), the share of copies and the agreement of two models, over passes; a panel an N."""
    size = (3 * len(found) + 3, 3.4)
    figure, axes = plt.subplots(1, len(found), figsize=size, sharey=True, squeeze=False)
    for axis, (N, along) in zip(axes[0], found.items(), strict=True):
        passes = [shown / N for shown in along]
        for name, words in (
            ("closer", "P(train closer)"),
            ("copies", "copies"),
            ("agree", "agreement of A and B"),
        ):
            intervals(axis, passes, [getattr(each, name) for each in along.values()], marker="o", label=words)
        axis.axhline(0.5, color=COLOURS["null"], lw=0.8)
        axis.set(xscale="log", ylim=(-0.05, 1.05), xlabel="passes over the training set")
        axis.set_title(f"{spaced(N)} galaxies", fontsize=9)
    axes[0][0].set_ylabel("share, cosine")
    axes[0][-1].legend(fontsize=8, loc="center right", bbox_to_anchor=(1, 0.27))
    return figure


def copying_said(found: Mapping[int, Mapping[int, Copying]]) -> str:
    """What two networks draw at the end of their training: the title."""
    ends = {N: along[max(along)] for N, along in found.items()}
    copies = ", ".join(f"{100 * end.copies.value:.0f} %" for end in ends.values())
    agree = ", ".join(f"{end.agree.value:.2f}" for end in ends.values())
    of = ", ".join(map(spaced, ends))
    return (
        f"At the end, of what two networks of {of} galaxies draw, {copies} are copies; they agree at {agree}"
    )


def harmed(cell: Cell) -> list[float]:
    """Held-out PSNR at the end less its best, dB, of each training; 0 where it still improves."""
    return [float((held := gap.held_out.mean(1))[-1] - held.max()) for gap in cell.gaps]


def harm_figure(cells: Iterable[Cell]) -> Figure:
    """What training to the end costs unseen galaxies, over load; and their error, of cells that keep it."""
    rows = by_width(cell for cell in cells if cell.rate == 1)
    kept = any(t.held_out_errors is not None for row in rows.values() for cell in row for t in cell.traces)
    size = (4.2 * (1 + kept) + 1, 3.6)
    figure, axes = plt.subplots(1, 1 + kept, figsize=size, sharex=True, squeeze=False)
    harm, *more = axes[0]
    for kernels, row in rows.items():
        colour = plt.cm.plasma(0.8 * list(_MARKERS).index(kernels) / 3)
        style = {"marker": _MARKERS[kernels], "ls": "none", "color": colour, "mfc": "none", "ms": 5}
        for cell in row:
            label = {"label": f"{kernels} kernels"} if cell is row[0] else {}
            lost = harmed(cell)
            harm.plot([cell.load] * len(lost), lost, **style, **label)
            each = [t.held_out_errors for t in cell.traces if t.held_out_errors is not None]
            for error in (errors[len(errors) // 2] for errors in each):
                more[0].plot(cell.load, error[-1], **style)
                more[0].plot(cell.load, error.min(), **style | {"mfc": colour, "ms": 3})
    harm.axhline(0, color=COLOURS["null"], lw=0.8)
    harm.set(xscale="log", xlabel="load: training pixels a weight", ylabel="end less best, dB")
    harm.legend(fontsize=7.5, loc="lower right")
    for axis in more:
        axis.set(
            xscale="log", xlabel="load: training pixels a weight", ylabel="squared error, sum over pixels"
        )
        axis.set_title("at the end (open), at its best (dot)", fontsize=9)
    return figure


def harm_said(cells: Iterable[Cell]) -> str:
    """At how many widths going on costs less the larger the load: the title."""
    rows = by_width(cell for cell in cells if cell.rate == 1).values()
    rises = [_rises({cell.load: float(np.mean(harmed(cell))) for cell in row}) for row in rows]
    return f"Trained to the end, fuller networks lose less on unseen galaxies{_at(rises)}"


def bits_said(cells: Iterable[Cell]) -> str:
    """The most that a network knows at the end of its training: the title."""
    kept = [cell for cell in cells if cell.rate == 1]
    known = []
    for cell in kept:
        bits = cell.bits(min(gap.shown[-1] for gap in cell.gaps) / cell.N)
        known += [(b, trace.own_errors is None) for b, trace in zip(bits, cell.traces, strict=True)]
    most, one_level = max(known)
    by = ", by one noise level" * one_level
    return f"No training knows more than {most:.2f} bits a weight by heart at its end{by}"


def bits_figure(cells: Iterable[Cell]) -> Figure:
    """Bits a weight learnt by heart, over passes; broken where one noise level stands for all."""
    rows = by_width(cell for cell in cells if cell.rate == 1)
    shade = shades(sorted({cell.N for row in rows.values() for cell in row}))
    figure, axes = plt.subplots(
        1, len(rows), figsize=(2.6 * len(rows) + 0.6, 3.4), squeeze=False, sharey=True
    )
    for axis, (kernels, row) in zip(axes[0], rows.items(), strict=True):
        for cell in row:
            whole = [trace.own_errors is not None for trace in cell.traces]
            low = max(gap.shown[1] for gap in cell.gaps) / cell.N
            passes = np.geomspace(low, min(gap.shown[-1] for gap in cell.gaps) / cell.N, 30)
            found = np.array([cell.bits(p) for p in passes])
            for kind, style in ((True, "-"), (False, ":")):
                if kind in whole:
                    values = found[:, [each == kind for each in whole]].mean(1)
                    axis.plot(passes, values, style, color=shade[cell.N], lw=1.4, label=spaced(cell.N))
        axis.set(xscale="log", yscale="log", ylim=(1e-3, 2), xlabel="passes", title=f"{kernels} kernels")
        axis.xaxis.set_minor_formatter(NullFormatter())
        handles = [Line2D([], [], color=shade[cell.N], label=spaced(cell.N)) for cell in row]
        axis.legend(handles=handles, fontsize=7, title="galaxies", title_fontsize=7, loc="upper left")
    axes[0][0].set_ylabel("bits a weight learnt by heart")
    return figure
