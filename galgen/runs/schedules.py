"""What the learning rate is multiplied by, as a function of images shown and of images to be shown."""

import math
from collections.abc import Callable

__all__ = ["SCHEDULES", "Schedule", "constant", "cosine", "falling", "halving", "late", "log_spaced"]

Schedule = Callable[[int, int], float]


def cosine(shown: int, total: int) -> float:
    """From 1 down to 0 along a cosine, after a warm-up over the first 2 % of the images, at most 1000."""
    warm_up = min(total // 50, 1000) + 1
    return min(1.0, (shown + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * shown / total))


def halving(shown: int, total: int) -> float:
    """The paper's: halved every 100 epochs of 250 000 images, however long the training."""
    return 0.5 ** (shown // 25_000_000)


def constant(shown: int, total: int) -> float:
    """One learning rate throughout."""
    return 1.0


def falling(shown: int, total: int) -> float:
    """Constant after a warm-up over 1000 images, and from half of the training on linearly to nothing."""
    return min(1.0, (shown + 1) / 1000, 2 * (1 - shown / total))


def late(shown: int, total: int) -> float:
    """One learning rate over nine tenths of the images, and from there on linearly to nothing.

    >>> [round(late(shown, 1000), 6) for shown in (0, 900, 950, 1000)]
    [1.0, 1.0, 0.5, 0.0]
    """
    return min(1.0, 10 * (1 - shown / total))


SCHEDULES: dict[str, Schedule] = {f.__name__: f for f in (cosine, halving, constant, falling, late)}


def log_spaced(first: int, last: int, count: int) -> list[int]:
    """`count` milestones in geometric progression, both ends included; fewer where they coincide."""
    return sorted({round(first * (last / first) ** (k / max(count - 1, 1))) for k in range(count)} | {last})
