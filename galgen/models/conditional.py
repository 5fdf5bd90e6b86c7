r"""The noise-conditional denoiser: the body of the blind one, told how much noise there is.

With y = x + sigma z and z ~ N(0, 1), the network D(y; sigma) learns the posterior mean E[x | y], as
`galgen.models.diffusion` does, but is given sigma, and it may know the mean galaxy and its brightness. A
blind, bias-free network has f(a y) = a f(y) and knows neither; at sigma = 1 it falls behind a linear filter.
In the parametrisation of Karras et al. 2022, with mu the mean image of the training set and s^2 the variance
of its pixels about mu,

    D(y; sigma) = mu + c_skip (y - mu) + c_out F(c_in (y - mu), 1, u),    u = log(sigma) / 4,

    c_skip = s^2 / (sigma^2 + s^2),  c_out = sigma s / (sigma^2 + s^2)^(1/2),  c_in = (sigma^2 + s^2)^(-1/2),

so that input and target of F, the U-Net with two more channels to read, have unit variance at every noise
level: where there is little noise D is y less a small correction, where there is much it is mu and F all the
rest. How strong the noise in the input of F is, c_in sigma, varies a hundredfold, which is a matter of gains
more than of features: the gain of each channel is g_0 + g_1 u + g_2 u^2.

The norms divide by the running statistics in training too (`galgen.models.unet`). With those of the batch,
which a bright galaxy raises before it is divided by them, bright galaxies come out 1 to 3 % too bright at
each of many noise levels, and the first component of the samples too wide.

The loss weighs all levels alike,

    E |D(y; sigma) - x|^2 / c_out^2,       log sigma ~ N(m, w^2) within [sigma_least, sigma_most],

with one level in each of B equal strata of the normal distribution for a batch of B: the scatter of the
levels is then no part of the gradient's.

Trained in bfloat16 to the end, its samples are told from galaxies more easily at 32 pixels, on other galaxies
than the book's: AUC .967, .949, .942 of three trainings, in float32 .935, .927, .932. With the last tenth in
float32 (.943, .937 of the first two) more than half of that comes back, for 4 % more time. With the first
layer in float32 (.963) it does not, and the blind denoiser is none the worse for bfloat16.

References:
    Karras et al. 2022, Elucidating the design space of diffusion-based generative models,
    https://arxiv.org/abs/2206.00364 (Table 1, Eqs. 7, 8 and Appendix B.6).
"""

import numpy as np
import torch
from torch import Tensor, nn

from galgen.models.diffusion import DenoiserLearner, Diffusion
from galgen.models.precision import Precision
from galgen.models.sampling import ConditionalDenoiser, Samples, dpm_solver_2m, noise_schedule
from galgen.models.unet import UNet
from galgen.profiles import ConditionalSettings, Profile
from galgen.runs.errors import GalgenError

__all__ = ["ConditionalDiffusion", "ConditionalLearner", "ConditionalUNet"]

FINE = 0.025  # of the learning rate, below which it computes in float32: a cosine is there in its last tenth


class ConditionalUNet(nn.Module):
    """D(y; sigma); `initialize` gives it mu and s, which travel with the weights.

    Args:
        base_channels: Channels of the U-Net at full resolution.
        blocks: Poolings of the U-Net.
        size: Side of the images, pixels.
        channels: Channels of the images, 1 or 3.
    """

    def __init__(self, base_channels: int, blocks: int, *, size: int, channels: int = 1):
        super().__init__()
        self.body = UNet(base_channels, blocks, channels, "running", extra=2, conditions=2)
        self.register_buffer("mean", torch.zeros(channels, size, size))
        self.register_buffer("spread", torch.zeros(()))

    @torch.no_grad()
    def initialize(self, images: np.ndarray) -> None:
        """Take mu and s from the training images, uint8 (N, C, H, W).

        Raises:
            GalgenError: If all images are one, which leaves nothing to learn.
        """
        mean = images.mean(0, dtype=np.float64)
        square = sum(float(np.square(image - mean).mean()) for image in images) / len(images)
        if square == 0:
            raise GalgenError(f"all {len(images)} training images are equal; a denoiser needs two or more")
        self.mean.copy_(torch.from_numpy(mean / 255))
        self.spread.fill_(square**0.5 / 255)

    def scales(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_skip, c_out and c_in at the noise levels (B,), each (B, 1, 1, 1)."""
        sigma, s = sigma[:, None, None, None], self.spread
        total = sigma.square() + s.square()
        return s.square() / total, sigma * s * total.rsqrt(), total.rsqrt()

    def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
        """The posterior mean (B, C, H, W) of y (B, C, H, W) with noise of levels sigma (B,)."""
        c_skip, c_out, c_in = self.scales(sigma)
        centred = y - self.mean
        one, u = torch.ones_like(y[:, :1]), sigma.log() / 4
        x = torch.cat([c_in * centred, one, one * u[:, None, None, None]], 1)
        x = x.contiguous(memory_format=torch.channels_last)
        answer = self.body(x, torch.stack([u, u.square()], 1)).float()
        return self.mean + c_skip * centred + c_out * answer


class ConditionalLearner(DenoiserLearner):
    """What the training loop needs to know of the denoiser that is told the noise level.

    Args:
        networks: `net` alone, fresh.
        images: Training images, of which mean and spread are taken.
        held_out: Of no use to a denoiser.
        settings: The optimizer, with the learning rates before the schedule; m and w, and the least and the
            largest sigma.
        device: Where to train.
        precision: What the network computes in, with weights in float32.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        images: np.ndarray,
        held_out: np.ndarray | None,
        settings: ConditionalSettings,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
    ):
        networks["net"].initialize(images)
        super().__init__(networks, images, held_out, settings, device, precision)
        self.fine = False
        self.limits = {"loss": 100.0}  # about 1 for the mean image and little above for an untrained network

    def step(self, images: Tensor, noise: torch.Generator, rate: float) -> dict[str, Tensor]:
        """One step on images (B, C, H, W); the loss. At a small rate it computes in float32."""
        self.fine = rate < FINE
        return super().step(images, noise, rate)

    def autocast(self) -> torch.autocast:
        """The context in which the network computes."""
        enabled = self.precision == "bf16" and not self.fine
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def loss(self, images: Tensor, noise: torch.Generator) -> Tensor:
        """Of images (B, C, H, W) and the noise levels and noise that the generator draws."""
        sigma = self.levels(len(images), noise)
        z = torch.randn(images.shape, generator=noise, device=self.device)
        y = images + sigma[:, None, None, None] * z
        with self.autocast():
            error = self.net(y, sigma) - images
        return (error / self.net.scales(sigma)[1]).square().mean()

    def levels(self, count: int, noise: torch.Generator) -> Tensor:
        """The noise levels of a batch, (count,), growing: one in each stratum."""
        u = torch.rand(count, generator=noise, device=self.device)
        u = (u + torch.arange(count, device=self.device)) / count
        given = self.given
        log_sigma = given.noise_mean + given.noise_width * torch.special.ndtri(u)
        return log_sigma.exp().clamp(given.noise_least, given.noise_most)


class ConditionalDiffusion:
    """The noise-conditional denoiser and its sampler, as a family."""

    name, label = "conditional", "conditional diffusion"
    bits, flips = 8, False
    files = (*Diffusion.files, "galgen.models.conditional")
    draws = Diffusion.draws
    flop_rate = 7.5e10
    learner = ConditionalLearner

    def __init__(self, profile: Profile):
        self.settings, self.size = profile.conditional, profile.image_size

    def networks(self) -> dict[str, nn.Module]:
        """The U-Net, which does not yet know the mean of its images."""
        return {"net": ConditionalUNet(self.settings.base_channels, self.settings.blocks, size=self.size)}

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 16) -> Tensor:
        """Along the probability flow from noise in which the start is lost.

        A posterior mean of images in [0, 1] lies there: what an untrained network says far beyond is cut.
        """
        net = networks["net"]
        return self.flow(lambda y, sigma: net(y, sigma).clamp(-1, 2), seeds, start, chunk).images

    def flow(self, denoiser: ConditionalDenoiser, seeds: range, start: Tensor, chunk: int = 16) -> Samples:
        """The same of another denoiser that is told the noise, such as that of a Gaussian."""
        return dpm_solver_2m(denoiser, start, seeds, noise_schedule(**self.settings.sampler), chunk=chunk)

    def denoiser(self, networks: dict[str, nn.Module]) -> ConditionalDenoiser:
        """The posterior mean: the network itself."""
        return networks["net"]
