r"""When does memorization set in, and does that time grow as the number of training images?

A pair of models with N images each is sampled along its training. Let v_i(t), after t images shown, be the
vote of latent i for P(train closer) (`galgen.compare.memorization`): 1 if both images are nearer to the own
set, 0 if neither is, 1/2 otherwise. The *onset* is the time at which their mean P(t) rises for good above a
level,

    t(N):  P(t(N)) = level,   with P linear in log t between two milestones.

Which level? To memorize is to favour the own set by more than its second moments do, so what draws of the
Gaussians of the same sets have is one. But that sinks with N (.94 for 10 images each, .62 for 100), and a
lower level is crossed sooner: an exponent may be that of the levels. One level for all N is crossed by the
small ones before they do more than Gaussians. Neither is right, so `definitions` has several, and a growth is
said of the onset only where they agree. A power law is fitted to the onsets of several N by least squares,

    log t(N) = b log N + constant;

b = 1 says that every image has to be shown a certain number of times, however many there are; b = 0, that the
time does not depend on N. Intervals: latents are drawn anew, the same ones for all N and times, as the models
share them. They say nothing of other trainings. An onset counts only if 97.5 % of these draws reach it, so
that an N that was not trained long enough has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from galgen.compare.uncertainty import Estimate
from galgen.runs.errors import GalgenError

COMMON = (0.65, 0.8)  # levels for all N: all, or all but the largest N reach them

History = Mapping[int, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Onsets:
    """When memorization sets in.

    Attributes:
        levels: By N, P(train closer) that an onset exceeds.
        closer: By N, P(train closer) by images shown.
        at: By N, images shown at the onset; None where the training ended before, or began after it.
        power: b, None if fewer than two N have an onset.
        factor: exp(constant), images shown at the onset of N = 1 by the fit; None likewise.
    """

    levels: dict[int, float]
    closer: dict[int, dict[int, Estimate]]
    at: dict[int, Estimate | None]
    power: Estimate | None
    factor: float | None


def votes(of_a: np.ndarray, of_b: np.ndarray) -> np.ndarray:
    """What each latent says of P(train closer), from the `margins` of both images, (n,); NaN says nothing."""
    return 0.5 + np.nan_to_num(np.sign(of_a) - np.sign(of_b)) / 4


def definitions(gaussians: Mapping[int, float]) -> dict[str, dict[int, float]]:
    """Levels that an onset may be said to exceed, by what they are, from P(train closer) of Gaussians."""
    farther = {n: level + (1 - level) / 4 for n, level in gaussians.items()}
    found = {
        "what Gaussians of the same set have": dict(gaussians),
        "that and a quarter of what is left to 1": farther,
    }
    return found | {f"{level} at every N": dict.fromkeys(gaussians, level) for level in COMMON}


def onsets(histories: Mapping[int, History], levels: Mapping[int, float]) -> Onsets:
    """The onsets, and how they grow with N.

    Args:
        histories: By N, the margins of A's and B's images by images shown, of latents that all share.
        levels: By N, P(train closer) that an onset exceeds.

    Raises:
        GalgenError: If a history is empty, or not all are of the same latents.
    """
    found = {n: np.array([votes(*pair) for pair in history.values()]) for n, history in histories.items()}
    counts = {table.shape[-1] for table in found.values()}
    if len(counts) != 1 or not all(map(len, found.values())):
        raise GalgenError(f"histories of {sorted(counts)} latents: give the same to all, and no empty ones")
    latents = counts.pop()
    drawn = np.random.default_rng(0).multinomial(latents, np.full(latents, 1 / latents), 2000)
    weights = np.concatenate([np.ones((1, latents)), drawn]) / latents
    closer, times = {}, {}
    for n, table in found.items():
        shown, curves = np.array(list(histories[n])), weights @ table.T
        closer[n] = {int(t): _estimate(curve, latents) for t, curve in zip(shown, curves.T, strict=True)}
        times[n] = _crossing(np.log(shown), curves, levels[n])
    at = {}
    for n, values in times.items():
        reached = np.isfinite(values[0]) and np.isfinite(values).mean() >= 0.975
        at[n] = _estimate(np.exp(values), latents) if reached else None
    power = factor = None
    if len(fitted := [n for n, onset in at.items() if onset]) > 1:
        y = np.stack([times[n] for n in fitted])
        slopes, constants = np.polyfit(np.log(fitted), y[:, np.isfinite(y).all(0)], 1)
        power, factor = _estimate(slopes, latents), float(np.exp(constants[0]))
    return Onsets(dict(levels), closer, at, power, factor)


def _crossing(x: np.ndarray, curves: np.ndarray, level: float) -> np.ndarray:
    """Where each curve (R, T) over x (T,) rises above the level for good; infinite where it does not."""
    below = curves < level
    last = below.shape[1] - 1 - below[:, ::-1].argmax(1)  # the last milestone below
    found = np.full(len(curves), np.inf)
    rises = np.flatnonzero(below.any(1) & ~below[:, -1])
    i, (low, high) = last[rises], (curves[rises, last[rises] + k] for k in (0, 1))
    found[rises] = x[i] + (x[i + 1] - x[i]) * (level - low) / (high - low)
    return found


def _estimate(values: np.ndarray, n: int) -> Estimate:
    """The first value, with the quantiles of the others."""
    low, high = np.quantile(values[1:], (0.025, 0.975), method="inverted_cdf")
    return Estimate(float(values[0]), float(low), float(high), n)
