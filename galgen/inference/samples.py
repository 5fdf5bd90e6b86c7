"""Samples of a trained model, as arrays and in files.

Latent k of the run with seed s has seed 10^6 s + k (`Experiment.latents`), for every model. So the samples
equal those of the book: bit for bit with the weights of a training, approximately with published weights,
whose convolutions are stored in half precision.

Images are display values with black at 0 and white at 1, slightly exceeded by the models and not clipped. In
npz and FITS files they are unchanged, in a directory of PNG files they are rounded to 8 bits. The keyword
STRETCH in a FITS header marks them as display values, not flux, for the importer.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits
from PIL import Image

from galgen.data.acquire.readers import DISPLAY
from galgen.data.dataset import check_free
from galgen.figures.style import gray
from galgen.inference.loading import Model, load_model
from galgen.profiles import Parameters
from galgen.runs.arguments import validated
from galgen.runs.errors import GalgenError, checked, reading
from galgen.runs.files import atomic_folder, atomic_path

__all__ = ["SUFFIXES", "check_output_path", "draw", "latents", "sample", "write"]

SUFFIXES = (".npz", ".fits", "")  # a name without suffix is a directory
LATENTS = 1_000_000  # per seed


@validated
def sample(
    model: str,
    n: int = 64,
    *,
    first: int = 0,
    seed: int = 0,
    profile: str = "laptop",
    data: str = "simulated",
    N: object = None,
    precision: str = "auto",
    store: Path | None = None,
    models: Path | None = None,
) -> np.ndarray:
    """Generate samples of a trained model: float32 (n, H, W), black at 0 and white at 1, not clipped.

    Args:
        model: Name of the model, as `diffusion-N4000-A`.
        n: Number of samples.
        first: Index of the first latent.
        seed: Seed of the run that the training belongs to; it defines the latents, the same for all models.
        profile: Profile of that run; likewise all parameters below.
        data: Data set of the run.
        N: Training set sizes of the run.
        precision: Precision of the run's wide networks.
        store: Run store that contains the model.
        models: Directory of published models that contains it.

    Raises:
        GalgenError: If the model or a latent does not exist, or an argument has a wrong type.
    """
    book = {"profile": profile, "data": data, "N": N, "seed": seed, "precision": precision}
    parameters = checked(Parameters, book, "galgen.sample")
    return draw(load_model(model, parameters, store=store, models=models), latents(n, first, parameters.seed))


def latents(n: int, first: int = 0, seed: int = 0) -> range:
    """Return the seeds of the latents `first` to `first + n - 1` of the run with that seed.

    Raises:
        GalgenError: If a latent is out of range.
    """
    if not (0 <= first and 1 <= n and first + n <= LATENTS):
        raise GalgenError("the latents of a seed are 0 to 999 999: choose one or more of them")
    return range(LATENTS * seed + first, LATENTS * seed + first + n)


def draw(model: Model, seeds: range) -> np.ndarray:
    """Generate images (n, H, W) with a loaded model from the latents of these seeds.

    Raises:
        GalgenError: If the weights cannot be read or the images are not finite.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with reading(model.weights, "train or publish the model again"):
        networks = {name: net.to(device) for name, net in model.networks().items()}
        images = model.family.draw(networks, seeds, model.start.to(device)).cpu()
        if not images.isfinite().all():
            raise ValueError("its samples are not finite")
    return images[:, 0].numpy()


def check_output_path(out: Path, suffixes: Collection[str]) -> None:
    """Refuse a path that exists, cannot be written, or has another suffix.

    Raises:
        GalgenError: In these cases.
    """
    if out.suffix.lower() not in suffixes:
        raise GalgenError(f"{out}: the name must end in {' or '.join(filter(None, suffixes))}")
    check_free(out)


def write(out: Path, images: np.ndarray, model: Model, **more: np.ndarray) -> None:
    """Write images of a model to a file or directory, atomically.

    Args:
        out: File name that ends in .npz or .fits, or a directory for PNG files.
        images: The images, (n, H, W).
        model: The model.
        more: Further arrays to store, by name; `id` contains the seeds of the latents.
    """
    if not out.suffix:
        with atomic_folder(out) as folder:
            for seed, image in zip(more["id"], gray(images), strict=True):
                Image.fromarray(image).save(folder / f"{model.name}-latent-{seed:07d}.png")
        return
    with atomic_path(out) as temporary:
        if out.suffix.lower() == ".npz":
            np.savez_compressed(temporary, images=images, **more, **model.about, stretch=DISPLAY)
            return
        header = fits.Header(
            {"MODEL": model.name, "MODELKEY": model.key, "STRETCH": DISPLAY, "DATA": model.data}
            | {"PROFILE": model.profile, "SEED": model.seed}
        )
        if "id" in more:
            header["FIRSTID"] = int(more.pop("id")[0]), "seed of the first latent"
        extensions = [fits.ImageHDU(array, name=name.upper()) for name, array in more.items()]
        hdus = fits.HDUList([fits.PrimaryHDU(images, header), *extensions])
        hdus.writeto(temporary, overwrite=True, checksum=True)
