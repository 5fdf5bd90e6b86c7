"""A study of its own: after how many images shown does a blind denoiser begin to memorize N images?

Not to be confounded with the length of a training. So the networks are small and of small images, to be
trained for thousands of passes over each N; and the learning rate is constant, as one that falls to nothing
over the length of a training makes that length part of the answer. Steps of one size leave noise in the
weights, which an average takes out: after t steps it moves by c/t towards them,

    average_t = average_(t-1) + (c / t) (weights_t - average_(t-1)),        c = 8,

so that it reaches back over a share of the training, 1/(c + 1) in the mean, however long that is: what it
delays is delayed by one factor at every N.

References:
    Bonnaire et al. 2025, Why diffusion models don't memorize, https://arxiv.org/abs/2505.17638, and Favero et
    al. 2025, Bigger isn't always memorizing, https://arxiv.org/abs/2505.16959: a time proportional to N.
    Karras et al. 2024, https://arxiv.org/abs/2312.02696, section 3 (the average).
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from galgen.config import OnsetSettings, Profile
from galgen.models.unet import DenoiserLearner, Diffusion

_AVERAGED = 8.0  # c


class AveragedLearner(DenoiserLearner):
    """The learner of a blind denoiser, `net`, and of what becomes its `average`, of equal weights."""

    def __init__(self, networks: dict[str, nn.Module], settings: OnsetSettings, *, device: str):
        super().__init__(networks["net"], settings, device=device)
        self.average = networks["average"].to(self.device, memory_format=torch.channels_last)
        self.networks = self.networks | {"average": self.average}
        self.steps = self.net.down[1][1].batches  # a norm counts them, and is in the checkpoint

    def step(self, images: Tensor, noise: torch.Generator, rate: float) -> dict[str, Tensor]:
        """As without an average, which follows."""
        losses = super().step(images, noise, rate)
        moved = zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True)
        means, now = zip(*(pair for pair in moved if pair[0].is_floating_point()), strict=True)
        torch._foreach_lerp_(means, now, min(1.0, _AVERAGED / self.steps.item()))
        return losses


class Onset(Diffusion):
    """Small blind denoisers of small images."""

    name, label = "onset", "diffusion, small"
    chapters = ("03_two_models_diffusion",)
    has_control = False
    flop_rate = 2e10

    def __init__(self, profile: Profile):
        self.settings = profile.onset

    def networks(self) -> dict[str, nn.Module]:
        """The U-Net and its average, which begins where it does."""
        net = super().networks()["net"]
        return {"net": net, "average": copy.deepcopy(net)}

    def learner(
        self, networks: dict[str, nn.Module], images: np.ndarray, held_out: np.ndarray, device: str
    ) -> AveragedLearner:
        """Needs no data to begin."""
        return AveragedLearner(networks, self.settings, device=device)

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 16) -> Tensor:
        """What the average draws."""
        return super().draw({"net": networks["average"]}, seeds, start, chunk)
