"""Before a training starts: is there room for it?

A disk that fills after hours, or a process that the system kills for its memory, costs more than asking.
What is needed is estimated from above; where the system does not tell what it has, nothing is refused.
"""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from galgen.runs.errors import GalgenError

__all__ = ["available_memory_mb", "check", "free_disk_mb"]


def free_disk_mb(path: str | os.PathLike) -> float:
    """Free megabytes on the disk where `path` lies or will lie."""
    path = Path(path).absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(there).free / 2**20


def available_memory_mb() -> float | None:
    """Megabytes that a new process can have without swapping, or None where the system does not tell."""
    try:
        found = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
        return int(found[1]) / 2**10
    except (OSError, TypeError):
        pass
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):  # macOS knows only how much is built in
        try:
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20
        except (AttributeError, OSError, ValueError):
            continue
    return None


def check(store: str | os.PathLike, missing: Sequence[dict]) -> None:
    """Refuse trainings that the disk or the memory cannot hold.

    Args:
        store: The folder of the run store.
        missing: The trainings to make, as `Experiment.plan` lists them: name, disk_mb, memory_mb.

    Raises:
        GalgenError: If all of them together need more disk than is free, or one of them more memory than is
            available; with the numbers and the way out.
    """
    if not missing:
        return
    needed, free = sum(record["disk_mb"] for record in missing), free_disk_mb(store)
    if free < needed:
        raise GalgenError(
            f"{len(missing)} models to train need about {needed:.0f} MB in {store}, and {free:.0f} MB are "
            "free on its disk: ask for fewer N, take a smaller profile, or set GALGEN_STORE to another folder"
        )
    largest, available = max(missing, key=lambda record: record["memory_mb"]), available_memory_mb()
    if available is not None and available < largest["memory_mb"]:
        raise GalgenError(
            f"training {largest['name']} needs about {largest['memory_mb']:.0f} MB of memory, and "
            f"{available:.0f} MB are available: close other programs, ask for fewer N, or take a smaller "
            "profile"
        )
