"""The inversion test of every pair of Glows (`galgen.compare.inversion`)."""

from galbook.kept import once
from galgen.compare.flow_pairs import Latents, latents_test
from galgen.experiment import Experiment
from galgen.models import glow_learner

__all__ = ["COUNT", "inverted", "latents"]

COUNT = 64  # latents: eight models at each N, each of which inverts the images of the seven others


@once
def latents(experiment: Experiment, N: int) -> Latents:
    """The test of all pairs of N images a model."""
    pairs = [[experiment.networks(model)["net"] for model in pair] for pair in experiment.models.pairs(N)]
    seeds = experiment.latents(min(COUNT, experiment.profile.samples))
    return latents_test(pairs, glow_learner.latents(pairs[0][0], seeds))


def inverted(experiment: Experiment) -> dict[int, Latents]:
    """The same by N."""
    return {n: latents(experiment, n) for n in experiment.sizes}
