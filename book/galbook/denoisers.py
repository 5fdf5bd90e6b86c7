"""What is asked of denoisers: how well they denoise, and when they memorize."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from galbook.clock.crossing import Elapsed, elapsed
from galbook.clock.gap import START, Gap, memory_gap, psnr_along
from galbook.clock.in_proportion import Cell
from galbook.kept import once
from galbook.pairs import models_judged
from galgen.compare.denoising import denoising_curve, training_gap
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.uncertainty import Estimate, bootstrap
from galgen.experiment import Experiment
from galgen.models.families import Training
from galgen.runs.answers import Array

__all__ = [
    "LEVELS",
    "LITTLE",
    "clock",
    "clock_cell",
    "gained",
    "gaps",
    "gaussian_image",
    "gaussian_of",
    "time",
]

LEVELS = np.geomspace(0.01, 1, 9)  # of noise
LITTLE = LEVELS[LEVELS <= 0.05]  # where the paper's denoiser of a small N stays at one PSNR
HELD_OUT = 200  # images


def gaps(experiment: Experiment) -> dict[int, np.ndarray]:
    """By N, by how many dB a denoiser is better for having been trained on an image, at each of `LEVELS`."""
    return {n: _training_gap(experiment, n) for n in experiment.sizes}


@once
def _training_gap(experiment: Experiment, N: int) -> Array:
    pair = experiment.models.pair(N)
    nets = [experiment.family.denoiser(experiment.networks(model)) for model in pair]
    return training_gap(nets, [experiment.images.of(model)[:100] for model in pair], LEVELS)


@once
def gained(experiment: Experiment, N: int) -> dict[str, list[Estimate]]:
    """PSNR out less PSNR in on held-out images, in dB, at each of `LITTLE`, by model that is judged."""
    held_out = experiment.images.dataset.images[experiment.images.split().validation[:HELD_OUT]]
    found = {}
    for model in models_judged(experiment, N):
        curve = denoising_curve(experiment.family.denoiser(experiment.networks(model)), held_out, LITTLE)
        rows = zip(curve.denoised, curve.noisy, strict=True)
        found[model.label] = [bootstrap(out - given) for out, given in rows]
    return found


@once
def memory(experiment: Experiment, N: int) -> list[Gap]:
    """The gap between own and held-out images along the trainings of A and B of the first pair."""
    held_out, found = experiment.images.held_out, []
    for model in experiment.models.pair(N):
        kept = experiment.train(model).summary["weights"]
        along = ((shown, experiment.networks(model, shown)) for shown in kept)
        curves = psnr_along(along, experiment.family.denoiser, experiment.images.of(model), held_out)
        found.append(
            memory_gap(*curves, start=next((shown for shown in kept[:-1] if shown >= START), kept[0]))
        )
    return found


def clock(studies: Sequence[Experiment]) -> list[Cell]:
    """The same of the clock's networks, one study a width, by width and N."""
    return [clock_cell(study, n) for study in studies for n in study.sizes]


def clock_cell(study: Experiment, N: int) -> Cell:
    """The same of one width and N."""
    load = N * study.images.dataset.images[0].size / study.weights
    return Cell(study.settings.kernels, N, memory(study, N), load)


def time(experiment: Experiment) -> Elapsed:
    """How many onsets of memorization went by at the largest N, in proportion to those of smaller N.

    Of the training of the pair that saw fewer, or of which less can be said.
    """
    *small, large = experiment.sizes
    known = {n: memory(experiment, n) for n in small}
    both = (elapsed(g, large, known) for g in memory(experiment, large))
    return min(both, key=lambda e: (not e.confounded, e.onsets or 0))


def gaussian_of(experiment: Experiment, images: np.ndarray) -> Tensor:
    """What the Gaussian of images (uint8) draws, by the family's sampler and from the models' noise."""
    return experiment.family.flow(fit_gaussian(images), experiment.latents(), experiment.images.start).images


def gaussian_image(experiment: Experiment, training: Training) -> Tensor:
    """The same of a model's training images."""
    return gaussian_of(experiment, experiment.images.of(training))
