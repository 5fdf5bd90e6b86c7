"""A training as it goes on: its losses, what is memorised by when, and when memorization sets in."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.memorization import (
    Memorization,
    exchange_test,
    gaussian_margins,
    margins,
    memorization_test,
)
from galgen.compare.onset import Onsets, definitions, onsets
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment, Training
from galgen.figures.sentences import at_sizes
from galgen.figures.style import COLOURS, intervals, shades, spaced
from galgen.figures.tables import table
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


def onset_surfaces(study: Experiment, count: int = 128) -> dict[str, Onsets]:
    """The onsets of pairs of small networks by each of `definitions`, of as many latents."""
    images, options = study.dataset.images, {"mean": study.mean_image}
    blurs = {n: gaussian_margins(images, study.split(n), 1024, **options) for n in study.sizes}
    levels = definitions({n: exchange_test(*pair).closer.value for n, pair in blurs.items()})
    histories = {n: margin_history(study, n, count) for n in study.sizes}
    return {name: onsets(histories, level) for name, level in levels.items()}


def onset_figure(found: Onsets) -> Figure:
    """P(train closer) over N and images shown as a surface with the onsets upon it; and over passes.

    On the right the level that an onset exceeds is dotted for each N; it may be another for each, so that two
    curves need not lie on each other where the onsets do.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.4), width_ratios=(1.1, 1))
    sizes = np.array(list(found.closer), float)
    edges = np.sqrt(sizes[1:] * sizes[:-1])
    if len(sizes) > 1:
        edges = np.concatenate([sizes[:1] ** 2 / edges[:1], edges, sizes[-1:] ** 2 / edges[-1:]])
    else:
        edges = sizes * [0.5, 2]
    for curve, low, high in zip(found.closer.values(), edges, edges[1:], strict=False):
        shown = np.array(list(curve), float)
        middle = np.sqrt(shown[1:] * shown[:-1])
        ends = np.concatenate([shown[:1] ** 2 / middle[:1], middle, shown[-1:]])
        values = [[each.value for each in curve.values()]]
        drawn = left.pcolormesh(ends, [low, high], values, vmin=0.5, vmax=1, cmap="viridis")
    figure.colorbar(drawn, ax=left, label="P(train closer)")
    reached = {n: onset for n, onset in found.at.items() if onset}
    for n, onset in reached.items():
        bars = [[onset.value - onset.low], [onset.high - onset.value]]
        left.errorbar(onset.value, n, xerr=bars, color="white", marker="o", ms=5, capsize=3)
    if found.power:
        fitted = found.factor * sizes**found.power.value
        left.plot(fitted, sizes, color="white", lw=1.2)
    left.set(xscale="log", yscale="log", xlabel="images shown", ylabel="N", yticks=sizes)
    left.set_yticks(sizes, [spaced(int(n)) for n in sizes])
    left.minorticks_off()
    for n, curve in found.closer.items():
        shade = shades(list(found.closer))[n]
        right.axhline(found.levels[n], ls=":", color=shade, lw=1)
        intervals(
            right, np.array(list(curve)) / n, curve.values(), ms=3, color=shade, label=f"N = {spaced(n)}"
        )
    right.axhline(0.5, ls="--", color=COLOURS["null"], lw=0.8)
    right.set(xscale="log", xlabel="passes over the training set", ylabel="P(train closer)")
    right.legend(fontsize=8)
    return figure


def onset_table(found: Onsets) -> Markdown:
    """For each N when memorization sets in, in images shown and in passes, and how far the training went."""
    rows = []
    for n, curve in found.closer.items():
        last, onset = max(curve), found.at[n]
        said = ["not reached", ""]
        if onset:
            low, high = (spaced(round(end)) for end in (onset.low, onset.high))
            said = [f"{spaced(round(onset.value))} [{low}, {high}]", f"{onset.value / n:.0f}"]
        elif curve[min(curve)].value >= found.levels[n]:
            said = ["before the first milestone", ""]
        level = f"{found.levels[n]:.2f}"
        rows.append([spaced(n), *said, level, f"{spaced(last)} ({last / n:.0f})", curve[last]])
    trained = ["trained for (passes)", "P(train closer) at the end"]
    return table(
        ["N", "onset, images shown", "onset, passes", "P(train closer) of Gaussians", *trained], rows
    )


def growth_table(found: Mapping[str, Onsets]) -> Markdown:
    """How the onset grows with N by each definition of it: the power of N, and the onsets it is fitted to."""
    rows = []
    for name, each in found.items():
        at = (f"{spaced(round(onset.value))} (N = {spaced(n)})" for n, onset in each.at.items() if onset)
        levels = dict.fromkeys(f"{level:.2f}" for level in each.levels.values())
        rows.append([name, ", ".join(levels), ", ".join(at) or "none", each.power or "–"])
    head = ["the onset is where P(train closer) exceeds", "by N", "images shown", "power of N"]
    return table(head, rows, before="By each definition of the onset; a power of 1 is in proportion to N:")


def onset_answer(found: Mapping[str, Onsets]) -> str:
    """The answer in one sentence, or what is missing for one, from the onsets by each definition."""
    powers = {name: each.power for name, each in found.items() if each.power}
    late = [n for n in next(iter(found.values())).at if not any(each.at[n] for each in found.values())]
    late = f" ({at_sizes(late)}: no onset.)" if late else ""
    if not powers:
        few = "by no definition do two N have one, and a power law takes two"
        return f"**How the onset grows with N cannot be said:** {few}.{late}"
    said = ", of ".join(f"{power} where P(train closer) exceeds {name}" for name, power in powers.items())
    said = f"as N to the power of {said}; 1 is in proportion.{late}"
    first, *others = dict.fromkeys(map(_grows, powers.values()))
    if others:
        return f"**How the onset of memorization grows with N depends on what is called the onset:** {said}"
    return (
        "**At one learning rate, memorization sets in after a number of images shown that "
        f"{first}, by each definition:** {said}"
    )


def _grows(power: Estimate) -> str:
    if power.low > 1:
        return "grows faster than N"
    if power.high < 1:
        return "grows more slowly than N" if power.low > 0 else "does not measurably grow with N"
    return "may grow in proportion to N" if power.low > 0 else "is not known well enough to say how it grows"


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
