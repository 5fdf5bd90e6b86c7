"""Parallel map over processes with joblib's loky; works in notebooks and in scripts without a main guard."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from galgen.runs.errors import GalgenError

__all__ = ["parallel_map"]

Task, Done = TypeVar("Task"), TypeVar("Done")


def parallel_map(work: Callable[[Task], Done], tasks: Sequence[Task], workers: int) -> Iterator[Done]:
    """Apply a function to all tasks in parallel processes; yield the results in order.

    Raises:
        GalgenError: If the operating system kills a process.
    """
    jobs = Parallel(n_jobs=max(1, min(workers, len(tasks))), return_as="generator")
    try:
        yield from jobs(delayed(work)(task) for task in tasks)
    except TerminatedWorkerError as error:
        raise GalgenError(
            f"the system killed one of {workers} processes, usually for lack of memory: close other "
            "programs or use fewer workers, and run the same command again"
        ) from error
