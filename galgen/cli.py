"""The command line: data sets, the run store, trainings, sweeps.

The functions below and those of `galgen.cli_data` are the commands, and their docstrings the help; fields of
`Parameters` and of `Recipe` are options. A mistake that a message can explain is printed as one line and the
exit code is 2. What takes seconds to import waits for the command that needs it.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter
from pydantic import ValidationError

from galgen import cli_data
from galgen.cli_data import USUAL, Few, Place
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, exit_code, refused
from galgen.runs.files import check_replaceable, has_fields, write_json
from galgen.runs.store import Store

__all__ = ["Asked", "main", "prepare", "run", "train"]

app = App(
    "galgen",
    help="Two generative models, disjoint data, same latents.",
    default_parameter=USUAL,
    suppress_keyboard_interrupt=False,
)
app.command(cli_data.app)
app.command(runs := App("runs", help="Look at the run store."))
app.command(models := App("models", help="Publish trained models."))
# Found by name, it is not imported for the list of commands, which needs its help here.
app.command(
    "galgen.auditing.command:audit", help="Audit anyone's generator: are samples copies, and are they right?"
)


def _help(text: str) -> Parameter:
    return Parameter(help=text)


Asked = Annotated[Parameters, Parameter("*")]
_Outcome = Annotated[Place | None, _help("Also write the outcome to this JSON file.")]
_Others = Annotated[bool, Parameter(parse=False)]  # the workflow asks for them apart
_Store = Annotated[Place | None, _help("The run store (default: $GALGEN_STORE, or store/ in the project).")]


def _check_outcome(out: Path | None, fields: set[str]) -> None:
    """Refuse, before the work, to write an outcome over what is none."""
    if out:
        check_replaceable(out, lambda path: has_fields(path, fields))


@cli_data.app.command
def prepare(
    *, asked: Asked = Parameters(), store: _Store = None, out: _Outcome = None, others: _Others = True
) -> None:
    """Get the data of an experiment into the run store."""
    from galgen import costs
    from galgen.experiment import every_family

    _check_outcome(out, {"dataset", "split"})
    experiments = every_family(asked, Store(store), studies=True)
    experiment = experiments["diffusion"]  # the data are the same for all
    sets = (
        experiment.images.split()
    )  # fails here, before any other galaxies are made, when there are too few images
    found = {"split": {name: len(rows) for name, rows in vars(sets).items()}}
    sets = {"dataset": experiment.images.dataset}
    sets |= {name: experiment.images.foreign(name) for name in experiment.images.strangers if others}
    for role, dataset in sets.items():
        found[role] = {"path": str(dataset.directory), "images": len(dataset), "sha256": dataset.sha256}
    costs.check(experiment.store.root, [r for each in experiments.values() for r in each.to_train()])
    if out:
        write_json(out, found)
    print(json.dumps(found, indent=1))


@app.command
def plan(*, asked: Asked = Parameters(), store: _Store = None) -> None:
    """The trainings an experiment needs, and what they cost."""
    from galgen.data.prepare import check_source
    from galgen.experiment import every_family

    check_source(asked.data)
    for experiment in every_family(asked, Store(store), studies=True).values():
        for record in experiment.plan():
            print(json.dumps(record))


@app.command
def train(
    name: Annotated[str, _help("As `galgen plan` prints it.")],
    /,
    *,
    threads: Annotated[Few, _help("Threads (two models at a time beat one with two).")] = 1,
    asked: Asked = Parameters(),
    store: _Store = None,
    out: _Outcome = None,
) -> None:
    """Train one model of the plan; resumes where it was interrupted."""
    import torch

    from galgen import costs
    from galgen.experiment import training_named

    _check_outcome(out, {"key", "name"})
    torch.set_num_threads(threads)
    experiment, training = training_named(name, asked, Store(store))
    costs.check(experiment.store.root, experiment.to_train([training]))
    done = experiment.train(training)
    if out:
        write_json(out, {"name": name, "key": done.key, **done.summary})
    print(f"{name}: {done.path}")


@app.command
def sweep(
    *,
    asked: Asked = Parameters(),
    store: _Store = None,
    cores: Annotated[Few, _help("Jobs at a time.")] = 2,
) -> None:
    """A book for each N, then one of all N with a page that lists the runs; goes on where it stopped."""
    from galgen.data.prepare import SIMULATED

    here = Path.cwd()
    root = next((p for p in (here, *here.parents) if (p / "workflow" / "Snakefile").is_file()), None)
    if root is None:
        raise GalgenError(f"{here} is not in the project: there is no workflow/Snakefile in it or above")
    if not asked.N:
        raise GalgenError("a sweep needs sizes, as in --N 10 100 1000")
    if root != here and asked.data not in SIMULATED and Path(asked.data).exists():
        asked = asked.model_copy(update={"data": str(Path(asked.data).absolute())})
    environment = os.environ | {"GALGEN_STORE": str(Store(store).root)}
    command = [sys.executable, "-m", "galbook.press", "sweep", *asked.options(), "--cores", str(cores)]
    os.chdir(root)
    # In the place of this process, so that what ends it ends the workflow.
    os.execve(sys.executable, command, environment)


def _there(store: Path | None) -> Store:
    """The store; one that was named must be there."""
    if store and not store.is_dir():
        raise GalgenError(f"{store} is no folder, and so no run store")
    return Store(store)


@runs.command(name="list")
def list_(
    *, kind: Annotated[str | None, _help("Those of one kind alone.")] = None, store: _Store = None
) -> None:
    """All runs."""
    if not (found := _there(store).runs(kind)):
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
    entries = dict.fromkeys(kept.folders(key)[0].stem for key in keys)  # all exist before the first one goes
    for folder in (gone for entry in entries for gone in kept.remove(entry)):
        print(f"removed {folder}")


@runs.command(name="verify")
def verify_runs(*, store: _Store = None) -> None:
    """Compare all runs with their checksums; damaged ones are set aside, to be made again when needed."""
    kept = _there(store)
    count, damaged = kept.verify()
    for folder in sorted(kept.root.glob("*/*.damaged")):
        print(f"set aside: {folder} (`galgen runs rm {folder.name}` deletes it)")
    if damaged:
        raise GalgenError(f"{damaged} of {count} runs in {kept.root} were damaged")
    print(f"{count} runs in {kept.root} are what was written")


_Set = _help("The published set (default: results/models in the project).")


@models.command
def export(
    *, asked: Asked = Parameters(), store: _Store = None, out: Annotated[Place | None, _Set] = None
) -> None:
    """Publish models A and B of every family, at its smallest and largest N or at those given, if trained."""
    from galgen.experiment import every_family
    from galgen.published import publish_pairs

    experiments = every_family(asked.model_copy(update={"N": None}), Store(store)).values()
    for line in publish_pairs(experiments, asked.N or (), out):
        print(line)


@models.command(name="verify")
def verify_models(folder: Annotated[Place | None, _Set] = None, /) -> None:
    """Draw with published models, and compare that with what they drew when they were published."""
    from galgen.published import verify

    print(f"these draw what they drew: {', '.join(verify(folder))}")


def run(commands: App, argv: Sequence[str] | None = None) -> int:
    """Run a command of an app; what cannot be read on the line is a GalgenError as well."""
    try:
        outcome = commands(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        if isinstance(error.__cause__, ValidationError):
            raise refused(error.__cause__, error.__cause__.title.lower()) from error
        option = error.argument.name if error.argument else ""
        said = " ".join(str(error).split())
        raise GalgenError(said if option in said else f"{option}: {said}") from error
    return outcome or 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return exit_code(lambda: run(app, argv))
