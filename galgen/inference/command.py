"""Commands `galgen sample` and `galgen denoise`, for trained models by name."""

import sys
from typing import Annotated

from cyclopts import Parameter

from galgen.cli import Place, RunParameters, Whole
from galgen.profiles import Parameters
from galgen.runs.errors import printable

__all__ = ["Models", "Trained", "denoise", "sample"]

MOST = 12  # maximum number of images listed

Name = Annotated[str, Parameter(help="As `galgen models` lists it, with or without its seeds.")]
Models = Annotated[Place | None, Parameter(help="Directory of published models (default: the checkout's).")]
Trained = Annotated[Place | None, Parameter(help="Run store that contains the training.", name="--store")]


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
    import numpy as np
    import torch

    from galgen.inference import samples
    from galgen.inference.loading import load_model

    torch.set_num_threads(1)  # as in the book
    samples.check_output_path(out, samples.SUFFIXES)  # before the computation
    seeds = samples.latents(count, first, parameters.seed)
    found = load_model(model, parameters, store=store, models=models)
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
    parameters: RunParameters = Parameters(),
) -> None:
    """Denoise images with a trained model: posterior mean, estimated noise level, and residual."""
    import torch

    from galgen.inference import samples
    from galgen.inference.denoising import denoised, read
    from galgen.inference.loading import load_model

    torch.set_num_threads(1)
    samples.check_output_path(out, (".npz", ".fits"))  # before the computation
    noisy, found = read(image, key), load_model(model, parameters, store=store, models=models)
    print(printable(str(found)), file=sys.stderr)
    result = denoised(found, noisy, sigma)
    samples.write(out, result.mean, found, residual=result.residual, sigma=result.sigma)
    for row, noise in enumerate(result.sigma[:MOST]):
        print(f"image {row}: noise {noise:.4g}")
    print(printable(f"{len(result.sigma)} images, mean noise {result.sigma.mean():.4g}: {out}"))
