"""Images of 8 bits as numbers in [0, 1], in which all models and tests compute."""

import numpy as np
import torch
from torch import Tensor

__all__ = ["mean_image", "unit"]


def unit(images: np.ndarray) -> Tensor:
    """Images, uint8 of any shape, also of a memory map, in [0, 1]: float32, same shape.

    >>> unit(np.array([0, 51, 255], np.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    """
    return torch.from_numpy(np.array(images)).float() / 255


def mean_image(images: np.ndarray) -> np.ndarray:
    """The mean of uint8 images (n, C, H, W), which may be a memory map: float32 (C, H, W) in [0, 1]."""
    total = np.sum(images, axis=0, dtype=np.float64)
    return (total / (255 * len(images))).astype(np.float32)
