"""Membership inference for trained models by name: was a model trained on these images?

The method is in `galgen.compare.membership`. The power is the true-positive rate at 1 % false positives: with
k = floor((m + 1) / 100), the threshold is the k-th largest score of m held-out images, the controls. The true
false-positive rate of this threshold has the density of Beta(k, m + 1 - k), of mean k / (m + 1) <= 0.01. The
interval of the true-positive rate is that of Clopper and Pearson, over the images. Controls must be used
neither for training nor for early stopping, and come from the pool of the images: a classifier that
distinguishes the two without any model would have the same power. For comparison the result includes the AUC
of training against held-out images for the published pairs of models, by N, which was measured once and is
stored with them.
"""

from pathlib import Path

import numpy as np
from scipy import stats

from galgen.auditing.copies import ALIKE, ASKED, LEVEL
from galgen.auditing.report import output_stem
from galgen.compare.membership import NOISES, SIGMA, Membership, membership
from galgen.compare.similarity import near_duplicates
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import Estimate
from galgen.inference.denoising import trained_range
from galgen.inference.loading import Model
from galgen.published import published
from galgen.runs import files
from galgen.runs.errors import GalgenError, printable, reading

__all__ = ["KNOWN", "check_output_path", "measured_pairs", "trained_on", "true_positive_rate", "written"]

KNOWN = "membership.json"  # in the directory of a published set
MOST = 20  # maximum number of images listed
FEWEST, ENOUGH = 99, 1000  # held-out images: for a rate of 1 %, and for one without a warning


def trained_on(model: Model, other: Model, images: np.ndarray, held_out: np.ndarray) -> Membership:
    """Score whether `model` was trained on images, uint8 (n, 1, H, W), relative to held-out ones.

    Raises:
        GalgenError: If the models are not two denoisers of different images of this size, or the held-out
            images are too few, among the images, or distinguishable from them without a model.
    """
    halves = {one.images.rpartition(", ")[0] + one.images[-1] for one in (model, other)}  # sets are nested
    if len(halves) == 1 or files.file_sha256(model.weights) == files.file_sha256(other.weights):
        raise GalgenError(f"{model.name} and {other.name} share weights or images: name another one")
    for one in (model, other):
        trained_range(one.family)  # refuses models that are not denoisers
        if {images.shape[1:], held_out.shape[1:]} != {(1, one.size, one.size)}:
            raise GalgenError(f"{one.name} was trained on images of {one.size} x {one.size} pixels (--size)")
    _check_controls(images, held_out)
    a, b = (one.family.denoiser(one.networks()) for one in (model, other))
    return membership(a, b, images, held_out, progress=True)


def _check_controls(images: np.ndarray, held_out: np.ndarray) -> None:
    """Refuse held-out images that cannot serve as controls."""
    n, rng = len(images), np.random.default_rng(0)
    if len(held_out) < FEWEST:
        raise GalgenError(f"{len(held_out)} held-out images: 1 % false positives need {FEWEST} or more")
    i, j = near_duplicates(np.concatenate([images, held_out]), ALIKE).T
    if among := len({*i[(i < n) & (j >= n)]}):
        raise GalgenError(f"{among} of {n} images are among the held-out ones, or nearly: hold out others")
    test = c2st(*(features(rng.permutation(x)[:ASKED]) for x in (images, held_out))) if n >= 10 else None
    if test and test.p <= LEVEL:
        raise GalgenError(
            f"the images are distinguishable from the held-out ones without any model (AUC {test.auc}, p "
            f"{test.p:.3g}): hold out a random part of the same pool"
        )


def true_positive_rate(found: Membership) -> tuple[Estimate, tuple[float, float]]:
    """Return the rate at 1 % false positives, and the 95 % range of the true false-positive rate.

    >>> found = Membership(np.array([0, 98.5, 99, 100]), np.arange(99), np.empty(4))
    >>> rate, (low, high) = true_positive_rate(found)
    >>> f"{rate}, {low:.4f} to {high:.4f}"
    '0.75 [0.19, 0.99], 0.0003 to 0.0366'
    """
    n, m = len(found.score), len(found.held_out)
    k = (m + 1) // 100
    hits = int((found.score > np.sort(found.held_out)[-k]).sum())
    interval = stats.binomtest(hits, n).proportion_ci()
    low, high = stats.beta.ppf([0.025, 0.975], k, m + 1 - k)
    return Estimate(hits / n, interval.low, interval.high, n), (float(low), float(high))


def measured_pairs(models: Path | None = None) -> list[str]:
    """Return the AUC of training against held-out images for each published pair, one line per pair.

    Raises:
        GalgenError: If the stored values cannot be read.
    """
    place = published(models)
    path = place.root / KNOWN
    if not path.exists():
        return []
    with reading(path):
        line = "{model} with {other_model}: AUC {auc[0]:.2f} [{auc[1]:.2f}, {auc[2]:.2f}]"
        return [line.format(**pair) for pair in files.read_json(path)]


def check_output_path(out: Path) -> Path:
    """Return OUT.json, if it does not exist or is an earlier result; refuse other files."""
    path = output_stem(out)
    path = path.with_name(f"{path.name}.json")
    files.check_replaceable(
        path, lambda file: files.has_fields(file, {"model", "other_model", "score", "rate", "held_out"})
    )
    return path


def written(found: Membership, pair: tuple[Model, Model], models: Path | None, out: Path) -> str:
    """Write the result as JSON, and return it as text."""
    fields = {"model": pair[0].about, "other_model": pair[1].about, "sigma": SIGMA, "noises": NOISES}
    power, (low, high) = true_positive_rate(found)
    fields |= {"true_positive_rate": vars(power), "false_positive_rate": [low, high]}
    fields |= {key: getattr(found, key).tolist() for key in ("score", "rate", "held_out")}
    files.write_json(out, files.to_json_values(fields))
    lines = [f"True-positive rate at 1 % false positives: {power}, {power.n} images"]
    lines += [f"True false-positive rate, 95 % range: {low:.4f} to {high:.4f}"]
    few = len(found.held_out) < ENOUGH
    lines += [f"warning: with fewer than {ENOUGH} held-out images this range is wide"] * few
    lines += [f"AUC of these images against held-out ones: {found.auc}"] * (power.n > 1)
    lines += [f"Loss of {pair[1].name} minus that of {pair[0].name}, noise {SIGMA}, mean of {NOISES} noises:"]
    lines += ["image       score   false-positive rate"]
    rows = list(enumerate(zip(found.score, found.rate, strict=True)))
    lines += [f"{k:5d}  {score:+10.2e}   {rate:.4f}" for k, (score, rate) in rows[:MOST]]
    lines += [f"and {len(rows) - MOST} more, in {out}"] * (len(rows) > MOST)
    pairs = measured_pairs(models) or [f"(not measured for {published(models).root})"]
    lines += ["AUC of training against held-out images for published models:", *pairs]
    return "\n".join(map(printable, lines))
