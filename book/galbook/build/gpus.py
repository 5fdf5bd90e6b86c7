"""Assign one GPU to each job on a machine with several.

CUDA_VISIBLE_DEVICES lists the GPUs that a job may use. If it lists several, a job takes the first that no
other job on the machine has locked; the operating system releases the lock when the process ends. Under
Slurm, each job sees only its own GPU.
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
    """Names of the GPUs that this process may use, as in CUDA_VISIBLE_DEVICES."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()  # existing ones among those named; does not initialize CUDA
    return (named.split(",") if named is not None else list(map(str, range(count))))[:count]


@contextlib.contextmanager
def exclusive_gpu() -> Iterator[None]:
    """Restrict this process to one GPU that no other job uses, if it sees several; wait if all are in use."""
    names = visible()
    if len(names) < 2:
        yield
        return
    folder = Path(tempfile.gettempdir())
    locks = {name: FileLock(folder / f"galgen-{os.getuid()}-gpu-{name}.lock", timeout=0) for name in names}
    while not (free := next((name for name, lock in locks.items() if _acquired(lock)), None)):
        time.sleep(1)
    os.environ["CUDA_VISIBLE_DEVICES"] = free  # before CUDA is initialized, which reads it once
    try:
        yield
    finally:
        locks[free].release()


def _acquired(lock: FileLock) -> bool:
    with contextlib.suppress(Timeout):
        lock.acquire()
    return lock.is_locked
