"""The command `galgen sample`: trained models, asked by their names."""

import sys
import time
from typing import Annotated

from cyclopts import Parameter

from galgen.cli import Asked, Place, Whole
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, printable

__all__ = ["sample"]

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
    from galgen.using import samples
    from galgen.using.opening import opened

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
