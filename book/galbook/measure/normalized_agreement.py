"""Normalized agreement at the end of trainings, and agreement as a function of images shown.

Normalized agreement (`galbook.normalized_agreement`) is 0 for the agreement with out-of-domain networks and 1
for that of two networks of the same images. It is computed for samples and for two residuals:

    residual          a_i - g_A(z_i) and b_i - g_B(z_i), the Gaussian of each model's own training images
    common residual   a_i - g(z_i)   and b_i - g(z_i),   that of A's and B's images together

For an out-of-domain network both use the Gaussian of its own images. g_A and g_B differ by the sampling noise
of their sets. Subtracting them removes the same from models of the same images, but not from models of
disjoint ones: the residual therefore understates the normalized agreement if networks do not follow the
sampling noise of their set. The common residual shows whether they do.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from galbook.measure.agreement import DENOISERS, Found, gaussian_samples, of_pair
from galbook.measure.samples import stamps
from galbook.normalized_agreement import NormalizedAgreement, agreement_matrix, normalize
from galbook.table import each_size, largest_size, question, row
from galgen.compare import similarity
from galgen.compare.agreement import excess
from galgen.compare.uncertainty import bootstrap
from galgen.experiment import Experiment
from galgen.models.families import Training

__all__ = ["agreement_in_training", "normalized_agreement"]

COUNT = 64  # latents along a training
VIEWS = "", "residual_", "common_residual_"
MARKS = {"floor": "out-of-domain", "pair": "disjoint", "ceiling": "same"}


def _models(experiment: Experiment, N: int) -> list[Training]:
    """Models of all pairs, and at the largest N the out-of-domain models."""
    others = [model for model in experiment.models.out_of_domain() if model.N == N]
    return [model for pair in experiment.models.pairs(N) for model in pair] + others


def _name(model: Training) -> str:
    return f"{model.label}-{model.out_of_domain}" if model.out_of_domain else model.label


@question(families=DENOISERS, arguments=largest_size, models=_models)
def normalized_agreement(experiment: Experiment, N: int) -> Found:
    """Agreement of every two models, its means by training sets, and the normalized agreement.

    Also agreement of the untrained first pair, and of A0 with each out-of-domain network.
    """
    models, mean = _models(experiment, N), experiment.images.mean
    samples, gaussians = [*map(experiment.samples, models)], _gaussians(experiment, models)
    about, rows, arrays = of_pair(experiment, *models[:2]), [], {}
    labels = [model.out_of_domain or model.half for model in models]
    for view, x in _views(samples, gaussians).items():
        c = agreement_matrix(x, mean=mean)
        result = normalize(c, labels)
        rows += [] if view else _pairwise(models, c, result)
        rows += _rows(view, result)
    rows = [one | {"images_shown": about["images_shown"]} for one in rows]
    fresh, ok = _finite(experiment, models[:2], 0)
    if ok.any():
        where = about | {"images_shown": 0, "n": int(ok.sum())}
        rows.append(row("pairwise_agreement", agreement_matrix(fresh, mean=mean)[0, 1], **where))
    pair = similarity.cosine(*samples[:2], kind="anomaly", mean=mean)
    for model, other in zip(models, samples, strict=True):
        if model.out_of_domain:
            cosines = similarity.cosine(samples[0], other, kind="anomaly", mean=mean)
            where = about | {"model": f"{models[0].label}-{_name(model)}", "training_sets": "out-of-domain"}
            rows.append(row("agreement", bootstrap(cosines), **where))
            rows.append(row("agreement_excess", excess(pair, [cosines]), **where))
            arrays[_name(model)] = stamps(other)
    return rows, arrays


def _rows(view: str, result: NormalizedAgreement) -> Iterator[dict]:
    """Rows of one view."""
    for mark, value in result.marks.items():
        kind = result.kind if mark == "floor" else ""
        yield row(f"mean_{view}agreement", value, model=kind, training_sets=MARKS[mark])
    if result.value:
        yield row(f"normalized_{view}agreement", result.value)
    for kind, value in result.by_kind.items():
        yield row(f"normalized_{view}agreement", value, model=kind)


def _pairwise(models: Sequence[Training], c: np.ndarray, result: NormalizedAgreement) -> Iterator[dict]:
    """Rows of every two models, and of every out-of-domain model."""
    own = [model for model in models if not model.out_of_domain]
    others = {kind: iter(values) for kind, values in result.out_of_domain.items()}
    for i, one in enumerate(own):
        for j, two in enumerate(own[:i]):
            names = "-".join(sorted((one.label, two.label)))
            sets = "same" if one.half == two.half else "disjoint"
            yield row("pairwise_agreement", c[i, j], model=names, training_sets=sets)
    for model in models[len(own) :]:
        value = next(others[model.out_of_domain])
        yield row("pairwise_agreement", value, model=_name(model), training_sets="out-of-domain")


@question(families=DENOISERS, arguments=each_size, models=_models)
def agreement_in_training(experiment: Experiment, N: int) -> Found:
    """Agreement of the first pair, and of A with out-of-domain networks, by images shown, from 0 on."""
    pair, rows, options = experiment.models.pair(N), [], {"kind": "anomaly", "mean": experiment.images.mean}
    kinds = {model.out_of_domain: model for model in reversed(_models(experiment, N)) if model.out_of_domain}
    others = {pair[1]: of_pair(experiment, *pair)}
    for other in kinds.values():
        names = {"model": f"{pair[0].label}-{_name(other)}", "training_sets": "out-of-domain"}
        others[other] = names
    for shown in (0, *experiment.train(pair[0]).summary["weights"]):
        for other, where in others.items():
            (a, b), ok = _finite(experiment, (pair[0], other), shown)
            if ok.sum() > 1:
                cosines = bootstrap(similarity.cosine(a, b, **options))
                rows.append(row("agreement_in_training", cosines, **where | {"images_shown": shown}))
    return rows, {}


def _latents(experiment: Experiment) -> range:
    return experiment.latents(min(COUNT, experiment.profile.samples))


def _finite(experiment: Experiment, models: Sequence[Training], shown: int) -> tuple[list[Tensor], Tensor]:
    """Finite samples of the first latents, and their mask: untrained networks may fail."""
    samples = [experiment.samples(model, shown, len(_latents(experiment))) for model in models]
    ok = torch.stack([x.flatten(1).isfinite().all(1) for x in samples]).all(0)
    return [x[ok] for x in samples], ok


def _gaussians(experiment: Experiment, models: Sequence[Training]) -> tuple[list[Tensor], list[Tensor]]:
    """For each model, samples of its own Gaussian, and of the Gaussian of A's and B's images together."""
    train = {(model.half, model.out_of_domain): experiment.images.of(model) for model in models}
    samples = {key: gaussian_samples(experiment, images) for key, images in train.items()}
    common = gaussian_samples(experiment, np.concatenate([train["A", ""], train["B", ""]]))
    own = [samples[model.half, model.out_of_domain] for model in models]
    return own, [x if model.out_of_domain else common for model, x in zip(models, own, strict=True)]


def _views(samples: Sequence[Tensor], gaussians: Sequence[Sequence[Tensor]]) -> dict[str, list[Tensor]]:
    left = [[x - g for x, g in zip(samples, linear, strict=True)] for linear in gaussians]
    return dict(zip(VIEWS, [list(samples), *left], strict=True))
