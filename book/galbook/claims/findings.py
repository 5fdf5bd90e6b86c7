"""What a run found of one family, as the paper's claims are asked of it; each part when it is needed."""

import functools
from dataclasses import dataclass

from galbook import discriminator, inversion, morphology
from galbook.agreement import two_models_at
from galbook.clock.asked import time
from galbook.clock.crossing import Elapsed
from galbook.denoising import gained
from galbook.scoreboard import checks
from galbook.share import asked as scale
from galbook.share.scale import Scale
from galgen.compare.discriminator import Course
from galgen.compare.flow_pairs import Latents
from galgen.compare.scoreboard import EXPECTED
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment

__all__ = ["ALPHA", "Findings", "Pair"]

ALPHA = 0.01  # level of the tests of the scoreboard


@dataclass(frozen=True)
class Pair:
    """Two models of one N.

    Attributes:
        agree: Median anomaly cosine of their images of one latent.
        closer: P(train closer).
        linear: P(train closer) of the shrunk Gaussians of the same images.
    """

    agree: Estimate
    closer: Estimate
    linear: Estimate


class Findings:
    """Of one family, all that its models, and galaxies beside them, are asked.

    Args:
        experiment: Of that family.
    """

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self.label = experiment.family.label
        self.sizes = experiment.sizes
        self.models = {n: 2 * len(experiment.models.pairs(n)) for n in experiment.sizes}

    @functools.cached_property
    def pairs(self) -> dict[int, list[Pair]]:
        """Every pair of models, by N."""
        found = {n: [] for n in self.sizes}
        for n in self.sizes:
            for k in range(self.models[n] // 2):
                test = two_models_at(self.experiment, n, k)
                of = test.memorization
                found[n].append(Pair(test.agree, of.models.closer, of.gaussians.closer))
        return found

    @functools.cached_property
    def time(self) -> Elapsed:
        """Of a denoiser, how many onsets of memorization went by at the largest N."""
        return time(self.experiment)

    @functools.cached_property
    def scale(self) -> Scale:
        """Of a denoiser, its agreement between floor and ceiling, at the largest N."""
        return scale.agreement(self.experiment).scales[scale.IMAGES]

    @functools.cached_property
    def gaussians(self) -> float:
        """Of a denoiser, agreement of two Gaussians, one of A's images and one of B's, at the largest N."""
        return scale.agreement(self.experiment).gaussians

    def gained(self, N: int) -> dict[str, list[Estimate]]:
        """Of a denoiser, PSNR out less PSNR in on held-out images, by model and level of little noise."""
        return gained(self.experiment, N)

    def fit(self, N: int) -> morphology.Fit | None:
        """Whether its samples are nearer to galaxies than those of Gaussians of the same images."""
        return morphology.fit(self.experiment, N)

    def kept(self, N: int, blur: float) -> dict[str, Estimate] | None:
        """By how much nearer to galaxies than galaxies blurred by so many pixels each judged model is."""
        return morphology.morphology_kept(self.experiment, N, blur)

    def change(self, small: int, large: int) -> morphology.Change | None:
        """How morphology changes from one N to another."""
        return morphology.change(self.experiment, small, large)

    @functools.cached_property
    def latents(self) -> dict[int, Latents]:
        """Of a flow, the inversion test by N."""
        return inversion.inverted(self.experiment)

    @functools.cached_property
    def courses(self) -> dict[int, Course]:
        """Of a GAN, the discriminator test along the training, by N."""
        return discriminator.courses(self.experiment)

    def missed(self, question: str) -> list[str]:
        """The controls that a question of the scoreboard must find and does not."""
        asked = {
            name: found[question] for name, found in checks(self.experiment).items() if question in found
        }
        return [name for name, answer in asked.items() if EXPECTED[name].get(question) and answer.p >= ALPHA]
