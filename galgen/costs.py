"""Estimates of the time and disk space of trainings, and a check of free disk space before they start.

Time is the number of FLOPs, counted in steps of one and of two images, divided by the family's FLOP rate.
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

MARGIN = 1.2  # free disk space required, relative to the estimate


class _Flops(TorchDispatchMode):
    """Count FLOPs; torch's own counter also tracks modules, and fails if a loss contains a gradient."""

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if count := flop_registry.get(function._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def of_step(learner: Learner, images: torch.Tensor, batch_size: int) -> float:
    """Return the FLOPs per image of a training step with `batch_size` images.

    Steps of one and of two images separate the cost per image from the cost per step (Muon's iterations).
    The learning rate is 0: the networks do not learn from the images (2, 1, H, W).
    """
    counts = []
    for part in (images[:1], images):
        with _Flops() as counted:
            learner.step(part, torch.Generator().manual_seed(0), 0.0)
        counts.append(counted.total)
    per_image = counts[1] - counts[0]
    return per_image + (counts[0] - per_image) / batch_size


def estimate(
    learner: Learner,
    images: np.ndarray,
    settings: TrainingSettings,
    sizes: Iterable[int],
    rate: float,
    samples: int,
) -> dict[int, dict]:
    """Return images shown, core minutes and megabytes of disk of one training, by N.

    Args:
        learner: A learner with untrained networks.
        images: Two images, uint8 (2, 1, H, W).
        settings: Settings of the trainings.
        sizes: All N.
        rate: FLOP/s that a core sustains.
        samples: Number of samples, stored at most once per saved set of weights.
    """
    flops = of_step(learner, unit(images), settings.batch_size)
    weights = sum(p.numel() for net in learner.networks.values() for p in net.parameters())
    # A checkpoint (weights, and Adam's two moments of each), and a second one while it is replaced.
    checkpoints, milestone = 6 * weights, weights + samples * images[0].size
    return {
        N: {
            "images_shown": settings.images_shown(N),
            "minutes": round(flops * settings.images_shown(N) / rate / 60, 2),
            "disk_mb": round(4 * (checkpoints + len(settings.milestones_at(N)) * milestone) / 2**20, 1),
        }
        for N in sizes
    }


def check(store: str | os.PathLike, missing: Sequence[dict]) -> None:
    """Check that the disk has space for all missing trainings before they start.

    Args:
        store: The folder of the run store.
        missing: The trainings to run, as `Experiment.plan` lists them.

    Raises:
        GalgenError: If it does not; states the required and the free space and how to proceed.
    """
    path = Path(store).absolute()
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    needed = MARGIN * sum(record["disk_mb"] for record in missing)
    if (free := shutil.disk_usage(existing).free / 2**20) < needed:
        raise GalgenError(
            f"{len(missing)} models to train need about {needed:.0f} MB in {store}, a margin included, "
            f"but {free:.0f} MB are free on its disk: use fewer N or a smaller profile, or set "
            "GALGEN_STORE to another folder"
        )
