"""Chapter 07: the discriminator test in pictures (the paper's figures 14 and 16)."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.discriminator import DiscriminatorTest
from galgen.figures.style import MODELS
from galgen.figures.words import spaced

__all__ = ["history_figure", "loss_panels"]

_STYLES = {
    ("A", "other"): (MODELS["A"], "-", "$\\ell(D_A(x_A), D_A(x_B))$"),
    ("A", "train"): (MODELS["A"], ":", "$\\ell(D_A(x_A), D_A(x_{\\mathrm{train}}))$"),
    ("B", "other"): (MODELS["B"], "-", "$\\ell(D_B(x_B), D_B(x_A))$"),
    ("B", "train"): (MODELS["B"], ":", "$\\ell(D_B(x_B), D_B(x_{\\mathrm{train}}))$"),
    ("A", "held_out"): ("#56B4E9", "--", "$\\ell(D_A(x_A), D_A(x_{\\mathrm{held\\ out}}))$"),
    ("B", "held_out"): ("#F0E442", "--", "$\\ell(D_B(x_B), D_B(x_{\\mathrm{held\\ out}}))$"),
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
    for axis in axes.flat[max(0, len(tests) - columns) : len(tests)]:  # the lowest of each column
        axis.set_xlabel("$\\ell$")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
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
