"""Dependence of samples on the sampler: other starts, other noise schedules, and stochastic ascent.

Samples of model A are compared with held-out images by the variance along principal components, divided by
that of the training images, and by the AUC of a classifier. The paper's stochastic ascent is run with
neither, one and both of its choices, a start of each model's own and noise that is used twice, to test
whether they change agreement.
"""

import numpy as np
import torch

from galbook.measure.denoising import ends
from galbook.table import first_pair, largest_size, question, row
from galgen.compare import similarity
from galgen.compare.controls import rounded
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.scales import principal_spread
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import bootstrap
from galgen.data.unit import mean_image
from galgen.experiment import Experiment
from galgen.models.sampling import Samples, dpm_solver_2m, noise_schedule, stochastic_ascent

__all__ = ["samplers", "stochastic_ascent_choices"]


COUNT = 256  # samples per sampler, at most

FEW = 32  # latents per choice, at most

LEAST = 10  # converged samples, at least


@question(families=("diffusion",), arguments=largest_size, models=lambda e, N: [e.models.pair(N)[0]])
def samplers(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Samples of model A with other starts, other noise schedules and stochastic ascent.

    Samplers with fewer than ten converged samples are left out. Array `components`: the first and the last of
    each group of principal components, (G, 2).
    """
    A, images, settings = experiment.models.pair(N)[0], experiment.images, experiment.settings
    denoiser = experiment.family.denoiser(experiment.networks(A))
    train, start, held_out = images.of(A), images.start, images.held_out
    count = min(experiment.profile.samples, COUNT, len(held_out) // 3)
    latents, spare = experiment.latents(count), images.dataset.images[images.split().starts]

    def flow(begin: torch.Tensor, **other: float) -> Samples:
        return dpm_solver_2m(denoiser, begin, latents, noise_schedule(**settings.sampler | other))

    results = {
        "start at the mean image": flow(start),
        "start at its training mean": flow(torch.from_numpy(mean_image(train))),
    }
    if len(spare) > 1:  # random numbers independent of the noise of the sampler
        others = range(latents.start + 500_000, latents.stop + 500_000)
        results["start drawn from a Gaussian"] = flow(fit_gaussian(spare).draw(others))
    results["down to sigma 0.02"] = flow(start, sigma_min=0.02)
    results |= {f"{steps} steps": flow(start, steps=steps) for steps in (10, 60)}
    results["stochastic ascent"] = stochastic_ascent(denoiser, start, latents)
    rows, sets = [], {"held-out": rounded(held_out[2 * count : 3 * count])}
    for name, samples in results.items():
        if samples.converged.sum() >= LEAST:
            sets[f"{A.label}: {name}"] = rounded(samples.images[samples.converged])
    reference, size = rounded(held_out[: 2 * count]), held_out.shape[-1]
    sides = [side for k in range(9) if (side := size >> k) >= 8]
    for model, part in sets.items():
        spread = principal_spread(part, train)
        rows += [row("variance_ratio", ratio, at=group.first, model=model) for group, ratio in spread.items()]
        for side in sides:
            test = c2st(features(reference, side=side), features(part, side=side))
            rows.append(row("auc", test.auc, p=test.p, at=side, model=model))
    shown = {"images_shown": settings.images_shown(N)}
    rows = [one if one["model"] == "held-out" else one | shown for one in rows]
    return rows, {"components": np.array([(group.first, group.last) for group in spread])}


@question(families=("diffusion",), arguments=ends, models=first_pair)
def stochastic_ascent_choices(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Agreement of A and B with stochastic ascent, by neither, one and both of the paper's choices."""
    (A, B), images, rows = experiment.models.pair(N), experiment.images, []
    latents = experiment.latents(min(FEW, experiment.profile.samples))
    denoisers = [experiment.family.denoiser(experiment.networks(model)) for model in (A, B)]
    own = [torch.from_numpy(mean_image(images.of(model))) for model in (A, B)]
    for starts, start in (([images.start] * 2, "common start"), (own, "own starts")):
        for reuse, noise in ((False, "fresh noise"), (True, "noise used twice")):
            results = [
                stochastic_ascent(denoiser, begin, latents, reuse_noise=reuse)
                for denoiser, begin in zip(denoisers, starts, strict=True)
            ]
            both = results[0].converged & results[1].converged
            where = {"model": f"{A.label}-{B.label}: {start}, {noise}", "training_sets": "disjoint"}
            where["images_shown"] = experiment.settings.images_shown(N)
            rows.append(row("converged_fraction", both.float().mean(), n=len(latents), **where))
            if both.sum() > 1:
                parts = [part.images[both] for part in results]
                cosines = similarity.cosine(*parts, kind="anomaly", mean=images.mean)
                rows.append(row("agreement", bootstrap(cosines), **where))
    return rows, {}
