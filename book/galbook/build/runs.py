"""A run of the book: what was asked, the folder it has under build/, and what its steps depend on."""

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
from galgen.data.simulate.source import GALAXIES, LEAVES
from galgen.experiment import Experiment, every_family
from galgen.models.families import FAMILIES, Training
from galgen.models.precision import resolved
from galgen.profiles import Parameters, profile
from galgen.runs.code import version
from galgen.runs.errors import checked
from galgen.runs.files import read_json

HEADLINE = "00_headline"  # the chapter that opens the book, with live models
# What data sets depend on, of whatever source.
DATA = (*GALAXIES, *LEAVES, *importing.FILES, *SMALLER)


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


class Run:
    """A run of the book.

    Args:
        parameters: What was asked.
        *N: Sizes in the place of those of the parameters.

    Attributes:
        asked: What was asked, which names its folder.
        parameters: The same, with the precision that `auto` stands for here.

    Raises:
        GalgenError: If the profile does not exist or the sizes are impossible.
    """

    def __init__(self, parameters: Parameters, *N: int):
        self.asked = parameters.model_copy(update={"N": N} if N else {})
        self.profile = profile(self.asked.profile)  # before a folder is looked for that has its name
        self.asked.sizes(self.profile.diffusion.N)
        self.parameters = self.asked.model_copy(update={"precision": resolved(self.asked)})

    @functools.cached_property
    def experiments(self) -> list[Experiment]:
        """One for each family and study."""
        return list(every_family(self.parameters, studies=True).values())

    @functools.cached_property
    def trainings(self) -> dict[str, tuple[Experiment, Training]]:
        """All trainings by name."""
        return {model.name: (each, model) for each in self.experiments for model in each.models.trainings()}

    @functools.cached_property
    def plan(self) -> dict[str, dict]:
        """What `galgen plan` says of each training, by name."""
        return {record["name"]: record for each in self.experiments for record in each.plan()}

    def sizes_of(self, names: Iterable[str] = ()) -> list[int]:
        """The sizes of some families together, or of all; studies, which have their own, count alone."""
        if (names := set(names)) and not names & set(FAMILIES):
            return sorted({N for each in self.experiments if each.family.name in names for N in each.sizes})
        parts = [getattr(self.profile, name) for name in names or FAMILIES if name in FAMILIES]
        return sorted({N for part in parts for N in self.parameters.sizes(part.N)})

    @property
    def name(self) -> str:
        """The folder under build/, as `smoke-simulated-N8-24`."""
        asked = self.asked
        name = f"{asked.profile}-{data_name(asked.data)}"
        name += "-N" + "-".join(map(str, asked.N)) if asked.N else ""
        name += f"-seed{asked.seed}" if asked.seed else ""
        name += f"-{asked.precision}" if asked.precision != "auto" else ""
        return (
            name
            + "-onset" * asked.onset_study
            + "-recomputed" * (os.environ.get("RECOMPUTE", "0") not in ("", "0"))
        )

    @property
    def folder(self) -> Path:
        """The same, with build/."""
        return Path("build") / self.name

    def options(self) -> list[str]:
        """What was asked, for a command line."""
        return self.asked.options()

    @functools.cache  # noqa: B019 - a process knows a few runs
    def data_version(self) -> str:
        """The version of the data set: of the files it is imported from, of its settings and of the code.

        Raises:
            GalgenError: If there is no such data set.
        """
        path = check_source(self.parameters.data)
        files = [] if self.parameters.data in SIMULATED else files_of(path)
        stats = [(str(p), s.st_size, s.st_mtime_ns, s.st_ctime_ns) for p in files for s in [p.stat()]]
        settings = {"image_size", "crop", "simulated", "validation"}
        values = self.profile.model_dump(include=settings)
        return digest(stats, values, self.sizes_of(), version(DATA))
