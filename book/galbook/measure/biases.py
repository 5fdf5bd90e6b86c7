"""Relative biases of samples in flux, half-light radius and ellipticity, in percent.

The mean over samples minus that over held-out galaxies, in percent of the latter (`galgen.compare.biases`).
All is measured on asinh-stretched images of 8 bits, so it is *stretched* flux. The null is other held-out
galaxies; the same galaxies blurred by half a pixel and by one pixel are the controls. All are rounded to the
gray levels of the family.
"""

from collections.abc import Iterator

import numpy as np

from galbook.measure.scoreboard import controls_of, named
from galbook.table import all_pairs, largest_size, question, row
from galgen.compare.biases import Photometry, biases, photometry
from galgen.compare.controls import rounded
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES

__all__ = ["photometry_biases"]

STATISTICS = {
    "stretched_flux_bias": "flux",
    "half_light_radius_bias": "size",
    "ellipticity_bias": "ellipticity",
}


@question(families=FAMILIES, arguments=largest_size, models=all_pairs)
def photometry_biases(experiment: Experiment, N: int) -> tuple[list, dict]:
    """Biases of the samples of each model, and of held-out galaxies, sharp and blurred."""
    (reference, pairs), bits = controls_of(experiment), experiment.family.bits
    galaxies, rows = photometry(rounded(reference, bits)), []
    for name in ("held-out", "blurred-0.5", "blurred-1"):
        rows += _rows(rounded(pairs[name][0], bits), galaxies, model=name)
    for training in all_pairs(experiment, N):
        images = rounded(experiment.samples(training)[: experiment.images.compared], bits)
        rows += _rows(images, galaxies, **named(experiment, training))
    return rows, {}


def _rows(images: np.ndarray, galaxies: Photometry, **where: object) -> Iterator[dict]:
    percents = biases(photometry(images), galaxies)
    for statistic, name in STATISTICS.items():
        if (bias := getattr(percents, name)) is not None:
            yield row(statistic, bias, **where)
