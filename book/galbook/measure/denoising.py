"""Denoising of training images and held-out images (figures 5 and 6 of the paper).

For images in [0, 1], y = x + sigma z and the estimate D(y; sigma) of x,

    PSNR = -10 log10 mean (D(y; sigma) - x)^2,    in dB.

Three differences of PSNR are measured, each on the same image with the same noise:

* gain: after minus before denoising, on held-out images;
* beyond the Gaussian: model minus the denoiser of the Gaussian of its training images, the best linear one;
* advantage: the model that was trained on an image minus the other model of the pair (`training_gap`).

`training_losses` reads the losses of the trainings.
"""

from collections.abc import Iterable

import numpy as np

from galbook.table import all_pairs, each_size, question, row
from galgen.compare.denoising import denoise_panel, denoising_curve, training_gap
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.uncertainty import bootstrap
from galgen.experiment import Experiment
from galgen.models.families import Training
from galgen.runs.checkpoint import read_losses

__all__ = ["denoised_images", "denoising_psnr", "ends", "training_losses"]


DENOISERS = ("diffusion", "conditional")

LEVELS = np.geomspace(0.01, 10, 13)  # noise levels, up to the largest in training

PANEL = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # noise levels of the example images

IMAGES = 200  # per set, at most; half as many for the advantage

POINTS = 200  # per loss curve, at most

LOSSES = {  # from names in the log to statistics
    "loss": "training_loss",
    "bits_per_dim": "training_bits_per_dim",
    "hinge": "hinge_loss",
}
SCORES = "D_real", "D_held_out", "D_fake"  # of a discriminator: arrays only


def ends(experiment: Experiment) -> list[tuple[int]]:
    """Smallest and largest N of the family."""
    return list(dict.fromkeys((N,) for N in (*experiment.sizes[:1], *experiment.sizes[-1:])))


def evaluated(experiment: Experiment, N: int) -> list[Training]:
    """Models A and B of the first pair, and A of the second one."""
    (a, b), *more = experiment.models.pairs(N)
    return [a, b, *(pair[0] for pair in more[:1])]


def gray(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as uint8, clipped and rounded."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


@question(families=DENOISERS, arguments=each_size, models=evaluated)
def denoising_psnr(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """PSNR of denoised images as a function of the noise level, and the differences defined above.

    Arrays, with the 16th, 50th and 84th percentiles over held-out images, of model A, in dB:

        sigma                  noise levels, (L,)
        psnr_held_out          (3, L)
        psnr_beyond_gaussian   (3, L)
    """
    images, shown = experiment.images, experiment.settings.images_shown(N)
    levels = LEVELS[LEVELS < 1.01 * experiment.settings.sampler_sigma_max]
    pair = A, B = experiment.models.pair(N)
    nets = {
        model: experiment.family.denoiser(experiment.networks(model)) for model in evaluated(experiment, N)
    }
    train, held_out = [images.of(model) for model in pair], images.held_out[:IMAGES]
    rows = []

    def over_levels(statistic: str, values: Iterable[np.ndarray], **where: object) -> None:
        pairs = zip(levels, values, strict=True)
        rows.extend(row(statistic, bootstrap(psnr), at=sigma, **where) for sigma, psnr in pairs)

    curves = {model: denoising_curve(net, held_out, levels) for model, net in nets.items()}
    gaussian = denoising_curve(fit_gaussian(train[0]), held_out, levels)
    over_levels("psnr_held_out", gaussian.noisy, model="noisy")
    over_levels("psnr_held_out", gaussian.denoised, model="gaussian")
    for model, curve in curves.items():
        where = {"model": model.label, "images_shown": shown}
        over_levels("psnr_held_out", curve.denoised, **where)
        over_levels("psnr_gain", curve.denoised - curve.noisy, **where)
    beyond = curves[A].denoised - gaussian.denoised
    over_levels("psnr_beyond_gaussian", beyond, model=A.label, images_shown=shown)
    advantage = training_gap([nets[A], nets[B]], [part[: IMAGES // 2] for part in train], levels)
    where = {"model": f"{A.label}-{B.label}", "training_sets": "disjoint", "images_shown": shown}
    rows += [row("psnr_advantage", dB, at=s, **where) for s, dB in zip(levels, advantage, strict=True)]
    bands = {"psnr_held_out": curves[A].denoised, "psnr_beyond_gaussian": beyond}
    bands = {name: np.float32(np.percentile(values, (16, 50, 84), axis=1)) for name, values in bands.items()}
    return rows, {"sigma": levels} | bands


@question(families=("diffusion",), arguments=ends, models=lambda e, N: [e.models.pair(N)[0]])
def denoised_images(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """One training image, the same for each N, and one held-out image, denoised by model A.

    Arrays, uint8, of the training image and of the held-out one:

        clean      (2, H, W)
        noisy      with noise at the levels `PANEL`, (2, L, H, W)
        denoised   (2, L, H, W)
    """
    A, seed = experiment.models.pair(N)[0], experiment.parameters.seed
    net = experiment.family.denoiser(experiment.networks(A))
    some = {"training": experiment.images.of(A)[0], "held_out": experiment.images.held_out[0]}
    panels = {name: denoise_panel({"": net}, image, PANEL, seed=seed) for name, image in some.items()}
    where, rows = {"model": A.label, "images_shown": experiment.settings.images_shown(N)}, []
    for name, panel in panels.items():
        for sigma, before, after in zip(PANEL, panel.noisy_psnr, panel.denoised_psnr[""], strict=True):
            rows.append(row(f"psnr_example_{name}", before, at=sigma, model="noisy"))
            rows.append(row(f"psnr_example_{name}", after, at=sigma, **where))
    parts = zip(*((panel.clean, panel.noisy, panel.denoised[""]) for panel in panels.values()), strict=True)
    pictures = [gray(np.stack(part)[..., 0, :, :]) for part in parts]
    return rows, dict(zip(("clean", "noisy", "denoised"), pictures, strict=True))


@question(families=(*DENOISERS, "glow", "gan"), arguments=each_size, models=all_pairs)
def training_losses(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Losses and minutes of each training, and the number of parameters of its networks.

    Rows have means over the last tenth of a training. Arrays, for each model, as `A0_loss`, are running means
    over a fortieth of the training, at 200 points evenly spaced in log images, and `A0_images`, the images
    shown at the end of each window.
    """
    nets = experiment.family.networks()
    rows = [
        row("network_parameters", sum(p.numel() for p in net.parameters()), model=name)
        for name, net in nets.items()
        if name != "average"
    ]
    arrays = {}
    for model in all_pairs(experiment, N):
        run, where = experiment.train(model), {"model": model.label}
        where["images_shown"] = experiment.settings.images_shown(N)
        log = read_losses(run.path)
        rows.append(row("training_minutes", run.summary["seconds"] / 60, **where))
        width, last = max(len(log) // 40, 1), max(len(log) // 10, 1)
        few = np.unique(np.geomspace(1, len(log) - width + 1, POINTS).astype(int)) - 1
        arrays[f"{model.label}_images"] = np.array([line["images"] for line in log[width - 1 :]])[few]
        for name in [name for name in (*LOSSES, *SCORES) if name in log[0]]:
            values = np.array([line[name] for line in log])
            if name in LOSSES:
                rows.append(row(LOSSES[name], values[-last:].mean(), **where))
            means = np.convolve(values, np.ones(width) / width, "valid")[few]
            arrays[f"{model.label}_{name}"] = np.float32(means)
    return rows, arrays
