"""Does a flow come to know its training images? What it spends on them, and on others, along its training."""

from collections.abc import Mapping
from math import inf

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from galbook.curves import plot_losses
from galbook.kept import once
from galbook.readings import Reading
from galbook.sentences import at_sizes, listed
from galgen.compare.likelihood import bits_per_dim, likelihood_gap
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment
from galgen.figures.style import shades
from galgen.models.families import Training
from galgen.runs.store import Array, Run

__all__ = ["bits_along", "bits_figure", "cost_said", "gaps", "in_short"]

# The modules that the answers depend on, beside this one.
FILES = (
    "galgen.compare.likelihood",
    "galgen.compare.twosample",
    "galgen.compare.uncertainty",
    "galgen.models.coupling",
    "galgen.models.glow",
)

COUNT = 256  # images

CLOSES = (0.0, "no clear order in N"), (inf, "the gap closes as N grows")

Along = dict[int, list[Array]]  # by images shown, bits a dimension of training and of held-out images


@once
def bits_along(experiment: Experiment, N: int) -> Along:
    """What model A spends on its training images, and on held-out images, with the weights that are kept."""
    model, found = experiment.models.pair(N)[0], {}
    images, sets = experiment.images.dataset.images, experiment.images.split(N)
    for shown in experiment.train(model).summary["weights"]:
        flow = experiment.networks(model, shown)["net"]
        rows = sets.A[:COUNT], sets.validation[:COUNT]
        found[shown] = [bits_per_dim(flow, images[some], some) for some in rows]
    return found


def gaps(along: Mapping[int, Along]) -> dict[int, Estimate]:
    """By N, what held-out images cost beyond training images at the end."""
    return {n: likelihood_gap(*found[max(found)]) for n, found in along.items()}


def cost_said(found: Mapping[int, Estimate]) -> str:
    """These gaps: the title of the figure."""
    cost = listed((gap.value for gap in found.values()), "+.3f")
    return f"Held-out images cost {cost} bits a dimension more than training images at {at_sizes(found)}"


def in_short(found: Mapping[int, Estimate]) -> str:
    """These gaps in words, and whether that of the largest N is clearly smaller than that of the smallest."""
    each = list(found.values())
    said = f"{cost_said(found)}."
    if len(found) == 1:
        return said
    moved = each[0].low - each[-1].high
    what = "That at the smallest N less that at the largest, between the ends of their intervals"
    return f"{said} {Reading(what, moved, CLOSES, f'{moved:+.3f}')}."


def bits_figure(along: Mapping[int, Along], runs: Mapping[Training, Run], most: int) -> Figure:
    """Both over the images shown, by N, about the loss on the batches of each training; up to `most` bits."""
    figure, axis = plt.subplots(figsize=(6.4, 3.6))
    plot_losses(axis, runs, "bits_per_dim")
    for n, colour in shades(list(along)).items():
        for shown, (seen, new) in along[n].items():
            axis.plot(shown, seen.mean(), "o", color=colour)
            axis.plot(shown, new.mean(), "o", color=colour, mfc="white")
    low, high = axis.get_ylim()
    axis.set(ylabel="bits per dimension", ylim=(low, min(high, most)))
    axis.legend()
    return figure
