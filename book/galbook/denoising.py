"""What denoisers make of images they were, and were not, trained on: asked and drawn (figures 5 and 6)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from galbook.kept import once
from galbook.scoreboard import models_judged
from galgen.compare.denoising import Denoising, Panel, denoise_panel, denoising_curve, training_gap
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.uncertainty import Estimate, bootstrap
from galgen.experiment import Experiment
from galgen.figures.style import shades, stamp_sheet
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.models.families import Training
from galgen.runs.store import Array

__all__ = [
    "LEVELS",
    "LITTLE",
    "curves",
    "denoising_sheet",
    "gained",
    "gaps",
    "gaussian_image",
    "gaussian_of",
    "linear_filter",
    "panel_said",
    "panels",
    "psnr_curve",
    "psnr_curves",
    "psnr_said",
    "psnr_table",
    "restored",
]

# The modules that the answers depend on, beside this one.
FILES = ("galbook.scoreboard", "galgen.compare.denoising")

LEVELS = np.geomspace(0.01, 1, 9)  # of noise

LITTLE = LEVELS[LEVELS <= 0.05]  # where the paper's denoiser of a small N stays at one PSNR

HELD_OUT = 200  # images

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # of the noise on a single image


@once
def panels(experiment: Experiment) -> dict[str, Panel]:
    """A training image and a held-out one, as model A of the smallest and of the largest N denoises them."""
    models = {N: experiment.models.pair(N)[0] for N in (experiment.sizes[0], experiment.sizes[-1])}
    nets = {
        f"N = {spaced(N)}": experiment.family.denoiser(experiment.networks(model))
        for N, model in models.items()
    }
    some = {"training": experiment.images.of(models[experiment.sizes[0]])[0]}
    some["held out"] = experiment.images.held_out[0]
    seed = experiment.parameters.seed
    return {name: denoise_panel(nets, image, SIGMAS, seed=seed) for name, image in some.items()}


@once
def _psnr(experiment: Experiment, N: int, seen: bool, sigmas: list[float]) -> list[Array]:
    model = experiment.models.pair(N)[0]
    images = experiment.images.of(model) if seen else experiment.images.held_out
    denoiser = experiment.family.denoiser(experiment.networks(model))
    found = denoising_curve(denoiser, images[:HELD_OUT], sigmas)
    return [found.noisy, found.denoised]


def psnr_curve(
    experiment: Experiment, N: int, sigmas: Sequence[float] = LEVELS, *, seen: bool = False
) -> Denoising:
    """PSNR of model A of N images on up to 200 held-out images, or on those of its own, (sigmas, images)."""
    return Denoising(*_psnr(experiment, N, seen, list(map(float, sigmas))))


def curves(experiment: Experiment) -> dict[int, tuple[Denoising, Denoising]]:
    """By N, the same on its own images and on held-out images, at `LEVELS`."""
    return {n: (psnr_curve(experiment, n, seen=True), psnr_curve(experiment, n)) for n in experiment.sizes}


def linear_filter(experiment: Experiment, sigmas: Sequence[float] = LEVELS) -> Denoising:
    """The same of the Gaussian of A's images at the largest N, on held-out images."""
    model = experiment.models.pair(experiment.sizes[-1])[0]
    gaussian, held_out = fit_gaussian(experiment.images.of(model)), experiment.images.held_out
    return denoising_curve(gaussian.denoise, held_out[:HELD_OUT], sigmas)


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


def denoising_sheet(panel: Panel) -> Figure:
    """One image with noise of `SIGMAS` and, under it, what each denoiser makes of it, all with their PSNR."""
    blank = np.ones_like(panel.clean)[None]
    stack, rows = [panel.clean[None], panel.noisy], ["noisy", *panel.denoised]
    titles = ["clean", *(f"σ={s:g}: {v:.1f}" for s, v in zip(SIGMAS, panel.noisy_psnr, strict=True))]
    for name, denoised in panel.denoised.items():
        stack += [blank, denoised]
        titles += ["", *(f"{value:.1f}" for value in panel.denoised_psnr[name])]
    columns = len(SIGMAS) + 1
    return stamp_sheet(np.concatenate(stack), columns=columns, titles=titles, rows=rows, inches=0.95)


def panel_said(panel: Panel) -> str:
    """What each denoiser makes of that image, at the noise of 0.1: the title."""
    at = SIGMAS.index(0.1)
    each = (f"{psnr[at]:.1f} dB by {name}" for name, psnr in panel.denoised_psnr.items())
    return f"with noise of σ = {SIGMAS[at]:g} restored to {', '.join(each)}"


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


def psnr_said(curves: Mapping[int, tuple[Denoising, Denoising]]) -> str:
    """By how much the medians of training images lie above those of held-out ones: the title."""
    at = int(np.argmin(abs(LEVELS - 0.1)))
    apart = {n: np.subtract(*(np.median(part.denoised[at]) for part in pair)) for n, pair in curves.items()}
    each = (f"{gap:+z.1f} dB at N = {spaced(n)}" for n, gap in apart.items())
    return f"Training images above unseen ones, at σ = {LEVELS[at]:.2g}: {', '.join(each)}"


def psnr_table(found: Mapping[int, tuple[Denoising, Denoising]], left: Mapping[int, np.ndarray]) -> Markdown:
    """Medians on training and on held-out images at three levels, and the largest gap of models A and B.

    Args:
        found: By N: `curves`.
        left: By N: `gaps`.
    """
    picked, rows = (0, 4, 8), []
    for n, pair in found.items():
        held_out, (seen, new) = pair[1], (np.median(part.denoised, axis=1) for part in pair)
        rows.append([spaced(n), *(f"{seen[k]:.1f} / {new[k]:.1f}" for k in picked)])
        rows[-1].append(f"{left[n].max():+z.1f} dB")
    return table(
        ["N", *(f"σ = {LEVELS[k]:.2g}: training / held-out" for k in picked), "largest gap"],
        rows,
        before=f"Medians in dB over {held_out.denoised.shape[1]} held-out images and up to {HELD_OUT} "
        "training images. The gap is that of models A and B on the *same* images, up to 100 of each one's "
        "training images: the PSNR of the one trained on an image less that of the other:",
    )


def restored(left: Mapping[int, np.ndarray]) -> str:
    """By how much better a denoiser restores its own images, at the smallest and at the largest N: `gaps`."""
    tenth = int(np.argmin(abs(LEVELS - 0.1)))
    ends = {n: f"{left[n][tenth]:z.1f} dB at N = {spaced(n)}" for n in (min(left), max(left))}
    return (
        "A denoiser that was trained on an image restores it better than one that was not, by "
        f"{' and by '.join(ends.values())} (noise of σ = {LEVELS[tenth]:.2g})."
    )
