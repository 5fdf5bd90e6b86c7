"""Interpolation between latents of a GAN: the great circle cos(t) z_0 + sin(t) z_1, for t from 0 to 2 pi.

Every point of the circle is unit normal.
"""

import numpy as np
import torch
from torch import Tensor

from galbook.table import each_size, first_pair, question
from galgen.experiment import Experiment
from galgen.models.sampling import noise, seeded

__all__ = ["latent_circle"]

STEPS = 25  # images on the circle


@question(families=("gan",), arguments=each_size, models=lambda experiment, N: first_pair(experiment, N)[:1])
def latent_circle(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Images of model A along the circle of the first two latents, (steps, H, W); the last is the first."""
    generator = experiment.networks(experiment.models.pair(N)[0])["average"]
    angle = torch.linspace(0, 2 * torch.pi, STEPS)[:, None]
    first, second = noise(seeded(experiment.latents(2)), (generator.module.inputs,))
    with torch.inference_mode():
        return [], {"images": _gray(generator(angle.cos() * first + angle.sin() * second)[:, 0])}


def _gray(images: Tensor) -> np.ndarray:
    """Images as uint8, black at 0 and white at 1, NaN black."""
    return (images.nan_to_num().clamp(0, 1).numpy() * 255).round().astype(np.uint8)
