"""The commands of `galgen data`, but for those that know experiments; what all commands are made of.

What takes seconds to import waits for the command that needs it.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter, Token
from cyclopts.validators import Number

from galgen.data.acquire.recipe import Recipe
from galgen.runs.errors import GalgenError, checked, printable
from galgen.runs.files import file_sha256

__all__ = ["USUAL", "Few", "Place", "Whole", "app"]

if TYPE_CHECKING:
    from galgen.data.dataset import Dataset

# --gray has no --no-gray, --N takes several numbers, and is not --n
USUAL = Parameter(negative=(), consume_multiple=True, name_transform=lambda name: name.replace("_", "-"))
app = App("data", help="Make, fetch, import and check data sets.", default_parameter=USUAL)


def _whole(_: type, tokens: Sequence[Token]) -> int:
    """A whole number as it is written: 1.5 is refused, not rounded."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", tokens[0].value):
        raise ValueError(f"'{tokens[0].value:.30}' is no whole number of up to 18 digits")
    return int(tokens[0].value)


def _place(_: type, tokens: Sequence[Token]) -> Path:
    """A path that is given: "" would be the working directory."""
    if not tokens[0].value:
        raise ValueError("'' is no path; the working directory is .")
    return Path(tokens[0].value)


Place = Annotated[Path, Parameter(converter=_place)]
Whole = Annotated[int, Parameter(converter=_whole)]
Few = Annotated[int, Parameter(converter=_whole, validator=Number(gte=1, lte=1024))]


@app.command
def simulate(
    *,
    out: Place,
    size: Whole = 32,
    crop: Whole = 64,
    seed: Whole = 0,
    population: str = "main",
    count: Whole = 1000,
    workers: Few = 1,
) -> None:
    """Simulate galaxies as the Legacy Survey sees the SDSS main sample.

    Args:
        out: Folder to make.
        size: Side of the images, pixels.
        crop: Side of the field drawn, pixels of 0.262 arcsec.
        seed: Names the galaxies.
        population: main, or ellipticals.
        count: How many.
        workers: Processes.
    """
    from galgen import costs
    from galgen.data.dataset import check_free, write_dataset
    from galgen.data.simulate import images as simulation

    check_free(out)  # before the work
    costs.check_galaxies(count, min(size, crop))  # a size beyond the crop is refused below
    parameters = {"count": count, "size": size, "crop": crop, "seed": seed, "population": population}
    images, truth = simulation.simulate(workers=workers, progress=True, **parameters)
    told = {"source": "simulated", "manifest": "simulated", "parameters": parameters, "dropped": {}}
    _describe(write_dataset(out, images, truth, **told))


@app.command
def fetch(
    catalogue: Place,
    /,
    *,
    out: Place,
    source: str = "sdss-legacy",
    manifest: Place | None = None,
    template: str | None = None,
    rate: float = 5.0,
    workers: Few = 4,
    retry_dropped: bool = False,
) -> None:
    """Download survey cut-outs for a catalogue of positions; stops and resumes.

    Args:
        catalogue: Table with columns id, ra, dec (CSV, ECSV or FITS).
        out: Folder to make.
        source: Entry of the data manifest.
        manifest: Another data_manifest.yaml.
        template: Another address: {ra} {dec} {bands} {size} {pixscale}.
        rate: Requests a second, at most.
        workers: Connections.
        retry_dropped: Ask again for what was ruled out for good.
    """
    from galgen.data.acquire import survey
    from galgen.data.acquire.download import Network
    from galgen.data.manifest import load_manifest

    entry = load_manifest(manifest).source(source)
    asked = {"bands": entry.bands, "size": entry.size, "pixel_scale": entry.pixel_scale}
    asked |= {"template": template or entry.template, "network": checked(Network, {"rate": rate}, "fetch")}
    report = survey.fetch(catalogue, out, workers=workers, retry_dropped=retry_dropped, **asked)
    print(json.dumps(report, indent=1))
    if failed := report["failed"]["count"]:
        raise GalgenError(f"{failed} objects could not be fetched; run the same command again")


@app.command(name="import")
def import_(
    path: Place,
    /,
    *,
    out: Place,
    recipe: Annotated[Recipe, Parameter("*")] = Recipe(),
    key: str | None = None,
    strict: bool = False,
) -> None:
    """Import your own images.

    Args:
        path: A folder, or an npz, npy or HDF5 file.
        out: Folder to make.
        recipe: What is done to each image.
        key: Name of the array in an npz or HDF5 file.
        strict: One refused object is an error.
    """
    from galgen.data.acquire import importing
    from galgen.data.dataset import check_free
    from galgen.data.manifest import load_manifest

    check_free(out)  # before the work
    found = importing.import_images(path, key=key, strict=strict, progress=True, **dict(recipe))
    for name, reason in found.refused:
        print(printable(f"refused {name}: {reason}"), file=sys.stderr)
    entry = load_manifest().name_of(file_sha256(path)) if path.is_file() else "local"
    _describe(importing.write_imported(out, found, source=importing.called(path), manifest=entry))


def _describe(dataset: "Dataset") -> None:
    meta = dataset.meta
    lines = (
        f"{dataset.directory}: {len(dataset)} images of {meta['shape'][2]} x {meta['shape'][3]} pixels",
        f"  source   {dataset.name}, made {meta['created']}",
        f"  sha256   {dataset.sha256}",
        f"  dropped  {meta['dropped'] or 'nothing'}",
        f"  columns  {', '.join(dataset.catalogue.colnames)}",
    )
    print("\n".join(map(printable, lines)))


@app.command
def info(dataset: Place, /) -> None:
    """What a data set holds."""
    from galgen.data.dataset import Dataset

    _describe(Dataset.open(dataset))


@app.command
def verify(dataset: Place, /) -> None:
    """Compare a data set with its checksums."""
    from galgen.data.dataset import Dataset

    Dataset.open(dataset).verify()
    print(f"{dataset}: both files are what was written")
