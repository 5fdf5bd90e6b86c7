import json
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from galbook import power
from galbook.results import measured
from galgen.compare.memorization import exchange_test, gaussian_margins, margins, memorization_test
from galgen.data.dataset import Split
from galgen.data.simulate.images import simulate_flux
from galgen.profiles import Parameters

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))
from power import ALPHA, CHANGES, Bench, joined  # noqa: E402


def record(question, rejected, *, tests=200, alternative="", level=0.0, N=None):
    found = {"question": question, "N": N, "alternative": alternative, "level": level}
    return found | {"tests": tests, "rejected": rejected}


def fault(question, name, level, rejected, N=None):
    return record(question, rejected, tests=25, alternative=name, level=level, N=N)


def part(commit, *records):
    made = {"date": "2026-11-26", "machine": "Linux x86_64, 2 cores", "commit": commit, "minutes": 21.4}
    return made | {"records": list(records)}


RUN = {
    "profile": "laptop",
    "alpha": 0.01,
    "count": 256,
    "sha256": "0",
    "parts": [
        part(
            "0123456789ab",
            record("agreement", 2),
            record("memorization", 9, N=10),
            record("exchange alone", 11, N=10),
            *(fault("memorization", "copies", level, n, 10) for level, n in ((0.1, 20), (0.05, 5))),
        ),
        part(
            "ba9876543210",
            record("distribution", 3),
            record("morphology", 1),
            record("distribution", 1, tests=25, alternative="nothing changed"),
            record("morphology", 0, tests=25, alternative="nothing changed"),
            *(fault("distribution", "blur", level, n) for level, n in ((0.1, 13), (0.2, 2), (0.3, 13))),
            *(fault("morphology", "blur", level, n) for level, n in ((0.1, 0), (0.2, 4), (0.3, 25))),
            fault("distribution", "size", 0.2, 2),
            fault("morphology", "size", 0.2, 6),
        ),
    ],
}


def lines(table):
    return table.data.replace("\N{NO-BREAK SPACE}", " ").splitlines()


def test_a_fault_is_seen_from_where_all_larger_ones_are_and_by_whom():
    _, _, blur, radii, copies, _, whose = lines(power.effects_table(RUN))
    assert whose.startswith("*Simulated galaxies; committed: simulated, profile laptop, 2026-11-26")
    assert blur == (
        "| a blur | 0.3 pixels | distribution 13 of 25, morphology 25 of 25 | "
        "0.2 pixels: distribution 2 of 25, morphology 4 of 25 |"
    )
    assert radii.startswith("| radii too large | **not seen** |  | 20 %: distribution 2 of 25, morph")
    assert copies.endswith("N = 10 | 10 % | memorization 20 of 25 | 5 %: memorization 5 of 25 |")


def test_what_one_question_misses_is_told_where_another_begins_to_find_it():
    assert power.missed(RUN, "morphology", "distribution") == (
        "a blur (0.1 pixels: distribution 13 of 25, morphology 0 of 25)"
    )
    assert power.missed(RUN, "distribution", "agreement") == "nothing that was tried"


def test_sizes_too_large_for_luck_are_bold_and_the_sum_has_what_luck_gives():
    rows = lines(power.size_table({"simulated": RUN}))
    assert "| memorization | 10 | **9 of 200** |" in rows and "| agreement | any | 2 of 200 |" in rows
    low, high = stats.binom.interval(0.99, 800, 0.01)
    read = power.size_answer({"simulated": RUN})  # of memorization the exchange alone
    assert read.value == 17 and "17 of 800" in read.number
    assert [limit for limit, _ in read.limits[:2]] == [low - 1, high] and read.words.startswith("more")


def test_related_work_says_what_the_study_found_of_the_question_that_is_left_out():
    lost = power.records(measured("power")["simulated"], alternative="spirals without arms", level=1.0)
    found = {r["question"]: f"{r['rejected']} of {r['tests']}" for r in lost}
    said = (ROOT / "book" / "related.md").read_text().replace("\n  ", " ")
    assert f"in {found['PQMass']} tests, the classifier in {found['distribution']}." in said
    assert "PQMass" not in power.size_table(measured("power")).data


def test_a_part_displaces_what_it_asks_anew_and_nothing_else():
    new = RUN | {"parts": [part("new", record("agreement", 1), fault("distribution", "blur", 0.2, 20))]}
    found = joined(RUN, new)
    assert [each["commit"] for each in found["parts"]] == [*(p["commit"] for p in RUN["parts"]), "new"]
    assert power.records(found, question="agreement") == [record("agreement", 1)]
    blur = power.records(found, question="distribution", alternative="blur")
    assert {r["level"]: r["rejected"] for r in blur} == {0.1: 13, 0.2: 20, 0.3: 13}
    assert len(power.records(found)) == len(power.records(RUN))
    assert joined(RUN | {"sha256": "1"}, new) == joined({}, new) == new
    again = joined(found, RUN | {"parts": [part("last", *power.records(found))]})
    assert [each["commit"] for each in again["parts"]] == ["last"]


def test_the_committed_sizes_are_those_of_the_level():
    """No test of a changed question rejects more often than in 8 of 200, and all together as luck has it."""
    runs = measured("power")
    for run in runs.values():
        asked = [r for r in power.records(run, alternative="") if r["question"] != "too close"]
        assert {(r["tests"]) for r in asked} == {200} and max(r["rejected"] for r in asked) <= 8
    bounds = ("memorization", "energy difference", "PQMass", "too close")
    every = [r for run in runs.values() for r in power.records(run, alternative="")]
    counted = [r for r in every if r["question"] not in bounds]
    rejected, total = (sum(r[name] for r in counted) for name in ("rejected", "tests"))
    low, high = stats.binom.interval(0.99, total, ALPHA)
    assert low <= rejected <= high and power.size_answer(runs).value == rejected


def test_the_gaussians_are_asked_where_they_can_change_the_answer_and_the_counts_are_the_same(
    store, monkeypatch
):
    monkeypatch.setenv("GALGEN_STORE", str(store))
    bench = Bench(Parameters(profile="smoke"), tests=8, pool=60, fresh=24)
    N, n = bench.sizes[0], bench.count
    found = {(r["question"], r["level"]): r for r in bench.memorization(N, power=True)}
    assert found["exchange alone", 0.5]["tests"] == 1 and found["memorization", 0.0]["tests"] == 8
    p = []
    for turn in range(8):
        A, B, *unseen = bench.dealt(turn, len(bench.rows), N, N, n, n)
        sets = Split(bench.rows[A], bench.rows[B], bench.rows[:0])
        models = [margins(bench.unit(each), bench.images, sets, mean=bench.mean) for each in unseen]
        gaussians = gaussian_margins(bench.images, sets, n, mean=bench.mean)
        whole = memorization_test(models, gaussians, permutations=999, seed=turn)
        assert whole.outcome.p >= exchange_test(*models, permutations=999, seed=turn).margin.p
        p.append(whole.outcome.p)
    assert found["memorization", 0.0]["rejected"] == sum(np.array(p) < ALPHA)


@pytest.fixture(scope="module")
def plain():
    """Galaxies, and their truth, of which nothing is changed."""
    return simulate_flux(24, start=5000)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_simulator_changes_that_and_nothing_else(name, plain):
    flux, truth = plain
    wrong, altered = simulate_flux(24, start=5000, alter=lambda table: CHANGES[name](table, 0.2))
    changed = {column for column in truth.colnames if (truth[column] != altered[column]).any()}
    wanted = {
        "size": {"half_light_radius", "disc_scale", "bulge_radius"},
        "ellipticity": {"axis_ratio", "inclination"},
        "spirals without arms": {"arms", "pitch"},
        "sky noise": {"depth_r"},
    }
    assert changed == wanted[name] and (flux != wrong).any()


@pytest.mark.slow
def test_make_power_writes_what_the_book_reads(tmp_path):
    command = [sys.executable, "benchmarks/power.py", "--profile", "smoke", "--tests", "8"]
    command += ["--pool", "120", "--fresh", "30", "--out", str(tmp_path / "power.json")]
    environment = {"GALGEN_STORE": str(tmp_path / "store"), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    runs = measured("power", tmp_path)
    assert json.dumps(runs) and power.size_table(runs).data
    assert len(power.effects_table(runs["simulated"]).data.splitlines()) > 8
    plt.close(power.power_figure(runs["simulated"]))
