"""The steps that the rules of workflow/Snakefile call.

    python -m galbook.press prepare|train|measure|chapter|render|bind|check|publish|print ... OPTIONS

The libraries of notebooks take two seconds to import, for which no training need wait.
"""

import functools
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

try:
    from cyclopts import App

    from galbook.press.runs import AGAIN, Prepared, Run, Trained, families
    from galgen import cli
    from galgen.cli import USUAL, Asked
    from galgen.profiles import Parameters
    from galgen.runs.errors import GalgenError, exit_code
    from galgen.runs.files import visible
    from galgen.runs.reading import read_as
except KeyboardInterrupt:  # in its first seconds
    sys.exit(130)

app = App(
    "galbook.press",
    help="The workflow of the book.",
    default_parameter=USUAL,
    suppress_keyboard_interrupt=False,
)


def _step(function: Callable) -> Callable:
    """A step of a run: what goes wrong in it is noted in the folder of the run."""

    @app.command
    @functools.wraps(function)
    def noted(*args: object, asked: Asked = Parameters(), **options: object) -> None:
        try:
            function(*args, asked=asked, **options)
        except Exception as error:
            said = error if isinstance(error, GalgenError) else traceback.format_exception_only(error)[-1]
            Run(asked).note_failure(str(said).strip().splitlines()[0])
            raise

    return noted


def _on_a_gpu(function: Callable) -> Callable:
    """A function that has a GPU of its own, where there are some."""

    @functools.wraps(function)
    def pinned(*args: object, **options: object) -> None:
        from galbook.press import gpus

        with gpus.one_alone():
            function(*args, **options)

    return pinned


@_step
def prepare(*, asked: Asked = Parameters(), out: Path | None = None, others: bool = False) -> None:
    """Get the data of a run into the store, first its own and then those that foreign models see."""
    run = Run(asked)
    cli.prepare(asked=run.parameters, out=out, others=others)
    run.check_room(others=others)  # Snakemake takes back what a step that fails has written


@_step
@_on_a_gpu
def train(name: str, /, *, asked: Asked = Parameters(), out: Path | None = None) -> None:
    """Train one model of the plan."""
    cli.train(name, asked=Run(asked).parameters, out=out)


@_step
@_on_a_gpu
def measure(family: str, N: int, /, *, asked: Asked = Parameters()) -> None:
    """Measure what is not published of the models of a family at one N; chapters find it in the store."""
    from galbook.publishing import missing
    from galgen.experiment import Experiment

    for question, experiment, given in missing([Experiment(Run(asked).parameters, family=family)]):
        if question.size(experiment, *given) == N:
            question(experiment, *given)


@_step
@_on_a_gpu
def chapter(notebook: Path, output: Path, stamp: Path, /, *, asked: Asked = Parameters()) -> None:
    """Execute a chapter; the stamp is what `galgen data prepare` wrote."""
    from galbook.press import chapters

    run, data = Run(asked), read_as(stamp, Prepared, AGAIN)["dataset"]
    note = {"N": run.sizes_of(families(notebook)), "images": data["images"], "sha256": data["sha256"]}
    chapters.execute(notebook, output, run.parameters, note)


@_step
def render(
    *, executed: tuple[Path, ...], trainings: tuple[Path, ...] = (), asked: Asked = Parameters()
) -> None:
    """Bind executed chapters to a book; of the trainings, what `galgen train` wrote."""
    from galbook.press import assemble, published

    run, stamps = Run(asked), [read_as(path, Trained, AGAIN) for path in trainings]
    stamps += published.stamps(run, {stamp["name"] for stamp in stamps})
    of = Path("book"), Path("notebooks"), run.folder, executed, stamps
    assemble.render(assemble.Sources(*of, origin=published.origin(run)))


@app.command
def bind(*, asked: Asked = Parameters()) -> None:
    """Bind the chapters as they are.

    Raises:
        GalgenError: If one of them was never executed.
    """
    from galbook.press import chapters

    run, names = Run(asked), chapters.names("book/_toc.yml")
    executed = {name: run.folder / "chapters" / f"{name}.ipynb" for name in names}
    if missing := [name for name, path in executed.items() if not path.is_file()]:
        raise GalgenError(f"{', '.join(missing)} of {run.folder} were never made: make book makes all")
    trainings = tuple(visible(run.folder / "trainings", "*.json"))
    render(executed=tuple(executed.values()), trainings=trainings, asked=asked)


@app.command
def check(*, asked: Asked = Parameters(), out: Path | None = None) -> None:
    """Make a part of what is published again, and compare."""
    from galbook.press import check

    print(check.check(Run(asked), out))


@app.command
def publish(*, asked: Asked = Parameters()) -> None:
    """Publish the measurements of a finished book, and pack its trainings."""
    from galbook.press import published

    print(published.publish(Run(asked)))


@app.command
def made() -> None:
    """Refuse a store in which something was trained or measured: nothing of the published book has to be."""
    from galbook.press import published

    if found := published.made():
        raise GalgenError(f"made here, though the book is published: {', '.join(found)}")
    print("nothing was trained or measured")


@_step
def print_(*, asked: Asked = Parameters()) -> None:
    """Print a book that was rendered."""
    from galbook.press.pdf import print_pdf

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
