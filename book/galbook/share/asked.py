r"""How far models agree on the scale of `galbook.share.scale`, at the end of their training and along it.

Beside the images stands what Gaussians leave of them, twice:

    own   a_i - g_A(z_i) and b_i - g_B(z_i), the Gaussian of each model's own training images
    one   a_i - g(z_i)   and b_i - g(z_i),   that of A's and B's images together

A foreign network has the Gaussian of its own images in both. g_A and g_B differ by the chance of their
images. Models of the same images lose the same by that, those of disjoint images do not: so *own* understates
the share if networks do not follow the chance of their set. *One* shows whether they do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galbook.denoisers import gaussian_image, gaussian_of
from galbook.kept import once
from galbook.share.scale import Scale, agreements, scale
from galgen.compare import similarity
from galgen.compare.memorization import exchange_test, margins
from galgen.compare.uncertainty import Estimate, bootstrap
from galgen.experiment import Experiment
from galgen.models.families import Training
from galgen.models.sampling import noise, seeded

__all__ = ["IMAGES", "ONE", "OWN", "Agreement", "Early", "agreement", "agreement_along", "early"]

COUNT = 64  # latents along a training
VIEWS = IMAGES, OWN, ONE = "images", "less each model's own Gaussian", "less one Gaussian of A and B"


@dataclass(frozen=True)
class Agreement:
    """The scale of agreement at the end of the trainings of the largest N.

    Attributes:
        N: Images of each model.
        latents: From which all have drawn.
        scales: By view, of `VIEWS`.
        untrained: By view, agreement of the first pair before its training.
        gaussians: Agreement of the Gaussians of A's and of B's images.
    """

    N: int
    latents: int
    scales: Mapping[str, Scale]
    untrained: Mapping[str, float]
    gaussians: float


@dataclass(frozen=True)
class Early:
    """What the first pair of the largest N has after so many images.

    Attributes:
        agree: Median anomaly cosine of A's and B's image.
        left: The same less each model's own Gaussian.
        noise: What the noise that both began with makes of it alone: the product of its cosines with both,
            which is the cosine of two images that share nothing else.
        closer: P(train closer).
    """

    agree: Estimate
    left: Estimate
    noise: Estimate
    closer: Estimate


@once
def agreement(experiment: Experiment) -> Agreement:
    """Of a family of denoisers: all pairs of the largest N, and the foreign networks."""
    N = experiment.sizes[-1]
    models = [model for pair in experiment.models.pairs(N) for model in pair] + experiment.models.foreign()
    labels, mean = [model.foreign or model.half for model in models], experiment.images.mean
    gaussians = _gaussians(experiment, models)
    drawn = [experiment.samples(model) for model in models]
    scales = {view: scale(agreements(x, mean=mean), labels) for view, x in _views(drawn, gaussians).items()}
    pair, ok = _drawn(experiment, models[:2], 0)
    of_pair = {view: [x[: len(ok)][ok] for x in given[:2]] for view, given in gaussians.items()}
    untrained = {
        view: float(agreements(x, mean=mean)[0, 1]) if ok.sum() else np.nan
        for view, x in _views(pair, of_pair).items()
    }
    linear = float(agreements(gaussians[OWN][:2], mean=mean)[0, 1])
    return Agreement(N, len(drawn[0]), scales, untrained, linear)


def agreement_along(
    experiment: Experiment, kind: str = ""
) -> tuple[dict[int, dict[int, Estimate]], dict[int, Estimate]]:
    """Agreement along the training, from 0 images on, at the weights that are kept.

    Args:
        experiment: Of a family of denoisers.
        kind: Of the foreign network that is asked, of the largest N and of the same age.

    Returns:
        Of the first pair, by N and images shown; of model A and that network, if there is one.
    """
    found = {N: _along(experiment, experiment.models.pair(N)) for N in experiment.sizes}
    A, others = experiment.models.pair(experiment.sizes[-1])[0], experiment.models.foreign()
    other = next((model for model in others if model.foreign == kind), None)
    return found, _along(experiment, (A, other)) if other else {}


@once
def early(experiment: Experiment) -> dict[int, Early]:
    """Of a family of denoisers, after 0 images, at the first two weights kept, and at the end."""
    N, found = experiment.sizes[-1], {}
    pair, sets = experiment.models.pair(N), experiment.images.split(N)
    options = {"kind": "anomaly", "mean": experiment.images.mean}
    z = noise(seeded(_latents(experiment)), experiment.images.start.shape)
    own = _gaussians(experiment, pair)[OWN]
    kept = experiment.train(pair[0]).summary["weights"]
    for shown in dict.fromkeys((0, *kept[:2], kept[-1])):
        (a, b), ok = _drawn(experiment, pair, shown)
        if ok.sum() < 2:
            continue
        left = [x - g[: len(ok)][ok] for x, g in zip((a, b), own, strict=True)]
        nearer = [
            margins(x, experiment.images.dataset.images, sets, mean=experiment.images.mean) for x in (a, b)
        ]
        found[shown] = Early(
            bootstrap(similarity.cosine(a, b, **options)),
            bootstrap(similarity.cosine(*left, **options)),
            bootstrap(np.prod([similarity.cosine(x, z[ok], **options) for x in (a, b)], axis=0)),
            exchange_test(*nearer).closer,
        )
    return found


def _along(experiment: Experiment, pair: Sequence[Training]) -> dict[int, Estimate]:
    """Agreement of two models by images shown, where they draw finite images."""
    found, kept = {}, experiment.train(pair[0]).summary["weights"]
    for shown in (0, *kept):
        (a, b), ok = _drawn(experiment, pair, shown)
        if ok.sum() > 1:
            cosines = similarity.cosine(a, b, kind="anomaly", mean=experiment.images.mean)
            found[shown] = bootstrap(cosines)
    return found


def _latents(experiment: Experiment) -> range:
    return experiment.latents(min(COUNT, experiment.profile.samples))


def _drawn(experiment: Experiment, models: Sequence[Training], shown: int) -> tuple[list[Tensor], Tensor]:
    """Images of the first latents at which all are finite, and which: untrained networks may fail."""
    drawn = [experiment.samples(model, shown, len(_latents(experiment))) for model in models]
    ok = torch.stack([x.flatten(1).isfinite().all(1) for x in drawn]).all(0)
    return [x[ok] for x in drawn], ok


def _gaussians(experiment: Experiment, models: Sequence[Training]) -> dict[str, list[Tensor]]:
    """By view, what the Gaussian of each model draws by its sampler from its noise."""
    seen = {(model.half, model.foreign): model for model in models}
    of = {key: gaussian_image(experiment, model) for key, model in seen.items()}
    both = gaussian_of(experiment, np.concatenate([experiment.images.of(seen[half, ""]) for half in "AB"]))
    own = [of[model.half, model.foreign] for model in models]
    one = [x if model.foreign else both for model, x in zip(models, own, strict=True)]
    return {OWN: own, ONE: one}


def _views(drawn: Sequence[Tensor], gaussians: Mapping[str, Sequence[Tensor]]) -> dict[str, list[Tensor]]:
    left = {view: [x - g for x, g in zip(drawn, of, strict=True)] for view, of in gaussians.items()}
    return {IMAGES: list(drawn)} | left
