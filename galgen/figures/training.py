"""A training as it goes on: its losses, and what is memorised by when."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.memorization import Memorization, gaussian_margins, margins, memorization_test
from galgen.experiment import Experiment, Training
from galgen.figures.style import COLOURS, intervals, shades, spaced
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


def margin_history(
    experiment: Experiment, N: int, count: int = 64
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """The `margins` of both models' samples, by images shown, at weights kept but the first two.

    Args:
        experiment: Of a family whose models are trained already, or are now.
        N: Images of each model.
        count: Latents; or as many as the profile has.

    Returns:
        By images shown those of A's and of B's, each (count,); NaN at a latent of which either made an image
        that is not finite, as an untrained network may.
    """
    count = min(count, experiment.profile.samples)
    pair, sets, found = experiment.pair(N), experiment.split(N), {}
    options = {"mean": experiment.mean_image, "flips": experiment.family.flips}
    kept = experiment.train(pair[0]).summary["weights"]
    for shown in kept[min(2, len(kept) - 1) :]:  # the first hold next to nothing
        drawn = [experiment.samples(model, shown, count) for model in pair]
        finite = drawn[0].add(drawn[1]).flatten(1).isfinite().all(1)
        found[shown] = tuple(np.full(count, np.nan) for _ in pair)
        for part, values in zip(drawn, found[shown], strict=True):
            if finite.any():
                values[finite] = margins(part[finite], experiment.dataset.images, sets, **options)
    return found


def memorization_history(experiment: Experiment, N: int, count: int = 64) -> dict[int, Memorization]:
    """Whether the pair of models of N images memorizes, by images shown; arguments as above."""
    count = min(count, experiment.profile.samples)
    sets, images = experiment.split(N), experiment.dataset.images
    options = {"mean": experiment.mean_image, "flips": experiment.family.flips}
    gaussians, found = gaussian_margins(images, sets, count, **options), {}
    for shown, models in margin_history(experiment, N, count).items():
        finite = np.isfinite(models[0])
        if finite.sum() > 1:
            found[shown] = memorization_test([part[finite] for part in models], gaussians)
    return found


def scatter(history: Mapping[int, Mapping[int, Memorization]]) -> str:
    """How far two trainings alone move P(train closer): milestones of all that are clearly below 1/2."""
    closer = [(test.models.closer, n) for n, tests in history.items() for test in tests.values()]
    low = [f"{found} at N = {spaced(n)}" for found, n in closer if found.high < 0.5]
    text = f"Below one half with their whole interval: {len(low)} of {len(closer)} milestones"
    text += f" ({', '.join(low)})" * bool(low)
    return f"{text}. No copying leads there; two networks that differ in all latents may"


def memorization_figure(history: Mapping[int, Mapping[int, Memorization]]) -> Figure:
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
