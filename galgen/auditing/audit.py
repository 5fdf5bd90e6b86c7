"""An audit of anyone's generator: are its samples copies, and are they right?

All is asked of images alone: samples of a model, its training images, and others that were held out.

    question      beside                         by
    memory        training and held-out images   `galgen.auditing.copies`
    right?        held-out images                classifier by side in pixels (`twosample`), energy distance
                                                 of the pixels and of morphology (`distances`)
    by how much   held-out images                biases in per cent (`biases`); the blur and the noise that
                                                 are found as easily (`how_far`)
    two models    samples of a second model of   agreement beside latents paired anew (`agreement`); whether
                  the same latents               the two favour their own training images (`memorization`)

p-values are given as they are and by Holm's method over all questions asked; a verdict goes by the latter.
All images are rounded to 8 bits and averaged down to the largest power of two a side; for all but classifier
and morphology to 32 pixels at most, and for memory, biases and morphology made gray. Floats are images as a
model draws them: what is a little outside black at 0 and white at 1 is clipped (`galgen.data.preprocess`).
A set is never held more than twice: what is made of all its images is made in parts, at 32 pixels. Of large
sets, whether samples are right is asked of `ASKED` images, for faults of `FAULTY` samples and twice as many
held-out images, drawn at random; two models are compared at the first `ASKED` latents.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, StrictBool

from galgen.auditing.copies import Copies, copies
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
from galgen.data.split import Split
from galgen.data.unit import mean_image, unit
from galgen.runs.arguments import Images, OptionalImages, validated
from galgen.runs.errors import GalgenError

__all__ = ["NEAR", "OF_PAIR", "SIDE", "Audit", "audit"]

FEWEST, TRAINED, LARGEST = 10, 2, 256  # images of a set, but for training images; pixels a side
NEAR = 32  # pixels a side, at most, at which a copy is a copy
ASKED = 2048  # images of each set that are asked whether they are right
FAULTY = 512  # galaxies that are made wrong on purpose
SEEDS = 700_000_000  # as many: a seed of torch is below 2^32, and `galgen.auditing.copies` has the last
SIDE = 16  # pixels: at more the classifier is certain of every model
OF_PAIR = ("agreement", "own training images")  # questions to two models
_PERMUTATIONS = {"permutations": 1999}
_AT_ONCE = 1024  # images

Sets = Mapping[str, np.ndarray]  # uint8 (n, C, H, H), by name


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        counts: Images, by the name of the argument.
        side: Pixels a side.
        memory: Whether the samples are copies.
        answers: By question, its value beside its null.
        adjusted: Their p by Holm's method.
        biases: Of the samples, in per cent.
        faults: The amount of each fault that the classifier finds as easily: blur in pixels of `NEAR` a side
            or `side`, noise in gray levels. Empty if too few images are held out.
        pair: Of two models P(train closer), 1/2 if neither favours its own images, and the floor, agreement
            with a network of other images; each if it was asked.
    """

    counts: dict[str, int]
    side: int
    memory: Copies
    answers: dict[str, Outcome]
    adjusted: dict[str, float]
    biases: Biases
    faults: dict[str, Estimate]
    pair: dict[str, Estimate]

    @property
    def verdict(self) -> str:
        """Of memory, in a few words."""
        return self.memory.verdict({name: answer.p for name, answer in self.answers.items()})


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
    """Audit a generator: are its samples copies of its training images, and are they right?

    Args:
        samples: Images (n, H, H), (n, C, H, H) or (n, H, H, C), C = 1 or 3, H from 8 to 256; uint8, or floats
            with black at 0 and white at 1, which are clipped (from -0.5 to 1.5; what is beyond is an error);
            arrays or tensors, none of them masked. Ten images or more.
        train: The images that the model was trained on, two or more.
        held_out: Others, drawn at random from the same pool, ten or more.
        other_samples: A second model's images of the same latents, in the same order.
        other_train: What that one was trained on.
        floor: Images of the same latents by a network of other images altogether.
        flips: Whether the model was trained with flips, so that copies may be flipped.
        morphology: Galaxies of each set to measure, .15 s each; 0 asks nothing of morphology.
        seed: Of permutations, and of what is drawn at random.

    Raises:
        GalgenError: If a set is none of such images, they do not fit together, or nothing is held out.
    """
    given = {"samples": samples, "train": train, "held_out": held_out}
    given |= {"other_samples": other_samples, "other_train": other_train, "floor": floor}
    sets = {name: _checked(name, images) for name, images in given.items() if images is not None}
    if all((part == part[:, :1]).all() for images in sets.values() for part in _parts(images)):
        sets = {name: images[:, :1] for name, images in sets.items()}
    _fit(sets)
    side, rng = 1 << (sets["samples"].shape[-1].bit_length() - 1), np.random.default_rng(seed)
    near = {name: _near(images, side) for name, images in sets.items()}
    rows = {name: rng.permutation(len(sets[name]))[:ASKED] for name in ("samples", "held_out")}
    asked = [averaged(sets[name][which], side) for name, which in rows.items()]
    small = [near[name][which] for name, which in rows.items()]
    gray = (_gray(near[name]) for name in ("samples", "train", "held_out"))
    memory = copies(*gray, flips=flips, seed=seed)
    answers = {"memory": memory.outcome} if memory.outcome else {}
    answers |= _right(asked, small, morphology, seed)
    off, faults = biases(*(photometry(_gray(part)) for part in small), seed=seed), _faults(*small)
    of_pair, pair = _pair(near, flips, seed) if "other_samples" in sets else ({}, {})
    answers |= of_pair
    adjusted = holm({name: answer.p for name, answer in answers.items()})
    counts = {name: len(images) for name, images in sets.items()}
    return Audit(counts, side, memory, answers, adjusted, off, faults, pair)


def _checked(name: str, x: np.ndarray) -> np.ndarray:
    """A set as uint8 (n, C, H, H)."""
    x = x[:, None] if x.ndim == 3 else x
    x = np.moveaxis(x, -1, 1) if x.ndim == 4 and x.shape[1] not in (1, 3) else x
    square = x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[2] == x.shape[3] and 8 <= x.shape[2] <= LARGEST
    if not square or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        raise GalgenError(
            f"{name}: an array {x.shape} of {x.dtype}; give square images of 8 to {LARGEST} pixels "
            "a side, gray or of three colours, as uint8 or as floats with white at 1"
        )
    if len(x) < (least := TRAINED if "train" in name else FEWEST):
        raise GalgenError(f"{name}: {len(x)} image{'s' * (len(x) != 1)}; an audit needs {least} or more")
    if x.dtype == np.uint8:
        return x
    if not (x.min() >= DRAWN[0] and x.max() <= DRAWN[1]):  # never of NaN
        raise GalgenError(
            f"{name}: pixels from {x.min():.3g} to {x.max():.3g}; leave out images with pixels that are not "
            "finite, and scale the others to black at 0, white at 1"
        )
    return np.concatenate([to_uint8(part) for part in _parts(x)])


def _parts(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[first : first + _AT_ONCE] for first in range(0, len(images), _AT_ONCE))


def _near(images: np.ndarray, side: int) -> np.ndarray:
    """Images as copies are looked for, rounded at `side` pixels a side as well."""
    if images.shape[-1] <= min(side, NEAR):
        return images
    return np.concatenate([averaged(averaged(part, side), min(side, NEAR)) for part in _parts(images)])


def _fit(sets: Sets) -> None:
    """Refuse sets that cannot be held against one another."""
    if len(shapes := {images.shape[1:] for images in sets.values()}) > 1:
        raise GalgenError(f"the sets have images of unequal shapes: {sorted(shapes)}; bring them to one size")
    latents = {len(sets[name]) for name in ("samples", "other_samples", "floor") if name in sets}
    if len(latents) > 1:
        raise GalgenError(f"images of the same latents come in equal numbers, not {sorted(latents)}")
    if "other_samples" not in sets and len(sets) > 3:
        raise GalgenError("other training images and a floor say nothing without the other model's samples")


def _gray(images: np.ndarray) -> np.ndarray:
    if images.shape[1] == 1:
        return images
    return np.concatenate([np.rint(part.mean(1, keepdims=True)).astype(np.uint8) for part in _parts(images)])


def _right(
    asked: list[np.ndarray], small: list[np.ndarray], morphology: int, seed: int
) -> dict[str, Outcome]:
    """Whether samples are held-out images, in full and of few pixels."""
    answers, options = {}, {**_PERMUTATIONS, "seed": seed}
    for side in (asked[0].shape[-1] >> k for k in range(9) if asked[0].shape[-1] >> k >= 8):
        drawn, known = (_features(part, side) for part in asked)
        answers[f"classifier, {side} pixels"] = c2st(known, drawn, **options).outcome
    pixels = (part.reshape(len(part), -1) / 255 for part in small)
    answers["energy distance"] = energy_of_pixels(*pixels, **options)
    if morphology:
        drawn, known = (measure(_gray(part[:morphology]), progress=False) for part in asked)
        shape = morphology_distances(known, drawn, with_spread(valid(known), COEFFICIENTS), seed=seed)
        answers |= {"morphology": shape.energy} if shape else {}
    return answers


def _features(images: np.ndarray, side: int) -> np.ndarray:
    """In parts: they take a hundred bytes a pixel."""
    return np.concatenate([features(images[i : i + 64], side=side) for i in range(0, len(images), 64)])


def _faults(drawn: np.ndarray, known: np.ndarray) -> dict[str, Estimate]:
    """The amount of each fault that the classifier finds as easily."""
    n, side = min(len(known) // 2, len(drawn), FAULTY), min(SIDE, known.shape[-1])
    if n < FEWEST:
        return {}
    samples, reference, unseen = (part / 255 for part in (drawn[:n], known[:n], known[n : 2 * n]))
    found = area(samples, reference, side=side)
    return {fault: calibration_curve(fault, unseen, reference, side=side).amount(found) for fault in FAULTS}


def _pair(near: Sets, flips: bool, seed: int) -> tuple[dict[str, Outcome], dict[str, Estimate]]:
    """The two-models test of the first latents."""
    a, b = (unit(near[name][:ASKED]) for name in ("samples", "other_samples"))
    mean, pair = mean_image(np.concatenate([near["train"], near["held_out"]])), {}
    answers = {"agreement": agreement_test(a, b, mean=mean, seed=seed, **_PERMUTATIONS)}
    if "other_train" in near:
        images, N = np.concatenate([near["train"], near["other_train"]]), len(near["train"])
        sets = Split(np.arange(N), np.arange(N, len(images)), np.empty(0, int))
        nearer = (margins(x, images, sets, mean=mean, flips=flips) for x in (a, b))
        exchange = exchange_test(*nearer, seed=seed)
        answers["own training images"], pair["P(train closer)"] = exchange.margin, exchange.p_closer
    if "floor" in near:
        other = unit(near["floor"][:ASKED])
        pair["floor"] = bootstrap(similarity.cosine(a, other, kind="anomaly", mean=mean))
    return answers, pair
