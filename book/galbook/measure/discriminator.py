"""GAN training: the discriminator test with its controls, and classifiers independent of the GANs.

The discriminator test (`galgen.compare.discriminator`) compares the scores that the discriminators of two
GANs, D_A and D_B, give to samples of their own generator, samples of the other model, training images and
held-out images. It is measured at each checkpoint of the first pair, and at the end of the training for all
pairs. Its controls are held-out images with a known degradation, the untrained discriminators, and a
constant score.

A discriminator that has memorized its training images separates them from everything else. So we measure the
membership AUC: the probability that a training image scores above an image that no model was trained on.

D was trained against the generator itself; samples come from its running average. Both are compared with
held-out galaxies by a cross-validated classifier (`galgen.compare.twosample`) and by their variance along
principal components.
"""

from collections.abc import Iterator

import numpy as np

from galbook.table import all_pairs, each_size, question, row
from galgen.compare import discriminator
from galgen.compare.twosample import auc
from galgen.data.unit import unit
from galgen.experiment import Experiment

__all__ = ["discriminator_memorization", "discriminator_test"]

COUNT = 256  # training images, and images of no training set, scored by a discriminator
COARSE = 8  # pixels per side
STAMPS = 12


_SETS = {"other": "other", "train": "training", "held_out": "held_out"}
_FAULTS = {"noise": "noise", "blurred": "blur", "dropped": "missing"}
_CONTRASTS = {
    "own_held_out": ("own", "held_out"),
}


@question(families=("gan",), arguments=each_size, models=all_pairs)
def discriminator_memorization(experiment: Experiment, N: int) -> tuple[list[dict], dict]:
    """Membership AUC of each discriminator during training."""
    stages = experiment.train(experiment.models.pair(N)[0]).summary["weights"]
    unseen, areas = unit(experiment.images.reserve[:COUNT]), {}
    for model in all_pairs(experiment, N):
        train = unit(experiment.images.of(model)[:COUNT])
        for shown in stages:
            D = experiment.networks(model, shown)["discriminator"]
            scores = (discriminator.score(D, part) for part in (unseen, train))
            areas[model.label, shown] = auc(*scores)
    return [
        row("membership_auc", area, model=label, images_shown=shown) for (label, shown), area in areas.items()
    ], {}


@question(families=("gan",), arguments=each_size, models=all_pairs)
def discriminator_test(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Discriminator test at each checkpoint of the first pair, and for the other pairs at the end.

    Arrays, with one entry per test: `pair` and `images_shown`, (tests,); `hinge_losses`, (tests, 2, 3,
    samples), of D_A and of D_B with the other model's sample, a training and a held-out image as the fake.
    """
    images, sets = experiment.images.dataset.images, experiment.images.split(N)
    pairs, rows, losses = experiment.models.pairs(N), [], []
    stages = experiment.train(pairs[0][0]).summary["weights"]
    naive = {model: experiment.networks(model, 0)["discriminator"] for model in all_pairs(experiment, N)}
    tests = [(0, shown) for shown in stages] + [(k, stages[-1]) for k in range(1, len(pairs))]
    for k, shown in tests:
        nets = [experiment.networks(model, shown) for model in pairs[k]]
        own = [experiment.samples(model, shown) for model in pairs[k]]
        test = discriminator.discriminator_test(
            [part["discriminator"] for part in nets],
            [naive[model] for model in pairs[k]],
            own,
            images,
            sets,
            seed=experiment.parameters.seed,
        )
        labels = [model.label for model in pairs[k]]
        for label, D in zip(labels, (test.A, test.B), strict=True):
            rows += _of_one(D, model=label, images_shown=shown)
            if shown == stages[-1]:
                rows += _detected(D, trained=False, model=label, images_shown=0)
        losses.append([[D.curves[name].loss for name in _SETS] for D in (test.A, test.B)])
    scores = dict.fromkeys((*discriminator.ALIKE, *discriminator.GRADES), np.zeros(len(own[0])))
    rows += _of_one(discriminator.evaluate(scores, scores), model="constant")
    k, shown = np.array(tests).T
    return rows, {"pair": k, "images_shown": shown, "hinge_losses": np.array(losses, np.float16)}


def _of_one(D: discriminator.Evaluation, **where: object) -> Iterator[dict]:
    """Rows of one discriminator."""
    for name, curve in D.curves.items():
        yield row(f"hinge_loss_{_SETS[name]}", curve.mean, **where)
        yield row(f"hinge_loss_{_SETS[name]}_sd", curve.sd, low=curve.low, high=curve.high, **where)
    yield row("membership_auc", D.memory, **where)
    for name, pair in _CONTRASTS.items():
        if pair in D.contrasts:
            contrast = D.contrasts[pair]
            yield row(f"score_distance_{name}", contrast.distance, p=contrast.p, **where)
    yield from _detected(D, trained=True, **where)
    yield row("has_power", D.has_power(), **where)


def _detected(D: discriminator.Evaluation, *, trained: bool, **where: object) -> Iterator[dict]:
    """Smallest amount of each degradation from which on D detects all."""
    for fault, name in _FAULTS.items():
        yield row(f"least_detected_{name}", D.sees(fault, trained=trained), **where)
