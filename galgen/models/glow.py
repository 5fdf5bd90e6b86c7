r"""Glow: an invertible network with an exact density of images.

With z = f(x) invertible and z normal, the density of x is that of z times the change of volume (Eqs. 10-11),

    log p(x) = log N(f(x); 0, 1) + log |det df/dx|,

so the network is trained by maximum likelihood, and an image is sampled as x = f^-1(z). The map is a chain of
layers with inexpensive determinants. Level l = 0 .. L-1 folds 2x2 pixels into channels ("squeeze") and
applies K steps of two layers:

    y = W e^s (x + b)                    actnorm (s, b: one number per channel) and the invertible 1x1
                                         convolution, together one matrix: log det = h w (sum s + log |det W|)
    y_2 = (x_2 + t(x_1)) e^r(x_1)        affine coupling, Eqs. (14), (15): half of the channels shift and
                                         scale the others (`galgen.models.coupling`); log det = sum r

W = P L U with a fixed permutation P, unit lower triangular L, and U with diagonal d, of fixed signs and
learned log |d|; log |det W| = sum log |d|. All steps of a level have the same shape, and their weights are
stacked: functions of the weights alone are computed for all steps at once.

r = 2 tanh(h / 2), with h the output of the coupling's network, stays within +-2: the logistic scale of the
published code approaches 0, and the inverse, which divides by it, overflows. After its steps a level splits
off half of the channels as its latents and passes on the rest; the last level splits off all. Latents are
normal with a mean and standard deviation predicted from the channels passed on, the logarithm of the standard
deviation bounded like r (at the last level both are learned constants, unbounded), and `encode` returns them
standardized, so that z ~ N(0, 1) at every level.

The data are in [-1/2, 1/2), but samples need not be. So before all levels, with k = 32,

    |y| = |x| - o + (e^(k o) - 1) / k,    o = max(0, |x| - 1/2);    log det = sum k o,

which does not change the data: samples beyond their range grow only logarithmically.

An image has integer pixels, of which the upper `bits` are used; x = (integer + u) / 2^bits - 1/2 with u
uniform in [0, 1) has a density, and bounds the probability P of the integers (Theis et al. 2016):

    -log2 P <= E_u[-log2 p(x)] + bits * dimensions.

References:
    Dinh et al. 2017, Density estimation using Real NVP, https://arxiv.org/abs/1605.08803. Kingma & Dhariwal
    2018, Glow: Generative flow with invertible 1x1 convolutions, https://arxiv.org/abs/1807.03039. Theis et
    al. 2016, A note on the evaluation of generative models, https://arxiv.org/abs/1511.01844.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from galgen.models.coupling import (
    AffineCouplings,
    Convolutions,
    Network,
    affine_coupling,
    inverse_affine_coupling,
)
from galgen.runs.errors import GalgenError

__all__ = ["ActNormInvertibleConv1x1", "Glow", "inverse_conv1x1", "invertible_conv1x1", "squeeze"]

_INWARD, _OUTWARD = (1, 2, 3, 0), (3, 0, 1, 2)  # (B, C, H, W) to (C, H, W, B), and back
_K = 32.0  # maps 3e5 to 1 when sampling


def _bounded(raw: Tensor) -> Tensor:
    """Return the logarithm of a scale, bounded to +-2."""
    return 2 * (raw / 2).tanh()


def _expand_tails(x: Tensor) -> tuple[Tensor, Tensor]:
    """Map x (C, H, W, B) to y, with log-determinants (B,)."""
    beyond = (x.abs() - 0.5).clamp_min(0)
    return x + x.sign() * (torch.expm1(_K * beyond) / _K - beyond), _K * beyond.sum((0, 1, 2))


def _compress_tails(y: Tensor) -> Tensor:
    """Invert `_expand_tails`."""
    beyond = (y.abs() - 0.5).clamp_min(0)
    return y + y.sign() * (torch.log1p(_K * beyond) / _K - beyond)


def invertible_conv1x1(x: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """Return W e^s (x + b) for the channels of each pixel of x (C, H, W, B), given `matrix` W e^s."""
    return torch.addmm(matrix @ bias, matrix, x.flatten(1)).view_as(x)


def inverse_conv1x1(y: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """Invert `invertible_conv1x1`: map y to x, both (C, H, W, B)."""
    # inverse in float64: the error of this small matrix would affect every pixel
    return torch.addmm(-bias, torch.linalg.inv(matrix.double()).to(y.dtype), y.flatten(1)).view_as(y)


class ActNormInvertibleConv1x1(nn.Module):
    """Actnorm and invertible 1x1 convolution as one matrix, for K steps.

    Args:
        steps: K.
        channels: Channels C of x.
    """

    def __init__(self, steps: int, channels: int):
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(steps, channels, channels)).Q
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal(dim1=1, dim2=2)
        self.register_buffer("rows", permutation.argmax(2, keepdim=True))
        self.register_buffer("signs", diagonal.sign())
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.triangles = nn.Parameter(lower.tril(-1) + upper.triu(1))
        self.log_scale = nn.Parameter(torch.zeros(steps, 1, channels))
        self.bias = nn.Parameter(torch.zeros(steps, channels, 1))

    def initialize(self, step: int, x: Tensor) -> None:
        """Initialize the actnorm of a step: mean 0 and standard deviation 1 per channel of x (C, H, W, B)."""
        deviation, mean = torch.std_mean(x, (1, 2, 3), correction=0)
        self.bias[step, :, 0] = -mean
        self.log_scale[step, 0] = -(deviation + 1e-6).log()

    def matrices(self) -> Tensor:
        """Return W e^s of all steps, (K, C, C)."""
        lower = self.triangles.tril(-1) + torch.eye(self.triangles.shape[-1]).to(self.triangles)
        upper = self.triangles.triu(1) + (self.signs * self.log_diagonal.exp()).diag_embed()
        return (lower @ upper).gather(1, self.rows.expand_as(upper)) * self.log_scale.exp()

    def log_det(self) -> Tensor:
        """Return the sum of s and log |det W| over all steps, ()."""
        return self.log_scale.sum() + self.log_diagonal.sum()


def squeeze(x: Tensor) -> Tensor:
    """Fold 2 x 2 pixels into channels: (C, H, W, B) to (4C, H/2, W/2, B)."""
    c, h, w, b = x.shape
    return x.view(c, h // 2, 2, w // 2, 2, b).permute(0, 2, 4, 1, 3, 5).reshape(4 * c, h // 2, w // 2, b)


def unsqueeze(x: Tensor) -> Tensor:
    """Invert `squeeze`: unfold (4C, H, W, B) to (C, 2H, 2W, B)."""
    c, h, w, b = x.shape
    return x.view(c // 4, 2, 2, h, w, b).permute(0, 3, 1, 4, 2, 5).reshape(c // 4, 2 * h, 2 * w, b)


class Level(nn.Module):
    """One level of Glow: squeeze, K steps, and a split except at the last level.

    Args:
        channels: Channels of the input, a quarter of those after the squeeze.
        steps: K.
        width: Number of hidden channels of the couplings.
        last: Whether all channels become latents.
    """

    def __init__(self, channels: int, steps: int, width: int, last: bool):
        super().__init__()
        self.last = last
        inside = 4 * channels
        self.mixes, self.couplings = (
            ActNormInvertibleConv1x1(steps, inside),
            AffineCouplings(steps, inside, width),
        )
        if last:
            self.prior = nn.Parameter(torch.zeros(2 * inside, 1, 1))
        else:
            self.prior = Convolutions(1, inside // 2, inside, start_at_zero=True)

    def layers(self, dtype: torch.dtype | None = None) -> list[tuple[Tensor, Tensor, Network]]:
        """Return W e^s, b and the network of the affine coupling of each step."""
        networks = self.couplings.networks(dtype)
        return list(zip(self.mixes.matrices(), self.mixes.bias, networks, strict=True))

    def initialize(self, x: Tensor) -> Tensor:
        """Initialize the actnorms from x (C, H, W, B), in sequence; return the channels passed on."""
        x = squeeze(x)
        for step in range(len(self.mixes.bias)):
            self.mixes.initialize(step, x)
            matrix, bias, network = self.layers()[step]
            x, _ = affine_coupling(invertible_conv1x1(x, matrix, bias), network)
        return x.chunk(2)[0]

    def forward(self, x: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the channels passed on (2C, H/2, W/2, B), standardized latents, and log-density (B,).

        Args:
            x: (C, H, W, B).
            dtype: Data type of the convolutions of the couplings.
        """
        x = squeeze(x)
        total = x.shape[1] * x.shape[2] * self.mixes.log_det()
        for matrix, bias, network in self.layers(dtype):
            x, log_det = affine_coupling(invertible_conv1x1(x, matrix, bias), network)
            total = total + log_det
        rest, z = (x[:0], x) if self.last else x.chunk(2)
        mean, log_deviation = self.split_prior(rest)
        z = (z - mean) * (-log_deviation).exp()
        normal = -0.5 * (z.square() + math.log(2 * math.pi)) - log_deviation
        return rest, z, total + normal.sum((0, 1, 2))

    def inverse(self, rest: Tensor, z: Tensor) -> Tensor:
        """Reconstruct x (C, H, W, B) from the channels passed on and the latents."""
        mean, log_deviation = self.split_prior(rest)
        x = torch.cat([rest, z * log_deviation.exp() + mean])
        for matrix, bias, network in reversed(self.layers()):
            x = inverse_conv1x1(inverse_affine_coupling(x, network), matrix, bias)
        return unsqueeze(x)

    def split_prior(self, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log standard deviation of the latents, given the channels passed on."""
        if self.last:
            return self.prior[..., None].chunk(2)
        mean, raw = self.prior(rest).chunk(2)
        return mean, _bounded(raw)


class Glow(nn.Module):
    """The flow; 44.1 million parameters at the paper's size 64, channels 3, steps 32 and width 512.

    Internally tensors are (C, H, W, B): see `galgen.models.coupling`.

    Args:
        size: Side of the images in pixels, a multiple of 2^levels.
        channels: Copies of the gray image in the input: 3 gives the shapes of the paper's latents.
        steps: Steps K of level 0.
        levels: Number of levels L.
        deepening: Additional steps per further level.
        width: Number of hidden channels of the couplings.
        bits: Bits per pixel that are modeled, of 8.

    Attributes:
        latent_shapes: (c, h, w) of the latents of each level; level 0 is split off first and is the finest.

    Raises:
        GalgenError: If the sizes are incompatible.
    """

    def __init__(
        self,
        *,
        size: int = 32,
        channels: int = 1,
        steps: int = 4,
        levels: int = 3,
        deepening: int = 0,
        width: int = 64,
        bits: int = 5,
    ):
        super().__init__()
        if levels < 1 or size % 2**levels or not 1 <= bits <= 8:
            raise GalgenError(
                f"Glow cannot have {levels} levels and {bits} bits for images of {size} x {size} pixels: "
                f"{levels} squeezes need a multiple of {2**levels}, and pixels have 1 to 8 bits"
            )
        self.size, self.channels, self.bits = size, channels, bits
        last = levels - 1
        self.levels = nn.ModuleList(
            Level(channels * 2**k, steps + deepening * k, width, k == last) for k in range(levels)
        )
        sides = [size // 2 ** (k + 1) for k in range(levels)]
        self.latent_shapes = [(channels * 2 ** (k + 1 + (k == last)), s, s) for k, s in enumerate(sides)]
        self.register_buffer("initialized", torch.tensor(False))

    def to(self, *where, memory_format: torch.memory_format | None = None, **given) -> "Glow":
        """Move the module like any other; `memory_format` is ignored, as the weights are not images."""
        return super().to(*where, **given)

    def dequantize(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Dequantize 8-bit images (B, 1, H, W) in [0, 1] to x (B, channels, H, W) in [-1/2, 1/2).

        The integer pixel v in 0 .. 255 becomes floor(v / 2^(8 - bits)); each channel has its own noise.
        """
        integers = (images * 255).round().div(2 ** (8 - self.bits), rounding_mode="floor")
        shape = (len(images), self.channels, *images.shape[2:])
        u = torch.rand(shape, generator=generator, device=images.device, dtype=images.dtype)
        # float32 would round an integer and a u nearer to 1 to the next integer
        return (integers + u.clamp_(max=1 - 2**-16)) / 2**self.bits - 0.5

    def image(self, x: Tensor) -> Tensor:
        """Quantize x (B, channels, H, W) to images (B, 1, H, W) in [0, 1], at the center of each bin."""
        q = ((x.mean(1, keepdim=True) + 0.5) * 2**self.bits).floor().clamp(0, 2**self.bits - 1)
        integers = 2 ** (8 - self.bits)
        return (q * integers + (integers - 1) / 2) / 255

    @torch.no_grad()
    def initialize(self, images: Tensor, generator: torch.Generator) -> None:
        """Initialize every actnorm, so that it standardizes the channels of images (B, 1, H, W).

        Raises:
            GalgenError: If the flow is already initialized.
        """
        if self.initialized:
            raise GalgenError("this Glow is already initialized; create a new one to start again")
        x = self.dequantize(images, generator).permute(_INWARD).contiguous()
        for level in self.levels:
            x = level.initialize(x)
        self.initialized.fill_(True)

    def require_initialized(self) -> None:
        """Raise a GalgenError if the flow is not initialized."""
        if not self.initialized:
            raise GalgenError("this Glow is not initialized; call initialize(images, generator)")

    def forward(self, x: Tensor, dtype: torch.dtype | None = None) -> tuple[list[Tensor], Tensor]:
        """Run `encode` without its check; `dtype` is the data type of the convolutions of the couplings."""
        zs, (x, total) = [], _expand_tails(x.permute(_INWARD).contiguous())
        for level in self.levels:
            x, z, log_density = level(x, dtype)
            zs.append(z.permute(_OUTWARD))
            total = total + log_density
        return zs, total

    def encode(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return latents and log-density of x; the inverse of `decode`.

        Args:
            x: (B, channels, H, W), as returned by `dequantize`.

        Returns:
            The standardized latents `(B, *latent_shapes[level])` of each level, and log p(x) in nats, (B,).

        Raises:
            GalgenError: If the flow is not initialized.
        """
        self.require_initialized()
        return self(x)

    def decode(self, latents: Sequence[Tensor]) -> Tensor:
        """Map standardized latents `(B, *latent_shapes[level])` of each level to x (B, channels, H, W)."""
        self.require_initialized()
        latents = [z.permute(_INWARD) for z in latents]
        x = latents[-1][:0]
        for level, z in zip(reversed(self.levels), reversed(latents), strict=True):
            x = level.inverse(x, z)
        return _compress_tails(x).permute(_OUTWARD)

    def bits_per_dim(self, log_likelihood: Tensor) -> Tensor:
        """Return the bound in bits per dimension, bits - log2 p(x) / dimensions, given log p(x) in nats."""
        return self.bits - log_likelihood / (math.log(2) * self.channels * self.size**2)
