r"""The game of the lightweight GAN: the hinge loss, and how its two networks are trained and drawn from.

The discriminator D learns to score real images above 1 and made ones below -1; the generator G learns to
raise the score of what it makes. With z ~ N(0, 1) they minimise in turn, in the paper's sign, Eqs. (8), (9),

    L_D = E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) + w_p E |grad_x D(x)|^2 + w_r R,      L_G = -E D(G(z)).

The two hinges add up to 2 where D tells nothing apart (Lim & Ye 2017). The penalty on the slope of D at real
images keeps D from running away; R is what its decoders miss of real images. Both are means over images, and
a share of each batch estimates them. The package takes the hinge of the score of the whole image and of that
of the small one apart, and half of its penalty at made images; here D(x) is one number, their mean, so that
the D that is tested (Eq. 22) is the D that was trained.

The average of G over its training, exponential and with its batch norm, is what draws:
`galgen.models.average` with w(t) = max(1 - decay, 4 / (t + 4)), over the last 1 / (1 - decay) steps, and at
first over the last quarter of those made, or it would long hold what G was before it had learnt anything.

References:
    Lim & Ye 2017, Geometric GAN, https://arxiv.org/abs/1705.02894. Mescheder et al. 2018, Which training
    methods for GANs do actually converge?, https://arxiv.org/abs/1801.04406 (the penalty). Yaz et al. 2019,
    The unusual effectiveness of averaging in GAN training, https://arxiv.org/abs/1806.04498.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from galgen.models.average import averaged
from galgen.models.lightweight import Discriminator, Generator
from galgen.models.precision import Precision
from galgen.models.sampling import in_chunks, noise, seeded
from galgen.profiles import GanSettings, Profile
from galgen.runs.errors import GalgenError

__all__ = ["Gan", "GanLearner", "draw"]


class GanLearner:
    """What the training loop needs to know of the GAN.

    The log tells how the two stand: `D_real`, `D_fake` and `D_held_out` are mean scores, `penalty` and
    `reconstruction` come without their weights, and `mode_collapse` is the spread of the real images of a
    batch over that of the made ones: about 1, and large when all samples are one.

    Args:
        networks: `generator` G, `discriminator` D, and the `average` of G.
        images: Training images, of which the GAN needs to know nothing to begin.
        held_out: uint8 images (n, C, H, W) that neither learns from: D is only asked for their scores.
        settings: Learning rate (of G, for Adam with momenta 0.5 and 0.9, before the schedule; that of D in
            units of it), w_p and w_r with the share of each batch that estimates them, the decay of the
            average, and the limit of `mode_collapse`, beyond which the run stops.
        device: Where to train.
        precision: float32, in which it is always trained: the penalty is the gradient of a gradient.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        images: np.ndarray | None,
        held_out: np.ndarray,
        settings: GanSettings,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
    ):
        self.given, self.settings = settings, settings.recipe() | {"precision": precision}
        self.device = torch.device(device)
        for net in networks.values():
            net.to(self.device, memory_format=torch.channels_last).train()
        self.networks = networks
        self.generator, self.discriminator = networks["generator"], networks["discriminator"]
        self.average = networks["average"].eval()
        self.rates = {
            "generator": settings.learning_rate,
            "discriminator": settings.learning_rate * settings.discriminator_rate,
        }
        self.optimizers = {
            name: torch.optim.Adam(self.networks[name].parameters(), lr=rate, betas=(0.5, 0.9), fused=True)
            for name, rate in self.rates.items()
        }
        self.held_out = torch.from_numpy(np.array(held_out)).to(self.device)
        # scores are of order 1
        self.limits = {"mode_collapse": settings.collapse, "D_real": 1e3, "D_fake": 1e3}

    def step(self, images: Tensor, noise: torch.Generator, rate: float) -> dict[str, Tensor]:
        """One step of G, then one of D on the same made images; all scalars of the log."""
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.rates[name] * rate
        images = self.discriminator.resize(images).to(memory_format=torch.channels_last)
        z = torch.randn(len(images), self.generator.inputs, generator=noise, device=self.device)
        fake = self.generator(z)
        loss = -self.discriminator(fake).mean()  # Eq. (9)
        self._descend("generator", loss)
        self.average.update_parameters(self.generator)
        fake = fake.detach()
        losses = self._discriminator_losses(images, fake, noise)
        given = self.given
        regular = given.penalty * losses["penalty"] + given.reconstruction * losses["reconstruction"]
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
        both = torch.cat([images, fake])
        real, made = net(both).split(n)
        hinge = F.relu(1 - real).mean() + F.relu(1 + made).mean()  # Eq. (8)
        x = both[: math.ceil(self.given.share * n)].requires_grad_()
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


def _spread(images: Tensor) -> Tensor:
    """How different the images of a batch are: root mean square about their mean."""
    return (images - images.mean(0)).square().mean().sqrt()


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
    net = getattr(generator, "module", generator)  # of an average
    z = noise(seeded(seeds), (net.inputs,)).to(net.last.weight.device)
    drawn = in_chunks(generator, z, chunk=chunk).clamp(0, 1).cpu()
    return drawn if side is None else F.adaptive_avg_pool2d(drawn, side)


class Gan:
    """The lightweight GAN, as a family."""

    name, label = "gan", "GAN"
    bits, flips = 8, True
    files = (
        "galgen.models.average",
        "galgen.models.gan",
        "galgen.models.lightweight",
        "galgen.runs.schedules",
        "galgen.runs.batches",
    )
    draws = ("galgen.models.sampling",)
    flop_rate = 4e10
    learner = GanLearner

    def __init__(self, profile: Profile):
        self.settings = profile.gan

    def networks(self) -> dict[str, nn.Module]:
        """Generator, discriminator, and the average of the generator."""
        given = self.settings
        generator = Generator(
            size=given.size,
            latent=given.latent,
            width=given.generator_width,
            widest=given.generator_widest,
            kernel=given.kernel,
            attention=given.attention,
        )
        discriminator = Discriminator(
            size=given.size,
            width=given.discriminator_width,
            widest=given.discriminator_widest,
            decoders=given.decoders,
            attention=given.attention,
        )
        average = averaged(generator, lambda t: max(1 - given.decay, 4 / (t + 4)))
        return {"generator": generator, "discriminator": discriminator, "average": average}

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 64) -> Tensor:
        """By the average of the generator, at the side of the data."""
        return draw(networks["average"], seeds, side=start.shape[-1], chunk=chunk)
