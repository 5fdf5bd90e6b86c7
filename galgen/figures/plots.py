"""Plots of the chapters: values with intervals or beside their nulls, over N or in rows; gray values."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.agreement import TwoModels
from galgen.compare.memorization import Memorization
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.figures.style import COLOURS, MODELS, shades, spaced


def intervals(axis: Axes, x: Sequence[float], estimates: Iterable[Estimate], **style) -> None:
    """Estimates with their intervals as error bars; `style` is that of `Axes.errorbar`."""
    low, value, high = np.array([[e.low, e.value, e.high] for e in estimates]).T
    bars = np.clip([value - low, high - value], 0, None)  # an interval may end at its value, but for rounding
    axis.errorbar(x, value, bars, **{"marker": "o", "ms": 4, "capsize": 2} | style)


def controls_figure(
    tests: Mapping[int, TwoModels],
    gaussians: Mapping[int, Estimate],
    across: Mapping[int, Estimate],
    foreign: Estimate,
) -> Figure:
    """Agreement over N of two networks, and of what has learnt less.

    Args:
        tests: The networks, by N.
        gaussians: Agreement of two Gaussians fitted to the same images, by N.
        across: Agreement of network A and the Gaussian of A, by N.
        foreign: Agreement of network A at the largest N and a network of other galaxies.
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.8))
    sizes, agree = list(tests), [test.agree for test in tests.values()]
    for name, x, estimates, colour, marker in (
        ("two U-Nets", sizes, agree, MODELS["A"], "o"),
        ("two Gaussians", sizes, gaussians.values(), COLOURS["glow"], "s"),
        ("U-Net and Gaussian on A", sizes, across.values(), "#CC79A7", "v"),
        ("U-Net on other galaxies", sizes[-1:], [foreign], COLOURS["null"], "D"),
    ):
        line = "-" if len(x) > 1 else "none"
        intervals(axis, x, estimates, label=name, color=colour, marker=marker, ls=line, ms=6, capsize=3)
    nulls = [test.null for test in tests.values()]
    axis.plot(sizes, nulls, ":", color=COLOURS["null"], label="shuffled seeds")
    axis.set(xscale="log", xlabel="N", ylabel="anomaly cosine, median", ylim=(-0.15, 1.02))
    axis.legend(fontsize=8)
    return figure


def memorisation_figure(history: Mapping[int, Mapping[int, Memorization]]) -> Figure:
    """P(train closer) over images shown, and over passes over the training set.

    Args:
        history: By N, the tests by images shown.
    """
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)
    shade = shades(list(history))
    for axis, text in zip(axes, ("images shown", "passes over the training set"), strict=True):
        for n, found in history.items():
            x = np.array(list(found)) / (1 if axis is axes[0] else n)
            closer = [test.models.closer for test in found.values()]
            intervals(axis, x, closer, ms=3, color=shade[n], label=f"N = {spaced(n)}")
        axis.axhline(0.5, ls="--", color=COLOURS["null"], lw=0.8)
        axis.set(xscale="log", xlabel=text)
    axes[0].set_ylabel("P(train closer)")
    axes[0].legend(fontsize=8)
    return figure


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


def side_by_side(images: Mapping[str, np.ndarray]) -> Figure:
    """Images (H, W) in [0, 1] of any sizes in a row, each under its name."""
    figure, axes = plt.subplots(1, len(images), figsize=(1.6 * len(images), 2), squeeze=False)
    for axis, (title, image) in zip(axes[0], images.items(), strict=True):
        axis.imshow(image, vmin=0, vmax=1)
        axis.set_title(title, fontsize=8)
        axis.set_axis_off()
    return figure


def gray_histogram(shares: np.ndarray, mean: np.ndarray) -> Figure:
    """The shares of the 256 gray values, (256,), beside the mean image, (1, H, W)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), width_ratios=(2, 1))
    left.stairs(shares, (np.arange(257) - 0.5) / 255, fill=True, color=COLOURS["validation"])
    left.set(yscale="log", xlabel="gray value", ylabel="share of pixels")
    right.imshow(mean[0], vmin=0)
    right.set_title("mean image", fontsize=9)
    right.set_axis_off()
    return figure


def _dot(axis: Axes, y: float, answer: Outcome, colour: str, null: str, alpha: float) -> None:
    axis.plot([answer.low, answer.high], [y, y], color=null, alpha=0.4, lw=5, solid_capstyle="butt")
    face = colour if answer.p < alpha else "white"
    axis.plot(answer.value, y, "o", color=colour, markerfacecolor=face, ms=5)
