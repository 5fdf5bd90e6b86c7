"""The steps that the rules of workflow/Snakefile call.

    python -m galbook.build prepare|train|measure|chapter|render|check|publish|print ... OPTIONS

The libraries of notebooks take two seconds to import, for which no training need wait.
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
    from galgen.cli import USUAL, Asked
    from galgen.profiles import Parameters
    from galgen.runs.errors import GalgenError, exit_code
except KeyboardInterrupt:  # in its first seconds
    sys.exit(130)

app = App(
    "galbook.build",
    help="The workflow of the book.",
    default_parameter=USUAL,
    suppress_keyboard_interrupt=False,
)


def _on_a_gpu(function: Callable) -> Callable:
    """A function that has a GPU of its own, where there are some."""

    @functools.wraps(function)
    def pinned(*args: object, **options: object) -> None:
        from galbook.build import gpus

        with gpus.one_alone():
            function(*args, **options)

    return pinned


@app.command
def prepare(*, asked: Asked = Parameters()) -> None:
    """Get the data of a run into the store, its own and those that out-of-domain models see."""
    cli.prepare(asked=Run(asked).parameters)


@app.command
@_on_a_gpu
def train(name: str, /, *, asked: Asked = Parameters()) -> None:
    """Train one model of the plan."""
    cli.train(name, asked=Run(asked).parameters)


@app.command
@_on_a_gpu
def measure(family: str, N: int, /, *, asked: Asked = Parameters()) -> None:
    """Measure what is not published of the models of a family at one N; chapters find it in the store."""
    from galbook.publishing import missing
    from galgen.experiment import Experiment

    for question, experiment, given in missing([Experiment(Run(asked).parameters, family=family)]):
        if question.size(experiment, *given) == N:
            question(experiment, *given)


@app.command
def chapter(notebook: Path, output: Path, /, *, asked: Asked = Parameters()) -> None:
    """Execute a chapter."""
    from galbook.build import chapters, published

    run = Run(asked)
    note = {"N": run.sizes_of(families(notebook))} | published.data_of(run)
    chapters.execute(notebook, output, run.parameters, note)


@app.command
def render(*, asked: Asked = Parameters()) -> None:
    """Bind the executed chapters to a book."""
    from galbook import publishing
    from galbook.build import assemble, published

    run = Run(asked)
    trainings = publishing.trainings(run.experiments, (published.of_run(run) or {}).get("trainings", []))
    assemble.render(Path("book"), Path("notebooks"), run.folder, trainings, published.origin(run))


@app.command
def check(*, asked: Asked = Parameters()) -> None:
    """Make a part of what is published again, and compare."""
    from galbook.build import check

    print(check.check(Run(asked)))


@app.command
def publish(*, asked: Asked = Parameters()) -> None:
    """Publish the measurements of a finished book."""
    from galbook.build import published

    print(published.publish(Run(asked)))


@app.command
def made() -> None:
    """Refuse a store in which something was simulated, trained or measured: the published book needs none."""
    from galbook.build import published

    if found := published.made():
        raise GalgenError(f"made here, though the book is published: {', '.join(found)}")
    print("nothing was simulated, trained or measured")


@app.command
def print_(*, asked: Asked = Parameters()) -> None:
    """Print a book that was rendered."""
    from galbook.build.pdf import print_pdf

    made = print_pdf(Run(asked).folder)
    print(f"{made.stat().st_size / 1e6:8.2f} MB\n\nThe book: {made.absolute()}")


def _run(argv: Sequence[str] | None) -> int:
    if not find_spec("papermill"):  # one of many
        raise GalgenError("the book needs the extra `book`: make install, or pip install '.[book]'")
    return cli.run(app, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    return exit_code(lambda: _run(argv))


if __name__ == "__main__":
    sys.exit(main())
