"""What Gaussians of their training images leave of the images of A and B, and whether these agree in it.

The statistics are those of `galgen.compare.alike` and `galgen.compare.family_tests`, here of an experiment.
"""

import numpy as np
from torch import Tensor

from galgen.compare.alike import repaired
from galgen.compare.family_tests import beyond
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.uncertainty import Outcome
from galgen.data import similarity
from galgen.experiment import Experiment, Training


def gaussian_image(experiment: Experiment, training: Training) -> Tensor:
    """What the Gaussian of a model's training images draws, by the model's sampler and from its noise."""
    gaussian = fit_gaussian(experiment.images(training))
    return experiment.family.flow(gaussian, experiment.latents(), experiment.start).images


def own_test(experiment: Experiment) -> tuple[dict[int, Outcome], float, Outcome]:
    """Do A and B agree in what their Gaussians leave, and more than A and a model of other galaxies?

    Args:
        experiment: Of a family of denoisers.

    Returns:
        The agreement by N with its null; that of A and the model of other galaxies, at the largest N; and by
        how much A and B exceed it.
    """

    def left(training: Training) -> Tensor:
        return experiment.samples(training) - gaussian_image(experiment, training)

    found, options = {}, {"kind": "anomaly", "mean": experiment.mean_image}
    for n in experiment.sizes:
        a, b = map(left, experiment.pair(n))
        found[n] = repaired(a, b, mean=experiment.mean_image)
    stranger = similarity.cosine(a, left(experiment.control()), **options)
    more = beyond(similarity.cosine(a, b, **options), stranger)
    return found, float(np.median(stranger)), more
