"""Which training images are memorized first: the isolated ones?

For training image i of a small denoiser let

    gain_i   PSNR gain from t_0 (`galbook.onset.gap.settled`) to the last milestone before the rate falls
    d_i      L2 distance to the nearest other training image
    v_i      log variance over pixels
    m_i      gain_i - f(log d_i, v_i)      the *memory* of an image

with f(x, y) = c_0 + c_1 x + c_2 x^2 + c_3 y + c_4 y^2, least squares on the held-out images of the training.
So m_i is the gain beyond that of unseen galaxies as isolated and as contrasted. The statistic is the partial
Spearman correlation of m and d given v, with r the correlations of ranks,

    (r_md - r_mv r_dv) / ((1 - r_mv^2) (1 - r_dv^2))^(1/2).

Null distribution: d is permuted among images of one decile of v. The test of several trainings takes their
mean statistic; p is one-sided. Isolation and contrast are correlated, so the partial correlation of m and v
given d is given beside it.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats
from scipy.spatial.distance import cdist

from galbook.onset.configurations import Trace
from galbook.onset.gap import settled
from galgen.compare.uncertainty import Outcome
from galgen.figures.style import COLOURS, legend_above

__all__ = ["features", "isolation_test", "memory", "partial_spearman", "plot_isolation"]

DECILES = 10
PERMUTATIONS = 9999


def features(images: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Log distance to the nearest other training image, and log variance over pixels: (n, 2).

    Args:
        images: (n, ...), training images or others.
        train: Training images, (N, ...), in the same units.
    """
    x, y = (part.reshape(len(part), -1).astype(np.float64) for part in (images, train))
    distances = cdist(x, y)
    nearest = np.where(distances > 0, distances, np.inf).min(1)
    return np.log(np.stack([nearest, x.var(1)], axis=1))


def memory(trace: Trace, N: int, own: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Memory m of each training image, in dB.

    Args:
        trace: PSNR of single images along a training.
        N: Number of training images.
        own: `features` of the training images of the trace, (n, 2).
        held_out: Those of its held-out images, (m, 2).
    """
    end = np.flatnonzero(trace.shown <= trace.shown[-1] * 9 // 10)[-1]
    start = list(trace.shown).index(settled(N, trace.shown))

    def design(of: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(of)), of, of**2])

    gains = [psnr[end] - psnr[start] for psnr in (trace.own, trace.held_out)]
    constants, *_ = np.linalg.lstsq(design(held_out), gains[1])
    return gains[0] - design(own) @ constants


def partial_spearman(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Partial Spearman correlation of x (n,) with each y (..., n), given the values (n,)."""
    x, y, z = (stats.rankdata(part, axis=-1) for part in (x, y, given))
    x, y, z = (part - part.mean(-1, keepdims=True) for part in (x, y, z))
    x, y, z = (part / np.linalg.norm(part, axis=-1, keepdims=True) for part in (x, y, z))
    xy, xz, yz = y @ x, x @ z, y @ z
    return (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))


def isolation_test(
    sets: Sequence[tuple[np.ndarray, np.ndarray]], *, permutations: int = PERMUTATIONS, seed: int = 0
) -> Outcome:
    """Mean partial correlation of memory with distance given variance, over trainings.

    Args:
        sets: For each training, the memory (n,) and the `features` (n, 2) of its training images.
        permutations: Number of permutations.
        seed: Seed of the permutations.
    """
    rng, total = np.random.default_rng(seed), np.zeros(permutations + 1)
    for m, (d, v) in ((m, of.T) for m, of in sets):
        shuffled = np.tile(d, (permutations + 1, 1))  # row 0: the observed order
        for decile in np.array_split(np.argsort(v), DECILES):
            shuffled[1:, decile] = rng.permuted(shuffled[1:, decile], axis=1)
        total += partial_spearman(m, shuffled, v)
    mean = total / len(sets)
    low, high = np.quantile(mean[1:], [0.025, 0.975])
    p = np.mean(mean >= mean[0] - 1e-12)
    return Outcome(float(mean[0]), float(low), float(high), float(p))


def plot_isolation(traces: pd.DataFrame) -> Figure:
    """Plot the correlation of memory and isolation, and its control, against load; one marker per training.

    Args:
        traces: Trainings of `results/isolation.json`.
    """
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    for (width, of), marker in zip(traces.groupby("width"), "os^D", strict=True):
        axis.plot(of.load, of.isolation, marker, mfc="none", ms=6, label=f"W = {width}")
    axis.plot(
        traces.load, traces.held_out, "x", color=COLOURS["null"], ms=5, label="control: held-out images"
    )
    axis.axhline(0, lw=0.8, color=COLOURS["null"])
    axis.set(xscale="log", xlabel="load", ylabel="partial rank correlation", ylim=(-0.5, 1))
    legend_above(figure, ncols=5)
    return figure
