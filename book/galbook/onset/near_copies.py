"""Is the onset of the denoising gap that of near-copies? Times of both, compared between configurations.

For one training let t* be the onset of the denoising gap (`galbook.onset.gap`), and t_c the number of images
shown from which more than 5 % of its samples are near-copies for good. If both are one event, t_c / t* is the
same for all configurations (W; N). With r = ln(t_c / t*), k configurations of n trainings, their means m and
the pooled standard deviation s with f = k (n - 1) degrees of freedom, the ratio of the largest to the
smallest t_c / t* has the interval

    exp(max m - min m +- q s / n^(1/2)),        q the 0.95 quantile of the studentized range for k and f

(Tukey's, so it allows for the choice of the extremes). They are *one event* if it lies below 2, *two events*
if above, else it is inconclusive. A training without t_c by the end of the constant learning rate is censored
there: its t_c / t*, and so the ratio, are lower limits, and its configuration does not count for s.
"""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from galbook.page import interval, select
from galgen.figures.style import COLOURS, legend_above
from galgen.figures.words import spaced

__all__ = [
    "FRACTION",
    "INCONCLUSIVE",
    "ONE",
    "TWO",
    "last_checkpoints",
    "one_event",
    "plot_along",
    "table_of",
]

FRACTION = 0.05
WITHIN = 2.0
ONE, TWO, INCONCLUSIVE = "one event", "two events", "inconclusive"


def one_event(ratios: Sequence[Sequence[float]], censored: Sequence[Sequence[bool]]) -> dict:
    """Ratio of the largest to the smallest mean of t_c / t*, its interval and the verdict.

    Args:
        ratios: t_c / t* of each training, (k, n).
        censored: Whether it is a lower limit, (k, n).
    """
    r, late = np.log(ratios), np.asarray(censored).any(axis=1)
    spread = float(np.ptp(r.mean(axis=1)))
    freedom = int((~late).sum()) * (r.shape[1] - 1)
    half = math.inf
    if freedom:
        s = math.sqrt(r[~late].var(axis=1, ddof=1).mean())
        half = stats.studentized_range.ppf(0.95, len(r), freedom) * s / math.sqrt(r.shape[1])
    low, high = math.exp(spread - half), math.inf if late.any() else math.exp(spread + half)
    # the smallest ratio must be known: if it is a limit, so is the difference in both directions
    least = not late[np.argmin(r.mean(axis=1))]
    verdict = ONE if high < WITHIN else TWO if least and low > WITHIN else INCONCLUSIVE
    return {"value": math.exp(spread), "low": low, "high": high, "freedom": freedom, "verdict": verdict}


def table_of(trainings: pd.DataFrame) -> pd.DataFrame:
    """Onset t*, near-copies and bias at t*, and t_c / t*, of each model by configuration.

    Args:
        trainings: Those of `results/near_copies.json`.
    """
    lines = []
    for of in trainings.itertuples():
        near, bias = (np.interp(math.log(of.onset), np.log(of.shown), y) for y in (of.near_copies, of.bias))
        limit = "> " * of.censored
        lines.append(
            {
                "(W; N)": f"({of.width}; {spaced(of.N)})",
                "model": of.model[0],
                "t*, epochs": spaced(round(of.onset / of.N)),
                "near-copies at t*, %": f"{100 * near:.1f}",
                "bias at t*": f"{bias:.2f}",
                "t_c / t*": f"{limit}{of.copies_onset / of.onset:.1f}",
            }
        )
    return pd.DataFrame(lines).set_index("(W; N)")


def plot_along(trainings: pd.DataFrame) -> Figure:
    """Plot near-copies of each model, and the bias of each pair, against images shown over t*."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharex=True)
    for k, (place, rows) in enumerate(trainings.groupby(["width", "N"])):
        for of in rows.itertuples():
            t, label = np.array(of.shown) / of.onset, f"({place[0]}; {place[1]})"
            axes[0].plot(t, 100 * np.array(of.near_copies), f"C{k}", ls="-:"[of.model[0] == "B"], label=label)
        axes[1].plot(t, of.bias, f"C{k}", label=label)
    axes[0].axhline(100 * FRACTION, ls="--", lw=0.8, color=COLOURS["null"])
    for axis, name in zip(axes, ("near-copies, %", "training-set bias"), strict=True):
        axis.axvline(1, lw=0.8, color=COLOURS["null"])
        axis.set(xscale="log", xlabel="images shown / t*", ylabel=name)
    legend_above(figure, ncols=4)
    return figure


def last_checkpoints(gaps: pd.DataFrame, near: pd.DataFrame) -> pd.DataFrame:
    """Gap of A and near-copies of A and B at the last two checkpoints of a run, by N and epochs.

    Args:
        gaps: Rows of `galbook.measure.onset.onset`.
        near: Rows of `galbook.measure.onset.near_copies_along_training`.
    """
    names = ["denoising_gap", "near_copy_fraction"]
    found = pd.concat([select(gaps, names, model="A0"), select(near, names, model="A0-B1")])
    found = found.assign(epochs=(found.images_shown / found.N).round(), text=interval(found, ".3f"))
    table = found.pivot(index=["N", "epochs"], columns="statistic", values="text").reindex(columns=names)
    return table.dropna().groupby("N").tail(2).set_axis(["denoising gap, dB", "near-copies"], axis=1)
