"""Flux, half-light radius and ellipticity of images, and their biases in percent.

*Photometry of one image.* The sky, the median of the outermost pixels, is subtracted. With I_p the remaining
light of pixel p, r_p its distance from the centroid c, and an aperture whose edge is soft over one pixel,

    F(r)  = sum_p I_p a(r - r_p),    a(t) = min(1, max(0, t + 1/2))       the curve of growth
    flux  = F(R),    R = 7/16 of the side                                 total (stretched) flux
    size  = r_50,    F(r_50) = F(R) / 2                                   half-light radius, pixels
    Q_ij  = sum_p a(R - r_p) I_p (x_i - c_i) (x_j - c_j)                  second moments of the light
    |e|   = ((Q_11 - Q_22)^2 + 4 Q_12^2)^(1/2) / (Q_11 + Q_22)            ellipticity

|e| is the "distortion", (1 - q^2) / (1 + q^2) for elliptical isophotes of axis ratio q. The centroid c is
that of the light in such an aperture about the middle of the image: relative to the middle itself, a galaxy
offset by a fraction of a pixel would appear larger and flatter. As a(t) = max(0, t + 1/2) - max(0, t - 1/2),

    F(r) = S(r + 1/2) - S(r - 1/2),    S(t) = sum_{r_p < t} I_p (t - r_p),

which are running sums of I_p and I_p r_p, here over rings of 1/8 pixel. For an image that is not finite, or
has no light above its sky, size and ellipticity are NaN.

*Bias.* With m the mean over the images of a set, in percent,

    bias = 100 (m(images) / m(galaxies) - 1).

The 95 %
interval is that of the percentile bootstrap, in which both sets are resampled.

*Comparison with the literature.* The images are those that the models are trained on: 8 bits, with an asinh
stretch of the flux, which enhances faint light, and not corrected for seeing. So the values differ from
published ones; a bias compares images that were processed in the same way.

References:
    Bernstein & Jarvis 2002, Shapes and shears, stars and smears, https://doi.org/10.1086/338085 (moments, the
    distortion e). Conselice 2014, https://doi.org/10.1146/annurev-astro-081913-040037 (curve of growth).
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from galgen.compare.uncertainty import Estimate
from galgen.runs.errors import GalgenError

__all__ = ["FEWEST", "Biases", "Photometry", "biases", "photometry"]

FEWEST = 10  # smallest number of images with a value, in either set, for a bias
_STEP = 1 / 8  # step of the curve of growth, in pixels
_SOFT = round(1 / (2 * _STEP))  # half of the soft edge, in steps


@dataclass(frozen=True)
class Photometry:
    """Photometry of n images; NaN where a quantity is undefined.

    Attributes:
        flux: Stretched flux in the aperture, in units of one white pixel, (n,).
        size: Half-light radius in pixels, (n,).
        ellipticity: |e|, (n,).
    """

    flux: np.ndarray
    size: np.ndarray
    ellipticity: np.ndarray


@dataclass(frozen=True)
class Biases:
    """Biases of a set of images relative to galaxies, in percent; None where a bias is undefined.

    Attributes:
        flux: Bias of the mean flux.
        size: Bias of the mean half-light radius.
        ellipticity: Bias of the mean |e|.
        measured: Fraction of the images that have a size and an ellipticity.
    """

    flux: Estimate | None
    size: Estimate | None
    ellipticity: Estimate | None
    measured: float


def photometry(images: np.ndarray | Tensor) -> Photometry:
    """Measure flux, half-light radius and ellipticity of every image.

    Args:
        images: Gray and square, (n, 1, H, H), n >= 1, H >= 8, floats with white at 1, or uint8.

    Raises:
        GalgenError: If the images have another shape.
    """
    images = np.asarray(images)
    side = images.shape[-1] if images.ndim == 4 else 0
    if side < 8 or images.shape[1:] != (1, side, side) or len(images) < 1:
        raise GalgenError(
            f"photometry needs square gray images (n, 1, H, H), n >= 1, H >= 8, not {images.shape}"
        )
    light, finite = _minus_sky(images[:, 0] / (255 if images.dtype == np.uint8 else 1.0))
    radius, place = 7 / 16 * side, np.arange(side) - (side - 1) / 2
    inner = light * _inside(radius, np.hypot(place[:, None], place))
    total = inner.sum((1, 2))
    shines = finite & (total > 1e-9)
    total = np.where(shines, total, np.inf)  # without light the centroid is the middle
    y, x = (place - (inner.sum(axis) @ place / total)[:, None] for axis in (2, 1))
    r = np.hypot(y[:, :, None], x[:, None])
    weight, growth = light * _inside(radius, r), _growth(light, r, radius)
    products = (y**0, x**2), (y**2, x**0), (y, x)
    q11, q22, q12 = (np.einsum("nyx,ny,nx->n", weight, *powers) for powers in products)
    shines &= (growth[:, -1] > 1e-9) & (q11 + q22 > 1e-9)
    e = np.hypot(q11 - q22, 2 * q12) / np.where(shines, q11 + q22, np.nan)
    flux, size = np.where(finite, growth[:, -1], np.nan), np.where(shines, _half(growth), np.nan)
    return Photometry(flux, size, e)


def biases(images: Photometry, galaxies: Photometry, *, resamplings: int = 2000, seed: int = 0) -> Biases:
    """Return the biases of a set of images relative to galaxies, in percent.

    Args:
        images: Photometry of the images.
        galaxies: Photometry of galaxies with the same number of pixels and gray levels.
        resamplings: Number of bootstrap resamplings.
        seed: Random seed.
    """
    rng, sets = np.random.default_rng(seed), (images, galaxies)
    weights = [_weights(len(one.flux), resamplings, rng) for one in sets]
    columns = [np.column_stack([one.flux, one.size, one.ellipticity]) for one in sets]
    means, reference = (_means(w, values) for w, values in zip(weights, columns, strict=True))
    count = np.minimum(*(np.isfinite(values).sum(0) for values in columns))
    # a relative bias needs a reference that is significantly above 0
    valid = (count >= FEWEST) & (np.quantile(reference, 0.025, axis=0) > 0)
    ratio = 100 * (means / np.where(valid, reference, np.nan) - 1)
    estimates = (_estimate(*column) for column in zip(ratio.T, count, valid, strict=True))
    return Biases(*estimates, float(np.isfinite(images.ellipticity).mean()))


def _minus_sky(light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subtract the median of the border from images (n, H, W); return also which images are finite."""
    finite = np.isfinite(light).all((1, 2))
    light = np.where(finite[:, None, None], light, 0)
    border = np.concatenate([light[:, 0], light[:, -1], light[:, 1:-1, 0], light[:, 1:-1, -1]], axis=1)
    return light - np.median(border, axis=1)[:, None, None], finite


def _inside(radius: float, r: np.ndarray) -> np.ndarray:
    """Return the fraction of a pixel at distance r inside the aperture, a(radius - r)."""
    return np.clip(radius - r + 0.5, 0, 1)


def _growth(light: np.ndarray, r: np.ndarray, radius: float) -> np.ndarray:
    """Return F at 0, 1/8, ... `radius` pixels, (n, K), given images and distances r, both (n, H, W)."""
    last = round(radius / _STEP) + _SOFT
    ring = np.minimum(r / _STEP, last).astype(int)
    below = [np.cumsum(_sums(values, ring)[:, :last], axis=1) for values in (light, light * r)]
    edges = np.arange(1, last + 1) * _STEP
    S = np.pad(edges * below[0] - below[1], ((0, 0), (1 + _SOFT, 0)))  # no pixel is nearer than 0
    return S[:, 2 * _SOFT :] - S[:, : -2 * _SOFT]


def _half(growth: np.ndarray) -> np.ndarray:
    """Return the radius in pixels where the curve of growth first reaches half of its last value, (n,)."""
    half, rows = growth[:, -1] / 2, np.arange(len(growth))
    after = np.maximum((growth >= half[:, None]).argmax(1), 1)
    low, high = growth[rows, after - 1], growth[rows, after]
    part = np.divide(half - low, high - low, out=np.zeros_like(low), where=high > low)
    return (after - 1 + np.clip(part, 0, 1)) * _STEP


def _sums(values: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Sum values (n, H, W) over the pixels of each part, indexed from 0: (n, parts)."""
    n, parts = len(values), int(part.max(initial=0)) + 1
    place = np.arange(n)[:, None, None] * parts + part
    return np.bincount(place.ravel(), values.ravel(), n * parts).reshape(n, parts)


def _weights(n: int, resamplings: int, rng: np.random.Generator) -> np.ndarray:
    """Return weights of n images in a mean, original and resampled, (1 + resamplings, n)."""
    return np.vstack([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), resamplings)])


def _means(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return weighted means of the finite values of each column, (1 + resamplings, p)."""
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return (weights @ np.where(finite, values, 0)) / (weights @ finite)


def _estimate(values: np.ndarray, n: int, valid: bool) -> Estimate | None:
    """Return the first value, with the interval of the others."""
    if not valid:
        return None
    low, high = np.nanquantile(values[1:], (0.025, 0.975))
    return Estimate(float(values[0]), float(low), float(high), int(n))
