"""Table of measurements: one row per number of the book, and arrays for its figures.

A *question* is a function of an experiment that returns rows, and arrays by name. Its result is cached under
a key of everything that it depends on: its arguments, the models that it reads, latents and images, and the
modules that it imports. So a number is measured once, whichever page, table or claim uses it, and a question
about models of 500 galaxies does not depend on the other sizes of a run.

A row has key columns, which identify the measurement (unique per row), and values:

    question, family, seed, N      question, and models, trained on N images each
    training_sets                  of a pair: disjoint, same, or out-of-domain (trained on other images)
    model                          A0, B1, ...; a pair as A0-B1; or a control, as held-out
    width, images_shown            base channels of the network; images shown to it in training
    level, at                      level of a multiscale latent; the abscissa, such as sigma or the epochs
    statistic                      a name of `statistics.yaml`, which defines it
    value, low, high, p, n         the number; its interval, or that of the null, as the definition says; the
                                   p value; and the number of samples

The published tables are in `results/<run>/`: `measurements.csv`, `arrays/<question>.npz`, and `run.json`,
which has the key and the position of the rows of each call, and the checksum of each file. A key in
`results/` contains no code: the version of the code stands beside it, and the rows are valid while it is
today's. After a change of code that is meant to change nothing, `make confirm` computes rows with both and
records the new version if they are equal. Rows of statistics that are no longer defined are ignored.
"""

import functools
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from galgen import images
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.experiment import SAMPLING, Experiment, has_published
from galgen.models.families import Training
from galgen.runs.code import closure, version
from galgen.runs.errors import GalgenError, reading
from galgen.runs.files import file_sha256, read_json

__all__ = [
    "CLAIMS",
    "KEY",
    "QUESTIONS",
    "SCHEMA",
    "STATISTICS",
    "TYPES",
    "Arguments",
    "Measurement",
    "Published",
    "Question",
    "all_pairs",
    "each_size",
    "first_pair",
    "largest_size",
    "question",
    "read_table",
    "row",
    "sizes_of_cell",
    "to_csv",
]

SCHEMA = 2
KEY = {  # the key columns and their types
    "question": "str",
    "family": "str",
    "seed": "Int64",
    "N": "Int64",
    "training_sets": "str",
    "model": "str",
    "width": "Int64",
    "images_shown": "Int64",
    "level": "Int64",
    "at": "float64",
    "statistic": "str",
}
TYPES = KEY | {"value": "float64", "low": "float64", "high": "float64", "p": "float64", "n": "Int64"}
STATISTICS = yaml.safe_load(Path(__file__).with_name("statistics.yaml").read_text())
CLAIMS = yaml.safe_load(Path(__file__).with_name("claims.yaml").read_text())
_AGAIN = "restore the folder from the repository"
TRAINING_SETS = ("", "disjoint", "same", "out-of-domain")
QUESTIONS: dict[str, "Question"] = {}

Arguments = tuple[int | float | str, ...]


@dataclass(frozen=True)
class Measurement:
    """Result of a question.

    Attributes:
        rows: The table, with the columns `TYPES`.
        arrays: Arrays by name.
    """

    rows: pd.DataFrame
    arrays: Mapping[str, np.ndarray]


def row(statistic: str, result: Estimate | Outcome | float, **where: object) -> dict:
    """Create a row of the table.

    Args:
        statistic: A name of `STATISTICS`.
        result: A number; an estimate with its interval; or an outcome with the interval of its null, and p.
        **where: Other columns.
    """
    values = vars(result) if isinstance(result, Estimate | Outcome) else {"value": float(result)}
    return {"statistic": statistic} | values | where


def sizes_of_cell(cell: Mapping, sizes: Sequence[int]) -> list[int]:
    """The one or two N of a cell of `CLAIMS`, for a family with the given N, in ascending order."""
    named = {"smallest": sizes[0], "largest": sizes[-1], "small": 100 if 100 in sizes else sizes[0]}
    return [named.get(n, n) for n in (cell["N"] if isinstance(cell["N"], list) else [cell["N"]])]


def to_csv(rows: pd.DataFrame) -> str:
    """Format a table as CSV, with eight significant digits."""
    return rows.to_csv(index=False, float_format="%.8g", lineterminator="\n")


def read_table(source: str | os.PathLike | io.StringIO) -> pd.DataFrame:
    """Read a table of measurements.

    Raises:
        GalgenError: If its columns are not `TYPES`, or two rows have the same key columns.
    """
    text = [name for name, kind in TYPES.items() if kind == "str"]
    try:
        rows = pd.read_csv(source, dtype=TYPES)
    except ValueError as error:
        raise GalgenError(f"{source} is not a table of measurements: {error}") from error
    if list(rows) != list(TYPES):
        raise GalgenError(f"{source} has the columns {', '.join(rows)}, not {', '.join(TYPES)}")
    rows[text] = rows[text].fillna("")
    if (duplicate := rows.duplicated([*KEY])).any():
        raise GalgenError(f"{source} has a duplicate row: {rows.loc[duplicate, [*KEY]].iloc[0].to_dict()}")
    return rows


def _table(rows: Iterable[dict]) -> pd.DataFrame:
    """Build a table from rows, identical to the one read back from a file."""
    rows = list(rows)
    for one in rows:
        if one["statistic"] not in STATISTICS:
            raise KeyError(f"{one['statistic']} is not defined in statistics.yaml")
        if one.get("training_sets", "") not in TRAINING_SETS:
            raise KeyError(f"training_sets must be one of {TRAINING_SETS}, not {one['training_sets']}")
        if unknown := one.keys() - TYPES.keys():
            raise KeyError(f"unknown columns {unknown}")
    return read_table(io.StringIO(to_csv(pd.DataFrame(rows, columns=[*TYPES]))))


@dataclass(eq=False)
class Question:
    """A function that measures, with caching of its results.

    Attributes:
        name: Name of the function.
        function: From an experiment and arguments to rows, and arrays by name.
        families: Families and studies whose models it measures.
        arguments: From an experiment to the arguments with which a run calls it.
        models: From an experiment and these arguments to the models that it reads.
        version: Number of its definition; another one makes its published rows invalid, and no others.
    """

    name: str
    function: Callable[..., tuple[Iterable[dict], Mapping[str, np.ndarray]]]
    families: tuple[str, ...]
    arguments: Callable[[Experiment], Iterable[Arguments]]
    models: Callable[..., Iterable[Training]]
    version: int = 1

    def __call__(self, experiment: Experiment, *arguments: int | float | str) -> Measurement:
        """Rows and arrays: published, cached, or measured now."""
        return self.found(experiment, *arguments)[0]

    def found(self, experiment: Experiment, *arguments: int | float | str) -> tuple[Measurement, dict]:
        """Rows and arrays with their origin: key, version of the code, commit, machine and date."""
        file = self.file(experiment, *arguments)
        if self.published(experiment, *arguments):
            table = Published.of(experiment)
            return table.get(file), table.about["files"][file]
        if (table := Published.of(experiment)) and file in table.about["files"]:
            change = "were measured with other code or models; measuring again"
            print(f"galgen: the published rows {file} {change}", file=sys.stderr)
        measured, record = self.measured(experiment, *arguments)
        names = ("commit", "machine")
        origin = self.origin(experiment, *arguments) | {"date": record["created"][:10]}
        return measured, origin | {name: record[name] for name in names}

    def measured(self, experiment: Experiment, *arguments: int | float | str) -> tuple[Measurement, dict]:
        """Rows and arrays from the store or measured now, whatever is published; and their record."""
        entry = self.entry(experiment, *arguments)
        if not experiment.store.find("rows", **entry):
            experiment.ensure(self.models(experiment, *arguments))  # in parallel, printing the estimate first

        def make(work: Path) -> dict:
            rows, arrays = self.function(experiment, *arguments)
            (work / "rows.csv").write_text(to_csv(_table(self._completed(experiment, arguments, rows))))
            np.savez_compressed(work / "arrays.npz", **arrays)
            return {"question": self.name, "name": self.label(experiment, *arguments)}

        run = experiment.store.run("rows", make=make, **entry)
        with np.load(run.path / "arrays.npz", allow_pickle=False) as arrays:
            return Measurement(read_table(run.path / "rows.csv"), dict(arrays)), run.record

    def every(self, experiment: Experiment) -> pd.DataFrame:
        """Rows for all arguments with which a run calls the question."""
        calls = self.arguments(experiment) if experiment.sizes else ()
        return pd.concat(
            [_table([]), *(self(experiment, *arguments).rows for arguments in calls)], ignore_index=True
        )

    def identity(self, experiment: Experiment, *arguments: int | float | str) -> dict:
        """Everything but code that the result depends on: the components of its key in `results/`."""
        profile, N, models = experiment.profile, experiment.sizes[-1], self.models(experiment, *arguments)
        params = {
            "question": self.name,
            "version": self.version,
            # processors differ in the last digit of a number that is computed
            "given": [float(f"{x:.12g}") if isinstance(x, float) else x for x in arguments],
            "models": {model.name: experiment.published_key(model) for model in models},
            "family": experiment.family.name,
            "sampler": experiment.settings.sampler,
            "seed": experiment.parameters.seed,
            "latents": profile.samples,
            "held_out": profile.validation,
            # determine which images remain for `Images.reserve`, and the start image
            "largest": N if N == experiment.models.largest else [N, experiment.models.largest],
        }
        return {"params": params, "data": experiment.images.identity()}

    def code(self, experiment: Experiment, *arguments: int | float | str) -> frozenset[str]:
        """Modules that the result depends on: those of the question, of its models and of the images."""
        models = list(self.models(experiment, *arguments))
        modules = [experiment.recipe(model)["code"] for model in models]
        modules += [closure(experiment.family.__module__, SAMPLING)] if models else []
        own = closure(self.function.__module__, images.__name__)
        return own.union(experiment.images.code(), *modules)

    def entry(self, experiment: Experiment, *arguments: int | float | str) -> dict:
        """Components of the key in the run store: code included, and the weights that are read."""
        identity = self.identity(experiment, *arguments)
        models = {model.name: experiment.key(model) for model in self.models(experiment, *arguments)}
        return identity | {
            "params": identity["params"] | {"models": models},
            "code": self.code(experiment, *arguments),
        }

    def origin(self, experiment: Experiment, *arguments: int | float | str) -> dict[str, str]:
        """Key in `results/` and version of today's code."""
        key = experiment.store.key("rows", **self.identity(experiment, *arguments))
        return {"key": key, "code": version(self.code(experiment, *arguments))}

    def published(self, experiment: Experiment, *arguments: int | float | str) -> bool:
        """Whether rows with the current code and models are published."""
        table = Published.of(experiment)
        about = table and table.about["files"].get(self.file(experiment, *arguments))
        return bool(about) and about.items() >= self.origin(experiment, *arguments).items()

    def file(self, experiment: Experiment, *arguments: int | float | str) -> str:
        """Name of the rows in a published table, as `inversion/glow-4000`."""
        return f"{self.name}/{self.label(experiment, *arguments)}"

    def size(self, experiment: Experiment, *arguments: int | float | str) -> int:
        """N of the models; if it is not among the arguments, the largest."""
        return self._by_name(arguments).get("N", experiment.sizes[-1])

    def label(self, experiment: Experiment, *arguments: int | float | str) -> str:
        """Name of the rows among those of the question, as `glow-4000`."""
        return "-".join(map(str, (experiment.family.name, *arguments)))

    def _completed(self, experiment: Experiment, values: Arguments, rows: Iterable[dict]) -> Iterator[dict]:
        """Rows with the columns that the question and its arguments determine."""
        usual = {"question": self.name, "family": experiment.family.name, "seed": experiment.parameters.seed}
        usual |= {"N": self._by_name(values).get("N")}
        for one in rows:
            yield usual | one

    def _by_name(self, arguments: Arguments) -> dict[str, int | float | str]:
        """Arguments by the names of the function's parameters."""
        return dict(zip([*inspect.signature(self.function).parameters][1:], arguments, strict=False))


def question(
    *,
    families: Iterable[str],
    arguments: Callable[[Experiment], Iterable[Arguments]],
    models: Callable[..., Iterable[Training]],
    version: int = 1,
) -> Callable[[Callable], Question]:
    """Decorator that turns a function into a question; see `Question` for the arguments."""

    def decorate(function: Callable) -> Question:
        made = Question(function.__name__, function, tuple(families), arguments, models, version)
        functools.update_wrapper(made, function)
        QUESTIONS[made.name] = made
        return made

    return decorate


def each_size(experiment: Experiment) -> list[Arguments]:
    """Arguments: each N of the family."""
    return [(N,) for N in experiment.sizes]


def largest_size(experiment: Experiment) -> list[Arguments]:
    """Arguments: the largest N of the family."""
    return [(N,) for N in experiment.sizes[-1:]]


def all_pairs(experiment: Experiment, N: int, *_: object) -> list[Training]:
    """Models of all pairs of N images."""
    return [model for pair in experiment.models.pairs(N) for model in pair]


def first_pair(experiment: Experiment, N: int, *_: object) -> list[Training]:
    """Models A and B of the first pair of N images."""
    return [*experiment.models.pair(N)]


class Published:
    """Published table of a run.

    Args:
        folder: `results/<run>`.

    Raises:
        GalgenError: If the schema differs, or a file is missing or was changed.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        with reading(folder / "run.json", _AGAIN):
            self.about = read_json(folder / "run.json")
        if self.about.get("schema") != SCHEMA:
            raise self._error(f"run.json has schema {self.about.get('schema')}, not {SCHEMA}")
        for name, checksum in self.about["sha256"].items():
            if not (folder / name).is_file() or file_sha256(folder / name) != checksum:
                raise self._error(f"{name} is missing, or has changed")
        self.rows = read_table(folder / "measurements.csv")

    @staticmethod
    def of(experiment: Experiment) -> "Published | None":
        """Load the published table of a run on simulated galaxies; None without one, or if RECOMPUTE=1."""
        return _opened(experiment.parameters.folder) if has_published(experiment.parameters) else None

    def get(self, file: str) -> Measurement:
        """Rows and arrays of `<question>/<name>`."""
        question, _, name = file.partition("/")
        about = self.about["files"][file]
        rows = self.rows.iloc[slice(*about["rows"])]
        rows = rows[rows.statistic.isin([*STATISTICS])].reset_index(drop=True)
        arrays = self._arrays(question) if about["arrays"] else {}
        return Measurement(rows, {array: arrays[f"{name}/{array}"] for array in about["arrays"]})

    @functools.cache  # noqa: B019 - a process reads one or two runs
    def _arrays(self, question: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / "arrays" / f"{question}.npz", allow_pickle=False) as arrays:
            return dict(arrays)

    def _error(self, message: str) -> GalgenError:
        return GalgenError(f"{self.folder}: {message}; {_AGAIN}")


@functools.cache
def _opened(folder: Path) -> Published:
    return Published(folder)
