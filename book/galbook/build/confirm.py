"""Confirm that a change of code changed no number, and record the new version of the code in `results/`.

A published row or model is valid while the version of the code recorded with it is today's. After a change
that is meant to change nothing (a name, a layout, a faster way), `make confirm` runs the code of the last
commit that changed `results/`, in a worktree of git, and today's, side by side on this machine:

- the whole `smoke` run: all its data sets and trainings, and every question on them;
- all rows with another version of the code that depend on published models alone.

Data sets and weights must be equal bit for bit, and `value`, `low`, `high`, `p`, `n` and arrays to eight
digits. Then the new version is recorded for all published runs that have the question, with the number of
rows that were measured again; otherwise the differences are named. What was measured is kept below
`build/confirm/`, so a second call after a repair runs only today's code. Rows of statistics that are no
longer defined are removed.
"""

import io
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from galbook import publishing
from galbook.build.check import depends_on_published_models
from galbook.table import KEY, STATISTICS, Measurement, Published, Question, read_table, to_csv
from galgen.experiment import APART, Experiment, every_family
from galgen.profiles import Parameters
from galgen.published import StoreWithPublished, listed, published
from galgen.runs.code import version
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_path, project, read_json, visible, write_json
from galgen.runs.store import Store

__all__ = ["confirm", "recompute"]

VALUES = ["value", "low", "high", "p", "n"]
SMOKE = Parameters(profile="smoke")
GONE = {"left_only": "is gone", "right_only": "is new"}
TIMES = ["training_minutes"]  # statistics that differ at each run
LISTED = 20  # differences that are named
RECORDS = [":(glob)results/*/run.json", ":(glob)results/models/**/record.json"]  # with versions of code


def runs(store: Store) -> Iterator[tuple[Published, list[Experiment]]]:
    """Published runs with their experiments; those on given images are not needed for a version."""
    for path in visible(project() / "results", "*/run.json"):
        table = Published(path.parent)
        values = table.about["parameters"] | {"precision": table.about["precision"]}
        yield table, list(every_family(Parameters(**values), store, studies=True).values())


def calls(experiments: list[Experiment]) -> Iterator[tuple[str, tuple]]:
    """Calls of questions of a run, by the name of their rows in a published table."""
    for question, experiment, arguments in publishing.questions_of(experiments):
        yield question.file(experiment, *arguments), (question, experiment, arguments)


def stale() -> dict[str, set[str]]:
    """Names of the rows that were measured with another version of the code, by run."""
    names = {}
    for table, experiments in runs(Store()):
        files = table.about["files"]
        names[table.folder.name] = {
            file
            for file, (question, experiment, arguments) in calls(experiments)
            if file in files and files[file]["code"] != version(question.code(experiment, *arguments))
        }
    return names


def stale_models() -> list[tuple[Path, str]]:
    """Folders of published models of another version of the code, with the version of today's."""
    folders = []
    for run in listed(published()):
        info = run.summary
        parameters = Parameters(profile=info["profile"], data=info["data"], seed=info["first"] // 1_000_000)
        experiment = Experiment(parameters, family=run.record["kind"])
        training = next(t for t in experiment.models.trainings() if t.name == info["name"])
        if (code := version(experiment.recipe(training)["code"])) != run.record["published"]["code"]:
            folders.append((run.path, code))
    return folders


def recompute(folder: Path, wanted: dict[str, list[str]]) -> None:
    """Compute the smoke run, and wanted rows of published models, with the code of this process.

    Args:
        folder: Where each result is written, as `<run>/<question>/<name>.npz`; existing ones are kept.
        wanted: Names of rows, by run.
    """
    store = folder / "store"
    experiments = list(every_family(SMOKE, Store(store), studies=True).values())
    images, bits = experiments[0].images, {}
    for name in ("", *images.out_of_domain_kinds):
        bits[name or "galaxies"] = (images.out_of_domain(name) if name else images.dataset).sha256
    for experiment in experiments:
        for model in experiment.models.trainings():
            sums = experiment.train(model).record["sha256"].items()
            bits |= {f"{model.name}, {name}": sha for name, sha in sums if name.startswith("weights-")}
    versions = {}
    for file, call in calls(experiments):
        save(folder / "smoke" / f"{file}.npz", *call)
    for table, of_run in runs(StoreWithPublished(store, any_version=True)):
        run = table.folder.name
        for file, (question, experiment, arguments) in calls(of_run):
            if file in wanted.get(run, ()):
                versions[f"{run}/{file}"] = version(question.code(experiment, *arguments))
                if depends_on_published_models(question, experiment, arguments):
                    save(folder / run / f"{file}.npz", question, experiment, arguments)
    write_json(folder / "exact.json", {"bits": bits, "versions": versions})


def save(path: Path, question: Question, experiment: Experiment, arguments: tuple) -> None:
    """Measure a question and write its rows and arrays."""
    if not path.exists():
        measured, _ = question.measured(experiment, *arguments)
        arrays = {f"array {name}": values for name, values in measured.arrays.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as new, new.open("wb") as file:
            np.savez_compressed(file, rows=to_csv(measured.rows), **arrays)


def load(path: Path) -> Measurement:
    """Read what `save` has written."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name.removeprefix("array "): file[name] for name in file.files if name != "rows"}
        return Measurement(read_table(io.StringIO(str(file["rows"]))), arrays)


def differences(before: Measurement, now: Measurement) -> list[str]:
    """Differences between the rows and arrays of one call, one line each."""
    old = before.rows[before.rows.statistic.isin([*STATISTICS])]
    old, new = (rows[~rows.statistic.isin(TIMES)] for rows in (old, now.rows))
    both, lines = old.merge(new, on=[*KEY], how="outer", suffixes=("", "_now"), indicator="side"), []
    for row in both.to_dict("records"):
        shown = {name: row[name] for name in ("training_sets", "model", "images_shown", "level", "at")}
        where = ", ".join(f"{name} {value}" for name, value in shown.items() if value and not pd.isna(value))
        if row["side"] != "both":
            lines.append(f"{row['statistic']} ({where}) {GONE[row['side']]}")
        for column in VALUES if row["side"] == "both" else ():
            value, other = row[column], row[f"{column}_now"]  # to eight digits, as they were written
            if value is not other and str(value) != str(other):
                lines.append(f"{row['statistic']} ({where}): {column} is {other}, not {value}")
    for name, values in now.arrays.items():
        if name not in before.arrays or not _equal(before.arrays[name], values):
            lines.append(f"array {name} differs")
    return lines


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal: floating-point numbers to eight digits."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    floating = np.issubdtype(a.dtype, np.floating)
    return np.allclose(a, b, rtol=5e-8, atol=0, equal_nan=True) if floating else np.array_equal(a, b)


def confirm() -> str:
    """Compare the last published code with today's, and record the version of today's if nothing differs.

    Raises:
        GalgenError: If a number differs, or `results/` has changes that are not committed.
    """
    if _git("status", "--porcelain", "--", *RECORDS):
        raise GalgenError("results/ has changes that are not committed; commit them, then make confirm")
    wanted, models = stale(), stale_models()
    if not any(wanted.values()) and not models:
        return prune() + "nothing to confirm: published rows and models have the version of today's code"
    commit = _git("log", "-1", "--format=%H", "--", *RECORDS)[:12]
    folder = project() / "build" / "confirm"
    before, now = folder / commit, folder / "now"
    shutil.rmtree(now, ignore_errors=True)
    if not (before / "code").is_dir():
        _git("worktree", "prune")
        _git("worktree", "add", "--detach", str(before / "code"), commit)
    write_json(folder / "wanted.json", {run: sorted(files) for run, files in wanted.items()})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_recompute, (before / "code", project()), (before, now)))
    old, new = (read_json(path / "exact.json") for path in (before, now))
    lines = [
        f"{name}: its bits differ"
        for name, bits in new["bits"].items()
        if old["bits"].get(name, bits) != bits
    ]
    for table, _ in runs(Store()):
        versions = {file: table.about["files"][file]["code"] for file in wanted[table.folder.name]}
        names = {file: f"{table.folder.name}/{file}" for file in versions}
        invalid = [name for file, name in names.items() if old["versions"].get(name) != versions[file]]
        lines += [f"{name} had other code at that commit, too: measure it again" for name in invalid]
    again = Counter()  # rows that were measured again
    for path in sorted(now.glob("*/*/*.npz")):
        name = path.relative_to(now).with_suffix("").as_posix()
        if (earlier := before / f"{name}.npz").is_file():
            measured = load(path)
            lines += [f"{name}: {line}" for line in differences(load(earlier), measured)]
            again[name] = len(measured.rows)
    if lines:
        shown = "\n".join(lines[:LISTED])
        raise GalgenError(f"{len(lines)} differences from commit {commit}, nothing was recorded:\n{shown}")
    text = record(wanted, models, again)
    return prune() + text


def record(wanted: dict[str, set[str]], models: list[tuple[Path, str]], again: Counter) -> str:
    """Record the version of today's code for rows and models; return a summary."""
    total = confirmed = 0
    for table, experiments in runs(Store()):
        run, about = table.folder.name, table.about
        for file, (question, experiment, arguments) in calls(experiments):
            if file in wanted[run]:
                rows = about["files"][file]["rows"][1] - about["files"][file]["rows"][0]
                about["files"][file] |= {
                    "code": version(question.code(experiment, *arguments)),
                    "confirmed": f"smoke, and {again[f'{run}/{file}']} of {rows} rows",
                }
                total, confirmed = total + rows, confirmed + again[f"{run}/{file}"]
        write_json(table.folder / "run.json", about)
    for path, code in models:
        model = read_json(path / "record.json")
        write_json(path / "record.json", model | {"published": model["published"] | {"code": code}})
    return f"confirmed: smoke, and {confirmed} of {total} rows; {len(models)} models"


def prune() -> str:
    """Remove published rows of statistics and questions that no longer exist; returns how many, in words."""
    removed, names = 0, {question.name for question in publishing.questions()}
    for table, _ in runs(Store()):
        files = table.about["files"].items()
        kept = {file: (table.get(file), origin) for file, origin in files if file.partition("/")[0] in names}
        if fewer := len(table.rows) - sum(len(entry.rows) for entry, _ in kept.values()):
            about = {name: value for name, value in table.about.items() if name not in ("files", "sha256")}
            publishing.write(table.folder, about, kept)
            removed += fewer
    return f"{removed} rows of statistics or questions that no longer exist were removed; " * bool(removed)


def _recompute(code: Path, folder: Path) -> None:
    paths = os.pathsep.join((str(code), str(code / "book")))
    command = [sys.executable, "-m", "galbook.build", "recompute", str(folder)]
    environment = os.environ | APART | {"PYTHONPATH": paths, "RECOMPUTE": "1"}
    if subprocess.run(command, cwd=code, env=environment, check=False).returncode:
        raise GalgenError(f"the code in {code} failed; see above")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise GalgenError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
