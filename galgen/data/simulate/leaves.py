"""Dead-leaves images: unrelated to galaxies, but with the edges and scale invariance of natural images.

Discs at random positions and gray levels occlude one another until they cover the frame. Their radii have the
density r^-3 between two limits, which makes the statistics scale-invariant (Lee et al. 2001).

References:
    Lee, Mumford & Huang 2001, Occlusion models for natural images, International Journal of Computer Vision,
    41, 35, https://doi.org/10.1023/A:1011109015675.
"""

import numpy as np
from astropy.table import Table

from galgen.data.preprocess import resize_area, to_uint8
from galgen.runs.errors import GalgenError

__all__ = ["dead_leaves"]

DISCS = 400  # per image; uncovered pixels have the gray level of the last one
RADII = 1 / 32, 1 / 2  # of the side of the frame
CHUNK = 64


def dead_leaves(
    count: int, *, seed: int = 0, start: int = 0, size: int = 32, crop: int = 64, **others: object
) -> tuple[np.ndarray, Table]:
    """Generate images `start` to `start + count - 1` of the set with a given seed.

    Args:
        count: Number of images.
        seed: Random seed of the set.
        start: Index of the first image; image i does not depend on start and count.
        size: Side of the images in pixels.
        crop: Side of the frame in which they are rendered, averaged over areas to `size`.
        others: Other arguments of `galgen.data.simulate.images.simulate`, ignored.

    Returns:
        uint8 images of shape (count, 1, size, size), and a table of `count` rows with the column `id`.

    Raises:
        GalgenError: If count, size or crop is invalid.
    """
    if not 8 <= size <= crop <= 256 or count < 1:
        raise GalgenError(f"{count=}, {size=}, {crop=}: must be count >= 1 and 8 <= size <= crop <= 256")
    numbers = range(start, start + count)
    parts = [
        to_uint8(resize_area(_draw([(seed, i) for i in numbers[k : k + CHUNK]], crop), size))
        for k in range(0, count, CHUNK)
    ]
    return np.concatenate(parts), Table({"id": [f"leaves-{seed}-{i}" for i in numbers]})


def _draw(names: list[tuple[int, int]], side: int) -> np.ndarray:
    """Render frames (n, 1, side, side) in [0, 1], one per seed sequence in `names`."""
    u = np.stack([np.random.default_rng([*name, 0xDEAD]).random((4, DISCS)) for name in names], axis=1)
    least, most = RADII
    radius = (least**-2 + u[0] * (most**-2 - least**-2)) ** -0.5  # density r^-3
    at = (np.arange(side) + 0.5) / side
    x, y = (np.square(at - u[k][..., None], dtype=np.float32) for k in (1, 2))  # (n, discs, side)
    front = np.full((len(names), side, side), DISCS - 1)
    for disc in reversed(range(DISCS)):
        covered = x[:, disc, None, :] + y[:, disc, :, None] < np.square(radius[:, disc, None, None])
        front[covered] = disc
    return np.take_along_axis(u[3], front.reshape(len(names), -1), 1).reshape(-1, 1, side, side)
