"""The command line: data sets, the run store, trainings, sweeps.

The functions below are the commands, and their docstrings the help. A mistake that a message can explain is
printed as one line and the exit code is 2. What takes seconds to import waits for the command that needs it.
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, CycloptsError, Parameter, Token
from cyclopts.validators import Number

from galgen.config import PROFILES, Parameters
from galgen.config import Asked as Precision
from galgen.runs.errors import GalgenError, checked, exit_code, printable
from galgen.runs.files import file_sha256, write_json
from galgen.runs.store import Store

if TYPE_CHECKING:
    from galgen.data.dataset import Dataset

app = App(
    "galgen",
    help="Two generative models, disjoint data, same latents.",
    default_parameter=Parameter(negative=()),  # --gray has no --no-gray
    suppress_keyboard_interrupt=False,
)
app.command(data := App("data", help="Make, fetch, import and check data sets."))
app.command(runs := App("runs", help="Look at the run store."))
app.command(models := App("models", help="Publish trained models."))
app.command("galgen.auditing:audit")


def _whole(kind: type, tokens: Sequence[Token]) -> int | tuple[int, ...]:
    """Whole numbers as they are written: 1.5 is refused, not rounded."""
    for token in tokens:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", token.value):
            raise ValueError(f"'{token.value:.30}' is no whole number of up to 18 digits")
    numbers = tuple(int(token.value) for token in tokens)
    return numbers[0] if kind is int else numbers


def _help(text: str) -> Parameter:
    return Parameter(help=text)


Whole = Annotated[int, Parameter(converter=_whole)]
_Few = Annotated[int, Parameter(converter=_whole, validator=Number(gte=1, lte=1024))]
Text = Annotated[str, Parameter(allow_leading_hyphen=True)]
_Sizes = Annotated[tuple[int, ...] | None, Parameter("--N", converter=_whole, consume_multiple=1)]
_Side = Annotated[Whole, _help("Side of the images, pixels.")]
_Folder = Annotated[Path, _help("Folder to make.")]
_Outcome = Annotated[Path | None, _help("Also write the outcome to this JSON file.")]
_Others = Annotated[bool, _help("Also the data that foreign models see.")]
_Store = Annotated[Path | None, _help("The run store (default: $GALGEN_STORE, or store/ in the project).")]
_PURPOSES = "; ".join(f"{name}: {profile.purpose}" for name, profile in PROFILES.items())


@Parameter("*")
@dataclass(frozen=True)
class Asked:
    """The options of every command that asks for trained models."""

    profile: Annotated[str, _help(_PURPOSES)] = "laptop"
    data: Annotated[Text, _help("simulated, or the path of images or of a data set.")] = "simulated"
    N: Annotated[_Sizes, _help("Training images of each model (default: those of the profile).")] = None
    seed: Annotated[Whole, _help("Names the split, the initialisations, the orders and the latents.")] = 0
    precision: Annotated[Precision, _help("Of trainings; auto: bf16 where it is fast.")] = "auto"
    store: _Store = None

    def parameters(self, *, sizes: bool = True) -> Parameters:
        """The same, checked, with the sizes or without."""
        given = {name: value for name, value in vars(self).items() if name != "store"}
        return checked(Parameters, given if sizes else given | {"N": None}, "parameters")


@Parameter("*")
@dataclass(frozen=True)
class _Reading:
    """The keywords of `galgen.data.acquire.importing.import_images`."""

    size: _Side = 32
    crop: Annotated[Whole | None, _help("Side of the central part to keep, pixels.")] = None
    key: Annotated[str | None, _help("Name of the array in an npz or HDF5 file.")] = None
    bands: Annotated[str, _help("Bands of FITS or flux images, blue to red.")] = "g,r,z"
    kind: Annotated[Literal["auto", "flux", "display"], _help("What the pixel values are.")] = "auto"
    gray: Annotated[bool, _help("Make colour images gray.")] = False
    subtract_sky: Annotated[bool, _help("Take the median of the border off each band of flux.")] = False
    Q: Annotated[float, Parameter("--Q", help="Softening of the stretch of flux.")] = 8.0
    stretch: Annotated[float, _help("Scale of the stretch, for nanomaggies a pixel.")] = 0.2
    distinct: Annotated[float | None, _help("Keep one of images whose cosine is that near (0.95).")] = None
    strict: Annotated[bool, _help("One refused object is an error.")] = False


@data.command
def simulate(
    *,
    out: _Folder,
    size: _Side = 32,
    crop: Annotated[Whole, _help("Side of the field drawn, pixels of 0.262 arcsec.")] = 64,
    seed: Annotated[Whole, _help("Names the galaxies.")] = 0,
    population: Annotated[str, _help("main, or ellipticals.")] = "main",
    count: Annotated[Whole, _help("How many.")] = 1000,
    workers: Annotated[_Few, _help("Processes.")] = 1,
) -> None:
    """Simulate galaxies as the Legacy Survey sees the SDSS main sample."""
    from galgen.data.dataset import check_free, write_dataset
    from galgen.data.simulate import images as simulation

    check_free(out)  # before the work
    parameters = {"count": count, "size": size, "crop": crop, "seed": seed, "population": population}
    images, truth = simulation.simulate(workers=workers, progress=True, **parameters)
    told = {"source": "simulated", "manifest": "simulated", "parameters": parameters, "dropped": {}}
    _describe(write_dataset(out, images, truth, **told))


@data.command
def fetch(
    catalogue: Annotated[Path, _help("Table with columns id, ra, dec (CSV, ECSV or FITS).")],
    /,
    *,
    out: _Folder,
    source: Annotated[str, _help("Entry of the data manifest.")] = "sdss-legacy",
    manifest: Annotated[Path | None, _help("Another data_manifest.yaml.")] = None,
    template: Annotated[str | None, _help("Another address: {ra} {dec} {bands} {size} {pixscale}.")] = None,
    rate: Annotated[float, _help("Requests a second, at most.")] = 5.0,
    workers: Annotated[_Few, _help("Connections.")] = 4,
    retry_dropped: Annotated[bool, _help("Ask again for what was ruled out for good.")] = False,
) -> None:
    """Download survey cut-outs for a catalogue of positions; stops and resumes."""
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


@data.command(name="import")
def import_(path: Path, /, *, out: _Folder, reading: _Reading = _Reading()) -> None:
    """Import your own images: a folder, or an npz, npy or HDF5 file."""
    from galgen.data.acquire import importing
    from galgen.data.dataset import check_free
    from galgen.data.manifest import load_manifest

    check_free(out)  # before the work
    options = vars(reading) | {"bands": reading.bands.split(",")}
    found = importing.import_images(path, progress=True, **options)
    for name, reason in found.refused:
        print(printable(f"refused {name}: {reason}"), file=sys.stderr)
    entry = load_manifest().name_of(file_sha256(path)) if path.is_file() else "local"
    _describe(importing.write_imported(out, found, source=path.stem, manifest=entry))


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


@data.command
def info(dataset: Path, /) -> None:
    """What a data set holds."""
    from galgen.data.dataset import Dataset

    _describe(Dataset.open(dataset))


@data.command
def verify(dataset: Path, /) -> None:
    """Compare a data set with its checksums."""
    from galgen.data.dataset import Dataset

    Dataset.open(dataset).verify()
    print(f"{dataset}: both files are what was written")


@data.command
def prepare(*, asked: Asked = Asked(), out: _Outcome = None, others: _Others = True) -> None:
    """Get the data of an experiment into the run store."""
    from galgen import costs
    from galgen.experiment import every_family

    experiments = every_family(asked.parameters(), Store(asked.store), studies=True)
    experiment = experiments["diffusion"]  # the data are the same for all
    sets = experiment.split()  # fails here, before any other galaxies are made, when there are too few images
    found = {"split": {name: len(rows) for name, rows in vars(sets).items()}}
    sets = {"dataset": experiment.dataset}
    sets |= {name: experiment.foreign_dataset(name) for name in experiment.strangers if others}
    for role, dataset in sets.items():
        found[role] = {"path": str(dataset.directory), "images": len(dataset), "sha256": dataset.sha256}
    costs.check(experiment.store.root, [r for each in experiments.values() for r in each.to_train()])
    if out:
        write_json(out, found)
    print(json.dumps(found, indent=1))


@app.command
def plan(*, asked: Asked = Asked()) -> None:
    """The trainings an experiment needs, and what they cost."""
    from galgen.experiment import every_family

    for experiment in every_family(asked.parameters(), Store(asked.store), studies=True).values():
        for record in experiment.plan():
            print(json.dumps(record))


@app.command
def train(
    name: Annotated[str, _help("As `galgen plan` prints it.")],
    /,
    *,
    threads: Annotated[_Few, _help("Threads (two models at a time beat one with two).")] = 1,
    asked: Asked = Asked(),
    out: _Outcome = None,
) -> None:
    """Train one model of the plan; resumes where it was interrupted."""
    import torch

    from galgen import costs
    from galgen.experiment import training_named

    torch.set_num_threads(threads)
    experiment, training = training_named(name, asked.parameters(), Store(asked.store))
    costs.check(experiment.store.root, experiment.to_train([training]))
    done = experiment.train(training)
    if out:
        write_json(out, {"name": name, "key": done.key, **done.summary})
    print(f"{name}: {done.path}")


@app.command
def sweep(*, asked: Asked = Asked(), cores: Annotated[_Few, _help("Jobs at a time.")] = 2) -> None:
    """A book for each N, then one of all N with a page that lists the runs; goes on where it stopped."""
    here = Path.cwd()
    root = next((p for p in (here, *here.parents) if (p / "workflow" / "Snakefile").is_file()), None)
    if root is None:
        raise GalgenError(f"{here} is not in the project: there is no workflow/Snakefile in it or above")
    if asked.N is None:
        raise GalgenError("a sweep needs sizes, as in --N 10 100 1000")
    if root != here and Path(asked.data).exists():
        asked = replace(asked, data=str(Path(asked.data).absolute()))
    options = [*asked.parameters(sizes=False).options(), "--N", *map(str, asked.N), "--cores", str(cores)]
    environment = os.environ | ({"GALGEN_STORE": str(Store(asked.store).root)} if asked.store else {})
    os.chdir(root)
    # In the place of this process, so that what ends it ends the workflow.
    os.execve(sys.executable, [sys.executable, "-m", "workflow.book", "sweep", *options], environment)


@runs.command(name="list")
def list_(
    *, kind: Annotated[str | None, _help("Those of one kind alone.")] = None, store: _Store = None
) -> None:
    """All runs."""
    found = Store(store).runs(kind)
    if not found:
        print(f"no runs in {Store(store).root}")
        return
    line = "{:16}  {:10}  {:19}  {:>10}  {}".format
    print(line("key", "kind", "created", "seconds", "commit"))
    for each in found:
        record = each.record
        print(line(each.key, record["kind"], record["created"][:19], record["seconds"], record["commit"]))


_Key = Annotated[str, _help("Its key, or the first digits.")]


@runs.command
def show(key: _Key, /, *, store: _Store = None) -> None:
    """The record of a run."""
    found = Store(store).get(key)
    print(json.dumps(found.record | {"path": str(found.path)}, indent=1))


@runs.command
def rm(*keys: Annotated[_Key, Parameter(required=True)], store: _Store = None) -> None:
    """Delete runs, whole or not."""
    kept = Store(store)
    for key in keys:
        kept.folders(key)  # all of them exist before the first one goes
    for folder in (gone for key in keys for gone in kept.remove(key)):
        print(f"removed {folder}")


@runs.command(name="verify")
def verify_runs(*, store: _Store = None) -> None:
    """Compare all runs with their checksums; damaged ones are set aside, to be made again when needed."""
    kept = Store(store)
    count, damaged = kept.verify()
    for folder in sorted(kept.root.glob("*/*.damaged")):
        print(f"set aside: {folder} (`galgen runs rm {folder.name}` deletes it)")
    if damaged:
        raise GalgenError(f"{damaged} of {count} runs in {kept.root} were damaged")
    print(f"{count} runs in {kept.root} are what was written")


_Set = _help("The published set (default: results/models in the project).")


@models.command
def export(*, asked: Asked = Asked(), out: Annotated[Path | None, _Set] = None) -> None:
    """Publish models A and B of every family, at its smallest and largest N or at those given, if trained."""
    from galgen.experiment import every_family
    from galgen.explorer.published import publish_pairs

    experiments = every_family(asked.parameters(sizes=False), Store(asked.store)).values()
    for line in publish_pairs(experiments, asked.N or (), out):
        print(line)


@models.command(name="verify")
def verify_models(folder: Annotated[Path | None, _Set] = None, /) -> None:
    """Draw with published models, and compare that with what they drew when they were published."""
    from galgen.explorer.published import verify

    print(f"these draw what they drew: {', '.join(verify(folder))}")


def run(commands: App, argv: Sequence[str] | None = None) -> int:
    """Run a command of an app; what cannot be read on the line is a GalgenError as well."""
    try:
        outcome = commands(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        option = error.argument.name if error.argument else ""
        said = " ".join(str(error).split())
        raise GalgenError(said if option in said else f"{option}: {said}") from error
    return outcome or 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return exit_code(lambda: run(app, argv))
