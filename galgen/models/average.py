"""Averages of the weights of a network over its training, which draw in its place.

At update t the average moves by w(t) towards the weights,

    average <- average + w(t) (weights - average),

its buffers likewise, and what is counted is copied. It begins, t = 1, as what the weights are then.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["averaged"]


def averaged(net: nn.Module, weight: Callable[[int], float]) -> AveragedModel:
    """The average of a network, to be told of each step by `update_parameters(net)`.

    Args:
        net: The network, which is copied.
        weight: w, of t from 2 on.
    """

    def move(means: Sequence[Tensor], now: Sequence[Tensor], updates: Tensor) -> None:
        if means[0].is_floating_point():
            torch._foreach_lerp_(means, now, weight(int(updates) + 1))
        else:
            torch._foreach_copy_(means, now)

    return AveragedModel(net, multi_avg_fn=move, use_buffers=True).requires_grad_(False)
