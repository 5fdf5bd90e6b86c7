"""Measured rows of the onset of memorization are what old questions find; laws find their own constants.

As a script it compares a whole run: `python tests/test_measure_onset.py laptop --store FOLDER`.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from galbook import onset_law, table
from galbook.clock import asked, cells, foretold, said, shown
from galbook.clock.bits import approximated, memorized
from galbook.clock.gap import LEVELS
from galbook.clock.law import Place
from galbook.measure import onset
from galbook.measure.onset_committed import committed_onsets
from galbook.onset_law import LAWS, fit, log_score, scatter, trainings
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment, every_family
from galgen.models.families import STUDIES
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store

DENOISERS = ("diffusion", "conditional")


class Comparison:
    """What differs, and how many numbers were compared."""

    def __init__(self):
        self.count, self.differing = 0, []

    def equal(self, what, one, two):
        self.count += 1
        one, two = (np.asarray(x, float) for x in (one, two))
        if one.shape != two.shape or not np.allclose(one, two, rtol=1e-7, atol=1e-9, equal_nan=True):
            self.differing.append(f"{what}: {one} and {two}")

    def row(self, rows, found, statistic, **where):
        """The one row of such key columns against an estimate or a number."""
        for name, value in where.items():
            rows = rows[rows[name].isna() if value is None else rows[name] == value]
        picked = rows[rows.statistic == statistic]
        if len(picked) != 1:
            self.differing.append(f"{statistic} {where}: {len(picked)} rows")
            return
        given = vars(found) if isinstance(found, Estimate) else {"value": found}
        for end, value in given.items():
            self.equal(f"{statistic} {where} {end}", picked[end].astype(float).item(), value)


def compare(experiment, told):
    """All that this topic measures of a family or study."""
    name, study = experiment.family.name, experiment.family.name in STUDIES
    for N in experiment.sizes:
        rows, arrays = vars(onset.onset(experiment, N)).values()
        assert not arrays
        cell = asked.clock_cell(experiment, N, study)
        assert set(rows.family) == {name} and rows.width.notna().all() == study
        for label, trace, gap in zip(("A0", "B1"), cell.traces, cell.gaps, strict=True):
            _of_training(rows[rows.model == label], cell, trace, gap, told, study)
        if not study:
            continue
        along, copies = asked.copying(experiment, N), onset.near_copies_along_training(experiment, N).rows
        for images, one in along.items():
            of = {"images_shown": images, "model": "A0-B1"}
            told.row(copies, one.copies, "memorized_fraction", **of)
            told.row(copies, one.agree, "agreement", **of)
            ends = (x - 0.5 for x in (one.closer.value, one.closer.low, one.closer.high))
            told.row(copies, Estimate(*ends, one.closer.n), "training_set_bias", **of)
        told.equal("milestones", sorted(copies.images_shown.dropna().unique()), sorted(along))


def _of_training(rows, cell, trace, gap, told, study):
    end = int(gap.shown[-1])
    for k, t in enumerate(gap.shown):
        told.row(rows, gap.at(t), "denoising_gap", images_shown=t)
        told.equal("p", rows[(rows.statistic == "denoising_gap") & (rows.images_shown == t)].p, [gap.p[k]])
    told.equal("g", rows[rows.statistic == "denoising_gap"].value, gap.value)
    if gap.shown[0] <= end / 4:
        told.row(rows, gap.at(end).value - gap.at(end / 4).value, "denoising_gap_gain", at=4)
    if not study:
        assert set(rows.statistic) <= {"denoising_gap", "denoising_gap_gain"}
        return
    late = end * 9 // 10
    if gap.shown[0] <= late / 2:
        told.row(rows, gap.gained(late), "denoising_gap_gain", at=2, images_shown=late)
    for level in LEVELS:
        old = gap.onset(level)
        kept = old is not None and old <= late
        told.row(rows, old if kept else late, "onset", at=level)
        told.row(rows, not kept, "onset_censored", at=level)
    told.row(rows, cell.load, "load")
    told.row(rows, end / cell.N, "epochs")
    (harmed,) = shown.harmed(cells.Cell(cell.kernels, cell.N, cell.load, [trace]))
    told.row(rows, harmed, "held_out_psnr_change")
    weights = cell.N * 256 / cell.load
    if trace.own_errors is None:
        name, bits = "bits_per_parameter_one_level", approximated(gap.value, cell.N, 256)
    else:
        name = "bits_per_parameter"
        bits = memorized(trace.own_errors, trace.held_out_errors, cell.N)[-len(gap.shown) :]
        told.row(rows, trace.held_out_errors[2][-1], "held_out_error")
        told.row(rows, trace.held_out_errors[2].min(), "held_out_error_minimum")
    told.equal(name, rows[rows.statistic == name].value, (bits - bits[0]) / weights)
    curve = rows[rows.statistic == name]
    for epochs in np.geomspace(gap.shown[0], gap.shown[-1], 5)[1:-1] / cell.N:  # as the figure draws it
        of = cells.Cell(cell.kernels, cell.N, cell.load, [trace]).bits(epochs)[0]
        drawn = np.interp(np.log(epochs * cell.N), np.log(curve.images_shown.astype(float)), curve.value)
        told.equal("bits between milestones", drawn, of)


@pytest.fixture(autouse=True)
def _statistics(monkeypatch):
    _define(monkeypatch.setitem)


def _define(put):
    for path in (Path(__file__).parents[1] / "store").glob("statistics-*.yaml"):  # until they are merged
        for name, about in yaml.safe_load(path.read_text()).items():
            put(table.STATISTICS, name, about)


@pytest.mark.parametrize("family", ["clock8", *DENOISERS])
def test_rows_are_what_the_old_questions_find(trained, family):
    experiment, told = Experiment(Parameters(profile="smoke", N=12), trained, family=family), Comparison()
    compare(experiment, told)
    assert not told.differing and told.count > 10


@pytest.fixture(scope="module")
def rows():
    return committed_onsets()


def test_committed_trainings_are_what_the_cells_have(rows):
    told = Comparison()
    for one in cells.committed()["simulated"]:
        for label, trace, gap in zip(("A0", "B1"), one.cell.traces, one.cell.gaps, strict=True):
            model = label + "-half-rate" * (one.cell.rate != 1)
            where = (rows.width == one.cell.kernels) & (rows.N == one.cell.N) & (rows.seed == one.seed)
            of = rows[where & (rows.model == model) & ~rows.statistic.str.contains("agreement|gain_")]
            _of_training(of, one.cell, trace, gap, told, True)
    assert not told.differing and told.count > 5000
    assert set(rows.statistic) <= set(table.STATISTICS)
    assert len(rows[(rows.statistic == "load")]) == 86 and (rows.question == "onset").all()


def test_configurations_are_those_of_the_old_table(rows):
    told, of = Comparison(), rows[rows.statistic.str.startswith(("onset_mean", "onset_ratio"))]
    every = cells.together(cells.committed()["simulated"])
    onsets = {(c.kernels, c.N): c.onset() for c in every if c.rate == 1}
    late = {(4, 300)}  # an onset in the last tenth of a training is censored now
    for (width, N), old in onsets.items():
        here = of[(of.width == width) & (of.N == N) & (of["at"] == 1)]
        assert ("onset_mean" in set(here.statistic)) == bool(old and (width, N) not in late)
        if old and (width, N) not in late:
            told.equal("mean", here[here.statistic == "onset_mean"].value, [old])
    for (width, N), old in said.ten_times(every).items():
        here = of[(of.width == width) & (of.N == 10 * N) & (of["at"] == 1)]
        if (width, 10 * N) not in late:
            told.equal("ratio", here[here.statistic == "onset_ratio"].value, [old])
    assert not told.differing and told.count > 12


def test_predictions_are_those_of_the_file_with_what_was_observed(rows):
    told, kept, file = Comparison(), cells.committed()["simulated"], foretold.read()
    old, new = foretold.parted(kept, file)
    held = foretold.held(file, new, old)
    for asked_ in file.asked:
        place = {"width": asked_.kernels, "N": asked_.N, "at": 1}
        for law, one in asked_.foretold.items():
            kind, outcome = (
                "onset_ratio" if law in asked_.ratio else "onset",
                held[asked_.kernels, asked_.N][law],
            )
            told.row(rows, one.images, f"{kind}_predicted", model=law, **place)
            p = rows[(rows.statistic == f"{kind}_predicted") & (rows.model == law)]
            p = p[(p.width == asked_.kernels) & (p.N == asked_.N)].p
            told.equal(f"p of {law} at {place}", p, [np.nan if outcome.p is None else outcome.p])
            if outcome.seen and not outcome.late:
                told.row(rows, outcome.seen, f"{kind}_observed", **place)
        for pair, value in asked_.power.items():
            told.row(rows, value, "prediction_power", model=pair.replace(" not ", "-"), **place)
        for law, value in asked_.late.items():
            told.row(rows, value, "censored_predicted", model=law, **place)
    of = rows[rows.model.isin([*file.constants])]
    for law, constants in file.constants.items():
        for name, found in constants.items():
            width = int(name[2:]) if name.startswith("A_") else None
            statistic = {"A": "law_epochs", "c": "law_epochs", "a": "law_size_exponent"}.get(
                name[0], "law_load"
            )
            told.row(of, found, statistic, model=law, width=width)
        told.row(of, file.lack[law], "law_lack_of_fit", model=law)
    told.row(rows, file.half["onset"], "onset_predicted", model="half-rate")
    told.row(rows, file.half["g at the end"], "denoising_gap_predicted", model="half-rate")
    for width, found in said.exponents(file, cells.together(kept)).items():
        told.row(rows, found, "bits_exponent", width=width)
    assert not told.differing and told.count > 250


def test_what_the_same_images_are_worth_is_in_rows(rows):
    from galbook.results import measured

    told, of = Comparison(), rows[rows.statistic.isin(["mean_agreement", "same_images_gain"])]
    for part in measured("agreement").values():
        for name, one in part["found"].items():
            N, _, multiple = name.partition(" at ")
            here = of[(of.N == int(N)) & (of["at"] == float(multiple) if multiple else of["at"].isna())]
            told.row(here, Estimate(**one["worth"]), "same_images_gain")
            sets = {"same": one["twins"], "disjoint": one["pairs"], **one["strangers"]}
            for key, values in sets.items():
                kind = {"training_sets": key} if key in ("same", "disjoint") else {"model": key}
                told.row(here, np.mean(values), "mean_agreement", **kind)
    assert not told.differing and told.count > 60


def test_numbers_that_were_quoted_of_the_law_come_again(rows, monkeypatch):
    """With the last tenth of a training as any other part of it, as they were computed."""
    every = cells.together(cells.committed()["simulated"])
    of = [
        {"seed": k, "model": "A0", "width": c.kernels, "N": c.N, "load": c.load} | _onset(c, gap)
        for c in every
        if c.rate == 1
        for k, gap in enumerate(c.gaps)
    ]
    of = pd.DataFrame(of)
    load = fit(LAWS["load"], of)
    assert round(load.chi_squared, 1) == 13.8 and load.spare == 10
    constants = load.constants()
    assert round(constants["b"].value, 2) == 0.52 and round(constants["A"].value) == 1396
    l_0 = constants["l_0"]
    assert (l_0.value, l_0.low, l_0.high) == pytest.approx((0.379, 0.2945, 0.4868), abs=1e-3)
    assert round(fit(LAWS["load"], of, "scatter-by-N").chi_squared) == 37
    monkeypatch.setattr(onset_law, "scatter", lambda of, by: (dict.fromkeys(of.N.unique(), 0.29), 45))
    power, proportional = (fit(LAWS[name], of) for name in ("power", "proportional"))
    assert (round(power.chi_squared), round(proportional.chi_squared)) == (96, 369)
    two, _ = scatter(of, "two-scatters")
    assert [round(two[N], 2) for N in (30, 100)] == [0.34, 0.14]
    # what the rows have, the last tenth of a training left out
    told = rows[(rows.model == "load-one-scatter") & (rows["at"] == 1)].set_index("statistic").value
    assert told.law_width_exponent == pytest.approx(0.525, abs=1e-3)
    errors = rows[rows.statistic == "prediction_error"].set_index("model").value
    assert errors["load"] == pytest.approx(0.12, abs=0.005) and errors["power"] == pytest.approx(
        0.25, abs=0.01
    )


def _onset(c, gap):
    t, end = gap.onset(), float(gap.shown[-1])
    return {"onset": t or end, "censored": t is None, "log_epochs": np.log((t or end) / c.N)}


WEIGHTS = {4: 30_000, 8: 120_000, 16: 480_000}
TRUE = {"A": np.log(1400.0), "b": 0.5, "l_0": np.log(0.4)}


def drawn(seed, *, end=1e9, share=0.0, n=4):
    """Trainings whose law is `load`, of sets that are the same at all widths."""
    rng, found = np.random.default_rng(seed), []
    for N in (10, 30, 100, 300):
        common = rng.normal(0, np.sqrt(share), n)
        for width, weights in WEIGHTS.items():
            middle = LAWS["load"].value(TRUE, Place(width, N, N * 256 / weights))
            y = middle + 0.3 * (common + rng.normal(0, np.sqrt(1 - share), n))
            for k, each in enumerate(np.minimum(y, np.log(end))):
                at = {"width": width, "N": N, "load": N * 256 / weights, "seed": k, "model": "A0"}
                censored = bool(each == np.log(end))
                found.append(at | {"onset": N * np.exp(each), "censored": censored, "log_epochs": each})
    return pd.DataFrame(found)


@pytest.mark.parametrize("sets", [False, True])
def test_intervals_of_a_law_cover_its_constants_also_with_censored_trainings(sets):
    inside, count = 0, 12 if sets else 40
    for seed in range(count):
        of = fit(LAWS["load"], drawn(seed, end=3000, share=0.5 * sets), sets=sets).constants()
        truth = {name: value if name == "b" else np.exp(value) for name, value in TRUE.items()}
        inside += sum(found.low <= truth[name] <= found.high for name, found in of.items())
    assert inside / (3 * count) > 0.85


def test_a_common_part_of_the_scatter_is_found_and_moves_intervals():
    shares, ratios = [], []
    for seed in range(5):
        of = drawn(seed, share=0.7, n=8)
        alone, common = fit(LAWS["load"], of).constants(), fit(LAWS["load"], of, sets=True)
        shares.append(common.values["share"])
        each = zip(common.constants().values(), alone.values(), strict=True)
        ratios.append([np.log(one.high / one.low) / np.log(other.high / other.low) for one, other in each])
    assert 0.5 < np.mean(shares) < 0.85 and common.chi_squared is None
    _, b, l_0 = np.mean(ratios, axis=0)
    assert b < 0.9 and l_0 > 1.05, "widths have the same sets, and N have others"


def test_the_better_law_has_the_less_lack_of_fit_and_the_larger_score():
    of = drawn(3, n=8)
    old, new = of[of.N < 300], of[of.N == 300]
    load, power = (fit(LAWS[name], old) for name in ("load", "power"))
    assert load.chi_squared < 20 < power.chi_squared and load.spare == 6
    assert log_score(load, new) > log_score(power, new)
    late = new.assign(censored=True)
    assert log_score(load, late) < 0
    with pytest.raises(GalgenError, match="two trainings"):
        scatter(of.groupby(["width", "N"]).head(1))
    with pytest.raises(GalgenError, match="more than there are"):
        fit(LAWS["power"], of[(of.width == 4) & (of.N < 100)])


def test_of_rows_come_trainings_without_those_of_another_rate(rows):
    of = trainings(rows)
    assert len(of) == 84 and of.censored.sum() == 7
    assert not (of[(of.width == 4) & (of.N == 300)].seed == 4).any()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("--store", type=Path, required=True)
    given = parser.parse_args()
    _define(dict.__setitem__)
    told = Comparison()
    parameters, store = Parameters(profile=given.profile), Store(given.store)
    for experiment in every_family(parameters, store, studies=True).values():
        if experiment.family.name in (*DENOISERS, *STUDIES) and experiment.sizes:
            compare(experiment, told)
    print("\n".join(told.differing))
    print(f"rows {told.count}, equal {told.count - len(told.differing)}, differing {len(told.differing)}")
