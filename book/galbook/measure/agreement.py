"""Agreement of two models, and memorization of their training sets (figures 7, 9 and 13).

For latent z_i let a_i and b_i be the samples of models A and B, trained on disjoint sets of N images.

    agreement            median anomaly cosine of a_i and b_i     null: a_i and b_j of another latent
    nearest cosine       anomaly cosine of a sample and the       null: held-out images instead of samples
                         nearest image of its training set
    training-set bias    P(train closer) - 1/2 and the margin     exchange of A and B; Gaussians of the sets
    near-copies          fraction of samples with d1/d2 < 1/3     held-out images

The mathematics is that of `galgen.compare.agreement` and `galgen.compare.memorization`. Controls for
agreement: Gaussians fitted to the training sets, sampled by the same sampler from the same noise; and the 2x2
design of initialization and training images.
"""

from dataclasses import astuple

import numpy as np
from torch import Tensor

from galbook.measure.samples import stamps
from galbook.table import Arguments, all_pairs, each_size, first_pair, question, row
from galgen.compare import similarity
from galgen.compare.agreement import excess, two_models
from galgen.compare.gaussian import fit_gaussian
from galgen.compare.memorization import Exchange, distance_ratio, near_copy_fraction
from galgen.compare.uncertainty import Estimate, bootstrap
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, Training

__all__ = [
    "DENOISERS",
    "Found",
    "agreement",
    "gaussian_agreement",
    "gaussian_samples",
    "initialization_design",
    "near_copies",
    "of_pair",
    "training_bias",
]

DENOISERS = ("diffusion", "conditional")

Found = tuple[list[dict], dict[str, np.ndarray]]


def of_pair(experiment: Experiment, A: Training, B: Training) -> dict:
    """Columns of a row that name two models."""
    sets = "same" if A.half == B.half else "disjoint"
    shown = experiment.settings.images_shown(A.N)
    return {"model": f"{A.label}-{B.label}", "training_sets": sets, "images_shown": shown}


def gaussian_samples(experiment: Experiment, images: np.ndarray) -> Tensor:
    """Samples of the Gaussian fitted to uint8 images, by the family's sampler and from the models' noise."""
    return experiment.family.flow(fit_gaussian(images), experiment.latents(), experiment.images.start).images


@question(families=FAMILIES, arguments=each_size, models=all_pairs)
def agreement(experiment: Experiment, N: int) -> Found:
    """Two-models test of every pair; for the first pair also its controls, and cosines as arrays."""
    images, rows, arrays = experiment.images, [], {}
    for A, B in experiment.models.pairs(N):
        samples, columns = map(experiment.samples, (A, B)), of_pair(experiment, A, B)
        options = {"mean": images.mean, "flips": experiment.family.flips}
        test = two_models(*samples, images.dataset.images, images.split(N), **options)
        null = {"low": test.permutation.low, "high": test.permutation.high}
        rows += [
            row("agreement", test.agreement, p=test.permutation.p, **columns),
            row("agreement_null", test.agreement_null, n=test.n, **null, **columns),
            *_closer(test.memorization.models, columns),
            row("margin_beyond_gaussian", test.memorization.outcome, n=test.n, **columns),
        ]
        if arrays:
            continue
        rows += _closer(test.memorization.gaussians, {"model": "gaussian", "training_sets": "disjoint"})
        for kind, cosines in test.cosines.items():
            names = "agreement", "shuffled", "nearest", "held-out"
            arrays |= {f"{kind}-{name}": x for name, x in zip(names, astuple(cosines), strict=True)}
        pearson, of_A = test.cosines["pearson"], columns | {"model": A.label, "training_sets": ""}
        rows.append(row("pearson_nearest_cosine", bootstrap(pearson.nearest), **of_A))
        rows.append(row("pearson_nearest_cosine", bootstrap(pearson.held_out), model="held-out"))
        rows.append(row("pearson_agreement", bootstrap(pearson.agreement), **columns))
        rows.append(row("pearson_agreement_null", np.median(pearson.shuffled), **columns))
    return rows, arrays


def _closer(exchange: Exchange, where: dict) -> list[dict]:
    closer = exchange.p_closer
    return [row("p_train_closer", closer, **where), row("training_set_bias", training_bias(closer), **where)]


def training_bias(closer: Estimate) -> Estimate:
    """Training-set bias, P(train closer) - 1/2."""
    return Estimate(closer.value - 0.5, closer.low - 0.5, closer.high - 0.5, closer.n)


@question(families=FAMILIES, arguments=each_size, models=all_pairs)
def near_copies(experiment: Experiment, N: int) -> Found:
    """Fraction of near-copies among the samples of each model, of each pair, and held-out images.

    With twice as many latents as other tests: 0 of 512 excludes 1 %, 0 of 256 does not.
    """
    images, rows, count = experiment.images, [], 2 * experiment.profile.samples

    def ratios(queries: list[Tensor], models: tuple[Training, ...]) -> np.ndarray:
        options = {"mean": images.mean, "flips": experiment.family.flips}
        pairs = zip(queries, models, strict=True)
        return np.stack([distance_ratio(x, images.of(model), **options) for x, model in pairs], axis=1)

    for pair in experiment.models.pairs(N):
        samples = [experiment.samples(model, count=count) for model in pair]
        pair_ratios, columns = ratios(samples, pair), of_pair(experiment, *pair)
        rows.append(row("near_copy_fraction", near_copy_fraction(pair_ratios), **columns))
        for model, own in zip(pair, pair_ratios.T, strict=True):
            where = {"model": model.label, "images_shown": columns["images_shown"]}
            rows.append(row("near_copy_fraction", near_copy_fraction(own), **where))
    held_out = ratios([unit(images.held_out)] * 2, experiment.models.pair(N))
    rows.append(row("near_copy_fraction", near_copy_fraction(held_out), model="held-out"))
    return rows, {}


@question(families=DENOISERS, arguments=each_size, models=first_pair)
def gaussian_agreement(experiment: Experiment, N: int) -> Found:
    """Agreement of the Gaussians of A's and B's images, and of A with its own; samples of A's Gaussian."""
    A, B = experiment.models.pair(N)
    options = {"kind": "anomaly", "mean": experiment.images.mean}
    a, b = map(experiment.samples, (A, B))
    of_A, of_B = (gaussian_samples(experiment, experiment.images.of(model)) for model in (A, B))
    linear = similarity.cosine(of_A, of_B, **options)
    where = {"model": "gaussian", "training_sets": "disjoint"}
    own = of_pair(experiment, A, A) | {"model": f"{A.label}-gaussian"}
    rows = [
        row("agreement", bootstrap(linear), **where),
        row("agreement", bootstrap(similarity.cosine(a, of_A, **options)), **own),
        row("agreement_excess", excess(similarity.cosine(a, b, **options), [linear]), **where),
    ]
    return rows, {"gaussian": stamps(of_A)}


def _design_size(experiment: Experiment) -> list[Arguments]:
    return [(model.N,) for model in experiment.models.design().values()][:1]


def _design_models(experiment: Experiment, N: int) -> list[Training]:
    return [experiment.models.pair(N)[0], *experiment.models.design().values()]


@question(families=FAMILIES, arguments=_design_size, models=_design_models)
def initialization_design(experiment: Experiment, N: int) -> Found:
    """Agreement of A0 with models of the same or another initialization, on the same or disjoint images.

    The models are A0 (same, same; another order), A2 (other, same), B0 (same, disjoint) and B1.
    """
    A, *others = _design_models(experiment, N)
    options, a = {"kind": "anomaly", "mean": experiment.images.mean}, experiment.samples(A)
    cosines = {model: similarity.cosine(a, experiment.samples(model), **options) for model in others}
    return [
        row("design_agreement", bootstrap(x), **of_pair(experiment, A, B)) for B, x in cosines.items()
    ], {}
