r"""Affine coupling of `galgen.models.glow`, written as matrix products with explicit derivatives.

The first half x_1 of the channels shifts and scales the second by the output of three convolutions,

    u_1 = l(A_1 p(x_1) + b_1),      u_2 = l(A_2 u_1 + b_2),      (t, h) = p^T(A_3 u_2) + b_3,
    y_2 = (x_2 + t) e^r,      r = 2 tanh(h / 2),

with l a leaky ReLU. p stacks the 3 x 3 neighborhood of each pixel (9 c rows, one column per pixel), so that a
convolution *from* few channels is one matrix product; its transpose p^T adds the nine rows where they
overlap, so that one *to* few channels is a matrix product too. With A_3 flipped in both directions p^T A_3 is
the usual convolution. The reason is speed: on maps of 4 x 4 to 16 x 16 pixels, library convolutions reach a
third of the speed of matrix products, and automatic differentiation runs through a dozen small operations.

All tensors are (channels, rows, columns, images), images innermost: a shift of rows or columns then moves
contiguous blocks of memory, and half of the channels are one block.

Each row of A_i, and its bias, is a weight times a learned gain e^g.
"""

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["AffineCouplings", "Convolutions", "Network", "affine_coupling", "inverse_affine_coupling"]

_SLOPE = 0.1  # for negative inputs; with ReLU as published, and Muon at 0.02, whole couplings died


def _patches(x: Tensor) -> Tensor:
    """Apply p to x (C, H, W, B): the 3 x 3 neighborhood of each pixel, padded with 0, (9 C, H W B)."""
    c, h, w, b = x.shape
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    channel, row, column, image = padded.stride()
    shifted = padded.as_strided((c, 3, 3, h, w, b), (channel, row, column, row, column, image))
    return shifted.reshape(9 * c, -1)


def _overlaid(rows: Tensor, shape: torch.Size) -> Tensor:
    """Apply p^T, from (9 C, H W B) to (C, H, W, B); overwrites `rows`."""
    rows = rows.view(-1, 3, 3, *shape[1:])
    middle = rows[:, :, 1]
    middle[..., 1:, :] += rows[:, :, 2, ..., :-1, :]
    middle[..., :-1, :] += rows[:, :, 0, ..., 1:, :]
    total = middle[:, 1]
    total[:, 1:] += middle[:, 2, :-1]
    total[:, :-1] += middle[:, 0, 1:]
    return total


class _Patches(Function):
    """p with its derivative, for automatic differentiation."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return _patches(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, rows: Tensor) -> Tensor:
        return _overlaid(rows.clone(), ctx.shape)


class Convolutions(nn.Module):
    """Stacked convolutions of K couplings, whose output channels have learned gains e^g.

    The gains speed up learning. With `start_at_zero` the outputs are initially 0, and g is multiplied by 3,
    as published.
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
        """Return weights (K, out, in k k) and biases (K, out, 1) times their gains, to multiply p(x)."""
        gain = (self.factor * self.log_gain).exp()
        return (self.weight.flatten(2) * gain).to(dtype), (self.bias * gain).to(dtype)

    def overlaid_matrices(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """Return weights (K, out 9, in) and biases (K, out, 1) times their gains, to precede p^T."""
        gain = (self.factor * self.log_gain).exp()
        weight = self.weight.flip(3, 4).permute(0, 1, 3, 4, 2) * gain[..., None, None]
        return weight.flatten(1, 3).to(dtype), self.bias * gain

    def forward(self, x: Tensor) -> Tensor:
        """Apply the first 3 x 3 convolution: (C_in, H, W, B) to (C_out, H, W, B)."""
        (matrix,), (bias,) = self.matrices()
        return torch.addmm(bias, matrix, _Patches.apply(x)).view(-1, *x.shape[1:])


Network = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]  # A_1, b_1, A_2, b_2, A_3, b_3


def _evaluated(x1: Tensor, network: Network) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Evaluate the coupling network: shift t, tanh(h / 2), patches of x_1, hidden activations u_1, u_2."""
    a1, b1, a2, b2, a3, b3 = network
    patches = _patches(x1.to(a1.dtype))
    u1 = F.leaky_relu_(torch.addmm(b1, a1, patches), _SLOPE)
    u2 = F.leaky_relu_(torch.addmm(b2, a2, u1), _SLOPE)
    shift, raw = (_overlaid((a3 @ u2).to(x1.dtype), x1.shape) + b3[..., None, None]).chunk(2)
    return shift, (raw / 2).tanh(), patches, u1, u2


class _AffineCoupling(Function):
    """Output y and log-determinants (B,) of the coupling, with the derivatives of both."""

    @staticmethod
    def forward(ctx, x: Tensor, *network: Tensor) -> tuple[Tensor, Tensor]:
        x1, x2 = x.chunk(2)
        shift, tanh, *hidden = _evaluated(x1, network)
        scale = (2 * tanh).exp()
        y = torch.cat([x1, (x2 + shift).mul_(scale)])
        ctx.save_for_backward(*network[::2], *hidden, tanh, scale, y)
        return y, 2 * tanh.sum((0, 1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx, d_y: Tensor, d_log_det: Tensor) -> tuple[Tensor, ...]:
        a1, a2, a3, patches, u1, u2, tanh, scale, y = ctx.saved_tensors
        d_y1, d_y2 = d_y.chunk(2)
        d_output = torch.empty_like(d_y)
        d_shift, d_raw = d_output.chunk(2)
        torch.mul(d_y2, scale, out=d_shift)
        torch.addcmul(d_log_det, d_y2, y.chunk(2)[1], out=d_raw)  # dy_2 / dr = y_2
        d_raw.addcmul_(d_raw, tanh.square(), value=-1)  # dr / dh = 1 - tanh^2

        d_rows = _patches(d_output.to(a3.dtype))
        d_u2 = _leak_gradient(a3.T @ d_rows, u2)
        d_u1 = _leak_gradient(a2.T @ d_u2, u1)
        d_x1 = _overlaid((a1.T @ d_u1).to(d_y.dtype), d_y1.shape)
        return (
            torch.cat([d_y1 + d_x1, d_shift]),
            *(d_u1 @ patches.T, d_u1.sum(1, True)),
            *(d_u2 @ u1.T, d_u2.sum(1, True)),
            *(d_rows @ u2.T, d_output.sum((1, 2, 3))[:, None]),
        )


def _leak_gradient(d_u: Tensor, u: Tensor) -> Tensor:
    """Turn the gradient by the output u of the leaky ReLU into that by its input, in place."""
    return torch.ops.aten.leaky_relu_backward.grad_input(d_u, u, _SLOPE, True, grad_input=d_u)


def affine_coupling(x: Tensor, network: Network) -> tuple[Tensor, Tensor]:
    """Map x to y, both (C, H, W, B), with log-determinants (B,); the network is one of `networks`."""
    return _AffineCoupling.apply(x, *network)


def inverse_affine_coupling(y: Tensor, network: Network) -> Tensor:
    """Invert `affine_coupling`: map y to x, both (C, H, W, B)."""
    y1, y2 = y.chunk(2)
    shift, tanh, *_ = _evaluated(y1, network)
    return torch.cat([y1, y2 * (-2 * tanh).exp() - shift])


class AffineCouplings(nn.Module):
    """Parameters of K affine couplings.

    Args:
        steps: K.
        channels: Channels of x.
        width: Number of hidden channels.
    """

    def __init__(self, steps: int, channels: int, width: int):
        super().__init__()
        self.first = Convolutions(steps, channels // 2, width)
        self.hidden = Convolutions(steps, width, width, side=1)
        self.last = Convolutions(steps, width, channels, start_at_zero=True)

    def networks(self, dtype: torch.dtype | None = None) -> list[Network]:
        """Return matrices and biases for `affine_coupling` and its inverse, one tuple per step.

        Args:
            dtype: Data type of the matrix products, by default that of the weights; the rest is unchanged.
        """
        dtype = dtype or self.first.weight.dtype
        stacks = (
            *self.first.matrices(dtype),
            *self.hidden.matrices(dtype),
            *self.last.overlaid_matrices(dtype),
        )
        return list(zip(*(stack.unbind() for stack in stacks), strict=True))
