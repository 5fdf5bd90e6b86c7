"""Along which directions do the samples of two models vary, and are they the galaxies'?

Sets of n images each (`galgen.compare.directions`), by N, for all the pairs that the family has there:

    agreement    median anomaly cosine of A's and B's samples of one latent
    pairs        the directions of A's samples beside those of B's: of the same latents, so that they share
                 the luck of these draws, too
    galaxies     those of a model's samples beside those of held-out galaxies
    gaussian     those of what the Gaussian of A's images draws by A's sampler, beside those of the same
                 galaxies: what second moments of N images give

and the ceiling, held-out galaxies beside other held-out ones.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from galgen.compare.controls import rounded
from galgen.compare.directions import directions, shared
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.uncertainty import Estimate, bootstrap
from galgen.data import similarity
from galgen.experiment import Experiment

MOST = 30  # directions

Curve = list[Estimate]  # overlap of the first k directions, k = 1, 2, ...


@dataclass(frozen=True)
class DirectionsTest:
    """At one N; the module says what each is.

    Attributes:
        agreement: Of each pair.
        pairs: Of each pair.
        galaxies: Of each model, A and B of the first pair, then of the second ...
        gaussian: Of A of the first pair.
    """

    agreement: list[Estimate]
    pairs: list[Curve]
    galaxies: list[Curve]
    gaussian: Curve


def ceiling(experiment: Experiment) -> Curve:
    """Held-out galaxies beside other held-out ones."""
    return shared(*_held_out(experiment))


def directions_tests(experiment: Experiment) -> dict[int, DirectionsTest]:
    """By N, of a family of denoisers."""
    known, bits, count = _held_out(experiment)[0], experiment.family.bits, experiment.compared
    found, anomaly = {}, {"kind": "anomaly", "mean": experiment.mean_image}
    for N in experiment.sizes:
        agreement, pairs, galaxies = [], [], []
        for pair in experiment.pairs(N):
            samples = [experiment.samples(model)[:count] for model in pair]
            axes = [_directions(part, bits) for part in samples]
            agreement.append(bootstrap(similarity.cosine(*samples, **anomaly)))
            pairs.append(shared(*axes))
            galaxies += [shared(part, known) for part in axes]
        gaussian = fit_gaussian(experiment.images(experiment.pair(N)[0]))
        drawn = experiment.family.flow(gaussian, experiment.latents(count), experiment.start).images
        found[N] = DirectionsTest(agreement, pairs, galaxies, shared(_directions(drawn, bits), known))
    return found


def _held_out(experiment: Experiment) -> list[np.ndarray]:
    count, bits = experiment.compared, experiment.family.bits
    images = experiment.dataset.images[experiment.split().validation]
    return [_directions(part, bits) for part in (images[:count], images[count : 2 * count])]


def _directions(images: Tensor | np.ndarray, bits: int) -> np.ndarray:
    """Of images that are finite, in grey levels."""
    grey = rounded(images, bits)
    return directions(grey[np.isfinite(grey).all((1, 2, 3))], MOST)
