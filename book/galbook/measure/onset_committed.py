"""Rows of the committed trainings of the onset study, of the fitted laws, and of their predictions.

The trainings of `results/clock` do not belong to a run of the book. `committed_onsets` has the rows of
`galbook.measure.onset` for each, where a label ending in `half-rate` is a training at half the standard
learning rate. The other rows are

    configurations   (width, N): geometric mean of the onsets, and its ratio to that of a tenth of N
    laws             their constants and lack of fit (`galbook.onset.law`), with each scatter
    predictions      of `results/foretold.json`, preregistered before the later trainings, by its laws L, L1,
                     P and N, with p of the observation; and those of the laws `load` and `power`, fitted to
                     the earlier trainings alone after the later ones were known; and those of
                     `results/predictions/onsets.json`, preregistered before the trainings of `FRESH` seeds,
                     by the laws of `galbook.onset.law`
    load ratio       l_0 of given galaxies over that of simulated ones
    bits             exponent of N in the bits memorized
    agreement        effect of the same training images, of `results/agreement.json`

Given galaxies have trainings, configurations, laws, predictions and the ratio of l_0 only.

Some predictions are of the ratio of an onset to that of N = 100 of the same width. If a training of a
configuration is censored, its mean, or ratio, is a lower limit; it contradicts a law if it exceeds the
prediction.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from math import exp, log, sqrt

import numpy as np
import pandas as pd
from scipy import stats

from galbook.measure.onset import ALL_LEVELS, Rows, of_training
from galbook.onset import law as laws
from galbook.onset.bits import exponent
from galbook.onset.configurations import CommittedConfiguration, committed
from galbook.onset.gap import LEVEL, LEVELS
from galbook.table import TYPES, read_table, row, to_csv
from galgen.compare.uncertainty import Estimate
from galgen.runs.errors import GalgenError
from galgen.runs.files import project, read_json

__all__ = ["committed_onsets"]

PIXELS = 16 * 16
PAPER = {"width": 64, "parameters": 7.66e6, "pixels": 64 * 64, "images": (25e6, 25e6 * 16 / 512)}
NAMES = {"A": "law_epochs", "c": "law_epochs", "b": "law_width_exponent", "a": "law_size_exponent"}
FRESH = 21  # first seed of trainings predicted in results/predictions/onsets.json
SCALE = 100  # N of the configurations that anchor predictions at the same width
NO_TEST = {(4, 1000): ("P", "N")}  # already contradicted at that time, according to the file


def committed_onsets(data: str = "simulated") -> pd.DataFrame:
    """Rows of the committed trainings on one data set, of laws fitted to them, and of predictions."""
    file, stored = read_json(project() / "results" / "foretold.json"), committed()[data]
    preregistered = read_json(project() / "results" / "predictions" / "onsets.json")
    rows = [
        (one.seed >= FRESH, str(one.made["date"]) >= file["made"]["date"], each)
        for one in stored
        for each in _of_committed(one)
    ]
    fresh, late = np.array([stage[:2] for stage in rows]).T
    rows = [each for *_, each in rows]
    table, stages = _table(rows), (np.ones_like(late), late & ~fresh, ~late & ~fresh, fresh)
    parts = {at: [laws.trainings(table[of], at) for of in stages] for at in ALL_LEVELS}
    every, later, _, new = parts[LEVEL]
    rows += [*_configurations(parts), *_preregistered(preregistered, data, every, new)]
    rows += _laws(parts)
    if data != "simulated":
        return _table([*rows, *_load_ratio(preregistered, every)])
    rows += _predicted(file, every, later)
    return _table([*rows, *_predicted_later(parts), *_bits(file["passes"]["items"], stored), *_same_images()])


def _table(rows: Iterable[dict]) -> pd.DataFrame:
    of = pd.DataFrame([{"question": "onset"} | each for each in rows], columns=[*TYPES])
    return read_table(io.StringIO(to_csv(of)))


def _of_committed(one: CommittedConfiguration) -> Rows:
    cell = one.configuration
    for label, trace in zip(("A0", "B1"), cell.traces, strict=True):
        where = _where(cell.base_channels, cell.N) | {"seed": one.seed}
        where |= {"model": label + "-half-rate" * (cell.rate != 1)}
        for each in of_training(trace, cell.N, PIXELS, round(cell.N * PIXELS / cell.load), study=True):
            yield where | each


def _where(width: int, N: int) -> dict:
    return {"family": f"onset{int(width)}", "width": int(width), "N": int(N)}


def _mean(of: pd.DataFrame, s: float = 0, freedom: int = 1, other: pd.DataFrame | None = None) -> Estimate:
    """Geometric mean of the onsets, or its ratio to that of other trainings, with its interval."""
    middle, square = np.log(of.onset).mean(), 1 / len(of)
    if other is not None:
        middle, square = middle - np.log(other.onset).mean(), square + 1 / len(other)
    half = stats.t.ppf(0.975, freedom) * s * sqrt(square)
    return Estimate(*map(exp, (middle, middle - half, middle + half)), len(of))


def _known(of: pd.DataFrame) -> pd.DataFrame:
    """Trainings, without those that ended before the first onset or limit, which are uninformative."""
    first = of.onset.max() if of.censored.all() else of.onset[~of.censored].min()
    return of[~of.censored | (of.onset >= first)]


def _row(name: str, found: Estimate | float, censored: bool, **where: object) -> dict:
    if censored:
        return row(f"{name}_lower_limit", getattr(found, "value", found), **where)
    return row(name, found, **where)


def _possible(make: Callable, *arguments: object, **options: object) -> object | None:
    """Call `scatter` or `fit`; None if there are too few onsets, as before all trainings are made."""
    try:
        return make(*arguments, **options)
    except GalgenError:
        return None


def _configurations(parts: Mapping) -> Rows:
    for level in LEVELS:
        every = parts[level][0]
        if (known := _possible(laws.scatter, every, "two-scatters")) is None:
            continue
        s, freedom = known
        cells = {place: _known(of) for place, of in every.groupby(laws.CONFIGURATION)}
        for (width, N), of in cells.items():
            where, few = _where(width, N) | {"at": level}, cells.get((width, N // 10))
            yield _row("onset_mean", _mean(of, s[N], freedom), of.censored.any(), **where)
            if few is not None and not few.censored.any():
                yield _row("onset_ratio", _mean(of, other=few).value, of.censored.any(), **where)
    for by in laws.SCATTERS:
        s, freedom = _possible(laws.scatter, parts[LEVEL][0], by) or ({}, 0)
        for N, each in s.items():
            yield row("onset_scatter", each, n=freedom, model=by, N=N, at=LEVEL)


def _constants(constants: Mapping[str, Estimate], **where: object) -> Rows:
    for name, found in constants.items():
        width = {"width": int(name[2:])} if name.startswith("A_") else {}
        yield row(NAMES.get(name[0], "law_load"), found, **width, **where)


def _laws(parts: Mapping) -> Rows:
    ways = {by: {"by": by} for by in laws.SCATTERS} | {"training-sets": {"sets": True}}
    for level, (name, law), (way, options) in product((LEVEL, 0.5), laws.LAWS.items(), ways.items()):
        if (of := _possible(laws.fit, law, parts[level][0], **options)) is None:
            continue
        where = {"model": f"{name}-{way}", "at": level}
        yield from _constants(of.constants(), **where)
        if of.chi_squared is None:
            yield row("training_set_share", of.values["share"], **where)
            continue
        p = stats.chi2.sf(of.chi_squared, of.spare)
        yield row("law_chi_squared", of.chi_squared, p=p, n=of.spare, **where)
        if level == LEVEL and name == "load":
            A, b, l_0 = (each.value for each in of.constants().values())
            epochs = A * PAPER["width"] ** -b
            for images in PAPER["images"]:
                most = laws.largest_N(epochs, l_0, images, PAPER["pixels"], PAPER["parameters"])
                yield row("extrapolated_size", most, model=where["model"], width=PAPER["width"], at=images)


def _test(law: Estimate, error: float, observed: float, freedom: int, *, censored: bool) -> float | None:
    """P value of an observation under a law; of a lower limit only if it contradicts the law."""
    z = log(observed / law.value) / error
    p = 2 * stats.t.sf(abs(z), freedom)
    return p if not censored or (z > 0 and p < 0.05) else None


def _predicted(file: Mapping, every: pd.DataFrame, later: pd.DataFrame) -> Rows:
    s, freedom, cells = file["scatter"], file["freedom"], dict(iter(later.groupby(laws.CONFIGURATION)))
    for law, constants in file["constants"].items():
        yield from _constants({name: Estimate(**e) for name, e in constants.items()}, model=law, at=LEVEL)
        yield row("law_lack_of_fit", file["lack"][law], p=file["lack"][law], model=law, at=LEVEL)
    for one in file["asked"]:
        place = one["base_channels"], one["N"]
        of, where = cells[place], _where(*place) | {"at": LEVEL}
        late, anchor = of.censored.any(), every[(every.width == place[0]) & (every.N == SCALE)]
        observed = {"onset": _mean(of, s, freedom)}
        observed |= {"onset_ratio": _mean(of, s, freedom, anchor)} if one["ratio"] else {}
        for name, found in observed.items():
            yield _row(f"{name}_observed", found, late, **where)
        for law, by_law in one["foretold"].items():
            name, images = "onset_ratio" if law in one["ratio"] else "onset", Estimate(**by_law["images"])
            p = _test(images, by_law["error"], observed[name].value, freedom, censored=late)
            p = None if law in NO_TEST.get(place, ()) else p
            yield row(f"{name}_predicted", images, p=p, model=law, **where)
        for statistic, key in (("prediction_power", "power"), ("censored_predicted", "late")):
            for law, value in one[key].items():
                yield row(statistic, value, model=law.replace(" not ", "-"), **where)
    for name, key, at in (
        ("onset_predicted", "onset", LEVEL),
        ("denoising_gap_predicted", "g at the end", None),
    ):
        yield row(name, Estimate(**file["half"][key]), model="half-rate", at=at, **_where(4, 300))


def _preregistered(file: Mapping, data: str, every: pd.DataFrame, fresh: pd.DataFrame) -> Rows:
    """Predictions of configurations of which all trainings are made, with p of the observation."""
    cells, scores = dict(iter(fresh.groupby(laws.CONFIGURATION))), {}
    for one in file["configurations"].get(data, ()):
        of = cells.get((one["width"], one["N"]), ())
        if len(of) < 2 * len(one["seeds"]):
            continue
        where, late = _where(one["width"], one["N"]) | {"at": LEVEL}, of.censored.any()
        s, freedom = _possible(laws.scatter, every, "two-scatters") or ({}, 1)
        observed = _mean(of, s.get(one["N"], 0), freedom)
        yield _row("onset_observed", observed, late, model="preregistered", **where)
        for law, predicted in one["predicted"].items():
            images, error = Estimate(**predicted["images"]), predicted["error"]
            p = _test(images, error, observed.value, file["freedom"], censored=late)
            yield row("onset_predicted", images, p=p, model=f"preregistered-{law}", **where)
            scores.setdefault(law, []).append(laws.log_density(images, error, of))
        for pair, value in one["power"].items():
            model = f"preregistered-{pair.replace(' not ', '-')}"
            yield row("prediction_power", value, model=model, **where)
    for law, each in scores.items():
        yield row("log_score", sum(each), n=len(each), model=f"preregistered-{law}", at=LEVEL)


def _load_ratio(file: Mapping, every: pd.DataFrame) -> Rows:
    """Ratio of l_0 to that of the trainings before the predictions."""
    if (of := _possible(laws.fit, laws.LAWS["load"], every, "two-scatters")) is None:
        return
    both = of.constants()["l_0"], Estimate(**file["constants"]["load"]["l_0"])
    half = sqrt(sum((log(l_0.high / l_0.low) / 2) ** 2 for l_0 in both))
    middle = log(both[0].value / both[1].value)
    found = Estimate(*map(exp, (middle, middle - half, middle + half)), of.freedom)
    yield row("law_load_ratio", found, model="load-two-scatters", at=LEVEL)


def _predicted_later(parts: Mapping) -> Rows:
    _, later, earlier, _ = parts[LEVEL]
    for name in ("load", "power"):
        of, errors, where = laws.fit(laws.LAWS[name], earlier), [], {"model": name, "at": LEVEL}
        for _, each in (cells := later.groupby(laws.CONFIGURATION)):
            found = _against(of, each, at=LEVEL)
            yield found
            if not each.censored.any():
                errors.append(log(_mean(each).value / found["value"]))
        yield row("prediction_error", np.sqrt(np.mean(np.square(errors))), n=len(errors), **where)
        yield row("log_score", laws.log_score(of, later), n=cells.ngroups, **where)
    for level in (0.5, 0.75):  # fitted without the configuration
        every, later, *_ = parts[level]
        of = laws.fit(laws.LAWS["load"], every.query("width != 4 or N != 1000"))
        where = {"model": "load-without-4-1000", "at": level}
        yield from _constants(of.constants(), **where)
        p = stats.chi2.sf(of.chi_squared, of.spare)
        yield row("law_chi_squared", of.chi_squared, p=p, n=of.spare, **where)
        yield _against(of, later.query("width == 4 and N == 1000"), at=level)


def _against(of: laws.Fit, observed: pd.DataFrame, *, at: float) -> dict:
    """Row with the prediction of a law for these trainings."""
    width, N, load = observed[[*laws.CONFIGURATION, "load"]].iloc[0]
    predicted, error = of.predicted(laws.Place(int(width), int(N), load), len(observed))
    p = _test(predicted, error, _mean(observed).value, of.freedom, censored=observed.censored.any())
    return row("onset_predicted", predicted, p=p, model=of.law.name, at=at, **_where(width, N))


def _bits(predictions: Sequence[Sequence], stored: Iterable[CommittedConfiguration]) -> Rows:
    """Exponent between N = 100 and 300 of trainings with five noise levels, at the predicted epochs."""
    for width, epochs in predictions:
        bits = {100: [], 300: []}
        for one in (each.configuration for each in stored):
            if one.base_channels == int(width) and one.N in bits and one.traces[0].own_errors is not None:
                bits[one.N] += one.bits(epochs)
        yield row("bits_exponent", exponent(bits), family=f"onset{width}", width=int(width), at=epochs)


def _same_images() -> Rows:
    """By N, at the end of the laptop run's trainings; for width 8, `at` multiples of the onset of law L."""
    sets = {"twins": "same", "pairs": "disjoint"}
    for part in read_json(project() / "results" / "agreement.json").values():
        for name, one in part["found"].items():
            N, _, multiple = name.partition(" at ")
            where = {"family": "diffusion", "N": int(N)}
            if multiple:
                where = _where(8, N) | {"at": float(multiple), "images_shown": one["shown"]}
            for kind, values in one["strangers"].items():
                options = {"training_sets": "out-of-domain", "model": kind}
                yield row("mean_agreement", np.mean(values), n=len(values), **options, **where)
                yield row("normalized_agreement", one["share"][kind], model=kind, **where)
            for key, which in sets.items():
                yield row("mean_agreement", np.mean(one[key]), n=len(one[key]), training_sets=which, **where)
            yield row("same_images_gain", Estimate(**one["worth"]), **where)
