"""Command line of galgen: data sets, the run store, trainings and published models.

The functions below are the commands and their docstrings the help; fields of `Parameters` and of `Recipe`
are options. Invalid input is reported in one line with exit code 2. Modules that take seconds to import are
imported by the commands that need them.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter, Token
from cyclopts.validators import Number
from pydantic import ValidationError

from galgen.data.acquire.recipe import Recipe
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, checked, exit_code, printable, refused
from galgen.runs.files import file_sha256
from galgen.runs.store import Store

__all__ = ["USUAL", "Place", "RunParameters", "Whole", "main", "prepare", "run", "train"]

if TYPE_CHECKING:
    from galgen.data.dataset import Dataset

# No --no-gray for --gray; --N takes several numbers and is not renamed to --n
USUAL = Parameter(negative=(), consume_multiple=True, name_transform=lambda name: name.replace("_", "-"))
app = App(
    "galgen",
    help="Compare generative models of galaxies trained on disjoint data, at the same latents.",
    default_parameter=USUAL,
    suppress_keyboard_interrupt=False,
)
app.register_install_completion_command(add_to_startup=False)
app.command(data := App("data", help="Simulate, download, import and verify data sets."))
app.command(runs := App("runs", help="List, inspect and delete entries of the run store."))
app.command(models := App("models", help="List trained models and publish them."))
# Imported lazily: the list of commands needs their help texts here.
app.command("galgen.commands:audit", help="Audit a generative model: near-copies and realism of its samples.")
app.command("galgen.commands:sample", help="Generate samples with a trained model, into files.")
app.command("galgen.commands:denoise", help="Denoise images with a trained model.")


def _integer(_: type, tokens: Sequence[Token]) -> int:
    """Parse an integer; 1.5 is an error, not rounded."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", tokens[0].value):
        raise ValueError(f"'{tokens[0].value:.30}' is not an integer of up to 18 digits")
    return int(tokens[0].value)


def _path(_: type, tokens: Sequence[Token]) -> Path:
    """Parse a path; an empty string is an error, not the working directory."""
    if not tokens[0].value:
        raise ValueError("'' is not a path; the working directory is .")
    return Path(tokens[0].value)


Place = Annotated[Path, Parameter(converter=_path)]
Whole = Annotated[int, Parameter(converter=_integer)]
Few = Annotated[int, Parameter(converter=_integer, validator=Number(gte=1, lte=1024))]


def _help(text: str) -> Parameter:
    return Parameter(help=text)


RunParameters = Annotated[Parameters, Parameter("*")]
_Store = Annotated[Place | None, _help("The run store (default: $GALGEN_STORE, or store/ in the project).")]


@data.command
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
    """Simulate Legacy Survey images of the SDSS main galaxy sample.

    Args:
        out: Folder to create.
        size: Side of the images, pixels.
        crop: Side of the simulated field, pixels of 0.262 arcsec.
        seed: Random seed.
        population: main or ellipticals.
        count: Number of galaxies.
        workers: Number of processes.
    """
    from galgen.data.dataset import check_free, write_dataset
    from galgen.data.simulate import images as simulation

    check_free(out)  # before the work
    parameters = {"count": count, "size": size, "crop": crop, "seed": seed, "population": population}
    images, truth = simulation.simulate(workers=workers, progress=True, **parameters)
    about = {"source": "simulated", "manifest": "simulated", "parameters": parameters, "dropped": {}}
    _describe(write_dataset(out, images, truth, **about))


@data.command
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
    """Download survey cut-outs for a catalogue of positions; can be interrupted and resumed.

    Args:
        catalogue: Table with columns id, ra, dec (CSV, ECSV or FITS).
        out: Folder to create.
        source: Entry of the data manifest.
        manifest: Another data_manifest.yaml.
        template: Another URL template: {ra} {dec} {bands} {size} {pixscale}.
        rate: Maximum number of requests per second.
        workers: Number of connections.
        retry_dropped: Request objects again that earlier runs dropped for good.
    """
    from galgen.data.acquire import survey
    from galgen.data.acquire.download import Network
    from galgen.data.manifest import load_manifest

    entry = load_manifest(manifest).source(source)
    request = {"bands": entry.bands, "size": entry.size, "pixel_scale": entry.pixel_scale}
    request |= {"template": template or entry.template, "network": checked(Network, {"rate": rate}, "fetch")}
    report = survey.fetch(catalogue, out, workers=workers, retry_dropped=retry_dropped, **request)
    print(json.dumps(report, indent=1))
    if failed := report["failed"]["count"]:
        raise GalgenError(f"{failed} objects could not be fetched; run the same command again")


@data.command(name="import")
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
        out: Folder to create.
        recipe: Preprocessing of each image.
        key: Name of the array in an npz or HDF5 file.
        strict: Fail if any object cannot be used.
    """
    from galgen.data.acquire import importing
    from galgen.data.dataset import check_free
    from galgen.data.manifest import load_manifest

    check_free(out)  # before the work
    result = importing.import_images(path, key=key, strict=strict, progress=True, **dict(recipe))
    for name, reason in result.refused:
        print(printable(f"refused {name}: {reason}"), file=sys.stderr)
    entry = load_manifest().name_of(file_sha256(path)) if path.is_file() else "local"
    _describe(importing.write_imported(out, result, source=importing.called(path), manifest=entry))


def _describe(dataset: "Dataset") -> None:
    height, width = dataset.images.shape[2:]
    print(printable(f"{dataset.directory}: {len(dataset)} images of {height} x {width} pixels"))
    print(json.dumps(dataset.meta, indent=1))  # in ASCII, whatever it holds


@data.command
def info(dataset: Place, /) -> None:
    """Print the contents and the metadata of a data set."""
    from galgen.data.dataset import Dataset

    _describe(Dataset.open(dataset))


@data.command(name="verify")
def verify_data(dataset: Place, /) -> None:
    """Verify the checksums of a data set."""
    from galgen.data.dataset import Dataset

    Dataset.open(dataset).verify()
    print(f"{dataset}: both files match their checksums")


@data.command
def prepare(*, parameters: RunParameters = Parameters(), store: _Store = None) -> None:
    """Make or import the data sets of an experiment in the run store."""
    from galgen.experiment import Experiment

    images = Experiment(parameters, Store(store)).images  # the data are the same for all families
    # fails here if there are too few images, before any other galaxies are simulated
    summary = {"split": {name: len(rows) for name, rows in vars(images.split()).items()}}
    sets = {"dataset": images.dataset}
    sets |= {name: images.out_of_domain(name) for name in images.out_of_domain_kinds}
    for role, dataset in sets.items():
        summary[role] = {"path": str(dataset.directory), "images": len(dataset), "sha256": dataset.sha256}
    print(json.dumps(summary, indent=1))


@app.command
def plan(*, parameters: RunParameters = Parameters(), store: _Store = None) -> None:
    """List the trainings of an experiment, with minutes of one core, disk space and their sums."""
    import pandas as pd

    from galgen.data.acquire.readers import files_of
    from galgen.data.prepare import SIMULATED, check_source
    from galgen.experiment import every_family

    source = check_source(parameters.data)
    if parameters.data not in SIMULATED:
        files_of(source)
    every = every_family(parameters, Store(store), studies=True).values()
    table = pd.DataFrame([record for experiment in every for record in experiment.plan()])
    print(table.to_string(index=False))
    minutes, disk_mb = table[["minutes", "disk_mb"]].sum()
    print(f"{len(table)} trainings: {minutes:.0f} minutes of one core, {disk_mb:.0f} MB of disk space")


@app.command
def train(
    name: Annotated[str, _help("Name of the training, as listed by `galgen plan`.")],
    /,
    *,
    threads: Annotated[Few, _help("Threads (two processes with one each are faster).")] = 1,
    parameters: RunParameters = Parameters(),
    store: _Store = None,
) -> None:
    """Train one model of the plan, resuming an interrupted training."""
    import torch

    from galgen import costs
    from galgen.experiment import find_training

    torch.set_num_threads(threads)
    experiment, training = find_training(name, parameters, Store(store))
    costs.check(experiment.store.root, experiment.to_train([training]))
    print(f"{name}: {experiment.train(training).path}")


@runs.command(name="list")
def list_(
    *, kind: Annotated[str | None, _help("List only runs of this kind.")] = None, store: _Store = None
) -> None:
    """List all runs."""
    if store and not store.is_dir():
        raise GalgenError(f"{store} is not a folder; set the run store with --store or GALGEN_STORE")
    line = "{:16}  {:10}  {:19}  {:>10}  {}".format
    print(line("key", "kind", "created", "seconds", "commit"))
    for entry in Store(store).runs(kind):
        record = entry.record
        print(line(entry.key, record["kind"], record["created"][:19], record["seconds"], record["commit"]))


_Key = Annotated[str, _help("Key of the run, or its first digits.")]


@runs.command
def show(key: _Key, /, *, store: _Store = None) -> None:
    """Print the record of a run."""
    entry = Store(store).get(key)
    print(json.dumps(entry.record | {"path": str(entry.path)}, indent=1))


@runs.command
def rm(*keys: Annotated[_Key, Parameter(required=True)], store: _Store = None) -> None:
    """Delete runs, finished or not."""
    place = Store(store)
    entries = dict.fromkeys(place.folders(key)[0].stem for key in keys)  # raises before any is deleted
    for folder in (removed for entry in entries for removed in place.remove(entry)):
        print(f"removed {folder}")


_Published = _help("Folder of published models (default: the checkout's or the package's).")
_Set = _help("Folder to publish into (default: results/models in the project).")


@models.default
def models_(*, models: Annotated[Place | None, _Published] = None, store: _Store = None) -> None:
    """List the published models and those in the run store."""
    from galgen.published import listed, published

    line = "{:28.60}  {:9}  {:16}  {:8.20}  {:.60}".format
    for where, place in (("published", published(models)), ("trained", Store(store))):
        entries = list(listed(place))
        for entry in entries:
            names = (str(entry.summary.get(name, "")) for name in ("profile", "data"))
            print(printable(line(entry.summary["name"], where, entry.key, *names)))
        if not entries:
            hint = "; set another folder (--models)" * (where == "published")
            print(printable(f"no models are {where} in {place.root}{hint}"), file=sys.stderr)


@models.command
def export(
    *,
    parameters: RunParameters = Parameters(),
    store: _Store = None,
    out: Annotated[Place | None, _Set] = None,
) -> None:
    """Publish trained models A and B of every family, at its smallest and largest N or at the N given."""
    from galgen.experiment import every_family
    from galgen.published import publish_pairs

    experiments = every_family(parameters.model_copy(update={"N": None}), Store(store)).values()
    for line in publish_pairs(experiments, parameters.N or (), out):
        print(line)


def run(commands: App, argv: Sequence[str] | None = None) -> int:
    """Run a command of an app and return its exit code; raise GalgenError for invalid arguments as well."""
    try:
        outcome = commands(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        if isinstance(error.__cause__, ValidationError):
            raise refused(error.__cause__, error.__cause__.title.lower()) from error
        option = error.argument.name if error.argument else ""
        message = " ".join(str(error).split())
        raise GalgenError(message if option in message else f"{option}: {message}") from error
    return outcome or 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a galgen command and return its exit code."""
    return exit_code(lambda: run(app, argv))
