"""Samples of a trained model, as arrays and in files.

Latent k of the book of seed s has seed 10^6 s + k (`Experiment.latents`), and a seed names its latent to
every model. So what is drawn here is what the book draws: from the weights of a training bit for bit, from
published ones, whose convolutions are in half precision, nearly.

Images are display values, black at 0 and white at 1, as the model draws them: a little outside, and not
clipped. In npz and FITS files they stay so, in a folder of PNG they are rounded to 8 bits. A FITS header says
in STRETCH that they are no flux, and the importer goes by that.
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

__all__ = ["SUFFIXES", "draw", "free", "latents", "sample", "write"]

SUFFIXES = (".npz", ".fits", "")  # without one it is a folder
LATENTS = 1_000_000  # of a seed


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
    """Draw from a trained model: float32 (n, H, W), black at 0 and white at 1, not clipped.

    Args:
        model: Its name, as `diffusion-N4000-A`.
        n: How many.
        first: The first latent.
        seed: That of the book, which names latents: latent k is the same for all models.
        profile: Of the book, as all below, that a training of the store is of.
        data: Its images.
        N: Its sizes.
        precision: That of its wide networks.
        store: The run store that has the model.
        models: The folder of published models that has it.

    Raises:
        GalgenError: If there is no such model or latent, or an argument is of another kind.
    """
    book = {"profile": profile, "data": data, "N": N, "seed": seed, "precision": precision}
    asked = checked(Parameters, book, "galgen.sample")
    return draw(load_model(model, asked, store=store, models=models), latents(n, first, asked.seed))


def latents(n: int, first: int = 0, seed: int = 0) -> range:
    """The seeds of the latents `first` to `first + n - 1` of the book of that seed.

    Raises:
        GalgenError: If there are no such latents.
    """
    if not (0 <= first and 1 <= n and first + n <= LATENTS):
        raise GalgenError("the latents of a seed are 0 to 999 999: ask for one or more of them")
    return range(LATENTS * seed + first, LATENTS * seed + first + n)


def draw(model: Model, seeds: range) -> np.ndarray:
    """The images (n, H, W) that a model draws of the latents of these seeds.

    Raises:
        GalgenError: If its weights draw nothing.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with reading(model.weights, "train or publish the model again"):
        networks = {name: net.to(device) for name, net in model.networks().items()}
        images = model.family.draw(networks, seeds, model.start.to(device)).cpu()
        if not images.isfinite().all():
            raise ValueError("it draws what is no number")
    return images[:, 0].numpy()


def free(out: Path, suffixes: Collection[str]) -> None:
    """Refuse a path at which nothing can be written, or whose suffix is none of these.

    Raises:
        GalgenError: If so, or something is there.
    """
    if out.suffix.lower() not in suffixes:
        raise GalgenError(f"{out}: give a name that ends in {' or '.join(filter(None, suffixes))}")
    check_free(out)


def write(out: Path, images: np.ndarray, model: Model, **more: np.ndarray) -> None:
    """Write images (n, H, W) that a model gives, whole or not at all.

    Args:
        out: A name that ends in .npz or .fits; or a folder, for PNG.
        images: They.
        model: The model.
        more: Arrays that belong to them, by name; `id` has the seeds of their latents.
    """
    if not out.suffix:
        with atomic_folder(out) as folder:
            for seed, image in zip(more["id"], gray(images), strict=True):
                Image.fromarray(image).save(folder / f"{model.name}-latent-{seed:07d}.png")
        return
    with atomic_path(out) as temporary:
        if out.suffix.lower() == ".npz":
            told = {"model": model.name, "key": model.key, "stretch": DISPLAY}
            np.savez_compressed(temporary, images=images, **more, **told)
            return
        header = fits.Header(
            {"MODEL": model.name, "MODELKEY": model.key, "STRETCH": DISPLAY, "DATA": model.data}
        )
        if "id" in more:
            header["FIRSTID"] = int(more.pop("id")[0]), "seed of the first latent"
        below = [fits.ImageHDU(array, name=name.upper()) for name, array in more.items()]
        hdus = fits.HDUList([fits.PrimaryHDU(images, header), *below])
        hdus.writeto(temporary, overwrite=True, checksum=True)
