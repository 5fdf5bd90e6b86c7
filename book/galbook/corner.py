"""Morphology in corner plots, the paper's figures 4, 8, 12 and 15.

A corner plot has several sets of galaxies in the plane of every two coefficients, as the paper's figure 4.
Each set is drawn as two contours that contain 39 % and 86 % of it (1 and 2 sigma of a Gaussian in the plane),
from a histogram smoothed by one bin, or, if it is too small for a histogram, as points. The area of a
histogram on the diagonal is the share of its set that lies within the axis.

References:
    Foreman-Mackey 2016, corner.py, https://doi.org/10.21105/joss.00024.
"""

from collections.abc import Mapping
from typing import Any

import corner
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

__all__ = ["LABELS", "RANGES", "corner_plot"]

# The paper's axes.
RANGES = {
    "concentration": (1.2, 3.6),
    "asymmetry": (-0.5, 0.5),
    "smoothness": (-0.2, 0.2),
    "gini": (0.25, 0.75),
    "m20": (-2.1, -1.0),
}
LABELS = {"concentration": "C", "asymmetry": "A", "smoothness": "S", "gini": "Gini", "m20": "$M_{20}$"}

_FEWEST = 30  # galaxies: with fewer, contours would surround single galaxies
_BINS = 20


def corner_plot(sets: Mapping[str, Mapping[str, np.ndarray]], colours: Mapping[str, Any]) -> Figure:
    """Draw the sets over each other on the axes of `RANGES`, the first of them filled, as background.

    Args:
        sets: By label, columns of valid rows (a table will do); an empty set leaves nothing but its label.
        colours: Of each label, as Matplotlib takes them.
    """
    names, first = list(RANGES), next(iter(sets))
    figure, axes = plt.subplots(len(names), len(names), figsize=(7, 7), sharex="col")
    for (i, j), axis in np.ndenumerate(axes):
        if j > i:
            axis.set_visible(False)
            continue
        x, y = names[j], names[i]
        for label, columns in sets.items():
            if i == j:
                _histogram(axis, x, columns, colours[label], label == first)
            else:
                _cloud(axis, x, y, columns, colours[label], label == first)
        axis.set_xlim(RANGES[x])
        axis.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
        axis.tick_params(labelsize=8, labelrotation=0)
        if i == j:
            axis.set(yticks=[], ylim=(0, None))
            axis.spines["left"].set_visible(False)
        else:
            axis.set_ylim(RANGES[y])
            axis.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
            axis.tick_params(labelleft=j == 0)
        if i == len(names) - 1:
            axis.set_xlabel(LABELS[x])
        if j == 0 and i:
            axis.set_ylabel(LABELS[y])
    lines = [Line2D([], [], color=colours[label], lw=1.8) for label in sets]
    lines[0].set(lw=6, alpha=0.5)
    labels = [f"{label} ({len(columns[names[0]])})" for label, columns in sets.items()]
    figure.legend(lines, labels, loc="upper right", bbox_to_anchor=(0.98, 0.97), fontsize=10)
    return figure


def _histogram(axis: Axes, x: str, columns: Mapping[str, np.ndarray], colour: Any, filled: bool) -> None:
    counts, edges = np.histogram(np.asarray(columns[x], np.float64), _BINS, RANGES[x])
    if counts.any():
        density = counts / (len(columns[x]) * np.diff(edges))
        axis.stairs(density, edges, color=colour, fill=filled, alpha=0.35 if filled else 1, lw=1.4)


def _cloud(axis: Axes, x: str, y: str, columns: Mapping[str, np.ndarray], colour: Any, filled: bool) -> None:
    points = np.array([columns[x], columns[y]], np.float64)
    low, high = np.transpose([RANGES[x], RANGES[y]])[..., None]
    points = points[:, ((points >= low) & (points <= high)).all(0)]
    if points.shape[1] < _FEWEST:
        axis.plot(*points, ".", ms=3, color=colour)
        return
    corner.hist2d(
        *points,
        ax=axis,
        bins=_BINS,
        range=(RANGES[x], RANGES[y]),
        levels=1 - np.exp(-(np.array([1, 2]) ** 2) / 2),
        smooth=1.0,
        color=colour,
        plot_datapoints=False,
        plot_density=False,
        no_fill_contours=not filled,
        fill_contours=filled,
        contour_kwargs={"linewidths": 0.6 if filled else 1.2},
    )
