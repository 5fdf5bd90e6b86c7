"""The Python of workflow/Snakefile: what its rules wait for.

A rule asks by the wildcards of a job: `run` is the name of a run, and `training` or `chapter` what of it is
made. Whatever goes wrong here is a `GalgenError`, which `or_exit` tells in one line.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from galbook import table
from galbook.build import chapters, pages, published
from galbook.build.runs import Run, asked, digest, families
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
# What a chapter imports beside: how results are kept and told, and values that are parameters of its rule.
NOT_OF_CHAPTERS = ("galbook.build", "galgen.costs", "galgen.profiles", "galgen.runs")
NOT_OF_PAGES = ("galgen.costs", "galgen.runs")
VARIABLES = {
    "profile": "PROFILE",
    "data": "DATA",
    "sizes": "N",
    "seed": "SEED",
    "precision": "PRECISION",
    "onset_study": "ONSET",
}
BOUND = "build/{run}/results.json"
# A job has one core: two jobs at a time beat one job with two threads.
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
UNLESS_GIVEN = {
    "MALLOC_TOP_PAD_": str(2**28),  # memory kept between steps: 5 to 10 % of a training step
    "TQDM_MININTERVAL": "2",  # two bars take turns on one line of the terminal
    "TQDM_NCOLS": "90",
}


def environment() -> dict[str, str]:
    """What jobs find in their environment."""
    return ONE_CORE | {name: os.environ.get(name, usual) for name, usual in UNLESS_GIVEN.items()}


def or_exit(function: Callable[..., T], *args: object, **options: object) -> T:
    """What a function returns; a mistake that a message can explain ends the process, told in one line."""
    found: list[T] = []
    if status := exit_code(lambda: found.append(function(*args, **options)) or 0):
        sys.exit(status)
    return found[0]


def check_sweep(parameters: Parameters) -> None:
    """Refuse sizes before any work: the runs of a sweep are to share one data set.

    Raises:
        GalgenError: If there are none, or the largest is too large for the data.
    """
    if not parameters.N:
        raise GalgenError('a sweep needs sizes, as in make sweep N="10 100 1000"')
    experiment = Experiment(parameters)
    if parameters.data not in SIMULATED:
        experiment.images.split()
        return
    # More would be simulated for a larger N alone.
    simulated = experiment.profile.simulated
    if parameters.N[-1] > (most := (simulated - experiment.profile.validation) // 2):
        raise GalgenError(
            f"N = {parameters.N[-1]} is too large for the {simulated} simulated galaxies of profile "
            f"{parameters.profile}: N can be at most {most}; a larger profile has more"
        )


def version_of_binding(wildcards: object) -> str:
    """Return the version of what binds a book: of its code, and of its templates and tables of words."""
    words = sorted(Path(pages.__file__).with_name("templates").glob("*.j2"))
    words += sorted(Path(table.__file__).parent.glob("*.yaml"))  # definitions and claims
    return digest(
        code.version(read_by("import galbook.build.assemble", NOT_OF_PAGES)),
        [path.read_text() for path in words],
    )


def version_of_measuring(wildcards: Any) -> str:
    """Return the version of the questions to a family."""
    asking = [each for each in questions() if wildcards.family in each.families]
    of = (FAMILIES | STUDIES)[wildcards.family]
    return digest({each.name: code.version(each.files) for each in asking}, code.version(of.files + of.draws))


def read_by(text: str, but: tuple[str, ...] = ()) -> set[str]:
    """Return the modules that a source imports, and those that they import in turn, but for some packages."""
    found, todo = set(), {*code.imported(text)}
    while todo:
        if not (name := todo.pop()).startswith(but or "-") and name not in found:
            found.add(name)
            todo |= code.imported(code.source(name))
    return found


class Graph:
    """The runs that one call of Snakemake makes, and what rules ask of them.

    Args:
        given: Snakemake's configuration, by the names of `VARIABLES`; what it has not, the environment has.
        cores: How many it may use, or None on a cluster.

    Attributes:
        book: The run of all that was asked.
        runs: By name one of each N, and that one.
        chapters: Names of all chapters, in reading order.
        some: Those that CHAPTERS asks for alone.

    Raises:
        GalgenError: If what is asked is impossible, before anything is made.
    """

    def __init__(self, given: Mapping[str, object], cores: int | None = None):
        parameters = asked({name: os.environ.get(of) for name, of in VARIABLES.items()} | given)
        self.book = Run(parameters)
        self.book.data_version()  # which looks for the files
        if cores is not None and cores < 1:  # it would wait for one
            raise GalgenError(f"CORES must be 1 or more, not {cores}")
        self.chapters = chapters.names("book/_toc.yml")
        self.some = self._some(os.environ.get("CHAPTERS", "").replace(",", " ").split())
        each = [Run(parameters, N) for N in parameters.N or ()]
        self.runs = {run.name: run for run in (*each, self.book)}
        self._locks: list[FileLock] = []

    def _some(self, numbers: Iterable[str]) -> list[str]:
        """The chapters of these numbers.

        Raises:
            GalgenError: If one is that of no chapter.
        """
        known = {name.partition("_")[0]: name for name in self.chapters}
        if wrong := [number for number in numbers if number not in known]:
            raise GalgenError(f"no chapter {', '.join(wrong)}; there are {', '.join(known)}")
        return [known[number] for number in known if number in numbers]

    def announce(self) -> None:
        """Say what of the book is trained and measured; refuse trainings for which the disk is too small."""
        missing = published.needed(self.book)
        names = {name for each in missing for name in each.models}
        left = [(each, model) for name, (each, model) in self.book.trainings.items() if name in names]
        left = [model.name for each, model in left if not each.trained(model)]
        told = "nothing"
        if left:
            minutes = sum(self.book.plan[name]["minutes"] for name in left) / (os.cpu_count() or 1)
            told = f"{', '.join(left)}, {minutes:.0f} minutes at most"
            costs.check(self.book.experiments[0].store.root, [self.book.plan[name] for name in left])
            if slow := emulation(self.book.parameters.precision):
                print(f"galgen: {slow}", file=sys.stderr)
        print(f"To be trained: {told}.", file=sys.stderr)
        if new := [each for each in missing if not each.kept]:
            names = ", ".join(sorted({each.question.name for each in new}))
            print(f"{len(new)} measurements are of other code or missing: {names}.", file=sys.stderr)

    def hold(self) -> None:
        """Hold the runs until the process ends: the system lets go when it dies, unlike Snakemake's lock.

        Raises:
            GalgenError: If another process makes one.
        """
        for name, run in self.runs.items():
            run.folder.mkdir(parents=True, exist_ok=True)
            self._locks.append(FileLock(run.folder / ".lock", timeout=0))
            try:
                self._locks[-1].acquire()
            except Timeout as error:
                raise GalgenError(
                    f"another process is making build/{name}; wait for it, or end it"
                ) from error

    def sweep(self) -> list[str]:
        """What a sweep waits for.

        Raises:
            GalgenError: As `check_sweep`.
        """
        check_sweep(self.book.asked)
        return [BOUND.format(run=name) for name in self.runs]

    def of(self, function: Callable[[Run], T]) -> Callable[[Any], T]:
        """A parameter of a rule that is one of the run it works for."""
        return lambda wildcards: function(self.runs[wildcards.run])

    def recipe(self, wildcards: Any) -> str:
        """Return the version of what decides how a training ends, but for its images."""
        experiment, training = self.runs[wildcards.run].trainings[wildcards.training]
        recipe = experiment.recipe(training)
        return digest(recipe | {"code": code.version(recipe["code"])})

    def read(self, wildcards: Any) -> list[str]:
        """The trainings that are read by measurements of a family at one N that are published nowhere."""
        of = wildcards.family, int(wildcards.N)
        missing = [each for each in published.needed(self.runs[wildcards.run]) if each.of == of]
        names = sorted({name for each in missing for name in each.models})
        return [f"build/{wildcards.run}/trainings/{name}" for name in names]

    def measured(self, wildcards: Any) -> list[str]:
        """What stands for the measurements that a chapter shows and nobody has published."""
        read = families(Path(f"notebooks/{wildcards.chapter}.ipynb"))
        missing = {each.of for each in published.needed(self.runs[wildcards.run])}
        return [f"build/{wildcards.run}/measured/{of}-{N}" for of, N in sorted(missing) if of in read]

    def version_of_chapter(self, wildcards: Any) -> str:
        """Return the version of its code cells, of what these import, and of its families."""
        notebook = Path(f"notebooks/{wildcards.chapter}.ipynb")
        cells = [cell["source"] for cell in read_json(notebook)["cells"] if cell["cell_type"] == "code"]
        text = "\n".join(map("".join, cells))
        of = [(FAMILIES | STUDIES)[name] for name in families(notebook)]
        files = {name for family in of for name in (*family.files, *family.draws)}
        return digest(code.syntax(text), code.version(read_by(text, NOT_OF_CHAPTERS) | files))

    def priority(self, wildcards: Any) -> int:
        """The smallest N of a sweep goes first, and of a run its chapters."""
        return -10 * list(self.runs).index(wildcards.run) + hasattr(wildcards, "chapter")

    def megabytes(self, wildcards: Any, attempt: int) -> int:
        """Memory that a cluster gives a training: more each time that it was too little."""
        return attempt * 8000

    def minutes(self, wildcards: Any) -> int:
        """Time that it gives, where the plan's minutes are of a CPU's core.

        What a day is too short for goes on from its checkpoint.
        """
        return min(1440, int(30 + 4 * self.runs[wildcards.run].plan[wildcards.training]["minutes"]))
