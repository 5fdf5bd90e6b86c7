"""Maximum-likelihood training and sampling of Glow.

The loss is the bound of `galgen.models.glow` in bits per dimension, the mean over the batch of

    bits - log2 p(x) / dimensions,      x = (integer + u) / 2^bits - 1/2,

and a sample is f^-1(T z), z ~ N(0, 1), at temperature T.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from galgen.data.unit import unit
from galgen.models import muon
from galgen.models.coupling import affine_coupling
from galgen.models.glow import Glow, invertible_conv1x1, squeeze
from galgen.models.precision import Precision
from galgen.models.sampling import in_chunks, noise, seeded
from galgen.profiles import GlowSettings, Profile
from galgen.runs.errors import GalgenError

__all__ = ["GlowFamily", "GlowLearner", "draw", "latents"]


class GlowLearner:
    """Loss and optimization step of the flow, for the training loop, which flips the images.

    Args:
        networks: The flow as `net`.
        images: Training images, of which the first 256 initialize the actnorms of a new flow.
        held_out: Not used.
        settings: The optimizer, with the learning rates before the schedule, and the gradient clipping.
        device: Device for the training.
        precision: Precision of the convolutions of the couplings; everything else is in float32.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        images: np.ndarray,
        held_out: np.ndarray | None,
        settings: GlowSettings,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
    ):
        self.net = networks["net"]
        if not self.net.initialized:
            self.net.initialize(unit(images[:256]), torch.Generator().manual_seed(0))
        self.device = torch.device(device)
        self.net.to(self.device).train()
        self.networks = {"net": self.net}
        # also for the first and the last convolution: neither reads or writes the image
        self.optimizers = muon.optimizers(self.net, settings, ends="muon")
        self.settings = settings.recipe() | {"precision": precision}
        self.limits = {"bits_per_dim": 100.0}  # an untrained flow is below 10

    def step(self, images: Tensor, noise: torch.Generator, rate: float) -> dict[str, Tensor]:
        """Take one step on images (B, 1, H, W); return loss in bits per dimension and gradient norm."""
        x = self.net.dequantize(images, noise)
        dtype = torch.bfloat16 if self.settings["precision"] == "bf16" else None
        loss = self.net.bits_per_dim(self.net(x, dtype)[1]).mean()
        loss.backward()
        parameters = list(self.net.parameters())
        nn.utils.clip_grad_value_(parameters, self.settings["clip_value"])
        norm = nn.utils.clip_grad_norm_(parameters, self.settings["clip_norm"])
        if not norm.isfinite():
            raise GalgenError(
                f"training stopped: {self._broken(x)} is not finite; the last good checkpoint is kept. Lower "
                f"learning_rate ({self.settings['learning_rate']}) or lengthen the warm-up, and train in a "
                f"new folder"
            )
        muon.step(self.optimizers, rate)
        return {"bits_per_dim": loss.detach(), "gradient_norm": norm.detach()}

    @torch.no_grad()
    def _broken(self, x: Tensor) -> str:
        """Name the first layer with non-finite output, or else the last parameter with such a gradient."""
        x = x.permute(1, 2, 3, 0).contiguous()
        for k, level in enumerate(self.net.levels):
            x = squeeze(x)
            for i, (matrix, bias, network) in enumerate(level.layers()):
                mixed = invertible_conv1x1(x, matrix, bias)
                x, _ = affine_coupling(mixed, network)
                for name, output in {"invertible_conv1x1": mixed, "coupling": x}.items():
                    if not output.isfinite().all():
                        return f"the output of the {name} in step {i} of level {k}"
            x = x.chunk(2)[0]
        names = [n for n, p in self.net.named_parameters() if not p.grad.isfinite().all()]
        return f"the gradient of {names[-1]}"


def latents(flow: Glow, seeds: Sequence[int]) -> list[Tensor]:
    """Return normal latents (n, *latent_shapes[level]) of each level, finest first, one seed per sample."""
    generators = seeded(seeds)
    like = flow.levels[-1].prior
    return [noise(generators, shape).to(like) for shape in flow.latent_shapes]


@torch.no_grad()
def draw(
    flow: Glow, seeds: Sequence[int], *, temperature: float = 1.0, chunk: int = 64
) -> tuple[Tensor, list[Tensor]]:
    """Generate images; each depends only on its seed.

    Args:
        flow: An initialized flow.
        seeds: One integer per sample.
        temperature: Factor of the latents; below 1 samples are more likely and less diverse.
        chunk: Images per call of the network, padded as in `galgen.models.sampling`.

    Returns:
        Images (n, 1, H, W) in [0, 1], and the latents that were decoded, in the form of `latents`.
    """
    zs = [temperature * z for z in latents(flow, seeds)]
    return in_chunks(lambda *z: flow.image(flow.decode(z)), *zs, chunk=chunk), zs


class GlowFamily:
    """Family of Glow."""

    name, label = "glow", "Glow"
    flips = True
    flop_rate = 4e10
    learner = GlowLearner

    def __init__(self, profile: Profile):
        self.settings, self.size = profile.glow, profile.image_size
        self.bits = self.settings.bits

    def networks(self) -> dict[str, nn.Module]:
        """Return a new flow; its actnorms are not yet initialized."""
        names = ("steps", "levels", "deepening", "width", "bits", "channels")
        return {"net": Glow(size=self.size, **{name: getattr(self.settings, name) for name in names})}

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 64) -> Tensor:
        """Generate images with the inverse of the flow."""
        return draw(networks["net"], seeds, chunk=chunk, **self.settings.sampler)[0]
