"""What chapter 04 asks of single flows: their samples by temperature, latents of galaxies, and the way back.

    x(T) = f^-1(T z), z ~ N(0, 1)         at temperature T
    |z'|^2 of a held-out image            chi^2 of d degrees at a level of d latents, if the flow is right
    max |f(f^-1(z)) - z|                  0, but for the arithmetic

What a page draws of these is an answer: it needs no network.
"""

from dataclasses import dataclass

import numpy as np
import torch

from galbook.kept import once
from galgen.compare import inversion
from galgen.experiment import Experiment
from galgen.models import glow_learner
from galgen.runs.store import Array

__all__ = ["Returned", "Warm", "returned", "scatter", "warm"]

# The modules that the answers depend on, beside this one.
FILES = (
    "galgen.compare.distances",
    "galgen.compare.inversion",
    "galgen.compare.uncertainty",
    "galgen.models.coupling",
    "galgen.models.glow",
    "galgen.models.glow_learner",
    "galgen.models.muon",
)

_TEMPERATURES = np.linspace(0, 1.2, 13)
_FEW = 12  # latents whose samples are shown
_GALAXIES = 512  # whose latents are measured
_PRECISIONS = {"single": torch.float32, "double": torch.float64}


@dataclass(frozen=True)
class Warm:
    """Samples of the same latents by temperature.

    Attributes:
        temperatures: Of the panels.
        panels: Gray levels of 8 bits, (temperatures, sizes, latents, H, W).
        spreads: Of each panel at the largest N the standard deviation of a pixel, white at 1.
    """

    temperatures: list[float]
    panels: Array
    spreads: list[float]


@dataclass(frozen=True)
class Returned:
    """How latents come back from images.

    Attributes:
        errors: The largest error of a latent, by level.
        off: Images with a latent that is off by more than 0.01.
        lost: Images with a pixel beyond `galgen.compare.inversion.LIMIT`.
    """

    errors: list[float]
    off: int
    lost: int

    @property
    def largest(self) -> float:
        """Of all levels."""
        return float(np.max(self.errors))


@once
def warm(experiment: Experiment) -> Warm:
    """Samples of model A of each N, at growing temperature."""
    flows = [experiment.networks(experiment.models.pair(N)[0])["net"] for N in experiment.sizes]
    seeds = experiment.latents(min(_FEW, experiment.profile.samples))
    drawn = np.array(
        [[glow_learner.draw(flow, seeds, temperature=t)[0][:, 0] for flow in flows] for t in _TEMPERATURES]
    )
    spreads = drawn[:, -1].std(1).mean((1, 2))
    levels = np.round(255 * np.nan_to_num(drawn).clip(0, 1)).astype(np.uint8)
    return Warm(_TEMPERATURES.tolist(), levels, spreads.tolist())


@once
def scatter(experiment: Experiment) -> list[float]:
    """By level, how many times as much as those of normals the |z'|^2 of held-out galaxies scatter."""
    N = experiment.sizes[-1]
    flow = experiment.networks(experiment.models.pair(N)[0])["net"]
    images = experiment.images.dataset.images[experiment.images.split(N).validation[:_GALAXIES]]
    noise = torch.Generator().manual_seed(experiment.parameters.seed)
    with torch.inference_mode():
        found = flow.encode(flow.dequantize(torch.from_numpy(images) / 255, noise))[0]
    norms = [z.square().sum((1, 2, 3)) for z in found]
    return [
        norm.std().item() / (2 * np.prod(shape)) ** 0.5
        for norm, shape in zip(norms, flow.latent_shapes, strict=True)
    ]


@once
def returned(experiment: Experiment, N: int) -> dict[str, Returned]:
    """Of model A, the shared latents decoded and encoded, by the precision of the arithmetic."""
    flow, found = experiment.networks(experiment.models.pair(N)[0])["net"], {}
    for name, dtype in _PRECISIONS.items():
        z = glow_learner.latents(flow, experiment.latents())
        there = inversion.invert(flow, flow, z, limit=np.inf, dtype=dtype)
        apart = [np.abs(z - z_a).max((1, 2, 3)) for z, z_a in zip(there.z, there.z_a, strict=True)]
        off = ~(np.max(apart, 0) <= 0.01)  # nor is what is not a number
        lost = ~(np.abs(there.x) <= inversion.LIMIT).all((1, 2, 3))
        found[name] = Returned([float(level.max()) for level in apart], int(off.sum()), int(lost.sum()))
    return found
