"""What trainings cost, and whether there is room for them, before one starts.

A disk that fills after hours, or a process that the system kills for its memory, costs more than asking.
Time is FLOPs, counted in steps of one and two images, over the rate a family sustains; disk and memory are
estimated from above, and of the disk a margin is left to all else that is written meanwhile.
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from galgen.data.unit import unit
from galgen.profiles import TrainingSettings
from galgen.runs.errors import GalgenError
from galgen.runs.training import Learner

__all__ = ["available_memory_mb", "check", "check_galaxies", "estimate", "free_disk_mb",
    "of_step"]  # fmt: skip

MARGIN = 1.2  # room to be free on the disk, for each megabyte that trainings need


class _Flops(TorchDispatchMode):
    """Adds up FLOPs; torch's own counter also follows modules, and fails where a loss has a gradient."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if count := flop_registry.get(function._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def of_step(learner: Learner, images: torch.Tensor, batch_size: int) -> tuple[float, float]:
    """FLOPs for each image of a step of so many, and bytes for each that are kept for the backward pass.

    Steps of one and of B images tell apart what each image costs, and what a step costs whatever its images:
    Muon's iterations. Nothing is learnt from the images (B, 1, H, W), B > 1.
    """
    counts = []
    for part in (images[:1], images):
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.data_ptr()] = max(tensor.nbytes, kept.get(tensor.data_ptr(), 0))
            return tensor

        with _Flops() as counted, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            learner.step(part, torch.Generator().manual_seed(0), 0.0)
        counts.append((counted.total, sum(kept.values())))
    (one, kept_of_one), (all_, kept_of_all) = counts
    each = (all_ - one) / (len(images) - 1)
    return each + (one - each) / batch_size, max(0.0, kept_of_all - kept_of_one) / (len(images) - 1)


def estimate(
    learner: Learner,
    images: np.ndarray,
    settings: TrainingSettings,
    sizes: Iterable[int],
    rate: float,
    samples: int,
) -> dict[int, dict]:
    """By N, minutes of a core, and megabytes of memory and of disk, of one training.

    Args:
        learner: Of fresh networks.
        images: Some, uint8 (B, 1, H, W), B > 1.
        settings: Of the trainings.
        sizes: All N.
        rate: FLOP/s that a core sustains.
        samples: Images of a sample, which is kept, at most, beside each of the weights that are.
    """
    each, kept = of_step(learner, unit(images), settings.batch_size)
    kept *= settings.batch_size * (not torch.cuda.is_available())  # a GPU has memory of its own
    weights = sum(p.numel() for net in learner.networks.values() for p in net.parameters())
    pixels = images[0].size
    # A checkpoint (weights, and Adam's two numbers for each), and a second one while it is replaced.
    checkpoints, milestone = 6 * weights, weights + samples * pixels
    return {
        N: {
            "images_shown": settings.images_shown(N),
            "minutes": round(each * settings.images_shown(N) / rate / 60, 2),
            "memory_mb": round(750 + (16 * weights + N * pixels + 1.5 * kept) / 2**20),
            "disk_mb": round(4 * (checkpoints + len(settings.kept(N)) * milestone) / 2**20, 1),
        }
        for N in sizes
    }


def free_disk_mb(path: str | os.PathLike) -> float:
    """Free megabytes on the disk where `path` lies or will lie."""
    path = Path(path).absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(there).free / 2**20


def available_memory_mb() -> float:
    """Megabytes that a new process can have without swapping."""
    return psutil.virtual_memory().available / 2**20


def check_galaxies(count: int, size: int) -> None:
    """Raise before more galaxies (of `size` pixels a side) are simulated than memory can hold.

    Raises:
        GalgenError: With the numbers and the way out.
    """
    # Images and truth twice, where those of all chunks are put together; and the truth as text.
    needed, available = count * (2 * size**2 + 4000) / 2**20, available_memory_mb()
    if needed > available:
        raise GalgenError(
            f"{count} galaxies to simulate need about {needed:.0f} MB of memory, and {available:.0f} MB are "
            "available: ask for fewer"
        )


def check(store: str | os.PathLike, missing: Sequence[dict]) -> None:
    """Raise before trainings start for which there is no room.

    Args:
        store: The folder of the run store.
        missing: The trainings to make, as `Experiment.plan` lists them: name, disk_mb, memory_mb.

    Raises:
        GalgenError: If all of them together need more disk than is free, with a margin, or one of them more
            memory than is available; with the numbers and the way out.
    """
    if not missing:
        return
    needed, free = MARGIN * sum(record["disk_mb"] for record in missing), free_disk_mb(store)
    if free < needed:
        raise GalgenError(
            f"{len(missing)} models to train need about {needed:.0f} MB in {store}, a margin included, "
            f"and {free:.0f} MB are free on its disk: ask for fewer N, take a smaller profile, or set "
            "GALGEN_STORE to another folder"
        )
    largest, available = max(missing, key=lambda record: record["memory_mb"]), available_memory_mb()
    if available < largest["memory_mb"]:
        raise GalgenError(
            f"training {largest['name']} needs about {largest['memory_mb']:.0f} MB of memory, and "
            f"{available:.0f} MB are available: close other programs, ask for fewer N, or take a smaller "
            "profile"
        )
