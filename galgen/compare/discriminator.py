"""The discriminator test of the paper (figures 14 and 16), and what it needs to mean something.

    l(a, b) = max(0, 1 - a) + max(0, 1 + b)                                                         Eq. (22)

is the hinge loss of a discriminator D with score a in the place of the real image and b in that of the false
one. The paper's text lets a and b be any of three scores. Its figure and conclusion draw, for M = A, B and
M' the other model, l(D_M(x_M), D_M(x_M')) and l(D_M(x_M), D_M(x_train)): M's *own sample* stands for the real
image, and for the false one the other model's sample of the same latent, or a training image of M. This is
the order that begins above 2. For scores within [-1, 1]

    mean l = 2 + mean D(in the place of the false) - mean D(own sample),

4 for a D that is always right (where Eq. 8, the other way round, is 0) and 2 for one that cannot tell. Three
things follow. A constant D has 2 as well, so 2 proves nothing without power. Scores of equal mean give 2
however their distributions differ. And wide scores s of a D that cannot tell have mean l = E max(2, 1 + |s|),
here called the floor, not 2. The scales of D_A and D_B are arbitrary: nothing is compared across them.

*Contrast* of two sets under one D: Wasserstein distance W1 of the scores over their pooled sd, its
permutation p-value, and the area under the curve. When D does not distinguish two independent sets, their
scores may be permuted; A's and B's samples share latents, and only exchanges within pairs are free. No one
permutation of three sets does both, so each pair of sets has its own, exact test, and Bonferroni's bound
joins the six of the four curves (two D, three pairs of own, other and train) however they depend.

*Power*: the same contrast must find generators that are wrong by construction, against held-out images:
other held-out images with their pixels shuffled (noise), blurred by a pixel, or eight of them over and over
(dropped modes; only repeated scores give these away, the area stays near 1/2). The negative control is the
same network *before its training*: what it finds too, any function of an image finds, and is no sign that D
has learnt anything. So power is asked of those wrong sets alone that the untrained D does not find.

*Memory*: a D that distinguishes training from held-out images has memorized the former. That samples differ
from training images then says nothing of the generator; whether they differ from held-out ones does.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galgen.compare.controls import blurred
from galgen.compare.twosample import auc
from galgen.compare.uncertainty import Estimate, bootstrap, permutation_test, permuted
from galgen.compare.wasserstein import permuted_w1
from galgen.data.dataset import Split
from galgen.runs.errors import GalgenError

__all__ = ["ALIKE", "WRONG", "Contrast", "Curve", "DiscriminatorTest", "Judgement", "contrast"]
__all__ += ["discriminator_test", "hinge", "image_sets", "judge", "score"]

ALIKE = ("own", "other", "train", "held_out")  # what a D that cannot tell scores alike
WRONG = ("noise", "blurred", "dropped")  # what a D with power distinguishes from held-out images
_ALPHA = 0.05

Judge = Callable[[Tensor], Tensor]  # a discriminator in evaluation mode: (B, C, H, W) to (B,)
Scores = Mapping[str, np.ndarray]  # by the name of a set of images


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
class Judgement:
    """What the discriminator of one model says at one checkpoint.

    Attributes:
        curves: l(D(own), D(set)) for "other" and "train".
        contrasts: For every pair of `ALIKE`, and of "held_out" with each of `WRONG`.
        floor: The mean of l if D distinguished nothing, over its scores of own, other and train.
        untrained: The contrast of "held_out" with each of `WRONG` under D before its training.
    """

    curves: dict[str, Curve]
    contrasts: dict[tuple[str, str], Contrast]
    floor: float
    untrained: dict[str, Contrast]

    @property
    def memory(self) -> Estimate:
        """P(D scores a training image above a held-out one): above 1/2 where D has memorized them."""
        return self.contrasts["train", "held_out"].auc

    def hard(self) -> list[str]:
        """The wrong generators that D does not find before its training."""
        return [name for name, found in self.untrained.items() if found.p >= _ALPHA]

    def has_power(self) -> bool:
        """Whether D finds, at p < 0.05, all wrong generators that take training to find, if there are any."""
        hard = self.hard()
        return bool(hard) and all(self.contrasts["held_out", name].p < _ALPHA for name in hard)


@dataclass(frozen=True)
class DiscriminatorTest:
    """What D_A and D_B say at one checkpoint."""

    A: Judgement
    B: Judgement

    @property
    def curves(self) -> dict[tuple[str, str], Curve]:
        """The four that the paper draws, by the model that judges and what stands for the false image."""
        return {(M, false): getattr(self, M).curves[false] for M in "AB" for false in ("other", "train")}

    @property
    def distance(self) -> float:
        """The largest distance between own, other and train under either D: 0 when the four curves agree."""
        return max(c.distance for c in self._contrasts())

    @property
    def p(self) -> float:
        """Bonferroni's bound on the smallest p-value of the same contrasts."""
        return min(1.0, 6 * min(c.p for c in self._contrasts()))

    def verdict(self) -> str:
        """'separates', 'passes', or 'no power' when nothing is separated and a D misses a wrong generator."""
        if self.p < _ALPHA:
            return "separates"
        return "passes" if self.A.has_power() and self.B.has_power() else "no power"

    def _contrasts(self) -> list[Contrast]:
        return [D.contrasts[pair] for D in (self.A, self.B) for pair in itertools.combinations(ALIKE[:3], 2)]


def hinge(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """l(a, b) of scores a in the place of the real image and b in the place of the false one."""
    return np.maximum(0, 1 - a) + np.maximum(0, 1 + b)  # Eq. (22)


def image_sets(
    own: Tensor, other: Tensor, train: np.ndarray, held_out: np.ndarray, *, seed: int = 0
) -> dict[str, Tensor]:
    """The images that the discriminator of one model is asked about.

    Args:
        own: Samples of its generator, (n, C, H, W) in [0, 1].
        other: The other model's samples of the same latents, in the same order.
        train: Its training images, uint8 (N, C, H, W), may be a memory map; min(n, N) are drawn.
        held_out: Images neither model has seen, uint8: half are for the wrong generators, n of each used.
        seed: Random seed.

    Returns:
        For each of `ALIKE` and `WRONG`, images (n or fewer, C, H, W), float32.
    """
    n, half = len(own), len(held_out) // 2
    if half < 16:
        raise GalgenError(f"{len(held_out)} held-out images; the wrong generators need 32 or more")
    rng = np.random.default_rng(seed)

    def draw(images: np.ndarray, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(images[np.sort(rows[:n])]).float() / 255

    rows = rng.permutation(len(held_out))
    base = draw(held_out, rows[half:])
    shuffle = torch.from_numpy(rng.random((len(base), 1, base[0, 0].numel())).argsort(2))
    return {
        "own": own.float(),
        "other": other.float(),
        "train": draw(train, rng.permutation(len(train))),
        "held_out": draw(held_out, rows[:half]),
        "noise": base.flatten(2).gather(2, shuffle.expand(-1, base.shape[1], -1)).reshape(base.shape),
        "blurred": torch.from_numpy(blurred(base.numpy(), 1.0)),
        "dropped": base[torch.arange(len(base)) % 8],
    }


@torch.inference_mode()
def score(D: Judge, images: Tensor, *, chunk: int = 64) -> np.ndarray:
    """D's score of each image, real positive.

    Args:
        D: The discriminator.
        images: (n, C, H, W) in [0, 1].
        chunk: Images in a call.

    Returns:
        (n,) float64, rounded to 1e-5: what is below is the rounding of float32 and depends on the chunk.
    """
    scores = torch.cat([D(part).float() for part in images.split(chunk)])
    if not scores.isfinite().all():
        raise GalgenError("a discriminator gives scores that are not finite: look at the training")
    return scores.double().numpy().round(5)


def judge(scores: Scores, before: Scores, *, permutations: int = 1000) -> Judgement:
    """The curves and contrasts of one discriminator.

    Args:
        scores: Its scores of each of the `image_sets`.
        before: Those that the network gave before its training, of "held_out" and `WRONG` at least.
        permutations: For each p-value.
    """
    own, curves, contrasts = scores["own"], {}, {}
    for name in ("other", "train"):
        loss = hinge(own, np.resize(scores[name], len(own)))
        mean = bootstrap(loss, np.mean)
        curves[name] = Curve(loss, mean, float(loss.std()), *map(float, np.percentile(loss, (16, 84))))
    for x, y in [*itertools.combinations(ALIKE, 2), *(("held_out", name) for name in WRONG)]:
        paired = (x, y) == ("own", "other")
        contrasts[x, y] = contrast(scores[x], scores[y], paired=paired, permutations=permutations)
    naive = {name: contrast(before["held_out"], before[name], permutations=permutations) for name in WRONG}
    pooled = np.concatenate([scores[name] for name in ALIKE[:3]])
    return Judgement(curves, contrasts, float(hinge(pooled, pooled).mean()), naive)


def discriminator_test(
    judges: Sequence[Judge],
    untrained: Sequence[Judge],
    samples: Sequence[Tensor],
    images: np.ndarray,
    sets: Split,
    *,
    permutations: int = 1000,
    seed: int = 0,
) -> DiscriminatorTest:
    """The test of a pair of models.

    Args:
        judges: D_A and D_B.
        untrained: The same networks before their training: the negative control of power.
        samples: Images of A and of B of the same latents, (n, C, H, W) in [0, 1].
        images: The data set, uint8 (M, C, H, W).
        sets: Rows of A's and B's training images and of the validation images.
        permutations: For each p-value.
        seed: Random seed.
    """
    found = []
    given = zip(judges, untrained, (samples, samples[::-1]), (sets.A, sets.B), strict=True)
    for D, naive, (own, other), rows in given:
        asked = image_sets(own, other, images[rows], images[sets.validation], seed=seed)
        scores = {name: score(D, part) for name, part in asked.items()}
        before = {name: score(naive, asked[name]) for name in ("held_out", *WRONG)}
        found.append(judge(scores, before, permutations=permutations))
    return DiscriminatorTest(*found)


def contrast(x: np.ndarray, y: np.ndarray, *, paired: bool = False, permutations: int = 1000) -> Contrast:
    """How far the scores x (n,) and y (m,) are apart; if `paired`, x_i and y_i share a latent."""
    pooled = np.concatenate([x, y])
    given = np.repeat([1 / len(x), -1 / len(y)], [len(x), len(y)])
    W1, sd = permuted_w1(pooled, permuted(given, permutations, seed=0, paired=paired)), pooled.std()
    return Contrast(float(W1[0] / sd) if sd > 0 else 0.0, permutation_test(W1).p, auc(y, x))
