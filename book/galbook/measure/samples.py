"""Samples of models, and the training images nearest to them.

For each of the first latents: the samples of models A and B, the image of each model's training set with the
largest anomaly cosine to it (over flips, if models are trained with flips), that cosine, and the ratio
d1 / d2 of `galgen.compare.memorization`, below 1/3 for a near-copy. Images are stored for display, in gray
levels from 0 to 255.
"""

import numpy as np
from torch import Tensor

from galbook.table import each_size, first_pair, largest_size, question
from galgen.compare import similarity
from galgen.compare.controls import rounded
from galgen.compare.memorization import distance_ratio
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, Training

__all__ = ["gallery", "samples", "stamps"]

STAMPS = 12  # latents in a row of samples
GALLERY = 48  # samples of one model


def stamps(images: Tensor | np.ndarray, count: int = STAMPS) -> np.ndarray:
    """First images of (n, 1, H, W) in [0, 1], in gray levels: uint8 (count, H, W)."""
    return np.rint(np.clip(np.asarray(images[:count, 0]), 0, 1) * np.float32(255)).astype(np.uint8)


@question(families=FAMILIES, arguments=each_size, models=first_pair)
def samples(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Samples of A and B from the same latents, and the nearest training image of each."""
    mean, flips, arrays = experiment.images.mean, experiment.family.flips, {}
    for model in experiment.models.pair(N):
        images, train = experiment.samples(model)[:STAMPS], experiment.images.of(model)
        near = similarity.nearest(images, train, kind="anomaly", flips=flips, mean=mean)
        arrays[model.label] = stamps(images)
        arrays[f"{model.label}-nearest"] = near.first(train)[:, 0]
        arrays[f"{model.label}-cosine"] = near.cosine[:, 0]
        ratio = distance_ratio(images, train, flips=flips, mean=mean)
        arrays[f"{model.label}-ratio"] = ratio.astype(np.float32)
    return [], arrays


def _model_A(experiment: Experiment, N: int) -> list[Training]:
    return first_pair(experiment, N)[:1]


@question(families=FAMILIES, arguments=largest_size, models=_model_A)
def gallery(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """More samples of A, and held-out images, both in the gray levels of the family."""
    model, bits = experiment.models.pair(N)[0], experiment.family.bits
    sets = {model.label: experiment.samples(model), "held-out": experiment.images.held_out}
    return [], {name: stamps(rounded(images[:GALLERY], bits), GALLERY) for name, images in sets.items()}
