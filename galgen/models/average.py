"""Averages of the weights of a network over its training, which generate the samples.

Update t moves the average towards the weights by w(t),

    average <- average + w(t) (weights - average),

and its buffers likewise; integer buffers are copied. At t = 1 the average equals the weights.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["averaged"]


def averaged(net: nn.Module, weight: Callable[[int], float]) -> AveragedModel:
    """Return a running average of the network; call its `update_parameters(net)` after each step.

    Args:
        net: The network, which is copied.
        weight: w as a function of t, called from t = 2 on.
    """

    def move(means: Sequence[Tensor], now: Sequence[Tensor], updates: Tensor) -> None:
        if means[0].is_floating_point():
            torch._foreach_lerp_(means, now, weight(int(updates) + 1))
        else:
            torch._foreach_copy_(means, now)

    return AveragedModel(net, multi_avg_fn=move, use_buffers=True).requires_grad_(False)
