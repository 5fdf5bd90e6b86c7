r"""Blind denoiser, whose input does not include the noise level: training and sampling.

With y = x + sigma z and z ~ N(0, 1), the U-Net f is trained so that f(y) = sigma z in mean square. Its
denoised image is then the posterior mean, and f is the score of the blurred density (Eq. 21):

    x_hat = y - f(y) = E[x | y] = y + sigma^2 grad log p_sigma(y).

Two losses. The paper's is the mean square of f(y) - sigma z with sigma = u^2 and u uniform in [0, 1]. The
weighted one stratifies u over the batch, which removes the scatter of the noise levels from the gradient, and
divides by sigma + 0.02, without which the network does not learn noise levels below a few percent (the gain
was 4.7 dB at sigma = 0.01).

References:
    Kadkhodaie et al. 2024, Generalization in diffusion models arises from geometry-adaptive harmonic
    representations, https://openreview.net/forum?id=ANvmVS2Yr0.
"""

import numpy as np
import torch
from torch import Tensor, nn

from galgen.models import muon
from galgen.models.precision import Precision
from galgen.models.sampling import Denoiser, Samples, blind, dpm_solver_2m, from_residual, noise_schedule
from galgen.models.unet import UNet
from galgen.profiles import DenoiserSettings, Profile

__all__ = ["DenoiserLearner", "Diffusion"]


class DenoiserLearner:
    """Loss and optimization step of the blind denoiser, for the training loop.

    Args:
        networks: A new network, `net`.
        images: Training images; not used at initialization.
        held_out: Not used.
        settings: The optimizer, with the learning rates before the schedule, and the loss.
        device: Device for the training.
        precision: Precision of the network's computations; weights are in float32.
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
        # predicting no noise has a loss below 1, an untrained network below 300
        self.limits = {"loss": 1000.0}

    def step(self, images: Tensor, noise: torch.Generator, rate: float) -> dict[str, Tensor]:
        """Take one step on images (B, C, H, W); return the loss."""
        loss = self.loss(images, noise)
        loss.backward()
        muon.step(self.optimizers, rate)
        return {"loss": loss.detach()}

    def loss(self, images: Tensor, noise: torch.Generator) -> Tensor:
        """Return the loss of images (B, C, H, W), with noise levels and noise from the generator."""
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
        """Return the autocast context of the forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


class Diffusion:
    """Family of the blind denoiser and its deterministic sampler."""

    name, label = "diffusion", "diffusion"
    bits, flips = 8, False
    flop_rate = 7.5e10
    learner = DenoiserLearner

    def __init__(self, profile: Profile):
        self.settings = profile.diffusion

    def networks(self) -> dict[str, nn.Module]:
        """Return a new U-Net."""
        given = self.settings
        return {"net": UNet(given.base_channels, given.blocks, statistics=given.statistics)}

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 16) -> Tensor:
        """Generate samples with the probability-flow ODE, not clipped."""
        return self.flow(self.denoiser(networks), seeds, start, chunk).images

    def flow(self, denoiser: Denoiser, seeds: range, start: Tensor, chunk: int = 16) -> Samples:
        """Sample with a denoiser that is not given the noise level."""
        levels = noise_schedule(**self.settings.sampler)
        return dpm_solver_2m(blind(denoiser), start, seeds, levels, chunk=chunk)

    def denoiser(self, networks: dict[str, nn.Module]) -> Denoiser:
        """Return the blind denoiser y - f(y)."""
        return from_residual(networks["net"])
