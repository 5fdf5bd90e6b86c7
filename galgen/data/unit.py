"""Conversion of 8-bit images to floats in [0, 1], the scale of all models and tests."""

import numpy as np
import torch
from torch import Tensor

__all__ = ["mean_image", "unit"]


def unit(images: np.ndarray) -> Tensor:
    """Convert uint8 images of any shape, also memory-mapped, to a float32 tensor in [0, 1].

    >>> unit(np.array([0, 51, 255], np.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    """
    return torch.from_numpy(np.array(images)).float() / 255


def mean_image(images: np.ndarray) -> np.ndarray:
    """Return the mean of uint8 images (n, C, H, W), also memory-mapped: float32 (C, H, W) in [0, 1]."""
    total = np.sum(images, axis=0, dtype=np.float64)
    return (total / (255 * len(images))).astype(np.float32)
