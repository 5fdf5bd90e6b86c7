"""Inputs, parameters and resources of the rules in workflow/Snakefile.

Functions receive the wildcards of a job: `run`, the name of a run, and `training` or `chapter`. Errors are
`GalgenError`, which `or_exit` prints in one line.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from galbook import table
from galbook.build import chapters, pages, published
from galbook.build.runs import Run, digest, families, parse_parameters
from galbook.publishing import questions
from galgen import costs
from galgen.data.prepare import SIMULATED
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, STUDIES
from galgen.models.precision import emulation
from galgen.profiles import Parameters
from galgen.runs import code
from galgen.runs.errors import GalgenError, exit_code
from galgen.runs.files import read_json

T = TypeVar("T")
# Imports of a chapter that do not change it: storage, messages, and values that are parameters of its rule.
NOT_OF_CHAPTERS = ("galbook.build", "galbook.build.", "galgen.costs", "galgen.profiles", "galgen.runs.")
NOT_OF_PAGES = ("galgen.costs", "galgen.runs.")
VARIABLES = {
    "profile": "PROFILE",
    "data": "DATA",
    "sizes": "N",
    "seed": "SEED",
    "precision": "PRECISION",
    "onset_study": "ONSET",
}
BOUND = "build/{run}/results.json"
# One core per job: two concurrent jobs are faster than one job with two threads.
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
UNLESS_GIVEN = {
    "MALLOC_TOP_PAD_": str(2**28),  # memory kept between steps: 5 to 10 % of a training step
    "TQDM_MININTERVAL": "2",  # two progress bars share one line of the terminal
}


def environment() -> dict[str, str]:
    """Environment variables of the jobs."""
    return ONE_CORE | {name: os.environ.get(name, usual) for name, usual in UNLESS_GIVEN.items()}


def or_exit(function: Callable[..., T], *args: object, **options: object) -> T:
    """Return the result of a function; on a `GalgenError`, print it in one line and exit."""
    results: list[T] = []
    if status := exit_code(lambda: results.append(function(*args, **options)) or 0):
        sys.exit(status)
    return results[0]


def check_sweep(parameters: Parameters) -> None:
    """Check the sizes N of a sweep, whose runs share one data set, before any work.

    Raises:
        GalgenError: If no N is given, or the largest is too large for the data.
    """
    if not parameters.N:
        raise GalgenError('a sweep needs sizes, as in make sweep N="10 100 1000"')
    experiment = Experiment(parameters)
    if parameters.data not in SIMULATED:
        experiment.images.split()
        return
    # A single run would simulate more galaxies for a larger N.
    simulated = experiment.profile.simulated
    if parameters.N[-1] > (most := (simulated - experiment.profile.validation) // 2):
        raise GalgenError(
            f"N = {parameters.N[-1]} is too large for the {simulated} simulated galaxies of profile "
            f"{parameters.profile}: N can be at most {most}; a larger profile has more"
        )


def version_of_binding(wildcards: object) -> str:
    """Hash of the code, templates and definitions that render a book."""
    texts = sorted(Path(pages.__file__).with_name("templates").glob("*.j2"))
    texts += sorted(Path(table.__file__).parent.glob("*.yaml"))  # definitions and claims
    return digest(
        code.version(code.closure("galbook.build.assemble", excluding=NOT_OF_PAGES)),
        [path.read_text() for path in texts],
    )


def version_of_measuring(wildcards: Any) -> str:
    """Hash of the code of a family and of all measurements of its models."""
    used = [question for question in questions() if wildcards.family in question.families]
    family = (FAMILIES | STUDIES)[wildcards.family]
    return code.version(code.closure(family.__module__, *(question.function.__module__ for question in used)))


class Graph:
    """The runs of one call of Snakemake, with inputs and parameters of their rules.

    Args:
        given: Snakemake's configuration, by the names of `VARIABLES`; defaults are environment variables.
        cores: Number of cores it may use, or None on a cluster.

    Attributes:
        book: The run with all sizes N.
        runs: By name, one run per N, and `book`.
        chapters: Names of all chapters, in reading order.
        some: The chapters selected by CHAPTERS, if any.

    Raises:
        GalgenError: If the parameters are invalid, before any job starts.
    """

    def __init__(self, given: Mapping[str, object], cores: int | None = None):
        usual = {name: os.environ.get(variable) for name, variable in VARIABLES.items()}
        parameters = parse_parameters(usual | given)
        self.book = Run(parameters)
        self.book.data_version()  # raises if the files do not exist
        if cores is not None and cores < 1:  # Snakemake would wait forever
            raise GalgenError(f"CORES must be 1 or more, not {cores}")
        self.chapters = chapters.names("book/_toc.yml")
        self.some = self._some(os.environ.get("CHAPTERS", "").replace(",", " ").split())
        sizes = [Run(parameters, N) for N in parameters.N or ()]
        self.runs = {run.name: run for run in (*sizes, self.book)}
        self._locks: list[FileLock] = []

    def _some(self, numbers: Iterable[str]) -> list[str]:
        """Names of the chapters with these numbers.

        Raises:
            GalgenError: If a number is unknown.
        """
        numbered = {name.partition("_")[0]: name for name in self.chapters}
        if unknown := [number for number in numbers if number not in numbered]:
            raise GalgenError(f"unknown chapter {', '.join(unknown)}; known are {', '.join(numbered)}")
        return [numbered[number] for number in numbered if number in numbers]

    def announce(self) -> None:
        """Print what the book will train and measure; raise an error if the disk is too small for it."""
        missing = published.missing_measurements(self.book)
        names = {name for item in missing for name in item.models}
        left = [(item, model) for name, (item, model) in self.book.trainings.items() if name in names]
        left = [model.name for item, model in left if not item.trained(model)]
        planned = "nothing"
        if left:
            minutes = sum(self.book.plan[name]["minutes"] for name in left) / (os.cpu_count() or 1)
            planned = f"{', '.join(left)}, at most {minutes:.0f} minutes"
            costs.check(self.book.experiments[0].store.root, [self.book.plan[name] for name in left])
            if slow := emulation(self.book.parameters.precision):
                print(f"galgen: {slow}", file=sys.stderr)
        print(f"To be trained: {planned}.", file=sys.stderr)
        if new := [item for item in missing if not item.is_stored]:
            names = ", ".join(sorted({item.question.name for item in new}))
            print(f"{len(new)} measurements are missing or of other code: {names}.", file=sys.stderr)

    def hold(self) -> None:
        """Lock the runs until the process ends, however it ends, unlike Snakemake's lock.

        Raises:
            GalgenError: If another process is building one of them.
        """
        for name, run in self.runs.items():
            run.folder.mkdir(parents=True, exist_ok=True)
            self._locks.append(FileLock(run.folder / ".lock", timeout=0))
            try:
                self._locks[-1].acquire()
            except Timeout as error:
                raise GalgenError(
                    f"another process is building build/{name}; wait for it or stop it"
                ) from error

    def sweep(self) -> list[str]:
        """Input files of a sweep: the books of all runs.

        Raises:
            GalgenError: See `check_sweep`.
        """
        check_sweep(self.book.requested)
        return [BOUND.format(run=name) for name in self.runs]

    def of(self, function: Callable[[Run], T]) -> Callable[[Any], T]:
        """Parameter of a rule, computed from the run of a job."""
        return lambda wildcards: function(self.runs[wildcards.run])

    def recipe(self, wildcards: Any) -> str:
        """Hash of everything that determines the result of a training, except its images."""
        experiment, training = self.runs[wildcards.run].trainings[wildcards.training]
        recipe = experiment.recipe(training)
        return digest(recipe | {"code": code.version(recipe["code"])})

    def read(self, wildcards: Any) -> list[str]:
        """Trainings that the unpublished measurements of a family at one N depend on."""
        pair = wildcards.family, int(wildcards.N)
        missing = published.missing_measurements(self.runs[wildcards.run])
        names = sorted({name for item in missing if item.of == pair for name in item.models})
        return [f"build/{wildcards.run}/trainings/{name}" for name in names]

    def measurements(self) -> list[str]:
        """Marker files of all unpublished measurements of the book."""
        missing = {item.of for item in published.missing_measurements(self.book)}
        return [f"build/{self.book.name}/measured/{family}-{N}" for family, N in sorted(missing)]

    def measured(self, wildcards: Any) -> list[str]:
        """Marker files of the unpublished measurements of a chapter."""
        read, run = families(Path(f"notebooks/{wildcards.chapter}.ipynb")), wildcards.run
        missing = {item.of for item in published.missing_measurements(self.runs[run])}
        return [f"build/{run}/measured/{family}-{N}" for family, N in sorted(missing) if family in read]

    def version_of_chapter(self, wildcards: Any) -> str:
        """Hash of the code cells of a chapter, of the modules they import, and of its families."""
        notebook = Path(f"notebooks/{wildcards.chapter}.ipynb")
        cells = [cell["source"] for cell in read_json(notebook)["cells"] if cell["cell_type"] == "code"]
        text = "\n".join(map("".join, cells))
        modules = code.closure(*code.imported(text), excluding=NOT_OF_CHAPTERS)
        read = [(FAMILIES | STUDIES)[name].__module__ for name in families(notebook)]
        return digest(code.syntax(text), code.version(modules | code.closure(*read)))

    def priority(self, wildcards: Any) -> int:
        """Priority of a job: the smallest N of a sweep first, and within a run its chapters."""
        return -10 * list(self.runs).index(wildcards.run) + hasattr(wildcards, "chapter")

    def megabytes(self, wildcards: Any, attempt: int) -> int:
        """Memory of a training on a cluster, in MB, growing with each attempt."""
        return attempt * 8000

    def minutes(self, wildcards: Any) -> int:
        """Run time of a training on a cluster, in minutes, from the planned core-minutes; at most a day.

        Longer trainings resume from a checkpoint.
        """
        return min(1440, int(30 + 4 * self.runs[wildcards.run].plan[wildcards.training]["minutes"]))
