"""Chapter 14, why they agree: directions of samples, the flow of a denoiser inverted, machines of patches."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galbook.sentences import listed, span
from galbook.why.directions import Curve, DirectionsTest
from galbook.why.flow import ScaleTest
from galbook.why.local import LocalTest, Shares
from galgen.compare.uncertainty import Estimate
from galgen.figures.style import COLOURS, MODELS, intervals, legend_above
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced

__all__ = ["certified", "directions_figure", "directions_said", "explained_by", "found_again",
    "inverted_figure", "inverted_said", "local_figure", "local_said", "local_table"]  # fmt: skip

ByDirections = Mapping[str, Mapping[int, DirectionsTest]]  # by label of the family and N
Inverted = Mapping[int, Mapping[str, Mapping[str, ScaleTest]]]  # by N, by who inverts, by scale
ByPatches = Mapping[tuple[int, float], LocalTest]  # by N and noise level

SHOWN = (1, 3, 10, 30)  # leading directions
_SAID = 3
_TONES = {"B": MODELS["B"], "other galaxies": "#595959", "Gaussian of B's images": "black"}
_LEAST = -1.0  # of a share in the figure: twice as far off as the Gaussian, in squares


def directions_figure(tests: ByDirections, ceiling: Curve, dimensions: int) -> Figure:
    """Overlap of so many leading directions, a row for each family and a column for each N."""
    columns = max(map(len, tests.values()))
    size = (min(9.5, 1 + 3 * columns), 0.9 + 2.5 * len(tests))
    figure, axes = plt.subplots(len(tests), columns, figsize=size, sharey=True, squeeze=False)
    for across, (label, by_N) in zip(axes, tests.items(), strict=True):
        for axis in across[len(by_N) :]:
            axis.set_axis_off()
        for axis, (N, test) in zip(across, by_N.items(), strict=False):
            _directions_panel(axis, test, ceiling, dimensions)
            agree = f"agreement {test.agreement[0].value:.2f}"
            axis.set_title(f"{label}, N = {spaced(N)}\n{agree}", fontsize=9)
            axis.set_xlabel("leading directions")
        across[0].set_ylabel("overlap")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _directions_panel(axis: Axes, test: DirectionsTest, ceiling: Curve, dimensions: int) -> None:
    """Of the first pair with intervals, of others a circle each."""
    shown = [k for k in SHOWN if k <= len(ceiling)]
    lines = (
        ("held-out galaxies and others: the ceiling", [ceiling], {"color": COLOURS["null"]}),
        ("A's samples and B's", test.pairs, {"color": MODELS["B"]}),
        ("a model's samples and held-out galaxies", test.galaxies, {"color": MODELS["A"]}),
        ("the Gaussian of A's images and held-out galaxies", [test.gaussian], {"color": "black"}),
    )
    for shift, (label, (first, *others), style) in enumerate(lines):
        x = np.arange(len(shown)) + 0.14 * (shift - 1.5)
        line = {"ls": "--", "lw": 0.8, "ms": 4, "label": label}
        intervals(axis, x, [first[k - 1] for k in shown], **line | style)
        for other in others:
            axis.plot(x, [other[k - 1].value for k in shown], "o", ms=4, mfc="none", **style)
    chance = [k / dimensions for k in shown]
    axis.plot(np.arange(len(shown)), chance, "_", color="black", label="random directions")
    axis.set_ylim(0, 1.03)
    axis.set_xticks(range(len(shown)), map(str, shown))


def directions_said(tests: ByDirections, ceiling: Curve) -> str:
    """The overlap with the galaxies' first directions, of each family at its largest N: the title."""
    k = min(_SAID, len(ceiling))
    each = (f"{label} {by_N[max(by_N)].galaxies[0][k - 1].value:.2f}" for label, by_N in tests.items())
    said = f"Overlap with the first {k} directions of galaxies: {', '.join(each)}"
    return f"{said}, other galaxies {ceiling[k - 1].value:.2f}"


def certified(tests: ByDirections, ceiling: Curve) -> str:
    """Does agreement come with the galaxies' directions? Of each family at its largest N."""
    k, told = min(_SAID, len(ceiling)), []
    for label, by_N in tests.items():
        test = by_N[N := max(by_N)]
        found = (test.agreement[0], test.galaxies[0][k - 1], test.gaussian[k - 1])
        agree, model, own = map(str, found)
        told.append(f"{label} at N = {spaced(N)} {agree} and {model} (its Gaussian {own})")
    first = f"Agreement, and the overlap with the first {k} directions of galaxies"
    return f"{first}, of which two sets of galaxies share {ceiling[k - 1]}: {', '.join(told)}"


def inverted_figure(tests: Inverted) -> Figure:
    """Correlation of the latents found with those given, and W1 over its null, by scale; a column an N."""
    size = (min(9.5, 1.2 + 4 * len(tests)), 5)
    figure, axes = plt.subplots(2, len(tests), figsize=size, sharey="row", squeeze=False)
    gray = {"color": COLOURS["null"], "alpha": 0.25, "lw": 0}
    for (above, below), (N, by_who) in zip(axes.T, tests.items(), strict=True):
        for who, scales in by_who.items():
            colour = _TONES[who]
            x, found = np.arange(len(scales)), list(scales.values())
            intervals(above, x, [each.test.correlation for each in found], color=colour, label=who)
            intervals(below, x, [each.apart for each in found], color=colour, label=who)
            if who == "B":
                chance = np.array([each.test.correlation_null for each in found])
                above.fill_between(x, -chance, chance, label="null", **gray)
                below.fill_between(x, *np.transpose([each.null for each in found]), **gray)
                echo = [each.echo for each in found]
                below.plot(x, echo, ":", color=MODELS["A"], label="A itself: the error of the steps")
        above.set(title=f"N = {spaced(N)}", xticks=[])
        below.axhline(1, ls="--", lw=0.8, color=COLOURS["null"])
        below.set(yscale="log")
        shown = [each.components.replace("-", "–") for each in found]
        below.set_xticks(x, shown, fontsize=8, rotation=90 if len(tests) > 2 else 0)
    axes[0, 0].set_ylabel("correlation with $z$")
    axes[1, 0].set_ylabel("$W_1$ / mean of its null")
    figure.supxlabel("principal components of the galaxies", fontsize=10)
    legend_above(figure, ncols=3)
    return figure


def inverted_said(tests: Inverted) -> str:
    """How well B finds A's latents again at the largest N: the title."""
    N = max(tests)
    found = [each.test.correlation.value for each in tests[N]["B"].values()]
    return f"At N = {spaced(N)} B finds A's latents with a correlation of {span(found)} over the scales"


def found_again(tests: Inverted) -> str:
    """How well each finds A's latents again at each N, over the scales, in words."""
    told = []
    for N, by_who in tests.items():
        values = {who: [x.test.correlation.value for x in scales.values()] for who, scales in by_who.items()}
        told.append(f"at N = {spaced(N)} " + ", ".join(f"{who} {span(c)}" for who, c in values.items()))
    said = f"Correlation with $z$, over the scales: {'; '.join(told)}."
    for N, by_who in tests.items():
        if len(by_who) < 2:  # no control inverts A's images
            continue
        (_, ours), (other, theirs), *_ = by_who.items()
        pairs = [(ours[k].test.correlation, theirs[k].test.correlation) for k in ours]
        clear = sum(one.low > two.high for one, two in pairs)
        beyond = sum(one.apart.low > one.null[1] for one in ours.values())
        said += f" At N = {spaced(N)} B is clear of {other} at {clear} of {len(pairs)} scales; "
        said += f"its $W_1$ exceeds the null, against one density, at {beyond}."
    return said


def local_figure(tests: ByPatches) -> Figure:
    """The shares over the side of the patch, a row for each N and a column for each noise level."""
    sizes, sigmas = (sorted({key[k] for key in tests}) for k in (0, 1))
    grid = {"figsize": (9.5, 0.9 + 2.3 * len(sizes)), "sharex": True, "sharey": True, "squeeze": False}
    figure, axes = plt.subplots(len(sizes), len(sigmas), **grid)
    for across, N in zip(axes, sizes, strict=True):
        for axis, sigma in zip(across, sigmas, strict=True):
            _patches_panel(axis, tests[N, sigma])
            axis.set_title(f"N = {spaced(N)}, $\\sigma$ = {sigma:g}")
        across[0].set_ylabel("share explained")
    for axis in axes[-1]:
        axis.set_xlabel("side of the patch, pixels")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _patches_panel(axis: Axes, test: LocalTest) -> None:
    sides = list(test.own)
    if test.twin:
        axis.axhspan(test.twin.low, test.twin.high, color=MODELS["B"], alpha=0.25, lw=0)
        axis.axhline(test.twin.value, color=MODELS["B"], label="network A, by network B")
    lines = (
        ("network A, by the machine of A's images", test.own, {"color": MODELS["A"]}),
        ("network A, by the machine of B's images", test.other, {"color": MODELS["B"], "ls": ":"}),
        ("machine of A's images, by that of B's", test.machines, {"color": COLOURS["null"], "ls": "--"}),
    )
    for shift, (label, shares, style) in enumerate(lines):
        found = [(k, shares[side]) for k, side in enumerate(sides) if shares[side]]
        if found:
            places, values = zip(*found, strict=True)
            x = [place + 0.1 * (shift - 1) for place in places]
            intervals(axis, x, values, label=label, lw=1.2, ms=3, elinewidth=0.8, **{"ls": "-"} | style)
    axis.axhline(0, color="black", lw=0.6)
    axis.set_xticks(range(len(sides)), [*map(str, sides[:-1]), "all"])
    axis.set_ylim(_LEAST, 1.05)


def local_table(tests: ByPatches) -> Markdown:
    """What explains A at the patch that explains most, and whole images of A's beyond those of B's."""
    rows = []
    for (N, sigma), test in tests.items():
        there = [_text(shares, test.best) for shares in (test.own, test.other, test.machines)]
        whole = _text(test.memory, test.whole)
        rows.append([spaced(N), f"{sigma:g}", test.images, _share(test.twin), _side(test), *there, whole])
    head = ["N", "noise", "images", "by B", "best patch", "by A's images", "by B's images"]
    return table([*head, "A's machine by B's", "A's images beyond B's, whole"], rows)


def _last(tests: ByPatches) -> tuple[int, dict[float, LocalTest]]:
    """The largest N, and its tests that could be asked, by noise level."""
    N = max(N for N, _ in tests)
    return N, {sigma: test for (n, sigma), test in tests.items() if n == N and test.twin and test.best}


def local_said(tests: ByPatches) -> str:
    """The same as `explained_by`, without intervals: the title."""
    N, of = _last(tests)
    if not of:
        return "What explains a denoiser beyond its Gaussian"
    twin = listed(test.twin.value for test in of.values())
    own = listed(test.own[test.best].value for test in of.values())
    at = ", ".join(f"{sigma:g}" for sigma in of)
    return f"Of A at N = {spaced(N)} B explains {twin} (noise {at}), the best machine of patches {own}"


def explained_by(tests: ByPatches) -> str:
    """At the largest N, how much of A its twin explains, and the best machine of patches."""
    N, of = _last(tests)
    if not of:
        return f"At N = {spaced(N)} second moments may leave nothing of model A"
    levels = ", ".join(f"{sigma:g}" for sigma in of)
    twin = ", ".join(str(test.twin) for test in of.values())
    own = ", ".join(f"{test.own[test.best]} ({_side(test)})" for test in of.values())
    return (
        f"Of what A's Gaussian leaves of model A, at N = {spaced(N)} and noise {levels}, model B explains "
        f"{twin}. The machine of A's images, with no network, explains {own}, of patches that explain most"
    )


def _side(test: LocalTest) -> str:
    if test.best is None:
        return "-"
    return "whole images" if test.best == test.whole else f"{test.best} pixels"


def _text(shares: Shares, side: int | None) -> str:
    return _share(None if side is None else shares[side])


def _share(share: Estimate | None) -> str:
    return "-" if share is None else f"{share}"
