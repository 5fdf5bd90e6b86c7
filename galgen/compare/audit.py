"""An audit of anyone's generator: are its samples copies, and are they right?

All is asked of images alone: samples of a model, its training images, and others that were held out.

    question      beside                         by
    memory        training and held-out images   `galgen.compare.copies`
    right?        held-out images                classifier by side in pixels (`twosample`), energy distance
                                                 of the pixels (`calibrated`), morphology (`distances`)
    by how much   held-out images                biases in per cent (`biases`); the blur and the noise that
                                                 are found as easily (`twosample`)
    two models    samples of a second model of   agreement beside latents paired anew (`agreement`); whether
                  the same latents               the two favour their own training images (`memorization`)

p-values are given as they are and by Holm's method over all questions asked; a verdict goes by the latter.
All images are rounded to 8 bits and averaged down to the largest power of two a side, and to 64 pixels for
memory, faults and the two models. What is asked of a random part of the images says so in the notes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from galgen.compare import similarity
from galgen.compare.agreement import agreement_test
from galgen.compare.biases import Biases, Photometry, biases, photometry
from galgen.compare.calibrated import calibrated
from galgen.compare.copies import Copies, copies
from galgen.compare.distances import Distances, distances, with_spread
from galgen.compare.how_far import FAULTS, area, ladder
from galgen.compare.memorization import Exchange, exchange_test, margins
from galgen.compare.morphology import COEFFICIENTS, measure, valid
from galgen.compare.twosample import C2ST, c2st, features_by_parts
from galgen.compare.uncertainty import Estimate, Outcome, bootstrap, holm
from galgen.data.dataset import Split
from galgen.data.preprocess import resize_area, to_uint8
from galgen.data.unit import mean_image, unit
from galgen.runs.errors import GalgenError

__all__ = ["SIDE", "Audit", "audit"]

FEWEST, TRAINED, LARGEST = 10, 2, 256  # images of a set, but for training images; pixels a side
NEAR = 64  # pixels a side, at most, at which a copy is a copy
ASKED = 2048  # images of each set that are asked whether they are right
FAULTY = 512  # galaxies that are made wrong on purpose
SIDE = 16  # pixels: at more the classifier is certain of every model
_PERMUTATIONS = 1999

Sets = Mapping[str, np.ndarray]  # uint8 (n, C, H, H), by name
_Two = list[np.ndarray]  # of the samples, and held out
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Right:
    """Samples beside held-out images.

    Attributes:
        classifier: By side in pixels, the full one first.
        energy: The energy distance of pixels, averaged down to 32 a side, beside permuted labels.
        biases: In per cent.
        faults: The amount of each fault that the classifier finds as easily: blur in pixels of `faulty` a
            side, noise in grey levels. Empty if too few images are held out.
        faulty: Pixels a side at which faults were made.
        morphology: Distances of the coefficients; None if nobody asked, or they could not be measured.
        measured: Shares of the samples and of the held-out images with all coefficients; None if not asked.
    """

    classifier: dict[int, C2ST]
    energy: Outcome
    biases: Biases
    faults: dict[str, Estimate]
    faulty: int
    morphology: Distances | None
    measured: tuple[float, float] | None


@dataclass(frozen=True)
class Pair:
    """Two models' images of the same latents.

    Attributes:
        agreement: Median anomaly cosine of the two images of a latent, beside latents paired anew.
        exchange: Whether the models favour their own training images; None if those of one are not given.
        floor: Agreement of the first model with a network of other images altogether; None if not given.
        n: Latents.
    """

    agreement: Outcome
    exchange: Exchange | None
    floor: Estimate | None
    n: int


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        counts: Images, by the name of the argument.
        side: Pixels a side.
        channels: 1 of gray images, 3 of colour.
        flips: Whether copies were looked for flipped as well.
        memory: Whether the samples are copies.
        right: How they differ from held-out images.
        pair: The second model's, if it was given.
        p: By question, as it is.
        adjusted: The same by Holm's method.
        notes: What was averaged, and what was drawn at random.
    """

    counts: dict[str, int]
    side: int
    channels: int
    flips: bool
    memory: Copies
    right: Right
    pair: Pair | None
    p: dict[str, float]
    adjusted: dict[str, float]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Of memory, in a few words."""
        return self.memory.verdict(self.adjusted.get("memory"))


def audit(
    samples: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    *,
    other_samples: np.ndarray | None = None,
    other_train: np.ndarray | None = None,
    floor: np.ndarray | None = None,
    flips: bool = False,
    morphology: int = 512,
    seed: int = 0,
    progress: Progress = lambda step: None,
) -> Audit:
    """Audit a generator. A script needs `if __name__ == "__main__":`, for the processes of morphology.

    Args:
        samples: Images (n, H, H), (n, C, H, H) or (n, H, H, C), C = 1 or 3, H from 8 to 256; uint8, or floats
            with white at 1, which are clipped; arrays or CPU tensors. Ten images or more.
        train: The images that the model was trained on, two or more.
        held_out: Others, drawn at random from the same pool, ten or more.
        other_samples: A second model's images of the same latents, in the same order.
        other_train: What that one was trained on.
        floor: Images of the same latents by a network of other images altogether.
        flips: Whether the model was trained with flips, so that copies may be flipped.
        morphology: Galaxies of each set to measure, .15 s each; 0 asks nothing of morphology.
        seed: Of permutations, and of what is drawn at random.
        progress: Told of each step before it is taken.

    Raises:
        GalgenError: If a set is none of such images, they do not fit together, or nothing is held out.
    """
    if min(seed, morphology) < 0:
        raise GalgenError(f"seed {seed}, morphology {morphology}: give whole numbers from 0 on")
    given = {"samples": samples, "train": train, "held_out": held_out}
    given |= {"other_samples": other_samples, "other_train": other_train, "floor": floor}
    sets = {name: _checked(name, images) for name, images in given.items() if images is not None}
    if all((images == images[:, :1]).all() for images in sets.values()):
        sets = {name: images[:, :1] for name, images in sets.items()}
    _fit(sets)
    counts = {name: len(images) for name, images in sets.items()}
    channels, full, _ = sets["samples"].shape[1:]
    side, notes, rng = 1 << (full.bit_length() - 1), [], np.random.default_rng(seed)
    sets = {name: _averaged(images, side) for name, images in sets.items()}
    near = {name: _averaged(images, min(side, NEAR)) for name, images in sets.items()}
    if side < full:
        notes.append(f"Images of {full} pixels a side were averaged down to {side}, a power of two.")
    if side > NEAR:
        notes.append(f"Memory, faults and two models were asked at {NEAR} pixels a side.")
    options = {"flips": flips, "seed": seed, "progress": progress}
    memory = copies(near["samples"], near["train"], near["held_out"], **options)

    def some(what: str, of: Sets, most: int) -> list[np.ndarray]:
        parts = [of[name] for name in ("samples", "held_out")]
        if max(map(len, parts)) > most:
            notes.append(f"{what}: {most} images of a set at most, drawn at random.")
        return [images[np.sort(rng.permutation(len(images))[:most])] for images in parts]

    parts = some("Classifier, energy distance and biases", sets, ASKED), some("Faults", near, 2 * FAULTY)
    galaxies = some("Morphology", sets, morphology) if morphology and channels == 1 else None
    right = _right(*parts, galaxies, seed, progress)
    progress("two models")
    pair = _pair(near, flips, seed) if "other_samples" in sets else None
    p = {"memory": memory.outcome.p} if memory.outcome else {}
    p |= {f"classifier, {each} pixels": found.p for each, found in right.classifier.items()}
    p |= {"energy distance": right.energy.p}
    p |= {"morphology": right.morphology.energy.p} if right.morphology else {}
    p |= {"agreement": pair.agreement.p} if pair else {}
    p |= {"own training images": pair.exchange.margin.p} if pair and pair.exchange else {}
    return Audit(counts, side, channels, flips, memory, right, pair, p, holm(p), tuple(notes))


def _checked(name: str, images: np.ndarray) -> np.ndarray:
    """A set as uint8 (n, C, H, H)."""
    x = np.asarray(images)
    x = x[:, None] if x.ndim == 3 else x
    x = np.moveaxis(x, -1, 1) if x.ndim == 4 and x.shape[1] not in (1, 3) else x
    square = x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[2] == x.shape[3] and 8 <= x.shape[2] <= LARGEST
    if not square or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        raise GalgenError(
            f"{name}: an array {np.shape(images)} of {x.dtype}; give square images of 8 to {LARGEST} pixels "
            "a side, gray or of three colours, as uint8 or as floats with white at 1"
        )
    if len(x) < (least := TRAINED if "train" in name else FEWEST):
        raise GalgenError(f"{name}: {len(x)} image{'s' * (len(x) != 1)}; an audit needs {least} or more")
    if x.dtype == np.uint8:
        return x
    parts = [x[i : i + 1024] for i in range(0, len(x), 1024)]
    if wrong := sum(int((~np.isfinite(part)).any((1, 2, 3)).sum()) for part in parts):
        raise GalgenError(
            f"{name}: {wrong} of {len(x)} images have pixels that are not finite; leave them out"
        )
    low, high = min(part.min() for part in parts), max(part.max() for part in parts)
    if low < -0.5 or high > 1.5:  # a little outside are samples that nobody clipped
        raise GalgenError(
            f"{name}: pixels from {low:.3g} to {high:.3g}; scale them to black at 0, white at 1"
        )
    return np.concatenate([to_uint8(part) for part in parts])


def _fit(sets: Sets) -> None:
    """Refuse sets that cannot be held against one another."""
    shapes = {name: images.shape[1:] for name, images in sets.items()}
    if len({*shapes.values()}) > 1:
        told = "; ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shapes.items())
        raise GalgenError(f"the sets have images of unequal shapes: {told}; bring them to one size")
    latents = {name: len(sets[name]) for name in ("samples", "other_samples", "floor") if name in sets}
    if len({*latents.values()}) > 1:
        told = ", ".join(f"{n} of {name}" for name, n in latents.items())
        raise GalgenError(f"images of the same latents come in equal numbers, not {told}")
    if "other_samples" not in sets and len(sets) > 3:
        raise GalgenError("other training images and a floor say nothing without the other model's samples")


def _averaged(images: np.ndarray, side: int) -> np.ndarray:
    """Images uint8 averaged over areas to so many pixels a side."""
    if images.shape[-1] == side:
        return images
    parts = (images[i : i + 1024] / np.float32(255) for i in range(0, len(images), 1024))
    return np.concatenate([to_uint8(resize_area(part, side)) for part in parts])


def _right(asked: _Two, faulty: _Two, galaxies: _Two | None, seed: int, progress: Progress) -> Right:
    """Samples beside held-out images: for all questions, for faults, and for morphology."""
    (drawn, known), classifier, options = asked, {}, {"permutations": _PERMUTATIONS, "seed": seed}
    full = known.shape[-1]
    for side in (full >> k for k in range(9) if full >> k >= 8):
        progress(f"classifier at {side} pixels")
        classifier[side] = c2st(*(features_by_parts(part, side=side) for part in (known, drawn)), **options)
    progress("energy distance and biases")
    pixels = (_averaged(part, min(full, 32)).reshape(len(part), -1) / 255 for part in asked)
    energy = calibrated(*pixels, statistics=["energy"], **options)["energy"]
    light = [_photometry(part) for part in asked]
    progress("galaxies made wrong on purpose")
    faults = _faults(*(part / 255 for part in faulty))
    morphology, measured = None, None
    if galaxies:
        progress(f"morphology of {len(galaxies[0])} samples and {len(galaxies[1])} held-out images")
        tables = [measure(part, progress=False) for part in galaxies]
        measured = tuple(len(valid(table)) / len(table) for table in tables)
        rows, reference = map(valid, tables)
        used = with_spread(reference, COEFFICIENTS)
        if min(len(rows), len(reference)) >= FEWEST and used:
            morphology = distances(reference, rows, used, **options)
    energy = Outcome(energy.value, energy.low, energy.high, energy.far)
    return Right(
        classifier, energy, biases(*light, seed=seed), faults, faulty[0].shape[-1], morphology, measured
    )


def _photometry(images: np.ndarray) -> Photometry:
    """Of many images, colours in their mean."""
    parts = [photometry(images[i : i + 256].mean(1, keepdims=True) / 255) for i in range(0, len(images), 256)]
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Photometry(*map(np.concatenate, columns))


def _faults(drawn: np.ndarray, known: np.ndarray) -> dict[str, Estimate]:
    """The amount of each fault that the classifier finds as easily, of images in [0, 1]."""
    n, side = min(len(known) // 2, len(drawn)), min(SIDE, known.shape[-1])
    if n < FEWEST:
        return {}
    reference, unseen = known[:n], known[n : 2 * n]
    found = area(drawn[:n], reference, side=side)
    return {fault: ladder(fault, unseen, reference, side=side).amount(found) for fault in FAULTS}


def _pair(near: Sets, flips: bool, seed: int) -> Pair:
    """The two-models test, of the first latents."""
    a, b = (unit(near[name][:ASKED]) for name in ("samples", "other_samples"))
    mean = mean_image(np.concatenate([near["train"], near["held_out"]]))
    exchange = floor = None
    if "other_train" in near:
        images, N = np.concatenate([near["train"], near["other_train"]]), len(near["train"])
        sets = Split(np.arange(N), np.arange(N, len(images)), np.empty(0, int))
        nearer = [margins(x, images, sets, mean=mean, flips=flips) for x in (a, b)]
        exchange = exchange_test(*nearer, seed=seed)
    if "floor" in near:
        floor = bootstrap(similarity.cosine(a, unit(near["floor"][:ASKED]), kind="anomaly", mean=mean))
    agreement = agreement_test(a, b, mean=mean, permutations=_PERMUTATIONS, seed=seed)
    return Pair(agreement, exchange, floor, len(a))
