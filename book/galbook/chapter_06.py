"""Chapter 06: the game of generator and discriminator."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from galbook.curves import smoothed
from galgen.figures.style import COLOURS, MODELS
from galgen.figures.words import spaced

__all__ = ["game_figure"]


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
