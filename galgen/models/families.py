"""The families of models that the book compares: what one has to say of itself to take part.

A family turns its settings into networks, a learner for the one training loop, and a way from latents to
images. All else (splits, seeds, the store, the two-models tests, the workflow) is the same for each, so a
new family is its settings in `galgen.profiles`, a module with its class here beside it, and its name below
(`book/another.md`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor, nn

from galgen.profiles import TrainingSettings
from galgen.runs.registry import Registry
from galgen.runs.training import Learner

__all__ = ["FAMILIES", "STUDIES", "Family", "Training"]


class Family(Protocol):
    """What an experiment asks of a family.

    Attributes:
        name: Short, for folders and the names of trainings.
        label: As the text of the book calls it.
        settings: Its part of the profile.
        bits: Of the gray levels of its samples, to which galaxies are rounded before they are compared.
        flips: Whether it is trained with images flipped at random.
        files: Modules that the end of a training depends on: its networks, what they learn by, and in which
            order they are shown images. Their version is in the key of a training.
        draws: Modules that a model's images depend on beside these.
        flop_rate: FLOP/s of one core of a small server, sustained in a training step (`benchmarks/`).
        learner: What learns, of fresh networks (changed in place); the training images, uint8 (N, 1, H, W),
            for what depends on data at the start; held-out images that few tests use, as far as there
            are some, which no gradient may see; the settings; the device; and the precision.
    """

    name: str
    label: str
    settings: TrainingSettings
    bits: int
    flips: bool
    files: tuple[str, ...]
    draws: tuple[str, ...]
    flop_rate: float
    learner: Callable[..., Learner]

    def networks(self) -> dict[str, nn.Module]:
        """Fresh networks, by the names the learner has for them; the caller seeds torch."""

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 64) -> Tensor:
        """The images (n, 1, H, W) of the latents that the seeds name; a walk begins at `start` (1, H, W).

        `chunk` of them go through a network at once.
        """


@dataclass(frozen=True)
class Training:
    """One model to train, and all that names it.

    Attributes:
        N: Number of training images.
        half: Which images: A or B.
        init: Number of the initialisation.
        order: Number of the data order and of the noise.
        out_of_domain: Of what other data set the images are, a name of `galgen.profiles.OutOfDomain`, or "".
        family: Which family the model is of.
    """

    N: int
    half: Literal["A", "B"]
    init: int
    order: int
    out_of_domain: str = ""
    family: str = "diffusion"

    @property
    def name(self) -> str:
        """Short, unique, and fit for a file name."""
        name = f"{self.family}-N{self.N}-{self.half}{self.init}-{self.order}"
        return f"{name}-{self.out_of_domain}" if self.out_of_domain else name

    @property
    def label(self) -> str:
        """Its half and the number of its initialisation, as `A0`: its name among those of one N."""
        return f"{self.half}{self.init}"


# By name, which is that of their part of a profile, too.
FAMILIES = Registry(
    {
        "diffusion": "galgen.models.diffusion:Diffusion",
        "conditional": "galgen.models.conditional:ConditionalDiffusion",
        "glow": "galgen.models.glow_learner:GlowFamily",
        "gan": "galgen.models.gan:Gan",
    }
)
STUDIES = Registry(  # one question of one chapter; in no comparison
    {f"onset{kernels}": f"galgen.models.onset_study:OnsetStudy{kernels}" for kernels in (4, 8, 16, 32)}
)
