"""Are samples as varied as galaxies? Scale by scale, from brightness and size to noise.

With v_k the principal components of the training images, the variance of the samples along a group G of them
over that of the training images,

    sum_{k in G} Var(<samples, v_k>) / sum_{k in G} Var(<images, v_k>),

is 1 for a model that has learnt the second moments, at large scales (the first component is little more than
brightness and size) and at small ones (the last are noise).
"""

from itertools import pairwise

import numpy as np
from torch import Tensor

__all__ = ["Group", "brightness", "first_component", "groups", "principal_spread"]

IMAGES = 2000  # that define the components, of as many as there are


class Group(str):
    """The name of a group of principal components, which knows their numbers, counted from 1."""

    def __new__(cls, first: int, last: int) -> "Group":
        """The first and the last of them."""
        alone = first == last
        self = super().__new__(cls, f"component {first}" if alone else f"components {first}-{last}")
        self.first, self.last, self.alone = first, last, alone
        return self

    def __getnewargs__(self) -> tuple[int, int]:
        """What a copy is made of."""
        return self.first, self.last

    @property
    def span(self) -> str:
        """The first and the last, as `2-5`, or the only one."""
        return f"{self.first}" if self.alone else f"{self.first}-{self.last}"


def groups(count: int) -> dict[Group, slice]:
    """Groups of so many principal components, by name, from the largest scales on.

    >>> list(groups(7))
    ['component 1', 'components 2-5', 'components 6-7']
    """
    ends = [*(end for end in (0, 1, 5, 20, 100, 400) if end < count), count]
    return {Group(a + 1, b): slice(a, b) for a, b in pairwise(ends)}


def brightness(samples: Tensor, images: np.ndarray) -> float:
    """Mean of all pixels of samples in [0, 1] over that of the training images, uint8; 1 is right."""
    return float(samples.mean() / (images.mean() / 255))


def first_component(images: np.ndarray) -> float:
    """The standard deviation of uint8 images, scaled to [0, 1], along their first principal component."""
    flat = images[:IMAGES].reshape(len(images[:IMAGES]), -1) / 255
    return float(np.linalg.norm(flat - flat.mean(0), 2) / len(flat) ** 0.5)


def principal_spread(samples: Tensor | np.ndarray, images: np.ndarray) -> dict[Group, float]:
    """Variance of samples over that of images, by group of principal components.

    Args:
        samples: (n, 1, H, W), n >= 2, in [0, 1].
        images: The training images, uint8 (N, 1, H, W), of which `IMAGES` define the components.

    Returns:
        The ratio by the name of the group, up to component 400; groups beyond the number of pixels or images
        are left out.
    """
    flat = images.reshape(len(images), -1) / 255
    components = np.linalg.svd(flat[:IMAGES] - flat.mean(0), full_matrices=False)[2]
    wanted = ((flat - flat.mean(0)) @ components.T).var(0)
    drawn = np.asarray(samples).reshape(len(samples), -1)
    found = ((drawn - drawn.mean(0)) @ components.T).var(0)
    parts = groups(min(len(wanted), len(flat[:IMAGES]) - 1, 400))
    return {name: float(found[part].sum() / wanted[part].sum()) for name, part in parts.items()}
