"""Chapter 08: morphology in cells of tables, and over N."""

from collections import Counter
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure

from galbook.corner import LABELS
from galbook.sentences import ALPHA
from galgen.compare.distances import Distances
from galgen.compare.morphology import COEFFICIENTS
from galgen.compare.uncertainty import Outcome
from galgen.figures.style import COLOURS, MODELS, legend_above
from galgen.figures.tables import table
from galgen.figures.words import spaced

__all__ = ["distance_cells", "energy_figure", "first_reasons", "kinds_table"]

_LINES = ("-", "--", (0, (8, 3)), ":", "-.")


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


def _beside(value: float, null: float, extreme: bool) -> str:
    """A value, bold if it is extreme, and in brackets what its null stays below."""
    return f"{f'**{value:.3f}**' if extreme else f'{value:.3f}'} ({null:.3f})"


def energy_figure(
    known: Mapping[str, Mapping[str, Distances | None]],
    models: Mapping[str, Mapping[str, Mapping[int, Distances | None]]],
    copies: Mapping[str, Mapping[int, Distances | None]],
) -> Figure:
    """Energy distances over N, one panel for each family (by label); what could not be measured is left out.

    Args:
        known: Of at most five sets that are known, by name; the first is the null, and shaded is what 95 % of
            shuffled labels stay below.
        models: Of A and of B, by N.
        copies: Of copies of the training images, by N.
    """
    figure, axes = plt.subplots(1, len(models), figsize=(7.6, 3.4), sharey=True, squeeze=False)
    for axis, (label, of_family) in zip(axes[0], models.items(), strict=True):
        for k, (kind, found) in enumerate(known[label].items()):
            if found:
                style = {"ls": _LINES[k], "color": COLOURS["null"], "lw": 1.2, "label": kind}
                axis.axhline(found.energy.value, **style)
            if found and k == 0:
                axis.axhspan(0, found.energy.high, color=COLOURS["null"], alpha=0.15, lw=0)
        series = [
            (of_family["A"], {"color": MODELS["A"], "marker": "o", "lw": 0.8, "label": "model A"}),
            (of_family["B"], {"color": MODELS["B"], "marker": "s", "lw": 0.8, "label": "model B"}),
            (copies[label], {"color": "black", "marker": "x", "ls": "none", "label": "copies"}),
        ]
        for found, style in series:
            points = [(n, distance.energy.value) for n, distance in found.items() if distance]
            if points:
                axis.plot(*zip(*points, strict=True), **style)
        sizes = list(of_family["A"])
        axis.set(title=label, xscale="log", yscale="log", xlabel="N", xlim=(min(sizes) / 2, 2 * max(sizes)))
        axis.set_xticks(sizes, [spaced(n) for n in sizes], fontsize=8, rotation=45 if len(sizes) > 3 else 0)
        axis.xaxis.minorticks_off()
    axes[0, 0].set_ylabel("energy distance E")
    legend_above(figure, ncols=4)
    return figure


def kinds_table(found: Mapping[str, Mapping[str, Outcome]]) -> Markdown:
    """In which coefficients the images of one latent are alike, beyond shuffled latents; a row for each pair.

    Of several coefficients some are beyond 95 % of their nulls by chance: Bonferroni's bound counts them.

    Args:
        found: By name of the pair, `galgen.compare.agreement.shared_latents`; empty where none was measured.
    """
    rows = []
    for name, of in found.items():
        alike = [LABELS[k] for k, one in of.items() if len(of) * one.p <= ALPHA and one.value > 0]
        middle = f"{np.median([one.value for one in of.values()]):+.2f}" if of else "–"
        rows.append([name, (", ".join(alike) or "none") if of else "not measurable", middle])
    return table(["images of one latent", f"alike, p at most {ALPHA} over all", "median correlation"], rows)
