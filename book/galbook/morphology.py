"""Is the morphology of galaxies kept, does it change with N? Asked, in tables, and in corner plots.

A model is *as far off as* the blur of galaxies with the same energy distance from galaxies, in C, A, S, Gini
and M20 together: a ladder of blurs is measured, made to grow, and read between its rungs.

A corner plot has several sets of galaxies in the plane of every two coefficients, as the paper's figures 4,
8, 12 and 15. Each set is drawn as two contours that contain 39 % and 86 % of it (1 and 2 sigma of a Gaussian
in the plane), from a histogram smoothed by one bin, or, if it is too small for one, as points. The area
of a histogram on the diagonal is the share of its set that lies within the axis.

References:
    Foreman-Mackey 2016, corner.py, https://doi.org/10.21105/joss.00024.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import corner
import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy import stats

from galbook.judgement import LIMITS
from galbook.kept import once
from galbook.scoreboard import controls_of, measure, models_judged
from galgen.compare.controls import blurred, rounded
from galgen.compare.distances import Distances, energy, with_spread
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.morphology import COEFFICIENTS, valid
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import Estimate, Outcome, over_trainings
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS, MODELS, legend_above
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced

__all__ = [
    "BLURS",
    "LABELS",
    "RANGES",
    "Fit",
    "Shaped",
    "corner_plot",
    "distance_cells",
    "distances_shaped",
    "energy_figure",
    "first_reasons",
    "fit",
    "kinds_table",
    "shaped",
    "unused",
]

# The modules that the answers depend on, beside this one.
FILES = ("galbook.scoreboard",)

FEW = 200  # images for the question whether a model is fit

COARSE = 8  # pixels a side

BLURS = (0.0, 0.5, 1.0, 1.5, 2.0)  # pixels, of the ladder

MORE = 2000  # simulated galaxies beside the held-out ones, where samples are

MANY = 100


@dataclass(frozen=True)
class Fit:
    """Whether models are nearer to galaxies, in coarse distribution, than the Gaussians of their own images.

    Attributes:
        models: AUC of a classifier, samples of each model against held-out images, by model.
        gaussians: The same of draws of the Gaussian of its training images.
        gain: Mean over pairs of by how much the latter is larger, with its interval over trainings; None with
            fewer than three pairs.
    """

    models: dict[str, float]
    gaussians: dict[str, float]
    gain: Estimate | None

    @property
    def nearer(self) -> bool:
        """By interval where there is one, else every model."""
        if self.gain:
            return self.gain.low > 0
        return all(self.models[name] < self.gaussians[name] for name in self.models)


@dataclass(frozen=True)
class Shaped:
    """How far models are from galaxies in morphology, as an energy distance and as a blur.

    Attributes:
        energy: Energy distance of the five coefficients, without its bias, by model that is judged.
        ladder: The same of galaxies blurred by each of `BLURS`, made to grow.
        farthest: Of each model the coefficient that is farthest off, and by how many spreads of the galaxies.
        galaxies: Valid rows that all are held against.
    """

    energy: dict[str, float]
    ladder: list[float]
    farthest: dict[str, tuple[str, float]]
    galaxies: int

    @property
    def pixel(self) -> float:
        """The energy distance of galaxies blurred by a pixel."""
        return self.ladder[BLURS.index(1.0)]

    def blur(self, energy: float) -> float:
        """The pixels of blur that are as far off; infinite beyond the widest."""
        rises = np.flatnonzero(np.diff(self.ladder, prepend=-np.inf) > 0)
        known = np.array(self.ladder)[rises], np.array(BLURS)[rises]
        return np.inf if energy >= self.ladder[-1] else float(np.interp(energy, *known))


def unused(experiment: Experiment) -> np.ndarray:
    """Held-out images that only judges score, uint8; where fewer than `FEW` are left, those of the start."""
    rest = experiment.images.dataset.images[
        experiment.images.split().validation[3 * experiment.images.compared :]
    ]
    return rest if len(rest) >= FEW else experiment.images.unseen


@once
def fit(experiment: Experiment, N: int) -> Fit | None:
    """Of all models of N images; None where there are too few held-out ones for the classifier."""
    bits, known, models, gaussians = experiment.family.bits, unused(experiment), {}, {}
    if (count := min(len(known), experiment.profile.samples)) < 10:
        return None

    def area(images: object) -> float:
        pair = (features(rounded(part, bits)[:count], side=COARSE) for part in (known, images))
        return c2st(*pair, permutations=1).auc.value

    pairs = experiment.models.pairs(N)
    for training in (training for pair in pairs for training in pair):
        models[training.name] = area(experiment.samples(training))
        own = fit_gaussian(experiment.images.of(training))
        gaussians[training.name] = area(own.draw(experiment.latents(count)))
    gains = [np.mean([gaussians[t.name] - models[t.name] for t in pair]) for pair in pairs]
    return Fit(models, gaussians, over_trainings(gains) if len(pairs) > 2 else None)


def _rows(experiment: Experiment, images: object) -> Table:
    return valid(measure(experiment)(rounded(images, experiment.family.bits)))


def _enough(known: Table, *sets: Table) -> list[str]:
    """The coefficients that can be compared; none where a set has fewer than ten valid rows."""
    return with_spread(known, COEFFICIENTS) if min(map(len, (known, *sets))) >= 10 else []


@once
def shaped(experiment: Experiment, N: int) -> Shaped | None:
    """Of the judged models of N images; None where too few images can be measured, or no blur shows.

    Of simulated galaxies some more are measured where samples are many: so little is the reference's chance.
    """
    sets, count = controls_of(experiment), experiment.images.compared
    known, sharp = sets.reference, sets.pairs["held out"][0]
    if count >= MANY and (more := experiment.images.more(MORE)) is not None:
        sharp = more[-2 * count :]
        known = np.concatenate([known, rounded(more[: -2 * count])])
    galaxies = _rows(experiment, known)
    wrong = [_rows(experiment, blurred(sharp, pixels)) for pixels in BLURS]
    drawn = {t.label: _rows(experiment, experiment.samples(t)[:count]) for t in models_judged(experiment, N)}
    return distances_shaped(galaxies, wrong, drawn)


def distances_shaped(galaxies: Table, wrong: Sequence[Table], drawn: Mapping[str, Table]) -> Shaped | None:
    """The same of valid rows: of galaxies, of others blurred by each of `BLURS`, and of samples by model."""
    if not (used := _enough(galaxies, *wrong, *drawn.values())):
        return None
    ladder = np.maximum.accumulate([energy(galaxies, rows, used) for rows in wrong])
    if ladder[BLURS.index(1.0)] <= 0:
        return None
    far = {name: energy(galaxies, rows, used) for name, rows in drawn.items()}
    farthest = {name: _farthest(galaxies, rows, used) for name, rows in drawn.items()}
    return Shaped(far, ladder.tolist(), farthest, len(galaxies))


def _farthest(galaxies: Table, rows: Table, used: list[str]) -> tuple[str, float]:
    """The coefficient whose median is farthest off, and by how many spreads of the galaxies."""
    off = {}
    for name in used:
        x, y = (np.asarray(part[name], np.float64) for part in (galaxies, rows))
        off[name] = float((np.median(y) - np.median(x)) / stats.median_abs_deviation(x, scale="normal"))
    worst = max(off, key=lambda name: abs(off[name]))
    return worst, off[worst]


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
        alike = [
            LABELS[k] for k, one in of.items() if len(of) * one.p <= LIMITS["told"].high and one.value > 0
        ]
        middle = f"{np.median([one.value for one in of.values()]):+.2f}" if of else "–"
        rows.append([name, (", ".join(alike) or "none") if of else "not measurable", middle])
    return table(
        ["images of one latent", f"alike, p at most {LIMITS['told'].high} over all", "median correlation"],
        rows,
    )


# The paper's axes.
RANGES = {
    "concentration": (1.2, 3.6),
    "asymmetry": (-0.5, 0.5),
    "smoothness": (-0.2, 0.2),
    "gini": (0.25, 0.75),
    "m20": (-2.1, -1.0),
}

LABELS = {"concentration": "C", "asymmetry": "A", "smoothness": "S", "gini": "Gini", "m20": "$M_{20}$"}

_FEWEST = 30  # galaxies: with fewer, contours would surround single galaxies

_BINS = 20


def corner_plot(sets: Mapping[str, Mapping[str, np.ndarray]], colours: Mapping[str, Any]) -> Figure:
    """Draw the sets over each other on the axes of `RANGES`, the first of them filled, as background.

    Args:
        sets: By label, columns of valid rows (a table will do); an empty set leaves nothing but its label.
        colours: Of each label, as Matplotlib takes them.
    """
    names, first = list(RANGES), next(iter(sets))
    figure, axes = plt.subplots(len(names), len(names), figsize=(7, 7), sharex="col")
    for (i, j), axis in np.ndenumerate(axes):
        if j > i:
            axis.set_visible(False)
            continue
        x, y = names[j], names[i]
        for label, columns in sets.items():
            if i == j:
                _histogram(axis, x, columns, colours[label], label == first)
            else:
                _cloud(axis, x, y, columns, colours[label], label == first)
        axis.set_xlim(RANGES[x])
        axis.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
        axis.tick_params(labelsize=8, labelrotation=0)
        if i == j:
            axis.set(yticks=[], ylim=(0, None))
            axis.spines["left"].set_visible(False)
        else:
            axis.set_ylim(RANGES[y])
            axis.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
            axis.tick_params(labelleft=j == 0)
        if i == len(names) - 1:
            axis.set_xlabel(LABELS[x])
        if j == 0 and i:
            axis.set_ylabel(LABELS[y])
    lines = [Line2D([], [], color=colours[label], lw=1.8) for label in sets]
    lines[0].set(lw=6, alpha=0.5)
    labels = [f"{label} ({len(columns[names[0]])})" for label, columns in sets.items()]
    figure.legend(lines, labels, loc="upper right", bbox_to_anchor=(0.98, 0.97), fontsize=10)
    return figure


def _histogram(axis: Axes, x: str, columns: Mapping[str, np.ndarray], colour: Any, filled: bool) -> None:
    counts, edges = np.histogram(np.asarray(columns[x], np.float64), _BINS, RANGES[x])
    if counts.any():
        density = counts / (len(columns[x]) * np.diff(edges))
        axis.stairs(density, edges, color=colour, fill=filled, alpha=0.35 if filled else 1, lw=1.4)


def _cloud(axis: Axes, x: str, y: str, columns: Mapping[str, np.ndarray], colour: Any, filled: bool) -> None:
    points = np.array([columns[x], columns[y]], np.float64)
    low, high = np.transpose([RANGES[x], RANGES[y]])[..., None]
    points = points[:, ((points >= low) & (points <= high)).all(0)]
    if points.shape[1] < _FEWEST:
        axis.plot(*points, ".", ms=3, color=colour)
        return
    corner.hist2d(
        *points,
        ax=axis,
        bins=_BINS,
        range=(RANGES[x], RANGES[y]),
        levels=1 - np.exp(-(np.array([1, 2]) ** 2) / 2),
        smooth=1.0,
        color=colour,
        plot_datapoints=False,
        plot_density=False,
        no_fill_contours=not filled,
        fill_contours=filled,
        contour_kwargs={"linewidths": 0.6 if filled else 1.2},
    )
