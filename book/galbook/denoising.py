"""What denoisers make of images they were, and were not, trained on: asked and drawn (figures 5 and 6)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from galbook.kept import once
from galbook.scoreboard import models_judged
from galgen.compare.denoising import Denoising, Panel, denoising_curve, training_gap
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.uncertainty import Estimate, bootstrap
from galgen.experiment import Experiment
from galgen.figures.style import shades, stamp_sheet
from galgen.figures.words import spaced
from galgen.models.families import Training
from galgen.runs.store import Array

__all__ = [
    "LEVELS",
    "LITTLE",
    "denoising_sheet",
    "gained",
    "gaps",
    "gaussian_image",
    "gaussian_of",
    "psnr_curves",
]

LEVELS = np.geomspace(0.01, 1, 9)  # of noise

LITTLE = LEVELS[LEVELS <= 0.05]  # where the paper's denoiser of a small N stays at one PSNR

HELD_OUT = 200  # images


def gaps(experiment: Experiment) -> dict[int, np.ndarray]:
    """By N, by how many dB a denoiser is better for having been trained on an image, at each of `LEVELS`."""
    return {n: _training_gap(experiment, n) for n in experiment.sizes}


@once
def _training_gap(experiment: Experiment, N: int) -> Array:
    pair = experiment.models.pair(N)
    nets = [experiment.family.denoiser(experiment.networks(model)) for model in pair]
    return training_gap(nets, [experiment.images.of(model)[:100] for model in pair], LEVELS)


@once
def gained(experiment: Experiment, N: int) -> dict[str, list[Estimate]]:
    """PSNR out less PSNR in on held-out images, in dB, at each of `LITTLE`, by model that is judged."""
    held_out = experiment.images.dataset.images[experiment.images.split().validation[:HELD_OUT]]
    found = {}
    for model in models_judged(experiment, N):
        curve = denoising_curve(experiment.family.denoiser(experiment.networks(model)), held_out, LITTLE)
        rows = zip(curve.denoised, curve.noisy, strict=True)
        found[model.label] = [bootstrap(out - given) for out, given in rows]
    return found


def gaussian_of(experiment: Experiment, images: np.ndarray) -> Tensor:
    """What the Gaussian of images (uint8) draws, by the family's sampler and from the models' noise."""
    return experiment.family.flow(fit_gaussian(images), experiment.latents(), experiment.images.start).images


def gaussian_image(experiment: Experiment, training: Training) -> Tensor:
    """The same of a model's training images."""
    return gaussian_of(experiment, experiment.images.of(training))


def denoising_sheet(panel: Panel, sigmas: Sequence[float]) -> Figure:
    """One image with growing noise and, under it, what each denoiser makes of it, all with their PSNR."""
    blank = np.ones_like(panel.clean)[None]
    stack, rows = [panel.clean[None], panel.noisy], ["noisy"]
    titles = ["clean", *(f"σ={s:g}: {v:.1f}" for s, v in zip(sigmas, panel.noisy_psnr, strict=True))]
    for n, denoised in panel.denoised.items():
        stack += [blank, denoised]
        titles += ["", *(f"{value:.1f}" for value in panel.denoised_psnr[n])]
        rows.append(f"N = {spaced(n)}")
    columns = len(sigmas) + 1
    return stamp_sheet(np.concatenate(stack), columns=columns, titles=titles, rows=rows, inches=0.95)


def psnr_curves(curves: Mapping[int, tuple[Denoising, Denoising]]) -> Figure:
    """PSNR after against PSNR before denoising: medians of training (solid) and of held-out images (dashed).

    Args:
        curves: By N, of training and of held-out images; a band holds 68 % of the latter.
    """
    figure, axis = plt.subplots(figsize=(6.4, 4))
    shade = shades(list(curves))
    for n, (seen, unseen) in curves.items():
        x = np.median(unseen.noisy, axis=1)
        low, middle, high = np.percentile(unseen.denoised, (16, 50, 84), axis=1)
        axis.plot(x, np.median(seen.denoised, axis=1), color=shade[n], label=f"N = {spaced(n)}")
        axis.plot(x, middle, "--", color=shade[n])
        axis.fill_between(x, low, high, color=shade[n], alpha=0.12, lw=0)
    axis.plot(x, x, ":", color="gray")  # the same noise for every N
    axis.set(xlabel="PSNR of the noisy image, dB", ylabel="PSNR of the denoised image, dB")
    axis.legend()
    return figure
