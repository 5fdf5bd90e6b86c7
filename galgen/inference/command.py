"""The commands `galgen sample` and `denoise`: trained models, asked by their names."""

import sys
from typing import Annotated

from cyclopts import Parameter

from galgen.cli import Asked, Place, Whole
from galgen.profiles import Parameters
from galgen.runs.errors import printable

__all__ = ["Models", "Trained", "denoise", "sample"]

MOST = 12  # images that are listed, at most

Name = Annotated[str, Parameter(help="As `galgen models` lists it, with or without its seeds.")]
Models = Annotated[Place | None, Parameter(help="A folder of published models (default: the checkout's).")]
Trained = Annotated[Place | None, Parameter(help="The run store that a training is in.", name="--store")]


def sample(
    model: Name,
    /,
    *,
    out: Annotated[Place, Parameter(help="x.npz, x.fits, or a folder, for PNG.")],
    count: Annotated[Whole, Parameter(name=("--count", "-n"), help="How many.")] = 64,
    first: Annotated[Whole, Parameter(help="The first latent; it is the same for all models.")] = 0,
    models: Models = None,
    store: Trained = None,
    asked: Asked = Parameters(),
) -> None:
    """Samples of a trained model, into files."""
    import numpy as np
    import torch

    from galgen.inference import samples
    from galgen.inference.loading import load_model

    torch.set_num_threads(1)  # as the book draws
    samples.free(out, samples.SUFFIXES)  # before the work
    seeds = samples.latents(count, first, asked.seed)
    found = load_model(model, asked, store=store, models=models)
    print(printable(str(found)), file=sys.stderr)
    samples.write(out, samples.draw(found, seeds), found, id=np.array(seeds))
    print(printable(f"{count} images of {found.size} x {found.size} pixels, latents from {seeds[0]}: {out}"))


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
    asked: Asked = Parameters(),
) -> None:
    """Denoise images with a trained model: posterior mean, the noise that it finds, and what it took out."""
    import torch

    from galgen.inference import samples
    from galgen.inference.denoising import denoised, read
    from galgen.inference.loading import load_model

    torch.set_num_threads(1)
    samples.free(out, (".npz", ".fits"))  # before the work
    noisy, found = read(image, key), load_model(model, asked, store=store, models=models)
    print(printable(str(found)), file=sys.stderr)
    answer = denoised(found, noisy, sigma)
    samples.write(out, answer.mean, found, residual=answer.residual, sigma=answer.sigma)
    for row, noise in enumerate(answer.sigma[:MOST]):
        print(f"image {row}: noise {noise:.4g}")
    print(printable(f"{len(answer.sigma)} images, mean noise {answer.sigma.mean():.4g}: {out}"))
