r"""The affine coupling of `galgen.models.glow`, written out as matrix products, with its derivatives.

The first half x_1 of the channels shifts and scales the second by what three convolutions say,

    u_1 = l(A_1 p(x_1) + b_1),      u_2 = l(A_2 u_1 + b_2),      (t, h) = p^T(A_3 u_2) + b_3,
    y_2 = (x_2 + t) e^r,      r = 2 tanh(h / 2),

with l a leaky ReLU. p lays the 3 x 3 neighbours of each pixel below one another (9 c rows, a column a pixel),
so that a convolution *of* few channels is one product of matrices; its transpose p^T adds nine rows up where
they overlap, so that one *to* few channels is a product too. With A_3 flipped in both directions p^T A_3 is
the usual convolution. What differs from calling convolutions, activations and scales one by one is the time:
on maps of 4 x 4 to 16 x 16 pixels a library of convolutions reaches a third of the speed of products, and
automatic differentiation passes over a dozen small operations.

All tensors are (channels, rows, columns, images), images innermost: a shift of rows or columns then moves
long runs of numbers, and half of the channels are a block.

Each row of A_i, and its bias, is a weight times a learnt gain e^g.
"""

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["Convolutions", "Couplings", "Network", "couple", "uncouple"]

_SLOPE = 0.1  # of units below 0; with the ReLU published, and Muon at 0.02, whole couplings fell silent


def _patches(x: Tensor) -> Tensor:
    """p: of x (C, H, W, B) the 3 x 3 neighbours of each pixel, 0 outside, (9 C, H W B)."""
    c, h, w, b = x.shape
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    channel, row, column, image = padded.stride()
    shifted = padded.as_strided((c, 3, 3, h, w, b), (channel, row, column, row, column, image))
    return shifted.reshape(9 * c, -1)


def _overlaid(rows: Tensor, shape: torch.Size) -> Tensor:
    """p^T: (9 C, H W B) to (C, H, W, B); `rows` is used up."""
    rows = rows.view(-1, 3, 3, *shape[1:])
    middle = rows[:, :, 1]
    middle[..., 1:, :] += rows[:, :, 2, ..., :-1, :]
    middle[..., :-1, :] += rows[:, :, 0, ..., 1:, :]
    total = middle[:, 1]
    total[:, 1:] += middle[:, 2, :-1]
    total[:, :-1] += middle[:, 0, 1:]
    return total


class _Patches(Function):
    """p, for automatic differentiation."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return _patches(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, rows: Tensor) -> Tensor:
        return _overlaid(rows.clone(), ctx.shape)


class Convolutions(nn.Module):
    """The K convolutions of as many couplings, stacked, whose output channels have learnt gains e^g.

    With gains they learn sooner than without. Those that `start_at_zero` give zeros until they have learnt,
    and g counts three times, as published.
    """

    def __init__(self, steps: int, channels_in: int, channels_out: int, side: int = 3, start_at_zero=False):
        super().__init__()
        self.factor = 3 if start_at_zero else 1
        bound = 0 if start_at_zero else (channels_in * side**2) ** -0.5
        self.weight = nn.Parameter(torch.empty(steps, channels_out, channels_in, side, side))
        self.bias = nn.Parameter(torch.empty(steps, channels_out, 1))
        self.log_gain = nn.Parameter(torch.zeros(steps, channels_out, 1))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -bound, bound)

    def matrices(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """For rows of `patches`: weights (K, out, in k k) and biases (K, out, 1) times their gains."""
        gain = (self.factor * self.log_gain).exp()
        return (self.weight.flatten(2) * gain).to(dtype), (self.bias * gain).to(dtype)

    def overlaid_matrices(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """For rows to be overlaid: weights (K, out 9, in) and biases (K, out, 1) times their gains."""
        gain = (self.factor * self.log_gain).exp()
        weight = self.weight.flip(3, 4).permute(0, 1, 3, 4, 2) * gain[..., None, None]
        return weight.flatten(1, 3).to(dtype), self.bias * gain

    def forward(self, x: Tensor) -> Tensor:
        """The first of them, of 3 x 3 pixels: (C_in, H, W, B) to (C_out, H, W, B)."""
        (matrix,), (bias,) = self.matrices()
        return torch.addmm(bias, matrix, _Patches.apply(x)).view(-1, *x.shape[1:])


Network = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]  # A_1, b_1, A_2, b_2, A_3, b_3


def _said(kept: Tensor, network: Network) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Shift t and tanh(h / 2), of the shape of x_1 = `kept`, with p(x_1), u_1 and u_2."""
    a1, b1, a2, b2, a3, b3 = network
    patches = _patches(kept.to(a1.dtype))
    u1 = F.leaky_relu_(torch.addmm(b1, a1, patches), _SLOPE)
    u2 = F.leaky_relu_(torch.addmm(b2, a2, u1), _SLOPE)
    shift, raw = (_overlaid((a3 @ u2).to(kept.dtype), kept.shape) + b3[..., None, None]).chunk(2)
    return shift, (raw / 2).tanh(), patches, u1, u2


class _Couple(Function):
    """y and the log-determinants (B,) of x, with the derivatives of both."""

    @staticmethod
    def forward(ctx, x: Tensor, *network: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = x.chunk(2)
        shift, tanh, *within = _said(kept, network)
        scale = (2 * tanh).exp()
        y = torch.cat([kept, (moved + shift).mul_(scale)])
        ctx.save_for_backward(*network[::2], *within, tanh, scale, y)
        return y, 2 * tanh.sum((0, 1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx, of_y: Tensor, of_log_det: Tensor) -> tuple[Tensor, ...]:
        a1, a2, a3, patches, u1, u2, tanh, scale, y = ctx.saved_tensors
        of_kept, of_moved = of_y.chunk(2)
        said = torch.empty_like(of_y)
        of_shift, of_raw = said.chunk(2)
        torch.mul(of_moved, scale, out=of_shift)
        torch.addcmul(of_log_det, of_moved, y.chunk(2)[1], out=of_raw)  # dy_2 / dr = y_2
        of_raw.addcmul_(of_raw, tanh.square(), value=-1)  # dr / dh = 1 - tanh^2

        of_rows = _patches(said.to(a3.dtype))
        of_u2 = _through_leak(a3.T @ of_rows, u2)
        of_u1 = _through_leak(a2.T @ of_u2, u1)
        of_x1 = _overlaid((a1.T @ of_u1).to(of_y.dtype), of_kept.shape)
        return (
            torch.cat([of_kept + of_x1, of_shift]),
            *(of_u1 @ patches.T, of_u1.sum(1, True)),
            *(of_u2 @ u1.T, of_u2.sum(1, True)),
            *(of_rows @ u2.T, said.sum((1, 2, 3))[:, None]),
        )


def _through_leak(of_u: Tensor, u: Tensor) -> Tensor:
    """The derivative by what the leaky ReLU was given, from that by its result u; in place."""
    return torch.ops.aten.leaky_relu_backward.grad_input(of_u, u, _SLOPE, True, grad_input=of_u)


def couple(x: Tensor, network: Network) -> tuple[Tensor, Tensor]:
    """The y of x, both (C, H, W, B), and the log-determinants (B,); the network is one of `networks`."""
    return _Couple.apply(x, *network)


def uncouple(y: Tensor, network: Network) -> Tensor:
    """The x of y, both (C, H, W, B)."""
    kept, moved = y.chunk(2)
    shift, tanh, *_ = _said(kept, network)
    return torch.cat([kept, moved * (-2 * tanh).exp() - shift])


class Couplings(nn.Module):
    """K affine couplings.

    Args:
        steps: K.
        channels: Channels of x.
        width: Hidden channels.
    """

    def __init__(self, steps: int, channels: int, width: int):
        super().__init__()
        self.first = Convolutions(steps, channels // 2, width)
        self.hidden = Convolutions(steps, width, width, side=1)
        self.last = Convolutions(steps, width, channels, start_at_zero=True)

    def networks(self, dtype: torch.dtype | None = None) -> list[Network]:
        """What `couple` and `uncouple` need, for each step.

        Args:
            dtype: What the matrices are multiplied in, that of the weights by default; the rest stays.
        """
        dtype = dtype or self.first.weight.dtype
        stacks = (
            *self.first.matrices(dtype),
            *self.hidden.matrices(dtype),
            *self.last.overlaid_matrices(dtype),
        )
        return list(zip(*(stack.unbind() for stack in stacks), strict=True))
