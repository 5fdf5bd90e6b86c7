"""What of a denoiser its twin explains, and what machines of patches: figure, table and sentences."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.uncertainty import Estimate
from galgen.evidence.local import LocalTest, Shares
from galgen.figures.style import COLOURS, MODELS, intervals, spaced
from galgen.figures.tables import table

Tests = Mapping[tuple[int, float], LocalTest]  # by N and noise level

_LEAST = -1.0  # of a share in the figure: twice as far off as the Gaussian, in squares


def local_figure(tests: Tests) -> Figure:
    """The shares over the side of the patch, a row for each N and a column for each noise level."""
    sizes, sigmas = (sorted({key[k] for key in tests}) for k in (0, 1))
    grid = {"figsize": (9.5, 0.9 + 2.3 * len(sizes)), "sharex": True, "sharey": True, "squeeze": False}
    figure, axes = plt.subplots(len(sizes), len(sigmas), **grid)
    for across, N in zip(axes, sizes, strict=True):
        for axis, sigma in zip(across, sigmas, strict=True):
            _panel(axis, tests[N, sigma])
            axis.set_title(f"N = {spaced(N)}, $\\sigma$ = {sigma:g}")
        across[0].set_ylabel("share explained")
    for axis in axes[-1]:
        axis.set_xlabel("side of the patch, pixels")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _panel(axis: Axes, test: LocalTest) -> None:
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


def local_table(tests: Tests) -> Markdown:
    """What explains A at the patch that explains most, and whole images of A's beyond those of B's."""
    rows = []
    for (N, sigma), test in tests.items():
        there = [_text(shares, test.best) for shares in (test.own, test.other, test.machines)]
        whole = _text(test.memory, test.whole)
        rows.append([spaced(N), f"{sigma:g}", test.images, _share(test.twin), _side(test), *there, whole])
    head = ["N", "noise", "images", "by B", "best patch", "by A's images", "by B's images"]
    return table([*head, "A's machine by B's", "A's images beyond B's, whole"], rows)


def leaning(tests: Tests) -> str:
    """Where A leans towards its own images: compared whole, these explain more of it than B's do."""
    told = []
    for N in dict.fromkeys(N for N, _ in tests):
        shares = {sigma: test.memory[test.whole] for (n, sigma), test in tests.items() if n == N}
        seen = [f"{sigma:g} (by {more})" for sigma, more in shares.items() if more and more.low > 0]
        at = f"at noise {', '.join(seen)}" if seen else "not seen at any noise level"
        told.append(f"N = {spaced(N)}, {at}")
    return f"Do A's own images, compared whole, explain more of A than B's do? {'; '.join(told)}."


def explained_by(tests: Tests) -> str:
    """At the largest N, how much of A its twin explains, and the best machine of patches."""
    N = max(N for N, _ in tests)
    of = {sigma: test for (n, sigma), test in tests.items() if n == N and test.twin and test.best}
    if not of:
        return f"At N = {spaced(N)} second moments may leave nothing of model A"
    levels = ", ".join(f"{sigma:g}" for sigma in of)
    twin = ", ".join(f"{test.twin.value:.2f}" for test in of.values())
    own = ", ".join(f"{test.own[test.best].value:.2f} ({_side(test)})" for test in of.values())
    return (
        f"Of what second moments leave of model A, at N = {spaced(N)} and noise {levels}, model B explains "
        f"{twin}, and the best machine of patches of A's images, with no network, {own}"
    )


def _side(test: LocalTest) -> str:
    if test.best is None:
        return "-"
    return "whole images" if test.best == test.whole else f"{test.best} pixels"


def _text(shares: Shares, side: int | None) -> str:
    return _share(None if side is None else shares[side])


def _share(share: Estimate | None) -> str:
    return "-" if share is None else f"{share}"
