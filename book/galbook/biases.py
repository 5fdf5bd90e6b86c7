"""Biases in per cent, and the blur that is as easy to find: a figure, a table and two sentences."""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galbook.model_biases import SIDES, ModelBiases
from galbook.sentences import ALPHA
from galgen.compare.scoreboard import Portrait
from galgen.compare.uncertainty import Estimate
from galgen.figures.style import COLOURS, MODELS, legend_above
from galgen.figures.tables import table
from galgen.figures.words import spaced

__all__ = ["bias_table", "biases_in_short", "profile_figure", "told_apart"]

QUANTITIES = {
    "size": "half-light radius",
    "size_at_flux": "the same at fixed light",
    "ellipticity": "ellipticity",
    "flux": "light",
}


def profile_figure(found: ModelBiases) -> Figure:
    """The bias of the radial profile of models A and B, one panel a family, beside null and control.

    Args:
        found: What `galbook.model_biases.model_biases` has found.
    """
    figure, axes = plt.subplots(1, len(found.models), figsize=(7.6, 3.1), sharey=True, squeeze=False)
    null, *_, control = found.galaxies.items()
    for axis, (label, pair) in zip(axes[0], found.models.items(), strict=True):
        _band(axis, null[1].profile, color=COLOURS["null"], alpha=0.3, label="other galaxies (null)")
        _line(axis, control[1].profile, color=COLOURS["null"], ls=":", label=f"galaxies {control[0]}")
        for half, model in pair.items():
            _band(axis, model.biases.profile, color=MODELS[half], alpha=0.2)
            _line(axis, model.biases.profile, color=MODELS[half], label=f"model {half}")
        axis.axhline(0, color="black", lw=0.6)
        axis.set(title=label, xlabel="radius, pixels")
    axes[0, 0].set_ylabel("bias of the mean profile, %")
    legend_above(figure, ncols=4)
    return figure


def bias_table(found: ModelBiases) -> Markdown:
    """Every bias with its interval, bold where that leaves 0 out, and how far off the models are."""
    rows = [
        [f"galaxies, {name}", *(_cell(getattr(b, quantity)) for quantity in QUANTITIES)]
        + ["–"] * (1 + len(SIDES))
        for name, b in found.galaxies.items()
    ]
    for label, pair in found.models.items():
        for half, model in pair.items():
            off = [model.far_off.get(side) for side in SIDES]
            cells = [_cell(getattr(model.biases, quantity)) for quantity in QUANTITIES]
            cells += [f"{off[0].noise:.1f}" if off[0] else ""]
            cells += [str(one.blur) if one else "" for one in off]
            rows.append([f"{label}, {half}", *cells])
    far = [f"noise, {SIDES[0]} pixels", *(f"blur, {side} pixels" for side in SIDES)]
    sizes = ", ".join(f"{label} {spaced(n)}" for label, n in found.sizes.items())
    return table(
        ["set", *(f"{name}, %" for name in QUANTITIES.values()), *(f"as a {name}" for name in far)],
        rows,
        before=f"Bias of the mean in per cent, with its 95 % interval over galaxies and samples, bold where "
        f"that leaves 0 out. {found.count} images a set, {2 * found.count} galaxies; N: {sizes}.",
        after="The last columns are the noise in gray levels of 8 bits, and the blur in pixels of the images "
        "as they are, that a fresh classifier finds in galaxies as easily as it finds the model. For it all "
        "images are averaged to so many pixels a side; ∞ is beyond the largest that was tried.",
    )


def biases_in_short(found: ModelBiases) -> str:
    """Of the farther of A and B of each family, the nearest to galaxies first: biases, and the blur."""
    far = {label: found.farther(label) for label in found.models}
    if None in far.values():
        return f"With {found.count} held-out images a set nothing can be said of how far off the models are."
    order = sorted(far, key=lambda label: far[label].far_off[SIDES[0]].auc.value)
    said = [
        f"**{label}**: light {_cell(far[label].biases.flux)} %, half-light radius "
        f"{_cell(far[label].biases.size)} %, ellipticity {_cell(far[label].biases.ellipticity)} %, as a blur "
        f"of {far[label].far_off[SIDES[0]].blur} pixels"
        for label in order
    ]
    which = f"of A and B the one more easily told at {SIDES[0]} pixels a side, the nearest to galaxies first"
    blur = f"The blur is that of galaxies as easily told, at {SIDES[0]} pixels"
    blur += "; by finer shapes the order may be another"
    told = f"At their largest N, {which}: {'; '.join(said)}. {blur}."
    return told + " (∞: farther off than the largest blur that was tried.)" * ("∞" in told)


def told_apart(found: Portrait, N: int) -> str:
    """Does a fresh classifier tell samples from galaxies where both are averaged to the fewest pixels?"""
    side = min(found.c2st)
    area, told = found.c2st[side].auc, found.c2st[side].p <= ALPHA
    at = f"the samples at N = {spaced(N)} from galaxies at {side} pixels a side"
    verb = "tells" if told else "does not tell"
    return f"A fresh classifier {verb} {at}: its area under the curve is {area}, where 0.50 is chance."


def _cell(bias: Estimate | None) -> str:
    if bias is None:
        return "–"
    return f"**{bias:+.1f}**" if bias.low * bias.high > 0 else f"{bias:+.1f}"


def _line(axis: Axes, profile: Sequence[Estimate | None], **style: object) -> None:
    axis.plot(*np.array([(x, one.value) for x, one in _known(profile)]).reshape(-1, 2).T, lw=1.4, **style)


def _band(axis: Axes, profile: Sequence[Estimate | None], **style: object) -> None:
    ends = np.array([(x, one.low, one.high) for x, one in _known(profile)]).reshape(-1, 3)
    axis.fill_between(*ends.T, lw=0, **style)


def _known(profile: Sequence[Estimate | None]) -> Iterable[tuple[float, Estimate]]:
    """The radii, in pixels, with a bias."""
    return ((k + 0.5, one) for k, one in enumerate(profile) if one)
