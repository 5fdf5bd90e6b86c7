"""Images for the live page, without numbers: training images, the sampler's start and the mean galaxy."""

from collections.abc import Iterator

import numpy as np

from galbook.table import Arguments, question
from galgen.experiment import Experiment

__all__ = ["live_page"]

SIDE = 16  # pixels per side of training images, or more if halving cannot reach it


def _ends(experiment: Experiment) -> Iterator[Arguments]:
    """Smallest and largest N, of which the page has models."""
    yield from dict.fromkeys((N,) for N in (experiment.sizes[0], experiment.sizes[-1]))


@question(families=("diffusion", "conditional"), arguments=_ends, models=lambda *_: ())
def live_page(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Initial image of the sampler and mean galaxy, (1, H, W); training images, (N, 16, 16)."""
    images = experiment.images
    arrays = {model.half: halved(images.of(model)) for model in experiment.models.pair(N)}
    return [], arrays | {"start": images.start.numpy(), "mean": images.mean}


def halved(images: np.ndarray) -> np.ndarray:
    """Downsample images, uint8 (N, 1, H, H), by factors of 2 to at least 16 pixels: uint8 (N, h, h)."""
    small = images[:, 0].astype(np.float32)
    while small.shape[1] >= 2 * SIDE and small.shape[1] % 2 == 0:
        small = small.reshape(len(small), small.shape[1] // 2, 2, -1, 2).mean((2, 4))
    return small.round().astype(np.uint8)
