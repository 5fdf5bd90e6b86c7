"""When memorization sets in, over N and images shown: the surface, the onsets upon it, and what they say."""

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure

from galgen.compare.onset import Onsets
from galgen.figures.plots import intervals
from galgen.figures.style import COLOURS, shades, spaced
from galgen.figures.tables import table


def onset_figure(found: Onsets) -> Figure:
    """P(train closer) over N and images shown as a surface with the onsets upon it; and over passes.

    On the right the level that an onset exceeds is dotted, for each N.
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
            said = [f"{onset:,.0f}".replace(",", "\N{NO-BREAK SPACE}"), f"{onset.value / n:.0f}"]
        elif curve[min(curve)].value >= found.levels[n]:
            said = ["before the first milestone", ""]
        level = f"{found.levels[n]:.2f}"
        rows.append([spaced(n), *said, level, f"{spaced(last)} ({last / n:.0f})", curve[last]])
    trained = ["trained for (passes)", "P(train closer) at the end"]
    return table(
        ["N", "onset, images shown", "onset, passes", "P(train closer) of Gaussians", *trained], rows
    )


def onset_answer(found: Onsets) -> str:
    """The answer in one sentence, or what is missing for one."""
    reached = [n for n, onset in found.at.items() if onset]
    missing = [n for n in found.at if n not in reached]
    late = f"N = {', '.join(map(spaced, missing))} {'was' if len(missing) == 1 else 'were'} not trained long"
    late = f" ({late} enough to show an onset.)" if missing else ""
    if not found.power:
        few = f"only N = {spaced(reached[0])} has an onset" if reached else "no model here shows an onset"
        return f"**How the onset grows with N cannot be said:** {few}, and a power law takes two.{late}"
    power = found.power
    grows = "in proportion to N"
    if power.low > 1:
        grows = "faster than N"
    elif power.high < 1:
        grows = "more slowly than N" if power.low > 0 else "not measurably with N"
    elif power.low <= 0:
        return f"**The onset is not known well enough:** it goes as N to the power of {power}.{late}"
    of = f"of {len(reached)} sizes, {spaced(reached[0])} to {spaced(reached[-1])}"
    return (
        f"**At one learning rate, memorization sets in after a number of images shown that grows {grows}:** "
        f"as N to the power of {power}, by a fit to the onsets {of}; 1 is in proportion.{late}"
    )
