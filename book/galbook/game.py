"""Generator and discriminator: their game, and what the generator draws as it is and averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from galbook.curves import smoothed
from galbook.discriminator import COARSE, before_memory
from galbook.kept import once
from galbook.sentences import listed
from galgen.compare.controls import rounded
from galgen.compare.scales import principal_spread
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS, OTHERS, gray, stamp_sheet
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.models.gan import draw
from galgen.runs.store import Array

__all__ = [
    "ends",
    "ends_table",
    "game_figure",
    "game_said",
    "generators",
    "generators_figure",
    "generators_said",
    "generators_table",
    "knows",
]

# The modules that the answers depend on, beside this one.
FILES = ("galbook.discriminator", "galgen.compare.scales")

Log = Sequence[Mapping[str, float]]  # from `galgen.runs.checkpoint.read_losses`

SHOWN = 12  # samples in the figure


@dataclass(frozen=True)
class Drawn:
    """What a generator draws at one reading.

    Attributes:
        shown: Images shown.
        average: Whether it is the average of the generator, or the generator as it is.
        auc: Of a fresh classifier against held-out galaxies, by side in pixels.
        spread: Variance over that of the galaxies, from the largest scale to the smallest.
        first: The first samples, uint8.
    """

    shown: int
    average: bool
    auc: dict[int, Estimate]
    spread: dict[str, float]
    first: Array


@once
def generators(experiment: Experiment, N: int) -> list[Drawn]:
    """What model A draws, as it is and averaged: before memory, if that comes earlier, and at the end."""
    images, sets = experiment.images.dataset.images, experiment.images.split()
    held_out, side = images[sets.validation[: 2 * experiment.profile.samples]], images.shape[-1]
    reference = {pixels: features(held_out, side=pixels) for pixels in (side, COARSE)}
    model, found = experiment.models.pair(N)[0], []
    for shown in sorted({before_memory(experiment, N), experiment.settings.images_shown(N)}):
        nets = experiment.networks(model, shown)
        for which in ("generator", "average"):
            part = draw(nets[which], experiment.latents(), side=side)
            auc = {at: c2st(known, features(part, side=at)).auc for at, known in reference.items()}
            spread = principal_spread(rounded(part), images[sets.A])
            first = gray(part[:SHOWN].numpy())
            found.append(Drawn(shown, which == "average", auc, spread, first))
    return found


def ends(logs: Mapping[int, Log]) -> dict[int, dict[str, float]]:
    """Means of all losses over the last tenth of a training, by N."""
    return {
        n: {name: np.mean([line[name] for line in log[-max(len(log) // 10, 1) :]]) for name in log[0]}
        for n, log in logs.items()
    }


def ends_table(logs: Mapping[int, Log]) -> Markdown:
    """The same: scores of the judge, its loss, its slope, and the spread of the generated images."""
    rows = []
    for n, end in ends(logs).items():
        scores = [f"{end[name]:+.2f}" for name in ("D_real", "D_held_out", "D_fake")]
        others = [f"{value:.2f}" for value in (end["hinge"], end["penalty"], 1 / end["mode_collapse"])]
        rows.append([spaced(n), *scores, *others])
    head = ["N", "D(training)", "D(held-out)", "D(generated)", "hinge", "slope penalty"]
    before = "Means over the last tenth of the training of model A:"
    return table([*head, "spread, generated over real"], rows, before=before)


def knows(logs: Mapping[int, Log]) -> str:
    """By how much the judge scores its training images above held-out ones, at the smallest and largest N."""
    memory = {n: end["D_real"] - end["D_held_out"] for n, end in ends(logs).items()}
    at = (f"{memory[n]:+z.2f} at N = {spaced(n)}" for n in sorted({min(memory), max(memory)}))
    said = "A's judge gives its training images a mean score that is higher than that of held-out ones by"
    return f"{said} {' and '.join(at)}."


def game_figure(logs: Mapping[int, Log]) -> Figure:
    """Scores, hinge loss and spread of the generated images during the training, one column an N."""
    size = (1 + 2.4 * len(logs), 4.6)
    figure, axes = plt.subplots(2, len(logs), figsize=size, sharex=True, sharey="row", squeeze=False)
    for (above, below), (n, log) in zip(axes.T, logs.items(), strict=True):
        means = smoothed(log)
        shown = means["images"]
        above.plot(shown, means["D_real"], color="black", label="training images")
        above.plot(shown, means["D_fake"], color=COLOURS["gan"], label="generated images")
        above.plot(shown, means["D_held_out"], "--", color="#595959", label="held-out images")
        below.plot(shown, means["hinge"], color=COLOURS["gan"], label="hinge loss of D")
        below.plot(shown, 1 / means["mode_collapse"], color=OTHERS[0], label="spread, generated over real")
        below.axhline(2, ls=":", color="black", lw=0.8)
        above.set_title(f"N = {spaced(n)}")
        below.set(xlabel="images shown", xscale="log")
    axes[0, 0].set_ylabel("mean score D")
    axes[1, 0].set_ylabel("loss, and spread")
    for axis in axes[:, 0]:
        axis.legend(fontsize=8)
    return figure


def game_said(logs: Mapping[int, Log]) -> str:
    """The judge's loss at the end, by N: the title."""
    each = (f"{end['hinge']:.2f} at N = {spaced(n)}" for n, end in ends(logs).items())
    return f"Hinge loss of the judge at the end, 2 if it cannot tell: {', '.join(each)}"


def generators_said(found: Sequence[Drawn]) -> str:
    """How easily both are told from galaxies at the end: the title."""
    end = max(one.shown for one in found)
    areas = {one.average: one.auc[COARSE].value for one in found if one.shown == end}
    at = f"AUC of a classifier at {COARSE} pixels, at the end"
    return f"{at}: generator {areas[False]:.2f}, its average {areas[True]:.2f}; 0.50 is chance"


def generators_table(found: Mapping[int, Sequence[Drawn]]) -> Markdown:
    """Generator and average at each reading, by N."""
    rows = []
    for n, readings in found.items():
        for one in readings:
            name, spread = "average" if one.average else "as it is", listed(one.spread.values())
            rows.append([spaced(n), spaced(one.shown), name, *one.auc.values(), spread])
    side = next(iter(readings[0].auc))
    head = ["N", "images shown", "generator", f"AUC at {side} pixels", f"at {COARSE} pixels"]
    return table([*head, "variance over the galaxies', large scales to small"], rows)


def generators_figure(found: Sequence[Drawn], held_out: np.ndarray) -> Figure:
    """The first samples at each reading, above held-out images, uint8."""
    rows = ["average" if one.average else "as it is" for one in found] + ["held-out"]
    sheet = np.concatenate([*(one.first for one in found), held_out[:SHOWN]]).astype(np.uint8)
    return stamp_sheet(sheet, columns=SHOWN, rows=rows, inches=0.6)
