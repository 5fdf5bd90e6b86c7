"""A noisy image, denoised by a trained network: the posterior mean, the noise that is found, the residual.

Of y = x + sigma z the network gives x_hat = E[x | y], where x is what it was trained on: galaxies with the
noise of their survey, so that this stays. A blind network is not told sigma, and finds it as the length of
its residual,

    sigma_hat = sqrt(mean (y - x_hat)^2),

which falls short of sigma by what the prior tells: E (y - x_hat)^2 = sigma^2 - E (x - x_hat)^2. One that is
told the noise must be told. A posterior mean is no measurement: where noise hides a galaxy, the prior draws
it, and a network that has seen ten galaxies draws one of the ten.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from galgen.data.acquire.readers import SUFFIXES, read_drawn, read_picture
from galgen.inference.loading import Model, load_model
from galgen.models.families import Family
from galgen.models.sampling import posterior_mean
from galgen.profiles import Parameters
from galgen.runs.arguments import Images, validated
from galgen.runs.errors import GalgenError, checked, reading
from galgen.runs.files import regular

__all__ = ["Denoised", "denoise", "denoised", "read", "trained_range", "unit_images"]

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
        images: Display values, black at 0 and white at 1, and the noise beyond; or uint8.
        model: Its name, as `diffusion-N4000-A`.
        sigma: The noise, in units of the dynamic range, for a conditional network; a blind one finds it.
        seed: Of the book, as all below, that a training of the store is of.
        profile: Its profile.
        data: Its images.
        N: Its sizes.
        precision: That of its wide networks.
        store: The run store that has the model.
        models: The folder of published models that has it.

    Raises:
        GalgenError: If there is no such model, it is no denoiser, or it was trained on images of another size
            or on other noise; or an argument is of another kind.
    """
    book = {"profile": profile, "data": data, "N": N, "seed": seed, "precision": precision}
    asked = checked(Parameters, book, "galgen.denoise")
    return denoised(load_model(model, asked, store=store, models=models), images, sigma)


def denoised(model: Model, images: np.ndarray, sigma: float | None = None) -> Denoised:
    """The same with a model that is load_model."""
    low, high, told = trained_range(model.family)
    noisy = unit_images(images, model)
    if told != (sigma is not None):
        way_out = "say how much (--sigma)" if told else "leave it out (--sigma)"
        raise GalgenError(f"{model.name} is {'' if told else 'not '}told the noise: {way_out}")
    if told and not low <= sigma <= high:
        raise GalgenError(
            f"{model.name} was trained on noise of {low:g} to {high:g}, and {sigma:g} is not within"
        )
    denoiser, y = model.family.denoiser(model.networks()), torch.from_numpy(noisy)[:, None]
    with torch.inference_mode():  # a blind one makes no use of the noise
        mean = posterior_mean(denoiser, y, sigma or high, CHUNK)[:, 0].numpy()
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
    if hasattr(settings, "noise_most"):
        return settings.noise_least, settings.noise_most, True
    return 0, settings.sampler_sigma_max, False


def unit_images(images: np.ndarray, model: Model) -> np.ndarray:
    """Images as float32 (n, H, W), if they are such as the model was trained on."""
    if images.dtype.kind != "f" and images.dtype != np.uint8:
        raise GalgenError(f"pixels are {images.dtype}; give uint8, or floats with black at 0 and white at 1")
    x = np.asarray(images / 255 if images.dtype == np.uint8 else images, np.float32)
    x = x[None] if x.ndim == 2 else x[:, 0] if x.ndim == 4 and x.shape[1] == 1 else x
    if x.ndim != 3 or not len(x) or x.shape[1:] != (model.size, model.size):
        raise GalgenError(
            f"an array {images.shape}: {model.name} was trained on {model.size} x {model.size} pixels; give "
            "such images, (H, W) or (n, H, W)"
        )
    if not np.isfinite(x).all():
        raise GalgenError("some pixels are not finite; fill them, or leave these images out")
    return x


def read(path: Path, key: str | None = None) -> np.ndarray:
    """The images in a file, of display values, as they are.

    Raises:
        GalgenError: If there are none, or they are in colour, or flux.
    """
    name = path.name.lower()
    with reading(path, "give display values: an npy, npz, PNG or JPEG, or a FITS file with STRETCH"):
        regular(path)  # a pipe would be waited for
        if name.endswith(SUFFIXES["FITS"]):
            return read_drawn(path)[0].astype(np.float32)
        if name.endswith(SUFFIXES["picture"]):
            pixels = np.atleast_3d(read_picture(path))
            if (pixels != pixels[..., :1]).any():
                raise GalgenError(f"{path} is in colour; `galgen data import --gray` makes it gray")
            return pixels[..., 0]
        found = np.load(path, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else found[key or "images"]
