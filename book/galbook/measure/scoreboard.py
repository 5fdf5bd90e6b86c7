"""Classifier test: can a classifier distinguish samples from galaxies, and how large is the difference?

A classifier trained on the two sets (`galgen.compare.twosample`) has an area under the curve (AUC) of 1/2 if
they have the same density. Its inputs are the images at full resolution, and averaged to 16 and 8 pixels per
side, which removes texture. Samples are compared with twice as many held-out galaxies, and all images are
rounded to the gray levels of the family. The baselines are correct, or degraded in a known way
(`galgen.compare.controls`):

    held-out                    other held-out galaxies
    blurred-0.5, blurred-1      these, smoothed by a Gaussian with that standard deviation in pixels
    gaussian                    samples of the Gaussian of the training images of A
    empirical                   samples of the empirical denoiser, which are training images of A

*Equivalent blur*: the blur of galaxies with the AUC of the model, with its interval
(`galgen.compare.equivalent_blur`).

*Realism*: samples and as many held-out galaxies are each compared with further held-out galaxies. With a and
b their two AUCs, with intervals [a-, a+] and [b-, b+], the interval of the excess a - b is (Newcombe 1998)

    a - b - ((a - a-)^2 + (b+ - b)^2)^(1/2)    to    a - b + ((a+ - a)^2 + (b - b-)^2)^(1/2),

somewhat too wide, since both are compared with the same galaxies.

References:
    Newcombe 1998, Interval estimation for the difference between independent proportions,
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
"""

import functools
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from galbook.table import all_pairs, each_size, first_pair, largest_size, question, row
from galgen.compare.agreement import two_models
from galgen.compare.controls import blurred, controls, rounded
from galgen.compare.equivalent_blur import CalibrationCurve, calibration_curve
from galgen.compare.scales import first_component, principal_spread
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, Training

__all__ = ["classifier_baselines", "classifier_calibration", "classifier_test",
    "control_pairs", "controls_of", "model_samples", "named", "no_models", "realism",
    "realism_margin"]  # fmt: skip

CALIBRATED = (16, 8)  # pixels per side; at 32 the AUC of every model is near 1
COARSE = 8  # pixels per side
FEWEST = 10  # images; the classifier needs two per fold
REALISM = 1000  # least number of images per set, for an interval of the excess of about ±0.035


def no_models(experiment: Experiment, *_: object) -> list[Training]:
    """Models of a question about galaxies alone: none."""
    return []


def named(experiment: Experiment, training: Training) -> dict:
    """Columns that name a model at the end of its training."""
    name = f"{training.label}-{training.out_of_domain}" if training.out_of_domain else training.label
    return {"model": name, "images_shown": experiment.settings.images_shown(training.N)}


def model_samples(experiment: Experiment, training: Training, count: int) -> np.ndarray:
    """First finite samples of a model, rounded to the gray levels of the family."""
    return _finite(
        experiment, experiment.samples(training, count=max(count, experiment.profile.samples)), count
    )


def _finite(experiment: Experiment, images: Tensor | np.ndarray, count: int) -> np.ndarray:
    images = rounded(images, experiment.family.bits)[:count]
    return images[np.isfinite(images).all((1, 2, 3))]


@functools.cache
def controls_of(experiment: Experiment) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """The 2 n held-out galaxies of reference, and the pairs of n images of each baseline, in 8 bits."""
    images, sets, n = experiment.images.dataset.images, experiment.images.split(), experiment.images.compared
    control, unseen = controls(images, sets, n), images[sets.validation[n : 3 * n]]
    pairs = {"held-out": control.pairs["held out"], "blurred-0.5": control.pairs["blurred"]}
    pairs["blurred-1"] = [rounded(blurred(part, 1.0)) for part in (unseen[n:], unseen[:n])]
    pairs |= {"gaussian": control.pairs["Gaussian"], "empirical": control.pairs["empirical denoiser"]}
    return control.reference, pairs


def _compared(
    experiment: Experiment, images: np.ndarray, curves: Mapping[str, np.ndarray], **where: object
) -> Iterator[dict]:
    """Rows of one set: brightness, variance, and the classifier at each resolution."""
    reference = rounded(controls_of(experiment)[0], experiment.family.bits)
    if len(images) < FEWEST:
        return
    train = experiment.images.dataset.images[experiment.images.split().A]
    for group, ratio in principal_spread(images, train).items():
        yield row("variance_ratio", ratio, at=group.first, n=len(images), **where)
    for side in (side for k in range(9) if (side := images.shape[-1] >> k) >= 8):
        test = c2st(*(features(part, side=side) for part in (reference, images)))
        yield row("auc", test.auc, p=test.p, at=side, **where)
        yield row("auc_null", 0.5, low=test.outcome.low, high=test.outcome.high, at=side, **where)
        if (curve := curves.get(f"blur_{side}")) is not None:
            yield row("equivalent_blur", CalibrationCurve(*curve).amount(test.auc), at=side, **where)


@question(families=FAMILIES, arguments=lambda _: [()], models=no_models)
def classifier_calibration(experiment: Experiment) -> tuple[list, dict]:
    """AUC of held-out galaxies with increasing blur: arrays (2, k) of amounts and AUCs."""
    (reference, pairs), bits = controls_of(experiment), experiment.family.bits
    unseen, galaxies = pairs["held-out"][0], rounded(reference, bits)
    if len(unseen) < FEWEST:
        return [], {}
    arrays = {}
    for side in (side for side in CALIBRATED if side <= galaxies.shape[-1]):
        curve = calibration_curve("blur", unseen, galaxies, side=side, bits=bits)
        arrays[f"blur_{side}"] = np.stack([curve.amounts, curve.areas])
    return [], arrays


@question(families=FAMILIES, arguments=each_size, models=first_pair)
def classifier_test(experiment: Experiment, N: int) -> tuple[list, dict]:
    """Samples of models A and B of the first pair compared with held-out galaxies."""
    curves, rows = classifier_calibration(experiment).arrays, []
    for training in experiment.models.pair(N):
        images = model_samples(experiment, training, experiment.images.compared)
        rows += _compared(experiment, images, curves, **named(experiment, training))
    return rows, {}


@question(families=FAMILIES, arguments=largest_size, models=no_models)
def classifier_baselines(experiment: Experiment, N: int) -> tuple[list, dict]:
    """Baselines compared with held-out galaxies; deviation of training images along component 1."""
    curves, (_, pairs) = classifier_calibration(experiment).arrays, controls_of(experiment)
    train = experiment.images.dataset.images[experiment.images.split().A]
    rows = [row("component_deviation", first_component(train), model="training-images", at=1)]
    for name, (images, _) in pairs.items():
        rows += _compared(experiment, rounded(images, experiment.family.bits), curves, model=name)
    return rows, {}


@question(families=("diffusion",), arguments=largest_size, models=no_models)
def control_pairs(experiment: Experiment, N: int) -> tuple[list, dict]:
    """Two-models test of pairs of baselines, as positive and negative controls of its statistics."""
    sets, rows = experiment.images.split(N), []
    options = {"mean": experiment.images.mean, "flips": experiment.family.flips}
    for name, pair in controls_of(experiment)[1].items():
        pair = [torch.as_tensor(rounded(part, experiment.family.bits)) for part in pair]
        test = two_models(*pair, experiment.images.dataset.images, sets, **options)
        rows.append(row("agreement", test.agreement, p=test.permutation.p, model=name))
        null = {"low": test.permutation.low, "high": test.permutation.high}
        rows.append(row("agreement_null", test.agreement_null, **null, model=name))
        rows.append(row("margin_beyond_gaussian", test.memorization.outcome, n=test.n, model=name))
    return rows, {}


def _realism_sizes(experiment: Experiment) -> list[tuple[int, int]]:
    samples = experiment.profile.samples
    return [(N, max(min(REALISM, 4 * samples), samples)) for (N,) in largest_size(experiment)]


@question(families=FAMILIES, arguments=_realism_sizes, models=all_pairs)
def realism(experiment: Experiment, N: int, count: int) -> tuple[list, dict]:
    """Excess AUC of `count` samples over as many galaxies (fewer if fewer are held out)."""
    bits, galaxies, rows = experiment.family.bits, experiment.images.more(2 * count), []
    if galaxies is None:  # user-provided data: galaxies outside all training sets
        sets = experiment.images.split()
        unseen = np.concatenate([sets.validation, sets.starts])
        galaxies = experiment.images.dataset.images[unseen[: 2 * count]]
    count = len(galaxies) // 2
    reference, others = rounded(galaxies[:count], bits), rounded(galaxies[count : 2 * count], bits)
    models = {t: model_samples(experiment, t, count) for t in all_pairs(experiment, N)}
    for side in (side for k in range(9) if (side := others.shape[-1] >> k) >= 8):
        target = features(reference, side=side)
        held_out = c2st(target, features(others, side=side), permutations=1).auc
        rows.append(row("auc", held_out, at=side, model="held-out"))
        for training, images in models.items():
            if len(images) >= FEWEST:
                area = c2st(target, features(images, side=side), permutations=1).auc
                where = {"at": side} | named(experiment, training)
                rows += [row("auc", area, **where), row("auc_excess", _difference(area, held_out), **where)]
    return rows, {}


def _difference(a: Estimate, b: Estimate) -> Estimate:
    """Difference of two AUCs, with the interval of the module docstring."""
    value = a.value - b.value
    low, high = np.hypot(a.value - a.low, b.high - b.value), np.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, float(value - low), float(value + high), min(a.n, b.n))


def realism_margin(
    galaxies: np.ndarray, count: int, *, side: int = COARSE, splits: int = 200, share: float = 0.8
) -> float:
    """Upper limit of the excess of a perfect model in a given fraction of random splits.

    Args:
        galaxies: uint8 (m, 1, H, H); m at least three times `count`, and more for distinct splits.
        count: Images per set.
        side: Pixels per side.
        splits: Random splits, with galaxies instead of samples.
        share: Fraction of splits.
    """
    inputs, rng, limits = features(galaxies, side=side), np.random.default_rng(0), []
    for _ in range(splits):
        reference, *sets = inputs[rng.permutation(len(inputs))[: 3 * count]].reshape(3, count, -1)
        limits.append(_difference(*(c2st(reference, part, permutations=1).auc for part in sets)).high)
    return float(np.quantile(limits, share))
