"""Synthetic galaxies shared by tests."""

import numpy as np

__all__ = ["galaxies"]


def galaxies(n, seed=0, side=16, least=0.4, most=1.0):
    """Blobs of many sizes, elongations and angles in the noise of a sky, uint8 (n, 1, side, side)."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side)) - (side - 1) / 2
    size, axis, angle = (rng.uniform(*ends, (n, 1, 1)) for ends in ((1, 3), (least, most), (0, np.pi)))
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    light = rng.uniform(0.3, 0.8, (n, 1, 1)) * np.exp(-np.hypot(along, across / axis) * 16 / side / size)
    images = 0.05 + light + rng.normal(0, 0.012, light.shape)
    return np.clip(np.rint(255 * images), 0, 255).astype(np.uint8)[:, None]
