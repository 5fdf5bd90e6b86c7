"""Chapter 07: the discriminator test in pictures (the paper's figures 14 and 16)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from galgen.compare.discriminator import DiscriminatorTest
from galgen.compare.uncertainty import Estimate
from galgen.figures.style import MODELS, intervals
from galgen.words import spaced

__all__ = ["history_figure", "loss_panels", "power_figure", "stage_figure"]

_STYLES = {
    ("A", "other"): (MODELS["A"], "-", "$\\ell(D_A(x_A), D_A(x_B))$"),
    ("A", "train"): (MODELS["A"], ":", "$\\ell(D_A(x_A), D_A(x_{train}))$"),
    ("B", "other"): (MODELS["B"], "-", "$\\ell(D_B(x_B), D_B(x_A))$"),
    ("B", "train"): (MODELS["B"], ":", "$\\ell(D_B(x_B), D_B(x_{train}))$"),
    ("A", "held_out"): ("#56B4E9", "--", "$\\ell(D_A(x_A), D_A(x_{held-out}))$"),
    ("B", "held_out"): ("#F0E442", "--", "$\\ell(D_B(x_B), D_B(x_{held-out}))$"),
}


def _loss_curves(axis: Axes, test: DiscriminatorTest) -> None:
    """The distributions of the hinge loss; what lies above 6 is put into the last bin."""
    form = {"bins": np.linspace(0, 6, 49), "density": True, "histtype": "step", "lw": 1.4}
    for which, (colour, line, label) in _STYLES.items():
        losses = np.clip(getattr(test, which[0]).curves[which[1]].loss, 0, 6)
        axis.hist(losses, color=colour, ls=line, label=label, **form)
    axis.axvline(2, color="black", lw=0.7)
    axis.set(yticks=[], xlim=(0, 6))


def loss_panels(tests: Mapping[str, DiscriminatorTest], columns: int) -> Figure:
    """The distributions of the hinge loss of each test, in a panel under its name."""
    rows = -(-len(tests) // columns)
    size = (max(2.7 * columns, 5.6), 2 * rows + 0.6)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat[len(tests) :]:
        axis.set_visible(False)
    for axis, (name, test) in zip(axes.flat, tests.items(), strict=False):
        _loss_curves(axis, test)
        axis.set_title(name, fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("$\\ell$")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def stage_figure(test: DiscriminatorTest, samples: Sequence[Tensor]) -> Figure:
    """The four distributions, and beside them eight samples of A, in two rows, above eight of B."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9), width_ratios=[1.3, 1])
    _loss_curves(left, test)
    left.set_xlabel("$\\ell$")
    left.legend(fontsize=6.5, loc="upper right")
    rows = [np.hstack(list(part[k : k + 4, 0])) for part in samples for k in (0, 4)]
    right.imshow(np.vstack(rows), vmin=0, vmax=1)
    right.set_axis_off()
    right.set_title("A (top two rows) and B", fontsize=9)
    return figure


def history_figure(history: Mapping[int, Mapping[int, DiscriminatorTest]]) -> Figure:
    """Mean losses against images shown, a panel for each N.

    Args:
        history: By N, the tests by images shown.
    """
    size = (max(2.8 * len(history), 5.6), 3.4)
    figure, axes = plt.subplots(1, len(history), figsize=size, sharey=True, squeeze=False)
    for axis, (n, tests) in zip(axes[0], history.items(), strict=True):
        for which, (colour, line, label) in _STYLES.items():
            curves = [getattr(test, which[0]).curves[which[1]] for test in tests.values()]
            mean, low, high = np.array([(c.mean.value, c.low, c.high) for c in curves]).T
            axis.plot(list(tests), mean, line, marker=".", color=colour, label=label)
            if which == ("A", "train"):
                axis.fill_between(list(tests), low, high, color=colour, alpha=0.12, lw=0)
        axis.axhline(2, color="black", lw=0.7)
        axis.set(xscale="log", xlabel="images shown", title=f"N = {spaced(n)}")
    axes[0, 0].set(ylabel="mean of $\\ell$", ylim=(0, None))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def power_figure(
    rejected: Mapping[int, Mapping[str, Sequence[Estimate]]], counts: Sequence[int], colours: Sequence[str]
) -> Figure:
    """How often the classifier two-sample test rejects, against the number of images.

    Args:
        rejected: By the side of the images it is shown, a panel each, and by name of the alternative.
        counts: Images of each set.
        colours: Of the alternatives.
    """
    figure, axes = plt.subplots(
        1, len(rejected), figsize=(4 * len(rejected), 3.2), sharey=True, squeeze=False
    )
    for axis, (side, curves) in zip(axes[0], rejected.items(), strict=True):
        for k, (colour, (name, curve)) in enumerate(zip(colours, curves.items(), strict=True)):
            x = np.array(counts) * 1.06 ** (k - 1)  # side by side, or the last would hide the others
            intervals(axis, x, curve, color=colour, label=name)
        axis.axhline(0.05, ls=":", color="black", lw=0.8)
        axis.set(xscale="log", xticks=counts, xticklabels=counts, xlabel="images of each set")
        axis.set(ylim=(-0.03, 1.05), title=f"{side} pixels a side")
        axis.minorticks_off()
    axes[0, 0].set_ylabel("share rejected")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure
