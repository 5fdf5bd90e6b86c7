"""Plots that several chapters share: values with their intervals, and values beside their nulls."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.uncertainty import Estimate, Outcome
from galgen.figures.style import COLOURS

__all__ = ["dot_plot", "intervals"]


def intervals(axis: Axes, x: Sequence[float], estimates: Iterable[Estimate], **style) -> None:
    """Estimates with their intervals as error bars; `style` is that of `Axes.errorbar`."""
    low, value, high = np.array([[e.low, e.value, e.high] for e in estimates]).T
    bars = np.clip([value - low, high - value], 0, None)  # an interval may end at its value, but for rounding
    axis.errorbar(x, value, bars, **{"marker": "o", "ms": 4, "capsize": 2} | style)


def dot_plot(
    series: Mapping[str, Sequence[Mapping[str, Outcome]]],
    rows: Sequence[str],
    units: Mapping[str, str],
    *,
    colours: Mapping[str, Sequence[str]],
    alpha: float,
    controls: int = 0,
) -> Figure:
    """Values beside their nulls: a column for each question, a row for each thing that was asked.

    A bar holds 95 % of the null, a dot is the value; it is filled where p < alpha. Several series stand one
    above the other within a row, and in a legend.

    Args:
        series: By name, the answers of each row by question; a question may be missing.
        rows: Labels, from the top.
        units: The questions, and what each is measured in.
        colours: By name of the series, the colour of each row.
        alpha: Level of the tests.
        controls: The last so many rows are controls: a line is drawn above them.
    """
    size = (2.1 * len(units) - 0.9, (0.28 + 0.04 * len(series)) * len(rows) + 1.5)
    figure, axes = plt.subplots(1, len(units), figsize=size, sharey=True, squeeze=False)
    for axis, (question, unit) in zip(axes[0], units.items(), strict=True):
        for k, (name, answers) in enumerate(series.items()):
            for y, (answer, colour) in enumerate(zip(answers, colours[name], strict=True)):
                if question in answer:
                    at = y + 0.3 * (k - (len(series) - 1) / 2)
                    null = COLOURS["null"] if len(series) == 1 else colour
                    _dot(axis, at, answer[question], colour, null, alpha)
        if not any(question in answer for answers in series.values() for answer in answers):
            axis.text(0.5, 0.3, "too few images\nto ask", ha="center", transform=axis.transAxes, fontsize=9)
            axis.set_xticks([])
        if controls:
            axis.axhline(len(rows) - controls - 0.5, color="black", lw=0.7)
        axis.set_title(question, fontsize=10)
        axis.set_xlabel(unit)
        axis.margins(x=0.12)
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].invert_yaxis()
    if len(series) > 1:
        handles = [plt.Line2D([], [], color=colours[name][0], marker="o", ls="none") for name in series]
        figure.legend(handles, list(series), loc="outside upper center", ncols=len(series))
    return figure


def _dot(axis: Axes, y: float, answer: Outcome, colour: str, null: str, alpha: float) -> None:
    axis.plot([answer.low, answer.high], [y, y], color=null, alpha=0.4, lw=5, solid_capstyle="butt")
    face = colour if answer.p < alpha else "white"
    axis.plot(answer.value, y, "o", color=colour, markerfacecolor=face, ms=5)
