"""Publish the table of a run: write its rows and arrays to `results/<run>/`, to be committed.

The new folder is written next to the existing one and replaces it by renaming, so that an interrupted process
leaves a complete one. Rows that were published before and are still valid are copied with the commit, machine
and date of their measurement. Arrays contain images of the training set, so only those of simulated galaxies
are published.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from galbook import measure
from galbook.table import CLAIMS, QUESTIONS, SCHEMA, TYPES, Question, read_table, sizes_of_cell, to_csv
from galgen.data.prepare import SIMULATED
from galgen.experiment import Experiment
from galgen.models.precision import resolved
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_folder, file_sha256, in_place, read_json, write_json

__all__ = ["checked", "missing", "publish", "questions", "questions_of", "trainings"]


def questions() -> list[Question]:
    """All questions, sorted by name."""
    measure.load()
    return [QUESTIONS[name] for name in sorted(QUESTIONS)]


def questions_of(experiments: Iterable[Experiment]) -> Iterator[tuple[Question, Experiment, tuple]]:
    """Questions of a run, with experiment and arguments."""
    experiments = [each for each in experiments if each.sizes]
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
    return [(of, experiment, each) for of, experiment, each in questions_of(experiments)
            if not of.published(experiment, *each)]  # fmt: skip


def checked(parameters: Parameters) -> dict:
    """Report of the last `make check` of a published run; empty without one."""
    path = parameters.folder / "checked.json"
    return read_json(path) if path.is_file() else {}


def trainings(experiments: Iterable[Experiment], known: list[dict]) -> list[dict]:
    """Name, key, seconds, time, commit and machine of each stored or published training."""
    found, known = [], {of["key"]: of for of in known}
    for experiment in experiments:
        for model in experiment.models.trainings():
            key = experiment.store.key(**experiment.identity(model))
            if run := experiment.store.at(model.family, key):
                record = {name: run.record[name] for name in ("created", "commit", "machine")}
                found.append({"name": model.name, "key": key, "seconds": run.summary["seconds"]} | record)
            elif key in known:
                found.append(known[key] | {"name": model.name})
    return found


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
    of = parameters.model_dump(mode="json", exclude={"N", "precision", "onset_study"})
    of["data"] = Path(parameters.data).stem
    known = read_json(folder / "run.json") if (folder / "run.json").is_file() else {"parameters": of}
    if known["parameters"] != of:
        raise GalgenError(
            f"{folder} holds the table of the run {known['parameters']}, not {of}; name another folder"
        )
    about = {"schema": SCHEMA, "parameters": of, "precision": resolved(parameters)}
    about["trainings"] = trainings(experiments, known.get("trainings", []))
    with atomic_folder(folder) as new:
        (new / "arrays").mkdir()
        files, tables, arrays = {}, [",".join(TYPES) + "\n"], {}
        for question, experiment, arguments in questions_of(experiments):
            found, origin = question.found(experiment, *arguments)
            name, first = question.label(experiment, *arguments), len(tables) - 1
            lines = to_csv(found.rows).splitlines(keepends=True)[1:]
            tables += lines
            public = found.arrays if parameters.data in SIMULATED else {}
            by_name = arrays.setdefault(question.name, {})
            by_name |= {f"{name}/{each}": array for each, array in public.items()}
            files[f"{question.name}/{name}"] = {
                **{each: origin[each] for each in ("key", "commit", "machine", "date")},
                "rows": [first, first + len(lines)],
                "sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
                "arrays": sorted(public),
            }
            if question.name == "data_set":  # the images of all measurements
                images = found.rows.query("statistic == 'images'").value.item()
                about["data"] = {"images": int(images), "sha256": found.arrays["sha256"].tobytes().hex()}
        (new / "measurements.csv").write_text("".join(tables))
        rows = read_table(new / "measurements.csv")
        sums = {}
        for name, by_name in arrays.items():
            if by_name:
                np.savez_compressed(new / "arrays" / f"{name}.npz", **dict(sorted(by_name.items())))
                sums[name] = file_sha256(new / "arrays" / f"{name}.npz")
        write_json(new / "run.json", about | {"files": files, "arrays": sums})
        size = sum(path.stat().st_size for path in new.rglob("*") if path.is_file()) / 1e6
    return f"{len(rows)} rows and the arrays of {len(sums)} questions in {folder}: {size:.2f} MB"
