"""Registry and interface of the model families that the book compares.

A family defines, from its settings, the networks, a learner for the common training loop, and the map from
latents to images. Everything else (splits, seeds, the store, the two-models tests, the workflow) is common,
so a new family needs settings in `galgen.profiles`, a module with its class in this package, and its name
below (`book/another.md`).
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
    """Interface of a model family.

    Attributes:
        name: Short name, for directories and the names of trainings.
        label: Name in the text of the book.
        settings: Its part of the profile.
        bits: Bits per pixel of its samples; galaxies are rounded to as many before they are compared.
        flips: Whether it is trained with random flips of the images.
        flop_rate: FLOP/s of one core of a small server, sustained in a training step (`benchmarks/`).
        learner: Returns the learner, given new networks (modified in place); the training images, uint8
            (N, 1, H, W), for data-dependent initialization; held-out images, if available, for monitoring
            only (no gradients); the settings; the device; and the precision.
    """

    name: str
    label: str
    settings: TrainingSettings
    bits: int
    flips: bool
    flop_rate: float
    learner: Callable[..., Learner]

    def networks(self) -> dict[str, nn.Module]:
        """Return new networks, by the names that the learner uses; the caller seeds torch."""

    def draw(self, networks: dict[str, nn.Module], seeds: range, start: Tensor, chunk: int = 64) -> Tensor:
        """Generate images (n, 1, H, W) from the latents of the seeds; sampling starts at `start` (1, H, W).

        A network is called on `chunk` images at a time.
        """


@dataclass(frozen=True)
class Training:
    """Identity of one model to train.

    Attributes:
        N: Number of training images.
        half: Training set, A or B.
        init: Number of the initialization.
        order: Number of the data order and of the noise.
        out_of_domain: Name of the out-of-domain data set, of `galgen.profiles.OutOfDomain`, or "".
        family: Name of the model family.
    """

    N: int
    half: Literal["A", "B"]
    init: int
    order: int
    out_of_domain: str = ""
    family: str = "diffusion"

    @property
    def name(self) -> str:
        """Short, unique name, which is valid as a file name."""
        name = f"{self.family}-N{self.N}-{self.half}{self.init}-{self.order}"
        return f"{name}-{self.out_of_domain}" if self.out_of_domain else name

    @property
    def label(self) -> str:
        """Training set and number of the initialization, as `A0`: unique among the models of one N."""
        return f"{self.half}{self.init}"


# By name, which is also the name of their part of the profile.
FAMILIES = Registry(
    {
        "diffusion": "galgen.models.diffusion:Diffusion",
        "conditional": "galgen.models.conditional:ConditionalDiffusion",
        "glow": "galgen.models.glow_learner:GlowFamily",
        "gan": "galgen.models.gan:Gan",
    }
)
STUDIES = Registry(  # for single chapters; not part of the comparison of families
    {f"onset{channels}": f"galgen.models.onset_study:OnsetStudy{channels}" for channels in (4, 8, 16, 32)}
)
