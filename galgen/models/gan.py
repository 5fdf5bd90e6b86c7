r"""The game of the lightweight GAN: the hinge loss, and how its two networks are trained and drawn from.

The discriminator D learns to score real images above 1 and made ones below -1; the generator G learns to
raise the score of what it makes. With z ~ N(0, 1) they minimise in turn, in the paper's sign, Eqs. (8), (9),

    L_D = E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) + w_p E |grad_x D(x)|^2 + w_r R,      L_G = -E D(G(z)).

The two hinges add up to 2 where D tells nothing apart (Lim & Ye 2017). The penalty on the slope of D at real
images keeps D from running away; R is what its decoders miss of real images. Both are means over images, and
a share of each batch estimates them. The package takes the hinge of the score of the whole image and of that
of the small one apart, and half of its penalty at made images; here D(x) is one number, their mean, so that
the D that is tested (Eq. 22) is the D that was trained.

The average of G over its training, exponential and with its batch norm, is what draws.

References:
    Lim & Ye 2017, Geometric GAN, https://arxiv.org/abs/1705.02894. Mescheder et al. 2018, Which training
    methods for GANs do actually converge?, https://arxiv.org/abs/1801.04406 (the penalty). Yaz et al. 2019,
    The unusual effectiveness of averaging in GAN training, https://arxiv.org/abs/1806.04498.
"""

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from galgen.models.lightweight import Discriminator, Generator
from galgen.models.sampling import noise as unit_normal
from galgen.models.sampling import seeded
from galgen.runs.errors import GalgenError

__all__ = ["Discriminator", "GanLearner", "Generator", "draw"]


class GanLearner:
    """What the training loop needs to know of the GAN.

    The log tells how the two stand: `D_real`, `D_fake` and `D_held_out` are mean scores, `penalty` and
    `reconstruction` come without their weights, and `mode_collapse` is the spread of the real images of a
    batch over that of the made ones: about 1, and large when all samples are one.

    Args:
        generator: G.
        discriminator: D.
        held_out: uint8 images (n, C, H, W) that neither learns from: D is only asked for their scores.
        learning_rate: Of G, for Adam with momenta 0.5 and 0.9, before the schedule.
        discriminator_rate: Learning rate of D in units of that of G.
        penalty: w_p.
        reconstruction: w_r.
        share: The part of each batch on which penalty and R are computed.
        decay: Of the average of G, per step.
        shift: Differentiable augmentation: D sees all images moved by up to this many pixels.
        collapse: The limit of `mode_collapse`, beyond which the run stops.
        device: Where to train.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        held_out: np.ndarray,
        *,
        learning_rate: float,
        discriminator_rate: float = 2.0,
        penalty: float = 0.2,
        reconstruction: float = 1.0,
        share: float = 0.25,
        decay: float = 0.995,
        shift: int = 0,
        collapse: float = 10.0,
        device: str | torch.device = "cpu",
    ):
        self.settings = {
            "learning_rate": learning_rate,
            "discriminator_rate": discriminator_rate,
            "penalty": penalty,
            "reconstruction": reconstruction,
            "share": share,
            "decay": decay,
            "shift": shift,
            "collapse": collapse,
        }
        self.device = torch.device(device)
        layout = {"device": self.device, "memory_format": torch.channels_last}
        self.generator = generator.to(**layout).train()
        self.discriminator = discriminator.to(**layout).train()
        self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self.networks = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
        }
        self.rates = {"generator": learning_rate, "discriminator": learning_rate * discriminator_rate}
        self.optimizers = {
            name: torch.optim.Adam(self.networks[name].parameters(), lr=rate, betas=(0.5, 0.9), fused=True)
            for name, rate in self.rates.items()
        }
        self.held_out = torch.from_numpy(np.array(held_out)).to(self.device)
        self.penalty, self.reconstruction, self.share = penalty, reconstruction, share
        self.decay, self.shift = decay, shift
        self.limits = {"mode_collapse": collapse, "D_real": 1e3, "D_fake": 1e3}  # scores are of order 1

    def step(self, images: Tensor, noise: torch.Generator, rate: float) -> dict[str, Tensor]:
        """One step of G, then one of D on the same made images; all scalars of the log."""
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.rates[name] * rate
        images = self.discriminator.resize(images).to(memory_format=torch.channels_last)
        z = torch.randn(len(images), self.generator.inputs, generator=noise, device=self.device)
        fake = self.generator(z)
        loss = -self.discriminator(_shift(fake, self.shift, noise)).mean()  # Eq. (9)
        self._descend("generator", loss)
        self._update_average()
        fake = fake.detach()
        losses = self._discriminator_losses(images, fake, noise)
        regular = self.penalty * losses["penalty"] + self.reconstruction * losses["reconstruction"]
        self._descend("discriminator", losses["hinge"] + regular)
        with torch.no_grad():
            few = math.ceil(len(images) / 4)
            rows = torch.randint(len(self.held_out), (few,), generator=noise, device=self.device)
            losses["D_held_out"] = self.discriminator(self.held_out[rows].float() / 255).mean()
            losses["mode_collapse"] = _spread(images) / _spread(fake).clamp_min(1e-6)
        return {"generator": loss.detach()} | {name: value.detach() for name, value in losses.items()}

    def _discriminator_losses(
        self, images: Tensor, fake: Tensor, noise: torch.Generator
    ) -> dict[str, Tensor]:
        net, n = self.discriminator, len(images)
        both = _shift(torch.cat([images, fake]), self.shift, noise)
        real, made = net(both).split(n)
        hinge = F.relu(1 - real).mean() + F.relu(1 + made).mean()  # Eq. (8)
        x = both[: math.ceil(self.share * n)].requires_grad_()
        features = net.features(x)
        (slope,) = torch.autograd.grad(net.scores(x, features).sum(), x, create_graph=True)
        quadrant = torch.randint(4, (len(x),), generator=noise, device=self.device)
        return {
            "hinge": hinge,
            "penalty": slope.square().sum((1, 2, 3)).mean(),
            "reconstruction": net.reconstruction(x.detach(), features, quadrant),
            "D_real": real.mean(),
            "D_fake": made.mean(),
        }

    def _descend(self, name: str, loss: Tensor) -> None:
        # of this network alone: the weights' gradients of the other are not even computed
        self.optimizers[name].zero_grad()
        loss.backward(inputs=list(self.networks[name].parameters()))
        self.optimizers[name].step()

    @torch.no_grad()
    def _update_average(self) -> None:
        for mean, now in zip(
            self.average.state_dict().values(), self.generator.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - self.decay)
            else:
                mean.copy_(now)  # the count of batches


def _spread(images: Tensor) -> Tensor:
    """How different the images of a batch are: root mean square about their mean."""
    return (images - images.mean(0)).square().mean().sqrt()


def _shift(x: Tensor, most: int, noise: torch.Generator) -> Tensor:
    """Each image moved by up to `most` pixels in each direction, with its border repeated."""
    if most == 0:
        return x
    n, _, height, width = x.shape
    at = torch.randint(2 * most + 1, (2, n, 1), generator=noise, device=x.device)
    rows = at[0] + torch.arange(height, device=x.device)
    columns = at[1] + torch.arange(width, device=x.device)
    padded = F.pad(x, (most,) * 4, mode="replicate").movedim(1, -1)
    image = torch.arange(n, device=x.device)[:, None, None]
    return padded[image, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


@torch.inference_mode()
def draw(generator: Generator, seeds: Sequence[int], *, side: int | None = None, chunk: int = 64) -> Tensor:
    """The images that the seeds name, whatever else is drawn with them.

    Args:
        generator: A trained G, usually the average, in evaluation mode; its device is used.
        seeds: One whole number a sample, which names the unit normals it is made of.
        side: Pixels of the images, a divisor of the generator's own, over which they are averaged.
        chunk: Images in a call of the network; the last bits of an image depend on it.

    Returns:
        Images clamped to [0, 1], (n, C, H, W), on the CPU.

    Raises:
        GalgenError: If the generator is in training mode: its batch norm would mix the samples.
    """
    if generator.training:
        raise GalgenError("a generator in training mode mixes its samples; call eval() on it first")
    images = []
    for first in range(0, len(seeds), chunk):
        part = seeds[first : first + chunk]
        z = unit_normal(seeded(part), (generator.inputs,)).to(generator.last.weight.device)
        z = F.pad(z, (0, 0, 0, chunk - len(part)))  # calls of one size: see galgen.models.sampling
        images.append(generator(z)[: len(part)].clamp(0, 1).cpu())
    drawn = torch.cat(images)
    return drawn if side is None else F.adaptive_avg_pool2d(drawn, side)
