r"""The blind denoiser, which is not told how much noise there is: how it is trained and drawn from.

With y = x + sigma z and z ~ N(0, 1), the U-Net f is trained so that f(y) = sigma z in mean square. Its
denoised image is then the posterior mean, and f is the score of the blurred density (Eq. 21):

    x_hat = y - f(y) = E[x | y] = y + sigma^2 grad log p_sigma(y).

Two losses. The paper's is the mean square of f(y) - sigma z with sigma = u^2 and u uniform in [0, 1]. The
weighted one spreads u evenly over the batch, which takes the scatter of the noise levels out of the
gradient, and divides by sigma + 0.02, without which nothing below a few per cent of noise is ever learnt
(it gained 4.7 dB at sigma = 0.01).

References:
    Kadkhodaie et al. 2024, Generalization in diffusion models arises from geometry-adaptive harmonic
    representations, https://openreview.net/forum?id=ANvmVS2Yr0.
"""

import numpy as np
import torch
from torch import Tensor, nn

from galgen.models import muon
from galgen.models.precision import Precision
from galgen.models.sampling import (
    ConditionalDenoiser,
    Denoiser,
    Samples,
    blind,
    dpm_solver_2m,
    noise_schedule,
)
from galgen.models.unet import UNet
from galgen.profiles import DenoiserSettings, Profile

__all__ = ["DenoiserLearner", "Diffusion"]


class DenoiserLearner:
    """What the training loop needs to know of a denoiser; here of the blind one.

    Args:
        networks: `net` alone, fresh.
        images: Training images, of which the blind network needs to know nothing to begin.
        held_out: Of no use to a denoiser.
        settings: The optimizer, with the learning rates before the schedule, and the loss.
        device: Where to train.
        precision: What the network computes in, with weights in float32.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        images: np.ndarray | None,
        held_out: np.ndarray | None,
        settings: DenoiserSettings,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
    ):
        self.device = torch.device(device)
        self.net = networks["net"].to(self.device, memory_format=torch.channels_last).train()
        self.networks = {"net": self.net}
        self.optimizers = muon.optimizers(self.net, settings)
        self.given, self.precision = settings, precision
        self.settings = settings.recipe() | {"precision": precision}
        self.limits = {"loss": 1000.0}  # "no noise" has a loss below 1, an untrained network one below 300

    def step(self, images: Tensor, noise: torch.Generator, rate: float) -> dict[str, Tensor]:
        """One step on images (B, C, H, W); the loss."""
        loss = self.loss(images, noise)
        loss.backward()
        muon.step(self.optimizers, rate)
        return {"loss": loss.detach()}

    def loss(self, images: Tensor, noise: torch.Generator) -> Tensor:
        """Of images (B, C, H, W) and the noise levels and noise that the generator draws."""
        weighted = self.given.loss == "weighted"
        u = torch.rand(len(images), generator=noise, device=self.device)
        if weighted:
            u = (u + torch.arange(len(images), device=self.device)) / len(images)
        sigma = u.square()[:, None, None, None]  # the paper's (255^0.5 u)^2 / 255
        z = torch.randn(images.shape, generator=noise, device=self.device)
        y = (images + sigma * z).to(memory_format=torch.channels_last)
        with self.autocast():
            residual = self.net(y).float() - sigma * z
        return (residual / (sigma + 0.02) if weighted else residual).square().mean()

    def autocast(self) -> torch.autocast:
        """The context in which the network computes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


class Diffusion:
    """The blind denoiser and its deterministic sampler, as a family."""

    name, label = "diffusion", "diffusion"
    bits, flips = 8, False
    files = (
        "galgen.models.diffusion",
        "galgen.models.muon",
        "galgen.models.unet",
        "galgen.runs.schedules",
        "galgen.runs.batches",
    )
    draws = ("galgen.models.sampling",)
    flop_rate = 7.5e10
    learner = DenoiserLearner

    def __init__(self, profile: Profile):
        self.settings = profile.diffusion

    def networks(self) -> dict[str, nn.Module]:
        """The U-Net."""
        given = self.settings
        return {"net": UNet(given.base_channels, given.blocks, statistics=given.statistics)}

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 16) -> Tensor:
        """Along the probability flow, not clipped."""
        return self.flow(networks["net"], seeds, start, chunk).images

    def flow(self, denoiser: Denoiser, seeds: range, start: Tensor, chunk: int = 16) -> Samples:
        """The same of another blind denoiser, such as that of a Gaussian."""
        levels = noise_schedule(**self.settings.sampler)
        return dpm_solver_2m(blind(denoiser), start, seeds, levels, chunk=chunk)

    def denoiser(self, networks: dict[str, nn.Module]) -> ConditionalDenoiser:
        """The posterior mean; of the noise level it makes no use."""
        return blind(networks["net"])
