"""The Python of workflow/Snakefile: what its rules wait for, and who may make a run.

A rule asks by the wildcards of a job: `run` is the name of a run, and `training` or `chapter` what of it is
made. Whatever goes wrong here is a `GalgenError`, which `or_exit` tells in one line.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from galbook import table
from galbook.press import chapters, pages, published
from galbook.press.runs import Run, asked, digest, families
from galbook.publishing import questions
from galgen.data.prepare import SIMULATED
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, STUDIES
from galgen.models.precision import emulation
from galgen.profiles import Parameters
from galgen.runs import code
from galgen.runs.errors import GalgenError, exit_code
from galgen.runs.files import read_json

T = TypeVar("T")
BINDING = (  # with the templates, what a bound book depends on beside its chapters and prose
    "galbook.press.assemble",
    "galbook.press.chapters",
    "galbook.press.live",
    "galbook.press.pages",
    "galbook.press.runs",
    "galbook.press.settings",
    "galbook.table",
    "galbook.verdicts",
    "galgen.data.manifest",
    "galgen.figures.style",
    "galgen.figures.tables",
    "galgen.figures.words",
    "galgen.models.conditional",
    "galgen.models.sampling",
    "galgen.models.unet",
    "galgen.published",
)
# What a chapter imports beside: how results are kept and told, and values that are parameters of its rule.
NOT_OF_CHAPTERS = ("galbook.press", "galgen.costs", "galgen.profiles", "galgen.runs")
VARIABLES = {
    "profile": "PROFILE",
    "data": "DATA",
    "sizes": "N",
    "seed": "SEED",
    "precision": "PRECISION",
    "clock": "CLOCK",
}
HTML, BOUND = "build/{run}/html/index.html", "build/{run}/results.json"
CHECKED = "build/{run}/checked.json"
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
    """Return the version of what binds a book: of its code, and of its templates."""
    words = sorted(Path(pages.__file__).with_name("templates").glob("*.j2"))
    words += sorted(Path(table.__file__).parent.glob("*.yaml"))  # definitions and claims
    return digest(code.version(BINDING), [path.read_text() for path in words])


def version_of_measuring(wildcards: Any) -> str:
    """Return the version of the questions to a family."""
    asking = [each for each in questions() if wildcards.family in each.families]
    of = (FAMILIES | STUDIES)[wildcards.family]
    return digest({each.name: code.version(each.files) for each in asking}, code.version(of.files + of.draws))


def read_by(text: str) -> set[str]:
    """Return the modules that a source imports, and those that they import in turn, but `NOT_OF_CHAPTERS`."""
    found, todo = set(), {*code.imported(text)}
    while todo:
        if not (name := todo.pop()).startswith(NOT_OF_CHAPTERS) and name not in found:
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
        made: Those of them that are made: that one, or in a sweep all.
        chapters: Names of all chapters, in reading order.
        some: Those that CHAPTERS asks for alone.

    Raises:
        GalgenError: If what is asked is impossible, before anything is made.
    """

    def __init__(self, given: Mapping[str, object], cores: int | None = None):
        parameters = asked({name: os.environ.get(of) for name, of in VARIABLES.items()} | given)
        self.book = Run(parameters)
        self.book.check_data()
        if cores is not None and cores < 1:  # it would wait for one
            raise GalgenError(f"CORES must be 1 or more, not {cores}")
        self.chapters = chapters.names("book/_toc.yml")
        self.some = self._some(os.environ.get("CHAPTERS", "").replace(",", " ").split())
        each = [Run(parameters, N) for N in parameters.N or ()]
        self.runs = {run.name: run for run in (*each, self.book)}
        self.made = {self.book.name: self.book}
        self.book.begin()
        self._locks = {name: FileLock(run.folder / ".lock", timeout=0) for name, run in self.runs.items()}

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
        """Say what of the book is trained, and what is measured, where the rest of it is published."""
        if not published.of_run(self.book):
            return
        there, missing = published.needed(self.book)
        left = [of for name, of in self.book.plan.items() if name not in there]
        left = [of for of in left if not (self.book.folder / "trainings" / f"{of['name']}.json").is_file()]
        costs = f"{sum(of['minutes'] for of in left) / (os.cpu_count() or 1):.0f} minutes at most"
        names = ", ".join(of["name"] for of in left)
        print(f"To be trained: {f'{names}, {costs}' if left else 'nothing'}.", file=sys.stderr)
        if new := [each for each in missing if not each.kept]:
            names = ", ".join(sorted({each.question.name for each in new}))
            told = f"{len(new)} measurements are of other code or missing: {names}; they are measured."
            print(told, file=sys.stderr)

    def of_book(self) -> list[str]:
        """What `make book` waits for: that it is bound, and, where it is published, that it was checked."""
        checked = [CHECKED] * bool(published.of_run(self.book))
        return [text.format(run=self.book.name) for text in (BOUND, *checked)]

    def sweep(self) -> list[str]:
        """What a sweep waits for, where all its runs are made.

        Raises:
            GalgenError: As `check_sweep`.
        """
        if self.made is not self.runs:
            check_sweep(self.book.asked)
            self.made = self.runs
            for run in self.runs.values():
                run.begin()
            self.forget()
        return [BOUND.format(run=name) for name in self.runs]

    def forget(self) -> None:
        """Have what was noted of these runs forgotten where it no longer holds, unless someone makes them."""
        for name, run in self.made.items():
            with suppress(Timeout, OSError), self._locks[name]:  # what is read-only stays
                run.forget()
                if not Path(HTML.format(run=name)).is_file():  # whoever removed it wants it again
                    Path(BOUND.format(run=name)).unlink(missing_ok=True)

    def hold(self, jobs: Iterable[Any]) -> None:
        """Hold the runs that these jobs work for until the process ends.

        Raises:
            GalgenError: If another process makes one, it cannot be written, or has no room for its trainings.
        """
        to_do: dict[str, set[str]] = {}
        for job in jobs:
            if job.wildcards:
                to_do.setdefault(job.wildcards.run, set()).add(job.rule.name)
        for name, rules in to_do.items():
            try:
                self._locks[name].acquire()  # let go by the system when the process dies, unlike Snakemake's
            except Timeout as error:
                raise GalgenError(
                    f"another process is making build/{name}; wait for it, or end it"
                ) from error
            except OSError as error:
                raise GalgenError(
                    f"nothing can be written in build/{name}: {error.strerror}; mend that"
                ) from error
            if "training" in rules and "data" not in rules:  # which sees to it as soon as there are data
                self.runs[name].check_room()
        if any("training" in rules for rules in to_do.values()):
            if slow := emulation(self.book.parameters.precision):
                print(f"galgen: {slow}", file=sys.stderr)

    def tell(self) -> None:
        """Say what became of each run of a sweep."""
        outcomes = {run: run.outcome() for run in self.made.values()} if self.made is self.runs else {}
        for run, outcome in outcomes.items():
            print(f"N = {', '.join(map(str, run.asked.N))}: {outcome}", file=sys.stderr)

    def of(self, function: Callable[[Run], T]) -> Callable[[Any], T]:
        """A parameter of a rule that is one of the run it works for."""
        return lambda wildcards: function(self.runs[wildcards.run])

    def training(self, wildcards: Any) -> dict:
        """What the plan says of a training."""
        return self.runs[wildcards.run].plan[wildcards.training]

    def others(self, wildcards: Any) -> list[str]:
        """What a training of other images waits for."""
        return [f"build/{wildcards.run}/others.json"] * bool(self.training(wildcards)["foreign"])

    def trainings(self, wildcards: Any) -> list[str]:
        """What the trainings write that a chapter reads, or those of a whole book."""
        read = {wildcards.chapter} if hasattr(wildcards, "chapter") else set(self.chapters)
        plan, there = self.runs[wildcards.run].plan, published.needed(self.runs[wildcards.run])[0]
        names = [name for name in plan if read & set(plan[name]["chapters"]) and name not in there]
        return [f"build/{wildcards.run}/trainings/{name}.json" for name in names]

    def asked(self, wildcards: Any) -> list[str]:
        """The trainings that are read by measurements of a family at one N that are published nowhere."""
        of = wildcards.family, int(wildcards.N)
        missing = [each for each in published.needed(self.runs[wildcards.run])[1] if each.of == of]
        names = sorted({name for each in missing for name in each.models})
        return [f"build/{wildcards.run}/trainings/{name}.json" for name in names]

    def measured(self, wildcards: Any) -> list[str]:
        """What stands for the measurements that a chapter shows and nobody has published."""
        read = families(Path(f"notebooks/{wildcards.chapter}.ipynb"))
        missing = {each.of for each in published.needed(self.runs[wildcards.run])[1]}
        return [f"build/{wildcards.run}/measured/{of}-{N}" for of, N in sorted(missing) if of in read]

    def version_of_chapter(self, wildcards: Any) -> str:
        """Return the version of its code cells, of what these import, and of its families."""
        notebook = Path(f"notebooks/{wildcards.chapter}.ipynb")
        cells = [cell["source"] for cell in read_json(notebook)["cells"] if cell["cell_type"] == "code"]
        text = "\n".join(map("".join, cells))
        of = [(FAMILIES | STUDIES)[name] for name in families(notebook)]
        files = {name for family in of for name in (*family.files, *family.draws)}
        return digest(code.syntax(text), code.version(read_by(text) | files))

    def priority(self, wildcards: Any) -> int:
        """The smallest N of a sweep goes first; of a run its chapters, and trainings as they are read."""
        before = -1000 * list(self.runs).index(wildcards.run)
        if hasattr(wildcards, "training"):
            return before - list(self.runs[wildcards.run].plan).index(wildcards.training)
        return before + hasattr(wildcards, "chapter")

    def megabytes(self, wildcards: Any, attempt: int) -> int:
        """Memory that a cluster gives a training; CUDA alone takes some GB."""
        return attempt * max(4000, int(1.2 * self.training(wildcards)["memory_mb"]))

    def minutes(self, wildcards: Any) -> int:
        """Time that it gives, where the plan's minutes are of a CPU's core.

        What a day is too short for goes on from its checkpoint.
        """
        return min(1440, int(30 + 4 * self.training(wildcards)["minutes"]))
