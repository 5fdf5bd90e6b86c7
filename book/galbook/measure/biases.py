"""By how many per cent do samples differ from galaxies in light, size, ellipticity and radial profile?

The mean over samples minus that over held-out galaxies, in per cent of the latter (`galgen.compare.biases`).
All is measured on asinh-stretched images of 8 bits, so it is *stretched* flux. The null is other held-out
galaxies; these blurred by half a pixel and by a pixel are the controls. All have the gray levels of the
family.
"""

from collections.abc import Iterator

import numpy as np

from galbook.measure import scoreboard
from galbook.measure.scoreboard import controls_of, named
from galbook.table import all_pairs, largest_size, question, row
from galgen.compare.biases import Photometry, biases, photometry
from galgen.compare.controls import rounded
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES

__all__ = ["photometry_biases"]

FILES = ("galbook.measure.scoreboard", *scoreboard.FILES, "galgen.compare.biases")
STATISTICS = {
    "stretched_flux_bias": "flux",
    "half_light_radius_bias": "size",
    "half_light_radius_bias_at_fixed_flux": "size_at_flux",
    "ellipticity_bias": "ellipticity",
}


@question(families=FAMILIES, given=largest_size, models=all_pairs)
def photometry_biases(experiment: Experiment, N: int) -> tuple[list, dict]:
    """The biases of the samples of each model, and of held-out galaxies, as they are and blurred."""
    (reference, pairs), bits = controls_of(experiment), experiment.family.bits
    galaxies, rows = photometry(rounded(reference, bits)), []
    for name in ("held-out", "blurred-0.5", "blurred-1"):
        rows += _rows(rounded(pairs[name][0], bits), galaxies, model=name)
    for training in all_pairs(experiment, N):
        images = rounded(experiment.samples(training)[: experiment.images.compared], bits)
        rows += _rows(images, galaxies, **named(experiment, training))
    return rows, {}


def _rows(images: np.ndarray, galaxies: Photometry, **where: object) -> Iterator[dict]:
    found = biases(photometry(images), galaxies)
    for statistic, name in STATISTICS.items():
        if (bias := getattr(found, name)) is not None:
            yield row(statistic, bias, **where)
    for k, bias in enumerate(found.profile):
        if bias is not None:
            yield row("profile_bias", bias, at=k + 0.5, **where)
