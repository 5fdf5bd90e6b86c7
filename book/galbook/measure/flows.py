"""Likelihood of images under single flows, and recovery of latents by the inverse flow.

A flow x = G(z), z ~ N(0, I), gives the density of every image, in bits per dimension
(`galgen.compare.likelihood`). An overfitted flow needs fewer for its training images than for held-out ones.
All models use the same dequantization of an image, so the difference between two models cancels what makes
an image hard for both.

If a flow had the density of galaxies, |z|^2 over the d latents of a level, for held-out images, would have
the standard deviation sqrt(2 d) of a chi-squared variable. G^-1(G(z)) = z up to rounding errors.
"""

import numpy as np
import torch

from galbook.table import each_size, first_pair, question, row
from galgen.compare import inversion
from galgen.compare.likelihood import bits_per_dim, likelihood_gap
from galgen.experiment import Experiment
from galgen.models import glow_learner
from galgen.models.families import Training

__all__ = ["flow_latents", "likelihood"]

COUNT = 256  # images per set for the likelihood
GALAXIES = 512  # held-out images for the latents
PRECISIONS = {32: torch.float32, 64: torch.float64}


def model_a(experiment: Experiment, N: int) -> list[Training]:
    """Model A of the first pair."""
    return [experiment.models.pair(N)[0]]


@question(families=("glow",), arguments=each_size, models=first_pair)
def likelihood(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Bits per dimension of training and held-out images, as a function of images shown to A and B."""
    images, sets, rows = experiment.images.dataset.images, experiment.images.split(N), []
    parts = {"A": sets.A[:COUNT], "B": sets.B[:COUNT], "held_out": sets.validation[:COUNT]}
    pair = experiment.models.pair(N)
    for shown in experiment.train(pair[0]).summary["weights"]:
        flows = {model: experiment.networks(model, shown)["net"] for model in pair}
        bits = {
            model: {part: bits_per_dim(flow, images[some], some) for part, some in parts.items()}
            for model, flow in flows.items()
        }
        for model, other in (pair, pair[::-1]):
            own, where = bits[model], {"model": model.label, "images_shown": shown}
            roles = {"training": model.half, "held_out": "held_out"}
            for role, part in roles.items():
                rows.append(row(f"bits_per_dim_{role}", own[part].mean(), n=len(own[part]), **where))
            beyond = (own[part] - bits[other][part] for part in (model.half, "held_out"))
            rows.append(row("likelihood_gap", likelihood_gap(own[model.half], own["held_out"]), **where))
            rows.append(row("likelihood_gap_beyond_partner", likelihood_gap(*beyond), **where))
    return rows, {}


@question(families=("glow",), arguments=each_size, models=model_a)
def flow_latents(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Errors of the latents that model A recovers from its samples, and scatter of held-out latents."""
    (model,), rows = model_a(experiment, N), []
    flow = experiment.networks(model)["net"]
    images = experiment.images.dataset.images[experiment.images.split(N).validation[:GALAXIES]]
    noise = torch.Generator().manual_seed(experiment.parameters.seed)
    with torch.inference_mode():
        encoded = flow.encode(flow.dequantize(torch.from_numpy(images) / 255, noise))[0]
    for level, (z, shape) in enumerate(zip(encoded, flow.latent_shapes, strict=True)):
        spread = z.square().sum((1, 2, 3)).std().item() / (2 * np.prod(shape)) ** 0.5
        rows.append(row("held_out_norm_spread", spread, level=level, n=len(images)))
    latents = glow_learner.latents(flow, experiment.latents())
    for bits, dtype in PRECISIONS.items():
        result = inversion.invert(flow, flow, latents, limit=np.inf, dtype=dtype)
        where = {"at": bits, "n": len(result.x)}
        errors = [np.abs(z - z_a).max((1, 2, 3)) for z, z_a in zip(result.z, result.z_a, strict=True)]
        rows += [row("inverse_error", e.max(), level=level, **where) for level, e in enumerate(errors)]
    where = {"model": model.label, "images_shown": experiment.settings.images_shown(N)}
    return [one | where for one in rows], {}
