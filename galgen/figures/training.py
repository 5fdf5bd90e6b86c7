"""A training as it goes on: its losses, and what is memorised by when."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from galgen.experiment import Training
from galgen.figures.style import shades, spaced
from galgen.runs.checkpoint import read_losses
from galgen.runs.store import Run


def smoothed(log: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Running means of all losses in a log of a training (`galgen.runs.checkpoint.read_losses`).

    Args:
        log: Its lines, of which forty windows side by side hold all, or one line each.

    Returns:
        By name, the mean over each window, (lines - width + 1,); under `images`, the images shown at its end.
    """
    width = max(len(log) // 40, 1)
    means = {
        name: np.convolve([line[name] for line in log], np.ones(width) / width, "valid") for name in log[0]
    }
    return means | {"images": np.array([line["images"] for line in log[width - 1 :]])}


def plot_losses(axis: Axes, runs: Mapping[Training, Run], loss: str) -> None:
    """One line for each model: a loss over the images shown, in the colour of its N."""
    shade = shades([training.N for training in runs])
    for training, run in runs.items():
        means = smoothed(read_losses(run.path))
        axis.plot(means["images"], means[loss], color=shade[training.N], label=f"N = {spaced(training.N)}")
    axis.set(xscale="log", xlabel="images shown")
