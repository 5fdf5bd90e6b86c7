"""What trainings cost, and whether the disk has room for them, before one starts.

Time is FLOPs, counted in steps of one and of two images, over the rate that a family sustains.
"""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from galgen.data.unit import unit
from galgen.profiles import TrainingSettings
from galgen.runs.errors import GalgenError
from galgen.runs.training import Learner

__all__ = ["check", "estimate", "of_step"]

MARGIN = 1.2  # room to be free on the disk, for each megabyte that trainings need


class _Flops(TorchDispatchMode):
    """Adds up FLOPs; torch's own counter also follows modules, and fails where a loss has a gradient."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if count := flop_registry.get(function._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def of_step(learner: Learner, images: torch.Tensor, batch_size: int) -> float:
    """FLOPs for each image of a step of so many.

    Steps of one and of two images tell apart what each image costs, and what a step costs whatever its
    images: Muon's iterations. Nothing is learnt from the images (2, 1, H, W).
    """
    counts = []
    for part in (images[:1], images):
        with _Flops() as counted:
            learner.step(part, torch.Generator().manual_seed(0), 0.0)
        counts.append(counted.total)
    each = counts[1] - counts[0]
    return each + (counts[0] - each) / batch_size


def estimate(
    learner: Learner,
    images: np.ndarray,
    settings: TrainingSettings,
    sizes: Iterable[int],
    rate: float,
    samples: int,
) -> dict[int, dict]:
    """By N, minutes of a core and megabytes of disk of one training.

    Args:
        learner: Of fresh networks.
        images: Two, uint8 (2, 1, H, W).
        settings: Of the trainings.
        sizes: All N.
        rate: FLOP/s that a core sustains.
        samples: Images of a sample, which is kept, at most, beside each of the weights that are.
    """
    each = of_step(learner, unit(images), settings.batch_size)
    weights = sum(p.numel() for net in learner.networks.values() for p in net.parameters())
    # A checkpoint (weights, and Adam's two numbers for each), and a second one while it is replaced.
    checkpoints, milestone = 6 * weights, weights + samples * images[0].size
    return {
        N: {
            "images_shown": settings.images_shown(N),
            "minutes": round(each * settings.images_shown(N) / rate / 60, 2),
            "disk_mb": round(4 * (checkpoints + len(settings.kept(N)) * milestone) / 2**20, 1),
        }
        for N in sizes
    }


def check(store: str | os.PathLike, missing: Sequence[dict]) -> None:
    """Raise before trainings start for which the disk has no room.

    Args:
        store: The folder of the run store.
        missing: The trainings to make, as `Experiment.plan` lists them.

    Raises:
        GalgenError: With the numbers and the way out.
    """
    path = Path(store).absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    needed = MARGIN * sum(record["disk_mb"] for record in missing)
    if (free := shutil.disk_usage(there).free / 2**20) < needed:
        raise GalgenError(
            f"{len(missing)} models to train need about {needed:.0f} MB in {store}, a margin included, "
            f"and {free:.0f} MB are free on its disk: ask for fewer N, take a smaller profile, or set "
            "GALGEN_STORE to another folder"
        )
