"""Verdicts of fresh seeds: intervals, expected probabilities, their score, and the order of commits."""

import subprocess

import numpy as np
import pandas as pd
import pytest

from galbook import replication, verdicts
from galbook.page import published
from galbook.replication import (
    FRESH,
    HELD_OUT_OVER_TRAINING,
    cells,
    confirmatory,
    replicated,
    score,
)
from galbook.table import TYPES
from galbook.verdicts import INCONCLUSIVE, NOT_SUPPORTED, NOT_TESTED, SUPPORTED
from galgen.runs.files import project, read_json


@pytest.fixture
def tables(monkeypatch):
    """Function that replaces the published tables by those of runs with given values of the agreement."""

    def give(runs):
        found = {}
        for seed, (name, values) in enumerate(runs.items()):
            usual = {"question": "agreement", "statistic": "agreement", "family": "diffusion", "seed": seed}
            rows = [
                usual
                | {"model": f"A{2 * k}-B{2 * k + 1}", "N": 4000, "n": 256, "value": x}
                | {"low": x - 1e-4, "high": x + 1e-4}
                for k, x in enumerate(values)
            ]
            rows = pd.DataFrame(rows, columns=[*TYPES])
            found[name] = rows.assign(training_sets="").astype(TYPES)
        monkeypatch.setattr(replication, "published", found.__getitem__)
        monkeypatch.setattr(verdicts, "scatter", lambda *_: (0.0, 0))
        return [*runs]

    return give


def cell_of(table):
    return table.query("claim == 'agreement' and family == 'diffusion'").iloc[0]


def test_the_interval_is_students_over_seeds_and_wider_where_seeds_share_images(tables):
    runs = tables({"a": [0.95, 0.97], "b": [0.94], "c": [0.93], "d": [0.95]})
    found = cell_of(replicated(runs))
    half = 3.182446 * np.std([0.96, 0.94, 0.93, 0.95], ddof=1) / 2  # a seed is the mean of its pairs
    assert found.value == pytest.approx(0.945) and found.high - found.low == pytest.approx(2 * half, rel=1e-5)
    assert found.verdict == SUPPORTED and found.seeds == 4
    wider = cell_of(replicated(runs, overlap=HELD_OUT_OVER_TRAINING["sdss_real_9200_64"]))
    assert (wider.high - wider.low) / (2 * half) == pytest.approx(
        1.2649, abs=1e-3
    )  # (1/4 + 0.15)^(1/2) / (1/2)
    assert wider.verdict == wider.uncorrected == SUPPORTED
    apart = tables({"a": [0.93], "b": [0.93], "c": [0.906], "d": [0.93]})
    both = cell_of(replicated(apart, overlap=0.15))
    assert (both.verdict, both.uncorrected) == (INCONCLUSIVE, SUPPORTED)


def test_equal_seeds_have_the_interval_over_latents_and_one_seed_has_no_verdict(tables):
    found = cell_of(replicated(tables({name: [0.95] for name in "abcd"})))
    assert found.high - found.low == pytest.approx(1e-4, rel=1e-3)
    alone = replicated(tables({"a": [0.95]}))
    assert set(alone.verdict) == {NOT_TESTED}


def test_a_prediction_that_comes_scores_better_than_the_base_rates():
    found = pd.DataFrame({SUPPORTED: [0.9, 0.2], NOT_SUPPORTED: [0.0, 0.8], INCONCLUSIVE: [0.1, 0.0]})
    came = score(found.assign(verdict=[SUPPORTED, NOT_SUPPORTED]), pd.Series([SUPPORTED, INCONCLUSIVE]))
    assert came["log_score"] == pytest.approx(np.log([0.9, 0.8]).mean())
    assert came["base_log_score"] == pytest.approx(np.log([0.4, 0.2]).mean())
    assert (came["above_half"], came["of_these_came"]) == (2, 2)
    wrong = score(found.assign(verdict=[NOT_SUPPORTED, INCONCLUSIVE]), pd.Series([SUPPORTED]))
    assert np.isfinite(wrong["log_score"]) and wrong["log_score"] < wrong["base_log_score"]


@pytest.mark.parametrize("data", HELD_OUT_OVER_TRAINING)
def test_fresh_seeds_stand_beside_what_was_expected_once_all_are_run(data, monkeypatch, tmp_path):
    old = replication.predictions()
    monkeypatch.setattr(replication, "predictions", lambda: old)
    tables = dict(zip(old["from"][data], map(published, old["from"][data]), strict=True))
    runs = [f"seeds-{data}-seed{seed}" for seed in FRESH]
    tables |= dict(zip(runs, list(tables.values()) * 2, strict=True))
    monkeypatch.setattr(replication, "published", tables.__getitem__)
    monkeypatch.setattr(replication, "project", lambda: tmp_path)
    for run in runs:
        assert replication.fresh_runs(data) == []
        (tmp_path / "results" / run).mkdir(parents=True)
        (tmp_path / "results" / run / "measurements.csv").touch()
    found = confirmatory(data)
    named = pd.DataFrame([cell.columns for cell in cells(data != "simulated")])
    assert found[[*named]].equals(named) and named.equals(pd.DataFrame(old["expected"][data])[[*named]])
    tested = found[found.verdict != NOT_TESTED]
    assert (tested.freedom == 3).all() and tested[["low", "value", "high"]].notna().all(axis=None)
    assert score(found, found.verdict_all)["log_score"] > -1


def test_predictions_were_committed_before_the_first_number_that_they_predict():
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=project(), capture_output=True, text=True, check=False)

    results = project() / "results"
    about = [read_json(folder / "run.json") for folder in sorted(results.glob("seeds-*"))]
    fresh = [of["commit"] for run in about for of in (*run["files"].values(), *run["trainings"])]
    first = git("log", "--diff-filter=A", "--format=%H", "--", "results/predictions/verdicts.json").stdout
    if not first:
        pytest.skip("git does not know the history of this folder")
    for commit in {commit.rstrip("+") for commit in fresh}:
        assert not git("merge-base", "--is-ancestor", first.split()[-1], commit).returncode
