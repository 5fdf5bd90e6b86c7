"""Tables and figures of the finished study of the onset, by width W and N (`results/onset`)."""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from galbook.page import interval, select
from galgen.figures.style import COLOURS, legend_above
from galgen.figures.words import spaced

__all__ = ["configurations", "last_checkpoints", "plot_along", "plot_isolation", "predictions", "table_of"]

FRACTION = 0.05  # of near-copies among samples, at their onset


def configurations(study: pd.DataFrame, name: str, **where: object) -> pd.Series:
    """Format onsets by W and N; a lower limit as > x, a contradicted prediction in bold.

    Args:
        study: Table of measurements.
        name: Statistic, in images shown.
        where: Columns that select its rows.
    """
    columns = ["value", "low", "high"]
    rows = select(study, [name, f"{name}_lower_limit"], at=1, **where).set_index(["width", "N"])
    rows[columns] = rows[columns].div(rows.index.get_level_values("N"), axis=0)
    text = interval(rows, ",.0f").str.replace(r",(?=\d)", "\N{NO-BREAK SPACE}", regex=True)
    text = text.mask(rows.statistic.str.endswith("limit"), "> " + text)
    return text.mask(rows.p < 0.05, "**" + text + "**").rename_axis(["W", "N"])


def predictions(study: pd.DataFrame, laws: Mapping[str, str], observed: str) -> pd.DataFrame:
    """Return observed and predicted onsets by configuration.

    Args:
        study: Table of measurements.
        laws: Model of the predictions, by name of the law.
        observed: Model of the observations.
    """
    table = {"observed": configurations(study, "onset_observed", model=observed)}
    table |= {law: configurations(study, "onset_predicted", model=model) for law, model in laws.items()}
    table = pd.DataFrame(table)
    return table.set_axis([f"({W}; {spaced(N)})" for W, N in table.index]).rename_axis("(W; N)")


def table_of(trainings: pd.DataFrame) -> pd.DataFrame:
    """Onset t*, near-copies and bias at t*, and t_c / t*, of each model by configuration.

    Args:
        trainings: Those of `results/near_copies.json`.
    """
    lines = []
    for one in trainings.itertuples():
        log_t, log_shown = math.log(one.onset), np.log(one.shown)
        near, bias = (np.interp(log_t, log_shown, y) for y in (one.near_copies, one.bias))
        limit = "> " * one.censored
        lines.append(
            {
                "(W; N)": f"({one.width}; {spaced(one.N)})",
                "model": one.model[0],
                "t*, epochs": spaced(round(one.onset / one.N)),
                "near-copies at t*, %": f"{100 * near:.1f}",
                "bias at t*": f"{bias:.2f}",
                "t_c / t*": f"{limit}{one.copies_onset / one.onset:.1f}",
            }
        )
    return pd.DataFrame(lines).set_index("(W; N)")


def plot_along(trainings: pd.DataFrame) -> Figure:
    """Plot near-copies of each model, and the bias of each pair, against images shown over t*."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharex=True)
    for k, (place, rows) in enumerate(trainings.groupby(["width", "N"])):
        for one in rows.itertuples():
            t, label = np.array(one.shown) / one.onset, f"({place[0]}; {place[1]})"
            near, style = 100 * np.array(one.near_copies), "-:"[one.model[0] == "B"]
            axes[0].plot(t, near, f"C{k}", ls=style, label=label)
        axes[1].plot(t, one.bias, f"C{k}", label=label)
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
    rows = pd.concat([select(gaps, names, model="A0"), select(near, names, model="A0-B1")])
    rows = rows.assign(epochs=(rows.images_shown / rows.N).round(), text=interval(rows, ".3f"))
    table = rows.pivot(index=["N", "epochs"], columns="statistic", values="text").reindex(columns=names)
    return table.dropna().groupby("N").tail(2).set_axis(["denoising gap, dB", "near-copies"], axis=1)


def plot_isolation(traces: pd.DataFrame) -> Figure:
    """Plot the correlation of memory and isolation, and its control, against load; one marker per training.

    Args:
        traces: Trainings of `results/isolation.json`.
    """
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    for (width, group), marker in zip(traces.groupby("width"), "os^D", strict=True):
        axis.plot(group.load, group.isolation, marker, mfc="none", ms=6, label=f"W = {width}")
    axis.plot(
        traces.load, traces.held_out, "x", color=COLOURS["null"], ms=5, label="control: held-out images"
    )
    axis.axhline(0, lw=0.8, color=COLOURS["null"])
    axis.set(xscale="log", xlabel="load", ylabel="partial rank correlation", ylim=(-0.5, 1))
    legend_above(figure, ncols=5)
    return figure
