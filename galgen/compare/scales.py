"""Variance of samples relative to galaxies by scale, from brightness and size to noise.

With v_k the principal components of the training images, the variance of the samples along a group G of
components divided by that of the training images,

    sum_{k in G} Var(<samples, v_k>) / sum_{k in G} Var(<images, v_k>),

is 1 for a model that has learned the second moments, at large scales (the first component is mainly
brightness and size) and at small ones (the last components are noise).
"""

from itertools import pairwise

import numpy as np
from torch import Tensor

__all__ = ["Group", "first_component", "groups", "principal_spread"]

IMAGES = 2000  # maximum number of images that define the components


class Group(str):
    """Name of a group of principal components, with the numbers of the first and the last, from 1."""

    def __new__(cls, first: int, last: int) -> "Group":
        """Name the components from number `first` to number `last`."""
        alone = first == last
        self = super().__new__(cls, f"component {first}" if alone else f"components {first}-{last}")
        self.first, self.last, self.alone = first, last, alone
        return self

    def __getnewargs__(self) -> tuple[int, int]:
        """Return the arguments of the constructor, for copies."""
        return self.first, self.last

    @property
    def span(self) -> str:
        """Numbers of the first and the last component, as `2-5`, or of the only one."""
        return f"{self.first}" if self.alone else f"{self.first}-{self.last}"


def groups(count: int) -> dict[Group, slice]:
    """Divide `count` principal components into groups, by name, from the largest scales on.

    >>> list(groups(7))
    ['component 1', 'components 2-5', 'components 6-7']
    """
    edges = [*(end for end in (0, 1, 5, 20, 100, 400) if end < count), count]
    return {Group(a + 1, b): slice(a, b) for a, b in pairwise(edges)}


def first_component(images: np.ndarray) -> float:
    """Return the standard deviation of uint8 images, scaled to [0, 1], along their first component."""
    flat = images[:IMAGES].reshape(len(images[:IMAGES]), -1) / 255
    return float(np.linalg.norm(flat - flat.mean(0), 2) / len(flat) ** 0.5)


def principal_spread(samples: Tensor | np.ndarray, images: np.ndarray) -> dict[Group, float]:
    """Return the variance of samples divided by that of images, by group of principal components.

    Args:
        samples: (n, 1, H, W), n >= 2, in [0, 1].
        images: The training images, uint8 (N, 1, H, W); the first `IMAGES` define the components.

    Returns:
        The ratio by name of the group, up to component 400; groups beyond the number of pixels or images are
        omitted.
    """
    flat = images.reshape(len(images), -1) / 255
    components = np.linalg.svd(flat[:IMAGES] - flat.mean(0), full_matrices=False)[2]
    target = ((flat - flat.mean(0)) @ components.T).var(0)
    pixels = np.asarray(samples).reshape(len(samples), -1)
    spread = ((pixels - pixels.mean(0)) @ components.T).var(0)
    parts = groups(min(len(target), len(flat[:IMAGES]) - 1, 400))
    return {name: float(spread[part].sum() / target[part].sum()) for name, part in parts.items()}
