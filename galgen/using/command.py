"""The commands `galgen sample` and `denoise`: trained models, asked by their names."""

import re
import sys
import time
from typing import Annotated

from cyclopts import Parameter

from galgen.cli import Asked, Place, Whole
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, printable

__all__ = ["denoise", "sample"]

MOST = 12  # images that are listed and shown, at most

Name = Annotated[str, Parameter(help="As `galgen models` lists it, its beginning, or a file of weights.")]
Models = Annotated[Place | None, Parameter(help="A folder of published models (default: the checkout's).")]
Trained = Annotated[Place | None, Parameter(help="The run store that a training is in.", name="--store")]
Sheet = Annotated[Place | None, Parameter(help="Also draw them into this picture, a PNG.")]


def sample(
    model: Name,
    /,
    *,
    out: Annotated[Place | None, Parameter(help="x.npz, x.npy, x.fits, or a folder, for PNG.")] = None,
    count: Annotated[Whole, Parameter(name=("--count", "-n"), help="How many.")] = 64,
    first: Annotated[Whole, Parameter(help="The first latent; it is the same for all models.")] = 0,
    sheet: Sheet = None,
    models: Models = None,
    store: Trained = None,
    asked: Asked = Parameters(),
) -> None:
    """Samples of a trained model, into files."""
    import torch

    from galgen.using import samples
    from galgen.using.opening import opened

    torch.set_num_threads(1)  # as the book draws
    if not (out or sheet):
        raise GalgenError(
            "nothing is to be written: say where (--out x.npz, x.npy, x.fits or a folder; --sheet)"
        )
    for path, ends in ((out, samples.SUFFIXES), (sheet, (".png",))):
        samples.free(path, ends)  # before the work
    found = opened(model, asked, store=store, models=models)
    print(printable(str(found)), file=sys.stderr)
    started = time.monotonic()
    drawn = samples.drawn(found, count, asked.seed, first)
    latents = f"latents {first} to {first + count - 1} of seed {asked.seed}"
    told = f"{count} images of {found.size} pixels, {latents}, in {time.monotonic() - started:.1f} seconds"
    if out:
        samples.write(drawn, out)
        size = sum(path.stat().st_size for path in (out.iterdir() if out.is_dir() else [out])) / 1e6
        told += f"; {out}, {size:.2f} MB"
    if sheet:
        note = f"{found.name}, profile {found.profile}, trained on {found.data}; {latents}"
        samples.sheet(drawn.images, sheet, note, columns=min(count, 16))
        told += f"; {sheet}"
    print(printable(told))


def denoise(
    image: Annotated[
        Place, Parameter(help="Display values: PNG, JPEG, npy, npz, HDF5, or FITS with STRETCH.")
    ],
    /,
    *,
    model: Name,
    sigma: Annotated[str, Parameter(help="The noise, of black to white; a blind network finds it.")] = "auto",
    clean: Annotated[Place | None, Parameter(help="The same without noise, for the PSNR.")] = None,
    out: Annotated[Place | None, Parameter(help="x.npz or x.fits: images, residual, sigma.")] = None,
    sheet: Sheet = None,
    key: Annotated[str | None, Parameter(help="Name of the array in npz or HDF5 files.")] = None,
    models: Models = None,
    store: Trained = None,
    asked: Asked = Parameters(),
) -> None:
    """Denoise images with a trained model: posterior mean, the noise that it finds, and what it took out."""
    import numpy as np
    import torch

    from galgen.using import samples
    from galgen.using.denoising import denoised, psnr_of, read, unit_images
    from galgen.using.opening import opened

    torch.set_num_threads(1)
    for path, ends in ((out, (".npz", ".fits")), (sheet, (".png",))):
        samples.free(path, ends)  # before the work
    if not re.fullmatch(r"auto|[0-9]*\.?[0-9]+(e-?[0-9]+)?", sigma):
        raise GalgenError(
            f"--sigma {sigma:.40}: say auto, or the noise, in units of the dynamic range, as .1"
        )
    given, truth = read(image, key), read(clean, key) if clean else None
    found = opened(model, asked, store=store, models=models)
    print(printable(str(found)), file=sys.stderr)
    answer = denoised(found, given, None if sigma == "auto" else float(sigma))
    columns = {"image": range(len(answer.mean)), "noise found": answer.sigma}
    if truth is not None:
        columns |= psnr_of(answer, unit_images(truth, found))
    print("  ".join(columns))
    for row in list(zip(*columns.values(), strict=True))[:MOST]:
        print("  ".join(f"{value:{len(name)}.4g}" for name, value in zip(columns, row, strict=True)))
    if (n := len(answer.mean)) > 1:
        means = "  ".join(f"{np.mean(of):{len(name)}.4g}" for name, of in columns.items() if name != "image")
        print(f" mean  {means}   ({n} images{f', the first {MOST} above' * (n > MOST)})")
    if out:
        samples.write_arrays(out, answer.mean, found, residual=answer.residual, sigma=answer.sigma)
    if sheet:
        rows = [answer.noisy, answer.mean, 0.5 + answer.residual / (6 * answer.sigma[:, None, None])]
        stamps = np.stack(rows, 1)[:MOST].reshape(-1, found.size, found.size)
        titles = ["noisy", "posterior mean", "residual"] * (len(stamps) // 3)
        note = (
            f"{found.name}, profile {found.profile}, data {found.data}; residual from -3 to 3 of its length"
        )
        samples.sheet(stamps, sheet, note, columns=3, titles=titles, inches=1.1)
