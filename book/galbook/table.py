"""The table of measurements: a row for each number of the book, arrays for what its figures draw.

A *question* is a function of an experiment that returns rows, and arrays by name. What it finds is kept under
a key of all that it depends on: its arguments, the models that it reads, the latents and images that it is
given, and its source files. So a number is measured once, whichever page, table or claim shows it, and a
question to models of 500 galaxies does not depend on which other sizes a run has.

A row says what was measured (the key columns; no two rows share them all) and what was found:

    question, family, seed, N      which question, to which models, trained on N images each
    training_sets                  of a pair: disjoint, same, or out-of-domain (trained on other images)
    model                          A0, B1, ...; a pair as A0-B1; or what stands beside models, as held-out
    width, images_shown            base channels of the network; images shown to it in training
    level, at                      level of a multiscale latent; the abscissa, such as sigma or the epochs
    statistic                      a name of `statistics.yaml`, which defines it
    value, low, high, p, n         the number; its interval, or that of the null, as the definition says; the
                                   p value; and on how many samples it rests

The published tables are in `results/<run>/`: `measurements.csv`, `arrays/<question>.npz`, and `run.json`,
which has for each file of rows its key, its place in the table and its checksum. Rows of another key are not
used.
"""

import functools
import hashlib
import importlib
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from galgen import images
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.data.prepare import SIMULATED
from galgen.experiment import Experiment
from galgen.models.families import Training
from galgen.profiles import Parameters
from galgen.runs.code import version
from galgen.runs.errors import GalgenError, reading
from galgen.runs.files import file_sha256, read_json

__all__ = [
    "KEY",
    "QUESTIONS",
    "SCHEMA",
    "STATISTICS",
    "TYPES",
    "Given",
    "Measurement",
    "Published",
    "Question",
    "all_pairs",
    "each_size",
    "first_pair",
    "largest_size",
    "may_read_published",
    "question",
    "read_table",
    "row",
    "to_csv",
]

SCHEMA = 1
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
_AGAIN = "take the folder from the repository again"
TRAINING_SETS = ("", "disjoint", "same", "out-of-domain")
QUESTIONS: dict[str, "Question"] = {}

Given = tuple[int | float | str, ...]


@dataclass(frozen=True)
class Measurement:
    """What a question found.

    Attributes:
        rows: The table, with the columns `TYPES`.
        arrays: By name.
    """

    rows: pd.DataFrame
    arrays: Mapping[str, np.ndarray]


def row(statistic: str, found: Estimate | Outcome | float, **where: object) -> dict:
    """A row of the table.

    Args:
        statistic: A name of `STATISTICS`.
        found: A number; an estimate with its interval; or an outcome with the interval of its null and its p.
        **where: Other columns.
    """
    values = vars(found) if isinstance(found, Estimate | Outcome) else {"value": float(found)}
    return {"statistic": statistic} | values | where


def to_csv(rows: pd.DataFrame) -> str:
    """The table as text, each number with eight significant digits."""
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
    if (twice := rows.duplicated([*KEY])).any():
        raise GalgenError(f"{source} has a row twice: {rows.loc[twice, [*KEY]].iloc[0].to_dict()}")
    return rows


def _table(rows: Iterable[dict]) -> pd.DataFrame:
    """The table of rows, as it is read back from a file."""
    rows = list(rows)
    for one in rows:
        if one["statistic"] not in STATISTICS:
            raise KeyError(f"{one['statistic']} is not defined in statistics.yaml")
        if one.get("training_sets", "") not in TRAINING_SETS:
            raise KeyError(f"training_sets is one of {TRAINING_SETS}, not {one['training_sets']}")
        if unknown := one.keys() - TYPES.keys():
            raise KeyError(f"a row has no {unknown}")
    return read_table(io.StringIO(to_csv(pd.DataFrame(rows, columns=[*TYPES]))))


@dataclass(eq=False)
class Question:
    """A function that measures, and how its answers are found again.

    Attributes:
        name: The name of the function.
        function: From an experiment and values to rows, and arrays by name.
        families: The families and studies whose models it asks.
        arguments: From an experiment to the values with which a run asks it.
        models: From an experiment and these values to the models that it reads.
    """

    name: str
    function: Callable[..., tuple[Iterable[dict], Mapping[str, np.ndarray]]]
    families: tuple[str, ...]
    arguments: Callable[[Experiment], Iterable[Given]]
    models: Callable[..., Iterable[Training]]

    @functools.cached_property
    def files(self) -> list[str]:
        """The modules that an answer depends on: its own, those that the `FILES` of this lists, and so on."""
        found, todo = set(), [self.function.__module__, images.__name__]
        while todo:
            found.add(name := todo.pop())
            todo += set(getattr(importlib.import_module(name), "FILES", ())) - found
        return sorted(found)

    def __call__(self, experiment: Experiment, *given: int | float | str) -> Measurement:
        """Rows and arrays: published, kept, or measured now."""
        return self.found(experiment, *given)[0]

    def found(self, experiment: Experiment, *given: int | float | str) -> tuple[Measurement, dict]:
        """The same, and where they are from: key, commit, machine and date."""
        name, identity = self.label(experiment, *given), self.identity(experiment, *given)
        published = Published.of(experiment)
        key = experiment.store.key("rows", **identity)
        if published and (there := published.get(f"{self.name}/{name}", key)):
            return there, published.about["files"][f"{self.name}/{name}"]

        if not experiment.store.find("rows", **identity):
            experiment.ensure(self.models(experiment, *given))  # by processes, and said beforehand

        def make(work: Path) -> dict:
            rows, arrays = self.function(experiment, *given)
            (work / "rows.csv").write_text(to_csv(_table(self._completed(experiment, given, rows))))
            np.savez_compressed(work / "arrays.npz", **arrays)
            return {"question": self.name, "name": name}

        run = experiment.store.run("rows", make=make, **identity)
        with np.load(run.path / "arrays.npz", allow_pickle=False) as arrays:
            measured = Measurement(read_table(run.path / "rows.csv"), dict(arrays))
        origin = {"key": key, "date": run.record["created"][:10]}
        return measured, origin | {name: run.record[name] for name in ("commit", "machine")}

    def every(self, experiment: Experiment) -> pd.DataFrame:
        """The rows of all that a run asks of the models of an experiment."""
        asked = self.arguments(experiment) if experiment.sizes else ()
        return pd.concat([_table([]), *(self(experiment, *given).rows for given in asked)], ignore_index=True)

    def identity(self, experiment: Experiment, *given: int | float | str) -> dict:
        """All that an answer depends on, of which its key is made (`galgen.runs.store`)."""
        profile = experiment.profile
        params = {
            "question": self.name,
            # processors differ in the last digit of a number that is computed
            "given": [float(f"{x:.12g}") if isinstance(x, float) else x for x in given],
            "models": {model.name: experiment.key(model) for model in self.models(experiment, *given)},
            "family": experiment.family.name,
            "sampler": experiment.settings.sampler,
            "seed": experiment.parameters.seed,
            "latents": profile.samples,
            "held_out": profile.validation,
            "largest": experiment.sizes[-1],  # decides which images are left for `Images.reserve`
            "code": version(self.files),
        }
        return {"params": params, "data": experiment.images.identity()}

    def published(self, experiment: Experiment, *given: int | float | str) -> bool:
        """Whether rows of today's code and models are published."""
        there = Published.of(experiment)
        about = there and there.about["files"].get(f"{self.name}/{self.label(experiment, *given)}")
        identity = self.identity(experiment, *given) if about else {}
        return bool(about) and about["key"] == experiment.store.key("rows", **identity)

    def size(self, experiment: Experiment, *given: int | float | str) -> int:
        """The N of the models that are asked; where it is not among the values, the largest."""
        return self._values(given).get("N", experiment.sizes[-1])

    def label(self, experiment: Experiment, *given: int | float | str) -> str:
        """The name of a file of rows among those of its question, as `glow-4000`."""
        return "-".join(map(str, (experiment.family.name, *given)))

    def _completed(self, experiment: Experiment, given: Given, rows: Iterable[dict]) -> Iterator[dict]:
        """The rows, with what the question and its arguments say of all of them."""
        usual = {"question": self.name, "family": experiment.family.name, "seed": experiment.parameters.seed}
        usual |= {"N": self._values(given).get("N")}
        for one in rows:
            yield usual | one

    def _values(self, given: Given) -> dict[str, int | float | str]:
        """The values by the names of the function's parameters."""
        return dict(zip([*inspect.signature(self.function).parameters][1:], given, strict=False))


def question(
    *,
    families: Iterable[str],
    arguments: Callable[[Experiment], Iterable[Given]],
    models: Callable[..., Iterable[Training]],
) -> Callable[[Callable], Question]:
    """Make a question of a function; the arguments are those of `Question`."""

    def asked(function: Callable) -> Question:
        found = Question(function.__name__, function, tuple(families), arguments, models)
        functools.update_wrapper(found, function)
        QUESTIONS[found.name] = found
        return found

    return asked


def each_size(experiment: Experiment) -> list[Given]:
    """Each N of the family."""
    return [(N,) for N in experiment.sizes]


def largest_size(experiment: Experiment) -> list[Given]:
    """The largest N of the family."""
    return [(N,) for N in experiment.sizes[-1:]]


def all_pairs(experiment: Experiment, N: int, *_: object) -> list[Training]:
    """The models of all pairs of N images."""
    return [model for pair in experiment.models.pairs(N) for model in pair]


def first_pair(experiment: Experiment, N: int, *_: object) -> list[Training]:
    """Models A and B of the first pair of N images."""
    return [*experiment.models.pair(N)]


def may_read_published(parameters: Parameters) -> bool:
    """Whether published rows may stand for measurements: of simulated galaxies, unless RECOMPUTE=1."""
    return parameters.data in SIMULATED and os.environ.get("RECOMPUTE", "0") in ("", "0")


class Published:
    """The table of a run as it is published.

    Args:
        folder: `results/<run>`.

    Raises:
        GalgenError: If it is of another schema, or not whole.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        with reading(folder / "run.json", _AGAIN):
            self.about = read_json(folder / "run.json")
        if self.about.get("schema") != SCHEMA:
            raise self._error(f"run.json has schema {self.about.get('schema')}, not {SCHEMA}")
        if not (table := folder / "measurements.csv").is_file():
            raise self._error(f"{table.name} is missing")
        self.lines = table.read_text().splitlines(keepends=True)

    @staticmethod
    def of(experiment: Experiment) -> "Published | None":
        """What is published of the run of an experiment on simulated galaxies, unless RECOMPUTE=1."""
        folder = experiment.parameters.folder
        return _opened(folder) if may_read_published(experiment.parameters) and folder.is_dir() else None

    def get(self, file: str, key: str) -> Measurement | None:
        """The rows and arrays of `<question>/<name>`, or None if there are none of that key.

        Raises:
            GalgenError: If they are not what was published.
        """
        about = self.about["files"].get(file)
        if about is None or about["key"] != key:
            if about:
                told = "were measured by other code or from other models, and are measured again"
                print(f"galgen: the published rows {file} {told}", file=sys.stderr)
            return None
        first, last = about["rows"]
        text = "".join(self.lines[1 + first : 1 + last])
        if hashlib.sha256(text.encode()).hexdigest() != about["sha256"]:
            raise self._error(f"the rows of {file} in measurements.csv have changed")
        question, _, name = file.partition("/")
        there = self._arrays(question) if about["arrays"] else {}
        return Measurement(
            read_table(io.StringIO(self.lines[0] + text)),
            {each: there[f"{name}/{each}"] for each in about["arrays"]},
        )

    @functools.cache  # noqa: B019 - a process reads one or two runs
    def _arrays(self, question: str) -> dict[str, np.ndarray]:
        path = self.folder / "arrays" / f"{question}.npz"
        if not path.is_file() or file_sha256(path) != self.about["arrays"][question]:
            raise self._error(f"{path.name} is missing, or has changed")
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)

    def _error(self, what: str) -> GalgenError:
        return GalgenError(f"{self.folder}: {what}; {_AGAIN}")


@functools.cache
def _opened(folder: Path) -> Published:
    return Published(folder)
