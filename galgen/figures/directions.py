"""Along which directions samples vary, beside agreement: figure, table and sentence."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.evidence.directions import Curve, DirectionsTest
from galgen.figures.style import COLOURS, MODELS, intervals, spaced
from galgen.figures.tables import table

Tests = Mapping[str, Mapping[int, DirectionsTest]]  # by label of the family and N

SHOWN = (1, 3, 10, 30)  # leading directions
_SAID = 3


def directions_figure(tests: Tests, ceiling: Curve, dimensions: int) -> Figure:
    """Overlap of so many leading directions, a row for each family and a column for each N."""
    columns = max(map(len, tests.values()))
    size = (min(9.5, 1 + 3 * columns), 0.9 + 2.5 * len(tests))
    figure, axes = plt.subplots(len(tests), columns, figsize=size, sharey=True, squeeze=False)
    for across, (label, by_N) in zip(axes, tests.items(), strict=True):
        for axis in across[len(by_N) :]:
            axis.set_axis_off()
        for axis, (N, test) in zip(across, by_N.items(), strict=False):
            _panel(axis, test, ceiling, dimensions)
            agree = f"agreement {test.agreement[0].value:.2f}"
            axis.set_title(f"{label}, N = {spaced(N)}\n{agree}", fontsize=9)
            axis.set_xlabel("leading directions")
        across[0].set_ylabel("overlap")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def _panel(axis: Axes, test: DirectionsTest, ceiling: Curve, dimensions: int) -> None:
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


def directions_table(tests: Tests, ceiling: Curve) -> Markdown:
    """Agreement, and the overlaps of the first few directions, a row for each family and N."""
    k = min(_SAID, len(ceiling))
    rows = []
    for label, by_N in tests.items():
        for N, test in by_N.items():
            pair, model, gaussian = (of[k - 1] for of in (test.pairs[0], test.galaxies[0], test.gaussian))
            found = [curve[k - 1].value for curve in test.galaxies]
            spread = f"{min(found):.2f} to {max(found):.2f} ({len(found)})"
            rows.append([label, spaced(N), test.agreement[0], pair, model, spread, gaussian])
    head = [
        "denoiser",
        "N",
        "agreement",
        "A and B",
        "A and galaxies",
        "all trainings",
        "its Gaussian and galaxies",
    ]
    said = f"Overlap of the first {k} directions; of two sets of held-out galaxies {ceiling[k - 1]}:"
    return table(head, rows, before=said)


def certified(tests: Tests, ceiling: Curve) -> str:
    """Does agreement come with the galaxies' directions? Of each family at its largest N."""
    k = min(_SAID, len(ceiling))
    best, lost, told = ceiling[k - 1], False, []
    for label, by_N in tests.items():
        test = by_N[N := max(by_N)]
        agree, model = test.agreement[0].value, test.galaxies[0][k - 1]
        text = f"{label} at N = {spaced(N)}, which agrees at {agree:.2f}, has {model.value:.2f} of them"
        if model.high < best.low:
            lost, own = True, test.gaussian[k - 1]
            text += f" (its Gaussian, by the same sampler, {own.value:.2f})"
        told.append(text)
    first = (
        "Agreement does not certify a distribution" if lost else "Here agreement comes with the directions"
    )
    shared = f"of the first {k} directions of galaxies two sets of galaxies share {best.value:.2f}"
    return f"{first}: {shared}, and {', '.join(told)}"
