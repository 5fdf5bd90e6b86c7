r"""The one preprocessing of flux images, simulated or real: crop, Lupton stretch, gray, resize, 8 bits.

With bands x_b of flux (nanomaggies a pixel) and their mean I = (x_1 + x_2 + x_3) / 3, the stretch of Lupton
et al. (2004) keeps the colour and compresses the brightness,

    f(I) = 0.1 asinh(Q I / stretch) / asinh(0.1 Q),      y_b = max(0, x_b f(I) / I),    y_b = 0 where I <= 0,

and a pixel with max_b y_b > 1 is divided by that maximum. The gray value is the mean over b of y_b: it equals
f(I) wherever no band is negative or too bright. It is averaged over areas and only then rounded to 8 bits.

Paper, section 3.1: 64 x 64 pixels about the target, `make_lupton_rgb(Q=8, stretch=0.2)` on (z, g, r), gray.
"""

import numpy as np
from astropy.visualization import make_lupton_rgb

from galgen.runs.errors import GalgenError

__all__ = ["DRAWN", "averaged", "crop_centre", "flux_to_gray", "resize_area", "to_uint8"]

# What models draw a little outside [0, 1] is clipped; of pixels beyond this the scale is another one.
DRAWN = (-0.5, 1.5)


def flux_to_gray(
    flux: np.ndarray, *, size: int, crop: int | None = 64, Q: float = 8.0, stretch: float = 0.2
) -> np.ndarray:
    """Turn flux into the 8-bit gray images that everything here is trained on.

    The gray value is the mean of the three channels. It does not depend on which band is drawn in which
    colour, so the paper's order (z, g, r) for (red, green, blue) is the same as (z, r, g).

    Args:
        flux: Shape (n, bands, H, W), one to three bands from blue to red, usually (g, r, z), sky-subtracted,
            finite, nanomaggies a pixel. Of two bands the middle channel is their mean; one band is all three.
        size: Side of the result, pixels; at most `crop`.
        crop: Side of the central square that is kept, pixels; None keeps the whole (square) image.
        Q: Softening of the stretch; near 0 it is linear.
        stretch: The stretch is linear for fluxes a pixel well below `stretch / Q`. For flux in another unit,
            multiply the 0.2 by the number of those units in a nanomaggy.

    Returns:
        uint8 array of shape (n, 1, size, size). Each pixel depends on its own image alone.

    Raises:
        GalgenError: If the crop is too large.
    """
    if crop is not None:
        flux = crop_centre(flux, crop)
    blue, red = flux[:, 0], flux[:, -1]
    middle = flux[:, 1] if flux.shape[1] == 3 else (blue + red) / 2
    # The stretch acts on each pixel alone, so the images may lie below one another in a single call.
    column = [band.reshape(-1, flux.shape[-1]).astype(np.float64) for band in (red, blue, middle)]
    with np.errstate(invalid="ignore"):  # it divides by I before it sets y = 0 where I = 0
        rgb = make_lupton_rgb(*column, Q=Q, stretch=stretch, output_dtype=np.float64)  # 3.1: (z, g, r)
    # The mean and not a luma, whose weights are for the eye's colours, which z, g and r are not. On simulated
    # galaxies a luma of (z, g, r) is 14 % darker, of (z, r, g) 8 % brighter, and otherwise the same picture.
    gray = rgb.mean(axis=-1).reshape(len(flux), 1, *flux.shape[-2:])
    return to_uint8(resize_area(gray, size))


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Round images in [0, 1] to the nearest of 256 levels, values outside to the ends."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def crop_centre(images: np.ndarray, crop: int) -> np.ndarray:
    """The central `crop` x `crop` pixels, as a view.

    The centre of an image of even side is taken at pixel H // 2, that of an odd one at its middle pixel, also
    H // 2, and it comes to lie at pixel crop // 2. Where H and `crop` are both even or both odd, the margins
    on the two sides are equal; otherwise they differ by one.

    Args:
        images: Shape (..., H, W).
        crop: Side of the square, pixels.

    Raises:
        GalgenError: If `crop` is not positive or larger than the image.
    """
    height, width = images.shape[-2:]
    if not 1 <= crop <= min(height, width):
        raise GalgenError(
            f"cannot crop {crop} x {crop} pixels out of {height} x {width}; choose a smaller crop"
        )
    top, left = height // 2 - crop // 2, width // 2 - crop // 2
    return images[..., top : top + crop, left : left + crop]


def resize_area(images: np.ndarray, size: int) -> np.ndarray:
    """Shrink square images by exact averaging over areas; the mean brightness is kept.

    Output pixel i covers [i H / size, (i + 1) H / size) of the input, and input pixel j counts with the part
    of it that lies inside. With M_ij that part divided by H / size, the result is M x M^T.

    Args:
        images: Shape (..., H, H).
        size: Side of the result, 1 to H.

    Returns:
        float64 array of shape (..., size, size).

    Raises:
        GalgenError: If the images are not square or smaller than `size`.

    >>> resize_area(np.eye(4), 2)
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    height, width = images.shape[-2:]
    if height != width:
        raise GalgenError(f"images of {height} x {width} pixels are not square; crop them first")
    if not 1 <= size <= height:
        raise GalgenError(
            f"images of {height} x {height} pixels cannot be averaged to {size} x {size}; choose another size"
        )
    edges, pixels = np.arange(size + 1)[:, None] * (height / size), np.arange(height)
    inside = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    weights = np.clip(inside, 0, None) * (size / height)
    return weights @ images @ weights.T


def averaged(images: np.ndarray, size: int) -> np.ndarray:
    """Images uint8 (n, C, H, H), averaged over areas to `size` pixels a side and rounded again; in parts."""
    if images.shape[-1] == size:
        return images
    parts = (images[first : first + 256] / 255 for first in range(0, len(images), 256))
    return np.concatenate([to_uint8(resize_area(part, size)) for part in parts])
