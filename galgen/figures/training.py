"""A training as it goes on: its losses, and what is memorised by when."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from galgen.compare.exchange import Memorization, gaussian_margins, margins, memorization_test
from galgen.experiment import Experiment, Training
from galgen.figures.style import shades, spaced
from galgen.runs.log import read_losses
from galgen.runs.store import Run

__all__ = ["memorization_history", "plot_losses", "smoothed"]


def smoothed(log: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Running means of all losses in a log of a training (`galgen.runs.log.read_losses`).

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


def memorization_history(experiment: Experiment, N: int) -> dict[int, Memorization]:
    """Whether the pair of models of N images memorizes, by images shown, at weights kept but the first two.

    Args:
        experiment: Of one family.
        N: Training images of each model.
    """
    count = min(64, experiment.profile.samples)
    pair, sets, images = experiment.pair(N), experiment.split(N), experiment.dataset.images
    options = {"mean": experiment.mean_image, "flips": experiment.family.flips}
    gaussians, found = gaussian_margins(images, sets, count, **options), {}
    kept = experiment.train(pair[0]).summary["weights"]
    for shown in kept[min(2, len(kept) - 1) :]:  # the first hold next to nothing
        drawn = [experiment.samples(model, shown, count) for model in pair]
        finite = drawn[0].add(drawn[1]).flatten(1).isfinite().all(1)  # an untrained network may run away
        if finite.sum() > 1:
            models = [margins(part[finite], images, sets, **options) for part in drawn]
            found[shown] = memorization_test(models, gaussians)
    return found
