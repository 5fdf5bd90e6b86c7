"""Corner plots: several sets of galaxies in the plane of every two coefficients, as the paper's figure 4.

Each set is two contours that hold 39 % and 86 % of it (1 and 2 sigma of a Gaussian in the plane), of a
histogram smoothed by one bin. Too few galaxies for a histogram are drawn as points. On the diagonal a
histogram has the area of the share of its set that lies between the axes' ends.

References:
    Foreman-Mackey 2016, corner.py, https://doi.org/10.21105/joss.00024.
"""

from collections.abc import Mapping
from typing import Any

import corner
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from galgen.runs.errors import GalgenError

__all__ = ["LABELS", "RANGES", "corner_plot", "outside"]

# The paper's axes.
RANGES = {
    "concentration": (1.2, 3.6),
    "asymmetry": (-0.5, 0.5),
    "smoothness": (-0.2, 0.2),
    "gini": (0.25, 0.75),
    "m20": (-2.1, -1.0),
}
LABELS = {"concentration": "C", "asymmetry": "A", "smoothness": "S", "gini": "Gini", "m20": "$M_{20}$"}

_FEWEST = 30  # galaxies: below that the contours are those of single galaxies
_BINS = 20


def corner_plot(
    sets: Mapping[str, Mapping[str, np.ndarray]],
    colours: Mapping[str, Any],
    *,
    ranges: Mapping[str, tuple[float, float]] = RANGES,
) -> Figure:
    """Draw the sets over each other, the first of them as a filled ground.

    Args:
        sets: By label, columns of valid rows (a table will do); an empty set leaves nothing but its label.
        colours: Of each label, as Matplotlib takes them.
        ranges: The axis of each coefficient, which also names the columns to draw.

    Raises:
        GalgenError: If a set has no colour.
    """
    if missing := ", ".join(set(sets) - set(colours)):
        raise GalgenError(f"no colour for {missing}")
    names, lines = list(ranges), []
    k = len(names)
    figure, axes = plt.subplots(k, k, figsize=(7, 7), squeeze=False, sharex="col")
    for place, (label, columns) in enumerate(sets.items()):
        rows = np.stack([np.asarray(columns[name], np.float64) for name in names], axis=1)
        colour, filled = colours[label], place == 0
        for i, y in enumerate(names):
            _histogram(axes[i, i], rows[:, i], ranges[y], colour, filled)
            for j, x in enumerate(names[:i]):
                _cloud(axes[i, j], rows[:, j], rows[:, i], (ranges[x], ranges[y]), colour, filled)
        lines.append(Line2D([], [], color=colour, lw=6 if filled else 1.8, alpha=0.5 if filled else 1))
    for (i, j), axis in np.ndenumerate(axes):
        if j > i:
            axis.set_visible(False)
            continue
        axis.set_xlim(ranges[names[j]])
        axis.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
        axis.tick_params(labelsize=8, labelrotation=0)
        if i == j:
            axis.set(yticks=[], ylim=(0, None))
            axis.spines["left"].set_visible(False)
        else:
            axis.set_ylim(ranges[names[i]])
            axis.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
            axis.tick_params(labelleft=j == 0)
        if i == k - 1:
            axis.set_xlabel(LABELS.get(names[j], names[j]))
        if j == 0 and i:
            axis.set_ylabel(LABELS.get(names[i], names[i]))
    labels = [f"{label} ({len(columns[names[0]])})" for label, columns in sets.items()]
    figure.legend(lines, labels, loc="upper right", bbox_to_anchor=(0.98, 0.97), fontsize=10)
    return figure


def outside(
    columns: Mapping[str, np.ndarray], ranges: Mapping[str, tuple[float, float]] = RANGES
) -> dict[str, float]:
    """The share of a set that lies beyond the axis of each coefficient; NaN of an empty set."""
    found = {}
    for name, (low, high) in ranges.items():
        values = np.asarray(columns[name], np.float64)
        found[name] = float(np.mean((values < low) | (values > high))) if len(values) else float("nan")
    return found


def _histogram(axis, values: np.ndarray, limits: tuple[float, float], colour, filled: bool) -> None:
    counts, edges = np.histogram(values, _BINS, limits)
    if counts.any():
        density = counts / (len(values) * np.diff(edges))
        axis.stairs(density, edges, color=colour, fill=filled, alpha=0.35 if filled else 1, lw=1.4)


def _cloud(axis, x: np.ndarray, y: np.ndarray, limits: tuple, colour, filled: bool) -> None:
    (left, right), (low, high) = limits
    inside = (x >= left) & (x <= right) & (y >= low) & (y <= high)
    if inside.sum() < _FEWEST:
        axis.plot(x[inside], y[inside], ".", ms=3, color=colour)
        return
    corner.hist2d(
        x[inside],
        y[inside],
        ax=axis,
        bins=_BINS,
        range=limits,
        levels=1 - np.exp(-(np.array([1, 2]) ** 2) / 2),
        smooth=1.0,
        color=colour,
        plot_datapoints=False,
        plot_density=False,
        no_fill_contours=not filled,
        fill_contours=filled,
        contour_kwargs={"linewidths": 0.6 if filled else 1.2},
    )
