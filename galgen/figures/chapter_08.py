"""Chapter 08: morphology in cells of tables, over N, and on a walk through the plane of Gini and M20."""

from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from galgen.compare.agreement import Shared
from galgen.compare.distances import Distances, with_spread
from galgen.compare.morphology import COEFFICIENTS
from galgen.figures.morphology import LABELS, RANGES, outside
from galgen.figures.slider import slider_figure
from galgen.figures.style import COLOURS, MODELS, Shown, pixels
from galgen.words import spaced

__all__ = ["beyond_axes", "correlation_cells", "distance_cells", "first_reasons", "plane_walk",
    "plot_correlations", "plot_energy", "size_panels"]  # fmt: skip


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


def beyond_axes(sets: Mapping[str, Table]) -> str:
    """How much of each set (valid rows by name) lies beyond the axes of the paper's corner plots."""
    texts = []
    for name, rows in sets.items():
        found = [f"{100 * share:.0f} % in {LABELS[k]}" for k, share in outside(rows).items() if share > 0.005]
        if len(rows):
            texts.append(f"of the {name} {', '.join(found) or 'hardly any'}")
        else:
            texts.append(f"of the {name} none is valid")
    return f"Beyond the axes lie: {'; '.join(texts)}."


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


def plane_walk(reference: Table, pools: Mapping[str, tuple[Table, np.ndarray]]) -> Shown | None:
    """A walk through the plane of Gini and M20, in equal steps of rank in Gini.

    Args:
        reference: Valid rows of galaxies; their robust spread is the unit of a distance.
        pools: By name, valid rows and their images (n, 1, H, W): the six nearest of each are shown.

    Returns:
        The figure, or None if there are too few galaxies or they have no spread.
    """
    plane = ("gini", "m20")
    if len(reference) < 5 or with_spread(reference, plane) != list(plane):
        return None
    spread = [stats.median_abs_deviation(reference[k], scale="normal") for k in plane]
    pools = {name: pool for name, pool in pools.items() if len(pool[0])}
    order = np.argsort(reference["gini"])
    places = [
        tuple(float(np.median(reference[k][rows])) for k in plane)
        for rows in np.array_split(order, min(15, len(order)))
    ]
    frames, captions = [], []
    for place in places:
        far, nearest = {}, {}
        for name, (rows, images) in pools.items():
            distance = np.hypot(
                *((rows[k] - x) / unit for k, x, unit in zip(plane, place, spread, strict=True))
            )
            closest = np.argsort(distance)[:6]
            far[name], nearest[name] = np.median(distance[closest]), images[closest, 0]
        frames.append(_plane_frame(reference, place, nearest))
        captions.append(
            f"Gini {place[0]:.2f}, M20 {place[1]:.2f}. Median distance of the six: "
            + ", ".join(f"{name} {value:.1f}" for name, value in far.items())
        )
    return slider_figure(
        np.array(frames),
        sliders={"Gini": [f"{x:.2f}" for x, _ in places]},
        captions=captions,
        title="A walk through the plane of Gini and M20",
        alt="Left the plane of Gini and M20, the place marked; right the galaxies and samples nearest to it.",
        start=(len(places) // 2,),
        width=720,
    )


def _plane_frame(
    reference: Table, place: tuple[float, float], nearest: Mapping[str, np.ndarray]
) -> np.ndarray:
    figure = plt.figure(figsize=(7.4, 3.1))
    grid = figure.add_gridspec(len(nearest), 2, width_ratios=[1, 1.5])
    plane = figure.add_subplot(grid[:, 0])
    plane.plot(reference["gini"], reference["m20"], ".", ms=2, color=COLOURS["null"])
    plane.plot(*place, "o", ms=14, mfc="none", mec=COLOURS["validation"], mew=2)
    plane.set(xlabel="Gini", ylabel=LABELS["m20"], xlim=RANGES["gini"], ylim=RANGES["m20"])
    for k, (name, stamps) in enumerate(nearest.items()):
        axis = figure.add_subplot(grid[k, 1])
        axis.imshow(np.hstack(list(stamps)), vmin=0, vmax=1)
        axis.set_axis_off()
        axis.text(-0.01, 0.5, name, ha="right", va="center", fontsize=8, transform=axis.transAxes)
    return pixels(figure, 100)
