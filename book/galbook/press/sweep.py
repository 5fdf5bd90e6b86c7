"""A sweep: a book for each N, and at the end one of all N together.

    galgen sweep --N 10 100 1000  ->  build/<run of each N>/  ->  build/<run of all>/html/sweep.html

Snakemake makes the books of the single N as one graph, the smallest first, and goes on where one fails. The
last trains nothing: its models are in the store by then, and its page "Runs" lists what was made and what
failed (`galbook.press.pages`).
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from galbook.press.runs import Run
from galgen.cli import Asked
from galgen.data.prepare import SIMULATED
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store


def check(asked: Parameters, store: Store | None = None) -> None:
    """Refuse sizes before any work: the runs of a sweep are to share one data set.

    Raises:
        GalgenError: If an N is below 2, given twice, or too large for the data.
    """
    experiment = Experiment(asked, store)
    if asked.data not in SIMULATED:
        experiment.images.split()
        return
    # More would be simulated for a larger N alone.
    most = (experiment.profile.simulated - experiment.profile.validation) // 2
    if asked.N[-1] > most:
        raise GalgenError(
            f"N = {asked.N[-1]} is too large for the {experiment.profile.simulated} simulated galaxies of "
            f"profile {asked.profile}: N can be at most {most}; a larger profile has more"
        )


def sweep(*, asked: Asked = Parameters(), cores: int = 2) -> int:
    """Make a book for each N, and one of all that are done.

    Args:
        asked: Profile, data, seed and sizes.
        cores: Jobs at a time.

    Returns:
        The exit code: 0 if all was done, 1 if something failed.
    """
    asked = asked.model_copy(update={"N": tuple(sorted(asked.N or ()))})
    check(asked)
    codes = [_snakemake("sweep", asked, cores)]
    errors = {run: run.failure() for run in (Run(asked, N) for N in asked.N)}
    done = [run.asked.N[0] for run, error in errors.items() if not error]
    if done and len(asked.N) > 1:  # its page lists the runs, which the workflow does not know as an input
        run = Run(asked, *done)
        codes.append(_snakemake("book", run.asked, cores, "--forcerun", "html"))
        errors[run] = run.failure()
    for run, error in errors.items():
        print(f"N = {', '.join(map(str, run.asked.N))}: {'failed: ' + error if error else 'done'}")
    if done:
        print(f"The runs: {run.folder.absolute() / 'html' / 'sweep.html'}")
    return int(any(codes) or any(errors.values()))


def _snakemake(target: str, asked: Parameters, cores: int, *options: str) -> int:
    """Have Snakemake make a target, as `make` does; returns its exit code."""
    given = {"PROFILE": asked.profile, "DATA": asked.data, "SEED": str(asked.seed)}
    given |= {"N": " ".join(map(str, asked.N)), "PRECISION": asked.precision}
    command = [sys.executable, "-m", "snakemake", target, "-s", "workflow/Snakefile", "--cores", str(cores)]
    command += ["--workflow-profile", "workflow/profiles/local", *options]
    return ended(command, os.environ | given)


def ended(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command to its end; returns its exit code.

    An interrupt, or a request to end (SIGTERM), goes on to the command and to all that it has started, as
    what it is: what a script runs in the background is deaf to interrupts.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    process = subprocess.Popen(command, env=environment, process_group=0)
    try:
        return process.wait()
    except (KeyboardInterrupt, SystemExit) as asked:
        os.killpg(process.pid, signal.SIGTERM if isinstance(asked, SystemExit) else signal.SIGINT)
        process.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
