"""Command line of the steps of the workflow, called by the rules of workflow/Snakefile.

    python -m galbook.build prepare|train|measure|chapter|render|check|publish|print ... OPTIONS

Notebook libraries, which take two seconds to import, are imported only by the steps that need them.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

try:
    from cyclopts import App

    from galbook.build.runs import Run, families
    from galgen import cli
    from galgen.cli import USUAL, RunParameters
    from galgen.profiles import Parameters
    from galgen.runs.errors import GalgenError, exit_code
    from galgen.runs.files import read_json
except KeyboardInterrupt:  # during the imports
    sys.exit(130)

app = App(
    "galbook.build",
    help="Steps of the workflow of the book.",
    default_parameter=USUAL,
    suppress_keyboard_interrupt=False,
)


def _on_a_gpu(function: Callable) -> Callable:
    """Decorate a step to run on one GPU that no other job uses, if the machine has several."""

    @functools.wraps(function)
    def pinned(*args: object, **options: object) -> None:
        from galbook.build import gpus

        with gpus.exclusive_gpu():
            function(*args, **options)

    return pinned


@app.command
def prepare(*, parameters: RunParameters = Parameters()) -> None:
    """Prepare the data sets of a run in the store: its own and those of the out-of-domain models."""
    cli.prepare(parameters=Run(parameters).parameters)


@app.command
@_on_a_gpu
def train(name: str, /, *, parameters: RunParameters = Parameters()) -> None:
    """Train one model of the plan."""
    cli.train(name, parameters=Run(parameters).parameters)


@app.command
@_on_a_gpu
def measure(family: str, N: int, /, *, parameters: RunParameters = Parameters()) -> None:
    """Measure the unpublished rows of the models of a family at one N, into the store."""
    from galbook.publishing import missing
    from galgen.experiment import Experiment

    for question, experiment, given in missing([Experiment(Run(parameters).parameters, family=family)]):
        if question.size(experiment, *given) == N:
            question(experiment, *given)


@app.command
def chapter(notebook: Path, output: Path, /, *, parameters: RunParameters = Parameters()) -> None:
    """Execute a chapter."""
    from galbook.build import chapters, published

    run = Run(parameters)
    note = {"N": run.sizes_of(families(notebook))} | published.data_of(run)
    chapters.execute(notebook, output, run.parameters, note)


@app.command
def render(*, some: bool = False, parameters: RunParameters = Parameters()) -> None:
    """Render the executed chapters and the prose as a book; with --some only if no chapter is missing."""
    from galbook import publishing
    from galbook.build import assemble, published

    run = Run(parameters)
    if some and assemble.missing_chapters(Path("book"), run.folder):
        print(f"Executed: {run.folder / 'chapters'}. Others are missing: `make book` renders the whole book.")
        return
    trainings = publishing.trainings(run.experiments, (published.of_run(run) or {}).get("trainings", []))
    assemble.render(Path("book"), Path("notebooks"), run.folder, trainings, published.origin(run))


@app.command
def check(*, parameters: RunParameters = Parameters()) -> None:
    """Recompute a part of the published results and compare."""
    from galbook.build import check

    print(check.check(Run(parameters)))


@app.command
def publish(*, parameters: RunParameters = Parameters()) -> None:
    """Publish the measurements of a run, after those that are missing."""
    from galbook import publishing

    run = Run(parameters)
    print(publishing.publish(run.parameters, run.experiments))


@app.command
def confirm() -> None:
    """Compare the code with that of the published results; record its version if no number differs."""
    from galbook.build import confirm

    print(confirm.confirm())


@app.command
def recompute(folder: Path, /) -> None:
    """Compute what `confirm` compares, with this code."""
    from galbook.build import confirm

    confirm.recompute(folder, read_json(folder.parent / "wanted.json"))


@app.command
def computed() -> None:
    """Fail if the store has results computed here, which a book of published results does not need."""
    from galbook.build import published

    if names := published.computed_here():
        raise GalgenError(f"computed here, although the book is published: {', '.join(names)}")
    print("nothing was simulated, trained or measured")


@app.command
def print_(*, parameters: RunParameters = Parameters()) -> None:
    """Print a rendered book as one PDF."""
    from galbook.build.pdf import print_pdf

    pdf = print_pdf(Run(parameters).folder)
    print(f"{pdf.stat().st_size / 1e6:8.2f} MB\n\nThe book: {pdf.absolute()}")


def _run(argv: Sequence[str] | None) -> int:
    if not find_spec("papermill"):  # stands for all packages of the extra
        raise GalgenError("the book needs the extra `book`: make install, or pip install '.[book]'")
    return cli.run(app, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return exit_code(lambda: _run(argv))


if __name__ == "__main__":
    sys.exit(main())
