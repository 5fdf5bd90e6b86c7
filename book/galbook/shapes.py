"""The morphology of all sets of a run: galaxies, controls, samples of each family, and copies of its images.

Measured by statmorph at the gray levels of the samples, held against one reference, shown (the paper's
figures 8, 12 and 15), and in words. A model is named by the label of its family, N, and which of the pair
it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from galbook.kept import once
from galbook.morphology import (
    LABELS,
    corner_plot,
    distance_cells,
    energy_figure,
    first_reasons,
    kinds_table,
)
from galbook.scoreboard import BLUR, measure
from galbook.sentences import spoken
from galgen.compare.agreement import shared_latents
from galgen.compare.controls import blurred, controls, rounded
from galgen.compare.distances import Distances, with_spread
from galgen.compare.morphology import COEFFICIENTS, report, valid
from galgen.compare.scoreboard import apart, same_share
from galgen.compare.uncertainty import p_text
from galgen.experiment import Experiment
from galgen.figures.style import Shown, shades, show, stamp_sheet
from galgen.figures.tables import Markdown, escaped, table
from galgen.figures.words import spaced
from galgen.profiles import profile

__all__ = ["corner", "distance_table", "distances_of", "energies", "energies_said", "faults_table",
    "gray_in_short", "gray_table", "kinds", "meaning", "measured", "valid_in_short",
    "valid_table"]  # fmt: skip

# The modules that the answers depend on, beside this one.
FILES = ("galbook.morphology",)

PAPER_BITS = profile("paper").glow.bits  # gray levels that the paper's samples have
KINDS = {
    "reference": "held-out images (reference)",
    "held out": "other held-out images (null)",
    "blurred": "these, blurred by half a pixel",
    "margin": f"these, blurred by {BLUR:g} pixel, the margin of the claims",
    "Gaussian": "Gaussian with the data's covariance",
    "others": "other galaxies",
}
HEAD = ["valid", *(LABELS[name] for name in COEFFICIENTS), "E", "p"]
LINES = {  # of the figure: the name of a set of galaxies, and what it is called there
    "held out": "null",
    "blurred": "blurred by ½ pixel",
    "margin": "by 1 pixel",
    "Gaussian": "Gaussian",
    "others": "other galaxies",
}
GRAY = "#7F7F7F"

Model = tuple[str, int, str]


@dataclass(frozen=True)
class Shapes:
    """All sets, measured.

    Attributes:
        count: Images of each; of the reference twice as many.
        others: The data set of other galaxies, by name.
        galaxies: The reference, in [0, 1].
        bits: Of the gray levels of each family.
        known: Galaxies and controls, by bits and kind, one of `KINDS`.
        models: The samples of each model.
        copied: Valid rows of the images of each A that has no more than `count`, by label and N.
        foreign: Samples of a model of other galaxies, by label.
    """

    count: int
    others: str
    galaxies: np.ndarray
    bits: dict[str, int]
    known: dict[tuple[int, str], Table]
    models: dict[Model, Table]
    copied: dict[tuple[str, int], Table]
    foreign: dict[str, Table]

    def reference(self, label: str) -> Table:
        """What a family is held against: galaxies of as many gray levels."""
        return self.known[self.bits[label], "reference"]

    def title(self, bits: int, kind: str) -> str:
        """What a set of galaxies is called."""
        name = f"{KINDS[kind]} ({self.others})" if kind == "others" else KINDS[kind]
        return name if bits == 8 else f"{name}, {bits} bits"

    def largest(self) -> dict[str, int]:
        """The largest N of each family."""
        return {label: max(n for of, n, _ in self.models if of == label) for label in self.bits}


@dataclass(frozen=True)
class Apart:
    """How far sets are from the reference; None where that cannot be measured.

    Attributes:
        used: The coefficients; at a few pixels M20 or S is the same for most galaxies, and left out.
        known: Galaxies and controls, but for the reference.
        shift: Galaxies of the paper's gray levels from a reference of 8 bits.
        models: Samples.
        copies: Training images of A, drawn again and again, by label and N.
    """

    used: list[str]
    known: dict[tuple[int, str], Distances | None]
    shift: Distances | None
    models: dict[Model, Distances | None]
    copies: dict[tuple[str, int], Distances | None]


@once
def columns(experiment: Experiment, N: int, half: str) -> dict[str, list[float | int | str]]:
    """The rows of samples of model A or B by column; of "other", of a model of other galaxies."""
    pair = experiment.models.pair(N)
    model = experiment.models.foreign()[0] if half == "other" else pair["AB".index(half)]
    drawn = experiment.samples(model)[: experiment.images.compared]
    rows = measure(experiment)(rounded(drawn, experiment.family.bits))
    return {name: rows[name].tolist() for name in rows.colnames}


def measured(experiments: Sequence[Experiment]) -> Shapes:
    """Measure all sets, of which the store has what was measured before.

    Args:
        experiments: One a family, of one data set; their models are trained already, or are now.
    """
    first, largest = experiments[0], max(experiment.sizes[-1] for experiment in experiments)
    rows, count, other = measure(first), first.images.compared, first.images.foreign("galaxies")
    sets = controls(first.images.dataset.images, first.images.split(largest), count)
    galaxies = {kind: sets.pairs[kind][0] for kind in ("held out", "blurred", "Gaussian")}
    galaxies |= {"reference": sets.reference, "margin": blurred(galaxies["held out"], BLUR)}
    galaxies["others"] = other.images[first.images.split(foreign="galaxies").validation][:count]
    asked = {PAPER_BITS: ["reference", "held out", "blurred"], 8: KINDS}
    known = {(b, kind): rows(rounded(galaxies[kind], b)) for b, kinds in asked.items() for kind in kinds}
    models, copied, foreign = {}, {}, {}
    for experiment in experiments:
        label, b = experiment.family.label, experiment.family.bits
        for n in experiment.sizes:
            for half in "AB":
                models[label, n, half] = Table(columns(experiment, n, half))
            if n <= count:
                copied[label, n] = valid(rows(rounded(experiment.images.of(experiment.models.pair(n)[0]), b)))
        if experiment.settings.foreign:
            foreign[label] = Table(columns(experiment, experiment.sizes[-1], "other"))
    bits = {experiment.family.label: experiment.family.bits for experiment in experiments}
    name = escaped(other.name, typeset=True)
    return Shapes(count, name, sets.reference, bits, known, models, copied, foreign)


def distances_of(found: Shapes, seed: int) -> Apart:
    """How far all sets are from the reference of as many gray levels."""
    used = list(COEFFICIENTS)
    for b in (PAPER_BITS, 8):
        used = with_spread(valid(found.known[b, "reference"]), used)

    def distance(reference: Table, other: Table) -> Distances | None:
        return apart(reference, other, used, seed=seed)

    known = {
        (b, kind): distance(found.known[b, "reference"], rows)
        for (b, kind), rows in found.known.items()
        if kind != "reference"
    }
    copies = {}
    for (label, n), own in found.copied.items():
        again = np.random.default_rng(seed).integers(0, max(len(own), 1), found.count)
        copies[label, n] = distance(found.reference(label), own[again]) if len(own) else None
    return Apart(
        used,
        known,
        shift=distance(found.known[8, "reference"], found.known[PAPER_BITS, "held out"]),
        models={key: distance(found.reference(key[0]), rows) for key, rows in found.models.items()},
        copies=copies,
    )


def meaning(found: Shapes, note: str) -> Shown | Markdown:
    """Held-out galaxies from the lowest to the highest value of each coefficient, if any is measured."""
    rows = found.known[8, "reference"]
    good, reference = np.flatnonzero(np.asarray(rows["reason"]) == ""), valid(rows)
    if not (columns := min(10, len(reference))):
        return Markdown("No held-out image could be measured at this size, so there is nothing to show.")
    ranks = np.linspace(0, len(reference) - 1, columns).round().astype(int)
    picked = {name: np.argsort(reference[name])[ranks] for name in COEFFICIENTS}
    values = [reference[name][row] for name, some in picked.items() for row in some]
    sheet = stamp_sheet(
        np.concatenate([found.galaxies[good[some]] for some in picked.values()]),
        columns=columns,
        titles=[f"{value:.2f}".replace("-", "−") for value in values],
        rows=[LABELS[name] for name in COEFFICIENTS],
        inches=0.62,
    )
    alt = "Five rows of galaxies, each sorted by one of C, A, S, Gini and M20, with the values."
    title = "Galaxies, from the lowest to the highest value of each number"
    return show(sheet, alt=alt, note=note, title=title)


def valid_table(found: Shapes) -> Markdown:
    """How many images of each set can be measured, and why others cannot."""
    rows = []
    sets = [(found.title(*key), key[0], part) for key, part in found.known.items()]
    sets += [(_model(key), found.bits[key[0]], part) for key, part in found.models.items()]
    for text, b, part in sets:
        said, known = report(part), found.known[b, "reference"]
        p = "" if part is known else p_text(same_share(part, known))
        share, why = f"{said['valid_fraction']:.2f}", first_reasons(said["reasons"])
        rows.append([text, said["images"], said["valid"], share, p, why])
    return table(
        ["set", "images", "valid", "share", "p", "why not (most frequent)"],
        rows,
        before=f"{found.count} images a set, twice as many in the reference; p: of the same share as in the "
        "reference of the same gray levels (Fisher's exact test). *Image is not background-subtracted* is "
        "statmorph's word for a galaxy that fills the frame: its border is no sky.",
    )


def _model(key: Model) -> str:
    return f"{key[0]}, N = {spaced(key[1])}, {key[2]}"


def gray_table(found: Shapes, far: Apart) -> Markdown:
    """What fewer gray levels do to galaxies."""
    gray = {
        "8 against 8 bits": far.known[8, "held out"],
        f"{PAPER_BITS} against {PAPER_BITS} bits": far.known[PAPER_BITS, "held out"],
        f"{PAPER_BITS} bits against a reference of 8": far.shift,
    }
    left_out, after = ", ".join(LABELS[name] for name in COEFFICIENTS if name not in far.used), ""
    if left_out:
        after = f"At {found.galaxies.shape[-1]} pixels most galaxies of the reference have one and the same "
        after += f"value of {left_out}, or none can be measured: left out of all distances."
    return table(
        ["held-out against held-out images", *HEAD],
        [[text, *distance_cells(one)] for text, one in gray.items()],
        before="The null in three ways. Distance $W_1$ of each coefficient, energy distance $E$ of all five "
        "together; in brackets what 95 % of shuffled labels stay below; bold: above that.",
        after=after,
    )


def corner(found: Shapes, experiment: Experiment) -> Shown:
    """The coefficients of the samples of A of a family, for each N, over those of held-out images."""
    label, b, shade = experiment.family.label, experiment.family.bits, shades(experiment.sizes)
    clouds = {"held-out" if b == 8 else f"held-out, {b} bits": valid(found.reference(label))}
    colours = dict.fromkeys(clouds, GRAY)
    for n in experiment.sizes:
        clouds[f"N = {spaced(n)}"] = valid(found.models[label, n, "A"])
        colours[f"N = {spaced(n)}"] = shade[n]
    alt = f"Corner plot of C, A, S, Gini and M20 of {label} samples for each N, over held-out images."
    title = f"C, A, S, Gini and M₂₀ of {label} samples, over galaxies'"
    return show(corner_plot(clouds, colours), alt=alt, note=experiment.note(), title=title)


def distance_table(found: Shapes, far: Apart) -> Markdown:
    """All distances, set by set."""
    rows = []
    for key in sorted(far.known, key=lambda key: -key[0]):
        rows.append([found.title(*key), *distance_cells(far.known[key], len(valid(found.known[key])))])
    for key, one in far.models.items():
        label, n, half = key
        if half == "A" and (label, n) in far.copies:
            text = f"copies of the {spaced(n)} images, {found.bits[label]} bits"
            rows.append([text, *distance_cells(far.copies[label, n])])
        rows.append([_model(key), *distance_cells(one, len(valid(found.models[key])))])
    return table(
        ["set", *HEAD],
        rows,
        before=f"{found.count} images a set, before invalid ones are dropped, against a reference of "
        f"{2 * found.count}. $W_1$ of each coefficient and $E$; in brackets what 95 % of shuffled labels "
        "stay below; bold: $W_1$ above that.",
    )


def energies(found: Shapes, far: Apart) -> Figure:
    """Energy distances over N, one panel a family, with nulls and controls."""
    known, models, copies = {}, {}, {}
    for label, b in found.bits.items():
        known[label] = {text: far.known.get((b, kind), far.known[8, kind]) for kind, text in LINES.items()}
        models[label] = {
            half: {n: one for (of, n, which), one in far.models.items() if (of, which) == (label, half)}
            for half in "AB"
        }
        copies[label] = {n: one for (of, n), one in far.copies.items() if of == label}
    return energy_figure(known, models, copies)


def kinds(found: Shapes, seed: int) -> Markdown:
    """Does one latent give one kind of galaxy? A and B of the largest N, beside galaxies and others."""
    given = {"names": COEFFICIENTS, "seed": seed}
    known = found.known[8, "held out"], found.known[8, "blurred"]
    alike = {"held-out galaxies and the same, blurred": shared_latents(*known, **given)}
    for label, n in found.largest().items():
        own, text = found.models[label, n, "A"], f"{label}, N = {spaced(n)}, A and"
        alike[f"{text} B"] = shared_latents(own, found.models[label, n, "B"], **given)
        if label in found.foreign:
            alike[f"{text} a model of other galaxies"] = shared_latents(own, found.foreign[label], **given)
    return kinds_table(alike)


def energies_said(found: Shapes, far: Apart) -> str:
    """The energy distance of A at the largest N of each family, and of a pixel of blur: the title."""
    asked = {label: far.models[label, n, "A"] for label, n in found.largest().items()}
    asked["a pixel of blur"] = far.known[8, "margin"]
    each = ", ".join(f"{name} {one.energy.value:.2f}" for name, one in asked.items() if one)
    return f"Distance from galaxies at the largest N: {each or 'not measurable'}"


def gray_in_short(far: Apart) -> str:
    """How far galaxies of few gray levels are from others of as many, and of 8 bits."""
    shift, near = (spoken(one and one.energy) for one in (far.shift, far.known[PAPER_BITS, "held out"]))
    against = f"against galaxies of 8 bits, at {near} against those of {PAPER_BITS}"
    return f"held-out galaxies of {PAPER_BITS} bits are at {shift} {against}"


def valid_in_short(found: Shapes) -> str:
    """The share of held-out images that can be measured, and of samples."""
    known, *models = (
        len(valid(rows)) / len(rows) for rows in (found.known[8, "reference"], *found.models.values())
    )
    of_models = f"{100 * min(models):.0f} to {100 * max(models):.0f} % of the samples"
    return f"{100 * known:.0f} % of the held-out images can be measured, {of_models}"


def faults_table(found: Shapes, far: Apart) -> Markdown:
    """Which models move away from galaxies as N grows, and of which sets another share can be measured."""
    same = {_model(key): same_share(rows, found.reference(key[0])) for key, rows in found.models.items()}
    margin = same_share(found.known[8, "margin"], found.known[8, "reference"])
    same[f"galaxies blurred by {BLUR:g} pixel"] = margin
    uneven = [text for text, p in same.items() if p <= 0.05 / len(same)]
    farther = []
    for label, large in found.largest().items():
        small = min(n for of, n, _ in found.models if of == label)
        for half in "AB":
            few, many = (far.models[label, n, half] for n in (small, large))
            if few and many and many.energy.value - few.energy.value > many.energy.high:
                farther.append(f"{label} {half}")
    moved = "a larger energy distance at the largest N than at the smallest, by more than the upper end of "
    moved += "its null (a yardstick, no test of the difference)"
    other = "another share can be measured than of galaxies (p below 0.05 over the number of sets), so that "
    other += "the distance is of another part of them"
    rows = [[what, "; ".join(of) or "none"] for what, of in ((moved, farther), (other, uneven))]
    return table(["what to be wary of", "of which"], rows)
