"""Publish the table of a run: write its rows and arrays to `results/<run>/`, to be committed.

The new folder is written next to the existing one and replaces it by renaming, so that an interrupted process
leaves a complete one. Rows that were published before and are still valid are copied with the commit, machine
and date of their measurement. Arrays contain images of the training set, so only those of simulated galaxies
are published.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from galbook import measure
from galbook.table import (
    CLAIMS,
    QUESTIONS,
    SCHEMA,
    TYPES,
    Measurement,
    Question,
    read_table,
    sizes_of_cell,
    to_csv,
)
from galgen.data.prepare import SIMULATED
from galgen.experiment import Experiment
from galgen.models.precision import resolved
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_folder, in_place, read_json, write_json
from galgen.runs.store import checksums

__all__ = ["checked", "missing", "publish", "questions", "questions_of", "trainings", "write"]

ORIGIN = ("key", "code", "commit", "machine", "date", "confirmed")  # of rows


def questions() -> list[Question]:
    """All questions, sorted by name."""
    measure.load()
    return [QUESTIONS[name] for name in sorted(QUESTIONS)]


def questions_of(experiments: Iterable[Experiment]) -> Iterator[tuple[Question, Experiment, tuple]]:
    """Questions of a run, with experiment and arguments."""
    experiments = [experiment for experiment in experiments if experiment.sizes]
    for question in questions():
        for experiment in experiments:
            if experiment.family.name in question.families:
                for arguments in question.arguments(experiment):
                    if not experiment.profile.claims_only or _for_claims(question, experiment, arguments):
                        yield question, experiment, arguments


def _for_claims(question: Question, experiment: Experiment, arguments: tuple) -> bool:
    """Whether a verdict needs this question, or it is about the data set."""
    cells = [
        cell for claim in CLAIMS if experiment.family.name in claim["families"] for cell in claim["cells"]
    ]
    needed = {
        N
        for cell in cells
        if cell["question"] == question.name
        for N in sizes_of_cell(cell, experiment.sizes)
    }
    return question.name == "data_set" or question.size(experiment, *arguments) in needed


def missing(experiments: Iterable[Experiment]) -> list[tuple[Question, Experiment, tuple]]:
    """Questions of a run whose rows are not published, or have other code or models."""
    return [(question, experiment, arguments) for question, experiment, arguments in questions_of(experiments)
            if not question.published(experiment, *arguments)]  # fmt: skip


def checked(parameters: Parameters) -> dict:
    """Report of the last `make check` of a published run; empty without one."""
    path = parameters.folder / "checked.json"
    return read_json(path) if path.is_file() else {}


def trainings(experiments: Iterable[Experiment], before: list[dict]) -> list[dict]:
    """Name, key, seconds, time, commit and machine of each stored or published training."""
    records, before = [], {record["key"]: record for record in before}
    for experiment in experiments:
        for model in experiment.models.trainings():
            key = experiment.published_key(model)
            if run := experiment.store.find(**experiment.identity(model)):
                record = {name: run.record[name] for name in ("created", "commit", "machine")}
                records.append({"name": model.name, "key": key, "seconds": run.summary["seconds"]} | record)
            elif key in before:
                records.append(before[key] | {"name": model.name})
    return records


def publish(parameters: Parameters, experiments: Iterable[Experiment], folder: Path | None = None) -> str:
    """Publish the table of a run; return a summary with its size.

    Args:
        parameters: Parameters of the run.
        experiments: One for each family and study.
        folder: By default `galgen.profiles.Parameters.folder`.

    Raises:
        GalgenError: If the folder contains another run, or N differs from the profile.
    """
    if parameters.N:
        raise GalgenError("only runs with the N of their profile can be published: leave N out")
    experiments = list(experiments)
    folder = in_place(folder) if folder else parameters.folder
    names = parameters.model_dump(mode="json", exclude={"N", "precision", "onset_study"})
    names["data"] = Path(parameters.data).stem
    earlier = read_json(folder / "run.json") if (folder / "run.json").is_file() else {"parameters": names}
    if earlier["parameters"] != names:
        raise GalgenError(
            f"{folder} holds the table of the run {earlier['parameters']}, not {names}; name another folder"
        )
    about = {"schema": SCHEMA, "parameters": names, "precision": resolved(parameters)}
    about["trainings"] = trainings(experiments, earlier.get("trainings", []))
    entries = {}
    for question, experiment, arguments in questions_of(experiments):
        measured, origin = question.found(experiment, *arguments)
        drawn = parameters.data in SIMULATED and parameters.profile != "seeds"  # whose arrays no page draws
        public = measured.arrays if drawn else {}
        entries[question.file(experiment, *arguments)] = Measurement(measured.rows, public), origin
        if question.name == "data_set":  # the images of all measurements
            images = measured.rows.query("statistic == 'images'").value.item()
            about["data"] = {"images": int(images), "sha256": measured.arrays["sha256"].tobytes().hex()}
    write(folder, about, entries)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    return f"{sum(len(entry.rows) for entry, _ in entries.values())} rows in {folder}: {size:.2f} MB"


def write(folder: Path, about: dict, entries: dict[str, tuple[Measurement, dict]]) -> None:
    """Write a published table.

    Args:
        folder: `results/<run>`.
        about: Contents of `run.json`, except those of the entries.
        entries: Rows and arrays with their origin, by `<question>/<name>`.
    """
    with atomic_folder(folder) as new:
        (new / "arrays").mkdir()
        files, lines, arrays = {}, [",".join(TYPES) + "\n"], {}
        for file, (entry, origin) in entries.items():
            first = len(lines) - 1
            lines += to_csv(entry.rows).splitlines(keepends=True)[1:]
            about_rows = {"rows": [first, len(lines) - 1], "arrays": sorted(entry.arrays)}
            files[file] = {name: origin[name] for name in ORIGIN if name in origin} | about_rows
            question, _, name = file.partition("/")
            by_name = arrays.setdefault(question, {})
            by_name |= {f"{name}/{array}": values for array, values in entry.arrays.items()}
        (new / "measurements.csv").write_text("".join(lines))
        read_table(new / "measurements.csv")  # raises if a row is there twice
        for question, by_name in arrays.items():
            if by_name:
                np.savez_compressed(new / "arrays" / f"{question}.npz", **dict(sorted(by_name.items())))
        write_json(new / "run.json", about | {"files": files, "sha256": checksums(new)})
