"""Verdicts: is a claim supported by the trainings of a run?

A *cell* is claim x family x data set: one statistic of the table of measurements, and one region in which the
claim holds (`claims.yaml`). For n trainings, or pairs, of one N with values x_i on the scale of the claim,

    mean(x) +- t_f s / sqrt(n),        s^2 = sum_c sum_i (x_ci - mean_c)^2 / f,   f = sum_c (n_c - 1),

where the cells c are those of this family and N in all published runs of the profile on this data set; also
on the other, if the two variances differ by less than a factor of four. For the difference of two N the
variances are added, with the degrees of freedom of Welch and Satterthwaite. The interval covers retraining on
these images, one split; it is never narrower than the mean interval over latents or images.

A cell is *supported* if its 95 % interval lies inside the region, *not supported* if it lies outside, and
*inconclusive* otherwise, or without degrees of freedom. A claim about k families is supported if every cell
is, not supported if the interval of one family at level 1 - 0.05 / k lies outside, else inconclusive.
With several statistics a family is *mixed* if one is supported and another is not. A cell without rows in the
table is *not tested*.

    scale             y(x), on which intervals are computed
    linear            x
    log               ln x                                       distances of distributions
    root              sign(x) sqrt |x|                           unbiased energy distance
    logit, fraction   ln(q / (1 - q)), q = (n x + 1/2)/(n + 1)   AUC, and fractions, of n samples
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from galbook import measure
from galbook.page import NumberedTable, published
from galbook.table import CLAIMS, QUESTIONS, TYPES, sizes_of_cell
from galgen.data.prepare import SIMULATED
from galgen.experiment import Experiment
from galgen.figures.tables import escaped
from galgen.figures.words import spaced
from galgen.models.families import FAMILIES
from galgen.profiles import Parameters
from galgen.runs.files import project, read_json

__all__ = [
    "CLAIMS",
    "INCONCLUSIVE",
    "MIXED",
    "NOT_SUPPORTED",
    "NOT_TESTED",
    "RUNS",
    "SUPPORTED",
    "Located",
    "cells",
    "cells_of_run",
    "cells_of_table",
    "estimate",
    "holds",
    "measured",
    "number",
    "of_claim",
    "of_family",
    "verdict",
    "verdicts",
]  # fmt: skip

SUPPORTED, NOT_SUPPORTED, MIXED, INCONCLUSIVE, NOT_TESTED = (
    "supported",
    "not supported",
    "mixed",
    "inconclusive",
    "not tested",
)
MODELS = {"pair": r"A(\d+)-B(\d+)", "single": r"[AB]\d+", "all": ""}
RUNS = {  # published runs of the laptop profile, with their names on pages
    "laptop-simulated": "simulated, seed 0",
    "laptop-simulated-seed7": "simulated, seed 7",
    "laptop-sdss_real_9200_64": "SDSS, seed 0",
    "laptop-sdss_real_9200_64-seed7": "SDSS, seed 7",
}


@dataclass(frozen=True)
class Scale:
    """A transformation and its inverse, as functions of values and their numbers of samples."""

    forward: Callable
    back: Callable


class Located(NamedTuple):
    """Mean of a cell over the trainings of a run, on its scale.

    Attributes:
        N: One N, or the two that are subtracted.
        parts: Rows of each N, one per training or pair.
        middle: The mean, or the difference of two means.
        latents: Extent of the mean interval over latents or images below and above.
        n: Number of samples.
    """

    N: list[int]
    parts: list[pd.DataFrame]
    middle: float
    latents: tuple[float, float]
    n: float


_LOGIT = Scale(
    lambda x, n: special.logit((n * x + 0.5) / (n + 1)),
    lambda y, n: np.clip(((n + 1) * special.expit(y) - 0.5) / n, 0, 1),
)
SCALES = {
    "linear": Scale(lambda x, n: x, lambda y, n: y),
    "log": Scale(lambda x, n: np.log(x), lambda y, n: np.exp(y)),
    "root": Scale(lambda x, n: np.sign(x) * np.sqrt(np.abs(x)), lambda y, n: np.sign(y) * y**2),
    "logit": _LOGIT,
    "fraction": _LOGIT,
}


def trainings(rows: pd.DataFrame, cell: dict, N: int) -> pd.DataFrame:
    """Rows of a cell at one N, one per training or pair, after subtraction of the control, if any."""
    rows = rows[(rows.question == cell["question"]) & (rows.statistic == cell["statistic"]) & (rows.N == N)]
    if "level" in cell:
        rows = rows[rows.level == cell["level"]]
    if "at" in cell:
        rows = rows[rows["at"] == (rows["at"].min() if cell["at"] == "least" else cell["at"])]
    named = rows.model.str.fullmatch(MODELS[cell["models"]])
    if cell["models"] == "pair":
        numbers = rows.model.str.extract(MODELS["pair"]).astype(float)
        named &= numbers[1] == numbers[0] + 1
    chosen = rows[named]
    if len(chosen) and chosen.images_shown.notna().all():
        chosen = chosen[chosen.images_shown == chosen.images_shown.max()]
    if "subtract" in cell:
        control = rows[rows.model == cell["subtract"]].value
        beyond = max(0.0, control.item()) if len(control) else 0.0
        chosen = chosen.assign(**{name: chosen[name] - beyond for name in ("value", "low", "high")})
    return chosen


@functools.cache
def _published(profile: str) -> dict[str, list[pd.DataFrame]]:
    """Published tables of a profile, by data set."""
    books: dict[str, list[pd.DataFrame]] = {}
    for folder in sorted((project() / "results").glob(f"{profile}-*")):
        if (folder / "measurements.csv").is_file():
            data = folder.name.removeprefix(f"{profile}-").partition("-seed")[0]
            books.setdefault(data, []).append(published(folder.name))
    return books


def scatter(cell: dict, family: str, N: int, own: pd.DataFrame, parameters: Parameters) -> tuple[float, int]:
    """Standard deviation over trainings of one family and N, and its degrees of freedom.

    The table of the run replaces the published one with its data and seed.
    """
    books, data = _published(parameters.profile), Path(parameters.data).stem
    others = [book for book in books.get(data, []) if book.seed.iloc[0] != parameters.seed]
    squares, freedom = _pooled([own, *others], cell, family, N)
    for name, tables in books.items():
        more, degrees = _pooled(tables, cell, family, N) if name != data else (0.0, 0)
        if freedom and degrees and squares and 0.25 < (more / degrees) / (squares / freedom) < 4:
            squares, freedom = squares + more, freedom + degrees
    return (math.sqrt(squares / freedom) if freedom else 0.0), freedom


def _pooled(tables: Iterable[pd.DataFrame], cell: dict, family: str, N: int) -> tuple[float, int]:
    """Sum of squares within runs, and its degrees of freedom."""
    squares, freedom = 0.0, 0
    for table in tables:
        chosen = trainings(table[table.family == family], cell, N)
        if len(chosen) > 1:
            x = _scaled(cell, chosen, "value")
            squares, freedom = squares + float(np.square(x - x.mean()).sum()), freedom + len(x) - 1
    return squares, freedom


def _scaled(cell: dict, rows: pd.DataFrame, name: str) -> np.ndarray:
    n = rows.n.fillna(1e6).to_numpy(float)
    return np.asarray(SCALES[cell["scale"]].forward(rows[name].to_numpy(float), n), float)


def _over_latents(cell: dict, parts: Sequence[pd.DataFrame]) -> tuple[float, float]:
    """Extent of the mean interval over latents or images below and above the value, on the scale."""
    below, above = 0.0, 0.0
    for k, part in enumerate(parts):
        if part[["low", "high"]].notna().all(axis=None):
            low, x, high = (_scaled(cell, part, name) for name in ("low", "value", "high"))
            extents = float(np.mean(x - low)), float(np.mean(high - x))
            below, above = np.hypot(below, extents[k % 2]), np.hypot(above, extents[1 - k % 2])
    return below, above


def located(claim: dict, cell: dict, rows: pd.DataFrame) -> Located | None:
    """Mean of a cell over the trainings of a run, on its scale; None without rows.

    Args:
        claim: One of `CLAIMS`.
        cell: One of its cells.
        rows: Rows of one family.
    """
    sizes = sorted(rows[rows.question == cell["question"]].N.dropna().unique())
    if not sizes:
        return None
    N = sizes_of_cell(cell, sizes)
    if (len(N) > 1 and N[0] == N[1]) or N[-1] < claim.get("least_N", 0):
        return None
    parts = [trainings(rows, cell, n) for n in N]
    if not all(map(len, parts)):
        return None
    middle = np.subtract.reduce([_scaled(cell, part, "value").mean() for part in parts])
    return Located(N, parts, float(middle), _over_latents(cell, parts), parts[0].n.fillna(1e6).mean())


def estimate(claim: dict, cell: dict, rows: pd.DataFrame, family: str, parameters: Parameters) -> dict | None:
    """Value of a cell with its 95 % interval, and the interval at the level of its claim; None without rows.

    Args:
        claim: One of `CLAIMS`.
        cell: One of its cells.
        rows: Rows of this family.
        family: Name of the family.
        parameters: Profile, data and seed of the run.
    """
    if (place := located(claim, cell, rows)) is None:
        return None
    N, parts, middle, (below, above), n = place
    back = SCALES[cell["scale"]].back
    if cell["models"] == "all":  # the row has its own interval over trainings, of two training sets
        count = int(parts[0].n.iloc[0])
        error, freedom = 0.0, count - 2 if above else 0
    else:
        count, scatters = min(map(len, parts)), [scatter(cell, family, n, rows, parameters) for n in N]
        variances = [s**2 / len(part) for (s, _), part in zip(scatters, parts, strict=True)]
        error, freedom = math.sqrt(sum(variances)), min(f for _, f in scatters)
        if error and freedom and len(N) > 1:
            freedom = error**4 / sum(v**2 / f for v, (_, f) in zip(variances, scatters, strict=True))

    def back_at(down: float, up: float) -> tuple[float, float]:
        return float(back(middle - down, n)), float(back(middle + up, n))

    def interval(level: float) -> tuple[float, float]:
        if not freedom:
            return -math.inf, math.inf
        t = stats.t(freedom) if cell["models"] == "all" else stats.norm
        wider = t.ppf(0.5 + level / 2) / t.ppf(0.975)
        half = stats.t.ppf(0.5 + level / 2, freedom) * error
        return back_at(max(half, below * wider), max(half, above * wider))

    (low, high), k = interval(0.95), len(claim["families"])
    numbers = {"N": N[-1], "n": count, "freedom": float(freedom), "value": float(back(middle, n))}
    numbers |= {"low": low, "high": high, "wide": interval(1 - 0.05 / k)}
    return numbers | {"latents": back_at(below, above)}


def verdict(low: float | np.ndarray, high: float | np.ndarray, cell: dict) -> str | np.ndarray:
    """Verdict for an interval, or for each of an array: supported, not supported or inconclusive."""
    first, last = cell["region"]
    outside = (high < first) | (low > last)
    if "outside" in cell:
        outside = (cell["outside"][0] <= low) & (high <= cell["outside"][1])
    words = np.select([(first <= low) & (high <= last), outside], [SUPPORTED, NOT_SUPPORTED], INCONCLUSIVE)
    return words if words.ndim else words.item()


def cells_of_table(
    claim: dict, rows: pd.DataFrame, parameters: Parameters, families: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row per cell of a claim: family, statistic, value, interval, trainings, criterion, verdict.

    Args:
        claim: One of `CLAIMS`.
        rows: Table of measurements of a run.
        parameters: Parameters of this run.
        families: By default those of the claim.
    """
    lines = []
    for family in (name for name in claim["families"] if name in (families or claim["families"])):
        own = rows[rows.family == family]
        for cell in claim["cells"]:
            if parameters.data not in SIMULATED:
                cell = cell | {"region": cell.get("region_given", cell["region"])}
            about = {"claim": claim["key"], "family": family, "label": FAMILIES[family].label}
            about |= {name: cell[name] for name in ("quantity", "statistic", "region")}
            about |= {"verdict": NOT_TESTED, "corrected": NOT_TESTED, "direction": ""}
            about |= dict.fromkeys(("value", "low", "high"), math.nan)
            about |= {"latents": (math.nan, math.nan), "N": 0, "n": 0, "freedom": 0.0}
            if numbers := estimate(claim, cell, own, family, parameters):
                about |= numbers
                about |= {"verdict": INCONCLUSIVE, "corrected": INCONCLUSIVE}
                if numbers["freedom"]:
                    about["verdict"] = verdict(numbers["low"], numbers["high"], cell)
                    about["corrected"] = verdict(*numbers["wide"], cell)
                if about["verdict"] == NOT_SUPPORTED and numbers["low"] * numbers["high"] > 0:
                    about["direction"] = claim.get("directions", ("", ""))[numbers["low"] > 0]
            lines.append(about)
    return pd.DataFrame(lines)


def cells(claim: dict, experiments: Iterable[Experiment]) -> pd.DataFrame:
    """Cells of a claim for the experiments of one run; missing rows are measured."""
    measure.load()
    names, tables = sorted({cell["question"] for cell in claim["cells"]}), []
    for experiment in experiments:
        if (family := experiment.family.name) in claim["families"]:
            rows = pd.concat([QUESTIONS[name].every(experiment) for name in names], ignore_index=True)
            tables.append(cells_of_table(claim, rows, experiment.parameters, (family,)))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def cells_of_run(claim: dict, run: str) -> pd.DataFrame:
    """Cells of a claim for a published run, by its folder in `results`; not tested without one."""
    about = project() / "results" / run / "run.json"
    if not about.is_file():
        return cells_of_table(claim, pd.DataFrame(columns=[*TYPES]).astype(TYPES), Parameters())
    stored = read_json(about)["parameters"]
    parameters = Parameters(**{name: stored[name] for name in ("profile", "data", "seed")})
    return cells_of_table(claim, published(run), parameters)


def of_family(words: Iterable[str]) -> str:
    """Combine the verdicts of a family's cells."""
    words = set(words)
    if len(words) == 1:
        return words.pop()
    if {SUPPORTED, NOT_SUPPORTED} <= words:
        return MIXED
    return NOT_SUPPORTED if words == {NOT_SUPPORTED, NOT_TESTED} else INCONCLUSIVE


def of_claim(table: pd.DataFrame) -> str:
    """Verdict of a claim about all its families."""
    families = table.groupby("family").verdict.apply(of_family) if len(table) else pd.Series([NOT_TESTED])
    if families.nunique() == 1 and (len(families) == 1 or families.iloc[0] in (SUPPORTED, NOT_TESTED)):
        return families.iloc[0]
    return NOT_SUPPORTED if (table.corrected == NOT_SUPPORTED).any() else INCONCLUSIVE


def verdicts(experiments: Experiment | Iterable[Experiment], *keys: str) -> NumberedTable:
    """Table of the cells of claims: measurement, criterion and verdict of each family.

    Args:
        experiments: Experiments of a run, one for each family.
        *keys: Keys of claims; by default all.
    """
    experiments = [experiments] if isinstance(experiments, Experiment) else list(experiments)
    lines, names = [], ["claim", "family", "quantity", "measured", "holds if", "verdict"]
    for claim in (claim for claim in CLAIMS if not keys or claim["key"] in keys):
        part = cells(claim, experiments)
        for cell in part.to_dict("records"):
            word = f"**{cell['verdict']}**" + f" ({cell['direction']})" * bool(cell["direction"])
            counts = f" ({cell['n']}, {cell['freedom']:.0f})" if cell["n"] else ""
            at = f", N\xa0=\xa0{spaced(cell['N'])}" if cell["n"] and " N" not in cell["quantity"] else ""
            line = [claim["claim"], cell["label"], cell["quantity"] + at, measured(cell) + counts]
            line += [holds(cell["region"]), word]
            lines.append(dict(zip(names, line, strict=True)))
        count = part.family.nunique() if len(part) > 1 else 0
        if count in (1, len(claim["families"])):  # no verdict for a subset of the families
            every = count == len(claim["families"])
            label, word = ("", of_claim(part)) if every else (part.label[0], of_family(part.verdict))
            name = "whole claim" if every else "all, this family"
            whole = [claim["claim"], label, name, "", "all", f"**{word}**"]
            lines.append(dict(zip(names, whole, strict=True)))
    first = experiments[0]
    caption = (
        "Verdicts by family: mean over trainings on one split, its 95 % interval, and "
        "the criterion that must contain it. In brackets: number of models or pairs; degrees of freedom of "
        "the standard deviation between trainings, pooled over published runs. With 0 (one pair) the effect "
        "of another training is unknown: the interval is over latents, and the verdict inconclusive. "
        f"Profile {first.profile.name}, {escaped(first.images.name)}."
    )
    table = pd.DataFrame(lines, columns=names)
    table["claim"] = table.claim.mask(table.claim.duplicated(), "")
    family = [first.family.name] * (len(experiments) == 1)
    return NumberedTable(table.set_index("claim"), caption, "-".join(("tab-verdicts", *family, *keys)))


def number(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """Format a value with its interval, to two significant digits of the interval's half-width."""
    half = (high - low) / 2
    if not math.isfinite(half) or half == 0:
        return f"{value:.2g}".replace("-", "−")
    digits = min(max(1 - math.floor(math.log10(half)), 0), 4)
    texts = (f"{round(x, digits) + 0.0:.{digits}f}" for x in (value, low, high))  # no -0
    return "{} [{}, {}]".format(*texts).replace("-", "−")


def measured(cell: Mapping) -> str:
    """Format the value of a cell with its interval: over latents or images without scatter of trainings."""
    if cell["verdict"] == NOT_TESTED:
        return "–"
    low, high = (cell["low"], cell["high"]) if cell["freedom"] else cell["latents"]
    return number(cell["value"], low, high)


def holds(region: Sequence[float]) -> str:
    """Format the region in which a claim holds."""
    low, high = region
    if math.isinf(high):
        return f"> {low:g}".replace("-", "−")
    return (f"< {high:g}" if math.isinf(low) else f"{low:g} to {high:g}").replace("-", "−")
