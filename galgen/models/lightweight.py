r"""The two networks of the lightweight GAN: the generator and the discriminator.

**Generator.** The latent becomes a 4 x 4 map; each block doubles its side, adds noise and gates it.
Skip-layer excitation: the map of side s / 8, pooled by a learned attention (global context), scales the
channels of the map of side s. The noise is a unit normal number per pixel times one learned factor per map: a
few latents cannot generate the noise of the sky. It is part of the generator's input, so an image is a
function of one vector of unit normals, of which the first `latent` numbers are the latent proper.

**Discriminator.** It downsamples the image to 8 x 8, with two branches per block, and scores those features;
a second head scores a small copy of the image. D(x) is the mean of the two scores: one number per image. It
has no batch norm: D(x) depends only on x. Two decoders make it an autoencoder of real images: one restores
the whole image from the 8 x 8 features, one a quadrant of the image from the same quadrant of the 16 x 16
features.

The architecture is that of Liu et al. 2021 in the sizes of the package `lightweight-gan` 1.2.1, which the
paper used: at 128 pixels, with attention and one decoder, the two have the same number of parameters,
35 761 163. For smaller images the blocks are the same, the small copy has a quarter of the side, and the
decoders end at the size of the image.

References:
    Liu et al. 2021, Towards faster and stabilized GAN training for high-fidelity few-shot image synthesis,
    https://openreview.net/forum?id=1Fqg133qRaI. Cao et al. 2020, Global context networks,
    https://arxiv.org/abs/2012.13375. Shen et al. 2021, Efficient attention: attention with linear
    complexities, https://arxiv.org/abs/1812.01243.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galgen.runs.errors import GalgenError

__all__ = ["Discriminator", "Generator"]


class Generator(nn.Module):
    """Generator network: a vector of unit normals to an image.

    Args:
        size: Side of the image in pixels: 32, 64, 128 or 256.
        channels: Channels of the image, 1 or 3.
        latent: Dimension of the latent.
        width: Feature channels at 32 x 32 pixels; inversely proportional to the side of the map.
        widest: Maximum number of feature channels.
        kernel: Side of the kernels that follow an upsampling.
        attention: Whether to use attention at 32 x 32 pixels, unless that is the size of the image.

    Attributes:
        inputs: Number of unit normals per image: the latent and the pixels of the noise of each map.
    """

    def __init__(
        self,
        *,
        size: int = 32,
        channels: int = 1,
        latent: int = 256,
        width: int = 256,
        widest: int = 512,
        kernel: int = 4,
        attention: bool = False,
    ):
        super().__init__()
        sides = _sides(size, channels)
        features = {4: latent} | {side: _features(width, widest, side) for side in sides}
        self.split = [latent] + [side**2 for side in sides]
        self.inputs = sum(self.split)
        self.first = nn.Sequential(
            nn.ConvTranspose2d(latent, 2 * latent, 4), nn.BatchNorm2d(2 * latent), nn.GLU(1)
        )
        self.grain = nn.Parameter(torch.zeros(len(sides)))
        self.up, self.gate, self.excite = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        pad = kernel // 2, (kernel - 1) // 2
        for side, (a, b) in zip(sides, pairwise(features.values()), strict=True):
            attend = [_Attention(a)] if attention and side == 64 else []
            convolution = nn.ZeroPad2d(pad + pad), nn.Conv2d(a, 2 * b, kernel)
            self.up[str(side)] = nn.Sequential(*attend, _Double(a), *convolution)
            self.gate[str(side)] = nn.Sequential(nn.BatchNorm2d(2 * b), nn.GLU(1))
            if side >= min(size, 128):
                self.excite[str(side)] = _Excitation(features[side // 8], b)
        self.last = nn.Conv2d(features[size], channels, 3, padding=1)
        _initialize(self)

    def forward(self, z: Tensor) -> Tensor:
        """Map z (B, inputs) to images (B, C, H, W), approximately in [0, 1], not clamped."""
        latent, *grains = z.split(self.split, dim=1)
        maps = {4: F.normalize(self.first(latent[:, :, None, None]), dim=1)}
        for (key, up), strength, grain in zip(self.up.items(), self.grain, grains, strict=True):
            side = int(key)
            x = up(maps[side // 2]) + strength * grain.unflatten(1, (1, side, side))
            maps[side] = self.gate[key](x)
            if key in self.excite:
                maps[side] = maps[side] * self.excite[key](maps[side // 8])
        return self.last(maps[side])


class Discriminator(nn.Module):
    """Discriminator network: an image to its score, high for real and low for generated images.

    Args:
        size: Side of the image in pixels: 32, 64, 128 or 256.
        channels: Channels of the image, 1 or 3.
        width: Feature channels at 32 x 32 pixels; inversely proportional to the side of the map.
        widest: Maximum number of feature channels.
        decoders: 2 for the image and a quadrant; 1 for the image, as in the package below 512 pixels.
        attention: Whether to use attention on the small image, and at 32 x 32 pixels of a larger one.

    Attributes:
        size: As given; images of another size are resized before they are scored.
    """

    def __init__(
        self,
        *,
        size: int = 32,
        channels: int = 1,
        width: int = 128,
        widest: int = 512,
        decoders: int = 2,
        attention: bool = False,
    ):
        super().__init__()
        self.size = size
        sides = _sides(size, channels)
        features = [_features(width, widest, side) for side in sides[:-1]] + [channels]

        def attend(count: int, where: bool = True) -> list[nn.Module]:
            return [_Attention(count)] if attention and where else []

        self.down = nn.ModuleList(
            nn.Sequential(*attend(a, side == 32 < size), _Down(a, b))
            for side, (b, a) in reversed(list(zip(sides[1:], pairwise(features), strict=True)))
        )
        last, half, quarter = features[0], max(1, width // 2), max(1, width // 4)
        self.score = nn.Sequential(
            nn.Conv2d(last, last, 3, stride=2, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(last, 1, 4)
        )
        self.score_small = nn.Sequential(
            nn.AvgPool2d(size // min(32, size // 4)),
            nn.Conv2d(channels, half, 3, padding=1),
            *attend(half),
            _Down(half, quarter),
            *attend(quarter),
            nn.AdaptiveAvgPool2d(4),
            nn.Conv2d(quarter, 1, 4),
        )
        doublings = len(sides) - 1
        self.decode = _decoder(last, channels, min(4, doublings))
        self.decode_quadrant = None
        if decoders == 2:
            self.decode_quadrant = _decoder(features[1], channels, min(4, doublings - 1))
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores D(x), (B,), of images (B, C, H, W)."""
        x = self.resize(x)
        return self.scores(x, self.features(x))

    def resize(self, x: Tensor) -> Tensor:
        """Resize square images (B, C, H, H) bilinearly to the size of this network."""
        if x.shape[-1] == self.size:
            return x
        return F.interpolate(x, self.size, mode="bilinear", align_corners=False, antialias=True)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the feature maps of 16 x 16 and of 8 x 8 pixels."""
        for down in self.down:
            middle, x = x, down(x)
        return middle, x

    def scores(self, x: Tensor, features: tuple[Tensor, Tensor]) -> Tensor:
        """Return D(x) of images, given their features."""
        return (self.score(features[1]) + self.score_small(x)).flatten() / 2

    def reconstruction(self, x: Tensor, features: tuple[Tensor, Tensor], quadrant: Tensor) -> Tensor:
        """Return the mean squared error of the decoders; `quadrant` is 0 to 3 for each image, (B,)."""
        loss = _missed(self.decode(features[1]), x)
        if self.decode_quadrant is not None:
            restored = self.decode_quadrant(_quadrant(features[0], quadrant))
            loss = loss + _missed(restored, _quadrant(x, quadrant))
        return loss


class _Attention(nn.Module):
    """Linear attention over the whole map and attention over 3 x 3 neighbors, added to the input."""

    def __init__(self, channels: int, heads: int = 8, depth: int = 64):
        super().__init__()
        inner = heads * depth
        self.heads, self.scale = heads, depth**-0.5
        self.norm = nn.LayerNorm(channels)  # per pixel
        self.queries = nn.Conv2d(channels, 2 * inner, 1, bias=False)
        self.near = nn.Conv2d(channels, 2 * inner, 1, bias=False)
        self.far = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, 2 * inner, 1, bias=False),
        )
        self.out = nn.Conv2d(2 * inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""

        def by_head(
            y: Tensor,
        ) -> tuple[Tensor, Tensor]:  # (B, 2 x heads x depth, ...) to two (B, heads, depth, ...)
            return y.flatten(2).unflatten(1, (2, self.heads, -1)).unbind(1)

        y = self.norm(x.movedim(1, -1)).movedim(-1, 1)
        far_query, near_query = by_head(self.queries(y))
        key, value = by_head(self.far(y))
        context = torch.einsum("bhdn,bhen->bhde", key.softmax(3), value)
        far = F.gelu(torch.einsum("bhdn,bhde->bhen", far_query.softmax(2) * self.scale, context))
        key, value = by_head(F.unfold(self.near(y), 3, padding=1).unflatten(2, x.shape[2:]))
        key, value = (part.unflatten(2, (-1, 9)) for part in (key, value))
        weight = torch.einsum("bhdn,bhdjn->bhjn", near_query * self.scale, key).softmax(2)
        near = torch.einsum("bhjn,bhdjn->bhdn", weight, value)
        both = torch.cat([far.flatten(1, 2), near.flatten(1, 2)], 1)
        return x + self.out(both.unflatten(2, x.shape[2:]))


class _Excitation(nn.Module):
    """Factors in 0..1 for the channels of another map, from this one pooled by a learned attention."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        between = max(3, channels_out // 2)
        self.attention = nn.Conv2d(channels_in, 1, 1)
        self.net = nn.Sequential(
            nn.Linear(channels_in, between), nn.LeakyReLU(0.1), nn.Linear(between, channels_out), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels_in, H, W) to factors (B, channels_out, 1, 1)."""
        weight = self.attention(x).flatten(1).softmax(1)
        return self.net(torch.einsum("bn,bcn->bc", weight, x.flatten(2)))[:, :, None, None]


class _Double(nn.Sequential):
    """Upsampling by 2: a 1 x 1 convolution to four values per pixel, shuffled into pixels."""

    def __init__(self, channels: int):
        super().__init__(nn.Conv2d(channels, 4 * channels, 1), nn.SiLU(), nn.PixelShuffle(2))


class _Down(nn.Module):
    """Downsampling by 2, the sum of a strided convolution and a mean-pooling branch."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.learnt = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 2, stride=2),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels_out, channels_out, 3, padding=1),
            nn.LeakyReLU(0.1),
        )
        self.mean = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels_in, channels_out, 1), nn.LeakyReLU(0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels_in, H, W) to (B, channels_out, H/2, W/2)."""
        return self.learnt(x) + self.mean(x)


def _decoder(features: int, channels: int, doublings: int) -> nn.Sequential:
    layers = []
    for left in reversed(range(doublings)):
        out = features if left else 2 * channels
        layers += [_Double(features), nn.Conv2d(features, out, 3, padding=1), nn.GLU(1)]
        features = max(1, features // 2)
    return nn.Sequential(*layers)


def _sides(size: int, channels: int) -> list[int]:
    """Return the powers of two from 8 to the side of the image; refuse unsupported sizes."""
    if size not in (32, 64, 128, 256) or channels not in (1, 3):
        raise GalgenError(
            f"images of {channels} x {size} x {size}: the GAN supports 1 or 3 channels, 32, 64, 128 or 256 "
            "pixels; resize the images"
        )
    return [side for side in (8, 16, 32, 64, 128, 256) if side <= size]


def _features(width: int, widest: int, side: int) -> int:
    return max(1, min(widest, 32 * width // side))


def _missed(restored: Tensor, x: Tensor) -> Tensor:
    return F.mse_loss(restored, F.adaptive_avg_pool2d(x, restored.shape[-1]))


def _quadrant(x: Tensor, which: Tensor) -> Tensor:
    """Select one quadrant of each map: (B, C, H, W) and (B,) to (B, C, H/2, W/2)."""
    parts = x.unflatten(3, (2, -1)).unflatten(2, (2, -1))
    return parts[torch.arange(len(x), device=x.device), :, which // 2, :, which % 2]


def _initialize(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in net.modules():
        if isinstance(module, _Double):  # four equal pixels initially, to avoid a checkerboard pattern
            with torch.no_grad():
                module[0].weight.copy_(module[0].weight[::4].repeat_interleave(4, 0))
