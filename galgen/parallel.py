"""Parallel map over processes, by joblib's loky: from a script without a guard, a notebook or a prompt."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from galgen.runs.errors import GalgenError

__all__ = ["parallel_map"]

Task, Done = TypeVar("Task"), TypeVar("Done")


def parallel_map(work: Callable[[Task], Done], tasks: Sequence[Task], workers: int) -> Iterator[Done]:
    """Yield what a function makes of each task, in order.

    Raises:
        GalgenError: If the system ends a process.
    """
    jobs = Parallel(n_jobs=max(1, min(workers, len(tasks))), return_as="generator")
    try:
        yield from jobs(delayed(work)(task) for task in tasks)
    except TerminatedWorkerError as error:
        raise GalgenError(
            f"the system ended one of {workers} processes, most often for want of memory: close other "
            "programs, or ask for fewer, and give the same command again"
        ) from error
