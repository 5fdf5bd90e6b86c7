"""Scale by scale, from brightness and size to noise: in groups of principal components of the galaxies.

*Do A and B agree?* The anomaly cosine of two images is ruled by their largest scales, and there two Gaussians
of alike sets agree as well as anything can: near 1, a ceiling under which no network can show that it does
better. So beside it stands the cosine of a_i - m and b_i - m within a group of components, with m the mean of
the data. Each group counts alike, however little of the variance it has. Within one component a cosine is a
sign, and its median 1 or -1 whatever the models do: there the share of equal signs stands, 1/2 if unrelated.

*Are samples as varied as galaxies?* With v_k the components of the training images, the variance of the
samples along a group G over that of the training images,

    sum_{k in G} Var(<samples, v_k>) / sum_{k in G} Var(<images, v_k>),

is 1 for a model that has learnt the second moments, at large scales (the first component is little more than
brightness and size) and at small ones (the last are noise).
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from torch import Tensor

__all__ = ["Group", "brightness", "by_scale", "first_component", "groups", "middle", "principal_spread"]

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


def by_scale(a: Tensor, b: Tensor, images: np.ndarray) -> dict[Group, np.ndarray]:
    """The cosine of a_i and b_i within groups of principal components, from the largest scales on.

    Args:
        a: Images (n, C, H, W) in [0, 1].
        b: As many images.
        images: The data set, uint8 (M, C, H, W); its first `IMAGES` define the components.

    Returns:
        By the name of the group the cosines (n,); 0 where an image has nothing in it. Groups beyond the
        number of pixels or of images are left out.
    """
    flat = images[:IMAGES].reshape(len(images[:IMAGES]), -1) / 255
    mean = flat.mean(0)
    components = np.linalg.svd(flat - mean, full_matrices=False)[2][: len(flat) - 1]
    u, v = ((part.numpy().reshape(len(part), -1) - mean) @ components.T for part in (a, b))
    found = {}
    for name, part in groups(len(components)).items():
        x, y = u[:, part], v[:, part]
        norm = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
        found[name] = np.divide((x * y).sum(1), norm, out=np.zeros(len(x)), where=norm > 0)
    return found


def middle(found: Mapping[Group, np.ndarray]) -> dict[Group, float]:
    """The median of `by_scale` in each group; in a group of one component the share of equal signs."""
    return {
        group: float((cosines > 0).mean() if group.alone else np.median(cosines))
        for group, cosines in found.items()
    }


def brightness(samples: Tensor, images: np.ndarray) -> float:
    """Mean of all pixels of samples in [0, 1] over that of the training images, uint8; 1 is right."""
    return float(samples.mean() / (images.mean() / 255))


def first_component(images: np.ndarray) -> float:
    """The standard deviation of uint8 images, scaled to [0, 1], along their first principal component."""
    flat = images[:IMAGES].reshape(len(images[:IMAGES]), -1) / 255
    return float(np.linalg.norm(flat - flat.mean(0), 2) / len(flat) ** 0.5)


def principal_spread(samples: Tensor, images: np.ndarray) -> dict[Group, float]:
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
    drawn = samples.numpy().reshape(len(samples), -1)
    found = ((drawn - drawn.mean(0)) @ components.T).var(0)
    parts = groups(min(len(wanted), len(flat[:IMAGES]) - 1, 400))
    return {name: float(found[part].sum() / wanted[part].sum()) for name, part in parts.items()}
