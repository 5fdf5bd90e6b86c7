"""Along which directions do the samples of two models vary, and are they the galaxies'?

Sets of n images each (`galbook.why.directions`), for all the pairs that a family of denoisers has at an N:

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

from galbook.denoisers import gaussian_image
from galbook.kept import once
from galbook.pairs import drawn
from galbook.why.directions import directions, shared
from galgen.compare import similarity
from galgen.compare.controls import rounded
from galgen.compare.uncertainty import Estimate, bootstrap
from galgen.experiment import Experiment

__all__ = ["Curve", "DirectionsTest", "ceiling", "directions_test"]

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


@once
def ceiling(experiment: Experiment) -> Curve:
    """Held-out galaxies beside other held-out ones."""
    return shared(*_held_out(experiment))


@once
def directions_test(experiment: Experiment, N: int) -> DirectionsTest:
    """Of all pairs of that N."""
    known, _ = _held_out(experiment)
    agreement, pairs, galaxies = [], [], []
    for k in range(len(experiment.models.pairs(N))):
        samples = [part[: experiment.images.compared] for part in drawn(experiment, N, k)]
        axes = [_directions(experiment, part) for part in samples]
        cosines = similarity.cosine(*samples, kind="anomaly", mean=experiment.images.mean)
        agreement.append(bootstrap(cosines))
        pairs.append(shared(*axes))
        galaxies += [shared(part, known) for part in axes]
    linear = gaussian_image(experiment, experiment.models.pair(N)[0])[: experiment.images.compared]
    return DirectionsTest(agreement, pairs, galaxies, shared(_directions(experiment, linear), known))


def _held_out(experiment: Experiment) -> list[np.ndarray]:
    n, images = (
        experiment.images.compared,
        experiment.images.held_out,
    )
    return [_directions(experiment, part) for part in (images[:n], images[n : 2 * n])]


def _directions(experiment: Experiment, images: Tensor | np.ndarray) -> np.ndarray:
    """In the gray levels of the family."""
    return directions(rounded(images, experiment.family.bits), MOST)
