"""How far off models are, as an astronomer would say it: biases in per cent, and a blur of so many pixels.

Of each family, models A and B of its largest N are held against held-out galaxies of as many gray levels
(`galgen.compare.biases`). So are other held-out galaxies: as they are, which is the null, and blurred, which
is the control. And each model is *as far off as* the blur, or the noise, that a fresh classifier finds as
easily (`galgen.compare.yardstick.Ladder`), where images are averaged down to 8 pixels a side, and to 16.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from galbook.judgement import LIMITS
from galbook.kept import once
from galgen.compare.biases import FEWEST, Biases, biases, photometry
from galgen.compare.controls import blurred, rounded
from galgen.compare.scoreboard import Portrait
from galgen.compare.uncertainty import Estimate
from galgen.compare.yardstick import FAULTS, Ladder, area, fault_ladder
from galgen.data.manifest import load_manifest
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS, MODELS, legend_above
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced

__all__ = [
    "BLURS",
    "SIDES",
    "Beside",
    "FarOff",
    "ModelBiases",
    "as_far_off",
    "bias_table",
    "biases_in_short",
    "far_off_table",
    "held_out",
    "kept_far_off",
    "model_biases",
    "nearest_in_short",
    "not_fluxes",
    "profile_figure",
    "profile_said",
    "told_apart",
    "yardsticks",
]

# The modules that the answers depend on, beside this one.
FILES = (
    "galgen.compare.agreement",
    "galgen.compare.biases",
    "galgen.compare.controls",
    "galgen.compare.distances",
    "galgen.compare.gaussian",
    "galgen.compare.memorization",
    "galgen.compare.morphology",
    "galgen.compare.scales",
    "galgen.compare.scoreboard",
    "galgen.compare.similarity",
    "galgen.compare.twosample",
    "galgen.compare.uncertainty",
    "galgen.compare.yardstick",
)

SIDES = (8, 16)  # pixels; at 32 the area of every model is near 1, where a blur of .5 is as one of 2

BLURS = {"blurred by half a pixel": 0.5, "blurred by a pixel": 1.0}


@dataclass(frozen=True)
class FarOff:
    """How far off a set is.

    Attributes:
        auc: Area under the curve of the classifier, 1/2 where it cannot tell the set from galaxies.
        blur: Pixels of blur at which galaxies are told as easily; infinite beyond the largest tried.
        noise: Gray levels of 8 bits of noise at which they are.
    """

    auc: Estimate
    blur: Estimate
    noise: Estimate


@dataclass(frozen=True)
class Yardstick:
    """Galaxies with growing faults, held against others, at one number of pixels and of gray levels.

    Attributes:
        reference: Held-out galaxies, (2 n, 1, H, H), of the gray levels asked for.
        side: Pixels that all are averaged down to.
        bits: Of the gray levels.
        ladders: How each fault is found.
    """

    reference: np.ndarray
    side: int
    bits: int
    ladders: dict[str, Ladder]

    def far_off(self, images: np.ndarray | Tensor) -> FarOff | None:
        """How far off images (n, 1, H, H) in [0, 1] are; None if too few are finite for the classifier."""
        images = rounded(images, self.bits)
        images = images[np.isfinite(images).all((1, 2, 3))]
        if len(images) < FEWEST:
            return None
        found = area(images, self.reference, side=self.side)
        return FarOff(found, *(self.ladders[fault].amount(found) for fault in ("blur", "noise")))


@dataclass(frozen=True)
class Beside:
    """A model beside galaxies.

    Attributes:
        biases: In per cent.
        far_off: By side in pixels; empty where too few images are held out.
    """

    biases: Biases
    far_off: dict[int, FarOff]


@dataclass(frozen=True)
class ModelBiases:
    """How far off the models of a run are.

    Attributes:
        count: Images of each set, at most; the reference has twice as many.
        galaxies: Biases of other held-out galaxies, by what was done to them.
        models: By the label of the family, A and B of its largest N.
        sizes: These N, by the label of the family.
    """

    count: int
    galaxies: dict[str, Biases]
    models: dict[str, dict[str, Beside]]
    sizes: dict[str, int]

    def farther(self, label: str) -> Beside | None:
        """Of A and B of a family the one that is farther off, of few pixels; None if one is not measured."""
        pair = self.models[label].values()
        if any(SIDES[0] not in model.far_off for model in pair):
            return None
        return max(pair, key=lambda model: model.far_off[SIDES[0]].auc.value)


def held_out(experiments: Sequence[Experiment]) -> tuple[np.ndarray, np.ndarray]:
    """The 2 n galaxies that sets of n samples are compared with, and n others; uint8, seen by no model."""
    first, largest = experiments[0], max(experiment.sizes[-1] for experiment in experiments)
    rows, count = first.images.split(largest).validation, first.images.compared
    images = first.images.dataset.images[rows[: 3 * count]]
    return images[: 2 * count], images[2 * count :]


def yardsticks(experiments: Iterable[Experiment]) -> dict[tuple[int, int], Yardstick]:
    """The yardsticks of a run, by bits of the gray levels and side; none if too few images are held out."""
    experiments = list(experiments)
    known, unseen = held_out(experiments)
    unseen, found = rounded(unseen), {}
    for bits in sorted({experiment.family.bits for experiment in experiments}):
        reference = rounded(known, bits)
        for side in (side for side in SIDES if side <= known.shape[-1] and len(unseen) >= FEWEST):
            given = {"side": side, "bits": bits}
            ladders = {fault: fault_ladder(fault, unseen, reference, **given) for fault in FAULTS}
            found[bits, side] = Yardstick(reference, ladders=ladders, **given)
    return found


@once
def model_biases(experiments: Iterable[Experiment]) -> ModelBiases:
    """How far off models A and B of each family are at its largest N.

    Args:
        experiments: One a family, of one data set; their models are trained already, or are now.
    """
    experiments = list(experiments)
    known, unseen = held_out(experiments)
    count, sticks = len(unseen), yardsticks(experiments)
    bits = {8, *(experiment.family.bits for experiment in experiments)}
    reference = {b: photometry(rounded(known, b)) for b in bits}
    parts = {"as they are": unseen} | {name: blurred(unseen, pixels) for name, pixels in BLURS.items()}
    galaxies = {name: biases(photometry(rounded(part)), reference[8]) for name, part in parts.items()}
    models, sizes = {}, {e.family.label: e.sizes[-1] for e in experiments}
    for e in experiments:
        models[e.family.label] = found = {}
        for half, model in zip("AB", e.models.pair(e.sizes[-1]), strict=True):
            drawn = rounded(e.samples(model)[:count], e.family.bits)
            off = {side: stick.far_off(drawn) for (b, side), stick in sticks.items() if b == e.family.bits}
            off = {side: value for side, value in off.items() if value}
            found[half] = Beside(biases(photometry(drawn), reference[e.family.bits]), off)
    return ModelBiases(count, galaxies, models, sizes)


def as_far_off(experiments: Iterable[Experiment]) -> dict[tuple[str, int], dict[int, FarOff | None]]:
    """How far off model A of each family is at each N, by label and N, by side; none with few images."""
    experiments = list(experiments)
    sticks, count, found = yardsticks(experiments), experiments[0].images.compared, {}
    for e in experiments:
        for n in e.sizes:
            drawn = e.samples(e.models.pair(n)[0])[:count]
            of = {side: stick for (bits, side), stick in sticks.items() if bits == e.family.bits}
            found[e.family.label, n] = {side: of[side].far_off(drawn) for side in sorted(of, reverse=True)}
    return found


def kept_far_off(found: Mapping[tuple[str, int], Mapping[int, FarOff | None]]) -> list[dict]:
    """The same as a chapter keeps it: one flat record each."""
    return [
        {"pair": label, "N": n, "side": side, "auc": off.auc.value}
        | {"blur": off.blur.value, "noise": off.noise.value}
        for (label, n), sides in found.items()
        for side, off in sides.items()
        if off
    ]


def far_off_table(found: Mapping[tuple[str, int], Mapping[int, FarOff | None]], count: int) -> Markdown:
    """The same, a row for each family and N; under it, if so, that so many images are too few."""
    rows = []
    for (label, n), sides in found.items():
        rows.append([label, spaced(n)])
        for off in sides.values():
            rows[-1] += [f"{off.auc.value:.2f}", off.blur, f"{off.noise:.1f}"] if off else [""] * 3
    head = [f"{name}, {side} pixels" for side in sides for name in ("AUC", "as a blur of", "as a noise of")]
    few = f"{count} held-out images a set are too few for the classifier, which needs {FEWEST}."
    return table(["model A of", "N", *head], rows, after="" if sides else few)


QUANTITIES = {
    "size": "half-light radius",
    "size_at_flux": "the same at fixed light",
    "ellipticity": "ellipticity",
    "flux": "light",
}


def not_fluxes(experiment: Experiment) -> Markdown:
    """Why the numbers are not those of the literature, and which galaxies these are."""
    meta, side = experiment.images.dataset.meta, experiment.images.dataset.images.shape[-1]
    stretched = (
        "stretched for display as an asinh of the flux, as the paper's are. The stretch lifts faint light, "
        "and the seeing, some two pixels wide where 64 pixels of the survey become 32, is left in"
    )
    if meta["parameters"].get("kind") == "display":  # not of the simulator's, nor fluxes
        stretched = "as they were given: the stretch and the seeing are those of the source"
    described = load_manifest().described(meta["manifest"])
    return Markdown(
        "**Not the numbers of the literature.** The models see, and we measure, images of "
        f"{side} pixels a side and 8 bits, {stretched}. So sizes, ellipticities, $C$, Gini and $M_{{20}}$ "
        "are not those measured on fluxes, and $r_{20}$ is hardly resolved. All numbers here compare one set "
        f"of such images with another.\n\n*The galaxies of this run:* {described}"
    )


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


def profile_said(found: ModelBiases) -> str:
    """The bias of the mean of A and B at the centre, by family: the title."""
    centres = {
        label: [model.biases.profile[0].value for model in pair.values() if model.biases.profile[0]]
        for label, pair in found.models.items()
    }
    each = ", ".join(f"{label} {np.mean(some):+.0f} %" for label, some in centres.items() if some)
    return f"Light at the centre, beside galaxies: {each or 'not measurable'}"


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


def nearest_in_short(found: ModelBiases) -> str:
    """Of the family nearest to galaxies, by how much the farther of A and B is off."""
    far = {label: found.farther(label) for label in found.models}
    if None in far.values():
        return f"With {found.count} held-out images a set nothing can be said of how far off the models are."
    best = min(far, key=lambda label: far[label].far_off[SIDES[0]].auc.value)
    size, shape = (_cell(getattr(far[best].biases, what), 0) for what in ("size", "ellipticity"))
    return (
        f"Nearest to galaxies is what {best} draws. Its mean half-light radius is off by {size} %, its mean "
        f"ellipticity by {shape} % (the farther of A and B; bold where the interval leaves 0 out)."
    )


def biases_in_short(found: ModelBiases) -> str:
    """Of the farther of A and B of each family, the nearest to galaxies first: biases, and the blur."""
    far = {label: found.farther(label) for label in found.models}
    if None in far.values():
        return f"With {found.count} held-out images a set nothing can be said of how far off the models are."
    order = sorted(far, key=lambda label: far[label].far_off[SIDES[0]].auc.value)
    shown = ("flux", "size", "ellipticity")
    rows = []
    for label in order:
        each = far[label]
        cells = [_cell(getattr(each.biases, what), 0) for what in shown]
        rows.append([label, *cells, each.far_off[SIDES[0]].blur])
    return table(
        ["", *(f"{QUANTITIES[what]}, %" for what in shown), "as a blur of, pixels"],
        rows,
        before="How far the mean is from that of galaxies, of the farther of A and B at its largest N, the "
        "nearest to galaxies first; bold where the interval leaves 0 out.",
        after=f"Galaxies of that blur are told as easily, at {SIDES[0]} pixels a side; ∞: of any blur.",
    ).data


def told_apart(found: Portrait, N: int) -> str:
    """Does a fresh classifier tell samples from galaxies where both are averaged to the fewest pixels?"""
    side = min(found.c2st)
    area, told = found.c2st[side].auc, found.c2st[side].p <= LIMITS["told"].high
    at = f"the samples at N = {spaced(N)} from galaxies at {side} pixels a side"
    verb = "tells" if told else "does not tell"
    return f"A fresh classifier {verb} {at}: its area under the curve is {area}, where 0.50 is chance."


def _cell(bias: Estimate | None, digits: int = 1) -> str:
    if bias is None:
        return "–"
    said = format(bias, f"+.{digits}f")
    return f"**{said}**" if bias.low * bias.high > 0 else said


def _line(axis: Axes, profile: Sequence[Estimate | None], **style: object) -> None:
    axis.plot(*np.array([(x, one.value) for x, one in _known(profile)]).reshape(-1, 2).T, lw=1.4, **style)


def _band(axis: Axes, profile: Sequence[Estimate | None], **style: object) -> None:
    ends = np.array([(x, one.low, one.high) for x, one in _known(profile)]).reshape(-1, 3)
    axis.fill_between(*ends.T, lw=0, **style)


def _known(profile: Sequence[Estimate | None]) -> Iterable[tuple[float, Estimate]]:
    """The radii, in pixels, with a bias."""
    return ((k + 0.5, one) for k, one in enumerate(profile) if one)
