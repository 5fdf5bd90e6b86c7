"""Audit of any image generator: are its samples copies of training images, and how faithful are they?

The audit uses only images: samples of a model, its training images, and held-out images.

    test          compared with                  method
    near-copies   held-out images as samples     `galgen.auditing.near_copies`
    bias          training and held-out images   `galgen.auditing.copies`
    fidelity      held-out images                classifier by side in pixels (`twosample`), energy distance
                                                 of the pixels and of morphology (`distances`)
    effect size   held-out images                biases in percent (`biases`); equivalent blur and noise
                                                 (`equivalent_blur`)
    two models    samples of a second model of   agreement against permuted latents (`agreement`);
                  the same latents               training-set bias of the two (`memorization`)

Memorization is *found* if samples equal training images, if near-copies are more frequent than among held-out
images (p <= 0.01), or if samples are biased towards the training set (p <= 0.01): a model without either is
accused with a probability of at most 0.02. It is *inconclusive* if near-copies are more frequent but not
significantly, or if the test of bias is impossible or has too little power; else it is *not found*. The power
of the test of bias is that of the nearest row of a table (`galgen.auditing.sensitivity`). p-values of other
tests are adjusted by Holm's method over all tests.

All images are rounded to 8 bits and averaged down to a power of two in size; for all tests except classifier
and morphology to at most 32 x 32 pixels, and for near-copies, both biases and morphology converted to gray.
Floats are display values of a model: those slightly outside black at 0 and white at 1 are clipped
(`galgen.data.preprocess`). At most two copies of a set are in memory: further arrays are computed in parts,
at 32 x 32 pixels. For large sets, fidelity is tested with `ASKED` random images, and equivalent blur with
`FAULTY` samples and twice as many held-out images; two models are compared at the first `ASKED` latents.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, StrictBool

from galgen.auditing.copies import LEVEL, Copies, copies
from galgen.auditing.near_copies import NearCopies, near_copies
from galgen.auditing.sensitivity import nearest_rows
from galgen.compare import similarity
from galgen.compare.agreement import agreement_test
from galgen.compare.biases import Biases, biases, photometry
from galgen.compare.distances import energy_of_pixels, with_spread
from galgen.compare.equivalent_blur import FAULTS, area, calibration_curve
from galgen.compare.memorization import exchange_test, margins
from galgen.compare.morphology import COEFFICIENTS, measure, valid
from galgen.compare.scoreboard import morphology_distances
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import Estimate, Outcome, bootstrap, holm
from galgen.data.preprocess import DRAWN, averaged, to_uint8
from galgen.data.split import Split, dihedral_keys
from galgen.data.unit import mean_image, unit
from galgen.runs.arguments import Images, OptionalImages, validated
from galgen.runs.errors import GalgenError

__all__ = ["NEAR", "OF_PAIR", "SIDE", "Audit", "audit"]

FEWEST, TRAINED, LARGEST = 10, 2, 256  # smallest set; smallest training set; largest side in pixels
NEAR = 32  # maximum side in pixels for the detection of copies
ASKED = 2048  # maximum number of images per set for the tests of fidelity
FAULTY = 512  # maximum number of degraded galaxies
SEEDS = 700_000_000  # number of seeds: those of torch are below 2^32, of which `copies` uses the last
SIDE = 16  # side in pixels; for larger images the classifier distinguishes every model
OF_PAIR = ("agreement", "own training images")  # tests of two models
_PERMUTATIONS = {"permutations": 1999}
_AT_ONCE = 1024  # images

Sets = Mapping[str, np.ndarray]  # uint8 (n, C, H, H), by name


@dataclass(frozen=True, repr=False)
class Audit:
    """Results of an audit; `str` returns a summary of ten lines.

    Attributes:
        counts: Number of images by set.
        side: Side of the images in pixels.
        near: Near-copies among samples, and among held-out images as if they were samples.
        equal: Number of samples with all bytes of a training image, also flipped or rotated by quarter turns.
        memory: Result of the test of training-set bias.
        answers: Statistic of each test, with its null distribution.
        adjusted: p-values adjusted by Holm's method.
        biases: Biases of the samples, in percent.
        faults: Equivalent amount of each degradation: blur in pixels of images of side `NEAR`, or `side` if
            smaller, noise in gray levels. Empty if the held-out images are too few.
        pair: For two models P(train closer), 1/2 without training-set bias, and the floor, the agreement with
            an out-of-domain network; each if tested.
    """

    counts: dict[str, int]
    side: int
    near: NearCopies
    equal: int
    memory: Copies
    answers: dict[str, Outcome]
    adjusted: dict[str, float]
    biases: Biases
    faults: dict[str, Estimate]
    pair: dict[str, Estimate]

    @property
    def verdict(self) -> str:
        """Verdict on memorization (found, inconclusive, not found), with its reasons."""
        near, bias = self.near, self.memory.outcome
        shown = [("samples equal to training images", self.equal > 0)]
        shown += [("near-copies of training images", near.p <= LEVEL)]
        shown += [("training-set bias", bias is not None and bias.p <= LEVEL)]
        if significant_names := [name for name, significant in shown if significant]:
            return f"found ({', '.join(significant_names)})"
        more = near.fraction.value > near.held_out.value
        doubts = ["near-copies, not significantly more than among held-out images"] * more
        reason = self.memory.inconclusive
        if not reason and all(row["fraction"] is None for row in nearest_rows(self.counts).values()):
            reason = "with these numbers of images it detects no fraction of copies"
        doubts += [f"no test of training-set bias: {reason}"] * bool(reason)
        if doubts:
            return f"inconclusive ({', '.join(doubts)})"
        copied = "near-copies not above chance" if near.fraction.value else "no near-copies"
        return f"not found ({copied}, no training-set bias)"

    def __repr__(self) -> str:
        from galgen.auditing.report import summary

        return "\n".join(f"{name}: {value}" for name, value in summary(self).items())

    def _repr_html_(self) -> str:
        from galgen.auditing.report import first_screen

        return first_screen(self)


@validated
def audit(
    samples: Images,
    train: Images,
    held_out: Images,
    *,
    other_samples: OptionalImages = None,
    other_train: OptionalImages = None,
    floor: OptionalImages = None,
    flips: StrictBool = False,
    morphology: Annotated[int, Field(ge=0, lt=2**32)] = 512,
    seed: Annotated[int, Field(ge=0, lt=SEEDS)] = 0,
) -> Audit:
    """Audit a generator: are its samples copies of its training images, and how faithful are they?

    Args:
        samples: Images (n, H, H), (n, C, H, H) or (n, H, H, C), C = 1 or 3, H from 8 to 256; uint8, or floats
            with black at 0 and white at 1, which are clipped (from -0.5 to 1.5; other values are an error);
            arrays or tensors, not masked. Ten images or more.
        train: Training images of the model, two or more.
        held_out: Other images, randomly selected from the same pool, ten or more.
        other_samples: A second model's samples of the same latents, in the same order.
        other_train: Training images of the second model.
        floor: Samples of the same latents by an out-of-domain network, trained on other kinds of images.
        flips: Whether the model was trained with flips: the test of bias also searches for flipped images.
        morphology: Galaxies of each set to measure, 0.15 s each; 0 for no test of morphology.
        seed: Seed of permutations and random selections.

    Raises:
        GalgenError: If a set is invalid, or sets are inconsistent.
    """
    arguments = {"samples": samples, "train": train, "held_out": held_out}
    arguments |= {"other_samples": other_samples, "other_train": other_train, "floor": floor}
    sets = {name: _checked(name, images) for name, images in arguments.items() if images is not None}
    if all((part == part[:, :1]).all() for images in sets.values() for part in _parts(images)):
        sets = {name: images[:, :1] for name, images in sets.items()}
    _fit(sets)
    side, rng = 1 << (sets["samples"].shape[-1].bit_length() - 1), np.random.default_rng(seed)
    near = {name: _near(images, side) for name, images in sets.items()}
    rows = {name: rng.permutation(len(sets[name]))[:ASKED] for name in ("samples", "held_out")}
    full = [averaged(sets[name][which], side) for name, which in rows.items()]
    small = [near[name][which] for name, which in rows.items()]
    gray = [_gray(near[name]) for name in ("samples", "train", "held_out")]
    memory, copied = copies(*gray, flips=flips, seed=seed), near_copies(*gray)
    answers = {"memory": memory.outcome} if memory.outcome else {}
    answers |= _fidelity(full, small, morphology, seed)
    bias, faults = biases(*(photometry(_gray(part)) for part in small), seed=seed), _faults(*small)
    pair_answers, pair = _pair(near, flips, seed) if "other_samples" in sets else ({}, {})
    answers |= pair_answers
    adjusted = holm({name: answer.p for name, answer in answers.items()})
    counts = {name: len(images) for name, images in sets.items()}
    equal = int(np.isin(*(_keys(sets[name]) for name in ("samples", "train"))).sum())
    return Audit(counts, side, copied, equal, memory, answers, adjusted, bias, faults, pair)


def _checked(name: str, x: np.ndarray) -> np.ndarray:
    """Convert a set to uint8 (n, C, H, H), and refuse invalid images."""
    x = x[:, None] if x.ndim == 3 else x
    x = np.moveaxis(x, -1, 1) if x.ndim == 4 and x.shape[1] not in (1, 3) else x
    square = x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[2] == x.shape[3] and 8 <= x.shape[2] <= LARGEST
    if not square or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        raise GalgenError(
            f"{name}: an array {x.shape} of {x.dtype}; give square images of 8 to {LARGEST} pixels "
            "per side, gray or with three colors, as uint8 or as floats with white at 1"
        )
    if len(x) < (least := TRAINED if "train" in name else FEWEST):
        raise GalgenError(f"{name}: {len(x)} image{'s' * (len(x) != 1)}; an audit needs {least} or more")
    if x.dtype == np.uint8:
        return x
    if not (x.min() >= DRAWN[0] and x.max() <= DRAWN[1]):  # false for NaN
        raise GalgenError(
            f"{name}: pixels from {x.min():.3g} to {x.max():.3g}; omit images with pixels that are not "
            "finite, and scale the others to black at 0, white at 1"
        )
    return np.concatenate([to_uint8(part) for part in _parts(x)])


def _parts(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[first : first + _AT_ONCE] for first in range(0, len(images), _AT_ONCE))


def _near(images: np.ndarray, side: int) -> np.ndarray:
    """Average images down to the resolution at which copies are detected, by way of `side`."""
    if images.shape[-1] <= min(side, NEAR):
        return images
    return np.concatenate([averaged(averaged(part, side), min(side, NEAR)) for part in _parts(images)])


def _fit(sets: Sets) -> None:
    """Refuse sets that cannot be compared."""
    if len(shapes := {images.shape[1:] for images in sets.values()}) > 1:
        raise GalgenError(f"the sets have images of different shapes: {sorted(shapes)}; resize them")
    latents = {len(sets[name]) for name in ("samples", "other_samples", "floor") if name in sets}
    if len(latents) > 1:
        raise GalgenError(f"images of the same latents must have equal numbers, not {sorted(latents)}")
    if "other_samples" not in sets and len(sets) > 3:
        raise GalgenError("other training images and a floor need the samples of the other model")


def _gray(images: np.ndarray) -> np.ndarray:
    if images.shape[1] == 1:
        return images
    return np.concatenate([np.rint(part.mean(1, keepdims=True)).astype(np.uint8) for part in _parts(images)])


def _keys(images: np.ndarray) -> np.ndarray:
    """Return a key per image, equal for images with equal bytes in any of eight orientations, (n,)."""
    keys = [dihedral_keys(part.reshape(-1, 1, *part.shape[2:])) for part in _parts(images)]
    return np.concatenate(keys).reshape(len(images), -1).sum(1)


def _fidelity(
    full: list[np.ndarray], small: list[np.ndarray], morphology: int, seed: int
) -> dict[str, Outcome]:
    """Test samples against held-out images, at full resolution and at lower ones."""
    answers, options = {}, {**_PERMUTATIONS, "seed": seed}
    for side in (full[0].shape[-1] >> k for k in range(9) if full[0].shape[-1] >> k >= 8):
        samples, reference = (_features(part, side) for part in full)
        answers[f"classifier, {side} pixels"] = c2st(reference, samples, **options).outcome
    pixels = (part.reshape(len(part), -1) / 255 for part in small)
    answers["energy distance"] = energy_of_pixels(*pixels, **options)
    if morphology:
        table, reference = (measure(_gray(part[:morphology]), progress=False) for part in full)
        names = with_spread(valid(reference), COEFFICIENTS)
        distances_ = morphology_distances(reference, table, names, seed=seed)
        answers |= {"morphology": distances_.energy} if distances_ else {}
    return answers


def _features(images: np.ndarray, side: int) -> np.ndarray:
    """Compute classifier features in parts, as they take a hundred bytes per pixel."""
    return np.concatenate([features(images[i : i + 64], side=side) for i in range(0, len(images), 64)])


def _faults(samples: np.ndarray, held_out: np.ndarray) -> dict[str, Estimate]:
    """Return the equivalent amount of each degradation, with equal classifier AUC."""
    n, side = min(len(held_out) // 2, len(samples), FAULTY), min(SIDE, held_out.shape[-1])
    if n < FEWEST:
        return {}
    x, reference, others = (part / 255 for part in (samples[:n], held_out[:n], held_out[n : 2 * n]))
    auc = area(x, reference, side=side)
    return {fault: calibration_curve(fault, others, reference, side=side).amount(auc) for fault in FAULTS}


def _pair(near: Sets, flips: bool, seed: int) -> tuple[dict[str, Outcome], dict[str, Estimate]]:
    """Run the two-models tests on the first latents."""
    a, b = (unit(near[name][:ASKED]) for name in ("samples", "other_samples"))
    mean, pair = mean_image(np.concatenate([near["train"], near["held_out"]])), {}
    answers = {"agreement": agreement_test(a, b, mean=mean, seed=seed, **_PERMUTATIONS)}
    if "other_train" in near:
        images, N = np.concatenate([near["train"], near["other_train"]]), len(near["train"])
        sets = Split(np.arange(N), np.arange(N, len(images)), np.empty(0, int))
        both = (margins(x, images, sets, mean=mean, flips=flips) for x in (a, b))
        exchange = exchange_test(*both, seed=seed)
        answers["own training images"], pair["P(train closer)"] = exchange.margin, exchange.p_closer
    if "floor" in near:
        other = unit(near["floor"][:ASKED])
        pair["floor"] = bootstrap(similarity.cosine(a, other, kind="anomaly", mean=mean))
    return answers, pair
