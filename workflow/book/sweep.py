"""A sweep: a book for each N, one after the other, and at the end one of all N together.

    galgen sweep --N 10 100 1000  ->  build/<run of each N>/  ->  build/<run of all>/html/sweep.html

Each is the workflow that `make book` runs. The last trains nothing: its models are in the store by then, and
its page "Runs" lists what was made and what failed (`workflow.book.run_index`).
"""

import codecs
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

from galgen import config
from galgen.config import Parameters
from galgen.data.prepare import SIMULATED
from galgen.experiment import Experiment
from galgen.runs.errors import GalgenError
from galgen.runs.files import read_json, write_json
from galgen.runs.store import Store
from workflow.book import run_index
from workflow.book.assemble import build_name

__all__ = ["checked", "sweep"]


def checked(sizes: Sequence[int], parameters: Parameters, store: Store | None = None) -> list[int]:
    """The sizes in growing order, or a refusal before any work.

    Raises:
        GalgenError: If the profile is unknown, or an N is below 2, given twice, or too large for the data.
    """
    profile = config.profile(parameters.profile)
    if min(sizes) < 2:
        raise GalgenError(f"N must be above 1, not {min(sizes)}")
    if twice := sorted({N for N in sizes if list(sizes).count(N) > 1}):
        raise GalgenError(f"N = {', '.join(map(str, twice))} is given twice")
    if parameters.data in SIMULATED:
        # More would be simulated for a larger N alone; but the runs of a sweep are to share one data set.
        most = (profile.simulated - profile.validation) // 2
        if max(sizes) > most:
            raise GalgenError(
                f"N = {max(sizes)} is too large for the {profile.simulated} simulated galaxies of profile "
                f"{profile.name}: N can be at most {most}; a larger profile has more"
            )
    else:
        Experiment(parameters.model_copy(update={"N": sorted(sizes)}), store).split()
    return sorted(sizes)


def sweep(sizes: Sequence[int], parameters: Parameters, *, cores: int = 2, store: Store | None = None) -> int:
    """Make all books; a run that fails is noted, and the others are made.

    Args:
        sizes: Training images of each model, one book each.
        parameters: Profile, data and seed of all of them.
        cores: For the workflow.
        store: By default that of the project.

    Returns:
        The exit code: 0 if all was done, 1 if something failed.
    """
    here = Path.cwd()
    root = next((p for p in (here, *here.parents) if (p / "workflow" / "Snakefile").is_file()), None)
    if root is None:
        raise GalgenError(f"{here} is not in the project: there is no workflow/Snakefile in it or above")
    if root != here and Path(parameters.data).exists():
        parameters = parameters.model_copy(update={"data": str(Path(parameters.data).absolute())})
    sizes = checked(sizes, parameters, store)
    environment = dict(os.environ) | ({"GALGEN_STORE": str(store.root)} if store else {})
    outcome: dict[tuple[int, ...], str] = {}

    def make(N: list[int], again: bool = False) -> None:
        run = parameters.model_copy(update={"N": N})
        build = root / "build" / build_name(run)
        print(f"\nsweep: N = {', '.join(map(str, N))}, in {build}", file=sys.stderr, flush=True)
        note = build / "run.json"
        again = again or (note.is_file() and read_json(note)["status"] == "failed")
        error = _workflow(root, run, cores, environment, again=again)
        outcome[tuple(N)] = error
        if error:
            write_json(note, _failed(build, run, error))

    for N in sizes:
        make([N])
    done = [N for N in sizes if not outcome[N,]]
    if done and len(sizes) > 1:
        make(done, again=True)  # its page lists the runs, which the workflow does not know as an input
    for N, error in outcome.items():
        print(f"N = {', '.join(map(str, N))}: {'failed: ' + error if error else 'done'}")
    if done:
        last = build_name(parameters.model_copy(update={"N": done}))
        print(f"The runs: {root / 'build' / last / 'html' / 'sweep.html'}")
    return int(any(outcome.values()))


def _workflow(root: Path, run: Parameters, cores: int, environment: dict, *, again: bool) -> str:
    """Make a book as `make book` does: nothing, or what went wrong.

    Args:
        root: The project.
        run: What to make.
        cores: How many jobs at a time.
        environment: That of the process.
        again: Whether a book that is there is to be rendered again.
    """
    command = [sys.executable, "-m", "snakemake", "-s", "workflow/Snakefile"]
    command += ["--workflow-profile", "workflow/profiles/local", "--cores", str(cores)]
    command += ["--forcerun", "book"] * again
    command += ["--config", f"profile={run.profile}", f"data={run.data}"]
    command += [f"sizes={' '.join(map(str, run.N))}", f"seed={run.seed}"]
    return _error_of(command, root, environment)


def _error_of(command: Sequence[str], folder: Path, environment: dict) -> str:
    """Run a command, passing on what it says: nothing, or the first line of its error.

    An interrupt, or a request to end (SIGTERM), goes on to the command and to all that it has started, as
    what it is: what a script runs in the background is deaf to interrupts.
    """
    said, decode = "", codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, process_group=0)
    try:
        while chunk := process.stderr.read1(65536):
            said += (text := decode(chunk))
            sys.stderr.write(text)
            sys.stderr.flush()
    except (KeyboardInterrupt, SystemExit) as asked:
        os.killpg(process.pid, signal.SIGTERM if isinstance(asked, SystemExit) else signal.SIGINT)
        raise
    finally:
        process.wait()
        signal.signal(signal.SIGTERM, before)
    return _first_error(said) if process.returncode else ""


def _first_error(said: str) -> str:
    """The line of a failed workflow's output that says why: ours, else an exception's, else the last."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", said) if line.strip()]
    for pattern in (r"galgen: error: (.+)", r"((?:\w+\.)*\w*(?:Error|Exception)\b.*)"):
        for line in lines:
            if found := re.fullmatch(pattern, line):
                return found[1]
    return lines[-1] if lines else "it ended without a word"


def _failed(build: Path, run: Parameters, error: str) -> dict:
    """The record of a run as far as it came."""
    trainings = [read_json(path) for path in sorted((build / "trainings").glob("*.json"))]
    executed = [
        p for p in sorted((build / "chapters").glob("*.ipynb")) if not p.name.startswith("unfinished-")
    ]
    chapters = [nbformat.read(path, as_version=4).metadata["galgen"] for path in executed]
    return run_index.record(run.model_dump(), run.N, chapters, trainings, error)
