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
from galbook.normalized_agreement import NormalizedAgreement, agreements, normalize
from galbook.table import each_size, largest_size, question, row
from galgen.compare import similarity
from galgen.compare.agreement import excess
from galgen.compare.memorization import exchange_test, margins
from galgen.compare.uncertainty import bootstrap
from galgen.experiment import Experiment
from galgen.models.families import Training
from galgen.models.sampling import noise, seeded

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
    (fresh, ok), of = _finite(experiment, models[:2], 0), of_pair(experiment, *models[:2])
    untrained = _views(fresh, [[x[: len(ok)][ok] for x in each[:2]] for each in gaussians])
    rows, arrays = [], {}
    for (view, x), first in zip(_views(samples, gaussians).items(), untrained.values(), strict=True):
        c = agreements(x, mean=mean)
        rows += _rows(view, models, c, normalize(c, [model.out_of_domain or model.half for model in models]))
        if ok.any():
            where = of | {"images_shown": 0, "n": int(ok.sum())}
            rows.append(row(f"pairwise_{view}agreement", agreements(first, mean=mean)[0, 1], **where))
    for one in rows:
        one.setdefault("images_shown", of["images_shown"])
    pair = similarity.cosine(*samples[:2], kind="anomaly", mean=mean)
    for model, other in zip(models, samples, strict=True):
        if model.out_of_domain:
            cosines = similarity.cosine(samples[0], other, kind="anomaly", mean=mean)
            where = of | {"model": f"{models[0].label}-{_name(model)}", "training_sets": "out-of-domain"}
            rows.append(row("agreement", bootstrap(cosines), **where))
            rows.append(row("agreement_excess", excess(pair, [cosines]), **where))
            arrays[_name(model)] = stamps(other)
    return rows, arrays


def _rows(view: str, models: Sequence[Training], c: np.ndarray, of: NormalizedAgreement) -> Iterator[dict]:
    """Rows of one view."""
    every = f"pairwise_{view}agreement"
    own = [model for model in models if not model.out_of_domain]
    others = {kind: iter(values) for kind, values in of.out_of_domain.items()}
    for i, one in enumerate(own):
        for j, two in enumerate(own[:i]):
            names = "-".join(sorted((one.label, two.label)))
            sets = "same" if one.half == two.half else "disjoint"
            yield row(every, c[i, j], model=names, training_sets=sets)
    for model in models[len(own) :]:
        yield row(every, next(others[model.out_of_domain]), model=_name(model), training_sets="out-of-domain")
    for mark, value in of.marks.items():
        kind = of.kind if mark == "floor" else ""
        yield row(f"mean_{view}agreement", value, model=kind, training_sets=MARKS[mark])
    if of.value:
        yield row(f"normalized_{view}agreement", of.value)
    for kind, value in of.by_kind.items():
        yield row(f"normalized_{view}agreement", value, model=kind)
    if len(of.same):
        gain = of.moved or of.same.mean() - of.pairs.mean()
        yield row(f"same_images_{view}gain", gain)


@question(families=DENOISERS, arguments=each_size, models=_models)
def agreement_in_training(experiment: Experiment, N: int) -> Found:
    """Agreement of the first pair, and of A with out-of-domain networks, by images shown, from 0 on.

    Also agreement of the residuals; P(train closer); and the part due to the common latent alone, the product
    of its cosines with both samples, which is the cosine of two images that share nothing else.
    """
    pair, images, rows = experiment.models.pair(N), experiment.images, []
    kinds = {model.out_of_domain: model for model in reversed(_models(experiment, N)) if model.out_of_domain}
    options, z = (
        {"kind": "anomaly", "mean": images.mean},
        noise(seeded(_latents(experiment)), images.start.shape),
    )
    gaussians = [gaussian_samples(experiment, images.of(model))[: len(z)] for model in pair]
    for shown in (0, *experiment.train(pair[0]).summary["weights"]):
        (a, b), ok = _finite(experiment, pair, shown)
        if ok.sum() > 1:
            left = [x - g[ok] for x, g in zip((a, b), gaussians, strict=True)]
            alone = np.prod([similarity.cosine(x, z[ok], **options) for x in (a, b)], axis=0)
            sets = images.dataset.images, images.split(N)
            closer = exchange_test(*(margins(x, *sets, mean=images.mean) for x in (a, b))).p_closer
            where = of_pair(experiment, *pair) | {"images_shown": shown}
            rows += [
                row("agreement_in_training", bootstrap(similarity.cosine(a, b, **options)), **where),
                row(
                    "residual_agreement_in_training", bootstrap(similarity.cosine(*left, **options)), **where
                ),
                row("noise_agreement_in_training", bootstrap(alone), **where),
                row("p_train_closer_in_training", closer, **where),
            ]
        for other in kinds.values():
            (a, b), ok = _finite(experiment, (pair[0], other), shown)
            if ok.sum() > 1:
                where = {"model": f"{pair[0].label}-{_name(other)}", "training_sets": "out-of-domain"}
                cosines = bootstrap(similarity.cosine(a, b, **options))
                rows.append(row("agreement_in_training", cosines, images_shown=shown, **where))
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
    of = {key: gaussian_samples(experiment, images) for key, images in train.items()}
    common = gaussian_samples(experiment, np.concatenate([train["A", ""], train["B", ""]]))
    own = [of[model.half, model.out_of_domain] for model in models]
    return own, [x if model.out_of_domain else common for model, x in zip(models, own, strict=True)]


def _views(samples: Sequence[Tensor], gaussians: Sequence[Sequence[Tensor]]) -> dict[str, list[Tensor]]:
    left = [[x - g for x, g in zip(samples, each, strict=True)] for each in gaussians]
    return dict(zip(VIEWS, [list(samples), *left], strict=True))
