"""Diagrams of chapter 04: a normalizing flow, and the architecture of Glow (the paper's figures 1 and 2).

The first one is computed: three bijections T_i of the line map a normal variable to one whose density has two
peaks, and each panel shows the density from the change of variables (Eq. 11),

    log p(z_i) = log p(z_{i-1}) - log |dT_i / dz|.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from galgen.figures.style import COLOURS, MODELS

__all__ = ["flow_diagram", "glow_diagram"]


def flow_diagram() -> Figure:
    """Plot a normal variable mapped by three bijections of the line, with the density after each."""
    z = np.linspace(-3.2, 3.2, 2001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    stations = [(z, density)]
    for slope, bend in ((0.55, 2.2), (0.7, -0.35), (0.8, 0.5)):
        x, p = stations[-1]
        y = slope * x + bend * np.tanh(1.3 * x + 0.3 * bend)  # increasing for all three
        stations.append((y, p / np.gradient(y, x)))  # Eq. 11
    figure, axes = plt.subplots(1, 4, figsize=(8, 2.9), layout="none")
    figure.subplots_adjust(0.02, 0.35, 0.98, 0.74, wspace=0.35)
    names = ["$z_0 = z$", "$z_1$", "$z_2$", "$z_3 = x$"]
    for k, (axis, (x, p), name) in enumerate(zip(axes, stations, names, strict=True)):
        axis.fill_between(x, p, color=COLOURS["glow"], alpha=0.15 + 0.2 * k, lw=0)
        axis.plot(x, p, color=COLOURS["glow"])
        axis.set(xlabel=name, yticks=[], xticks=[], ylim=(0, None))
        axis.spines["left"].set_visible(False)
    for k in range(1, 4):
        left, right = axes[k - 1].get_position().x1 - 0.035, axes[k].get_position().x0 + 0.035
        for y, side, style, color, text in (
            (0.80, "bottom", "->", MODELS["A"], f"$T_{k}$"),
            (0.26, "top", "<-", MODELS["B"], f"$T_{k}^{{-1}}$"),
        ):
            form = {"arrowstyle": style, "color": color, "lw": 1.6, "mutation_scale": 12}
            figure.add_artist(FancyArrowPatch((left, y), (right, y), **form))
            above = 0.03 if side == "bottom" else -0.03
            figure.text((left + right) / 2, y + above, text, ha="center", va=side)
    figure.text(0.02, 0.95, "to generate", color=MODELS["A"], va="center")
    figure.text(0.02, 0.05, "to train: the log-densities add up", color="#8A5A00", va="center")
    return figure


def glow_diagram(
    steps: Sequence[int], latent_shapes: Sequence[tuple[int, int, int]], image: tuple[int, int, int]
) -> Figure:
    """Draw one step of Glow, and the connections of its levels.

    Args:
        steps: The paper's K, for each level, from the finest.
        latent_shapes: (C, H, W) of the latents of each level, from the finest.
        image: (C, H, W) of the images.
    """
    levels = len(latent_shapes)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8, 0.8 + 1.1 * levels), gridspec_kw={"width_ratios": [1, 1.9]}
    )
    for k, text in enumerate(["actnorm", "invertible 1 x 1 convolution", "affine coupling"]):
        _box(left, 1.25 * k, 3.4, text)
        _arrow(left, (0, 1.25 * k - 0.89), (0, 1.25 * k - 0.36))
    _arrow(left, (0, 2.86), (0, 3.39))
    left.set(xlim=(-2, 2), ylim=(-1.1, 3.6), title="one step")

    def shape(c: int, h: int, w: int) -> str:
        return f"{h} x {w} x {c}"

    right.text(0, -1.1, f"x  {shape(*image)}", ha="center", va="center", fontsize=9)
    for level, latent in enumerate(latent_shapes):
        y, last = 2.2 * level, level == levels - 1
        c, h, w = latent if last else (2 * latent[0], *latent[1:])
        _arrow(right, (0, y - 0.82), (0, y - 0.36))
        _box(right, y, 4.6, f"squeeze to {shape(c, h, w)}, {steps[level]} steps")
        _arrow(right, (2.3, y), (3.4, y))
        how = "all that is left" if last else "half is split off"
        right.text(3.5, y, f"z, level {level}:  {shape(*latent)}\n({how})", va="center", fontsize=9)
        if not last:
            right.plot([0, 0], [y + 0.36, y + 1.4], color="black", lw=1)
            right.text(0.15, y + 0.85, "the other half goes on", va="center", fontsize=8, color="#595959")
    right.set(xlim=(-2.6, 6.6), ylim=(-1.4, 2.2 * levels - 1.5), title=f"L = {levels} levels")
    for axis in (left, right):
        axis.set_axis_off()
    return figure


def _box(axis: Axes, y: float, width: float, text: str) -> None:
    axis.add_patch(plt.Rectangle((-width / 2, y - 0.36), width, 0.72, fc="#E3F1EC", ec="#333333", lw=0.9))
    axis.text(0, y, text, ha="center", va="center", fontsize=9)


def _arrow(axis: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->"})
