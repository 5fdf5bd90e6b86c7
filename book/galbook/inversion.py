"""The inversion test of every pair of Glows: asked, drawn, Table 1, and walks through the latents."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import stats
from torch import Tensor

from galbook.kept import once
from galbook.sentences import mean_span
from galgen.compare.flow_pairs import Latents, latents_test
from galgen.compare.inversion import PAPER_TABLE1, Inversion, LevelTest, gathered
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS, MODELS
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.models import glow_learner
from galgen.models.glow import Glow

__all__ = [
    "COUNT",
    "distance_figure",
    "distance_table",
    "inversion_figure",
    "inverted",
    "latents",
    "untrained_table",
    "walks",
]

COUNT = 64  # latents: eight models at each N, each of which inverts the images of the seven others


@once
def latents(experiment: Experiment, N: int) -> Latents:
    """The test of all pairs of N images a model."""
    pairs = [[experiment.networks(model)["net"] for model in pair] for pair in experiment.models.pairs(N)]
    seeds = experiment.latents(min(COUNT, experiment.profile.samples))
    return latents_test(pairs, glow_learner.latents(pairs[0][0], seeds))


def inverted(experiment: Experiment) -> dict[int, Latents]:
    """The same by N."""
    return {n: latents(experiment, n) for n in experiment.sizes}


Tests = Mapping[int, Sequence[Sequence[LevelTest]]]


def inversion_figure(inversion: Inversion) -> Figure:
    """Each level's z' against z, and the densities of z' (the paper's figures 10 and 11)."""
    levels = len(inversion.z)
    figure, axes = plt.subplots(2, levels, figsize=(2.8 * levels, 5.2), squeeze=False)
    edges, rng = np.linspace(-4, 4, 81), np.random.default_rng(0)
    for level, (above, below) in enumerate(axes.T):
        z = inversion.z[level].ravel()
        some = rng.choice(z.size, min(2000, z.size), replace=False)
        normal = {"color": COLOURS["null"], "alpha": 0.4, "lw": 0, "label": "unit normal"}
        below.fill_between(edges, stats.norm.pdf(edges), **normal)
        for model, found, line in (("A", inversion.z_a, "-"), ("B", inversion.z_b, "--")):
            values, style = found[level].ravel(), {"color": MODELS[model], "label": f"$z'_{model}$"}
            order = 3 if model == "A" else 2  # A's diagonal lies above B's cloud
            above.plot(z[some], values[some], ".", ms=2, zorder=order, rasterized=True, **style)
            density = np.histogram(np.clip(values, -4, 4), edges, density=True)[0]
            below.plot((edges[1:] + edges[:-1]) / 2, density, line, **style)
        above.set(xlim=(-5, 5), ylim=(-5, 5), aspect="equal", xlabel="$z$")
        above.set_title(f"level {level}: {z.size // len(inversion.x)} latents")
        below.set(xlabel="$z'$", yticks=[], ylim=(0, 0.62))
    axes[0, 0].set_ylabel("$z'$")
    axes[1, 0].set_ylabel("density")
    axes[0, 0].legend(loc="upper left", markerscale=5, handletextpad=0.1, borderpad=0.1)
    axes[1, -1].legend(fontsize=8)
    return figure


def distance_table(disjoint: Tests, same: Tests, before: str) -> Markdown:
    """The paper's Table 1 with our values beside its own.

    Args:
        disjoint: By N, tests of models on disjoint images, each of all levels (`compare_levels`).
        same: The same of models on the same images.
        before: Text over the table.
    """
    arithmetic, w1, null = gathered(disjoint, "w1_a"), gathered(disjoint, "w1_b"), gathered(same, "w1_b")
    sizes, rows = list(disjoint), []
    for level in range(w1.shape[1]):
        published = PAPER_TABLE1.get(level, {})
        for n in sorted({*sizes, *published}, reverse=True):
            ours = [""] * 5
            if n in sizes:
                k, first = sizes.index(n), disjoint[n][0][level]
                interval = f"{first.w1_b.value:.3f} [{first.w1_b.low:.3f}, {first.w1_b.high:.3f}]"
                ours = [f"{arithmetic[k, level].mean():.1e}", mean_span(w1[k, level]), interval]
                ours += [mean_span(null[k, level]), f"{first.floor:.1e}"]
            paper = "{:.1e}, {:.3f}".format(*published[n]) if n in published else ""
            rows.append([level, spaced(n), *ours, paper])
    head = ["level", "N", "W₁(z'_A, z)", "W₁(z'_B, z), disjoint images", "first pair, interval over images"]
    return table([*head, "same images", "i.i.d. floor", "paper: z'_A, z'_B"], rows, before=before)


def distance_figure(disjoint: Tests, same: Tests, control: Sequence[LevelTest]) -> Figure:
    """W1(z'_B, z) against N, a panel for each level, beside the null, the control and the floor.

    Args:
        disjoint: As of `distance_table`.
        same: As of `distance_table`.
        control: The test of a flow that was trained on other galaxies, at the largest N.
    """
    sizes, levels = list(disjoint), len(control)
    figure, axes = plt.subplots(1, levels, figsize=(2.8 * levels, 3.2), sharey=True, squeeze=False)
    for level, axis in enumerate(axes[0]):
        for name, tests, marker in (("same", same, "s"), ("disjoint", disjoint, "o")):
            values, colour = gathered(tests, "w1_b")[:, level], COLOURS["null" if tests is same else "glow"]
            axis.plot(sizes, values.mean(1), color=colour, label=f"{name} images")
            axis.plot(
                np.repeat(sizes, values.shape[1]), values.ravel(), marker, color=colour, ms=4, alpha=0.6
            )
        axis.plot(sizes[-1], control[level].w1_b.value, "D", color="#CC79A7", label="other galaxies")
        axis.axhline(disjoint[sizes[-1]][0][level].floor, ls=":", color="black", lw=1, label="floor")
        axis.set(xscale="log", yscale="log", xlabel="N", title=f"level {level}")
    axes[0, 0].set_ylabel("$W_1(z'_B, z)$")
    axes[0, 0].legend(fontsize=8)
    return figure


def untrained_table(
    kinds: Mapping[str, tuple[Sequence[Sequence[LevelTest]], Estimate | None]], N: int
) -> Markdown:
    """W1, shared latents and AUC of untrained flows beside trained ones, means over tests of all levels.

    Args:
        kinds: By what the two flows are, their tests, and the AUC of their likelihoods.
        N: Images of each flow.
    """
    rows = []
    for name, (tests, auc) in kinds.items():
        found = np.array([[(level.w1_b.value, level.shared) for level in test] for test in tests])
        w1, shared = found.mean(0).T
        rows.append([name, *(f"{x:.3f}" for x in w1), *(f"{x:.2f}" for x in shared), auc or "–"])
    head = [f"{what}, level {k}" for what in ("W₁", "shared") for k in range(len(w1))]
    return table(
        ["", *head, "AUC of the likelihood ratio"],
        rows,
        before=f"$W_1(z'_B, z)$ and *shared* at N = {spaced(N)}, means over the tests of each kind:",
        after="What an untrained pair shares is not learnt. An AUC that flows of the same images reach too "
        "is no effect of the images.",
    )


@torch.inference_mode()
def walks(flow: Glow, ends: Tensor, steps: int = 9) -> np.ndarray:
    """From one galaxy to another through the latents: each level carried over alone, then all.

    The way is the great circle cos(t) z_0 + sin(t) z_1, t from 0 to pi/2, on which a unit normal stays one.

    Args:
        flow: An initialized flow.
        ends: Two images as `Glow.dequantize` makes them, (2, 1, H, W).
        steps: Images on each way, the ends among them.

    Returns:
        The first galaxy, the image on the way and the second, side by side: (levels + 1, steps, H, 3 W).
    """
    z, _ = flow.encode(ends)
    angle = torch.linspace(0, torch.pi / 2, steps)[:, None, None, None]
    carried = [angle.cos() * part[:1] + angle.sin() * part[1:] for part in z]
    kept = [part[:1].expand(steps, *part.shape[1:]) for part in z]
    ways = [[*kept[:k], carried[k], *kept[k + 1 :]] for k in range(len(z))] + [carried]
    first, last = (image.expand(steps, *image.shape) for image in flow.image(ends)[:, 0])
    return np.array([torch.cat([first, flow.image(flow.decode(way))[:, 0], last], 2).numpy() for way in ways])
