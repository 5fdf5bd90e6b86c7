"""Learning-rate schedules: the factor as a function of images shown and of their total."""

import math
from collections.abc import Callable

__all__ = ["SCHEDULES", "Schedule", "constant", "cosine", "falling", "halving", "late", "log_spaced"]

Schedule = Callable[[int, int], float]


def cosine(shown: int, total: int) -> float:
    """Decay from 1 to 0 along a cosine, after a warm-up over the first 2 % of images (at most 1000)."""
    warm_up = min(total // 50, 1000) + 1
    return min(1.0, (shown + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * shown / total))


def halving(shown: int, total: int) -> float:
    """Halve the rate every 100 epochs of 250 000 images, as in the paper, whatever the total."""
    return 0.5 ** (shown // 25_000_000)


def constant(shown: int, total: int) -> float:
    """Keep the learning rate constant."""
    return 1.0


def falling(shown: int, total: int) -> float:
    """Keep the rate constant after a warm-up over 1000 images; decay linearly to 0 in the second half."""
    return min(1.0, (shown + 1) / 1000, 2 * (1 - shown / total))


def late(shown: int, total: int) -> float:
    """Keep the rate constant over nine tenths of the images, then decay linearly to 0.

    >>> [round(late(shown, 1000), 6) for shown in (0, 900, 950, 1000)]
    [1.0, 1.0, 0.5, 0.0]
    """
    return min(1.0, 10 * (1 - shown / total))


SCHEDULES: dict[str, Schedule] = {f.__name__: f for f in (cosine, halving, constant, falling, late)}


def log_spaced(first: int, last: int, count: int) -> list[int]:
    """Return `count` log-spaced milestones, both ends included; fewer if some coincide."""
    return sorted({round(first * (last / first) ** (k / max(count - 1, 1))) for k in range(count)} | {last})
