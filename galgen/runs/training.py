"""The one training loop of the book: what is learnt differs, how it is run does not.

Progress is counted in images shown. Everything random is a pure function of a seed and of that count:

    image number p of a run       perm_e[p mod N],  e = p div N,  perm_e = permutation(order seed, e)
    flips of the batch after p    generator(order seed, p)
    noise of the batch after p    generator(noise seed, p)

so every image is shown equally often (to within one) however N and the batch compare, and a checkpoint needs
neither the state of a generator nor a place in the data. With the learning rate a function of the count too,
what is left to keep is the networks and the optimizers: a run that is killed at any moment and started
again ends, on the CPU, with the same weights and the same log, bit for bit.

A model takes part as a `Learner`. The folder of a run holds

    checkpoint.safetensors      the last whole state
    losses.jsonl                a line every `report_every` steps: images shown and the mean of each loss
    weights-12800.safetensors   the networks after 12 800 images, at each milestone and at the end
"""

import contextlib
import functools
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from galgen.runs import checkpoint
from galgen.runs.errors import Damaged, GalgenError
from galgen.runs.files import atomic_path
from galgen.runs.progress import Display
from galgen.runs.schedules import Schedule


class Learner(Protocol):
    """What the loop asks of a model.

    Attributes:
        networks: All that learns or averages, by name: kept at milestones and in the checkpoint.
        optimizers: By name, in the checkpoint.
        settings: Every hyperparameter (JSON). A checkpoint made with others is refused.
        limits: A value for some of the losses; a mean beyond it (in size) says that the run diverges.
    """

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    settings: dict
    limits: Mapping[str, float]

    def step(self, images: Tensor, noise: torch.Generator, rate: float) -> dict[str, Tensor]:
        """Learn from one batch.

        Args:
            images: Float32 images in [0, 1], (B, C, H, W), on the device of the networks.
            noise: A fresh generator on that device, for all that the step draws.
            rate: What to multiply the learning rate by now.

        Returns:
            The losses, as scalar tensors that hold no graph. They are not read before the next report.
        """


def train(
    learner: Learner,
    images: np.ndarray,
    directory: str | Path,
    *,
    images_shown: int,
    batch_size: int,
    seed_order: int,
    seed_noise: int,
    schedule: Schedule,
    flips: bool = False,
    milestones: Iterable[int] = (),
    report_every: int = 50,
    save_every_seconds: float = 60.0,
    label: str = "training",
    progress: bool = True,
) -> dict:
    """Train, or go on training from the checkpoint in `directory`.

    Args:
        learner: The model; it is changed in place.
        images: uint8 (N, C, H, W), in memory or memory-mapped; a GPU gets a copy.
        directory: Folder of the run, see above.
        images_shown: When to stop; rounded up to a whole number of batches.
        batch_size: Images in a step.
        seed_order: Names the order of the images and the flips.
        seed_noise: Names what the steps draw.
        schedule: The rate of learning as a function of images shown and images to be shown.
        flips: Flip images at random, up-down and left-right.
        milestones: Counts of images at which to keep the weights, rounded up to whole batches.
        report_every: Steps between two lines of the log, and the least between two checkpoints.
        save_every_seconds: Time between two checkpoints.
        label: What the progress display calls the run.
        progress: Whether to show it.

    Returns:
        Summary: images shown, seconds of work (over all resumptions), images a second, device, threads, torch
        version, the last mean losses, and the counts of images at which weights were kept.

    Raises:
        GalgenError: If the loss is no number or diverges, or the checkpoint is of another run.
    """
    _check(images, images_shown, batch_size)
    directory = Path(directory)
    device = next(parameter.device for net in learner.networks.values() for parameter in net.parameters())
    total = math.ceil(images_shown / batch_size) * batch_size
    kept = sorted({min(math.ceil(m / batch_size) * batch_size, total) for m in milestones} | {total})
    settings = {
        **learner.settings,
        "images": [list(images.shape), hashlib.sha256(np.ascontiguousarray(images)).hexdigest()[:16]],
        "images_shown": total,
        "batch_size": batch_size,
        "seed_order": seed_order,
        "seed_noise": seed_noise,
        "flips": flips,
        "schedule": schedule.__name__,
        "report_every": report_every,
    }
    shown, before, means = _resume(learner, directory, settings)
    batch = _reader(images, device)
    started = saved = time.monotonic()
    display = Display(label, total, shown) if progress else None
    losses: list[dict[str, Tensor]] = []
    with open(directory / "losses.jsonl", "a") as log:
        while shown < total:
            x = batch(_rows(seed_order, shown, batch_size, len(images))).float() / 255
            if flips:
                x = _flip(x, _generator(seed_order, "flips", shown, device))
            losses.append(
                learner.step(x, _generator(seed_noise, "noise", shown, device), schedule(shown, total))
            )
            shown += batch_size
            if shown in kept:
                _require_finite(learner, shown)
                weights = {name: net.state_dict() for name, net in learner.networks.items()}
                checkpoint.save(directory / f"weights-{shown}.safetensors", weights)
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
        "weights": kept,
        "settings": settings,
    }


def resume(learner: Learner, images: np.ndarray, directory: str | Path, **options: object) -> dict:
    """`train`, where what an interrupted training left in the folder may be damaged.

    Args:
        learner: As for `train`, with fresh networks.
        images: As for `train`.
        directory: As for `train`.
        **options: As for `train`.

    Returns:
        The summary of `train`.

    Raises:
        Damaged: If the checkpoint or the log cannot be read, if the log ends before the checkpoint, or if
            weights that the checkpoint has passed are missing or not whole.
        GalgenError: If a batch is too large for the memory of a GPU, with one that fits.
    """
    directory = Path(directory)
    checkpoint.cut_log(directory / "checkpoint.safetensors", directory / "losses.jsonl")
    try:
        summary = train(learner, images, directory, **options)
    except torch.OutOfMemoryError as error:
        batch = options["batch_size"]
        raise GalgenError(
            f"the GPU has not memory enough for a batch of {batch}: {_fitting(learner, images, batch)} would "
            "fit. Set batch_size in the profile to that (`galgen.config`); the last good checkpoint is kept"
        ) from error
    for shown in summary["weights"]:
        path = directory / f"weights-{shown}.safetensors"
        try:
            checkpoint.load(path)
        except GalgenError as error:
            raise Damaged(f"{path} is missing or not whole, though the checkpoint has passed it") from error
    return summary


def _fitting(learner: Learner, images: np.ndarray, batch: int) -> int:
    """A half of a batch, a fourth, ..., of which a step fits into memory; 0 if not even one image does.

    The step changes the networks, which are lost with the training that asks.
    """
    device = next(parameter.device for net in learner.networks.values() for parameter in net.parameters())
    x = torch.from_numpy(images[:1]).to(device) / 255
    while batch := batch // 2:
        torch.cuda.empty_cache()
        with contextlib.suppress(torch.OutOfMemoryError):
            learner.step(x.repeat(batch, 1, 1, 1), _generator(0, "noise", 0, device), 1.0)
            break
    return batch


def _check(images: np.ndarray, images_shown: int, batch_size: int) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) == 0:
        raise GalgenError(
            f"training images must be uint8 (N, C, H, W), N >= 1, not {images.dtype} {images.shape}"
        )
    if images_shown < 1 or batch_size < 1:
        raise GalgenError(f"{images_shown} images in batches of {batch_size}: both must be at least 1")


def _resume(learner: Learner, directory: Path, settings: dict) -> tuple[int, float, dict]:
    """Load the checkpoint, if there is one, and cut the log to it: images shown, seconds, last losses."""
    path, log = directory / "checkpoint.safetensors", directory / "losses.jsonl"
    shown, seconds, means = 0, 0.0, {}
    if path.is_file():
        state = checkpoint.load(path)
        if differ := sorted(
            k
            for k in settings.keys() | state["settings"].keys()
            if settings.get(k) != state["settings"].get(k)
        ):
            was = ", ".join(f"{k} was {state['settings'].get(k)}, is {settings.get(k)}" for k in differ)
            raise GalgenError(f"{directory} holds a training with other settings ({was}); use another folder")
        for name, net in learner.networks.items():
            net.load_state_dict(state["networks"][name])
        for name, optimizer in learner.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        shown, seconds, means = state["shown"], state["seconds"], state["means"]
    directory.mkdir(parents=True, exist_ok=True)
    whole = [line for line in log.read_text().split("\n")[:-1]] if log.is_file() else []
    with atomic_path(log) as temporary:
        temporary.write_text("".join(line + "\n" for line in whole if json.loads(line)["images"] <= shown))
    return shown, seconds, means


def _save(learner: Learner, directory: Path, settings: dict, shown: int, seconds: float, means: dict) -> None:
    _require_finite(learner, shown)
    checkpoint.save(
        directory / "checkpoint.safetensors",
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
    """The mean of each loss since the last report, which must be a number and within its limit."""
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


def _stopped(what: str, learner: Learner) -> GalgenError:
    return GalgenError(
        f"training stopped at {what}; the last good checkpoint is kept. Lower learning_rate "
        f"({learner.settings.get('learning_rate')}) or lengthen the warm-up, and train in a new folder"
    )


def _reader(images: np.ndarray, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A function from row numbers to uint8 images on the device."""
    if device.type == "cpu":
        return lambda rows: torch.from_numpy(images[rows.numpy()])
    held = torch.from_numpy(np.array(images)).to(device)
    return lambda rows: held[rows.to(device)]


def _rows(seed: int, shown: int, count: int, N: int) -> Tensor:
    """Row numbers (count,) of the images that follow the first `shown`."""
    first, last = shown // N, (shown + count - 1) // N
    stream = torch.cat([_permutation(seed, epoch, N) for epoch in range(first, last + 1)])
    return stream[shown - first * N :][:count]


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, N: int) -> Tensor:
    return torch.randperm(N, generator=_generator(seed, "order", epoch, torch.device("cpu")))


def _generator(seed: int, purpose: str, count: int, device: torch.device) -> torch.Generator:
    """The generator that seed, purpose and count name."""
    words = [seed, int.from_bytes(purpose.encode()), count]
    # Hashed to 32 bits: torch's CPU generator reads no more of its seed.
    return torch.Generator(device).manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))


def _flip(x: Tensor, generator: torch.Generator) -> Tensor:
    turn = torch.rand(2, len(x), 1, 1, 1, generator=generator, device=x.device) < 0.5
    x = torch.where(turn[0], x.flip(-1), x)
    return torch.where(turn[1], x.flip(-2), x)
