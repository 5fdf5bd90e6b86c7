"""Why do two models agree? Patch denoisers, principal directions of samples, and the inverted flow.

* What fraction of a network, beyond the Gaussian of its training images, is explained by a denoiser made only
  of patches of training images (`galbook.mechanisms.local`), and what fraction by the other network?
* Do samples vary along the directions in which galaxies vary (`galbook.mechanisms.directions`)? Held-out
  images compared with other held-out images are the ceiling.
* Are the latents of A's samples recovered with B, scale by scale (`galbook.mechanisms.flow`)? Controls are an
  out-of-domain network and the Gaussian of B's images.
"""

import numpy as np
import torch

from galbook.mechanisms.directions import directions, shared
from galbook.mechanisms.flow import decode, encode, inverted
from galbook.mechanisms.local import Local, explained_fraction
from galbook.table import all_pairs, each_size, first_pair, question, row
from galgen.compare import similarity
from galgen.compare.controls import rounded
from galgen.compare.gaussian import Empirical, fit_gaussian
from galgen.compare.scales import groups
from galgen.compare.uncertainty import bootstrap
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.models.families import Training
from galgen.models.sampling import noise, noise_schedule, seeded

__all__ = ["flow_inversion", "patch_denoisers", "principal_directions"]


SIGMAS = (0.05, 0.2, 0.8)  # noise levels of the patch denoisers

SIDES = (3, 5, 7, 11, 15, 23)  # of the patches, in pixels, in addition to the whole image

DISTANCES = 2**18  # between training and held-out images, per patch denoiser: one minute on one core

IMAGES = 256  # held-out images, at most

MOST = 4096  # training images of a patch denoiser, at most

DIRECTIONS = 30

SHOWN = (1, 3, 10, 30)  # leading directions with rows

LATENTS = 32

STEPS = 32  # of the inverted flow

FIRST = 3_200_000_000  # seed of its first latent, not used for samples


@question(families=("conditional",), arguments=each_size, models=first_pair)
def patch_denoisers(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Fraction of model A, beyond its Gaussian, explained by B and by patch denoisers.

    `at` is the noise level, `level` the side of the patch in pixels; the largest covers the whole image.
    """
    (A, B), images = experiment.models.pair(N), experiment.images
    places = images.split().validation[: min(IMAGES, DISTANCES // min(N, MOST))]
    x = unit(images.dataset.images[places])
    z, size = noise(seeded(range(len(x))), x.shape[1:]), x.shape[-1]
    nets = [experiment.networks(model)["net"] for model in (A, B)]
    train = [images.of(model)[:MOST] for model in (A, B)]
    gaussian, rows = fit_gaussian(images.of(A)), []
    shown = {"images_shown": experiment.settings.images_shown(N)}

    def add(*denoised: torch.Tensor, beyond: torch.Tensor | None = None, **where: object) -> None:
        fraction = explained_fraction(*denoised, beyond)
        if fraction is not None:  # None if the Gaussian may explain everything
            rows.append(row("explained_fraction" + "_excess" * (beyond is not None), fraction, **where))

    for sigma in SIGMAS:
        y, levels = x + sigma * z, torch.full((len(x),), sigma)
        with torch.inference_mode():
            a, b = (net(y, levels) for net in nets)
        linear = gaussian(y, levels)
        same, disjoint = {"training_sets": "same"}, {"training_sets": "disjoint"}
        add(a, linear, b, at=sigma, model=f"{A.label}-{B.label}", **shown | disjoint)
        for side in [*(side for side in SIDES if side < size), 2 * size - 1]:
            whole = side == 2 * size - 1
            mine, theirs = ((Empirical(part) if whole else Local(part, side))(y, levels) for part in train)
            where = {"at": sigma, "level": side}
            of_A = where | shown | {"model": f"{A.label}-patches"}
            add(a, linear, mine, **of_A | same)
            add(a, linear, theirs, **of_A | disjoint)
            add(a, linear, mine, beyond=theirs, **of_A)
            add(mine, linear, theirs, model="patches", **where | disjoint)
    return rows, {}


@question(families=("diffusion", "conditional"), arguments=each_size, models=all_pairs)
def principal_directions(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Overlap of the leading principal directions of samples and of held-out images, for all pairs.

    All sets have equally many images, and the agreement is that of the same samples.
    """
    images, bits, count = experiment.images, experiment.family.bits, experiment.images.compared
    shown, rows = {"images_shown": experiment.settings.images_shown(N)}, []

    def leading(part: torch.Tensor | np.ndarray) -> np.ndarray:
        return directions(rounded(part[:count], bits), DIRECTIONS)

    def overlap(one: np.ndarray, other: np.ndarray, **where: object) -> None:
        overlaps = dict(enumerate(shared(one, other), 1))
        rows.extend(row("principal_overlap", overlaps[k], at=k, **where) for k in SHOWN)

    reference, others = leading(images.held_out), leading(images.held_out[count : 2 * count])
    overlap(reference, others, model="held-out")
    for pair in experiment.models.pairs(N):
        samples = [experiment.samples(model)[:count] for model in pair]
        axes = [leading(part) for part in samples]
        both = shown | {"model": "-".join(model.label for model in pair), "training_sets": "disjoint"}
        cosines = similarity.cosine(*samples, kind="anomaly", mean=images.mean)
        rows.append(row("agreement", bootstrap(cosines), **both))
        overlap(*axes, **both)
        for model, part in zip(pair, axes, strict=True):
            overlap(part, reference, model=model.label, **shown)
    own = fit_gaussian(images.of(experiment.models.pair(N)[0]))
    linear = experiment.family.flow(own, experiment.latents(), images.start).images
    overlap(leading(linear), reference, model="gaussian")
    return rows, {}


def _with_control(experiment: Experiment, N: int) -> list[Training]:
    """The first pair, and an out-of-domain model."""
    return [*experiment.models.pair(N), experiment.models.out_of_domain()[0]]


@question(families=("conditional",), arguments=each_size, models=_with_control)
def flow_inversion(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Latents recovered from samples of A with B and two controls, by group of principal components.

    A control with finite latents in fewer than two images is left out. `at` is the first component of a
    group. Array `components`: first and last component of each group, (G, 2).
    """
    levels, m = noise_schedule(**experiment.settings.sampler | {"steps": STEPS}), experiment.images.start
    A, B, C = _with_control(experiment, N)
    a, b, c = (experiment.networks(model)["net"] for model in (A, B, C))
    z = noise(seeded(range(FIRST, FIRST + LATENTS)), m.shape)
    axes = fit_gaussian(experiment.images.held_out).components.double().numpy()
    x, shown, rows = decode(a, z, m, levels), {"images_shown": experiment.settings.images_shown(N)}, []
    own = encode(a, x, m, levels)
    others = {
        B.label: (b, "disjoint"),
        f"{C.label}-{C.out_of_domain}": (c, "out-of-domain"),
        "gaussian": (fit_gaussian(experiment.images.of(B)), "disjoint"),
    }
    parts = list(groups(len(axes)))
    for name, (denoiser, sets) in others.items():
        latents = encode(denoiser, x, m, levels)
        if name != B.label and latents.isfinite().all((1, 2, 3)).sum() < 2:
            continue
        both = shown | {"model": f"{A.label}-{name}", "training_sets": sets}
        for group, scale in zip(parts, inverted(z, own, latents, axes).values(), strict=True):
            where = both | {"at": group.first}
            low, high = scale.null
            rows += [
                row("latent_correlation", scale.test.correlation, **where),
                row("latent_correlation_null", scale.test.correlation_null, **where),
                row("latent_wasserstein_ratio", scale.apart, **where),
                row("latent_wasserstein_ratio_null", 1, low=low, high=high, **where),
            ]
            if name == B.label:
                rows.append(
                    row("latent_wasserstein_ratio", scale.echo, at=group.first, model=A.label, **shown)
                )
    return rows, {"components": np.array([(group.first, group.last) for group in parts])}
