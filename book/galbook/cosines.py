"""Galaxies, samples and their nearest training images, and the cosines of all (figures 7, 9 and 13)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from galgen.compare import similarity
from galgen.compare.agreement import TwoModels
from galgen.compare.uncertainty import Estimate
from galgen.figures.style import COLOURS, MODELS, intervals, stamp_sheet
from galgen.figures.words import spaced

__all__ = ["controls_figure", "cosine_histograms", "sample_sheet"]


def sample_sheet(
    samples: Mapping[int, Tensor | Sequence[Tensor]],
    train: Mapping[int, np.ndarray] | None = None,
    *,
    mean: np.ndarray | None = None,
    flips: bool = False,
    count: int = 10,
) -> Figure:
    """What models draw from the same latents: a row for each model of each N, one column a latent.

    Args:
        samples: By N, the images of A, or of A and of B, each (n, 1, H, W) in [0, 1].
        train: By N, the training images of A, uint8 (N, 1, H, W): the one of largest anomaly cosine with A's
            image, turned as found, stands in a further row.
        mean: The data set's mean image, (1, H, W); needed with `train`.
        flips: Whether flipped training images count.
        count: Latents, or as many as there are.
    """
    stack, rows = [], []
    for n, models in samples.items():
        drawn = [part[:count] for part in ([models] if isinstance(models, Tensor) else models)]
        stack += [part.numpy() for part in drawn]
        rows += [f"N = {spaced(n)}, {half}" for half, _ in zip("AB", drawn, strict=False)]
        if train:
            found = similarity.nearest(drawn[0], train[n], kind="anomaly", mean=mean, flips=flips)
            stack.append(found.first(train[n]) / 255)
            rows.append("nearest to A")
    columns = len(stack[0])
    return stamp_sheet(np.concatenate(stack), columns=columns, rows=rows, inches=min(0.78, 7 / columns))


def cosine_histograms(tests: Mapping[int, TwoModels]) -> Figure:
    """The paper's figures 7, 9 and 13, each histogram before its null: one column an N.

    Rows: Pearson cosine of A and B, and of A and its nearest training image; the same for the anomaly cosine.
    Those of the nearest image begin where the least cosine of all N is, as the paper's lower row does.
    """
    size = (1 + 1.9 * len(tests), 7)
    figure, axes = plt.subplots(4, len(tests), figsize=size, sharey=True, squeeze=False)
    for column, (n, test) in zip(axes.T, tests.items(), strict=True):
        column[0].set_title(f"N = {spaced(n)}")
        for (above, below), (kind, low) in zip(
            (column[:2], column[2:]), (("pearson", 0.5), ("anomaly", -0.6)), strict=True
        ):
            found = test.cosines[kind]
            near = [test.cosines[kind] for test in tests.values()]
            least = min(min(cosines.copying.min(), cosines.held_out.min()) for cosines in near)
            for axis, values, null, colour, first in (
                (above, found.agreement, found.shuffled, MODELS["A"], low),
                (below, found.copying, found.held_out, MODELS["B"], min(least, 0.95)),
            ):
                bins = np.linspace(first, 1, 41)
                axis.hist(np.clip(null, first, 1), bins, density=True, color=COLOURS["null"], alpha=0.5)
                axis.hist(
                    np.clip(values, first, 1), bins, density=True, histtype="step", color=colour, lw=1.5
                )
                axis.axvline(1, color="firebrick", ls="--", lw=0.8)
                axis.set(yscale="log", ylim=(2e-2, 200), yticks=[0.1, 1, 10, 100])
                axis.minorticks_off()
        column[3].set_xlabel("cosine")
    for axis, text in zip(
        axes[:, 0],
        ("A and B\nPearson", "nearest train\nPearson", "A and B\nanomaly", "nearest train\nanomaly"),
        strict=True,
    ):
        axis.set_ylabel(text)
    return figure


def controls_figure(
    tests: Mapping[int, TwoModels],
    gaussians: Mapping[int, Estimate],
    across: Mapping[int, Estimate],
    foreign: Estimate,
) -> Figure:
    """Agreement over N of two networks, and of what has learnt less.

    Args:
        tests: The networks, by N.
        gaussians: Agreement of two Gaussians fitted to the same images, by N.
        across: Agreement of network A and the Gaussian of A, by N.
        foreign: Agreement of network A at the largest N and a network of other galaxies.
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.8))
    sizes, agree = list(tests), [test.agree for test in tests.values()]
    for name, x, estimates, colour, marker in (
        ("two U-Nets", sizes, agree, MODELS["A"], "o"),
        ("two Gaussians", sizes, gaussians.values(), COLOURS["glow"], "s"),
        ("U-Net and Gaussian on A", sizes, across.values(), "#CC79A7", "v"),
        ("U-Net on other galaxies", sizes[-1:], [foreign], COLOURS["null"], "D"),
    ):
        line = "-" if len(x) > 1 else "none"
        intervals(axis, x, estimates, label=name, color=colour, marker=marker, ls=line, ms=6, capsize=3)
    nulls = [test.null for test in tests.values()]
    axis.plot(sizes, nulls, ":", color=COLOURS["null"], label="shuffled seeds")
    axis.set(xscale="log", xlabel="N", ylabel="anomaly cosine, median", ylim=(-0.15, 1.02))
    axis.legend(fontsize=8)
    return figure
