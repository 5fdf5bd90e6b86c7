"""Galaxies: images side by side, their gray levels, and how alike strangers are."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from galgen.compare.agreement import Strangers
from galgen.figures.style import COLOURS, shades
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced

__all__ = ["gray_histogram", "side_by_side", "strangers_figure", "strangers_table", "why_alike"]


def strangers_figure(found: Mapping[str, Strangers]) -> Figure:
    """Histograms of the cosines of strangers, a panel for each kind: random pairs, and the nearest of N."""
    figure, axes = plt.subplots(1, len(found), figsize=(8, 2.9), squeeze=False)
    for axis, (kind, cosines) in zip(axes[0], found.items(), strict=True):
        bins = np.linspace(cosines.random.min(), 1, 60)
        axis.hist(cosines.random, bins, density=True, color=COLOURS["null"], alpha=0.5, label="random pairs")
        shade = shades(list(cosines.nearest))
        for n, values in cosines.nearest.items():
            label = f"nearest of {spaced(n)}"
            axis.hist(values, bins, density=True, histtype="step", color=shade[n], label=label)
        axis.set(title="Pearson" if kind == "pearson" else kind, xlabel="cosine", yticks=[])
        axis.xaxis.set_major_locator(MultipleLocator(0.5))
    axes[0, 0].set_ylabel("density")
    axes[0, 0].legend(fontsize=7, loc="upper left")
    return figure


def strangers_table(found: Mapping[str, Strangers]) -> Markdown:
    """Of the same, medians and where nine in ten lie, a column a kind."""

    def spread(values: np.ndarray) -> str:
        low, middle, high = np.percentile(values, (5, 50, 95))
        return f"{middle:.2f} ({low:.2f} to {high:.2f})"

    rows = [["random", *(spread(cosines.random) for cosines in found.values())]]
    for n in next(iter(found.values())).nearest:
        cells = (spread(cosines.nearest[n]) for cosines in found.values())
        rows.append([f"nearest of {spaced(n)}", *cells])
    head = ["Pearson" if kind == "pearson" else kind for kind in found]
    some = next(iter(found.values()))
    galaxies = spaced(len(next(iter(some.nearest.values()))))
    before = f"Median, and the range of the middle 90 %, of {spaced(len(some.random))} pairs of {galaxies} "
    return table(["pairs", *head], rows, before=f"{before}held-out images, and of their nearest:")


def why_alike(simulated: bool) -> str:
    """How two images may come to be nearly the same: of simulated galaxies each is made anew."""
    if simulated:
        return "They are simple shapes that come near by chance."
    return "They may be one object twice, or simple shapes that come near by chance."


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
