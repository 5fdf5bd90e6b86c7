"""How alike are galaxies that have nothing to do with each other? The ground on which every likeness stands.

For each kind of cosine, of held-out images, which no model is trained on:

    random     cosine of two of them
    nearest    cosine of one of them and the nearest of N training images, which grows with N
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from galgen.data import similarity


@dataclass(frozen=True)
class Strangers:
    """Cosines of one kind.

    Attributes:
        random: Of pairs of held-out images, (m,).
        nearest: By N, of each held-out image and the nearest of N training images, (n,).
    """

    random: np.ndarray
    nearest: dict[int, np.ndarray]


def strangers(held_out: Tensor, train: Mapping[int, np.ndarray], *, mean: np.ndarray) -> dict[str, Strangers]:
    """The cosines by kind.

    Args:
        held_out: Held-out images, (n, 1, H, W) in [0, 1].
        train: By N, the training images, uint8 (N, 1, H, W).
        mean: The data set's mean image, (1, H, W).
    """
    return {
        kind: Strangers(
            similarity.shuffled_cosine(held_out, held_out, kind=kind, mean=mean),
            {
                n: similarity.nearest(held_out, images, kind=kind, mean=mean).cosine[:, 0]
                for n, images in train.items()
            },
        )
        for kind in similarity.KINDS
    }


def copy_threshold(nearest: np.ndarray) -> float:
    """What a copy must exceed: as near to the nearest of N as this is one stranger in a hundred.

    Args:
        nearest: Of each held-out image, the cosine with the nearest of N training images, (n,).
    """
    return float(np.quantile(nearest, 0.99))
