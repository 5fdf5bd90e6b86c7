"""The clock: after how many images shown does a blind denoiser begin to memorize N images, and does it ever?

Not to be confounded with the length of a training, nor with the size of the network alone. So the networks
are small, of four widths, and of small images, to be trained for thousands of passes over each N; and the
learning rate is constant, as one that falls over the length of a training makes that length part of the
answer. It falls to nothing over the last tenth alone: what a network has before and after says what the noise
of steps of one size hides. An average of the weights takes out most of it before: after t steps it moves by

    w(t) = min(1, c / t),        c = 8,

so that it reaches back over a share of the training, 1/(c + 1) in the mean, however long that is: what it
delays is delayed by one factor at every N.

References:
    Bonnaire et al. 2025, Why diffusion models don't memorize, https://arxiv.org/abs/2505.17638, and Favero et
    al. 2025, Bigger isn't always memorizing, https://arxiv.org/abs/2505.16959: a time proportional to N.
    Karras et al. 2024, https://arxiv.org/abs/2312.02696, section 3 (the average).
"""

import numpy as np
import torch
from torch import Tensor, nn

from galgen.models.average import averaged
from galgen.models.diffusion import DenoiserLearner, Diffusion
from galgen.models.precision import Precision
from galgen.models.sampling import ConditionalDenoiser
from galgen.profiles import DenoiserSettings, Profile

__all__ = ["AveragedLearner"]


def _weight(t: int) -> float:
    return min(1.0, 8 / t)  # c = 8


class AveragedLearner(DenoiserLearner):
    """The learner of a blind denoiser, `net`, and of its `average`; arguments as of `DenoiserLearner`."""

    def __init__(
        self,
        networks: dict[str, nn.Module],
        images: np.ndarray | None,
        held_out: np.ndarray | None,
        settings: DenoiserSettings,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
    ):
        super().__init__(networks, images, held_out, settings, device, precision)
        self.average = networks["average"].to(self.device, memory_format=torch.channels_last)
        self.networks = self.networks | {"average": self.average}

    def step(self, images: Tensor, noise: torch.Generator, rate: float) -> dict[str, Tensor]:
        """As without an average, which follows."""
        losses = super().step(images, noise, rate)
        self.average.update_parameters(self.net)
        return losses


class OnsetStudy(Diffusion):
    """Small blind denoisers of small images, whose averages draw."""

    files = (*Diffusion.files, "galgen.models.average", "galgen.models.onset_study")
    flop_rate = 1.6e10
    learner = AveragedLearner

    def __init__(self, profile: Profile):
        self.settings = getattr(profile, self.name)

    def networks(self) -> dict[str, nn.Module]:
        """The U-Net and its average, which begins where it does."""
        net = super().networks()["net"]
        return {"net": net, "average": averaged(net, _weight)}

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 16) -> Tensor:
        """What the average draws."""
        return super().draw({"net": networks["average"]}, seeds, start, chunk)

    def denoiser(self, networks: dict[str, nn.Module]) -> ConditionalDenoiser:
        """That of the average."""
        return super().denoiser({"net": networks["average"]})


class OnsetStudy4(OnsetStudy):
    """The clock's narrowest networks."""

    name, label = "onset4", "diffusion, 4 base_channels"
    flop_rate = 4.5e9


class OnsetStudy8(OnsetStudy):
    """The clock's networks of 8 base_channels."""

    name, label = "onset8", "diffusion, 8 base_channels"


class OnsetStudy16(OnsetStudy):
    """The clock's networks as wide as those of the laptop book."""

    name, label = "onset16", "diffusion, 16 base_channels"
    flop_rate = 3e10


class OnsetStudy32(OnsetStudy):
    """The clock's widest networks."""

    name, label = "onset32", "diffusion, 32 base_channels"
    flop_rate = 6e10
