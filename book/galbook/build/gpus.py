"""Several GPUs on one machine: each job has one of its own.

What a job may see is CUDA_VISIBLE_DEVICES; where that names several GPUs, a job takes the first that no other
job of this machine holds, by a lock that the system lets go when the process ends, however it ends. Under
Slurm a job sees what it was given, one GPU, and there is nothing to choose.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock, Timeout


def visible() -> list[str]:
    """The names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()  # of those named that exist; does not wake them
    return (named.split(",") if named is not None else list(map(str, range(count))))[:count]


@contextlib.contextmanager
def one_alone() -> Iterator[None]:
    """Let this process see one GPU that no other has, where it saw several; wait if all are taken."""
    names = visible()
    if len(names) < 2:
        yield
        return
    folder = Path(tempfile.gettempdir())
    locks = {name: FileLock(folder / f"galgen-{os.getuid()}-gpu-{name}.lock", timeout=0) for name in names}
    while not (taken := next((name for name, lock in locks.items() if _taken(lock)), None)):
        time.sleep(1)
    os.environ["CUDA_VISIBLE_DEVICES"] = taken  # before the first call of CUDA, which reads it once
    try:
        yield
    finally:
        locks[taken].release()


def _taken(lock: FileLock) -> bool:
    with contextlib.suppress(Timeout):
        lock.acquire()
    return lock.is_locked
