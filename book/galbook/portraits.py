"""All families side by side, each at its largest N: portraits beside galaxies and controls, and costs.

Models are named by the label of their family and which of the first pair they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from galbook.kept import once
from galbook.morphology import corner_plot
from galbook.scoreboard import measure
from galbook.slider import slider_figure
from galgen.compare import similarity
from galgen.compare.controls import controls, rounded
from galgen.compare.distances import with_spread
from galgen.compare.morphology import COEFFICIENTS, valid
from galgen.compare.scoreboard import Portrait, portrait
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS, Shown, pixels, stamp_sheet
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.runs.store import Array

__all__ = ["classifier_table", "corner", "costs_table", "in_short", "look_figure", "nearest_to",
    "portraits_of", "portraits_table", "sets_of", "sheet", "summary_table"]  # fmt: skip

# The modules that the answers depend on, beside this one.
FILES = ("galbook.morphology",)

LOOKS = 24  # latents in the figure with a slider
PAPER = {"diffusion": 7.6e6, "glow": 44e6, "gan": 36e6}  # its parameters; at N = 100 000, of 64 pixels a side

Model = tuple[str, str]


@dataclass(frozen=True)
class Sets:
    """What is compared, in [0, 1] but for the training images.

    Attributes:
        count: Images of a set; the reference has twice as many.
        largest: N of each family, by label.
        bits: Gray levels of each family.
        reference: Held-out galaxies.
        known: Other galaxies, and sets that are wrong in a known way.
        train: Training images of A, uint8.
        drawn: Samples of each model, of as many gray levels as its family has.
        measured: The reference, measured, by bits.
    """

    count: int
    largest: dict[str, int]
    bits: dict[str, int]
    reference: np.ndarray
    known: dict[str, np.ndarray]
    train: np.ndarray
    drawn: dict[Model, np.ndarray]
    measured: dict[int, Table]


@dataclass(frozen=True)
class Portraits:
    """Of each of the known sets, of galaxies of Glow's gray levels if those are fewer, and of each model."""

    known: dict[str, Portrait]
    models: dict[Model, Portrait]


@dataclass(frozen=True)
class Looks:
    """What two models make of the same latents.

    Attributes:
        agree: Anomaly cosine of A's image and B's, of each latent.
        near: The nearest training images of A and of B, of the first latents, uint8.
        cosine: How near they are.
    """

    agree: Array
    near: dict[str, Array]
    cosine: dict[str, Array]


@once
def nearest_to(experiment: Experiment) -> Looks:
    """Of the first pair of the largest N; the samples are not rounded, as in chapter 10."""
    given = {"kind": "anomaly", "mean": experiment.images.mean}
    models, near, cosine = experiment.models.pair(experiment.sizes[-1]), {}, {}
    samples = [experiment.samples(model)[: experiment.images.compared] for model in models]
    for half, part, model in zip("AB", samples, models, strict=True):
        seen = experiment.images.of(model)
        found = similarity.nearest(part[:LOOKS], seen, flips=experiment.family.flips, **given)
        near[half], cosine[half] = found.first(seen), found.cosine[:, 0]
    return Looks(similarity.cosine(*samples, **given), near, cosine)


def sets_of(experiments: Iterable[Experiment]) -> Sets:
    """The sets of families of one data set; their models are trained already, or are now."""
    experiments = list(experiments)
    first, images = experiments[0].images, experiments[0].images.dataset.images
    largest = {experiment.family.label: experiment.sizes[-1] for experiment in experiments}
    bits = {experiment.family.label: experiment.family.bits for experiment in experiments}
    count, split = first.compared, first.split(max(largest.values()))
    sets, drawn, rows = controls(images, split, count), {}, measure(experiments[0])
    for experiment in experiments:
        for half, model in zip("AB", experiment.models.pair(experiment.sizes[-1]), strict=True):
            samples = rounded(experiment.samples(model)[:count], experiment.family.bits)
            drawn[experiment.family.label, half] = samples
    known = {kind: sets.pairs[kind][0] for kind in ("held out", "blurred", "Gaussian")}
    measured = {b: rows(rounded(sets.reference, b)) for b in sorted({8, *bits.values()})}
    return Sets(count, largest, bits, sets.reference, known, images[split.A], drawn, measured)


def portraits_of(sets: Sets, first: Experiment) -> Portraits:
    """Portraits of all sets.

    Args:
        sets: `sets_of`.
        first: Where what was measured is kept.
    """
    used = list(COEFFICIENTS)
    for rows in sets.measured.values():
        used = with_spread(valid(rows), used)
    asked = {"reference": sets.reference, "train": sets.train, "names": used, "measure": measure(first)}
    asked |= {"seed": first.parameters.seed}
    known = {"held-out images (null)": portrait(sets.known["held out"], **asked)}
    if (b := sets.bits["Glow"]) != 8:
        name = f"held-out images, {b} bits (null of Glow)"
        known[name] = portrait(sets.known["held out"], bits=b, **asked)
    known["these, blurred by half a pixel"] = portrait(sets.known["blurred"], **asked)
    known["Gaussian with the data's covariance"] = portrait(sets.known["Gaussian"], **asked)
    models = {key: portrait(part, bits=sets.bits[key[0]], **asked) for key, part in sets.drawn.items()}
    return Portraits(known, models)


def sheet(sets: Sets) -> Figure:
    """The paper's figure 3: two rows of galaxies, and of samples of A of each family, the last first."""
    columns = min(12, sets.count // 2)
    parts = {"held-out": sets.reference}
    parts |= {label: sets.drawn[label, "A"] for label in reversed(sets.largest)}
    stack = np.concatenate([part[: 2 * columns] for part in parts.values()])
    rows = [text for name in parts for text in (name, "")]
    return stamp_sheet(stack, columns=columns, rows=rows, inches=0.56)


def corner(sets: Sets, first: Experiment) -> Figure:
    """The paper's figure 4, over galaxies of all gray levels."""
    clouds, rows = {"held-out": valid(sets.measured[8])}, measure(first)
    clouds |= {label: valid(rows(sets.drawn[label, "A"])) for label in sets.largest}
    return corner_plot(clouds, {name: COLOURS.get(name.lower(), COLOURS["validation"]) for name in clouds})


def _all(found: Portraits) -> dict[str, Portrait]:
    return found.known | {f"{label}, {half}": one for (label, half), one in found.models.items()}


def portraits_table(found: Portraits, sets: Sets) -> Markdown:
    """Brightness, spread and morphology, set by set."""
    rows = []
    for text, one in _all(found).items():
        energy = one.morphology and one.morphology.energy
        cells = [f"{value:.2f}" for value in (one.brightness, *one.spread.values())]
        cells += [f"{energy.value:.3f}", f"{energy.p:.3f}"] if energy else ["not measurable", ""]
        rows.append([text, *cells, f"{one.valid:.2f}"])
    groups = [group.span for group in one.spread]
    N = ", ".join(f"{label} {spaced(n)}" for label, n in sets.largest.items())
    return table(
        ["set", "brightness", *groups, "morphology E", "p", "valid"],
        rows,
        before=f"N: {N}. {sets.count} images a set, a reference of {2 * sets.count}.",
    )


def classifier_table(found: Portraits) -> Markdown:
    """The classifier, set by set and scale by scale."""
    rows = []
    for text, one in _all(found).items():
        tests = one.c2st.values()
        cells = [(t.auc, f"{t.outcome.low:.2f} to {t.outcome.high:.2f}", f"{t.p:.3f}") for t in tests]
        rows.append([text, *sum(cells, ())])
    return table(
        ["set", *(cell for side in one.c2st for cell in (f"AUC at {side} pixels", "null", "p"))],
        rows,
        before="AUC with its 95 % interval; null: 95 % of permuted labels; p: their share that reaches "
        "the AUC.",
    )


def _pixels_a_weight(experiment: Experiment) -> float:
    """Training pixels a parameter, at the largest N."""
    return experiment.sizes[-1] * experiment.images.dataset.images[0].size / experiment.weights


def costs_table(experiments: Iterable[Experiment]) -> Markdown:
    """Parameters, images shown, minutes, and training pixels a parameter beside the paper's."""
    rows = []
    for experiment in experiments:
        N = experiment.sizes[-1]
        done = [experiment.train(model).summary for model in experiment.models.pair(N)]
        counts = map(spaced, (experiment.weights, N, done[0]["images_shown"]))
        minutes = ", ".join(f"{summary['seconds'] / 60:.1f}" for summary in done)
        weights = PAPER.get(experiment.family.name)
        theirs = f"{1e5 * 64**2 / weights:.0f}" if weights else "not in the paper"
        ours = f"{_pixels_a_weight(experiment):.3g}"
        rows.append([experiment.family.label, *counts, minutes, done[0]["device"], ours, theirs])
    head = ["family", "parameters", "N", "images shown", "minutes, A and B", "on"]
    return table([*head, "training pixels / parameter", "the paper's, N = 100 000"], rows)


def look_figure(sets: Sets, experiments: Iterable[Experiment]) -> Shown:
    """One latent and the models of all families, with the nearest training images: a slider over latents."""
    found = {experiment.family.label: nearest_to(experiment) for experiment in experiments}
    frames, captions, shown = [], [], min(LOOKS, sets.count)
    titles = ["A", "nearest to A", "B", "nearest to B"] * len(found)
    for k in range(shown):
        stamps = []
        for (label, half), samples in sets.drawn.items():
            stamps += [samples[k], found[label].near[half][k] / 255]
        sheet = stamp_sheet(stamps, columns=4, titles=titles, rows=list(found), inches=1.28)
        frames.append(pixels(sheet, 100))
        said = (f"{label} {one.agree[k]:.2f} ({one.cosine['A'][k]:.2f})" for label, one in found.items())
        captions.append(f"Cosine of A and B (of A and its nearest): {', '.join(said)}")
    return slider_figure(
        np.array(frames),
        sliders={"latent": list(range(shown))},
        captions=captions,
        title="One latent and the models of all families",
        alt="For each family a row: sample of A, its nearest training image, sample of B, its nearest "
        "training image.",
        width=560,
    )


def _coarse(found: Portraits) -> tuple[int, str]:
    """The fewest pixels a side, and the AUC there by family, the mean of A and B."""
    side, areas = min(next(iter(found.known.values())).c2st), {}
    for (label, _), one in found.models.items():
        areas.setdefault(label, []).append(one.c2st[side].auc.value)
    return side, ", ".join(f"{label} {np.mean(pair):.2f}" for label, pair in areas.items())


def _of_shape(found: Portraits) -> str:
    """How many models morphology distinguishes from galaxies."""
    models = found.models.values()
    told = sum("morphology" in one.faults() for one in models)
    return f"{told} of the {sum(one.morphology is not None for one in models)} that could be measured"


def in_short(found: Portraits) -> str:
    """How many models are told from galaxies, by what, and how easily at the fewest pixels."""
    told = sum("the classifier" in one.faults() for one in found.models.values())
    side, areas = _coarse(found)
    return (
        f"A classifier distinguishes {told} of {len(found.models)} models from galaxies, morphology "
        f"{_of_shape(found)} (p at most 0.05). On images averaged to {side} pixels a side, its area under "
        f"the curve (mean of A and B) is {areas}; 0.50 is chance."
    )


def summary_table(found: Portraits, experiments: Iterable[Experiment]) -> Markdown:
    """What the paper says of all families, and what is found here."""
    (side, areas), alike, weights = _coarse(found), [], []
    for experiment in experiments:
        label = experiment.family.label
        alike.append(f"{label} {np.median(nearest_to(experiment).agree):.2f}")
        weights.append(f"{label} {_pixels_a_weight(experiment):.3g}")
    rows = [
        ["samples (figure 3)", "visually as galaxies", f"AUC of a classifier at {side} pixels: {areas}"],
        ["morphology (figure 4)", "good agreement, by eye", f"distinguished: {_of_shape(found)}"],
        ["training pixels a parameter", "as a rule, of the order of 100", ", ".join(weights)],
        ["cosine of A and B", "Pearson, nearly 1 for diffusion, N = 10⁵", f"anomaly: {', '.join(alike)}"],
    ]
    return table(["quantity", "paper", "here"], rows)
