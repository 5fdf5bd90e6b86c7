"""Images of 8 bits as numbers in [0, 1], in which all models and tests compute."""

import numpy as np
import torch
from torch import Tensor


def unit(images: np.ndarray) -> Tensor:
    """Images, uint8 of any shape, also of a memory map, in [0, 1]: float32, same shape."""
    return torch.from_numpy(np.array(images)).float() / 255
