"""Controls for a model: held-out galaxies, and images with known defects.

From the held-out and the training images, for n latents,

    reference   the first 2 n held-out images, with which a model is compared

and pairs of sets of n images, in place of model A's and model B's:

    held out              other held-out images: the distance of two sets of one distribution
    blurred               these, smoothed by a Gaussian, by default of half a pixel, which is hardly visible
    Gaussian              samples of the Gaussians with mean and covariance of A's and of B's training images:
                          second moments only; from the same noise, so they agree as far as the moments do
    empirical denoiser    training images: the optimum of the training loss, sampled from the same noise; not
                          uniformly, as the sampler starts at noise 1 about the mean, while the spread along
                          the first component may be larger: outliers, bright images, are sampled too rarely

A statistic is useful if it accepts the held-out images and rejects those with the defect that it tests.

The blur is by the discrete Gaussian, with I_k the modified Bessel functions,

    w_k = exp(-s^2) I_k(s^2),     sum_k w_k = 1,     sum_k k^2 w_k = s^2,

for any width s, however small. (A Gaussian sampled at pixel centers with s = 0.3 has the effect of 0.09.)

Images are rounded to the gray levels of the model they are compared with, so that rounding makes no
difference: with w = 2^(8 - bits), the pixel v of 0 .. 255 becomes the center of its bin,
w floor(v/w) + (w - 1)/2.

References:
    Lindeberg 1990, Scale-space for discrete signals, https://doi.org/10.1109/34.49051.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage, special
from torch import Tensor

from galgen.compare.gaussian import Empirical, fit_gaussian
from galgen.data.split import Split
from galgen.data.unit import mean_image
from galgen.models.sampling import blind, dpm_solver_2m, noise_schedule
from galgen.runs.errors import GalgenError

__all__ = ["Controls", "blurred", "controls", "rounded"]


@dataclass(frozen=True)
class Controls:
    """Control images (n, 1, H, W), float32 in [0, 1].

    Attributes:
        reference: Held-out images, (2 n, 1, H, W).
        pairs: By name, the images in place of A's and of B's.
    """

    reference: np.ndarray
    pairs: dict[str, tuple[np.ndarray, np.ndarray]]


def rounded(images: Tensor | np.ndarray, bits: int = 8) -> np.ndarray:
    """Clip images in [0, 1], or uint8, and round them to 2^bits gray levels: float32, same shape.

    Pixels that are already at the centers of their bins, such as those of a flow, are unchanged.
    """
    array = images.numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.dtype != np.uint8:
        # floor(x + 1/2), as a center at 5 bits is a half-integer, which must stay in its bin
        array = np.floor(np.clip(array, 0, 1).astype(np.float64) * 255 + 0.5)
    width = 2 ** (8 - bits)
    return ((array // width * width + (width - 1) / 2) / 255).astype(np.float32)


def blurred(images: np.ndarray, pixels: float) -> np.ndarray:
    """Smooth images (n, C, H, W), uint8 or in [0, 1], by a Gaussian of width `pixels`; return [0, 1]."""
    unit = images / 255 if images.dtype == np.uint8 else images
    reach = int(5 * pixels) + 4
    weights = special.ive(np.abs(np.arange(-reach, reach + 1)), pixels**2)
    for axis in (2, 3):
        unit = ndimage.convolve1d(unit, weights / weights.sum(), axis)
    return unit


def controls(images: np.ndarray, sets: Split, count: int, *, blur: float = 0.5) -> Controls:
    """Return the reference and the pairs of control images.

    Args:
        images: The data set, uint8 (M, 1, H, W).
        sets: Rows of A's and B's training images and of the validation images, 3 count or more.
        count: Number of images n per set.
        blur: Width of the blur in pixels.

    Raises:
        GalgenError: If the held-out images are too few.
    """
    if count < 1 or len(sets.validation) < 3 * count:
        raise GalgenError(
            f"{len(sets.validation)} held-out images are too few for a reference and sets of {count}"
        )
    held_out = images[sets.validation[: 3 * count]]
    training, start = (sets.A, sets.B), torch.from_numpy(mean_image(held_out))
    levels = noise_schedule(1.0, 0.02, 20)
    others = [held_out[2 * count :], held_out[count : 2 * count]]
    pairs = {
        "held out": others,
        "blurred": [blurred(part, blur) for part in others],
        "Gaussian": [fit_gaussian(images[rows]).draw(range(count)) for rows in training],
        "empirical denoiser": [
            dpm_solver_2m(blind(Empirical(images[rows])), start, range(count), levels, chunk=count).images
            for rows in training
        ],
    }
    return Controls(
        rounded(held_out[: 2 * count]), {name: (rounded(a), rounded(b)) for name, (a, b) in pairs.items()}
    )
