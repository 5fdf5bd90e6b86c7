r"""Preprocessing of flux images, simulated or real: crop, Lupton stretch, gray, resize, 8 bits.

With bands x_b of flux (nanomaggies per pixel) and their mean I = (x_1 + x_2 + x_3) / 3, the stretch of Lupton
et al. (2004) preserves the color and compresses the brightness,

    f(I) = 0.1 asinh(Q I / stretch) / asinh(0.1 Q),      y_b = max(0, x_b f(I) / I),    y_b = 0 where I <= 0,

and a pixel with max_b y_b > 1 is divided by that maximum. The gray value is the mean over b of y_b: it equals
f(I) wherever no band is negative or too bright. It is averaged over areas and only then rounded to 8 bits.

Paper, section 3.1: 64 x 64 pixels around the target, `make_lupton_rgb(Q=8, stretch=0.2)` on (z, g, r), gray.
"""

import numpy as np
from astropy.visualization import make_lupton_rgb

from galgen.runs.errors import GalgenError

__all__ = ["DRAWN", "averaged", "crop_centre", "flux_to_gray", "resize_area", "to_uint8"]

# Samples slightly outside [0, 1] are clipped; pixels beyond these limits indicate another scale.
DRAWN = (-0.5, 1.5)


def flux_to_gray(
    flux: np.ndarray, *, size: int, crop: int | None = 64, Q: float = 8.0, stretch: float = 0.2
) -> np.ndarray:
    """Convert flux to the 8-bit gray images that all models are trained on.

    The gray value is the mean of the three channels. It does not depend on the assignment of bands to colors,
    so the paper's order (z, g, r) for (red, green, blue) is equivalent to (z, r, g).

    Args:
        flux: Shape (n, bands, H, W), one to three bands from blue to red, usually (g, r, z), sky-subtracted,
            finite, nanomaggies per pixel. Of two bands the middle channel is the mean; one band is all three.
        size: Side of the result, pixels; at most `crop`.
        crop: Side of the central square, pixels; None: no crop, the image must be square.
        Q: Softening of the stretch; near 0 it is linear.
        stretch: The stretch is linear for fluxes per pixel well below `stretch / Q`. For flux in another
            unit, multiply 0.2 by the number of these units in a nanomaggy.

    Returns:
        uint8 array of shape (n, 1, size, size). Each pixel depends on its own image alone.

    Raises:
        GalgenError: If the crop is too large.
    """
    if crop is not None:
        flux = crop_centre(flux, crop)
    blue, red = flux[:, 0], flux[:, -1]
    middle = flux[:, 1] if flux.shape[1] == 3 else (blue + red) / 2
    # The stretch acts on single pixels, so all images are stacked vertically in one call.
    column = [band.reshape(-1, flux.shape[-1]).astype(np.float64) for band in (red, blue, middle)]
    with np.errstate(invalid="ignore"):  # it divides by I before it sets y = 0 where I = 0
        rgb = make_lupton_rgb(*column, Q=Q, stretch=stretch, output_dtype=np.float64)  # 3.1: (z, g, r)
    # The mean, not a luma, whose weights are for visual colors, which z, g and r are not. For simulated
    # galaxies a luma of (z, g, r) is 14 % darker, one of (z, r, g) 8 % brighter, and otherwise equivalent.
    gray = rgb.mean(axis=-1).reshape(len(flux), 1, *flux.shape[-2:])
    return to_uint8(resize_area(gray, size))


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Round images in [0, 1] to the nearest of 256 levels, clipping values outside."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def crop_centre(images: np.ndarray, crop: int) -> np.ndarray:
    """Return the central `crop` x `crop` pixels, as a view.

    The center of an image is pixel H // 2 (the middle pixel if H is odd), which becomes pixel crop // 2. If
    H and `crop` are both even or both odd, the margins on both sides are equal; otherwise they differ by one.

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
    """Downsample square images by exact averaging over areas, which preserves the mean brightness.

    Output pixel i covers [i H / size, (i + 1) H / size) of the input; the weight of input pixel j is the
    fraction of it inside. With M_ij this fraction divided by H / size, the result is M x M^T.

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
    """Average images, uint8 (n, C, H, H), over areas to `size` x `size` pixels in uint8, in chunks."""
    if images.shape[-1] == size:
        return images
    parts = (images[first : first + 256] / 255 for first in range(0, len(images), 256))
    return np.concatenate([to_uint8(resize_area(part, size)) for part in parts])
