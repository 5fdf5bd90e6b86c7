"""How far off are samples, in the units of a fault: of which blur, or noise, are galaxies as easily found?

An area under the curve says that images are distinguished from galaxies (`galgen.compare.twosample`), not by
how much. So held-out galaxies are made wrong by growing amounts, blurred by a Gaussian of some pixels or
covered with noise, and the same classifier is asked about them, beside the same reference. A model is *as far
off as* the amount at which its area is reached,

    f(amount) = AUC of galaxies with that fault,      amount = f^-1(AUC of the model),

with f made to grow (the largest value so far) and linear between the amounts tried. The interval is that of
the model's area, carried over. The fault need not be what is wrong with the model; two models off by the same
amount are equally easy to find out. Asked where images are averaged down to few pixels, as at full resolution
the areas of all models are near 1, where f is flat.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from galgen.compare.controls import blurred, rounded
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import Estimate

__all__ = ["FAULTS", "CalibrationCurve", "area", "calibration_curve"]

_AMOUNTS = {
    "blur": (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0),
    "noise": (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0),
}


def _noisy(images: np.ndarray, levels: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(images.shape)
    return images + noise * levels / 255


# A fault, and how much of it in pixels or in gray levels of 8 bits.
FAULTS: Mapping[str, Callable[[np.ndarray, float], np.ndarray]] = {"blur": blurred, "noise": _noisy}


@dataclass(frozen=True)
class CalibrationCurve:
    """How a fault is found, the more the larger it is.

    Attributes:
        amounts: Pixels of blur, or gray levels of noise, from 0 on.
        areas: The classifier's areas there, made to grow.
    """

    amounts: np.ndarray
    areas: np.ndarray

    def amount(self, area: Estimate) -> Estimate:
        """The amount of equal area, with its interval; infinite where no larger one is found more easily."""
        found = [self._amount(value) for value in (area.value, area.low, area.high)]
        return Estimate(*found, n=area.n)

    def _amount(self, area: float) -> float:
        rises = np.flatnonzero(np.diff(self.areas, prepend=-1) > 0)
        if area >= self.areas[-1]:
            return np.inf
        return float(np.interp(area, self.areas[rises], self.amounts[rises]))


def calibration_curve(
    fault: str, unseen: np.ndarray, reference: np.ndarray, *, side: int, bits: int = 8
) -> CalibrationCurve:
    """Make galaxies wrong by growing amounts, and ask the classifier.

    Args:
        fault: A name in `FAULTS`.
        unseen: Held-out images, in [0, 1], as many as a model is judged by.
        reference: Others, of as many gray levels as the model draws.
        side: Pixels that all are averaged down to.
        bits: Of the gray levels.
    """
    known, amounts = features(reference, side=side), np.array(_AMOUNTS[fault])
    wrong = (rounded(FAULTS[fault](unseen, amount), bits) for amount in amounts)
    # one permutation: the area alone is wanted
    areas = [c2st(known, features(x, side=side), permutations=1).auc.value for x in wrong]
    return CalibrationCurve(amounts, np.maximum.accumulate(areas))


def area(samples: np.ndarray | Tensor, reference: np.ndarray, *, side: int) -> Estimate:
    """The classifier's area of a model's samples beside the reference, both rounded, averaged down alike."""
    known, asked = (features(part, side=side) for part in (reference, samples))
    return c2st(known, asked, permutations=1).auc
