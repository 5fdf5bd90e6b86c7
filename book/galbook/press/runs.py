"""A run of the book: what was asked, the folder it has under build/, and what its steps depend on.

Snakemake makes a step again when one of its parameters changes. So the versions of the data, of the code and
of the settings that a step depends on are parameters of it, next to its input files.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

import galgen
from galgen import costs
from galgen.data.acquire import importing
from galgen.data.acquire.readers import files_of
from galgen.data.prepare import SIMULATED, SMALLER, SOURCES, check_source
from galgen.data.simulate.source import GALAXIES, LEAVES
from galgen.experiment import Experiment, every_family
from galgen.models.families import FAMILIES
from galgen.models.precision import Precision, resolved
from galgen.profiles import Parameters, profile
from galgen.runs.code import version
from galgen.runs.errors import GalgenError, checked
from galgen.runs.files import read_json, visible, write_json
from galgen.runs.packed import packed
from galgen.runs.reading import Written, read_as
from galgen.runs.store import Run as Entry
from galgen.runs.store import Store

HEADLINE = "00_headline"  # the chapter that opens the book, with live models; it waits for all of them
AGAIN = "remove it, and the same command makes it again"
# What data sets depend on, of whatever source.
DATA = (*GALAXIES, *LEAVES, *importing.FILES, *SMALLER)


class Failed(Written):
    """`failed.json`: what was asked, and what went wrong first."""

    parameters: dict
    error: str


class _Stamp(Written):
    """`trainings/NAME.json`, which `galgen train` writes."""

    key: str = ""


class Trained(_Stamp):
    """The same, for the pages that list it."""

    name: str
    key: Annotated[str, Field(min_length=1)]
    seconds: float


class _Dataset(Written):
    images: int
    sha256: str


class Prepared(Written):
    """`data.json`, which `galgen data prepare` writes."""

    dataset: _Dataset


class _Plan(Written):
    """`plan.json`, the version of all that it follows from, and its own."""

    of: str
    itself: str
    plan: list[dict]


def asked(given: Mapping[str, object]) -> Parameters:
    """What Snakemake's configuration asks for, or make by its variables.

    Args:
        given: Texts by the names profile, data, sizes, seed, precision and clock; those that are missing or
            empty are the usual ones. Sizes are set apart by spaces or commas.

    Raises:
        GalgenError: If a number is none, or Snakemake has made a number of what is a name.
    """
    texts = {name: value for name, value in given.items() if value not in ("", None)}
    if sizes := str(texts.pop("sizes", "")).strip():
        texts["N"] = sizes
    return checked(Parameters, texts, "parameters")


def data_name(data: str) -> str:
    """A data set in the name of a folder: in letters that no shell minds, a path with a hash of it."""
    if data in SIMULATED:
        return data
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", Path(data).stem).strip("-.")[:40] or "data"
    return f"{slug}-{digest(os.path.abspath(os.path.expanduser(data)))[:8]}"


def families(notebook: Path) -> list[str]:
    """The families and studies whose models a chapter asks for: its metadata name them, or `every` family."""
    named = read_json(notebook)["metadata"].get("families", [])
    return [*(FAMILIES if "every" in named else ()), *(name for name in named if name != "every")]


def digest(*values: object) -> str:
    """A hash (16 hexadecimal digits) of JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _away(path: Path) -> None:
    """Remove what is made again, whatever it has become."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


class Run:
    """A run of the book.

    Args:
        parameters: What was asked.
        *N: Sizes in the place of those of the parameters.

    Attributes:
        asked: What was asked, which names its folder.
        parameters: The same, with the precision that the run has: `auto` is resolved once, when the run
            begins, and stands in its folder for every job, machine and sitting that follows.

    Raises:
        GalgenError: If the profile does not exist or the sizes are impossible.
    """

    def __init__(self, parameters: Parameters, *N: int):
        self.asked = parameters.model_copy(update={"N": N} if N else {})
        self.profile = profile(self.asked.profile)  # before a folder is looked for that has its name
        self.asked.sizes(self.profile.diffusion.N)
        self.parameters = self.asked.model_copy(update={"precision": self._precision()})

    @functools.cached_property
    def experiments(self) -> list[Experiment]:
        """One for each family and study."""
        return list(every_family(self.parameters, studies=True).values())

    def sizes_of(self, names: Iterable[str] = ()) -> list[int]:
        """The sizes of some families together, or of all; studies, which have their own, count alone."""
        if (names := set(names)) and not names & set(FAMILIES):
            return sorted({N for each in self.experiments if each.family.name in names for N in each.sizes})
        parts = [getattr(self.profile, name) for name in names or FAMILIES if name in FAMILIES]
        return sorted({N for part in parts for N in self.parameters.sizes(part.N)})

    @property
    def sizes(self) -> list[int]:
        """Those of all families."""
        return self.sizes_of()

    @property
    def name(self) -> str:
        """The folder under build/, as `smoke-simulated-N8-24`."""
        asked = self.asked
        name = f"{asked.profile}-{data_name(asked.data)}"
        name += "-N" + "-".join(map(str, asked.N)) if asked.N else ""
        name += f"-seed{asked.seed}" if asked.seed else ""
        name += f"-{asked.precision}" if asked.precision != "auto" else ""
        return name + "-clock" * asked.clock + "-recomputed" * (packed() is None)

    @property
    def folder(self) -> Path:
        """The same, with build/."""
        return Path("build") / self.name

    def _precision(self) -> str:
        kept = self.folder / "precision.json"
        if self.asked.precision != "auto":
            return self.asked.precision
        if os.path.lexists(kept):
            return read_as(kept, Precision, AGAIN)
        return resolved(self.asked, Store().packed)

    def begin(self) -> None:
        """Make its folder, in which its precision is settled."""
        if not (kept := self.folder / "precision.json").is_file() and self.asked.precision == "auto":
            write_json(kept, self.parameters.precision)

    def note_failure(self, error: str) -> None:
        """Note in its folder that the run failed, and of what first; `forget` takes it back."""
        if not (self.folder / "failed.json").is_file():
            failed = {"parameters": self.asked.model_dump(mode="json"), "error": error}
            write_json(self.folder / "failed.json", failed)

    def outcome(self) -> str:
        """What became of the run: its book is bound, or a step has noted what went wrong, or neither."""
        if (self.folder / "failed.json").is_file():
            return f"failed: {read_as(self.folder / 'failed.json', Failed, AGAIN)['error']}"
        return "done" if (self.folder / "results.json").is_file() else "not finished"

    def forget(self) -> None:
        """Have it no longer noted that the run failed, nor that it has a training that the store has not."""
        _away(self.folder / "failed.json")
        for path in visible(self.folder / "trainings", "*.json"):
            with contextlib.suppress(GalgenError):
                if key := read_as(path, _Stamp, AGAIN).get("key"):
                    Store().get(key)
                continue
            _away(path)  # it was removed, or set aside; or the stamp is none

    @functools.cached_property
    def plan(self) -> dict[str, dict]:
        """What `galgen plan` says of each training, and the version of its recipe: of all but the images.

        It takes ten seconds and more, and every job of a cluster asks: it is kept beside the sources it is
        of.
        """
        stats = [(str(p), p.stat().st_mtime_ns) for p in sorted(Path(galgen.__file__).parent.rglob("*.py"))]
        reads = {path.stem: families(path) for path in sorted(Path("notebooks").glob("*.ipynb"))}
        of = digest(stats, self.profile.model_dump(mode="json"), reads, vars(self.parameters))
        kept = self.folder / "plan.json"
        with contextlib.suppress(GalgenError):  # it is not there, or damaged
            known = read_as(kept, _Plan, AGAIN)
            if (known["of"], known["itself"]) == (of, digest(known["plan"])):
                return {record["name"]: record for record in known["plan"]}
        found = {}
        for experiment in self.experiments:
            for record, training in zip(experiment.plan(), experiment.models.trainings(), strict=True):
                recipe = experiment.recipe(training)
                recipe["code"] = version(recipe["code"])
                chapters = [name for name, named in reads.items() if training.family in named]
                found[record["name"]] = record | {"chapters": chapters, "recipe": digest(recipe)}
        # first what is read first: the clock, of which the central chapter is made, before flows and GANs
        read = {name: [each for each in of["chapters"] if each != HEADLINE] for name, of in found.items()}
        found = {name: found[name] for name in sorted(found, key=read.get)}
        plan = list(found.values())
        with contextlib.suppress(OSError):  # a finished book may lie where nothing can be written
            _away(kept)
            write_json(kept, {"of": of, "itself": digest(plan), "plan": plan})
        return found

    def check_data(self) -> None:
        """Refuse data that do not exist, or galaxies that memory cannot hold, before anything is made."""
        self.data_version()  # which looks for the files
        for of, found in self.simulated():
            if not found:
                costs.check_galaxies(of["count"], of["size"])

    def simulated(self) -> list[tuple[dict, Entry | None]]:
        """What is simulated for this run, and where it is kept or published; None before it is made."""
        store, found = Store(), []
        for source, of in self.experiments[0].images.sources:
            if source in SIMULATED:
                making = SOURCES["simulated"](source, **of)
                found.append((of, store.find("dataset", making.params, code=making.code)))
        return found

    def check_room(self, *, others: bool = True) -> None:
        """Refuse trainings that disk or memory cannot hold; the data are there, but for those of `others`."""
        asked = [(each, model) for each in self.experiments for model in each.models.trainings()]
        asked = [(each, model) for each, model in asked if others or not model.foreign]
        asked = [(each, model) for each, model in asked if not each.store.find(**each.identity(model))]
        missing = [self.plan[model.name] for _, model in asked]
        costs.check(self.experiments[0].store.root, missing)

    def options(self) -> list[str]:
        """What was asked, for a command line."""
        return self.asked.options()

    @functools.cache  # noqa: B019 - a process knows a few runs
    def data_version(self) -> str:
        """The version of the data set: of the files it is imported from, of its settings and of the code."""
        path = check_source(self.parameters.data)
        files = [] if self.parameters.data in SIMULATED else files_of(path)
        stats = [(str(p), s.st_size, s.st_mtime_ns, s.st_ctime_ns) for p in files for s in [p.stat()]]
        settings = {"image_size", "crop", "simulated", "validation"}
        values = self.profile.model_dump(include=settings)
        return digest(stats, values, self.sizes, version(DATA))
