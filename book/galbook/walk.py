"""Walks through the latents: of a Glow from one galaxy to another, level by level, of a GAN on a circle."""

import numpy as np
import torch
from torch import Tensor

from galbook.kept import once
from galbook.sentences import at_sizes
from galbook.slider import slider_figure
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.figures.style import Shown, gray
from galgen.models.glow import Glow
from galgen.models.sampling import noise, seeded
from galgen.runs.store import Array

__all__ = ["circle_figure", "levels_figure", "walks"]

# The modules that the answers depend on, beside this one.
FILES = ("galgen.models.coupling", "galgen.models.glow")

STEPS = 25  # images on the circle


@torch.inference_mode()
def walks(flow: Glow, ends: Tensor, steps: int = 9) -> np.ndarray:
    """From one galaxy to another through the latents: each level carried over alone, then all.

    The way is the great circle cos(t) z_0 + sin(t) z_1, t from 0 to pi/2, on which a unit normal stays one.

    Args:
        flow: An initialized flow.
        ends: Two images as `Glow.dequantize` makes them, (2, 1, H, W).
        steps: Images on each way, the ends among them.

    Returns:
        The first galaxy, the image on the way and the second, side by side: (levels + 1, steps, H, 3 W).
    """
    z, _ = flow.encode(ends)
    angle = torch.linspace(0, torch.pi / 2, steps)[:, None, None, None]
    carried = [angle.cos() * part[:1] + angle.sin() * part[1:] for part in z]
    kept = [part[:1].expand(steps, *part.shape[1:]) for part in z]
    ways = [[*kept[:k], carried[k], *kept[k + 1 :]] for k in range(len(z))] + [carried]
    first, last = (image.expand(steps, *image.shape) for image in flow.image(ends)[:, 0])
    return np.array([torch.cat([first, flow.image(flow.decode(way))[:, 0], last], 2).numpy() for way in ways])


@once
def levels_carried_over(experiment: Experiment) -> Array:
    """The walks of model A of the largest N between two held-out galaxies, uint8."""
    flow = experiment.networks(experiment.models.pair(experiment.sizes[-1])[0])["net"]
    two = unit(experiment.images.dataset.images[experiment.images.split().validation[:2]])
    return gray(walks(flow, flow.dequantize(two, torch.Generator().manual_seed(1))))


def levels_figure(experiment: Experiment) -> Shown:
    """From one galaxy to another: sliders over what is carried over, and how far."""
    frames = levels_carried_over(experiment).astype(np.uint8)
    levels, way = [*map(str, range(len(frames) - 1)), "all"], np.linspace(0, 1, frames.shape[1])
    names = [*(f"Level {k}" for k in levels[:-1]), "All levels"]
    return slider_figure(
        frames,
        sliders={"level": levels, "way": [f"{w:.2f}" for w in way]},
        captions=[
            f"{name}, {100 * w:.0f} % of the way; left the first galaxy, right the second"
            for name in names
            for w in way
        ],
        title="From one galaxy to another, level by level",
        alt="Left the first galaxy, right the second, between them the image on the way.",
        start=(len(levels) - 1, frames.shape[1] // 2),
        width=560,
    )


@once
def circle(experiment: Experiment) -> Array:
    """What model A of each N makes of the circle that two latents span, side by side, uint8."""
    models = [experiment.models.pair(n)[0] for n in experiment.sizes]
    averages = [experiment.networks(model)["average"] for model in models]
    angle = torch.linspace(0, 2 * torch.pi, STEPS)[:, None]
    first, second = noise(seeded(experiment.latents(2)), (averages[0].module.inputs,))
    around = angle.cos() * first + angle.sin() * second
    with torch.inference_mode():
        found = [average(around)[:, 0] for average in averages]
    return gray(torch.cat(found, 2).numpy())


def circle_figure(experiment: Experiment) -> Shown:
    """A walk on the circle, a slider over its steps."""
    frames, at = circle(experiment).astype(np.uint8), at_sizes(experiment.sizes)
    return slider_figure(
        frames,
        sliders={"step": range(1, STEPS + 1)},
        captions=[f"Step {k + 1} of {STEPS}; from left to right {at}" for k in range(STEPS)],
        title="A walk through the latents of the GAN",
        alt="One image for each N, changing as the latent moves on a circle.",
        width=480,
    )
