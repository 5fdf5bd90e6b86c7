"""Equivalent degradation: the blur (or noise) applied to real galaxies that gives the same classifier AUC.

An AUC shows that images are distinguishable from galaxies (`galgen.compare.twosample`), not how different
they are. So held-out galaxies are degraded by increasing amounts, blurred by a Gaussian or with noise added,
and the same classifier compares them with the same reference. The *equivalent* amount of a model is that with
the same AUC,

    f(amount) = AUC of degraded galaxies,      amount = f^-1(AUC of the model),

with f made monotonic (running maximum) and linear between the amounts tried. The interval is that of the
model's AUC, transformed. The samples need not have this kind of defect; two models of equal amount are
equally distinguishable. Images are averaged down to few pixels, as at full resolution the AUC of all models
is near 1, where f is flat.
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


# Degradations; the amount is in pixels (blur) or in 8-bit gray levels (noise).
FAULTS: Mapping[str, Callable[[np.ndarray, float], np.ndarray]] = {"blur": blurred, "noise": _noisy}


@dataclass(frozen=True)
class CalibrationCurve:
    """Classifier AUC of degraded galaxies as a function of the amount of degradation.

    Attributes:
        amounts: Pixels of blur, or gray levels of noise, from 0 on.
        areas: The classifier's AUC at these amounts, made monotonic.
    """

    amounts: np.ndarray
    areas: np.ndarray

    def amount(self, area: Estimate) -> Estimate:
        """Return the amount of equal AUC, with its interval; infinite above the largest AUC of the curve."""
        amounts = [self._amount(value) for value in (area.value, area.low, area.high)]
        return Estimate(*amounts, n=area.n)

    def _amount(self, area: float) -> float:
        rises = np.flatnonzero(np.diff(self.areas, prepend=-1) > 0)
        if area >= self.areas[-1]:
            return np.inf
        return float(np.interp(area, self.areas[rises], self.amounts[rises]))


def calibration_curve(
    fault: str, unseen: np.ndarray, reference: np.ndarray, *, side: int, bits: int = 8
) -> CalibrationCurve:
    """Measure the classifier AUC of galaxies degraded by increasing amounts.

    Args:
        fault: Kind of degradation, a name in `FAULTS`.
        unseen: Held-out images, in [0, 1], as many as the samples of a model.
        reference: Other held-out images, with as many gray levels as the samples.
        side: Side in pixels to which all images are averaged down.
        bits: Bits per pixel.
    """
    target, amounts = features(reference, side=side), np.array(_AMOUNTS[fault])
    degraded = (rounded(FAULTS[fault](unseen, amount), bits) for amount in amounts)
    # one permutation, as only the AUC is needed
    areas = [c2st(target, features(x, side=side), permutations=1).auc.value for x in degraded]
    return CalibrationCurve(amounts, np.maximum.accumulate(areas))


def area(samples: np.ndarray | Tensor, reference: np.ndarray, *, side: int) -> Estimate:
    """Return the classifier AUC of samples against the reference, both rounded, averaged down to `side`."""
    x, y = (features(part, side=side) for part in (reference, samples))
    return c2st(x, y, permutations=1).auc
