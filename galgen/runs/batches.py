"""Batch sampler: the input of each training step as a pure function of seeds and of images shown so far.

    image number p of a run       perm_e[p mod N],  e = p div N,  perm_e = permutation(order seed, e)
    flips of the batch after p    generator(order seed, p)
    noise of the batch after p    generator(noise seed, p)

The learning rate is a function of images shown as well. Every image is shown equally often (to within one),
whatever N and the batch size, and a checkpoint needs neither generator states nor a position in the data.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galgen.runs.schedules import Schedule

__all__ = ["BatchSampler", "generator", "rows"]


@dataclass(frozen=True)
class BatchSampler:
    """Sampler of the batches of one training.

    Attributes:
        N: Number of training images.
        total: Images shown by the end of the training.
        batch_size: Images per step.
        seed_order: Seed of the image order and of the flips.
        seed_noise: Seed of the random numbers that the steps draw.
        schedule: Factor of the learning rate as a function of images shown and of `total`.
        flips: Whether to flip images at random, up-down and left-right.
    """

    N: int
    total: int
    batch_size: int
    seed_order: int
    seed_noise: int
    schedule: Schedule
    flips: bool = False

    def step(
        self,
        learn: Callable[[Tensor, torch.Generator, float], dict[str, Tensor]],
        images: Callable[[Tensor], Tensor],
        shown: int,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """Do the step that follows the first `shown` images and return its losses.

        Args:
            learn: The step method of a learner (`galgen.runs.training.Learner`).
            images: Maps row numbers (B,) to training images, uint8 (B, C, H, W), on the device.
            shown: Images shown before this step.
            device: Device of the networks.
        """
        x = images(rows(self.seed_order, shown, self.batch_size, self.N)).float() / 255
        if self.flips:
            x = _flip(x, generator(self.seed_order, "flips", shown, device))
        noise = generator(self.seed_noise, "noise", shown, device)
        return learn(x, noise, self.schedule(shown, self.total))


def rows(seed: int, shown: int, count: int, N: int) -> Tensor:
    """Return the row numbers (count,) of the images that follow the first `shown` ones."""
    first, last = shown // N, (shown + count - 1) // N
    stream = torch.cat([_permutation(seed, epoch, N) for epoch in range(first, last + 1)])
    return stream[shown - first * N :][:count]


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, N: int) -> Tensor:
    return torch.randperm(N, generator=generator(seed, "order", epoch, torch.device("cpu")))


def generator(seed: int, purpose: str, count: int, device: torch.device) -> torch.Generator:
    """Return a random generator seeded by a hash of seed, purpose and count."""
    words = [seed, int.from_bytes(purpose.encode()), count]
    # Hashed to 32 bits because torch's CPU generator uses only that many bits of its seed.
    return torch.Generator(device).manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))


def _flip(x: Tensor, generator: torch.Generator) -> Tensor:
    turn = torch.rand(2, len(x), 1, 1, 1, generator=generator, device=x.device) < 0.5
    x = torch.where(turn[0], x.flip(-1), x)
    return torch.where(turn[1], x.flip(-2), x)
