r"""Glow: an invertible network, whose density of an image is known exactly.

With z = f(x) invertible and z normal, the density of x is that of z times the change of volume (Eqs. 10-11),

    log p(x) = log N(f(x); 0, 1) + log |det df/dx|,

so the network is trained by maximum likelihood, and an image is drawn by x = f^-1(z). The map is a chain of
layers whose determinants are cheap. Level l = 0 .. L-1 folds 2x2 pixels into channels ("squeeze") and makes
K steps, each of two layers:

    y = W e^s (x + b)                    actnorm (s, b: one number a channel) and the invertible 1x1
                                         convolution, together one matrix: log det = h w (sum s + log |det W|)
    y_2 = (x_2 + t(x_1)) e^r(x_1)        affine coupling, Eqs. (14), (15): half of the channels shifts and
                                         scales the other (`galgen.models.coupling`); log det = sum r

W = P L U with a fixed permutation P, unit lower triangular L, and U with diagonal d, of fixed signs and
learnt log |d|; log |det W| = sum log |d|. All steps of a level are of one shape, and their weights are
stacked: what is computed of weights alone is computed for all of them at once.

r = 2 tanh(h / 2), with h what the coupling's network says, stays within +-2: the logistic scale of the
published code comes near 0, and the inverse, which divides by it, overflows. After its steps a level splits
off half of the channels as its latents and hands on the rest; the last keeps all. Latents are normal with a
mean and deviation that the channels handed on predict, the logarithm of the deviation bounded as r is (at the
last level both are learnt constants, unbounded), and `encode` returns them standardised, so that z ~ N(0, 1)
at every level.

The data lie in [-1/2, 1/2), but nothing keeps what is drawn there. So before all levels, with k = 32,

    |y| = |x| - o + (e^(k o) - 1) / k,    o = max(0, |x| - 1/2);    log det = sum k o,

which leaves data as they are: what would lie far beyond their range grows with its logarithm only.

An image has integer pixels, of which the upper `bits` are kept; x = (integer + u) / 2^bits - 1/2 with u
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

from galgen.models.coupling import Convolutions, Couplings, Network, couple, uncouple
from galgen.runs.errors import GalgenError

__all__ = ["Glow", "Mixes", "mix", "squeezed", "unmix"]

_INWARD, _OUTWARD = (1, 2, 3, 0), (3, 0, 1, 2)  # (B, C, H, W) to (C, H, W, B), and back
_K = 32.0  # what would lie at 3e5 is drawn at 1


def _bounded(raw: Tensor) -> Tensor:
    """The logarithm of a scale, within +-2."""
    return 2 * (raw / 2).tanh()


def _stretched(x: Tensor) -> tuple[Tensor, Tensor]:
    """The y of x (C, H, W, B), and the log-determinants (B,)."""
    beyond = (x.abs() - 0.5).clamp_min(0)
    return x + x.sign() * (torch.expm1(_K * beyond) / _K - beyond), _K * beyond.sum((0, 1, 2))


def _pressed(y: Tensor) -> Tensor:
    """The x of y."""
    beyond = (y.abs() - 0.5).clamp_min(0)
    return y + y.sign() * (torch.log1p(_K * beyond) / _K - beyond)


def mix(x: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """W e^s (x + b) of the channels of each pixel of x (C, H, W, B), with `matrix` W e^s."""
    return torch.addmm(matrix @ bias, matrix, x.flatten(1)).view_as(x)


def unmix(y: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """The x of y, both (C, H, W, B)."""
    # in float64: a small matrix whose error would enter every pixel
    return torch.addmm(-bias, torch.linalg.inv(matrix.double()).to(y.dtype), y.flatten(1)).view_as(y)


class Mixes(nn.Module):
    """K times actnorm and invertible 1x1 convolution in one.

    Args:
        steps: K.
        channels: C, of x.
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
        """Let a step give every channel of x (C, H, W, B) mean 0 and deviation 1 before W."""
        deviation, mean = torch.std_mean(x, (1, 2, 3), correction=0)
        self.bias[step, :, 0] = -mean
        self.log_scale[step, 0] = -(deviation + 1e-6).log()

    def matrices(self) -> Tensor:
        """W e^s of each step, (K, C, C)."""
        lower = self.triangles.tril(-1) + torch.eye(self.triangles.shape[-1]).to(self.triangles)
        upper = self.triangles.triu(1) + (self.signs * self.log_diagonal.exp()).diag_embed()
        return (lower @ upper).gather(1, self.rows.expand_as(upper)) * self.log_scale.exp()

    def log_det(self) -> Tensor:
        """The sum of s and log |det W|, of all steps together, ()."""
        return self.log_scale.sum() + self.log_diagonal.sum()


def squeezed(x: Tensor) -> Tensor:
    """(C, H, W, B) to (4C, H/2, W/2, B): 2 x 2 pixels become channels."""
    c, h, w, b = x.shape
    return x.view(c, h // 2, 2, w // 2, 2, b).permute(0, 2, 4, 1, 3, 5).reshape(4 * c, h // 2, w // 2, b)


class Level(nn.Module):
    """Squeeze, K steps, and all but at the last level a split.

    Args:
        channels: Channels of the input, a fourth of those within.
        steps: K.
        width: Hidden channels of the couplings.
        last: Whether all channels become latents.
    """

    def __init__(self, channels: int, steps: int, width: int, last: bool):
        super().__init__()
        self.last = last
        inside = 4 * channels
        self.mixes, self.couplings = Mixes(steps, inside), Couplings(steps, inside, width)
        if last:
            self.prior = nn.Parameter(torch.zeros(2 * inside, 1, 1))
        else:
            self.prior = Convolutions(1, inside // 2, inside, start_at_zero=True)

    def layers(self, dtype: torch.dtype | None = None) -> list[tuple[Tensor, Tensor, Network]]:
        """Of each step W e^s and b, for `mix`, and the network, for `couple`."""
        networks = self.couplings.networks(dtype)
        return list(zip(self.mixes.matrices(), self.mixes.bias, networks, strict=True))

    def initialize(self, x: Tensor) -> Tensor:
        """Set the actnorms by x (C, H, W, B), one after another; what is handed on."""
        x = squeezed(x)
        for step in range(len(self.mixes.bias)):
            self.mixes.initialize(step, x)
            matrix, bias, network = self.layers()[step]
            x, _ = couple(mix(x, matrix, bias), network)
        return x.chunk(2)[0]

    def forward(self, x: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """What is handed on (2C, H/2, W/2, B), the standardised latents, and their log-density (B,).

        Args:
            x: (C, H, W, B).
            dtype: What the convolutions of the couplings multiply in.
        """
        x = squeezed(x)
        total = x.shape[1] * x.shape[2] * self.mixes.log_det()
        for matrix, bias, network in self.layers(dtype):
            x, log_det = couple(mix(x, matrix, bias), network)
            total = total + log_det
        kept, z = (x[:0], x) if self.last else x.chunk(2)
        mean, log_deviation = self._mean_and_log_deviation(kept)
        z = (z - mean) * (-log_deviation).exp()
        normal = -0.5 * (z.square() + math.log(2 * math.pi)) - log_deviation
        return kept, z, total + normal.sum((0, 1, 2))

    def inverse(self, kept: Tensor, z: Tensor) -> Tensor:
        """The x (C, H, W, B) of what was handed on and the latents."""
        mean, log_deviation = self._mean_and_log_deviation(kept)
        x = torch.cat([kept, z * log_deviation.exp() + mean])
        for matrix, bias, network in reversed(self.layers()):
            x = unmix(uncouple(x, network), matrix, bias)
        c, h, w, b = x.shape
        return x.view(c // 4, 2, 2, h, w, b).permute(0, 3, 1, 4, 2, 5).reshape(c // 4, 2 * h, 2 * w, b)

    def _mean_and_log_deviation(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        if self.last:
            return self.prior[..., None].chunk(2)
        mean, raw = self.prior(kept).chunk(2)
        return mean, _bounded(raw)


class Glow(nn.Module):
    """The flow; 44.1 million parameters at the paper's size 64, channels 3, steps 32 and width 512.

    Within, tensors are (C, H, W, B): see `galgen.models.coupling`.

    Args:
        size: Pixels on a side, a multiple of 2^levels.
        channels: How often the gray image is fed: 3 gives the shapes of the paper's latents.
        steps: K, steps of level 0.
        levels: L.
        deepening: How many steps each further level has more.
        width: Hidden channels of the couplings.
        bits: Bits of a pixel that are kept, of 8.

    Attributes:
        latent_shapes: (c, h, w) of the latents of each level; level 0 is split off first and is the finest.

    Raises:
        GalgenError: If the sizes do not fit.
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
                f"no Glow with {levels} levels and {bits} bits for images of {size} pixels: "
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
        """As of any module, but for the layout of 4-dimensional tensors: there are none within."""
        return super().to(*where, **given)

    def dequantize(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images (B, 1, H, W) in [0, 1] of 8 bits as x (B, channels, H, W) in [-1/2, 1/2).

        The integer pixel v in 0 .. 255 becomes floor(v / 2^(8 - bits)); the noise is drawn for each channel.
        """
        integers = (images * 255).round().div(2 ** (8 - self.bits), rounding_mode="floor")
        shape = (len(images), self.channels, *images.shape[2:])
        u = torch.rand(shape, generator=generator, device=images.device, dtype=images.dtype)
        # float32 would round an integer and a u nearer to 1 to the next integer
        return (integers + u.clamp_(max=1 - 2**-16)) / 2**self.bits - 0.5

    def image(self, x: Tensor) -> Tensor:
        """The image (B, 1, H, W) in [0, 1] of x (B, channels, H, W), at the centre of each pixel's bin."""
        q = ((x.mean(1, keepdim=True) + 0.5) * 2**self.bits).floor().clamp(0, 2**self.bits - 1)
        integers = 2 ** (8 - self.bits)
        return (q * integers + (integers - 1) / 2) / 255

    @torch.no_grad()
    def initialize(self, images: Tensor, generator: torch.Generator) -> None:
        """Set every actnorm, once for all, so that it standardises the channels of images (B, 1, H, W).

        Raises:
            GalgenError: If it was done before.
        """
        if self.initialized:
            raise GalgenError("this Glow is initialized already; build a new one to start anew")
        x = self.dequantize(images, generator).permute(_INWARD).contiguous()
        for level in self.levels:
            x = level.initialize(x)
        self.initialized.fill_(True)

    def require_initialized(self) -> None:
        """Raise the GalgenError that says how."""
        if not self.initialized:
            raise GalgenError("the actnorms of this Glow are not set; call initialize(images, generator)")

    def forward(self, x: Tensor, dtype: torch.dtype | None = None) -> tuple[list[Tensor], Tensor]:
        """`encode` without its check; `dtype` is what the convolutions of the couplings multiply in."""
        zs, (x, total) = [], _stretched(x.permute(_INWARD).contiguous())
        for level in self.levels:
            x, z, log_density = level(x, dtype)
            zs.append(z.permute(_OUTWARD))
            total = total + log_density
        return zs, total

    def encode(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Latents and density of x; the inverse of `decode`.

        Args:
            x: (B, channels, H, W), such as `dequantize` makes.

        Returns:
            The standardized latents `(B, *latent_shapes[level])` of each level, and log p(x) in nats, (B,).

        Raises:
            GalgenError: If the flow is not initialized.
        """
        self.require_initialized()
        return self(x)

    def decode(self, latents: Sequence[Tensor]) -> Tensor:
        """Images (B, channels, H, W) of standardized latents, `(B, *latent_shapes[level])` for each level."""
        self.require_initialized()
        latents = [z.permute(_INWARD) for z in latents]
        x = latents[-1][:0]
        for level, z in zip(reversed(self.levels), reversed(latents), strict=True):
            x = level.inverse(x, z)
        return _pressed(x).permute(_OUTWARD)

    def bits_per_dim(self, log_likelihood: Tensor) -> Tensor:
        """Bits that a pixel of `bits` bits costs, at most: bits - log2 p(x) / dimensions (p in nats)."""
        return self.bits - log_likelihood / (math.log(2) * self.channels * self.size**2)
