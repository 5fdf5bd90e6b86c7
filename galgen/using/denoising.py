"""A noisy image, denoised by a trained network: the posterior mean, the noise that is found, the residual.

Of y = x + sigma z the network gives x_hat = E[x | y], where x is what it was trained on: galaxies with the
noise of their survey, so that this stays. A blind network is not told sigma, and finds it as the length of
its residual,

    sigma_hat = sqrt(mean (y - x_hat)^2),

which falls short of sigma by what the prior tells: E (y - x_hat)^2 = sigma^2 - E (x - x_hat)^2. One that is
told the noise must be told. A posterior mean is no measurement: where noise hides a galaxy, the prior draws
it, and a network that has seen ten galaxies draws one of the ten.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from galgen.compare.denoising import psnr
from galgen.data.acquire.readers import SUFFIXES, open_source, read_drawn, read_npy, read_picture
from galgen.data.acquire.recipe import Recipe
from galgen.models.families import Family
from galgen.models.sampling import posterior_mean
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, checked, reading
from galgen.using.opening import Model, opened

__all__ = ["Denoised", "denoise", "denoised", "psnr_of", "read", "trained_range", "unit_images"]

CHUNK = 64  # images in a call of the network


@dataclass(frozen=True)
class Denoised:
    """What a network makes of noisy images.

    Attributes:
        noisy: The images, float32 (n, H, W).
        mean: The posterior mean of each, float32 (n, H, W).
        sigma: The length of each residual (n,): of a blind network the noise that it finds.
    """

    noisy: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        """What was taken out, (n, H, W)."""
        return self.noisy - self.mean


def denoise(
    images: np.ndarray,
    model: str,
    *,
    sigma: float | None = None,
    store: str | os.PathLike | None = None,
    models: str | os.PathLike | None = None,
    **parameters: object,
) -> Denoised:
    """Denoise images (n, H, W) or (H, W) with a trained denoiser; see `Denoised`.

    Args:
        images: Display values, black at 0 and white at 1, and the noise beyond; or uint8.
        model: Its name, as `diffusion-N4000-A`, or a file of weights (`galgen.using.opening`).
        sigma: The noise, in units of the dynamic range; a blind network finds it.
        store: The run store that has the model.
        models: The folder of published models that has it.
        parameters: Of the book, for a training of the store: `profile`, `data`, `N`, `seed`, `precision`.

    Raises:
        GalgenError: If there is no such model, it is no denoiser, or it was trained on images of another size
            or on other noise.
    """
    asked = checked(Parameters, parameters, "galgen.denoise")
    places = {"store": store and Path(store), "models": models and Path(models)}
    return denoised(opened(os.fspath(model), asked, **places), images, sigma)


def denoised(model: Model, images: np.ndarray, sigma: float | None = None) -> Denoised:
    """The same with a model that is opened."""
    low, high, told = trained_range(model.family)
    noisy = unit_images(images, model)
    if told and sigma is None:
        raise GalgenError(
            f"{model.name} is told the noise and finds none: say how much (--sigma), or ask a blind one"
        )
    if sigma is not None and not low <= sigma <= high:
        raise GalgenError(
            f"{model.name} was trained on noise of {low:g} to {high:g}, and {sigma:g} is not within"
        )
    denoiser, y = model.family.denoiser(model.networks()), torch.from_numpy(noisy)[:, None]
    with torch.inference_mode():
        mean = posterior_mean(denoiser, y, sigma or high, CHUNK)[
            :, 0
        ].numpy()  # a blind one makes no use of it
    found = np.sqrt(np.square(noisy - mean, dtype=np.float64).mean((1, 2)))
    if not np.isfinite(found).all() or (sigma is None and found.max() > high):
        raise GalgenError(
            f"{model.name} finds noise of {found.max():.3g}, and was trained on {low:g} to {high:g}: bring "
            "the image to black at 0, white at 1"
        )
    return Denoised(noisy, mean, found)


def trained_range(family: Family) -> tuple[float, float, bool]:
    """The least and the largest noise that a family of denoisers is trained on, and whether it is told.

    Raises:
        GalgenError: If it is none of denoisers.
    """
    if not hasattr(family, "denoiser"):
        raise GalgenError(f"{family.label} models denoise nothing; name a diffusion or conditional one")
    settings = family.settings
    told = hasattr(settings, "noise_most")
    return (
        (settings.noise_least, settings.noise_most, told) if told else (0, settings.sampler_sigma_max, told)
    )


def unit_images(images: np.ndarray, model: Model) -> np.ndarray:
    """Images as float32 (n, H, W), if they are such as the model was trained on."""
    images = np.asarray(images)
    if images.dtype.kind != "f" and images.dtype != np.uint8:
        raise GalgenError(f"pixels are {images.dtype}; give uint8, or floats with black at 0 and white at 1")
    x = np.asarray(images / 255 if images.dtype == np.uint8 else images, np.float32)
    while x.ndim > 3 and 1 in (x.shape[1], x.shape[-1]):  # a plane of its own
        x = x.squeeze(1 if x.shape[1] == 1 else -1)
    x = x[None] if x.ndim == 2 else x
    if x.ndim != 3 or not len(x):
        raise GalgenError(f"an array {images.shape}: give gray images, (H, W) or several, (n, H, W)")
    if x.shape[1:] != (model.size, model.size):
        found = " x ".join(map(str, x.shape[1:]))
        raise GalgenError(
            f"the image has {found} pixels, and {model.name} was trained on {model.size} x {model.size}"
        )
    if wrong := int((~np.isfinite(x)).any((1, 2)).sum()):
        raise GalgenError(
            f"{wrong} of {len(x)} images have pixels that are not finite; fill them, or cut elsewhere"
        )
    return x


def psnr_of(answer: Denoised, clean: np.ndarray) -> dict[str, np.ndarray]:
    """PSNR in dB of each noisy and each denoised image, (n,) each, of the same ones without noise (n, H, W).

    Raises:
        GalgenError: If they are not as many.
    """
    if len(clean) != len(answer.mean):
        raise GalgenError(f"{len(clean)} clean images are not those of {len(answer.mean)} noisy ones")
    x, y, mean = (torch.from_numpy(part)[:, None] for part in (clean, answer.noisy, answer.mean))
    return {"PSNR noisy, dB": psnr(y, x).numpy(), "denoised, dB": psnr(mean, x).numpy()}


def read(path: Path, key: str | None = None) -> np.ndarray:
    """The images in a file, of display values: (n, H, W) as they are, or uint8.

    Raises:
        GalgenError: If there are none, they are in colour, or flux.
    """
    name = path.name.lower()
    if not path.is_file():
        raise GalgenError(f"{path} is no file; give an image, as PNG, JPEG, npy, npz, HDF5 or FITS")
    with reading(path):
        if name.endswith(SUFFIXES["FITS"]):
            return read_drawn(path)[0].astype(np.float32)
        if name.endswith(SUFFIXES["picture"]):
            return _gray(read_picture(path), path)
        if name.endswith(SUFFIXES["npy"]) and (array := read_npy(path)).ndim == 2:
            return array
        with contextlib.ExitStack() as resources:
            source = open_source(path, Recipe().bands, key, resources)
            return np.stack([_gray(source.read(i)[1], path) for i in range(len(source.names))])


def _gray(pixels: np.ndarray, path: Path) -> np.ndarray:
    """An image (H, W) of one, or of three equal, planes."""
    if pixels.ndim == 2:
        return pixels
    planes = pixels if pixels.shape[0] in (1, 3) else np.moveaxis(pixels, -1, 0)
    if not (planes == planes[:1]).all():
        raise GalgenError(
            f"{path} is in colour; the models know gray: `galgen data import --gray` makes it so"
        )
    return planes[0]
