"""What each step of a training sees: a pure function of seeds and of the images shown before it.

    image number p of a run       perm_e[p mod N],  e = p div N,  perm_e = permutation(order seed, e)
    flips of the batch after p    generator(order seed, p)
    noise of the batch after p    generator(noise seed, p)

So is the learning rate. Every image is shown equally often (to within one) however N and the batch compare,
and a checkpoint needs neither the state of a generator nor a place in the data.
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
    """The steps of one training.

    Attributes:
        N: Training images.
        total: Images to be shown.
        batch_size: Images in a step.
        seed_order: Names the order of the images and the flips.
        seed_noise: Names what the steps draw.
        schedule: The rate of learning as a function of images shown and images to be shown.
        flips: Whether images are flipped at random, up-down and left-right.
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
        """The step that follows the first `shown` images; its losses.

        Args:
            learn: The step of a learner (`galgen.runs.training.Learner`).
            images: From row numbers (B,) to training images, uint8 (B, C, H, W), on the device.
            shown: Images shown before.
            device: Where the networks are.
        """
        x = images(rows(self.seed_order, shown, self.batch_size, self.N)).float() / 255
        if self.flips:
            x = _flip(x, generator(self.seed_order, "flips", shown, device))
        noise = generator(self.seed_noise, "noise", shown, device)
        return learn(x, noise, self.schedule(shown, self.total))


def rows(seed: int, shown: int, count: int, N: int) -> Tensor:
    """Row numbers (count,) of the images that follow the first `shown`."""
    first, last = shown // N, (shown + count - 1) // N
    stream = torch.cat([_permutation(seed, epoch, N) for epoch in range(first, last + 1)])
    return stream[shown - first * N :][:count]


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, N: int) -> Tensor:
    return torch.randperm(N, generator=generator(seed, "order", epoch, torch.device("cpu")))


def generator(seed: int, purpose: str, count: int, device: torch.device) -> torch.Generator:
    """The generator that seed, purpose and count name."""
    words = [seed, int.from_bytes(purpose.encode()), count]
    # Hashed to 32 bits: torch's CPU generator reads no more of its seed.
    return torch.Generator(device).manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))


def _flip(x: Tensor, generator: torch.Generator) -> Tensor:
    turn = torch.rand(2, len(x), 1, 1, 1, generator=generator, device=x.device) < 0.5
    x = torch.where(turn[0], x.flip(-1), x)
    return torch.where(turn[1], x.flip(-2), x)
