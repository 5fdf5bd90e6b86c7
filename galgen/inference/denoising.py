"""Denoising of images with a trained network: posterior mean, estimated noise level and residual.

Given y = x + sigma z, the network returns x_hat = E[x | y], where x is like its training images: galaxies
with the noise of their survey, which is not removed. A blind network estimates sigma as the root mean square
of its residual,

    sigma_hat = sqrt(mean (y - x_hat)^2),

which is below sigma because of the prior: E (y - x_hat)^2 = sigma^2 - E (x - x_hat)^2. A conditional network
needs sigma as an input. A posterior mean is not a measurement: where noise hides a galaxy, the prior supplies
it, and a network that was trained on ten galaxies supplies one of the ten.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from galgen.data.acquire.readers import SUFFIXES, read_drawn, read_picture
from galgen.data.preprocess import DRAWN
from galgen.inference.loading import Model, load_model
from galgen.models.families import Family
from galgen.models.sampling import posterior_mean
from galgen.profiles import Parameters
from galgen.runs.arguments import Images, validated
from galgen.runs.errors import GalgenError, checked, reading
from galgen.runs.files import regular

__all__ = ["Denoised", "denoise", "denoised", "read", "trained_range", "unit_images"]

CHUNK = 64  # images per call of the network


@dataclass(frozen=True)
class Denoised:
    """Denoised images.

    Attributes:
        noisy: The noisy images, float32 (n, H, W).
        mean: Their posterior means, float32 (n, H, W).
        sigma: Root mean square of each residual, (n,): for a blind network the estimated noise level.
    """

    noisy: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        """Noisy image minus posterior mean, (n, H, W)."""
        return self.noisy - self.mean


@validated
def denoise(
    images: Images,
    model: str,
    *,
    sigma: float | None = None,
    seed: int = 0,
    profile: str = "laptop",
    data: str = "simulated",
    N: object = None,
    precision: str = "auto",
    store: Path | None = None,
    models: Path | None = None,
) -> Denoised:
    """Denoise images (n, H, W) or (H, W) with a trained denoiser; see `Denoised`.

    Args:
        images: Display values with black at 0 and white at 1, exceeded by the noise; or uint8.
        model: Name of the model, as `diffusion-N4000-A`.
        sigma: Noise level in units of the dynamic range, for a conditional network; a blind one estimates it.
        seed: Seed of the run of the book that the training belongs to, as all parameters below.
        profile: Profile of the run.
        data: Data set of the run.
        N: Training set sizes of the run.
        precision: Precision of the run's wide networks.
        store: Run store that contains the model.
        models: Directory of published models that contains it.

    Raises:
        GalgenError: If the model is unknown or not a denoiser, was trained on images of another size or other
            noise levels, a pixel lies six sigma beyond display values, or an argument has a wrong type.
    """
    book = {"profile": profile, "data": data, "N": N, "seed": seed, "precision": precision}
    parameters = checked(Parameters, book, "galgen.denoise")
    return denoised(load_model(model, parameters, store=store, models=models), images, sigma)


def denoised(model: Model, images: np.ndarray, sigma: float | None = None) -> Denoised:
    """Denoise images (n, H, W) or (H, W) with a loaded model; see `denoise`."""
    low, high, conditional = trained_range(model.family)
    noisy = unit_images(images, model)
    if conditional != (sigma is not None):
        kind, remedy = ("conditional", "give") if conditional else ("blind", "leave out")
        raise GalgenError(f"{model.name} is a {kind} denoiser: {remedy} the noise level (--sigma)")
    if conditional and not low <= sigma <= high:
        raise GalgenError(
            f"{model.name} was trained on noise levels from {low:g} to {high:g}; {sigma:g} is outside"
        )
    most = high if sigma is None else sigma
    if max(DRAWN[0] - noisy.min(), noisy.max() - DRAWN[1]) > 6 * most:
        raise GalgenError(
            f"pixels from {noisy.min():.3g} to {noisy.max():.3g} do not fit an image with noise of {most:g}: "
            "scale the image to black at 0, white at 1, and give the noise level on this scale"
        )
    denoiser, y = model.family.denoiser(model.networks()), torch.from_numpy(noisy)[:, None]
    with torch.inference_mode():
        mean = posterior_mean(denoiser, y, sigma, CHUNK)[:, 0].numpy()
    estimate = np.sqrt(np.square(noisy - mean, dtype=np.float64).mean((1, 2)))
    if not np.isfinite(estimate).all() or estimate.max() > high:
        raise GalgenError(
            f"{model.name} estimates a noise level of {estimate.max():.3g}, but was trained on {low:g} to "
            f"{high:g}: scale the image to black at 0, white at 1"
        )
    return Denoised(noisy, mean, estimate)


def trained_range(family: Family) -> tuple[float, float, bool]:
    """Return the range of noise levels in the training of a family, and whether sigma is an input.

    Raises:
        GalgenError: If the models of this family are not denoisers.
    """
    if not hasattr(family, "denoiser"):
        raise GalgenError(f"{family.label} models are not denoisers; choose a diffusion or conditional one")
    settings = family.settings
    if hasattr(settings, "noise_most"):
        return settings.noise_least, settings.noise_most, True
    return 0, settings.sampler_sigma_max, False


def unit_images(images: np.ndarray, model: Model) -> np.ndarray:
    """Convert images to float32 (n, H, W), and refuse those of another size than the model's."""
    if images.dtype.kind != "f" and images.dtype != np.uint8:
        raise GalgenError(f"pixels are {images.dtype}; give uint8, or floats with black at 0 and white at 1")
    x = np.asarray(images / 255 if images.dtype == np.uint8 else images, np.float32)
    x = x[None] if x.ndim == 2 else x[:, 0] if x.ndim == 4 and x.shape[1] == 1 else x
    if x.ndim != 3 or not len(x) or x.shape[1:] != (model.size, model.size):
        raise GalgenError(
            f"an array {images.shape}: {model.name} was trained on {model.size} x {model.size} pixels; give "
            "images of this size, (H, W) or (n, H, W)"
        )
    if not np.isfinite(x).all():
        raise GalgenError("some pixels are not finite; replace them, or omit these images")
    return x


def read(path: Path, key: str | None = None) -> np.ndarray:
    """Read images of display values from a file, unchanged.

    Raises:
        GalgenError: If the file contains no images, or color images, or flux.
    """
    name = path.name.lower()
    with reading(path, "give display values: an npy, npz, PNG or JPEG, or a FITS file with STRETCH"):
        regular(path)  # reading a pipe could block
        if name.endswith(SUFFIXES["FITS"]):
            return read_drawn(path)[0].astype(np.float32)
        if name.endswith(SUFFIXES["picture"]):
            pixels = np.atleast_3d(read_picture(path))
            if (pixels != pixels[..., :1]).any():
                raise GalgenError(f"{path} is in color; `galgen data import --gray` converts it to gray")
            return pixels[..., 0]
        images = np.load(path, allow_pickle=False)
        return images if isinstance(images, np.ndarray) else images[key or "images"]
