"""Forest plot of claims: value and interval of each family, and the region where the claim holds."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from galbook.verdicts import CLAIMS, NOT_TESTED
from galgen.figures.style import COLOURS
from galgen.figures.words import spaced

__all__ = ["MAIN", "plot_verdicts"]

MAIN = (
    "near-copies",
    "bias",
    "new",
    "agreement",
    "learned",
    "realistic",
    "morphology",
    "photometry",
    "ellipticity",
)
LINE, HEAD, FOOT = 0.155, 0.22, 0.27  # inches: per family, per claim, below a panel


def plot_verdicts(columns: Mapping[str, Sequence[pd.DataFrame]]) -> Figure:
    """Plot a row of panels for each statistic of a claim, with a column for each data set.

    Args:
        columns: By heading, the cells of one or several runs, as returned by `galbook.verdicts.cells`.
            Verdicts are printed at the right for one run; several runs have different markers.
    """
    every = pd.concat([table for tables in columns.values() for table in tables])
    rows = list(every.groupby(["claim", "quantity"], sort=False))
    heights = [LINE * cells.family.nunique() + FOOT for _, cells in rows]
    first = [k == 0 or rows[k - 1][0][0] != claim for k, ((claim, _), _) in enumerate(rows)]
    total = sum(heights) + HEAD * (sum(first) + 2)
    figure, top = plt.figure(figsize=(7, total), layout="none"), total - 2 * HEAD
    left, width = 0.23, 0.77 / len(columns)
    for ((claim, quantity), cells), height, new in zip(rows, heights, first, strict=True):
        if new:
            text = next(one["claim"] for one in CLAIMS if one["key"] == claim)
            figure.text(0, (top - HEAD / 2) / total, text, weight="bold", va="center", fontsize=8.5)
            top -= HEAD
        place = (top - height + FOOT) / total, (height - FOOT) / total
        sizes = ", ".join(map(spaced, sorted(set(cells.N) - {0})))
        name = textwrap.fill(quantity + f", N\xa0=\xa0{sizes}" * bool(sizes), 24)
        figure.text(0.01, place[0] + place[1], name, va="top", fontsize=8.5, linespacing=1.05)
        limits = _limits(cells)
        for k, tables in enumerate(columns.values()):
            box = left + k * width, place[0], width - 0.14 * (len(tables) == 1) - 0.015, place[1]
            axis = figure.add_axes(box)
            tables = [table[(table.claim == claim) & (table.quantity == quantity)] for table in tables]
            _panel(axis, tables, [*dict.fromkeys(cells.family)], limits)
        top -= height
    for k, name in enumerate(columns):
        figure.text(left + k * width, 1 - HEAD / total, name, va="top", weight="bold", fontsize=9)
    for name in dict.fromkeys(every.label):
        figure.text(left, 1, f"● {name}", va="top", color=COLOURS[name.lower()], fontsize=8.5)
        left += 0.05 + 0.0115 * len(name)
    return figure


def _limits(cells: pd.DataFrame) -> tuple[float, float]:
    """Limits of an axis: all values and the ends of the region, with a margin; intervals are clipped."""
    values = np.concatenate([cells.value, *cells.region.map(np.asarray)])
    values = values[np.isfinite(values)]
    pad = 0.3 * max(np.ptp(values), 0.02)
    return values.min() - pad, values.max() + pad


def _panel(axis: Axes, tables: Sequence[pd.DataFrame], families: Sequence[str], limits: tuple) -> None:
    low, high = np.clip(tables[0].region.iloc[0], *limits)
    axis.axvspan(low, high, color="#D9EAD3", lw=0)
    place = blended_transform_factory(axis.transAxes, axis.transData)
    for which, table in enumerate(tables):
        for cell in table.itertuples():
            y = families.index(cell.family) + (which - (len(tables) - 1) / 2) * 0.4
            color = COLOURS[cell.label.lower()]
            if cell.verdict == NOT_TESTED:
                axis.plot(
                    0.02, y, "o", mfc="white", mec=COLOURS["null"], ms=4, transform=place, clip_on=False
                )
            else:
                interval = ((cell.low, cell.high), "-") if cell.freedom else (cell.latents, ":")
                axis.plot(np.clip(interval[0], *limits), [y, y], interval[1], color=color, lw=1.5)
                axis.plot(cell.value, y, "os"[which % 2], color=color, ms=4, mfc=(color, "white")[which % 2])
            if len(tables) == 1:
                color = COLOURS["null"] if cell.verdict == NOT_TESTED else color
                axis.text(1.03, y, cell.verdict, transform=place, va="center", color=color, fontsize=8.5)
    axis.set(xlim=limits, ylim=(len(families) - 0.5, -0.5), yticks=[])
    axis.locator_params(axis="x", nbins=4)
    axis.tick_params(axis="x", labelsize=8.5, length=2, pad=1)
    axis.spines["left"].set_visible(False)
