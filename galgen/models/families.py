"""The families of models that the book compares: what one has to say of itself to take part.

A family turns its settings into networks, a learner for the one training loop, and a way from latents to
images. All else (splits, seeds, the store, the two-models tests, the workflow) is the same for each, so a
new family is a model file, its settings in `galgen.config`, and a class here.
"""

import copy
from types import ModuleType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from galgen.config import Profile, Trained
from galgen.models import gan, glow, lightweight, sampling, unet
from galgen.runs import training as loop

__all__ = ["FAMILIES", "SCHEDULES", "Diffusion", "Family", "Flow", "Gan"]


def constant(shown: int, total: int) -> float:
    """One learning rate throughout."""
    return 1.0


def falling(shown: int, total: int) -> float:
    """Constant after a climb over 1000 images, and from half of the training on linearly to nothing."""
    return min(1.0, (shown + 1) / 1000, 2 * (1 - shown / total))


_ALL = ("08_morphology", "09_comparison", "10_conclusions")  # chapters that need every family

SCHEDULES = {"cosine": loop.cosine, "halving": loop.halving, "constant": constant, "falling": falling}


class Family(Protocol):
    """What an experiment asks of a family.

    Attributes:
        name: Short, for folders and the names of trainings.
        label: As the text of the book calls it.
        chapters: That need its models.
        settings: Its part of the profile.
        bits: Of the grey levels of its samples, to which galaxies are rounded before they are compared.
        flips: Whether it is trained with images turned over at random.
        has_second_pair: Whether each N has a second pair, with the two initialisations exchanged.
        has_control: Whether a model of other galaxies is trained as well.
        code: The modules whose change makes a training another one.
        sampler: What the samples depend on beside the model (JSON).
        sampler_code: The modules whose change makes the samples others.
        flop_rate: FLOP/s of one core of a small server, sustained in a training step (`benchmarks/`).
    """

    name: str
    label: str
    chapters: tuple[str, ...]
    settings: Trained
    bits: int
    flips: bool
    has_second_pair: bool
    has_control: bool
    code: tuple[ModuleType, ...]
    sampler: dict
    sampler_code: tuple[ModuleType, ...]
    flop_rate: float

    def networks(self) -> dict[str, nn.Module]:
        """Fresh networks, by the names the learner has for them; the caller seeds torch."""

    def learner(
        self, networks: dict[str, nn.Module], images: np.ndarray, held_out: np.ndarray, device: str
    ) -> loop.Learner:
        """The learner of fresh networks.

        Args:
            networks: Made by `networks`; changed in place.
            images: The training images, uint8 (N, 1, H, W), for what depends on data at the start.
            held_out: As many validation images as there are; no gradient may see them.
            device: Where to train.
        """

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 64) -> Tensor:
        """The images (n, 1, H, W) of the latents that the seeds name; a walk begins at `start` (1, H, W).

        `chunk` of them go through a network at once.
        """


class Diffusion:
    """The blind denoiser (`galgen.models.unet`) and its deterministic sampler."""

    name, label = "unet", "diffusion"
    chapters = ("00_headline", "02_diffusion", "03_two_models_diffusion", *_ALL)
    bits, flips, has_second_pair, has_control = 8, False, False, True
    code, sampler_code = (unet, loop), (sampling, unet)
    flop_rate = 5e10

    def __init__(self, profile: Profile):
        self.settings = profile.denoiser
        self.sampler = {
            "steps": self.settings.sampler_steps,
            "sigma_min": self.settings.sampler_sigma_min,
        }

    def networks(self) -> dict[str, nn.Module]:
        """The U-Net."""
        return {"net": unet.UNet(self.settings.kernels, self.settings.blocks)}

    def learner(
        self, networks: dict[str, nn.Module], images: np.ndarray, held_out: np.ndarray, device: str
    ) -> unet.DenoiserLearner:
        """Needs no data to begin."""
        return unet.DenoiserLearner(
            networks["net"],
            learning_rate=self.settings.learning_rate,
            loss=self.settings.loss,
            device=device,
            precision="bf16" if device == "cuda" else "fp32",  # bf16 is slower without matrix units
        )

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 16) -> Tensor:
        """Along the geometric ladder of noise levels, not clipped."""
        return sampling.probability_flow_ode(
            networks["net"], start, seeds, chunk=chunk, **self.sampler
        ).images


class Flow:
    """Glow (`galgen.models.glow`)."""

    name, label = "glow", "Glow"
    chapters = ("04_glow", "05_inversion_test", *_ALL)
    flips, has_second_pair, has_control = True, True, True
    code, sampler_code = (glow, loop), (glow,)
    flop_rate = 3.7e10

    def __init__(self, profile: Profile):
        self.settings, self.size = profile.glow, profile.image_size
        self.bits = self.settings.bits
        self.sampler = {"temperature": self.settings.sampler_temperature}

    def networks(self) -> dict[str, nn.Module]:
        """The flow, whose actnorms are not yet initialised."""
        names = ("steps", "levels", "width", "bits", "channels")
        return {"net": glow.Glow(size=self.size, **{name: getattr(self.settings, name) for name in names})}

    def learner(
        self, networks: dict[str, nn.Module], images: np.ndarray, held_out: np.ndarray, device: str
    ) -> glow.GlowLearner:
        """Initialises the actnorms on the first 256 training images."""
        first = torch.from_numpy(np.array(images[:256])).float() / 255
        networks["net"].initialize(first, torch.Generator().manual_seed(0))
        return glow.GlowLearner(networks["net"], learning_rate=self.settings.learning_rate, device=device)

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 64) -> Tensor:
        """Through the inverse of the flow; black where it overflows, which chapter 4 counts."""
        return glow.draw(networks["net"], seeds, chunk=chunk, **self.sampler)[0].nan_to_num(0)


class Gan:
    """The lightweight GAN (`galgen.models.gan`)."""

    name, label = "gan", "GAN"
    chapters = ("06_gan", "07_discriminator_test", *_ALL)
    bits, flips, has_second_pair, has_control = 8, True, True, False
    code, sampler_code = (gan, lightweight, loop), (gan, lightweight)
    flop_rate = 9e10

    def __init__(self, profile: Profile):
        self.settings = profile.gan
        self.sampler = {}

    def networks(self) -> dict[str, nn.Module]:
        """Generator, discriminator, and the average of the generator."""
        given = self.settings
        generator = lightweight.Generator(
            size=given.size,
            latent=given.latent,
            width=given.generator_width,
            widest=given.generator_widest,
            kernel=given.kernel,
            attention=given.attention,
        )
        discriminator = lightweight.Discriminator(
            size=given.size,
            width=given.discriminator_width,
            widest=given.discriminator_widest,
            decoders=given.decoders,
            attention=given.attention,
        )
        average = copy.deepcopy(generator)
        return {"generator": generator, "discriminator": discriminator, "average": average}

    def learner(
        self, networks: dict[str, nn.Module], images: np.ndarray, held_out: np.ndarray, device: str
    ) -> gan.GanLearner:
        """Asks the discriminator for its scores of held-out images along the way."""
        return gan.GanLearner(
            networks["generator"],
            networks["discriminator"],
            held_out,
            learning_rate=self.settings.learning_rate,
            discriminator_rate=self.settings.discriminator_rate,
            penalty=self.settings.penalty,
            device=device,
        )

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 64) -> Tensor:
        """By the average of the generator, at the side of the data."""
        return gan.draw(networks["average"], seeds, side=start.shape[-1], chunk=chunk)


FAMILIES: dict[str, type[Family]] = {family.name: family for family in (Diffusion, Flow, Gan)}
