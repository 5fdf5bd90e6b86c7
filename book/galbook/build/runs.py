"""A run of the book: its parameters, its folder under build/, and the versions its steps depend on."""

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from galgen.data.acquire import importing
from galgen.data.acquire.readers import files_of
from galgen.data.prepare import SIMULATED, SMALLER, check_source
from galgen.experiment import Experiment, every_family
from galgen.models.families import FAMILIES, Training
from galgen.models.precision import resolved
from galgen.profiles import Parameters, profile
from galgen.runs.code import closure, version
from galgen.runs.errors import checked
from galgen.runs.files import read_json

HEADLINE = "00_headline"  # the chapter that opens the book, with live models
# Modules that the contents of data sets depend on, for all sources.
DATA = closure(importing.__name__, "galgen.data.simulate.source") | SMALLER


def parse_parameters(given: Mapping[str, object]) -> Parameters:
    """Parse the parameters of a run from Snakemake's configuration or the variables of make.

    Args:
        given: Strings by the names profile, data, sizes, seed, precision and onset_study; missing or empty
            ones take their defaults. Sizes are separated by spaces or commas.

    Raises:
        GalgenError: If a value is not a number, or Snakemake has converted a name into a number.
    """
    texts = {name: value for name, value in given.items() if value not in ("", None)}
    if sizes := str(texts.pop("sizes", "")).strip():
        texts["N"] = sizes
    return checked(Parameters, texts, "parameters")


def data_name(data: str) -> str:
    """Name of a data set in the name of a folder, safe in a shell; for a path, with a hash of the path."""
    if data in SIMULATED:
        return data
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", Path(data).stem).strip("-.")[:40] or "data"
    return f"{slug}-{digest(os.path.abspath(os.path.expanduser(data)))[:8]}"


def families(notebook: Path) -> list[str]:
    """Families and studies whose models a chapter needs, from its metadata; `every` means all families."""
    named = read_json(notebook)["metadata"].get("families", [])
    return [*(FAMILIES if "every" in named else ()), *(name for name in named if name != "every")]


def digest(*values: object) -> str:
    """Hash of JSON values: the first 16 hexadecimal digits of their SHA-256."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


class Run:
    """A run of the book.

    Args:
        parameters: The parameters as given.
        *N: Sizes that replace those of the parameters.

    Attributes:
        requested: The parameters as given, which name the folder.
        parameters: The same, with `auto` replaced by the precision used on this machine.

    Raises:
        GalgenError: If the profile does not exist or the sizes are impossible.
    """

    def __init__(self, parameters: Parameters, *N: int):
        self.requested = parameters.model_copy(update={"N": N} if N else {})
        self.profile = profile(self.requested.profile)  # raises before any folder of that name is used
        self.requested.sizes(self.profile.diffusion.N)
        self.parameters = self.requested.model_copy(update={"precision": resolved(self.requested)})

    @functools.cached_property
    def experiments(self) -> list[Experiment]:
        """One experiment per family and study."""
        return list(every_family(self.parameters, studies=True).values())

    @functools.cached_property
    def trainings(self) -> dict[str, tuple[Experiment, Training]]:
        """All trainings by name."""
        return {model.name: (part, model) for part in self.experiments for model in part.models.trainings()}

    @functools.cached_property
    def plan(self) -> dict[str, dict]:
        """The record of `galgen plan` for each training, by name."""
        return {record["name"]: record for experiment in self.experiments for record in experiment.plan()}

    def sizes_of(self, names: Iterable[str] = ()) -> list[int]:
        """Sizes N of the named families, by default of all; of studies only if no family is named."""
        if (names := set(names)) and not names & set(FAMILIES):
            return sorted({N for part in self.experiments if part.family.name in names for N in part.sizes})
        parts = [getattr(self.profile, name) for name in names or FAMILIES if name in FAMILIES]
        return sorted({N for part in parts for N in self.parameters.sizes(part.N)})

    @property
    def name(self) -> str:
        """Name of the folder under build/, such as `smoke-simulated-N8-24`."""
        given = self.requested
        name = f"{given.profile}-{data_name(given.data)}"
        name += "-N" + "-".join(map(str, given.N)) if given.N else ""
        name += f"-seed{given.seed}" if given.seed else ""
        name += f"-{given.precision}" if given.precision != "auto" else ""
        name += "-onset" * given.onset_study
        return name + "-recomputed" * (os.environ.get("RECOMPUTE", "0") not in ("", "0"))

    @property
    def folder(self) -> Path:
        """Path of the folder, build/NAME."""
        return Path("build") / self.name

    def options(self) -> list[str]:
        """The parameters as options of a command line."""
        return self.requested.options()

    @functools.cache  # noqa: B019 - a process has few runs
    def data_version(self) -> str:
        """Hash of the source files of the data set, its settings and the code that prepares it.

        Raises:
            GalgenError: If the data set does not exist.
        """
        path = check_source(self.parameters.data)
        files = [] if self.parameters.data in SIMULATED else files_of(path)
        stats = [(str(p), s.st_size, s.st_mtime_ns, s.st_ctime_ns) for p in files for s in [p.stat()]]
        settings = {"image_size", "crop", "simulated", "validation"}
        values = self.profile.model_dump(include=settings)
        return digest(stats, values, self.sizes_of(), version(DATA))
