"""Audit of the book's own models, and of sets with a known fraction of copies.

`galgen.auditing` tests for any generator whether its samples are copies of training images and whether they
are distinguishable from held-out images. Here it is applied to models A and B of the first pair, without
morphology. As a control, samples are replaced by held-out galaxies of which a known fraction are training
images: from 0, a negative control, to 1, where all are copies.
"""

from collections.abc import Iterator
from math import nan

import numpy as np

from galbook.measure.agreement import training_bias
from galbook.table import each_size, largest_size, question, row
from galgen.auditing import audit as auditing
from galgen.auditing.copies import Copies, copies
from galgen.compare.controls import rounded
from galgen.compare.similarity import FLIPS
from galgen.data.preprocess import to_uint8
from galgen.experiment import Experiment
from galgen.models.families import Training

__all__ = ["audit", "detectable_copies", "planted_copies"]

SHARES = (0.0, 0.01, 0.05, 0.2, 1.0)
COUNTS = (100, 300, 1000)  # of samples, and of held-out images


# the verdict on memorization as a number; one that cannot be given is none
_VERDICTS = {"no copies found": 0, "biased towards its training set": 1, "copies": 2}
_ANSWERS = {
    "memory": "weighted_training_fraction",
    "classifier": "auc",
    "agreement": "agreement",
}
# statistics whose null has its own row, with this value
_NULLS = {"auc": 0.5, "agreement": nan}


def _audited(experiment: Experiment, N: int) -> list[Training]:
    """First pair and, at the largest N, an out-of-domain model, if available."""
    return [*experiment.models.pair(N), *(t for t in experiment.models.out_of_domain()[:1] if t.N == N)]


@question(families=("diffusion",), arguments=each_size, models=_audited)
def audit(experiment: Experiment, N: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Audit of model A, with B as the second model.

    Arrays, of the samples nearest to an image: `nearest`, uint8 (pairs, 2, H, W), sample and image;
    `sample` and `image`, their indices, `is_training`, and `weight`, (pairs,). `repeats`, (groups, 2), for
    samples that are near-duplicates of one another: the index of one, and their number.
    """
    A, B, *out_of_domain = _audited(experiment, N)
    samples, train, held_out = experiment.samples(A), experiment.images.of(A), experiment.images.held_out
    result = auditing.audit(
        rounded(samples),
        train,
        held_out,
        other_samples=rounded(experiment.samples(B)),
        other_train=experiment.images.of(B),
        floor=rounded(experiment.samples(out_of_domain[0])) if out_of_domain else None,
        flips=experiment.family.flips,
        morphology=0,
    )
    shown = {"images_shown": experiment.settings.images_shown(N)}
    of_one, of_pair = {"model": A.label} | shown, {"model": f"{A.label}-{B.label}"} | shown
    of_pair["training_sets"] = "disjoint"
    rows = list(_of_copies(result.memory, **of_one))
    for name, outcome in result.answers.items():
        where = of_pair if name in auditing.OF_PAIR else of_one
        if name.startswith("classifier"):
            where = where | {"at": int(name.split()[1])}
        if (statistic := _ANSWERS.get(name.partition(",")[0])) in _NULLS:
            null = {"low": outcome.low, "high": outcome.high}
            rows.append(row(statistic, outcome.value, p=outcome.p, **where))
            rows.append(row(f"{statistic}_null", _NULLS[statistic], **null, **where))
        elif statistic:
            rows.append(row(statistic, outcome, **where))
    if "blur" in result.faults:
        at = min(auditing.SIDE, result.side)
        rows.append(row("equivalent_blur", result.faults["blur"], at=at, **of_one))
    if closer := result.pair.get("P(train closer)"):
        rows.append(row("training_set_bias", training_bias(closer), **of_pair))
    if out_of_domain:
        other = f"{A.label}-{out_of_domain[0].label}-{out_of_domain[0].out_of_domain}"
        where = shown | {"model": other, "training_sets": "out-of-domain"}
        rows.append(row("agreement", result.pair["floor"], **where))
    return rows, _nearest(result.memory, to_uint8(samples.numpy()), np.concatenate([train, held_out]), N)


@question(families=("diffusion",), arguments=largest_size, models=lambda *_: ())
def planted_copies(experiment: Experiment, N: int) -> tuple[list[dict], dict]:
    """Test of memorization on sets in which a known fraction (`at`) of samples are training images."""
    held_out, train = experiment.images.held_out, experiment.images.of(experiment.models.pair(N)[0])
    n, rng, rows = len(held_out) // 3, np.random.default_rng(experiment.parameters.seed), []
    for count in sorted({round(share * n) for share in SHARES}):
        copied = train[rng.integers(len(train), size=count)]
        test = copies(np.concatenate([copied, held_out[: n - count]]), train, held_out[n:])
        rows += _of_copies(test, at=count / n, model="held-out")
        if test.outcome:
            rows.append(row(_ANSWERS["memory"], test.outcome, at=count / n, model="held-out"))
    return rows, {}


@question(families=("diffusion",), arguments=each_size, models=lambda *_: ())
def detectable_copies(experiment: Experiment, N: int) -> tuple[list[dict], dict]:
    """Smallest fraction of copies that the audit detects, by numbers of samples and held-out images.

    Galaxies of neither set (`model`: unseen-n) stand for n samples of a model without copies; `at` is the
    number of held-out images. No row if training and held-out images are distinguishable.
    """
    images, sets, rows = experiment.images.dataset.images, experiment.images.split(N), []
    new = np.setdiff1d(experiment.images.dataset.distinct, np.concatenate([sets.A, sets.validation]))
    new = np.random.default_rng(experiment.parameters.seed).permutation(new)
    for n in sorted({min(count, len(new)) for count in COUNTS}):
        for m in sorted({min(count, len(sets.validation)) for count in COUNTS}):
            test = copies(images[new[:n]], images[sets.A], images[sets.validation[:m]], permutations=999)
            if test.outcome:
                least = nan if test.smallest is None else test.smallest
                rows.append(row("least_detected_copies", least, at=m, model=f"unseen-{n}", n=n))
    return rows, {}


def _of_copies(test: Copies, **where: object) -> Iterator[dict]:
    """Rows of the test of memorization, without its outcome."""
    yield row("audit_verdict", _VERDICTS.get(test.verdict, nan), **where)
    if test.outcome:
        numbers = {"least_detected_copies": test.smallest, "beyond_gaussian_p": test.beyond}
        for name, number in numbers.items():
            yield row(name, nan if number is None else number, **where)


def _nearest(test: Copies, samples: np.ndarray, pool: np.ndarray, N: int) -> dict[str, np.ndarray]:
    """Arrays of an audit."""
    near, numbers = test.nearest, ("sample", "image", "weight")
    pairs = [(samples[one.sample, 0], np.flip(pool[one.image, 0], FLIPS[one.flip])) for one in near]
    arrays = {name: np.array([getattr(one, name) for one in near]) for name in numbers}
    arrays |= {"nearest": np.array(pairs), "is_training": arrays["image"] < N}
    arrays["image"] = np.where(arrays["is_training"], arrays["image"], arrays["image"] - N)
    return arrays | {"repeats": np.array(test.repeats, int).reshape(-1, 2)}
