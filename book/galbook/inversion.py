"""The inversion test of every pair of Glows: asked, drawn, Table 1, and in words.

Each model draws once; its partner, on disjoint images, and its twin, on the same, send its images back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy import stats
from torch import Tensor

from galbook.kept import once
from galbook.sentences import at_sizes, listed, mean_span
from galgen.compare.flow_pairs import Latents, latents_test, model_pairs
from galgen.compare.inversion import (
    FAR,
    PAPER_FLOOR,
    PAPER_TABLE1,
    Inversion,
    LevelTest,
    compare_levels,
    gathered,
    inversions,
)
from galgen.compare.likelihood import ratio_auc
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS, MODELS
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.models import glow_learner
from galgen.models.glow import Glow
from galgen.runs.store import Array

__all__ = [
    "PairTests",
    "control_in_short",
    "distance_figure",
    "distance_said",
    "distance_table",
    "foreign_test",
    "found_said",
    "inversion_figure",
    "inverted",
    "latents",
    "pair_tests",
    "pooled_in_short",
    "statistics_table",
    "table_1",
    "untrained",
    "untrained_table",
]

# The modules that the answers depend on, beside this one.
FILES = (
    "galgen.compare.distances",
    "galgen.compare.flow_pairs",
    "galgen.compare.inversion",
    "galgen.compare.likelihood",
    "galgen.compare.twosample",
    "galgen.compare.uncertainty",
    "galgen.models.coupling",
    "galgen.models.glow",
    "galgen.models.glow_learner",
    "galgen.models.muon",
)

COUNT = 64  # latents: eight models at each N, each of which inverts the images of the seven others
SCATTERED = 2000  # latents of a level in a figure
EDGES = np.linspace(-4, 4, 81)  # of the bins of their densities
KINDS = ("disjoint", "same")


@once
def latents(experiment: Experiment, N: int) -> Latents:
    """The test of all pairs of N images a model."""
    pairs = [[experiment.networks(model)["net"] for model in pair] for pair in experiment.models.pairs(N)]
    seeds = experiment.latents(min(COUNT, experiment.profile.samples))
    return latents_test(pairs, glow_learner.latents(pairs[0][0], seeds))


def inverted(experiment: Experiment) -> dict[int, Latents]:
    """The same by N."""
    return {n: latents(experiment, n) for n in experiment.sizes}


@dataclass(frozen=True)
class LevelLatents:
    """The latents of one level before and after, as a figure shows them.

    Attributes:
        z: Some of those given, (n,).
        z_a: What A finds of these.
        z_b: What B finds of these.
        density_a: Of all that A finds, between `EDGES`; the outermost bins hold all values beyond.
        density_b: The same of B.
        count: Latents of an image.
    """

    z: Array
    z_a: Array
    z_b: Array
    density_a: Array
    density_b: Array
    count: int


@dataclass(frozen=True)
class PairTests:
    """The test of all models of one N, each with its partner and its twin.

    Attributes:
        images: That each model drew.
        disjoint: Tests of models on disjoint images, each of all levels; first that of the first pair.
        same: The same of models on the same images.
        auc: Of the likelihood ratio, of the first of the disjoint and of the same ones.
        first: Latents of the first pair, A to B, by level.
    """

    images: int
    disjoint: list[list[LevelTest]]
    same: list[list[LevelTest]]
    auc: dict[str, Estimate]
    first: list[LevelLatents]


@dataclass(frozen=True)
class Untrained:
    """The test of the first pair before its first step, both ways, and the AUC of its likelihood ratio."""

    tests: list[list[LevelTest]]
    auc: Estimate


def _given(experiment: Experiment, flow: Glow) -> list[Tensor]:
    """The latents that all models are given."""
    return glow_learner.latents(flow, experiment.latents(min(COUNT, experiment.profile.samples)))


@once
def pair_tests(experiment: Experiment, N: int) -> PairTests:
    """The test of all models of N images."""
    pairs = experiment.models.pairs(N)
    flows = {model: experiment.networks(model)["net"] for pair in pairs for model in pair}
    z = _given(experiment, flows[pairs[0][0]])
    tested = {"disjoint": {}, "same": {}}
    for model, others in model_pairs(pairs):
        found = inversions(flows[model], [flows[other] for other in others], z)
        for kind, other, one in zip(tested, others, found, strict=True):
            tested[kind][model, other] = one
    auc = {}
    for kind, some in tested.items():
        there = next(iter(some))
        auc[kind] = ratio_auc(some[there].log_ratio, some[there[::-1]].log_ratio)
    levels = {kind: [compare_levels(one) for one in some.values()] for kind, some in tested.items()}
    return PairTests(len(z[0]), **levels, auc=auc, first=_pictured(tested["disjoint"][pairs[0]]))


def _pictured(inversion: Inversion) -> list[LevelLatents]:
    rng, found = np.random.default_rng(0), []
    for level in zip(inversion.z, inversion.z_a, inversion.z_b, strict=True):
        flat = [part.ravel() for part in level]
        some = rng.choice(flat[0].size, min(SCATTERED, flat[0].size), replace=False)
        densities = [np.histogram(np.clip(part, -4, 4), EDGES, density=True)[0] for part in flat[1:]]
        found.append(LevelLatents(*(part[some] for part in flat), *densities, level[0][0].size))
    return found


@once
def foreign_test(experiment: Experiment) -> list[LevelTest]:
    """The positive control: A's images of the largest N through a flow that was trained on other galaxies."""
    models = experiment.models.pair(experiment.sizes[-1])[0], experiment.models.foreign()[0]
    flow, other = (experiment.networks(model)["net"] for model in models)
    return compare_levels(inversions(flow, [other], _given(experiment, flow))[0])


@once
def untrained(experiment: Experiment) -> Untrained:
    """The test of flows that know nothing but the scales of their own images, of the largest N."""
    pair = [experiment.networks(model, 0)["net"] for model in experiment.models.pair(experiment.sizes[-1])]
    z = _given(experiment, pair[0])
    ways = [inversions(one, [other], z)[0] for one, other in (pair, pair[::-1])]
    return Untrained([compare_levels(way) for way in ways], ratio_auc(*(way.log_ratio for way in ways)))


Tests = Mapping[int, Sequence[Sequence[LevelTest]]]


def inversion_figure(levels: Sequence[LevelLatents]) -> Figure:
    """Each level's z' against z, and the densities of z' (the paper's figures 10 and 11)."""
    figure, axes = plt.subplots(2, len(levels), figsize=(2.8 * len(levels), 5.2), squeeze=False)
    for k, (level, (above, below)) in enumerate(zip(levels, axes.T, strict=True)):
        normal = {"color": COLOURS["null"], "alpha": 0.4, "lw": 0, "label": "unit normal"}
        below.fill_between(EDGES, stats.norm.pdf(EDGES), **normal)
        for model, found, density, line in (
            ("A", level.z_a, level.density_a, "-"),
            ("B", level.z_b, level.density_b, "--"),
        ):
            style = {"color": MODELS[model], "label": f"$z'_{model}$"}
            order = 3 if model == "A" else 2  # A's diagonal lies above B's cloud
            above.plot(level.z, found, ".", ms=2, zorder=order, rasterized=True, **style)
            below.plot((EDGES[1:] + EDGES[:-1]) / 2, density, line, **style)
        above.set(xlim=(-5, 5), ylim=(-5, 5), aspect="equal", xlabel="$z$")
        above.set_title(f"level {k}: {level.count} latents")
        below.set(xlabel="$z'$", yticks=[], ylim=(0, 0.62))
    axes[0, 0].set_ylabel("$z'$")
    axes[1, 0].set_ylabel("density")
    axes[0, 0].legend(loc="upper left", markerscale=5, handletextpad=0.1, borderpad=0.1)
    axes[1, -1].legend(fontsize=8)
    return figure


def found_said(test: Sequence[LevelTest]) -> str:
    """How well B finds the latents again that A was given, by level: the title."""
    found = listed(level.correlation.value for level in test)
    return f"B finds A's latents again with a correlation of {found} at levels 0 to {len(test) - 1}"


def distance_said(tests: Mapping[int, PairTests]) -> str:
    """W1 of the deepest level, a mean over the tests, by N: the title."""
    values = gathered({n: found.disjoint for n, found in tests.items()}, "w1_b")[:, -1]
    each = (f"{w1.mean():.3f} at N = {spaced(n)}" for n, w1 in zip(tests, values, strict=True))
    return f"Distance W₁ of the latents that B finds, deepest level: {', '.join(each)}"


def table_1(tests: Mapping[int, PairTests], control: Sequence[LevelTest]) -> Markdown:
    """The paper's Table 1 with our values beside its own, and what is to be known of them."""
    disjoint, same = ({n: getattr(found, kind) for n, found in tests.items()} for kind in KINDS)
    every = [test for some in (*disjoint.values(), *same.values(), [control]) for test in some]
    lost = max(level.lost for test in every for level in test)
    far = [max(level.far for test in disjoint[n] + same[n] for level in test) for n in tests]
    images = next(iter(tests.values())).images
    floors = ", ".join(f"{floor:.0e} (level {level})" for level, floor in PAPER_FLOOR.items())
    shares = ", ".join(f"{100 * share:.1f} %" for share in far)
    before = (
        f"The paper's Table 1: distance $W_1$ of the pooled latents of {images} images. Mean over the tests "
        "(each pair, both directions) and, in brackets, their range, which is over trainings; beside it the "
        "first pair, A to B, with its interval over images. Rows without our value are the paper's other "
        f"sizes. Its {{term}}`floors <floor>`, the $W_1$ of two sets of independent normals, are {floors}, "
        "for a thousand images of 6144, 3072 and 3072 latents. Left out, because a pixel of A's image lies "
        f"beyond twice the range of the data: at most {lost} of {images} images of a test. A latent beyond "
        f"±{FAR:.0f} counts as ±{FAR:.0f}, so that no single image carries the mean, and $W_1$ is a lower "
        f"bound. At {at_sizes(tests)} up to {shares} of the images of a test have such a latent."
    )
    return distance_table(disjoint, same, before)


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


def distance_figure(tests: Mapping[int, PairTests], control: Sequence[LevelTest]) -> Figure:
    """W1(z'_B, z) against N, a panel for each level, beside the null, the control and the floor.

    Args:
        tests: By N.
        control: The test of a flow that was trained on other galaxies, at the largest N.
    """
    sizes, levels = list(tests), len(control)
    figure, axes = plt.subplots(1, levels, figsize=(2.8 * levels, 3.2), sharey=True, squeeze=False)
    for level, axis in enumerate(axes[0]):
        for name, marker, shade in (("same", "s", "null"), ("disjoint", "o", "glow")):
            some, colour = {n: getattr(found, name) for n, found in tests.items()}, COLOURS[shade]
            values = gathered(some, "w1_b")[:, level]
            axis.plot(sizes, values.mean(1), color=colour, label=f"{name} images")
            axis.plot(
                np.repeat(sizes, values.shape[1]), values.ravel(), marker, color=colour, ms=4, alpha=0.6
            )
        axis.plot(sizes[-1], control[level].w1_b.value, "D", color="#595959", label="other galaxies")
        axis.axhline(tests[sizes[-1]].disjoint[0][level].floor, ls=":", color="black", lw=1, label="floor")
        axis.set(xscale="log", yscale="log", xlabel="N", title=f"level {level}")
    axes[0, 0].set_ylabel("$W_1(z'_B, z)$")
    axes[0, 0].legend(fontsize=8)
    return figure


def statistics_table(tests: Mapping[int, PairTests]) -> Markdown:
    """What the pooled distance cannot see, of the first pair, A to B, by level and N."""
    rows = []
    for level in range(len(next(iter(tests.values())).first)):
        for n, found in tests.items():
            test = found.disjoint[0][level]
            correlation = f"{test.correlation} ({test.correlation_null:.2f})"
            channels = f"{test.shared:.2f} ({test.shared_null:.2f})"
            rows.append([level, spaced(n), test.mean, test.sd, test.norm_spread, correlation, channels])
    head = ["level", "N", "mean", "standard deviation", "norm spread", "correlation with z (null ±)"]
    return table(
        [*head, "shared (null)"],
        rows,
        before="Statistics of $z'_B$ for the first pair, A to B, with 95 % intervals over "
        f"{next(iter(tests.values())).images} images:",
    )


def untrained_table(
    tests: Mapping[int, PairTests], control: Sequence[LevelTest], fresh: Untrained
) -> Markdown:
    """W1, shared latents and AUC of untrained flows beside trained ones, means over tests of all levels.

    Args:
        tests: By N, of which the largest counts.
        control: The test of a flow that was trained on other galaxies.
        fresh: The first pair before its training.
    """
    found = tests[N := max(tests)]
    kinds = {
        "untrained, disjoint images": (fresh.tests, fresh.auc),
        "trained, the same images": (found.same, found.auc["same"]),
        "trained, disjoint images": (found.disjoint, found.auc["disjoint"]),
        "trained, A and other galaxies": ([control], None),
    }
    rows = []
    for name, (some, auc) in kinds.items():
        values = np.array([[(level.w1_b.value, level.shared) for level in test] for test in some])
        w1, shared = values.mean(0).T
        rows.append([name, *(f"{x:.3f}" for x in w1), *(f"{x:.2f}" for x in shared), auc or "–"])
    head = [f"{what}, level {k}" for what in ("W₁", "shared") for k in range(len(w1))]
    return table(
        ["", *head, "AUC of the likelihood ratio"],
        rows,
        before=f"$W_1(z'_B, z)$ and *shared* at N = {spaced(N)}, means over the tests of each kind:",
        after="What an untrained pair shares is not learnt. An AUC that flows of the same images reach too "
        "is no effect of the images.",
    )


def pooled_in_short(tests: Mapping[int, PairTests]) -> str:
    """W1 and the norm spread of the deepest level, at the largest N."""
    found = tests[N := max(tests)]
    w1 = mean_span(gathered({N: found.disjoint}, "w1_b")[-1][-1])
    return (
        f"at N = {spaced(N)} and the deepest level the tests have W₁ = {w1}, the norm spread is "
        f"{found.disjoint[0][-1].norm_spread}, where independent normals have 1"
    )


def control_in_short(tests: Mapping[int, PairTests], control: Sequence[LevelTest]) -> str:
    """At how many levels the positive control lies beyond all tests of disjoint images, at the largest N."""
    last = gathered({(N := max(tests)): tests[N].disjoint}, "w1_b")[-1]
    beyond = sum(level.w1_b.value > some.max() for level, some in zip(control, last, strict=True))
    said = "**The positive control** (a flow of other galaxies) lies beyond all tests of disjoint images at "
    if beyond == len(control):
        return f"{said}{beyond} of {beyond} levels."
    return f"{said}{beyond} of {len(control)} levels; elsewhere the test has little power."
