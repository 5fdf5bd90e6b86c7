r"""Bias-free U-Net f of both denoisers, which predicts the noise of an image.

f has no additive constants (Mohan et al. 2020): convolutions have no bias, and the norm only divides by the
running root mean square of each channel. So f(a y) = a f(y) for a > 0 in evaluation mode, and one network
serves all noise levels. The root mean square replaces the standard deviation of the reference, which saves
one pass over memory.

References:
    Mohan et al. 2020, Robust and interpretable blind image denoising via bias-free convolutional neural
    networks, https://openreview.net/forum?id=HJlSmC4FPS. Ronneberger et al. 2015, U-Net,
    https://arxiv.org/abs/1505.04597. Kadkhodaie et al. 2024, Generalization in diffusion models arises from
    geometry-adaptive harmonic representations, https://openreview.net/forum?id=ANvmVS2Yr0.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from galgen.runs.errors import GalgenError

__all__ = ["BiasFreeNormReLU", "UNet"]


class _NormReLU(torch.autograd.Function):
    """relu(g x / r) with r a root mean square, in one backward pass instead of four.

    The gain g is one number per channel, (C,), or one per channel and image, (B, C).
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, gain: Tensor, inverse: Tensor, of_batch: bool) -> Tensor:
        y = (x * (gain * inverse).to(x.dtype)[..., None, None]).relu_()
        ctx.save_for_backward(x, y, gain, inverse)
        ctx.of_batch = of_batch
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dy: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, y, gain, inverse = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(dy, y, 0)
        d_gain = (passed * x).sum((2, 3) if gain.ndim == 2 else (0, 2, 3), dtype=gain.dtype) * inverse
        scale = gain * inverse
        dx = passed.mul_(scale.to(x.dtype)[..., None, None])
        if ctx.of_batch:  # r depends on every x: d(1/r)/dx = -x / (n r^3), with n pixels in the batch
            through_r = (d_gain * scale).reshape(-1, x.shape[1]).sum(0) * inverse * (-x.shape[1] / x.numel())
            dx.addcmul_(x, through_r.to(x.dtype)[:, None, None])
        return dx, d_gain, None, None


class BiasFreeNormReLU(nn.Module):
    """Divide each channel by its root mean square, multiply by a learned gain, rectify.

    Args:
        channels: C.
        statistics: Root mean square used in training: that of the batch, or the running one, which is always
            used in evaluation. With batch statistics a bright image raises its own divisor, and the network
            learns to compensate; in evaluation the divisor is fixed, and the image becomes too bright.
        conditions: Number of condition values per image, on which the gain depends linearly.
        momentum: Weight of a batch in the running mean square. With running statistics in training, the first
            batches have a larger one, 10 / (10 + t) after t batches, and the mean soon covers many: over ten
            batches it would be 1 or 2 % off in each layer, as bright galaxies are rare, and the network 10 %.
        epsilon: Added to the mean square.
    """

    def __init__(
        self,
        channels: int,
        statistics: Literal["batch", "running"] = "batch",
        conditions: int = 0,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
    ):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        if conditions:
            self.gain_slopes = nn.Parameter(torch.zeros(conditions, channels))
        self.register_buffer("mean_square", torch.ones(channels))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.of_batch = statistics == "batch"
        self.momentum = momentum
        self.epsilon = epsilon

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map (B, C, H, W) to the same shape, given the condition values of each image, (B, conditions).

        In training the running mean square is updated.
        """
        mean_square = self.mean_square
        if self.training:
            batch_mean_square = x.detach().square().mean((0, 2, 3), dtype=mean_square.dtype)
            weight = self.momentum
            if not self.of_batch:
                weight = (10 / (10 + self.batches)).clamp_min(weight).to(batch_mean_square.dtype)
            mean_square.lerp_(batch_mean_square, weight)
            self.batches += 1
            mean_square = batch_mean_square if self.of_batch else mean_square
        gain = self.gain
        if condition is not None:  # no matrix product, which autocast would round
            gain = gain + (condition[:, :, None] * self.gain_slopes).sum(1)
        inverse = (mean_square + self.epsilon).rsqrt()
        if self.training:
            return _NormReLU.apply(x, gain, inverse, self.of_batch)
        return (x * (gain * inverse).to(x.dtype)[..., None, None]).relu()


class _Block(nn.Sequential):
    """Sequence of layers, with the condition passed to the norms."""

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        for layer in self:
            x = layer(x, condition) if isinstance(layer, BiasFreeNormReLU) else layer(x)
        return x


class UNet(nn.Module):
    """The bias-free, noise-blind U-Net; 7.66 million parameters at the paper's 64 base channels and 3 blocks.

    Args:
        base_channels: Channels at full resolution; they double with each block.
        blocks: Average poolings on the way down, and transposed convolutions on the way up.
        channels: Channels of the images, 1 or 3.
        statistics: Statistics of the norms in training: those of the batch, as in the paper, or running ones.
        extra: Additional input channels, 0 in a blind network (see `galgen.models.conditional`).
        conditions: Number of values per image on which the gains depend, 0 in a blind network.
    """

    def __init__(
        self,
        base_channels: int = 64,
        blocks: int = 3,
        channels: int = 1,
        statistics: Literal["batch", "running"] = "batch",
        *,
        extra: int = 0,
        conditions: int = 0,
    ):
        super().__init__()

        momentum = 0.1 if statistics == "batch" else 0.005

        def layer(channels_in: int, channels_out: int) -> list[nn.Module]:
            convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
            return [convolution, BiasFreeNormReLU(channels_out, statistics, conditions, momentum)]

        width = [base_channels * 2**level for level in range(blocks + 1)]
        first = nn.Conv2d(channels + extra, base_channels, 3, padding=1, bias=False)
        layers = layer(base_channels, base_channels)
        self.down = nn.ModuleList([_Block(first, nn.ReLU(inplace=True), *layers)])
        for a, b in pairwise(width):
            self.down.append(_Block(*layer(a, b), *layer(b, b)))
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        for a, b in zip(width[:0:-1], width[-2::-1], strict=True):
            self.up.append(nn.ConvTranspose2d(a, b, 2, stride=2, bias=False))
            last = [nn.Conv2d(b, channels, 3, padding=1, bias=False)] if b == base_channels else layer(b, b)
            self.merge.append(_Block(*layer(2 * b, b), *last))

    def forward(self, y: Tensor, condition: Tensor | None = None) -> Tensor:
        """Predict the noise (B, C, H, W) in y (B, C + extra, H, W), H and W multiples of 2^blocks.

        `condition` (B, conditions) contains the values of each image that the norms depend on.
        """
        period = 2 ** len(self.up)
        if y.shape[-1] % period or y.shape[-2] % period:
            raise GalgenError(
                f"images of {y.shape[-2]} x {y.shape[-1]} pixels: {len(self.up)} poolings need multiples of "
                f"{period}; crop or resize"
            )
        features = [self.down[0](y, condition)]
        for block in self.down[1:]:
            features.append(block(F.avg_pool2d(features[-1], 2), condition))
        x = features.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([features.pop(), up(x)], 1), condition)
        return x
