"""Denoising gap: PSNR gain on training images minus that on held-out images, as a function of images shown.

Let PSNR_i(t) be that of image i denoised from noise of sigma = 0.1 after t images shown
(`galgen.compare.denoising`), with the same noise at every t, and t_0 an early milestone of the same network:
the first after 60 epochs, by which most of the improvement common to all images is learned (an untrained
network as reference doubles the error of g at N = 1 000). The generalization gap of denoising is

    g(t) = mean [PSNR_i(t) - PSNR_i(t_0)] over training images - the same mean over held-out images,  in dB.

The difficulty of an image cancels, as each is compared with itself. The gap requires no second model, no
samples and no threshold that depends on N. At sigma = 0.1 training and held-out images differ; at 0.5 they
do not.

*Null.* The training images are a random subset of the pool that also contains the held-out ones. If a network
treats both alike, the labels are exchangeable: the permutation test at each t is exact.

*Interval.* Welch's t over images. It does not cover retraining.

*Onset*, t*: where g exceeds 1 dB for good, with g linear in log t between two milestones. It is reported
with the held-out optimum, the milestone with the best mean PSNR on held-out images, as samples can be biased
towards training images before it (Garnier-Brun et al.).

References:
    Bonnaire et al. 2025, https://arxiv.org/abs/2505.17638, and Favero et al. 2025,
    https://arxiv.org/abs/2505.16959: memorization begins at a time proportional to N.
    Garnier-Brun et al. 2026, Biased generalization in diffusion models, https://arxiv.org/abs/2603.03469.
    Hemerik & Goeman 2018, Exact testing with random permutations, https://arxiv.org/abs/1411.7565.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import stats

from galgen.compare.denoising import denoising_curve
from galgen.compare.uncertainty import Estimate, permutation_test, permuted
from galgen.models.sampling import Denoiser
from galgen.runs.errors import GalgenError

__all__ = [
    "LEVEL",
    "LEVELS",
    "MOST",
    "SIGMA",
    "START",
    "Gap",
    "crossing",
    "memory_gap",
    "psnr_along",
    "settled",
]

Networks = TypeVar("Networks")

SIGMA = 0.1  # noise level with a gap between training and held-out images; none at 0.5
START = 2048  # images shown, minimum of t_0
PASSES = 60  # epochs, minimum of t_0
MOST = 1000  # images per set, all held-out ones; with 200, the error of g at N = 1 000 doubles
LEVEL = 1.0  # dB, the onset: 4 standard errors of g at N = 10; 20 % smaller squared error on training images
LEVELS = (LEVEL, 2.0, 3.0)  # dB, the onset and two higher levels, for comparison


@dataclass(frozen=True)
class Gap:
    """The gap g(t) of one training.

    Attributes:
        shown: Images shown at each milestone from t_0 on, (T,).
        own: PSNR of training images minus that at t_0, (T, n_own), in dB.
        held_out: PSNR of held-out images minus that at t_0, (T, n_held), in dB.
        value: g, (T,), in dB; 0 at t_0.
        error: Standard error of g over images, (T,), in dB.
        null: 95 % interval of g with permuted labels, (2, T), in dB.
        p: Permutation p value of g, (T,).
    """

    shown: np.ndarray
    own: np.ndarray
    held_out: np.ndarray
    value: np.ndarray
    error: np.ndarray
    null: np.ndarray
    p: np.ndarray

    def at(self, shown: float) -> Estimate:
        """Gap after a number of images shown, in dB, with its interval; linear in log t."""
        return _difference(*self._interpolated(shown))

    def gained(self, shown: float) -> Estimate:
        """Increase of the gap over the last doubling, g(t) - g(t / 2), in dB, with its interval."""
        pairs = zip(self._interpolated(shown), self._interpolated(shown / 2), strict=True)
        return _difference(*(late - early for late, early in pairs))

    def onset(self, level: float = LEVEL) -> float | None:
        """Images shown when g exceeds a level (dB, above 0) for good; None if it does not."""
        return crossing(self.shown, self.value, level)

    def _interpolated(self, shown: float) -> list[np.ndarray]:
        """PSNR gains of training and of held-out images after a number of images shown."""
        if not self.shown[0] <= shown <= self.shown[-1]:
            span = f"{self.shown[0]} and {self.shown[-1]}"
            raise GalgenError(f"the gap is measured between {span} images shown, not at {shown:.0f}")
        x = np.log(self.shown)
        k = min(int(np.searchsorted(self.shown, shown, side="right")) - 1, len(x) - 2)
        share = (np.log(shown) - x[k]) / (x[k + 1] - x[k])
        return [rises[k] + share * (rises[k + 1] - rises[k]) for rises in (self.own, self.held_out)]


def crossing(shown: np.ndarray, values: np.ndarray, level: float) -> float | None:
    """Images shown when values exceed a level for good, linear in log t; None if they do not.

    The first value must be below the level.
    """
    last = int(np.flatnonzero(values < level)[-1])
    if last + 1 == len(shown):
        return None
    (low, high), (v_low, v_high) = np.log(shown[last : last + 2]), values[last : last + 2]
    return float(np.exp(low + (high - low) * (level - v_low) / (v_high - v_low)))


def memory_gap(
    shown: Sequence[int],
    own: np.ndarray,
    held_out: np.ndarray,
    *,
    start: int = START,
    permutations: int = 2000,
    seed: int = 0,
) -> Gap:
    """Compute the denoising gap from the PSNR of training and held-out images (`psnr_along`).

    Args:
        shown: Images shown at each milestone, increasing, (T,).
        own: PSNR of training images, (T, n_own), in dB.
        held_out: PSNR of held-out images, (T, n_held), in dB.
        start: t_0, a milestone before the last; earlier ones are left out.
        permutations: Permutations of the labels, for the null.
        seed: Seed of the permutations.

    Raises:
        GalgenError: If milestones do not increase, t_0 is not one of them or the last, array shapes do not
            match, a set has fewer than two images, or a PSNR is not finite.
    """
    times = np.asarray(shown)
    if times.ndim != 1 or (np.diff(times) <= 0).any():
        raise GalgenError(f"milestones must increase: {list(shown)}")
    if start not in times[:-1]:
        raise GalgenError(f"t_0 ({start} images) must be a milestone before the last one: {list(shown)}")
    first = int(np.flatnonzero(times == start)[0])
    rises = []
    for name, psnr in (("own", np.asarray(own)), ("held-out", np.asarray(held_out))):
        if psnr.ndim != 2 or len(psnr) != len(times):
            raise GalgenError(f"PSNR of {name} images: {psnr.shape}, not (milestones, images), {len(times)}")
        if psnr.shape[1] < 2:
            raise GalgenError(f"the gap needs at least two {name} images, not {psnr.shape[1]}")
        if not np.isfinite(psnr).all():
            k, i = np.argwhere(~np.isfinite(psnr))[0]
            raise GalgenError(f"PSNR of {name} image {i} after {times[k]} images shown is {psnr[k, i]}")
        rises.append(psnr[first:] - psnr[first])
    a, b = (r.shape[1] for r in rises)
    weights = permuted(np.repeat([1 / a, -1 / b], [a, b]), permutations, seed)
    outcomes = [permutation_test(values) for values in (weights @ np.concatenate(rises, 1).T).T]
    value, error, _ = _welch(*rises)
    null = np.array([[outcome.low, outcome.high] for outcome in outcomes]).T
    return Gap(times[first:], *rises, value, error, null, np.array([outcome.p for outcome in outcomes]))


def settled(N: int, shown: Sequence[int]) -> int:
    """Return t_0: the first milestone but the last after `START` images and `PASSES` epochs.

    Without such a milestone, the first after `START` images; in very short trainings, the first one.
    """
    late = (t for least in (max(START, PASSES * N), START) for t in shown[:-1] if t >= least)
    return next(late, shown[0])


def psnr_along(
    milestones: Iterable[tuple[int, Networks]],
    denoiser: Callable[[Networks], Denoiser],
    own: np.ndarray,
    held_out: np.ndarray,
    *,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PSNR of training and held-out images along a training, for the first `MOST` of each.

    Each image has its own noise, so that labels are exchangeable; the noise of held-out images does not
    depend on the training set.

    Args:
        milestones: Images shown and the networks at that time, in order; one is in memory at a time.
        denoiser: From networks to the posterior mean of images (B, C, H, W) with noise levels (B,).
        own: Training images, uint8 (n, C, H, W), in random order.
        held_out: Other images of the same pool, uint8 (n, C, H, W).
        seed: Seed of the noise of the first held-out image.

    Returns:
        Images shown, (T,), and PSNR in dB at `SIGMA`, of training, (T, n_own), and held-out images,
        (T, n_held).
    """
    held_out, own = held_out[:MOST], own[:MOST]
    pool = np.concatenate([held_out, own])
    shown, rows = [], []
    for images_shown, networks in milestones:
        shown.append(images_shown)
        rows.append(denoising_curve(denoiser(networks), pool, (SIGMA,), seed=seed).denoised[0])
    psnr = np.array(rows).round(2)  # a hundredth of a decibel
    return np.array(shown), psnr[:, len(held_out) :], psnr[:, : len(held_out)]


def _welch(own: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Difference of two means over the last axis, its standard error and Welch's degrees of freedom."""
    parts = np.stack([rises.var(-1, ddof=1) / rises.shape[-1] for rises in (own, held_out)])
    square = parts.sum(0)
    spread = (parts**2).T @ [1 / (own.shape[-1] - 1), 1 / (held_out.shape[-1] - 1)]
    freedom = np.divide(square**2, spread, out=np.ones_like(square), where=spread > 0)
    return own.mean(-1) - held_out.mean(-1), np.sqrt(square), freedom


def _difference(own: np.ndarray, held_out: np.ndarray) -> Estimate:
    """Difference of the means of two sets of values, (n,) each, with its interval."""
    value, error, freedom = map(float, _welch(own, held_out))
    half = float(stats.t.ppf(0.975, freedom)) * error
    return Estimate(value, value - half, value + half, len(own) + len(held_out))
