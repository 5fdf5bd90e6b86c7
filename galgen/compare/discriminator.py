"""The discriminator test of the paper (figures 14 and 16), with its null distributions and power.

    l(a, b) = max(0, 1 - a) + max(0, 1 + b)                                                         Eq. (22)

is the hinge loss of a discriminator D with score a in place of the real image and b in place of the fake one.
In the paper's text a and b are any of three scores. Its figure and conclusion show, for M = A, B and M' the
other model, l(D_M(x_M), D_M(x_M')) and l(D_M(x_M), D_M(x_train)): M's *own sample* replaces the real image,
and the other model's sample of the same latent, or a training image of M, the fake one. For scores within
[-1, 1]

    mean l = 2 + mean D(in place of the fake) - mean D(own sample),

4 for a perfect D and 2 for one that does not distinguish them. This has three consequences. A constant D has
2 as well, so 2 is no evidence without power. Scores of equal mean give 2 however their distributions differ.
And broad scores s of a D that distinguishes nothing have mean l = E max(2, 1 + |s|), not 2. The scales of
D_A and D_B are arbitrary: they are not compared.

*Contrast* of two sets under one D: Wasserstein distance W1 of the scores over their pooled sd, its
permutation p-value, and the AUC. If D does not distinguish two independent sets, their scores are
exchangeable; A's and B's samples share latents, so they are exchangeable only within pairs. So each pair of
sets has its own exact test, and Bonferroni's bound combines the six of the four curves (two D, three pairs of
own, other and train) whatever their dependence.

*Power*: the same contrast must detect generators with known defects of several strengths, compared with
held-out images: other held-out images with noise of that sd added, blurred by so many pixels, or without that
fraction of the brightest images (dropped modes). `sees` is the smallest strength from which on D detects a
kind of defect. The negative control is the same network *before its training*. D has power if it detects each
kind of defect at its strongest, and at least one at a smaller strength than before its training.

*Memorization*: a D that distinguishes training from held-out images has memorized the former. A difference
between samples and training images is then no evidence about the generator; one between samples and held-out
images is.
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

__all__ = ["ALIKE", "GRADES", "WRONG", "DiscriminatorTest", "Evaluation", "contrast",
    "discriminator_test", "evaluate", "hinge", "image_sets", "score"]  # fmt: skip

ALIKE = ("own", "other", "train", "held_out")  # sets with equal scores under a D that distinguishes nothing
# Defects that a D with power detects: sd of noise, pixels of blur, fraction left out.
WRONG = {"noise": (0.02, 0.05, 0.1), "blurred": (0.5, 1.0, 2.0), "dropped": (0.25, 0.5, 0.75)}
GRADES = [(kind, grade) for kind, grades in WRONG.items() for grade in grades]
_ALPHA = 0.05


@dataclass(frozen=True)
class Curve:
    """Distribution of l: values (n,), mean with bootstrap interval, sd, 16th and 84th percentile."""

    loss: np.ndarray
    mean: Estimate
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Contrast:
    """Difference of the scores of two sets under one D.

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
    """Losses and contrasts of the discriminator of one model at one checkpoint.

    Attributes:
        curves: l(D(own), D(set)) for the sets of `ALIKE` except "own"; the paper's are "other" and "train".
        contrasts: Contrasts of every pair of `ALIKE`, and of "held_out" with each of `GRADES`.
        untrained: Contrast of "held_out" with each of `GRADES` under D before its training.
    """

    curves: dict[str, Curve]
    contrasts: dict[tuple, Contrast]
    untrained: dict[tuple[str, float], Contrast]

    @property
    def memory(self) -> Estimate:
        """P(D scores a training image above a held-out one): above 1/2 if D has memorized them."""
        return self.contrasts["train", "held_out"].auc

    def sees(self, kind: str, *, trained: bool = True) -> float:
        """Return the smallest strength from which on D detects a defect, or infinity."""
        least = np.inf
        for grade in WRONG[kind][::-1]:
            name = (kind, grade)
            if (self.contrasts["held_out", name] if trained else self.untrained[name]).p >= _ALPHA:
                break
            least = grade
        return least

    def has_power(self) -> bool:
        """Whether D detects each defect at its strongest, and one at a smaller strength than untrained."""
        limits = {kind: self.sees(kind) for kind in WRONG}
        return np.inf not in limits.values() and any(limits[k] < self.sees(k, trained=False) for k in limits)


@dataclass(frozen=True)
class DiscriminatorTest:
    """Evaluations of D_A and D_B at one checkpoint."""

    A: Evaluation
    B: Evaluation

    @property
    def curves(self) -> dict[tuple[str, str], Curve]:
        """The paper's four curves, by the model of the discriminator and the set in place of the fakes."""
        return {(M, fake): getattr(self, M).curves[fake] for M in "AB" for fake in ("other", "train")}

    def apart(self, third: str = "train") -> Outcome:
        """Return the largest distance between own, other and a third set under either D.

        Its p-value is Bonferroni's bound on the smallest of six; "held_out" excludes memorization by D.
        """
        pairs = list(itertools.combinations(("own", "other", third), 2))
        contrasts = [D.contrasts[pair] for D in (self.A, self.B) for pair in pairs]
        p = min(1.0, 6 * min(c.p for c in contrasts))
        return Outcome(max(c.distance for c in contrasts), 0.0, 0.0, p)

    def verdict(self) -> str:
        """Return 'separates', 'passes', or 'no power' if nothing is separated and a D misses a defect."""
        if self.apart().p < _ALPHA:
            return "separates"
        return "passes" if self.A.has_power() and self.B.has_power() else "no power"


def hinge(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the hinge loss l(a, b) of scores a in place of the real image and b in place of the fake one.

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
    seed: int = 0,
) -> dict[str | tuple[str, float], Tensor]:
    """Return the sets of images that the discriminator of one model scores.

    Args:
        own: Samples of its generator, (n, C, H, W) in [0, 1].
        other: The other model's samples of the same latents, in the same order.
        train: Its training images, uint8 (N, C, H, W), may be a memory map; min(n, N) are used.
        held_out: Held-out images, uint8: half are used for the defects, up to n of each half.
        seed: Random seed.

    Returns:
        For each of `ALIKE` and `GRADES`, images (n or fewer, C, H, W), float32.
    """
    n, half = len(own), len(held_out) // 2
    if own.shape != other.shape or not own.shape[1:] == train.shape[1:] == held_out.shape[1:]:
        shapes = [tuple(images.shape) for images in (own, other, train, held_out)]
        raise GalgenError(f"samples of two models, training and held-out images have shapes {shapes}")
    if half < 16:
        raise GalgenError(f"{len(held_out)} held-out images; the controls with defects need 32 or more")
    rng = np.random.default_rng(seed)

    def choose(images: np.ndarray, rows: np.ndarray) -> Tensor:
        return unit(images[np.sort(rows[:n])])

    rows = rng.permutation(len(held_out))
    base = choose(held_out, rows[half:])
    noise, faintest = rng.normal(size=base.shape).astype(np.float32), base.sum((1, 2, 3)).argsort()
    degrade = {
        "noise": lambda sd: (base + sd * torch.from_numpy(noise)).clamp(0, 1),
        "blurred": lambda pixels: torch.from_numpy(blurred(base.numpy(), pixels)),
        "dropped": lambda fraction: base[faintest[: round((1 - fraction) * len(base))]],
    }
    sets = {"own": own.float(), "other": other.float(), "train": choose(train, rng.permutation(len(train)))}
    sets["held_out"] = choose(held_out, rows[:half])
    return sets | {(kind, grade): degrade[kind](grade) for kind, grade in GRADES}


@torch.inference_mode()
def score(D: Callable[[Tensor], Tensor], images: Tensor, *, chunk: int = 64) -> np.ndarray:
    """Return D's score of each image, positive for real.

    Args:
        D: The discriminator in evaluation mode: (B, C, H, W) to (B,).
        images: (n, C, H, W) in [0, 1].
        chunk: Images per call.

    Returns:
        (n,) float64, rounded to 1e-5: smaller digits are float32 rounding errors and depend on the chunk.
    """
    if isinstance(D, nn.Module) and D.training:
        raise GalgenError("the discriminator is in training mode: call D.eval() first")
    scores = torch.cat([D(part).float() for part in images.split(chunk)])
    if scores.shape != (len(images),) or not scores.isfinite().all():
        raise GalgenError(
            f"scores {tuple(scores.shape)} of {len(images)} images: D must return one finite number per image"
        )
    return scores.double().numpy().round(5)


def evaluate(
    scores: Mapping[str, np.ndarray],
    before: Mapping[str, np.ndarray],
    *,
    permutations: int = 1000,
) -> Evaluation:
    """Compute the curves and contrasts of one discriminator.

    Args:
        scores: Its scores of each of the `image_sets`.
        before: Scores of the untrained network, for "held_out" and `GRADES` at least.
        permutations: Number of permutations for each p-value.
    """
    for given, names in ((scores, (*ALIKE, *GRADES)), (before, ("held_out", *GRADES))):
        if not set(given) >= set(names):
            raise GalgenError(f"scores of {', '.join(map(str, given))}; needed: {', '.join(map(str, names))}")
    own, curves = scores["own"], {}
    for name in ALIKE[1:]:
        loss = hinge(own, np.resize(scores[name], len(own)))
        mean = bootstrap(loss, np.mean)
        curves[name] = Curve(loss, mean, float(loss.std()), *map(float, np.percentile(loss, (16, 84))))
    pairs = [*itertools.combinations(ALIKE, 2), *(("held_out", name) for name in GRADES)]
    test = functools.partial(contrast, permutations=permutations)
    contrasts = {(x, y): test(scores[x], scores[y], paired=(x, y) == ("own", "other")) for x, y in pairs}
    untrained = {name: test(before["held_out"], before[name]) for name in GRADES}
    return Evaluation(curves, contrasts, untrained)


def discriminator_test(
    judges: Sequence[Callable[[Tensor], Tensor]],
    untrained: Sequence[Callable[[Tensor], Tensor]],
    samples: Sequence[Tensor],
    images: np.ndarray,
    sets: Split,
    *,
    seed: int = 0,
) -> DiscriminatorTest:
    """Run the discriminator test of a pair of models.

    Args:
        judges: The discriminators D_A and D_B, in evaluation mode.
        untrained: The same networks before their training: the negative control of power.
        samples: Images of A and of B of the same latents, (n, C, H, W) in [0, 1].
        images: The data set, uint8 (M, C, H, W).
        sets: Rows of A's and B's training images and of the validation images.
        seed: Random seed.
    """
    evaluations = []
    models = zip(judges, untrained, (samples, samples[::-1]), (sets.A, sets.B), strict=True)
    for D, initial, (own, other), rows in models:
        parts = image_sets(own, other, images[rows], images[sets.validation], seed=seed)
        scores = {name: score(D, part) for name, part in parts.items()}
        before = {name: score(initial, parts[name]) for name in ("held_out", *GRADES)}
        evaluations.append(evaluate(scores, before))
    return DiscriminatorTest(*evaluations)


def contrast(
    x: np.ndarray, y: np.ndarray, *, paired: bool = False, permutations: int = 1000, seed: int = 0
) -> Contrast:
    """Return the difference of scores x (n,) and y (m,); if `paired`, x_i and y_i share a latent."""
    if len(x) == 0 or len(y) == 0 or (paired and len(x) != len(y)):
        raise GalgenError(f"{len(x)} and {len(y)} scores cannot be compared")
    pooled = np.concatenate([x, y])
    labels = np.repeat([1 / len(x), -1 / len(y)], [len(x), len(y)])
    W1, sd = permuted_w1(pooled, permuted(labels, permutations, seed, paired=paired)), pooled.std()
    return Contrast(float(W1[0] / sd) if sd > 0 else 0.0, permutation_test(W1).p, auc(y, x))
