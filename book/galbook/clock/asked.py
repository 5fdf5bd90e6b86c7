"""Size or time? The gap over images shown, and the onset of memorization over N, by width of the network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from galbook.clock.crossing import DURATION, LARGE, Elapsed, elapsed, predicted_onset
from galbook.clock.gap import LEVEL, LEVELS, START, Gap, memory_gap, psnr_along
from galbook.clock.in_proportion import SCALE, Cell, Statement, arranged, in_proportion
from galbook.kept import once
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS, shades
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.runs.errors import GalgenError
from galgen.runs.files import project, visible
from galgen.runs.store import read_answer

__all__ = [
    "Committed",
    "clock",
    "clock_cell",
    "clock_figure",
    "clock_table",
    "committed",
    "size_or_time",
    "stated",
    "time",
    "together",
]


@once
def memory(experiment: Experiment, N: int) -> list[Gap]:
    """The gap between own and held-out images along the trainings of A and B of the first pair."""
    held_out, found = experiment.images.held_out, []
    for model in experiment.models.pair(N):
        kept = experiment.train(model).summary["weights"]
        along = ((shown, experiment.networks(model, shown)) for shown in kept)
        curves = psnr_along(along, experiment.family.denoiser, experiment.images.of(model), held_out)
        found.append(
            memory_gap(*curves, start=next((shown for shown in kept[:-1] if shown >= START), kept[0]))
        )
    return found


def clock(studies: Sequence[Experiment]) -> list[Cell]:
    """The same of the clock's networks, one study a width, by width and N."""
    return [clock_cell(study, n) for study in studies for n in study.sizes]


def clock_cell(study: Experiment, N: int) -> Cell:
    """The same of one width and N."""
    load = N * study.images.dataset.images[0].size / study.weights
    return Cell(study.settings.kernels, N, memory(study, N), load)


def time(experiment: Experiment) -> Elapsed:
    """How many onsets of memorization went by at the largest N, in proportion to those of smaller N.

    Of the training of the pair that saw fewer, or of which less can be said.
    """
    *small, large = experiment.sizes
    known = {n: memory(experiment, n) for n in small}
    both = (elapsed(g, large, known) for g in memory(experiment, large))
    return min(both, key=lambda e: (not e.confounded, e.onsets or 0))


_TRAININGS = ("-", "--", ":")  # A, B and others

_WIDTHS = ("s", "o", "^", "D")

_BEST, _STILL, _ONE = "held-out PSNR at its best", "the same, still improving", "predicted onset"

_ALL = f"{DURATION:g} predicted onsets"

_MARKS = {
    _BEST: {"marker": "o"},
    _STILL: {"marker": "o", "mfc": "white"},
    _ONE: {"marker": "v"},
    _ALL: {"marker": "v", "mfc": "white"},
}


@dataclass(frozen=True)
class Committed:
    """A cell that `benchmarks/clock.py` kept.

    Attributes:
        cell: Its trainings, PSNR of single images to .01 dB.
        seed: Of galaxies, sets and models.
        trainings: Their keys in the run store.
        minutes: Of a core, of each.
        made: When, at which commit and on what machine.
    """

    cell: Cell
    seed: int
    trainings: list[str]
    minutes: list[float]
    made: Mapping[str, object]


def committed(folder: str | Path | None = None) -> dict[str, list[Committed]]:
    """All such cells by data set, simulated first; by default those of the project's `results/clock`.

    Raises:
        GalgenError: If there are none.
    """
    folder = Path(folder or project() / "results" / "clock")
    files = sorted(visible(folder, "*.json"), key=lambda path: (path.stem != "simulated", path.stem))
    if not files:
        raise GalgenError(f"{folder} has no cells of the clock; the project comes with them")
    return {path.stem: read_answer(path, list[Committed]) for path in files}


def together(kept: Iterable[Committed]) -> list[Cell]:
    """Cells of one width and N, of several seeds, as one."""
    found: dict[tuple[int, int], Cell] = {}
    for one in kept:
        place = one.cell.kernels, one.cell.N
        gaps = [*(found[place].gaps if place in found else ()), *one.cell.gaps]
        found[place] = replace(one.cell, gaps=gaps)
    return list(found.values())


def clock_figure(cells: Iterable[Cell]) -> Figure:
    """The gap g over images shown, a panel for each width, and the onset over N.

    Lines: a colour for each N, solid for the first training of a cell and dashed for the second. Gray: where
    95 % of the gaps of permuted labels lie. Circle: held-out PSNR is best, open where it still improves at
    the end. Triangles upon the line of 1 dB: the onset predicted in proportion to N from that at N = 100 of
    the same width, filled, and three of them, open, where the statement on size is read.

    Args:
        cells: Trainings by width and N, one cell for each.
    """
    cells = arranged(cells)
    widths = list(dict.fromkeys(cell.kernels for cell in cells))
    shade = shades(sorted({cell.N for cell in cells}))
    size = (min(3 * (len(widths) + 1), 10.5), 4.2)
    figure, axes = plt.subplots(1, len(widths) + 1, figsize=size, squeeze=False)
    *panels, last = axes[0]
    marks: set[str] = set()
    for panel, kernels in zip(panels, widths, strict=True):
        panel.sharey(panels[0])
        panel.axhline(LEVEL, ls="--", color=COLOURS["null"], lw=0.8)
        for cell in cells:
            if cell.kernels == kernels:
                marks |= _curves(panel, cell, predicted_onset(cells, kernels, cell.N), shade[cell.N])
        panel.set(xscale="log", xlabel="images shown", title=f"{kernels} kernels")
        title = {"title": "N (pixels a weight)", "title_fontsize": 7, "alignment": "left"}
        panel.legend(fontsize=7, loc="upper left", handlelength=1.2, **title)
    low, high = panels[0].get_ylim()  # room for the legend above the curves of small N
    panels[0].set_ylim(low, high + 0.45 * (high - low))
    panels[0].set_ylabel("gap g, own less held-out images, dB")
    _onsets(last, cells, widths)
    dark = {"color": "0.25", "ls": "none", "ms": 5}
    figure.legend(
        handles=[
            *(Line2D([], [], label=name, **dark | style) for name, style in _MARKS.items() if name in marks),
            Line2D([], [], color="0.25", ls="-", label="A"),
            Line2D([], [], color="0.25", ls="--", label="B"),
            Patch(color=COLOURS["null"], alpha=0.3, lw=0, label="95 % of the null"),
        ],
        loc="outside upper center",
        ncols=7 if len(widths) > 2 else 4,
        fontsize=7.5,
    )
    return figure


def _curves(axis: Axes, cell: Cell, predicted: float | None, colour: Sequence[float]) -> set[str]:
    """The gap of each training of a cell, with its null and marks; returns the names of the marks."""
    label = f"{spaced(cell.N)} ({cell.load:.2g})"
    found = set()

    def mark(x: float, y: float, name: str) -> None:
        found.add(name)
        # The open ones on top: that of one N may lie where the filled one of another does.
        style = {"ms": 5, "color": colour, "zorder": 4 if name == _ALL else 3} | _MARKS[name]
        axis.plot(x, y, ls="none", **style)

    for gap, style in zip(cell.gaps, _TRAININGS, strict=False):
        axis.fill_between(gap.shown, *gap.null, color=COLOURS["null"], alpha=0.12, lw=0)
        axis.plot(gap.shown, gap.value, style, color=colour, lw=1.3, label=label)
        label, k = None, gap.optimum
        mark(gap.shown[k], gap.value[k], _STILL if k == len(gap.shown) - 1 else _BEST)
    if predicted and cell.N != SCALE:  # there it is what the others are predicted by
        end = max(gap.shown[-1] for gap in cell.gaps)
        mark(predicted, LEVEL, _ONE)
        if cell.N > SCALE and DURATION * predicted <= end:
            mark(DURATION * predicted, LEVEL, _ALL)
    return found


def _onsets(axis: Axes, cells: Sequence[Cell], widths: Sequence[int]) -> None:
    """The onset of each training over N, with a line of slope one through those of each width."""
    axis.set(xlabel="N", ylabel=f"images shown at the onset, {LEVEL:g} dB")
    if not any(gap.onset() for cell in cells for gap in cell.gaps):
        axis.set(xticks=[], yticks=[])
        axis.text(0.5, 0.5, "no training\nhas an onset", ha="center", va="center", transform=axis.transAxes)
        return
    powers = in_proportion(cells).numbers
    for kernels, marker in zip(widths, _WIDTHS, strict=False):
        row = [cell for cell in cells if cell.kernels == kernels]
        found = [(cell.N, onset) for cell in row for gap in cell.gaps if (onset := gap.onset())]
        if not found:
            continue
        N, onset = np.array(found).T
        ends = np.array([min(cell.N for cell in row), max(cell.N for cell in row)])
        axis.plot(ends, ends * np.exp(np.log(onset / N).mean()), "--", color=COLOURS["null"], lw=0.8)
        power = powers.get(name := f"{kernels} kernels")
        label = name + (f": power {power}" if power else "")
        axis.plot(N, onset, marker, ms=5, color="0.25", mfc="none", label=label)
    axis.plot([], [], "--", color=COLOURS["null"], lw=0.8, label="in proportion to N")
    axis.set(xscale="log", yscale="log")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * (high / low) ** 0.35)
    axis.legend(fontsize=7, loc="upper left", handlelength=1.2)


def clock_table(cells: Iterable[Cell]) -> Markdown:
    """For each cell when the gap of A and of B passes 1, 2 and 3 dB, its end, and the held-out optimum."""
    rows = []
    for cell in arranged(cells):
        onsets = [" and ".join(_after(gap.onset(level)) for gap in cell.gaps) for level in LEVELS]
        ends = " and ".join(f"{round(gap.value[-1], 1) + 0.0:.1f}" for gap in cell.gaps)
        best = " and ".join(map(_best, cell.gaps))
        end = spaced(int(cell.gaps[0].shown[-1]))
        rows.append([cell.kernels, spaced(cell.N), f"{cell.load:.2g}", *onsets, end, ends, best])
    levels = [f"{level:g} dB after" for level in LEVELS]
    head = [
        "kernels",
        "N",
        "training pixels a weight",
        *levels,
        "end",
        "g at the end, dB",
        "held-out best at (g, dB)",
    ]
    return table(head, rows, before="Images shown; models A and B:")


def _after(onset: float | None) -> str:
    return spaced(int(round(onset, -2))) if onset else "–"


def _best(gap: Gap) -> str:
    k = gap.optimum
    at = "the end" if k == len(gap.shown) - 1 else spaced(int(gap.shown[k]))
    return f"{at} ({round(gap.value[k], 1) + 0.0:.1f})"  # no -0.0


def stated(*statements: Statement) -> Markdown:
    """Statements with verdict, reason, margin (once, where two have one), and what is printed beside them."""
    lines, margin = [], ""
    for each in statements:
        beside = "; ".join(f"{name}: {value}" for name, value in each.beside.items() if value)
        line = f"- **{each.text}** {each.verdict[0].upper()}{each.verdict[1:]}: {each.reason}."
        if each.margin != margin:
            line += f" *Margin*: {each.margin}."
        lines.append(line + (f" *Beside*: {beside}." if beside else ""))
        margin = each.margin
    return Markdown("\n".join(lines))


def size_or_time(time: Statement, size: Statement) -> str:
    """The clock's sentence on the paper's central claim.

    Args:
        time: What `galbook.clock.in_proportion.in_proportion` says of small sets.
        size: What `galbook.clock.crossing.crossing` says of a large one.
    """
    at, crossed = f"at N = {spaced(LARGE)}", "a wide network memorizes and a narrow one does not"
    load = f"{size.load:.2g} training pixels a weight" if size.load else "no load that could be read"
    said = {
        "held": f"It is size, and not time alone: {at} {crossed}.",
        "not held": f"It is time, as far as we could see: {at} even the narrowest memorizes ({load}).",
    }.get(size.verdict, f"Size or time stays open: it is not shown, up to {load}, that {at} {crossed}.")
    steep = time.numbers and min(power.low for power in time.numbers.values()) > 1
    if steep and size.verdict != "not held":
        said += f" Up to N = {SCALE} the onsets of these trainings grow more steeply than N: three predicted "
        said += "ones may be too few."
    return said
