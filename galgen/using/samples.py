"""Samples of a trained model, as arrays and in files.

Latent k of the book of seed s has seed 10^6 s + k (`Experiment.latents`), and a seed names its latent to
every model. So what is drawn here is what the book draws: from the weights of a training bit for bit, from
published ones, whose convolutions are in half precision, nearly.

Images are display values, black at 0 and white at 1, as the model draws them: a little outside, and not
clipped. In files of arrays and FITS they stay so, in a folder of PNG they are rounded to 8 bits. A FITS
header says in STRETCH that they are no flux, and the importer goes by that.
"""

import os
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from astropy.io import fits
from PIL import Image

from galgen.data.acquire.readers import DISPLAY
from galgen.data.dataset import check_free
from galgen.figures.style import gray, house_style, show, stamp_sheet
from galgen.models.sampling import seeded
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, checked
from galgen.runs.files import atomic_path, full_disk_told
from galgen.using.opening import Model, opened

__all__ = ["SUFFIXES", "Drawn", "drawn", "free", "sample", "sheet", "write", "write_arrays"]

SUFFIXES = (".npz", ".npy", ".fits", "")  # without one it is a folder


@dataclass(frozen=True)
class Drawn:
    """Images (n, H, W) of a model, float32, and the seeds of their latents (n,)."""

    images: np.ndarray
    seeds: range
    model: Model


def sample(
    model: str,
    n: int = 64,
    *,
    seed: int = 0,
    first: int = 0,
    store: str | os.PathLike | None = None,
    models: str | os.PathLike | None = None,
    **parameters: object,
) -> np.ndarray:
    """Draw from a trained model: float32 (n, H, W), black at 0 and white at 1, not clipped.

    Args:
        model: Its name, as `diffusion-N4000-A`, or a file of weights (`galgen.using.opening`).
        n: How many.
        seed: That of the book, which names latents: latent k is the same for all models.
        first: The first latent.
        store: The run store that has it.
        models: The folder of published models that has it.
        parameters: Others of the book, for a training of the store: `profile`, `data`, `N`, `precision`.

    Raises:
        GalgenError: If there is no such model, or no such latent.
    """
    asked = checked(Parameters, parameters | {"seed": seed}, "galgen.sample")
    places = {"store": store and Path(store), "models": models and Path(models)}
    return drawn(opened(os.fspath(model), asked, **places), n, asked.seed, first).images


def drawn(model: Model, n: int, seed: int = 0, first: int = 0) -> Drawn:
    """The images that a model draws of latents `first` to `first + n - 1` of the book of that seed.

    Raises:
        GalgenError: If there are no such latents, or the weights draw nothing.
    """
    if not (0 <= first and 1 <= n and first + n <= 1_000_000):
        raise GalgenError(f"latents {first} to {first + n - 1}: a book has 0 to 999 999; ask for one or more")
    seeds = range(1_000_000 * seed + first, 1_000_000 * seed + first + n)
    seeded(seeds[-1:])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    networks = {name: net.to(device) for name, net in model.networks().items()}
    try:
        images = model.family.draw(networks, seeds, model.start.to(device)).cpu()
    except torch.linalg.LinAlgError as error:  # a flow of zeros has no inverse
        raise GalgenError(f"{model.weights} draws nothing ({error})") from error
    if not images.isfinite().all():
        raise GalgenError(f"{model.weights} draws what is no number")
    return Drawn(images[:, 0].numpy(), seeds, model)


def free(out: Path | None, suffixes: Collection[str] = SUFFIXES) -> None:
    """Refuse a path at which nothing can be written, or whose suffix is none of these.

    Raises:
        GalgenError: If so, or something is there.
    """
    if out and out.suffix.lower() not in suffixes:
        kinds = ", ".join(f"*{suffix}" for suffix in suffixes if suffix)
        raise GalgenError(f"{out}: give a name like {kinds}{', or a folder, for PNG' * ('' in suffixes)}")
    if out:
        check_free(out)


def write(found: Drawn, out: Path) -> None:
    """Write samples, whole or not at all.

    Args:
        found: The samples.
        out: A name that ends in .npz (arrays `images` and `id`, the seeds), .npy or .fits; or a folder.
    """
    if not out.suffix:
        _write_pictures(found, out)
    elif out.suffix.lower() == ".npy":
        with atomic_path(out) as temporary:
            np.save(temporary, found.images, allow_pickle=False)
    else:
        write_arrays(out, found.images, found.model, id=np.array(found.seeds))


def write_arrays(out: Path, images: np.ndarray, model: Model, **more: np.ndarray) -> None:
    """Write images (n, H, W) that a model gives, and arrays that belong to them, as .npz or .fits."""
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
        fits.HDUList([fits.PrimaryHDU(images, header), *below]).writeto(
            temporary, overwrite=True, checksum=True
        )


def _write_pictures(found: Drawn, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    work = tempfile.TemporaryDirectory(prefix=".tmp-", dir=out.parent, ignore_cleanup_errors=True)
    with full_disk_told(out), work as folder:
        for seed, image in zip(found.seeds, gray(found.images), strict=True):
            Image.fromarray(image).save(Path(folder) / f"{found.model.name}-latent-{seed:07d}.png")
        os.chmod(folder, 0o755)  # temporary folders are private
        os.replace(folder, out)


def sheet(images: np.ndarray, out: Path, note: str, **options: object) -> None:
    """Write a picture (PNG) of images (n, H, W) on one gray scale; options of `stamp_sheet`."""
    house_style()
    picture = show(stamp_sheet(images, **options), alt="", note=note).content["image/png"]
    with atomic_path(out) as temporary:
        temporary.write_bytes(picture)
