"""The discriminator test of the paper (figures 14 and 16), and what it needs to mean something.

    l(a, b) = max(0, 1 - a) + max(0, 1 + b)                                                         Eq. (22)

is the hinge loss of a discriminator D with score a in the place of the real image and b in that of the false
one. The paper's text lets a and b be any of three scores. Its figure and conclusion draw, for M = A, B and
M' the other model, l(D_M(x_M), D_M(x_M')) and l(D_M(x_M), D_M(x_train)): M's *own sample* stands for the real
image, and for the false one the other model's sample of the same latent, or a training image of M. For scores
within [-1, 1]

    mean l = 2 + mean D(in the place of the false) - mean D(own sample),

4 for a D that is always right and 2 for one that cannot tell. Three things follow. A constant D has 2 as
well, so 2 proves nothing without power. Scores of equal mean give 2 however their distributions differ. And
wide scores s of a D that cannot tell have mean l = E max(2, 1 + |s|), here called the floor, not 2. The
scales of D_A and D_B are arbitrary: nothing is compared across them.

*Contrast* of two sets under one D: Wasserstein distance W1 of the scores over their pooled sd, its
permutation p-value, and the area under the curve. When D does not distinguish two independent sets, their
scores may be permuted; A's and B's samples share latents, and only exchanges within pairs are free. So each
pair of sets has its own, exact test, and Bonferroni's bound joins the six of the four curves (two D, three
pairs of own, other and train) however they depend.

*Power*: the same contrast must find generators that are wrong by construction, by a little and by more,
against held-out images: other held-out images with noise of that sd added, blurred by so many pixels, or
without the brightest share of them (dropped modes). What D *sees* of a kind of fault is the least grade from
which on it finds all. The negative control is the same network *before its training*. So D has power where it
finds each kind of fault at its strongest, and sees one of them at a smaller size than before its training.

*Memory*: a D that distinguishes training from held-out images has memorized the former. That samples differ
from training images then says nothing of the generator; whether they differ from held-out ones does. And a
generator's average, which draws the samples, is not what D was trained against: its raw samples stand beside.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from galgen.compare.controls import blurred
from galgen.compare.distances import permuted_w1
from galgen.compare.twosample import auc
from galgen.compare.uncertainty import Estimate, Outcome, bootstrap, permutation_test, permuted
from galgen.data.split import Split
from galgen.data.unit import unit
from galgen.runs.errors import GalgenError

__all__ = ["ALIKE", "GRADES", "WRONG", "DiscriminatorTest", "Evaluation", "History", "contrast",
    "discriminator_test", "evaluate", "hinge", "history", "image_sets", "score"]  # fmt: skip

ALIKE = ("own", "other", "train", "held_out")  # what a D that cannot tell scores alike
# What a D with power distinguishes from held-out images: sd of noise, pixels of blur, share left out.
WRONG = {"noise": (0.02, 0.05, 0.1), "blurred": (0.5, 1.0, 2.0), "dropped": (0.25, 0.5, 0.75)}
GRADES = [(kind, grade) for kind, grades in WRONG.items() for grade in grades]
_ALPHA = 0.05


@dataclass(frozen=True)
class Curve:
    """One distribution of l: values (n,), mean with bootstrap interval, sd, 16th and 84th percentile."""

    loss: np.ndarray
    mean: Estimate
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Contrast:
    """How one D distinguishes two sets.

    Attributes:
        distance: W1 of the scores over their pooled sd; 0 for a constant D.
        p: Permutation p-value of the distance.
        auc: P(D scores an image of the first set above one of the second), with interval.
    """

    distance: float
    p: float
    auc: Estimate


@dataclass(frozen=True)
class Evaluation:
    """What the discriminator of one model says at one checkpoint.

    Attributes:
        curves: l(D(own), D(set)) for the sets of `ALIKE` but "own"; the paper's are "other" and "train".
        contrasts: For every pair of `ALIKE`, of "raw" with "train" and "held_out" if it was asked about
            those, and of "held_out" with each of `GRADES`.
        floor: The mean of l if D distinguished nothing, over its scores of own, other and train.
        untrained: The contrast of "held_out" with each of `GRADES` under D before its training.
    """

    curves: dict[str, Curve]
    contrasts: dict[tuple, Contrast]
    floor: float
    untrained: dict[tuple[str, float], Contrast]

    @property
    def memory(self) -> Estimate:
        """P(D scores a training image above a held-out one): above 1/2 where D has memorized them."""
        return self.contrasts["train", "held_out"].auc

    def sees(self, kind: str, *, trained: bool = True) -> float:
        """The least grade of a fault from which on D finds all; infinite if it misses the strongest."""
        least = np.inf
        for grade in WRONG[kind][::-1]:
            name = (kind, grade)
            if (self.contrasts["held_out", name] if trained else self.untrained[name]).p >= _ALPHA:
                break
            least = grade
        return least

    def has_power(self) -> bool:
        """Whether D finds each fault at its strongest, and one at a smaller size than before its training."""
        seen = {kind: self.sees(kind) for kind in WRONG}
        return np.inf not in seen.values() and any(seen[k] < self.sees(k, trained=False) for k in seen)


@dataclass(frozen=True)
class DiscriminatorTest:
    """What D_A and D_B say at one checkpoint."""

    A: Evaluation
    B: Evaluation

    @property
    def curves(self) -> dict[tuple[str, str], Curve]:
        """The four that the paper draws, by the model that judges and what stands for the false image."""
        return {(M, false): getattr(self, M).curves[false] for M in "AB" for false in ("other", "train")}

    def apart(self, third: str = "train") -> Outcome:
        """The largest distance of own, other and a third set under either D, 0 when the curves agree.

        Its p-value is Bonferroni's bound on the smallest of the six; with "held_out" the memory of D is out.
        """
        pairs = list(itertools.combinations(("own", "other", third), 2))
        found = [D.contrasts[pair] for D in (self.A, self.B) for pair in pairs]
        p = min(1.0, 6 * min(c.p for c in found))
        return Outcome(max(c.distance for c in found), 0.0, 0.0, p)

    def verdict(self) -> str:
        """'separates', 'passes', or 'no power' when nothing is separated and a D misses a wrong generator."""
        if self.apart().p < _ALPHA:
            return "separates"
        return "passes" if self.A.has_power() and self.B.has_power() else "no power"


def hinge(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """l(a, b) of scores a in the place of the real image and b in the place of the false one.

    >>> hinge(np.array([0.0, 1.0, 2.0]), np.array([0.0, -1.0, 0.5]))
    array([2. , 0. , 1.5])
    """
    return np.maximum(0, 1 - a) + np.maximum(0, 1 + b)  # Eq. (22)


def image_sets(
    own: Tensor,
    other: Tensor,
    train: np.ndarray,
    held_out: np.ndarray,
    *,
    raw: Tensor | None = None,
    seed: int = 0,
) -> dict[str | tuple[str, float], Tensor]:
    """The images that the discriminator of one model is asked about.

    Args:
        own: Samples of its generator, (n, C, H, W) in [0, 1].
        other: The other model's samples of the same latents, in the same order.
        train: Its training images, uint8 (N, C, H, W), may be a memory map; min(n, N) are drawn.
        held_out: Images neither model has seen, uint8: half are for the wrong generators, n of each used.
        raw: Samples of the generator itself where `own` are of its average.
        seed: Random seed.

    Returns:
        For each of `ALIKE` and `GRADES`, and "raw" if given, images (n or fewer, C, H, W), float32.
    """
    n, half = len(own), len(held_out) // 2
    if own.shape != other.shape or not own.shape[1:] == train.shape[1:] == held_out.shape[1:]:
        shapes = [tuple(images.shape) for images in (own, other, train, held_out)]
        raise GalgenError(f"samples of two models, training and held-out images have shapes {shapes}")
    if half < 16:
        raise GalgenError(f"{len(held_out)} held-out images; the wrong generators need 32 or more")
    rng = np.random.default_rng(seed)

    def draw(images: np.ndarray, rows: np.ndarray) -> Tensor:
        return unit(images[np.sort(rows[:n])])

    rows = rng.permutation(len(held_out))
    base = draw(held_out, rows[half:])
    grain, faintest = rng.normal(size=base.shape).astype(np.float32), base.sum((1, 2, 3)).argsort()
    made = {
        "noise": lambda sd: (base + sd * torch.from_numpy(grain)).clamp(0, 1),
        "blurred": lambda pixels: torch.from_numpy(blurred(base.numpy(), pixels)),
        "dropped": lambda share: base[faintest[: round((1 - share) * len(base))]],
    }
    sets = {"own": own.float(), "other": other.float(), "train": draw(train, rng.permutation(len(train)))}
    sets["held_out"] = draw(held_out, rows[:half])
    sets |= {} if raw is None else {"raw": raw.float()}
    return sets | {(kind, grade): made[kind](grade) for kind, grade in GRADES}


@torch.inference_mode()
def score(D: Callable[[Tensor], Tensor], images: Tensor, *, chunk: int = 64) -> np.ndarray:
    """D's score of each image, real positive.

    Args:
        D: The discriminator in evaluation mode: (B, C, H, W) to (B,).
        images: (n, C, H, W) in [0, 1].
        chunk: Images in a call.

    Returns:
        (n,) float64, rounded to 1e-5: what is below is the rounding of float32 and depends on the chunk.
    """
    if isinstance(D, nn.Module) and D.training:
        raise GalgenError("the discriminator is in training mode: call D.eval() first")
    scores = torch.cat([D(part).float() for part in images.split(chunk)])
    if scores.shape != (len(images),) or not scores.isfinite().all():
        raise GalgenError(
            f"scores {tuple(scores.shape)} of {len(images)} images: one finite number each, please"
        )
    return scores.double().numpy().round(5)


def evaluate(
    scores: Mapping[str, np.ndarray],
    before: Mapping[str, np.ndarray],
    *,
    permutations: int = 1000,
) -> Evaluation:
    """The curves and contrasts of one discriminator.

    Args:
        scores: Its scores of each of the `image_sets`.
        before: Those that the network gave before its training, of "held_out" and `GRADES` at least.
        permutations: For each p-value.
    """
    for given, names in ((scores, (*ALIKE, *GRADES)), (before, ("held_out", *GRADES))):
        if not set(given) >= set(names):
            raise GalgenError(f"scores of {', '.join(map(str, given))}; wanted: {', '.join(map(str, names))}")
    own, curves = scores["own"], {}
    for name in ALIKE[1:]:
        loss = hinge(own, np.resize(scores[name], len(own)))
        mean = bootstrap(loss, np.mean)
        curves[name] = Curve(loss, mean, float(loss.std()), *map(float, np.percentile(loss, (16, 84))))
    pairs = [*itertools.combinations(ALIKE, 2), *(("held_out", name) for name in GRADES)]
    pairs += [("raw", "train"), ("raw", "held_out")] * ("raw" in scores)
    dealt = functools.partial(contrast, permutations=permutations)
    contrasts = {(x, y): dealt(scores[x], scores[y], paired=(x, y) == ("own", "other")) for x, y in pairs}
    untrained = {name: dealt(before["held_out"], before[name]) for name in GRADES}
    pooled = np.concatenate([scores[name] for name in ALIKE[:3]])
    return Evaluation(curves, contrasts, float(hinge(pooled, pooled).mean()), untrained)


def discriminator_test(
    judges: Sequence[Callable[[Tensor], Tensor]],
    untrained: Sequence[Callable[[Tensor], Tensor]],
    samples: Sequence[Tensor],
    images: np.ndarray,
    sets: Split,
    *,
    raw: Sequence[Tensor | None] = (None, None),
    seed: int = 0,
) -> DiscriminatorTest:
    """The test of a pair of models.

    Args:
        judges: D_A and D_B, in evaluation mode.
        untrained: The same networks before their training: the negative control of power.
        samples: Images of A and of B of the same latents, (n, C, H, W) in [0, 1].
        images: The data set, uint8 (M, C, H, W).
        sets: Rows of A's and B's training images and of the validation images.
        raw: Images of the generators themselves where the samples are of their averages.
        seed: Random seed.
    """
    found = []
    given = zip(judges, untrained, (samples, samples[::-1]), (sets.A, sets.B), raw, strict=True)
    for D, naive, (own, other), rows, live in given:
        asked = image_sets(own, other, images[rows], images[sets.validation], raw=live, seed=seed)
        scores = {name: score(D, part) for name, part in asked.items()}
        before = {name: score(naive, asked[name]) for name in ("held_out", *GRADES)}
        found.append(evaluate(scores, before))
    return DiscriminatorTest(*found)


def contrast(
    x: np.ndarray, y: np.ndarray, *, paired: bool = False, permutations: int = 1000, seed: int = 0
) -> Contrast:
    """How far the scores x (n,) and y (m,) are apart; if `paired`, x_i and y_i share a latent."""
    if len(x) == 0 or len(y) == 0 or (paired and len(x) != len(y)):
        raise GalgenError(f"{len(x)} and {len(y)} scores cannot be compared")
    pooled = np.concatenate([x, y])
    given = np.repeat([1 / len(x), -1 / len(y)], [len(x), len(y)])
    W1, sd = permuted_w1(pooled, permuted(given, permutations, seed, paired=paired)), pooled.std()
    return Contrast(float(W1[0] / sd) if sd > 0 else 0.0, permutation_test(W1).p, auc(y, x))


@dataclass(frozen=True)
class History:
    """What the test of a pair says along its training, and at its end.

    Attributes:
        losses: By images shown, the means of the paper's four curves: D_A of other and train, then D_B.
        p: By the same, that own, other and training images are alike.
        start: At the first, that the other model's samples and training images are alike, to both D.
        verdict: At the end.
        distance: The largest of own, other and training images, at the end.
        fresh: The same of own, other and held-out images.
        memory: The lower end of P(training above held-out image), of the D with less of it.
    """

    losses: dict[int, list[float]]
    p: dict[int, float]
    start: float
    verdict: str
    distance: float
    fresh: Outcome
    memory: float


def history(tests: Mapping[int, DiscriminatorTest]) -> History:
    """The same of a pair's tests by images shown, growing."""
    first, last = (list(tests.values())[k] for k in (0, -1))
    apart = {shown: test.apart() for shown, test in tests.items()}
    return History(
        losses={n: [c.mean.value for c in test.curves.values()] for n, test in tests.items()},
        p={shown: found.p for shown, found in apart.items()},
        start=min(1.0, 2 * min(D.contrasts["other", "train"].p for D in (first.A, first.B))),
        verdict=last.verdict(),
        distance=last.apart().value,
        fresh=last.apart("held_out"),
        memory=min(D.memory.low for D in (last.A, last.B)),
    )
