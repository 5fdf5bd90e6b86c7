"""Work spread over processes, from wherever it is asked for: a script, a notebook, a prompt, standard input.

The processes stay for the next work, because each takes seconds to start, and end with the one that started
them, however that ends. They do not import what is run as `__main__`, as those of `multiprocessing` do: work
is a function of a module, so that a script needs no `if __name__ == "__main__":`.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import TypeVar

from galgen.runs.errors import GalgenError

__all__ = ["spread"]

Task, Done = TypeVar("Task"), TypeVar("Done")
_STARTS = threading.Lock()


def spread(work: Callable[[Task], Done], tasks: Sequence[Task], workers: int) -> Iterator[tuple[int, Done]]:
    """Do some work for each task, by processes, or here if one is enough.

    Args:
        work: A function of a module, or a `partial` of one.
        tasks: What it is called with.
        workers: Processes, at most.

    Yields:
        The number of a task and what was made of it, as they are done, in any order.

    Raises:
        GalgenError: If the system ends a process.
    """
    if min(workers, len(tasks)) <= 1:
        yield from enumerate(map(work, tasks))
        return
    pool = _pool(workers)
    try:
        futures = {pool.submit(work, task): k for k, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException as error:
        _pool.cache_clear()
        pool.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise GalgenError(
                f"the system ended one of {workers} processes, most often for want of memory: close other "
                "programs, or ask for fewer, and give the same command again"
            ) from error
        raise


class _Process(SpawnProcess):
    """A process that starts without the module `__main__`, and is deaf to Ctrl-C from its first moment on."""

    def start(self) -> None:
        with _STARTS, _deaf():
            main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
            try:
                super().start()  # which finds a main module of no file, that cannot be imported
            finally:
                sys.modules["__main__"] = main


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Start what is not to hear Ctrl-C, which is for the parent alone; Windows has no such mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


class _Context(SpawnContext):
    """Forked copies of a process that ran torch may hang: these begin anew."""

    Process = _Process


@functools.cache
def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, _Context(), _end_with_parent)


def _end_with_parent() -> None:
    """Let a worker end when its parent does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Windows

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
