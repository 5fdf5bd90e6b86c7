"""Are samples fit to be held against galaxies, is their morphology kept, and does it change with N?"""

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from galbook.kept import once
from galbook.pairs import controls_of, measure, models_judged
from galgen.compare.controls import blurred, rounded
from galgen.compare.distances import energy, energy_difference, with_spread
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.morphology import COEFFICIENTS, valid
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import Estimate, over_trainings
from galgen.experiment import Experiment
from galgen.models.families import Training

__all__ = ["Change", "Fit", "change", "fit", "morphology_kept", "unused"]

FEW = 200  # images for the question whether a model is fit
COARSE = 8  # pixels a side


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
class Change:
    """How morphology changes from a small N to a large one.

    Attributes:
        farther: By how much farther from galaxies, in energy distance, each model of the small N is.
        margin: The energy distance from galaxies of galaxies blurred by a pixel, without bias.
    """

    farther: list[Estimate]
    margin: float


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
def morphology_kept(experiment: Experiment, N: int, blur: float) -> dict[str, Estimate] | None:
    """By how much nearer to galaxies than galaxies blurred by so many pixels each judged model is.

    In energy distance of the five coefficients; None where too few images can be measured.
    """
    sets, count = controls_of(experiment), experiment.images.compared
    known, smeared = (
        _rows(experiment, part) for part in (sets.reference, blurred(sets.pairs["held out"][0], blur))
    )
    drawn = {t.label: _rows(experiment, experiment.samples(t)[:count]) for t in models_judged(experiment, N)}
    if not (used := _enough(known, smeared, *drawn.values())):
        return None
    return {name: energy_difference(known, smeared, part, used) for name, part in drawn.items()}


@once
def change(experiment: Experiment, small: int, large: int) -> Change | None:
    """From one N to another, of as many models as both have; None where too few images can be measured."""
    sets, count = controls_of(experiment), experiment.images.compared
    known, smeared = (_rows(experiment, part) for part in (sets.reference, sets.pairs["blurred"][0]))

    def fresh(model: Training) -> Table:
        """Of other latents, or the sets would not be independent."""
        return _rows(experiment, experiment.samples(model, count=2 * count)[count:])

    ends = zip(models_judged(experiment, small), models_judged(experiment, large), strict=False)
    parts = [(_rows(experiment, experiment.samples(one)[:count]), fresh(other)) for one, other in ends]
    if not (used := _enough(known, smeared, *(part for pair in parts for part in pair))):
        return None
    farther = [energy_difference(known, *pair, used) for pair in parts]
    return Change(farther, energy(known, smeared, used))
