"""Two models: their agreement beside its controls, memorisation over a training, one latent at a time."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from galgen.compare.agreement import TwoModels
from galgen.compare.estimates import Estimate
from galgen.data import similarity
from galgen.figures.plots import intervals
from galgen.figures.sliders import SliderFigure, slider_figure
from galgen.figures.style import COLOURS, MODELS, shades, spaced

__all__ = ["controls_figure", "latent_slider", "memorisation_figure"]


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


def memorisation_figure(history: Mapping[int, Mapping[int, Estimate]]) -> Figure:
    """P(train closer) over images shown, and over passes over the training set.

    Args:
        history: By N, the estimates by images shown.
    """
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)
    shade = shades(list(history))
    for axis, text in zip(axes, ("images shown", "passes over the training set"), strict=True):
        for n, found in history.items():
            x = np.array(list(found)) / (1 if axis is axes[0] else n)
            intervals(axis, x, found.values(), ms=3, color=shade[n], label=f"N = {spaced(n)}")
        axis.axhline(0.5, ls="--", color=COLOURS["null"], lw=0.8)
        axis.set(xscale="log", xlabel=text)
    axes[0].set_ylabel("P(train closer)")
    axes[0].legend(fontsize=8)
    return figure


def latent_slider(
    samples: Mapping[int, Sequence[Tensor]],
    train: Mapping[int, Sequence[np.ndarray]],
    *,
    mean: np.ndarray,
    count: int = 16,
) -> SliderFigure:
    """One latent at a time, for each N: A's image, the nearest training image of A, and the same of B.

    Args:
        samples: By N, the images of A and of B, each (n, 1, H, W) in [0, 1].
        train: By N, the training images of A and of B, each uint8 (N, 1, H, W).
        mean: The data set's mean image, (1, H, W).
        count: Latents.
    """
    anomaly = {"kind": "anomaly", "mean": mean}
    agree = {n: similarity.cosine(*pair, **anomaly) for n, pair in samples.items()}
    frames, captions = [], []
    count = min(count, *map(len, agree.values()))
    for k in range(count):
        for n, pair in samples.items():
            parts, near = [], []
            for drawn, images in zip(pair, train[n], strict=True):
                found = similarity.nearest(drawn[k : k + 1], images, **anomaly)
                parts += [drawn[k, 0].numpy(), found.first(images)[0, 0] / 255]
                near.append(f"{found.cosine[0, 0]:.2f}")
            frames.append(np.hstack(parts))
            nearest = f"to the nearest training image {near[0]} (A), {near[1]} (B)"
            captions.append(f"Anomaly cosine of A and B {agree[n][k]:.2f}; {nearest}")
    return slider_figure(
        np.array(frames).reshape(count, len(samples), *frames[0].shape),
        sliders={"latent": range(count), "N": [spaced(n) for n in samples]},
        captions=captions,
        title="One latent, two models",
        alt="Model A's sample, its nearest training image, model B's sample, its nearest training image.",
        width=600,
    )
