"""Curves that several chapters draw: losses of trainings, and what denoisers gain."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.denoising import Denoising
from galgen.figures.style import COLOURS, shades
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.models.families import Training
from galgen.runs.checkpoint import read_losses
from galgen.runs.store import Run

__all__ = ["gain_curves", "gain_said", "plot_losses", "smoothed", "training_table"]


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
        means = smoothed(read_losses(run.folder))
        axis.plot(means["images"], means[loss], color=shade[training.N], label=f"N = {spaced(training.N)}")
    axis.set(xscale="log", xlabel="images shown")


def gain_curves(
    sigmas: Sequence[float],
    reference: Denoising,
    curves: Mapping[str, Denoising],
    names: Mapping[str, str] = MappingProxyType({}),
) -> Figure:
    """By how much denoisers do better than a reference on the same images: median and middle 68 %, in dB.

    Args:
        sigmas: Noise levels.
        reference: PSNR of the reference.
        curves: By the label of a denoiser, which is the name of its colour.
        names: How the legend calls them, if otherwise.
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.4))
    for label, curve in curves.items():
        gain = np.percentile(curve.denoised - reference.denoised, (16, 50, 84), axis=1)
        axis.plot(sigmas, gain[1], "o-", ms=3, color=COLOURS[label], label=names.get(label, label))
        axis.fill_between(sigmas, gain[0], gain[2], color=COLOURS[label], alpha=0.15, lw=0)
    axis.axhline(0, ls="--", color=COLOURS["null"], lw=0.8)
    axis.set(xscale="log", xlabel="noise level σ", ylabel="PSNR beyond the linear filter, dB")
    axis.legend()
    return figure


def gain_said(
    sigmas: Sequence[float], reference: Denoising, curves: Mapping[str, Denoising], at: float
) -> str:
    """The medians of these gains at the noise level nearest to `at`: the title."""
    k = int(np.argmin(abs(np.log(sigmas) - np.log(at))))
    gains = {name: np.median(curve.denoised[k] - reference.denoised[k]) for name, curve in curves.items()}
    each = (f"{name} {gain:+z.1f} dB" for name, gain in gains.items())
    return f"Beyond the linear filter at σ = {sigmas[k]:.2g}: {', '.join(each)}"


def training_table(
    runs: Mapping[Training, Run], before: str, last: Mapping[str, str] | None = None
) -> Markdown:
    """What the training of each model took.

    Args:
        runs: The trained models, one row each.
        before: Text over the table: the network and how it was trained.
        last: By heading, losses (names in the training's log) whose last value is shown.
    """
    last = last or {}
    rows = []
    for training, run in runs.items():
        done, N = run.summary, training.N
        counts = spaced(N), spaced(done["images_shown"]), f"{done['images_shown'] / N:.0f}"
        speed = f"{done['seconds'] / 60:.1f}", f"{done['images_per_second']:.0f}", done["device"]
        rows.append([*counts, *speed, *(f"{done['losses'][name]:.3f}" for name in last.values())])
    head = ["N", "images shown", "passes over the set", "minutes", "images/s", "on", *last]
    return table(head, rows, before=before)
