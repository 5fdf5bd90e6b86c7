"""Generator and discriminator, their game and the discriminator test: asked and drawn (figures 14, 16)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galbook.curves import smoothed
from galbook.kept import once
from galgen.compare.discriminator import Course, DiscriminatorTest, course, discriminator_test, score
from galgen.compare.twosample import auc
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS, MODELS
from galgen.figures.words import spaced
from galgen.models import gan

__all__ = ["ask", "before_memory", "courses", "game_figure", "history_figure", "loss_panels", "tests_along"]

COUNT = 256  # images that show whether D knows those it was trained on


@once
def ask(experiment: Experiment, N: int, k: int = 0, shown: int | None = None) -> DiscriminatorTest:
    """The test of the k-th pair of N images a model, at the end or at a milestone of their training."""
    pair = experiment.models.pair(N, k)
    nets = [experiment.networks(model, shown) for model in pair]
    naive = [experiment.networks(model, 0)["discriminator"] for model in pair]
    own = [experiment.samples(model, shown) for model in pair]
    given = {"side": own[0].shape[-1]}
    raw = [gan.draw(part["generator"], experiment.latents(), **given) for part in nets]
    judges, sets = [part["discriminator"] for part in nets], experiment.images.split(N)
    seed, images = experiment.parameters.seed, experiment.images.dataset.images
    return discriminator_test(judges, naive, own, images, sets, raw=raw, seed=seed)


def tests_along(experiment: Experiment, N: int) -> dict[int, DiscriminatorTest]:
    """The same along the training of the first pair, by images shown."""
    stages = experiment.train(experiment.models.pair(N)[0]).summary["weights"]
    last = stages[-1]
    return {shown: ask(experiment, N, 0, shown) if shown < last else ask(experiment, N) for shown in stages}


def courses(experiment: Experiment) -> dict[int, Course]:
    """What the test says along the training of the first pair, by N."""
    return {n: course(tests_along(experiment, n)) for n in experiment.sizes}


def before_memory(experiment: Experiment, N: int) -> int:
    """Images shown at the last milestone at which neither D of the first pair knows its training images.

    It does not where the interval of P(a training image scores above one of `experiment.unseen`) holds 1/2 or
    lies below; the first milestone, if one of them does at every milestone.
    """
    pair = experiment.models.pair(N)
    stages = experiment.train(pair[0]).summary["weights"]
    unseen = experiment.images.unseen[:COUNT]
    for shown in reversed(stages):
        known = False
        for model in pair:
            D = experiment.networks(model, shown)["discriminator"]
            scores = [score(D, unit(x)) for x in (unseen, experiment.images.of(model)[:COUNT])]
            known |= auc(*scores).low > 0.5
        if not known:
            return shown
    return stages[0]


def game_figure(logs: Mapping[int, Sequence[Mapping[str, float]]]) -> Figure:
    """Scores, hinge loss and spread of the generated images during the training, one column an N.

    Args:
        logs: By N, from `galgen.runs.checkpoint.read_losses`.
    """
    size = (1 + 2.4 * len(logs), 4.6)
    figure, axes = plt.subplots(2, len(logs), figsize=size, sharex=True, sharey="row", squeeze=False)
    for (above, below), (n, log) in zip(axes.T, logs.items(), strict=True):
        means = smoothed(log)
        shown = means["images"]
        above.plot(shown, means["D_real"], color=MODELS["A"], label="training images")
        above.plot(shown, means["D_fake"], color=MODELS["B"], label="generated images")
        above.plot(shown, means["D_held_out"], "--", color="#595959", label="held-out images")
        below.plot(shown, means["hinge"], color=COLOURS["gan"], label="hinge loss of D")
        below.plot(shown, 1 / means["mode_collapse"], color="#CC79A7", label="spread, generated over real")
        below.axhline(2, ls=":", color="black", lw=0.8)
        above.set_title(f"N = {spaced(n)}")
        below.set(xlabel="images shown", xscale="log")
    axes[0, 0].set_ylabel("mean score D")
    axes[1, 0].set_ylabel("loss, and spread")
    for axis in axes[:, 0]:
        axis.legend(fontsize=8)
    return figure


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
