"""The flow of a denoiser, inverted by others: figure and sentence."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from galgen.compare.flow import ScaleTest
from galgen.figures.style import COLOURS, MODELS, intervals, spaced

Tests = Mapping[int, Mapping[str, Mapping[str, ScaleTest]]]  # by N, by who inverts, by scale

_TONES = (MODELS["B"], COLOURS["glow"], "black")


def inverted_figure(tests: Tests) -> Figure:
    """Correlation of the latents found with those given, and W1 over its null, by scale; a column an N."""
    size = (min(9.5, 1.2 + 4 * len(tests)), 5)
    figure, axes = plt.subplots(2, len(tests), figsize=size, sharey="row", squeeze=False)
    gray = {"color": COLOURS["null"], "alpha": 0.25, "lw": 0}
    for (above, below), (N, by_who) in zip(axes.T, tests.items(), strict=True):
        for who, colour in zip(by_who, _TONES, strict=True):
            scales = by_who[who]
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
        below.set(yscale="log", xlabel="principal components of the galaxies")
        below.set_xticks(x, [name.split()[1] for name in scales], fontsize=8)
    axes[0, 0].set_ylabel("correlation with $z$")
    axes[1, 0].set_ylabel("$W_1$ / mean of its null")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    echo = axes[1, 0].get_legend_handles_labels()
    k = echo[1].index("A itself: the error of the steps")
    figure.legend(
        [*handles, echo[0][k]], [*labels, echo[1][k]], loc="outside upper center", ncols=3, fontsize=8
    )
    return figure


def found_again(tests: Tests) -> str:
    """How well others find the latents again, at each N, and at which scales B's density is not A's."""
    told = []
    for N, by_who in tests.items():
        ends = []
        for who, scales in by_who.items():
            r = [each.test.correlation.value for each in scales.values()]
            ends.append(f"{min(r):.2f} to {max(r):.2f} ({who})")
        scales = by_who["B"]
        off = [name.split()[1] for name, each in scales.items() if each.apart.low > each.null[1]]
        where = "at no scale" if not off else "at all scales" if len(off) == len(scales) else None
        where = where or f"in components {', '.join(off)}"
        told.append(f"at N = {spaced(N)} {', '.join(ends)}, and B's density is seen not to be A's {where}")
    return f"Over the scales, latents are found with a correlation of: {'; '.join(told)}."
