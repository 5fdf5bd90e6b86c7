"""The two-models test and the scoreboard of the first pair of models at each N, and of the controls."""

import functools

import torch
from torch import Tensor

from galbook.kept import once
from galgen.compare import similarity
from galgen.compare.agreement import TwoModels, two_models
from galgen.compare.controls import Controls, controls, rounded
from galgen.compare.morphology import stored
from galgen.compare.scoreboard import Portrait, portrait, scores
from galgen.compare.uncertainty import Estimate, Outcome, bootstrap
from galgen.experiment import Experiment
from galgen.models.families import Training

__all__ = [
    "BLUR",
    "board",
    "checks",
    "controls_of",
    "design_of",
    "drawn",
    "likeness",
    "measure",
    "models_judged",
    "tests",
    "two_models_at",
]  # fmt: skip

BLUR = 1.0  # pixels: the classifier finds half a one, but with so few images morphology may not

Board = dict[str, Outcome]  # answers by question


def drawn(experiment: Experiment, N: int, k: int = 0) -> list[Tensor]:
    """The samples of A and of B of the k-th pair of N images a model."""
    return list(map(experiment.samples, experiment.models.pair(N, k)))


@once
def two_models_at(experiment: Experiment, N: int, k: int = 0) -> TwoModels:
    """The two-models test of the same."""
    given = {"mean": experiment.images.mean, "flips": experiment.family.flips}
    return two_models(
        *drawn(experiment, N, k), experiment.images.dataset.images, experiment.images.split(N), **given
    )


def tests(experiment: Experiment) -> dict[int, TwoModels]:
    """The same of the first pair, by N."""
    return {n: two_models_at(experiment, n) for n in experiment.sizes}


@functools.cache
def controls_of(experiment: Experiment) -> Controls:
    """Held-out images and sets that are wrong in a known way, for the families' largest N."""
    return controls(
        experiment.images.dataset.images, experiment.images.split(), experiment.images.compared, blur=BLUR
    )


def measure(experiment: Experiment) -> functools.partial:
    """What measures the morphology of images, once a set."""
    return functools.partial(stored, experiment.store, progress=False)


@once
def board(experiment: Experiment, N: int) -> Board:
    """The scoreboard of the first pair of models, beside galaxies of as many gray levels."""
    bits = experiment.family.bits
    images = [rounded(part, bits) for part in drawn(experiment, N)]
    reference = rounded(controls_of(experiment).reference, bits)
    return scores(*images, reference, two_models_at(experiment, N), morphology=measure(experiment))


@once
def checks(experiment: Experiment) -> dict[str, Board]:
    """The scoreboard of the controls, by name, with the gray levels and the flips of the family."""
    found, sets, bits = {}, experiment.images.split(), experiment.family.bits
    given = {"mean": experiment.images.mean, "flips": experiment.family.flips}
    reference = rounded(controls_of(experiment).reference, bits)
    for name, images in controls_of(experiment).pairs.items():
        pair = [rounded(part, bits) for part in images]
        test = two_models(*map(torch.as_tensor, pair), experiment.images.dataset.images, sets, **given)
        found[name] = scores(*pair, reference, test, morphology=measure(experiment), both=False)
    return found


def design_of(experiment: Experiment) -> tuple[int, dict[tuple[str, str], Estimate]] | None:
    """The 2x2: its N, and the median anomaly cosine with model A, by (initialisation, images).

    None where the profile trains no such models.
    """
    found, models = {}, experiment.models.design()
    for key, model in models.items():
        both = experiment.samples(experiment.models.pair(model.N)[0]), experiment.samples(model)
        found[key] = bootstrap(similarity.cosine(*both, kind="anomaly", mean=experiment.images.mean))
    return (next(iter(models.values())).N, found) if models else None


def models_judged(experiment: Experiment, N: int) -> list[Training]:
    """The models that are judged each by itself: A and B of the first pair, and A of a second one."""
    (a, b), *more = experiment.models.pairs(N)
    return [a, b, *(pair[0] for pair in more[:1])]


def likeness(experiment: Experiment) -> Portrait:
    """The samples of model A of the largest N beside held-out galaxies, without morphology."""
    model = experiment.models.pair(experiment.sizes[-1])[0]
    images, unseen = (
        experiment.samples(model),
        experiment.images.held_out,
    )
    images = images[images.isfinite().all(3).all(2).all(1)][: len(unseen) // 2].numpy()
    bits = experiment.family.bits
    reference = rounded(unseen[: 2 * len(images)], bits)
    return portrait(images, reference, experiment.images.of(model), bits=bits)
