"""Replication: are claims supported by fresh seeds, and with which probability was each verdict expected?

A fresh seed has its own split, held-out set, latents and trainings. Its value of a cell is the mean over its
models on the scale of the claim (`galbook.verdicts`). For k seeds with mean m and standard deviation s the
95 % interval is

    m +- t_(k-1) s (1/k + r)^(1/2),    at least the mean interval over latents, divided by k^(1/2),

with r = 0 for simulated galaxies, which are made anew for each seed. Seeds of a data set of fixed images
share training images, so their values are correlated. Nadeau and Bengio correct for this by r = n_test /
n_train, the numbers of held-out and of training images.

*Expected verdicts.* `results/predictions/verdicts.json` has the probability of each verdict, and of its
being decided (the power). They were computed from the old seeds and committed before the fresh ones.
Predictions are scored by the mean logarithm of the probability of what came, and compared with the
frequencies of the verdicts of the old seeds.

References:
    Nadeau & Bengio 2003, Inference for the generalization error, https://doi.org/10.1023/A:1024068626366.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from galbook import verdicts
from galbook.page import published
from galbook.table import CLAIMS
from galbook.verdicts import INCONCLUSIVE, NOT_SUPPORTED, NOT_TESTED, SUPPORTED, Located
from galgen.models.families import FAMILIES
from galgen.runs.files import project, read_json

__all__ = ["FRESH", "HELD_OUT_OVER_TRAINING", "cells", "confirmatory", "fresh_runs",
    "predictions", "replicated", "score"]  # fmt: skip

FRESH = (11, 12, 13, 14)
HELD_OUT_OVER_TRAINING = {  # by data set; 0 where each seed has images of its own
    "simulated": 0.0,
    "sdss_real_9200_64": 1200 / 8000,
}
WORDS = [SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE]
DRAWS = 20_000  # from which the expected probabilities were computed
OUT_OF_DOMAIN = "galaxies"  # of the normalized agreement, which fresh seeds have of one kind


class Cell(NamedTuple):
    """A claim for one family: its definition, and what names it in a table."""

    claim: dict
    family: str
    criterion: dict

    @property
    def columns(self) -> dict:
        """Columns that name the cell."""
        return {"claim": self.claim["key"], "family": self.family, "quantity": self.criterion["quantity"]}


def cells(given: bool) -> list[Cell]:
    """All cells, with the regions of simulated galaxies or of given ones."""
    key = "region_given" if given else "region"
    return [
        Cell(claim, family, cell | {"region": cell.get(key, cell["region"])})
        for claim in CLAIMS
        for family in claim["families"]
        for cell in claim["cells"]
    ]


def _located(cell: Cell, run: str) -> Located | None:
    """Value of a cell for a run, on the scale, with the extents of its interval over latents and n."""
    rows = published(run)
    rows = rows[rows.family == cell.family]
    if cell.criterion["models"] == "all":  # the floor of one kind, which all runs have
        rows = rows[rows.model == OUT_OF_DOMAIN].assign(model="")
    return verdicts.located(cell.claim, cell.criterion, rows)


def _interval(cell: Cell, parts: Sequence[Located], overlap: float) -> tuple[float, float]:
    """Interval of the mean of k seeds, each located on the scale."""
    k, y = len(parts), np.array([part.middle for part in parts])
    half = stats.t.ppf(0.975, k - 1) * y.std(ddof=1) * math.sqrt(1 / k + overlap)
    below, above = np.maximum(half, np.mean([part.latents for part in parts], axis=0) / math.sqrt(k))
    return _back(cell, parts, y.mean() - below), _back(cell, parts, y.mean() + above)


def _back(cell: Cell, parts: Sequence[Located], y: float | np.ndarray) -> float | np.ndarray:
    """Values of a cell, from values on its scale."""
    return verdicts.SCALES[cell.criterion["scale"]].back(y, np.mean([part.n for part in parts]))


def replicated(runs: Sequence[str], *, overlap: float = 0.0) -> pd.DataFrame:
    """Verdict of each cell from fresh seeds: mean, interval, number of seeds.

    Args:
        runs: Folders in `results`, one per seed, of one data set.
        overlap: n_test / n_train of a data set of fixed images. The verdict is that of the wider interval;
            `uncorrected` is that without the correction.
    """
    lines = []
    for cell in cells(bool(overlap)):
        parts = [part for run in runs if (part := _located(cell, run))]
        about = cell.columns | {
            "label": FAMILIES[cell.family].label,
            "region": cell.criterion["region"],
            "N": 0,
        }
        about |= {"statistic": cell.criterion["statistic"], "seeds": len(parts), "freedom": len(parts) - 1}
        about |= {"value": math.nan, "verdict": NOT_TESTED, "uncorrected": NOT_TESTED}
        if len(parts) > 1:
            low, high = _interval(cell, parts, overlap)
            value = _back(cell, parts, np.mean([part.middle for part in parts]))
            about |= {"N": parts[0].N[-1], "value": float(value), "low": float(low), "high": float(high)}
            about["verdict"] = verdicts.verdict(low, high, cell.criterion)
            about["uncorrected"] = verdicts.verdict(*_interval(cell, parts, 0.0), cell.criterion)
        lines.append(about)
    return pd.DataFrame(lines)


def fresh_runs(data: str) -> list[str]:
    """Folders of the fresh seeds of a data set; none until all are there: no verdict is read before."""
    runs = [f"seeds-{data}-seed{seed}" for seed in FRESH]
    there = [run for run in runs if (project() / "results" / run / "measurements.csv").is_file()]
    return runs if there == runs else []


def confirmatory(data: str) -> pd.DataFrame:
    """Verdicts of the fresh seeds of a data set (`replicated`), beside what was expected of each.

    Columns `expected` and `probability` have the most probable verdict, `power` the probability that the cell
    is decided; `*_all` are those of the old and fresh seeds together, which is exploratory.
    """
    runs, overlap = fresh_runs(data), HELD_OUT_OVER_TRAINING[data]
    file = predictions()
    old = pd.DataFrame(file["expected"][data])  # one row per cell, in the order of `cells`
    old = old[WORDS].assign(probability=old[WORDS].max(axis=1), power=1 - old[INCONCLUSIVE])
    old["expected"] = old[WORDS].fillna(0).idxmax(axis=1).mask(old.probability.isna(), "")
    every = replicated([*file["from"][data], *runs], overlap=overlap)
    every = every[["value", "low", "high", "verdict"]].add_suffix("_all")
    return pd.concat([replicated(runs, overlap=overlap), old, every], axis=1)


def predictions() -> dict:
    """Read the expected verdicts, committed before the first fresh seed."""
    return read_json(project() / "results" / "predictions" / "verdicts.json")


def score(table: pd.DataFrame, old: pd.Series) -> dict[str, float]:
    """Mean log probability of the verdicts that came; that of the old seeds' frequencies; and hits.

    Args:
        table: Verdicts with the probability of each word, as from `confirmatory`.
        old: Verdicts of the old seeds, whose frequencies (one added to each count) are the base rates.
    """
    both = table.dropna(subset=WORDS)
    both = both[both.verdict.isin(WORDS)]
    base = old.value_counts().reindex(WORDS, fill_value=0) + 1
    base = base / base.sum()
    # a verdict of probability 0 among the draws is still possible
    p = np.array([max(one[one["verdict"]], 0.5 / DRAWS) for one in both.to_dict("records")])
    sure = both[WORDS].max(axis=1) > 0.5
    hits = int((both[WORDS].idxmax(axis=1) == both.verdict)[sure].sum())
    return {
        "cells": len(both),
        "log_score": float(np.log(p).mean()),
        "base_log_score": float(np.log(both.verdict.map(base)).mean()),
        "above_half": int(sure.sum()),
        "of_these_came": hits,
    }
