"""Agreement normalized by that of other models, at the end of the trainings and along them.

The scale is that of `galbook.normalized_agreement`: 0 is the agreement with out-of-domain networks, 1 that
of two networks of the same images. Beside the samples stands what Gaussians leave of them, twice:

    residual          a_i - g_A(z_i) and b_i - g_B(z_i), the Gaussian of each model's own training images
    common residual   a_i - g(z_i)   and b_i - g(z_i),   that of A's and B's images together

An out-of-domain network has the Gaussian of its own images in both. g_A and g_B differ by the chance of their
images. Models of the same images lose the same by that, those of disjoint images do not: so the residual
understates the normalized agreement if networks do not follow the chance of their set. The common residual
shows whether they do.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from galbook.measure.agreement import DENOISERS, Found, gaussian_samples, of_pair
from galbook.measure.samples import stamps
from galbook.normalized_agreement import Scale, agreements, scale
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
FILES = ("galbook.measure.agreement", "galbook.normalized_agreement")


def _models(experiment: Experiment, N: int) -> list[Training]:
    """The models of all pairs, and those out of domain, which there are of the largest N."""
    others = [model for model in experiment.models.out_of_domain() if model.N == N]
    return [model for pair in experiment.models.pairs(N) for model in pair] + others


def _name(model: Training) -> str:
    return f"{model.label}-{model.out_of_domain}" if model.out_of_domain else model.label


@question(families=DENOISERS, given=largest_size, models=_models)
def normalized_agreement(experiment: Experiment, N: int) -> Found:
    """Agreement of every two models, its means by what they share, and where disjoint images lie between.

    Beside it the first pair before its training, and A0 with each out-of-domain network.
    """
    models, mean = _models(experiment, N), experiment.images.mean
    drawn, gaussians = [*map(experiment.samples, models)], _gaussians(experiment, models)
    (fresh, ok), of = _drawn(experiment, models[:2], 0), of_pair(experiment, *models[:2])
    untrained = _views(fresh, [[x[: len(ok)][ok] for x in each[:2]] for each in gaussians])
    rows, arrays = [], {}
    for (view, x), first in zip(_views(drawn, gaussians).items(), untrained.values(), strict=True):
        c = agreements(x, mean=mean)
        rows += _scale(view, models, c, scale(c, [model.out_of_domain or model.half for model in models]))
        if ok.any():
            where = of | {"images_shown": 0, "n": int(ok.sum())}
            rows.append(row(f"pairwise_{view}agreement", agreements(first, mean=mean)[0, 1], **where))
    for one in rows:
        one.setdefault("images_shown", of["images_shown"])
    pair = similarity.cosine(*drawn[:2], kind="anomaly", mean=mean)
    for model, other in zip(models, drawn, strict=True):
        if model.out_of_domain:
            cosines = similarity.cosine(drawn[0], other, kind="anomaly", mean=mean)
            where = of | {"model": f"{models[0].label}-{_name(model)}", "training_sets": "out-of-domain"}
            rows.append(row("agreement", bootstrap(cosines), **where))
            rows.append(row("agreement_excess", excess(pair, [cosines]), **where))
            arrays[_name(model)] = stamps(other)
    return rows, arrays


def _scale(view: str, models: Sequence[Training], c: np.ndarray, found: Scale) -> Iterator[dict]:
    """The rows of one view."""
    every = f"pairwise_{view}agreement"
    own = [model for model in models if not model.out_of_domain]
    others = {kind: iter(values) for kind, values in found.out_of_domain.items()}
    for i, one in enumerate(own):
        for j, two in enumerate(own[:i]):
            names = "-".join(sorted((one.label, two.label)))
            sets = "same" if one.half == two.half else "disjoint"
            yield row(every, c[i, j], model=names, training_sets=sets)
    for model in models[len(own) :]:
        yield row(every, next(others[model.out_of_domain]), model=_name(model), training_sets="out-of-domain")
    for mark, value in found.marks.items():
        kind = found.kind if mark == "floor" else ""
        yield row(f"mean_{view}agreement", value, model=kind, training_sets=MARKS[mark])
    if found.share:
        yield row(f"normalized_{view}agreement", found.share)
    for kind, share in found.beside.items():
        yield row(f"normalized_{view}agreement", share, model=kind)
    if len(found.same):
        gain = found.moved or found.same.mean() - found.pairs.mean()
        yield row(f"same_images_{view}gain", gain)


@question(families=DENOISERS, given=each_size, models=_models)
def agreement_in_training(experiment: Experiment, N: int) -> Found:
    """Agreement of the first pair, and of A with out-of-domain networks, from 0 images shown on.

    Beside it what it is of the residuals; what the common noise makes of it alone, the product of its cosines
    with both samples, which is the cosine of two images that share nothing else; and P(train closer).
    """
    pair, images, rows = experiment.models.pair(N), experiment.images, []
    kinds = {model.out_of_domain: model for model in reversed(_models(experiment, N)) if model.out_of_domain}
    given, z = (
        {"kind": "anomaly", "mean": images.mean},
        noise(seeded(_latents(experiment)), images.start.shape),
    )
    gaussians = [gaussian_samples(experiment, images.of(model))[: len(z)] for model in pair]
    for shown in (0, *experiment.train(pair[0]).summary["weights"]):
        (a, b), ok = _drawn(experiment, pair, shown)
        if ok.sum() > 1:
            left = [x - g[ok] for x, g in zip((a, b), gaussians, strict=True)]
            alone = np.prod([similarity.cosine(x, z[ok], **given) for x in (a, b)], axis=0)
            sets = images.dataset.images, images.split(N)
            closer = exchange_test(*(margins(x, *sets, mean=images.mean) for x in (a, b))).p_closer
            where = of_pair(experiment, *pair) | {"images_shown": shown}
            rows += [
                row("agreement_in_training", bootstrap(similarity.cosine(a, b, **given)), **where),
                row("residual_agreement_in_training", bootstrap(similarity.cosine(*left, **given)), **where),
                row("noise_agreement_in_training", bootstrap(alone), **where),
                row("p_train_closer_in_training", closer, **where),
            ]
        for other in kinds.values():
            (a, b), ok = _drawn(experiment, (pair[0], other), shown)
            if ok.sum() > 1:
                where = {"model": f"{pair[0].label}-{_name(other)}", "training_sets": "out-of-domain"}
                cosines = bootstrap(similarity.cosine(a, b, **given))
                rows.append(row("agreement_in_training", cosines, images_shown=shown, **where))
    return rows, {}


def _latents(experiment: Experiment) -> range:
    return experiment.latents(min(COUNT, experiment.profile.samples))


def _drawn(experiment: Experiment, models: Sequence[Training], shown: int) -> tuple[list[Tensor], Tensor]:
    """Samples of the first latents at which all are finite, and which: untrained networks may fail."""
    drawn = [experiment.samples(model, shown, len(_latents(experiment))) for model in models]
    ok = torch.stack([x.flatten(1).isfinite().all(1) for x in drawn]).all(0)
    return [x[ok] for x in drawn], ok


def _gaussians(experiment: Experiment, models: Sequence[Training]) -> tuple[list[Tensor], list[Tensor]]:
    """For each model the samples of its own Gaussian, and of the one of A's and B's images together."""
    seen = {(model.half, model.out_of_domain): experiment.images.of(model) for model in models}
    of = {key: gaussian_samples(experiment, images) for key, images in seen.items()}
    common = gaussian_samples(experiment, np.concatenate([seen["A", ""], seen["B", ""]]))
    own = [of[model.half, model.out_of_domain] for model in models]
    return own, [x if model.out_of_domain else common for model, x in zip(models, own, strict=True)]


def _views(drawn: Sequence[Tensor], gaussians: Sequence[Sequence[Tensor]]) -> dict[str, list[Tensor]]:
    left = [[x - g for x, g in zip(drawn, each, strict=True)] for each in gaussians]
    return dict(zip(VIEWS, [list(drawn), *left], strict=True))
