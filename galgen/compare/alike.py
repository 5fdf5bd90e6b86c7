"""Do two models draw the same from one latent? The agreement of a_i and b_i taken apart.

The anomaly cosine of two images is ruled by their largest scales, and there two Gaussians of alike sets agree
as well as anything can: near 1, a ceiling under which no network can show that it does better. So the
question is asked twice more.

*By scale*: the cosine of a_i - m and b_i - m within a group of principal components of the data, with m their
mean. Each group counts alike, however little of the variance it has.

*Beyond the Gaussian*: with g_A(z) what the Gaussian of A's training images draws from the noise of A's image
(`galgen.compare.gaussian`), the anomaly cosine of the residuals

    a_i - g_A(z_i)  and  b_i - g_B(z_i).

What second moments explain is gone from both. The null pairs the latents anew: 0, if nothing but that was
shared. A network that has seen other galaxies, with its own Gaussian, says how much of the rest is due to the
network and to the look of any galaxy.
"""

from itertools import pairwise

import numpy as np
from torch import Tensor

from galgen.compare.uncertainty import Outcome, permutation_test, permuted
from galgen.data import similarity


def groups(count: int) -> dict[str, slice]:
    """Groups of so many principal components, by name, from the largest scales on."""
    ends = [*(end for end in (0, 1, 5, 20, 100, 400) if end < count), count]
    names = [f"components {a + 1}-{b}" if b > a + 1 else f"component {b}" for a, b in pairwise(ends)]
    return dict(zip(names, map(slice, ends, ends[1:]), strict=True))


def by_scale(a: Tensor, b: Tensor, images: np.ndarray, count: int = 2000) -> dict[str, np.ndarray]:
    """The cosine of a_i and b_i within groups of principal components, from the largest scales on.

    Args:
        a: Images (n, C, H, W) in [0, 1].
        b: As many images.
        images: The data set, uint8 (M, C, H, W); its first `count` define the components.
        count: See there.

    Returns:
        By the name of the group the cosines (n,); 0 where an image has nothing in it. Groups beyond the
        number of pixels or of images are left out.
    """
    flat = images[:count].reshape(len(images[:count]), -1) / 255
    mean = flat.mean(0)
    components = np.linalg.svd(flat - mean, full_matrices=False)[2][: len(flat) - 1]
    u, v = ((part.numpy().reshape(len(part), -1) - mean) @ components.T for part in (a, b))
    found = {}
    for name, part in groups(len(components)).items():
        x, y = u[:, part], v[:, part]
        norm = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
        found[name] = np.divide((x * y).sum(1), norm, out=np.zeros(len(x)), where=norm > 0)
    return found


def repaired(a: Tensor, b: Tensor, *, mean: np.ndarray, permutations: int = 500, seed: int = 0) -> Outcome:
    """The median anomaly cosine of a_i and b_i beside that of latents paired anew.

    Args:
        a: Images or residuals (n, C, H, W).
        b: Those of the other model, of the same latents.
        mean: The data set's mean image.
        permutations: Of the null.
        seed: Random seed.
    """
    orders = permuted(np.arange(len(a)), permutations, seed)
    cosines = similarity.cosine_matrix(a, b, kind="anomaly", mean=mean)
    return permutation_test(np.median(cosines[np.arange(len(a)), orders], axis=1))
