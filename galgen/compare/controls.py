"""What to hold a model against: real galaxies it never saw, and images that are wrong in a known way.

From the held-out images, for sets of n images each,

    reference   the first 2 n: what a model is compared with
    null        the n after them, as if a model had drawn them: how far apart equals are
    blurred     the null, each image smoothed by a Gaussian of half a pixel: a fault the eye hardly sees
    gaussian    draws of the Gaussian with the training images' mean and covariance: second moments, no more

A statistic is worth quoting when it passes the null and fails the other two.

All are rounded to the grey levels of the model they are compared with, so that rounding is not what is
found: with w = 2^(8 - bits), the pixel v of 0 .. 255 becomes the centre of its bin, w floor(v/w) + (w - 1)/2.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from galgen.compare.gaussian import fit_gaussian
from galgen.errors import GalgenError

__all__ = ["Controls", "controls", "rounded"]


@dataclass(frozen=True)
class Controls:
    """Sets of images (n, 1, H, W), float32 in [0, 1]; the reference has twice as many.

    Attributes:
        reference: Held-out images.
        null: Others of them.
        blurred: The null, blurred by half a pixel.
        gaussian: Draws of the Gaussian with the training images' covariance.
    """

    reference: np.ndarray
    null: np.ndarray
    blurred: np.ndarray
    gaussian: np.ndarray


def rounded(images: Tensor | np.ndarray, bits: int = 8) -> np.ndarray:
    """Images in [0, 1], or uint8, clipped and rounded to 2^bits grey levels: float32, same shape.

    Images that already lie at the centres of their bins, such as those of a flow, stay as they are.
    """
    array = images.numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.dtype != np.uint8:
        # floor(x + 1/2), as a centre at 5 bits is half an integer: it must not leave its bin
        array = np.floor(np.clip(array, 0, 1).astype(np.float64) * 255 + 0.5)
    width = 2 ** (8 - bits)
    return ((array // width * width + (width - 1) / 2) / 255).astype(np.float32)


def controls(held_out: np.ndarray, train: np.ndarray, count: int, *, bits: int = 8) -> Controls:
    """The reference, the null and two controls that must fail.

    Args:
        held_out: Images that no model has seen, uint8 (m, 1, H, W), m >= 3 count.
        train: Training images, for the covariance, uint8 (N, 1, H, W).
        count: Images of each set, n; the reference has 2 n.
        bits: Of the grey levels.

    Raises:
        GalgenError: If there are too few held-out images.
    """
    if count < 1 or len(held_out) < 3 * count:
        raise GalgenError(f"{len(held_out)} held-out images are too few for a reference and sets of {count}")
    reference, null = held_out[: 2 * count], held_out[2 * count : 3 * count]
    blurred = ndimage.gaussian_filter(null / 255, 0.5, axes=(2, 3))
    drawn = fit_gaussian(train).draw(range(count))
    return Controls(*(rounded(part, bits) for part in (reference, null, torch.from_numpy(blurred), drawn)))
