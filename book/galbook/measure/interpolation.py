"""Interpolation between latents: of a Glow from one galaxy to another, level by level; of a GAN on a circle.

The path is the great circle cos(t) z_0 + sin(t) z_1, on which a unit normal stays one: from one galaxy to the
other for t from 0 to pi/2, and back to where it began for t from 0 to 2 pi.
"""

import numpy as np
import torch
from torch import Tensor

from galbook.table import each_size, first_pair, largest_size, question
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.models.glow import Glow
from galgen.models.sampling import noise, seeded

__all__ = ["interpolated", "latent_circle", "latent_interpolation"]

FILES = ("galgen.data.unit", "galgen.models.coupling", "galgen.models.glow", "galgen.models.sampling")
STEPS = 25  # images on the circle


@question(
    families=("glow",),
    given=largest_size,
    models=lambda experiment, N: first_pair(experiment, N)[:1],
)
def latent_interpolation(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Model A between two held-out galaxies, (levels + 1, steps, H, W), and these two, (2, H, W)."""
    flow = experiment.networks(experiment.models.pair(N)[0])["net"]
    galaxies = unit(experiment.images.dataset.images[experiment.images.split(N).validation[:2]])
    ends = flow.dequantize(galaxies, torch.Generator().manual_seed(1))
    return [], {"images": _gray(interpolated(flow, ends)), "ends": _gray(flow.image(ends)[:, 0])}


@question(
    families=("gan",),
    given=each_size,
    models=lambda experiment, N: first_pair(experiment, N)[:1],
)
def latent_circle(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Model A on the circle that the first two latents span, (steps, H, W); the last image is the first."""
    generator = experiment.networks(experiment.models.pair(N)[0])["average"]
    angle = torch.linspace(0, 2 * torch.pi, STEPS)[:, None]
    first, second = noise(seeded(experiment.latents(2)), (generator.module.inputs,))
    with torch.inference_mode():
        return [], {"images": _gray(generator(angle.cos() * first + angle.sin() * second)[:, 0])}


@torch.inference_mode()
def interpolated(flow: Glow, ends: Tensor, steps: int = 9) -> Tensor:
    """Images on the path between two, each level of the latents interpolated alone, then all levels.

    Args:
        flow: An initialized flow.
        ends: Two images as `Glow.dequantize` makes them, (2, 1, H, W).
        steps: Images on each path, the ends among them.

    Returns:
        The images, (levels + 1, steps, H, W).
    """
    z, _ = flow.encode(ends)
    angle = torch.linspace(0, torch.pi / 2, steps)[:, None, None, None]
    moved = [angle.cos() * part[:1] + angle.sin() * part[1:] for part in z]
    fixed = [part[:1].expand(steps, *part.shape[1:]) for part in z]
    paths = [[*fixed[:k], moved[k], *fixed[k + 1 :]] for k in range(len(z))] + [moved]
    return torch.stack([flow.image(flow.decode(path))[:, 0] for path in paths])


def _gray(images: Tensor) -> np.ndarray:
    """Images as uint8, black at 0 and white at 1, NaN black."""
    return (images.nan_to_num().clamp(0, 1).numpy() * 255).round().astype(np.uint8)
