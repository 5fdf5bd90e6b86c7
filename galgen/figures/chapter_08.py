"""Chapter 08: morphology in cells of tables, and over N."""

from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.agreement import Shared
from galgen.compare.distances import Distances
from galgen.compare.morphology import COEFFICIENTS
from galgen.figures.morphology import LABELS
from galgen.figures.style import COLOURS, MODELS
from galgen.words import spaced

__all__ = ["correlation_cells", "distance_cells", "first_reasons", "plot_correlations", "plot_energy",
    "size_panels"]  # fmt: skip


def first_reasons(said: Mapping[str, int]) -> str:
    """The three most frequent reasons of `galgen.compare.morphology.report`, the first sentence of each."""
    first = Counter()
    for reason, n in said.items():
        first[reason.split("; ")[0].split(". ")[0].rstrip(".")] += n
    return "; ".join(f"{n} x {reason}" for reason, n in first.most_common(3))


def distance_cells(found: Distances | None, valid: int | str = "") -> list:
    """Valid rows, W1 of each coefficient, energy distance and p; of no distances the number of valid rows."""
    if found is None:
        return [valid, *[""] * len(COEFFICIENTS), "not measurable", ""]
    w1 = (found.w1.get(name) for name in COEFFICIENTS)
    cells = ["" if d is None else _beside(d.value, d.high, d.value > d.high) for d in w1]
    energy = found.energy
    return [found.n, *cells, _beside(energy.value, energy.high, False), f"{energy.p:.3f}"]


def correlation_cells(shared: Mapping[str, Shared]) -> list:
    """Latents, and the correlation of each coefficient."""
    if not shared:
        return ["too few valid", *[""] * len(COEFFICIENTS)]
    found = (shared.get(name) for name in COEFFICIENTS)
    cells = ["" if s is None else _beside(s.value, s.high, s.p <= 0.05, "+.2f") for s in found]
    return [next(iter(shared.values())).n, *cells]


def _beside(value: float, null: float, extreme: bool, form: str = ".3f") -> str:
    """A value, bold if it is extreme, and in brackets what its null stays below."""
    text = f"**{value:{form}}**" if extreme else f"{value:{form}}"
    return f"{text} ({null:{form.strip('+')}})"


def size_panels(sizes: Mapping[str, Sequence[int]], *, right: float = 2) -> tuple[Figure, list[Axes]]:
    """One panel for each family (by label), with its N along a logarithmic axis.

    Args:
        sizes: All N of each.
        right: The axis ends at so many times the largest N.
    """
    figure, axes = plt.subplots(1, len(sizes), figsize=(7.6, 3.4), sharey=True, squeeze=False)
    for axis, (label, ns) in zip(axes[0], sizes.items(), strict=True):
        axis.set(title=label, xscale="log", xlabel="N", xlim=(min(ns) / 2, right * max(ns)))
        axis.set_xticks(ns, [spaced(n) for n in ns], fontsize=8)
        axis.xaxis.minorticks_off()
    return figure, list(axes[0])


def plot_energy(
    axis: Axes,
    known: Mapping[str, Distances | None],
    models: Mapping[str, Mapping[int, Distances | None]],
    copies: Mapping[int, Distances | None],
) -> None:
    """Energy distances over N; what could not be measured is left out.

    Args:
        axis: Where to draw.
        known: Of at most four sets that are known, by name; the first is the null, and shaded is what 95 % of
            shuffled labels stay below.
        models: Of A and of B, by N.
        copies: Of copies of the training images.
    """
    for k, (kind, found) in enumerate(known.items()):
        if found:
            style = ("-", "--", ":", "-.")[k]
            axis.axhline(found.energy.value, ls=style, color=COLOURS["null"], lw=1.2, label=kind)
        if found and k == 0:
            axis.axhspan(0, found.energy.high, color=COLOURS["null"], alpha=0.15, lw=0)
    series = [
        (models["A"], {"color": MODELS["A"], "marker": "o", "lw": 0.8, "label": "model A"}),
        (models["B"], {"color": MODELS["B"], "marker": "s", "lw": 0.8, "label": "model B"}),
        (copies, {"color": "black", "marker": "x", "ls": "none", "label": "copies"}),
    ]
    for found, style in series:
        points = [(n, distance.energy.value) for n, distance in found.items() if distance]
        if points:
            axis.plot(*zip(*points, strict=True), **style)
    axis.set_yscale("log")


def plot_correlations(
    axis: Axes, shared: Mapping[int, Mapping[str, Shared]], strangers: Mapping[str, Shared]
) -> None:
    """Correlations over shared latents by N, and of A and a model of other galaxies at the right edge."""
    tones = dict.fromkeys(plt.rcParams["axes.prop_cycle"].by_key()["color"])  # each once
    for name, tone in zip(COEFFICIENTS, tones, strict=False):
        points = [(n, found[name].value) for n, found in shared.items() if name in found]
        if points:
            axis.plot(*zip(*points, strict=True), "o-", ms=4, color=tone, label=LABELS[name])
        if name in strangers:
            axis.plot(2.2 * max(shared), strangers[name].value, "x", color=tone)
    null = max((s.high for found in shared.values() for s in found.values()), default=0)
    axis.axhspan(-null, null, color=COLOURS["null"], alpha=0.2, lw=0)
    axis.axhline(0, color="black", lw=0.6)
    axis.set_ylim(-1.05, 1.05)
