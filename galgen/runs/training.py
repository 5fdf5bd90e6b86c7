"""Training loop shared by all model families: checkpoints, resuming, loss log and divergence checks.

The input of each step (`galgen.runs.batches`) is a function of seeds and of the images shown before it, so a
checkpoint contains only the networks and the optimizers. On the CPU, a run that is killed at any moment and
resumed ends with the same weights and the same log, bit for bit. The batches, the networks and their learner
determine the result of a training and are in its key; checkpointing, reporting and resuming are not.

Momenta of a filter that no image excites any more decay below the smallest normal number, 1.2e-38, where a
CPU computes up to four times as slowly. They are flushed to 0. Added to a weight they are lost in rounding,
so the weights are the same, bit for bit.

A model implements `Learner`. The folder of a run contains

    checkpoint.pt               the last complete state
    losses.jsonl                one line per `report_every` steps: images shown and the mean of each loss
    weights-12800.safetensors   the networks after 12 800 images, at each milestone and at the end
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from galgen.runs import checkpoint
from galgen.runs.batches import BatchSampler, generator
from galgen.runs.errors import Damaged, GalgenError
from galgen.runs.progress import Display

__all__ = ["Learner", "train"]


class Learner(Protocol):
    """Interface of a model to the training loop.

    Attributes:
        networks: All trained or averaged networks, by name; saved at milestones and in the checkpoint.
        optimizers: Optimizers by name; saved in the checkpoint.
        settings: All hyperparameters (JSON). A checkpoint with other settings is rejected.
        limits: Upper limits of the absolute mean of some losses; beyond one, the run counts as diverged.
    """

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    settings: dict
    limits: Mapping[str, float]

    def step(self, images: Tensor, noise: torch.Generator, rate: float) -> dict[str, Tensor]:
        """Update the networks with one batch.

        Args:
            images: Float32 images in [0, 1], (B, C, H, W), on the device of the networks.
            noise: A fresh generator on that device, for all random numbers of the step.
            rate: Current factor of the learning rate.

        Returns:
            The losses, as detached scalar tensors. They are not read before the next report.
        """


@contextlib.contextmanager
def _flushed() -> Iterator[None]:
    """Flush denormal numbers to 0."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # inference is computed without flushing


@_flushed()
def train(
    learner: Learner,
    images: np.ndarray,
    directory: str | Path,
    stream: BatchSampler,
    *,
    milestones: Iterable[int] = (),
    report_every: int = 50,
    save_every_seconds: float = 60.0,
    label: str = "training",
    progress: bool = True,
) -> dict:
    """Train a model, resuming from the checkpoint in `directory` if it exists.

    Args:
        learner: The model; it is changed in place.
        images: uint8 (N, C, H, W), in memory or memory-mapped; copied to a GPU.
        directory: Folder of the run, see above.
        stream: Batch sampler; its total must be a whole number of batches.
        milestones: Images shown at which to save the weights, rounded up to whole batches.
        report_every: Steps between two lines of the log; the minimum between two checkpoints.
        save_every_seconds: Time between two checkpoints.
        label: Name of the run in the progress display.
        progress: Whether to display progress.

    Returns:
        Summary: images shown, compute time in seconds (over all resumptions), images per second, device,
        threads, torch version, the last mean losses, and the images shown at which weights were saved.

    Raises:
        GalgenError: If a loss is not finite or diverges, the checkpoint belongs to another run, or a batch
            does not fit into GPU memory (the message gives a batch size that does).
        Damaged: If the checkpoint, or the log or weights saved before it, is missing or damaged.
    """
    _check(images, stream)
    directory, total, batch_size = Path(directory), stream.total, stream.batch_size
    device = next(parameter.device for net in learner.networks.values() for parameter in net.parameters())
    saves = sorted({min(math.ceil(m / batch_size) * batch_size, total) for m in milestones} | {total})
    settings = {
        **learner.settings,
        **dataclasses.asdict(stream),
        "schedule": stream.schedule.__name__,
        "images": [list(images.shape), hashlib.sha256(np.ascontiguousarray(images)).hexdigest()[:16]],
        "report_every": report_every,
    }
    shown, before, means = _resume(learner, directory, settings, saves)
    read = _reader(images, device)
    started = saved = time.monotonic()
    display = Display(label, total, shown) if progress else None
    losses: list[dict[str, Tensor]] = []
    with open(directory / "losses.jsonl", "a") as log:
        while shown < total:
            try:
                losses.append(stream.step(learner.step, read, shown, device))
            except torch.OutOfMemoryError as error:
                fits = _fitting(learner, images, batch_size)
                raise GalgenError(
                    f"a batch of {batch_size} does not fit into GPU memory, a batch of {fits} does. Set "
                    "batch_size in the profile (`galgen.profiles`); the last good checkpoint is kept"
                ) from error
            shown += batch_size
            if shown in saves:
                _require_finite(learner, shown)
                weights = {name: net.state_dict() for name, net in learner.networks.items()}
                checkpoint.save_weights(directory / f"weights-{shown}.safetensors", weights)
            if (shown // batch_size) % report_every == 0 or shown == total:
                means = _means(learner, losses, shown // batch_size)
                losses = []
                log.write(json.dumps({"images": shown, **means}) + "\n")
                log.flush()
                now = time.monotonic()
                if display:
                    display.show(shown, means)
                if now - saved >= save_every_seconds or shown == total:
                    os.fsync(log.fileno())
                    _save(learner, directory, settings, shown, before + now - started, means)
                    saved = now
    seconds = before + saved - started
    return {
        "images_shown": shown,
        "seconds": round(seconds, 2),
        "images_per_second": round(shown / seconds, 1) if seconds else None,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "losses": means,
        "weights": saves,
        "settings": settings,
    }


def _fitting(learner: Learner, images: np.ndarray, batch: int) -> int:
    """Return the largest batch size (a half, a quarter, ...) that fits into GPU memory, 0 if none does.

    The trial steps change the networks; the calling training stops anyway.
    """
    device = next(parameter.device for net in learner.networks.values() for parameter in net.parameters())
    x = torch.from_numpy(images[:1]).to(device) / 255
    while batch := batch // 2:
        torch.cuda.empty_cache()
        with contextlib.suppress(torch.OutOfMemoryError):
            learner.step(x.repeat(batch, 1, 1, 1), generator(0, "noise", 0, device), 1.0)
            break
    return batch


def _check(images: np.ndarray, stream: BatchSampler) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) == 0 or len(images) != stream.N:
        raise GalgenError(
            f"training images must be uint8 ({stream.N}, C, H, W), at least one, "
            f"not {images.dtype} {images.shape}"
        )
    if stream.batch_size < 1 or stream.total < 1 or stream.total % stream.batch_size:
        raise GalgenError(
            f"the total of {stream.total} images must be one or more whole batches of {stream.batch_size}"
        )


def _resume(
    learner: Learner, directory: Path, settings: dict, saves: Iterable[int]
) -> tuple[int, float, dict]:
    """Load the checkpoint, if any, and truncate the log; return images shown, seconds and last losses."""
    path, log = directory / "checkpoint.pt", directory / "losses.jsonl"
    directory.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        log.unlink(missing_ok=True)
        return 0, 0.0, {}
    try:
        state = checkpoint.load(path)
        was, shown = state["settings"], state["shown"]
    except (GalgenError, KeyError) as error:
        raise Damaged(f"{directory} cannot be resumed: {error}") from error
    if differ := sorted(k for k in settings.keys() | was.keys() if settings.get(k) != was.get(k)):
        changes = ", ".join(f"{k} was {was.get(k)}, is {settings.get(k)}" for k in differ)
        raise GalgenError(f"{directory} has a training with other settings ({changes}); use another folder")
    checkpoint.cut_log(log, shown)
    for weights in (directory / f"weights-{m}.safetensors" for m in saves if m <= shown):
        try:
            checkpoint.load_weights(weights)
        except GalgenError as error:
            raise Damaged(f"{weights} is missing or damaged, but precedes the checkpoint") from error
    for name, net in learner.networks.items():
        net.load_state_dict(state["networks"][name])
    for name, optimizer in learner.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    return shown, state["seconds"], state["means"]


def _save(learner: Learner, directory: Path, settings: dict, shown: int, seconds: float, means: dict) -> None:
    _require_finite(learner, shown)
    checkpoint.save(
        directory / "checkpoint.pt",
        {
            "settings": settings,
            "shown": shown,
            "seconds": seconds,
            "means": means,
            "networks": {name: net.state_dict() for name, net in learner.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in learner.optimizers.items()},
        },
    )


def _require_finite(learner: Learner, shown: int) -> None:
    for name, net in learner.networks.items():
        for key, value in net.state_dict().items():
            if not value.isfinite().all():
                raise _stopped(f"{name}.{key} is not finite after {shown} images", learner)


def _means(learner: Learner, losses: list[dict[str, Tensor]], last: int) -> dict[str, float]:
    """Return the mean of each loss since the last report; raise if it is not finite or beyond its limit."""
    means = {}
    for name in losses[0]:
        values = torch.stack([loss[name] for loss in losses]).double().cpu()
        if not values.isfinite().all():
            first = int((~values.isfinite()).nonzero()[0])
            step = last - len(losses) + first + 1
            raise _stopped(f"step {step}: {name} is {values[first].item()}", learner)
        means[name] = values.mean().item()
        if abs(means[name]) > learner.limits.get(name, math.inf):
            raise _stopped(
                f"steps {last - len(losses) + 1} to {last}: {name} diverges, its mean is {means[name]:.3g} "
                f"(limit {learner.limits[name]:.3g})",
                learner,
            )
    return means


def _stopped(reason: str, learner: Learner) -> GalgenError:
    return GalgenError(
        f"training stopped at {reason}; the last good checkpoint is kept. Lower learning_rate "
        f"({learner.settings.get('learning_rate')}) or lengthen the warm-up, and train in a new folder"
    )


def _reader(images: np.ndarray, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return a function that maps row numbers to uint8 images on the device."""
    if device.type == "cpu":
        return lambda rows: torch.from_numpy(images[rows.numpy()])
    on_device = torch.from_numpy(np.array(images)).to(device)
    return lambda rows: on_device[rows.to(device)]
