import json
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from galgen.data.simulate.images import simulate_flux
from galgen.figures import power
from galgen.figures.results import measured

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))
from power import CHANGES  # noqa: E402


def record(question, rejected, *, tests=200, alternative="", level=0.0, N=None):
    found = {"question": question, "N": N, "alternative": alternative, "level": level}
    return found | {"tests": tests, "rejected": rejected}


RUN = {
    "profile": "laptop",
    "alpha": 0.01,
    "count": 256,
    "made": [
        {
            "questions": ["agreement", "memorization"],
            "date": "2026-11-26",
            "commit": "0123456789ab",
            "machine": "Linux, 2 cores",
            "minutes": 21.4,
        }
    ],
    "records": [
        record("agreement", 2),
        record("memorization", 9, N=10),
        record("memorization", 20, tests=25, alternative="copies", level=0.1, N=10),
        record("memorization", 5, tests=25, alternative="copies", level=0.05, N=10),
        record("distribution", 3),
        record("distribution", 1, tests=25),
        record("distribution", 2, tests=25, alternative="size", level=0.2),
    ],
}


def test_the_answer_states_size_and_the_smallest_fault_found():
    said = power.power_answer({"simulated": RUN})
    assert "14 of 600 tests reject at p < 0.01 (2.3%)" in said.replace("\N{NO-BREAK SPACE}", " ")
    assert "*memorization*: 10% of copies at N = 10. *distribution*: none up to 20% in size." in said


def test_a_size_too_large_for_luck_is_bold_and_the_note_says_whose_numbers_these_are():
    rows = power.size_table({"simulated": RUN}).data
    assert "**9 of 200**" in rows and "| 2 of 200 |" in rows and "| 3 of 200 |" in rows
    assert "commit 01234567" in power.power_note({"simulated": RUN})


def test_curves_begin_at_no_fault_and_share_a_panel_by_question():
    figure = power.power_figure(RUN)
    copies = figure.axes[1].lines[0]
    np.testing.assert_allclose(copies.get_xdata(), [0, 5, 10])
    np.testing.assert_allclose(copies.get_ydata(), [9 / 200, 0.2, 0.8])
    np.testing.assert_allclose(figure.axes[2].lines[0].get_ydata(), [1 / 25, 2 / 25])
    plt.close(figure)


def test_without_a_committed_file_there_is_nothing(tmp_path):
    assert measured("power", tmp_path) == {}
    assert "make power" in power.power_answer({})


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_simulator_changes_that_and_nothing_else(name):
    (plain, truth), (wrong, altered) = (
        simulate_flux(24, start=5000, alter=alter)
        for alter in (None, lambda table: CHANGES[name](table, 0.2))
    )
    changed = {column for column in truth.colnames if (truth[column] != altered[column]).any()}
    wanted = {
        "size": {"half_light_radius", "disc_scale", "bulge_radius"},
        "ellipticity": {"axis_ratio", "inclination"},
        "spirals without arms": {"arms", "pitch"},
        "sky noise": {"depth_r"},
    }
    assert changed == wanted[name] and (plain != wrong).any()
    if name == "sky noise":
        faint = np.argsort(plain.mean((1, 2, 3)))[:8]
        corner = (slice(None), slice(None), slice(0, 12), slice(0, 12))
        assert np.std(wrong[faint][corner]) == pytest.approx(1.2 * np.std(plain[faint][corner]), rel=0.1)


@pytest.mark.slow
def test_make_power_writes_what_the_book_reads(tmp_path):
    command = [sys.executable, "benchmarks/power.py", "--profile", "smoke", "--tests", "8"]
    command += ["--pool", "120", "--fresh", "30", "--out", str(tmp_path / "power.json")]
    subprocess.run(
        command, cwd=ROOT, env={"GALGEN_STORE": str(tmp_path / "store"), "PYTHONPATH": str(ROOT)}, check=True
    )
    runs = measured("power", tmp_path)
    assert json.dumps(runs) and power.size_table(runs).data and power.power_answer(runs)
    plt.close(power.power_figure(runs["simulated"]))
