"""Morphology coefficients: corner plot of the planes of two of the five.

The first set, galaxies, is filled; the others are lines. Axes contain 99 % of all values.

References:
    Foreman-Mackey 2016, corner.py, https://doi.org/10.21105/joss.00024.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import corner
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

__all__ = ["COEFFICIENTS", "plot_planes", "valid_coefficients"]

COEFFICIENTS = {"concentration": "C", "asymmetry": "A", "smoothness": "S", "gini": "Gini", "m20": "$M_{20}$"}
BINS = 20
FEWEST = 30  # rows; with fewer, contours would enclose single galaxies

Sets = Mapping[str, tuple[pd.DataFrame, Any]]


def valid_coefficients(array: np.ndarray) -> pd.DataFrame:
    """Rows of an array (n, 5) in which all five coefficients are defined."""
    return pd.DataFrame(array, columns=[*COEFFICIENTS]).dropna()


def _ranges(sets: Sets) -> list[tuple[float, float]]:
    every = pd.concat([rows for rows, _ in sets.values()])
    low, high = every.quantile([0.005, 0.995]).fillna(0).to_numpy()
    margin = 0.08 * (high - low) + 1e-6
    return [*zip(low - margin, high + margin, strict=True)]


def plot_planes(sets: Sets, levels: Sequence[float] = (0.39, 0.86)) -> Figure:
    """Plot contours in the plane of each pair of coefficients; sets of fewer than 30 rows are left out.

    Args:
        sets: By label, valid rows and a color.
        levels: Fractions of a set inside its contours; for galaxies 39 % and 86 %.
    """
    figure, handles = plt.figure(figsize=(7, 7), dpi=160, layout="none"), []
    for k, (label, (rows, color)) in enumerate(sets.items()):
        if len(rows) < FEWEST:
            continue
        handles.append(Line2D([], [], color=color, lw=2 if k else 7, label=f"{label} ({len(rows)})"))
        corner.corner(
            rows,
            bins=BINS,
            range=_ranges(sets),
            labels=[*COEFFICIENTS.values()],
            color=color,
            fig=figure,
            levels=levels if k else (0.39, 0.86),
            smooth=1.0,
            max_n_ticks=3,
            labelpad=0.1,
            plot_datapoints=False,
            plot_density=False,
            fill_contours=not k,
            no_fill_contours=bool(k),
            contour_kwargs={"linewidths": 1.4 if k else 0},
            hist_kwargs={"density": True, "lw": 1.4},
        )
    for axis in figure.axes[:: len(COEFFICIENTS) + 1]:  # the diagonal
        axis.set_ylim(0, 1.1 * max(line.get_path().vertices[:, 1].max() for line in axis.patches))
    figure.legend(handles=handles, loc="upper right", fontsize=12)
    return figure
