"""What is kept of a run: its numbers and a few small pictures, in a file of some 150 kB.

    a chapter:    keep(scores=..., claims=...)        into the executed notebook, as a hidden output
    the book:     collect(chapters)                   build/RUN/results.json, with parameters and provenance
    to commit:    cp build/RUN/results.json results/RUN.json

The chapter "Real beside simulated" reads results/, so that a book can show what another machine computed.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import nbformat
from IPython.display import display

from galbook.committed import MEASURED, Book
from galgen.figures.words import figure_note
from galgen.runs.errors import GalgenError, printable
from galgen.runs.files import plain, project, visible
from galgen.runs.reading import read_as
from galgen.runs.store import processor

__all__ = ["books", "collect", "keep", "load", "made", "measured", "select", "target", "whose"]

_MIME = "application/vnd.galgen.results+json"
_BENCHMARKS = {*MEASURED, "bench", "foretold", "gpu", "growth", "trial"}  # of no book
_COPY = "it is none of this project's: remove it, or copy it anew"


def keep(**values: object) -> None:
    """Keep values of a chapter in its executed notebook: anything JSON knows, and floats of numpy.

    Args:
        values: By a name that no other call in the chapter uses. NaN and infinities become None.
    """
    display({_MIME: plain(values)}, raw=True)


def target(given: Path | None, name: str, *, trial: bool) -> Path:
    """Where a benchmark writes: where it was told to, else into `results/`.

    Raises:
        GalgenError: If a trial, which measures nothing, was not told where.
    """
    if given is None and trial:
        raise GalgenError(f"a trial does not write into results/{name}: say where with --out")
    return given or project() / "results" / name


def collect(executed: Sequence[Path]) -> dict:
    """All that the chapters kept, by chapter and name; and the parameters and provenance of each chapter."""
    kept, ran = {}, {}
    for path in executed:
        notebook = nbformat.read(path, as_version=4)
        ran[path.stem] = note = dict(notebook.metadata["galgen"])
        # The data set by its name: its path on that machine is private.
        note["parameters"] = note["parameters"] | {"data": Path(note["parameters"]["data"]).stem}
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        for values in (o["data"][_MIME] for o in outputs if _MIME in o.get("data", {})):
            kept.setdefault(path.stem, {}).update(values)
    return {"chapters": ran, "kept": kept}


def whose(runs: Mapping[str, Mapping], chapter: str) -> str:
    """Of which books the numbers of a chapter are, and when and where they were computed: a figure's note."""
    made = []
    for run in runs.values():
        of, ran = run["run"], run["chapters"][chapter]
        where = f"{ran['finished'][:10]}, commit {ran['commit'][:8]}, {processor(ran['machine'])}"
        made.append(f"{figure_note(of['profile'], of['data'])}, {where}")
    return f"committed: {' | '.join(made)}"


def measured(name: str, folder: str | Path | None = None) -> dict[str, dict]:
    """What the benchmark of that name found, by data set, simulated first; nothing if it never ran.

    Raises:
        GalgenError: If the file holds something else.
    """
    path = Path(folder or project() / "results") / f"{name}.json"
    found = read_as(path, MEASURED[name], _COPY) if os.path.lexists(path) else {}
    return dict(sorted(found.items(), key=lambda run: run[0] != "simulated"))


def select(records: Iterable[Mapping], **wanted: object) -> list[Mapping]:
    """The records that have these values."""
    return [r for r in records if all(r[name] == value for name, value in wanted.items())]


def made(runs: Mapping[str, Mapping], *questions: str) -> str:
    """When, where, by which code and of what committed numbers are: they are not of the run that shows them.

    Args:
        runs: By data set.
        questions: Where a run was made in parts, those that are shown; by default all.
    """
    said = []
    for name, run in runs.items():
        parts = [
            part
            for part in run.get("parts", [run])
            if not questions or {record["question"] for record in part["records"]} & set(questions)
        ]
        when: dict[tuple[str, str], dict[str, None]] = {}
        for part in parts:
            commits = when.setdefault((part["date"], processor(part["machine"])), {})
            commits[part["commit"][:8]] = None
        made = [f"{day}, {_few(list(commits))}, {machine}" for (day, machine), commits in when.items()]
        said.append(f"{name}, profile {run['profile']}, {', '.join(made)}")
    return f"committed: {'; '.join(said)}"


def _few(commits: list[str]) -> str:
    if len(commits) > 3:
        return f"{len(commits)} commits from {commits[0]} to {commits[-1]}"
    return f"commit {', '.join(commits)}"


def books(folder: Path) -> list[Path]:
    """The files that hold the results of a book, a run before its other seeds."""
    kept = (path for path in visible(folder, "*.json") if path.stem not in _BENCHMARKS)
    return sorted(kept, key=lambda path: path.stem)


def load(folder: str | Path | None = None) -> dict[str, dict]:
    """The results of all books in a folder, by name; by default in the project's `results/`.

    Raises:
        GalgenError: If a file holds something else.
    """
    paths = books(Path(folder or project() / "results"))
    return {printable(path.stem): read_as(path, Book, _COPY) for path in paths}
