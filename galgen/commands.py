"""Commands that use models: `galgen audit` of any generator; `sample` and `denoise`, for trained models."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from cyclopts import Parameter

from galgen.cli import Place, RunParameters, Whole
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, printable

__all__ = ["audit", "denoise", "sample"]

if TYPE_CHECKING:
    from galgen.inference.loading import Model

Asking = Parameter(group="Was this image trained on? (of a model that is named)")
MEASURED = 512  # galaxies, by default
ARRAYS = (".npz", ".h5", ".hdf5", ".hdf")  # files of several arrays, by name
MOST = 12  # maximum number of images listed

Name = Annotated[str, Parameter(help="As `galgen models` lists it, with or without its seeds.")]
Models = Annotated[Place | None, Parameter(help="Directory of published models (default: the checkout's).")]
Trained = Annotated[Place | None, Parameter(help="Run store that contains the training.", name="--store")]


def audit(
    *,
    samples: Annotated[
        Place | None, Parameter(help="Samples of the model: a directory, a file or a data set.")
    ] = None,
    train: Annotated[Place | None, Parameter(help="Training images of the model.")] = None,
    held_out: Annotated[Place | None, Parameter(help="Other images, a random part of the same pool.")] = None,
    other_samples: Annotated[Place | None, Parameter(help="A second model's samples, same latents.")] = None,
    other_train: Annotated[Place | None, Parameter(help="Training images of the second model.")] = None,
    floor: Annotated[Place | None, Parameter(help="Same latents, an out-of-domain network.")] = None,
    flips: Annotated[bool, Parameter(help="Search for flipped copies (trained with flips).")] = False,
    morphology: Annotated[Whole, Parameter(help="Galaxies per set to measure; 0: none.")] = MEASURED,
    size: Annotated[Whole | None, Parameter(help="Average images down to this side, pixels.")] = None,
    crop: Annotated[Whole | None, Parameter(help="Side of the central part to crop, pixels.")] = None,
    key: Annotated[str | None, Parameter(help="Name of the array in npz or HDF5 files.")] = None,
    demo: Annotated[bool, Parameter(help="Audit two made-up generators; needs no data.")] = False,
    out: Annotated[Place, Parameter(help="Name of the report: OUT.html and OUT.json.")] = Path("audit"),
    model: Annotated[str | None, Asking, Parameter(help="As `galgen models` lists it.")] = None,
    other_model: Annotated[str | None, Asking, Parameter(help="A model of other images.")] = None,
    images: Annotated[Place | None, Asking, Parameter(help="The images in question.")] = None,
    models: Annotated[Models, Asking] = None,
    store: Annotated[Trained, Asking] = None,
    parameters: RunParameters = Parameters(),
) -> None:
    """Audit any image generator: are its samples copies of training images, and how faithful are they?

    With --model, --other-model, --images and --held-out instead: was a model trained on these images? The 99
    or more held-out images must not have been used for its training or early stopping.
    """
    sets = {"samples": samples, "train": train, "held_out": held_out}
    others = {"other_samples": other_samples, "other_train": other_train, "floor": floor}
    more = others | {"flips": flips, "morphology": morphology != MEASURED}
    of_model = {"model": model, "other_model": other_model, "images": images}
    book = parameters.model_dump(exclude_defaults=True, exclude={"seed"})
    where = {"models": models, "store": store}
    if demo:
        where |= {"size": size, "crop": crop, "key": key, "seed": parameters.seed}
        _refuse(sets | more | of_model | book | where, "--demo")
        from galgen.auditing.demo import demonstration

        demonstration(out)
        return
    if any(of_model.values()):
        _require(of_model | {"held_out": held_out}, "membership inference")
        _refuse({"samples": samples, "train": train} | more, "membership inference")
        from galgen.inference import trained_on

        page = trained_on.check_output_path(out)  # before the computation
        sets = [_gray(path, size, crop, key) for path in (images, held_out)]
        pair = [_loaded(name, parameters, store, models) for name in (model, other_model)]
        print(trained_on.written(trained_on.trained_on(*pair, *sets), pair, models, page))
        return
    _require(sets, "an audit of samples")
    _refuse(book | where, "an audit of samples")
    import galgen
    from galgen.auditing import report

    pages = report.check_output_path(out)  # before the computation
    sets |= others
    # sets with shared latents must be complete
    latents = {"samples", "other_samples", "floor"} if other_samples else set()
    read = {name: _read(path, size, crop, key, strict=name in latents) for name, path in sets.items() if path}
    print(f"galgen audit: about {_duration(read, flips, morphology)} on one core", file=sys.stderr)
    result = galgen.audit(**read, flips=flips, morphology=morphology, seed=parameters.seed)
    report.write_report(result, {name: str(path) for name, path in sets.items()}, pages)
    print(result)
    print(printable(f"{pages[0]} and {pages[1].name}"))


def sample(
    model: Name,
    /,
    *,
    out: Annotated[Place, Parameter(help="x.npz, x.fits, or a directory for PNG.")],
    count: Annotated[Whole, Parameter(name=("--count", "-n"), help="Number of samples.")] = 64,
    first: Annotated[Whole, Parameter(help="The first latent; it is the same for all models.")] = 0,
    models: Models = None,
    store: Trained = None,
    parameters: RunParameters = Parameters(),
) -> None:
    """Generate samples of a trained model and write them to files."""
    from galgen.inference import samples

    samples.check_output_path(out, samples.SUFFIXES)  # before the computation
    seeds = samples.latents(count, first, parameters.seed)
    loaded = _loaded(model, parameters, store, models)
    samples.write(out, samples.draw(loaded, seeds), loaded, id=np.array(seeds))
    print(
        printable(f"{count} images of {loaded.size} x {loaded.size} pixels, latents from {seeds[0]}: {out}")
    )


def denoise(
    image: Annotated[Place, Parameter(help="Display values: npy, npz, PNG, JPEG, or FITS with STRETCH.")],
    /,
    *,
    model: Name,
    out: Annotated[Place, Parameter(help="x.npz or x.fits: images, residual, sigma.")],
    sigma: Annotated[float | None, Parameter(help="The noise level, for a conditional network.")] = None,
    key: Annotated[str | None, Parameter(help="Name of the array in an npz file (default: images).")] = None,
    models: Models = None,
    store: Trained = None,
    parameters: RunParameters = Parameters(),
) -> None:
    """Denoise images with a trained model: posterior mean, estimated noise level, and residual."""
    from galgen.inference import samples
    from galgen.inference.denoising import denoised, read

    samples.check_output_path(out, (".npz", ".fits"))  # before the computation
    noisy, loaded = read(image, key), _loaded(model, parameters, store, models)
    result = denoised(loaded, noisy, sigma)
    samples.write(out, result.mean, loaded, residual=result.residual, sigma=result.sigma)
    for row, noise in enumerate(result.sigma[:MOST]):
        print(f"image {row}: noise {noise:.4g}")
    print(printable(f"{len(result.sigma)} images, mean noise {result.sigma.mean():.4g}: {out}"))


def _loaded(name: str, parameters: Parameters, store: Path | None, models: Path | None) -> "Model":
    """Load a model by name and print what it is, for computations on one thread, as in the book."""
    import torch

    from galgen.inference.loading import load_model

    torch.set_num_threads(1)
    model = load_model(name, parameters, store=store, models=models)
    print(printable(str(model)), file=sys.stderr)
    return model


def _require(options: dict[str, object], task: str) -> None:
    """Raise an error that lists the missing options."""
    if missing := [f"--{name.replace('_', '-')}" for name, value in options.items() if not value]:
        raise GalgenError(f"{task} needs {', '.join(missing)}")


def _refuse(options: dict[str, object], task: str) -> None:
    """Raise an error that lists the options that the task would ignore."""
    if given := [f"--{name.replace('_', '-')}" for name, value in options.items() if value]:
        raise GalgenError(f"{task} does not use {', '.join(given)}: leave this out")


def _duration(sets: dict[str, np.ndarray], flips: bool, morphology: int) -> str:
    """Estimate the duration of an audit on one core of a server from the sizes of the sets."""
    samples, held_out = len(sets["samples"]), len(sets["held_out"])
    pool, side = len(sets["train"]) + held_out, sets["samples"].shape[-1]
    rows, scales = min(samples, 2048) + min(pool, 2048), max(1, side.bit_length() - 3)
    seconds = 8 + 2.4e-8 * pool**2 + 3e-4 * pool + 1e-7 * samples * pool * (4 if flips else 1)
    seconds += 4e-7 * (samples + held_out) * len(sets["train"])  # near-copies, with flips
    seconds += 7e-7 * rows**2 * scales
    seconds += (0.0165 + 0.0022 * side) * (min(morphology, samples) + min(morphology, held_out))
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _gray(path: Path, size: int | None, crop: int | None, key: str | None) -> np.ndarray:
    """Read a set of gray images, uint8 (n, 1, H, H)."""
    images = _read(path, size, crop, key, strict=True)
    if not (images == images[:, :1]).all():
        raise GalgenError(f"{path} is in color; the models are trained on gray images")
    return images[:, :1]


def _read(path: Path, size: int | None, crop: int | None, key: str | None, *, strict: bool) -> np.ndarray:
    """Read a set of images, uint8 (n, C, H, H).

    Float arrays are display values, not flux, even if some pixels are above 1.
    """
    from galgen.data.acquire.importing import import_images
    from galgen.data.acquire.readers import open_source
    from galgen.data.acquire.recipe import Recipe
    from galgen.data.dataset import Dataset
    from galgen.data.preprocess import averaged, crop_centre

    if (path / "meta.json").is_file():
        images = Dataset.open(path).images
        images = images if crop is None else crop_centre(images, crop)
        return images if size is None else averaged(images, size)
    key = key if path.suffix.lower() in ARRAYS else None
    with contextlib.ExitStack() as resources:
        kind = open_source(path, Recipe().bands, key, resources).kind or "display"
    options = {"size": size, "crop": crop, "key": key, "strict": strict, "kind": kind}
    result = import_images(path, colour=True, progress=True, **options)
    for name, reason in result.refused:
        print(printable(f"refused {name}: {reason}"), file=sys.stderr)
    return result.images
