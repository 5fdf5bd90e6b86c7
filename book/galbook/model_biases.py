"""How far off models are, as an astronomer would say it: biases in per cent, and a blur of so many pixels.

Of each family, models A and B of its largest N are held against held-out galaxies of as many gray levels
(`galgen.compare.biases`). So are other held-out galaxies: as they are, which is the null, and blurred, which
is the control. And each model is *as far off as* the blur, or the noise, that a fresh classifier finds as
easily (`galgen.compare.yardstick.Ladder`), where images are averaged down to 8 pixels a side, and to 16.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from galbook.kept import once
from galgen.compare.biases import FEWEST, Biases, biases, photometry
from galgen.compare.controls import blurred, rounded
from galgen.compare.uncertainty import Estimate
from galgen.compare.yardstick import FAULTS, Ladder, area, fault_ladder
from galgen.experiment import Experiment

__all__ = ["BLURS", "SIDES", "Beside", "FarOff", "ModelBiases", "held_out", "model_biases", "yardsticks"]

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
