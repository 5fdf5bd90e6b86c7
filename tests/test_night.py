"""A night's pairs are asked what chapter 10 asks, those that are missing are named, and both are shown."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from galgen.compare.scoreboard import QUESTIONS
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.config import Parameters
from galgen.experiment import Experiment
from galgen.figures import night
from galgen.figures.results import measured, strip
from galgen.figures.scoreboard import from_kept
from galgen.runs.files import write_json
from galgen.runs.store import Store

ROOT = Path(__file__).parents[1]


def asked(store, folder):
    command = [sys.executable, "benchmarks/night.py", "--profile", "smoke", "--N", "12", "20"]
    environment = os.environ | {"GALGEN_STORE": str(store), "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, "--out", folder / "night.json"], cwd=ROOT, env=environment, check=True)


@pytest.fixture(scope="module")
def found(trained, tmp_path_factory):
    folder, root = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("store")
    store = Store(shutil.copytree(trained.root, root, dirs_exist_ok=True))
    parameters = Parameters(profile="smoke", N=[12, 20])
    flows = Experiment(parameters, store, family="glow")
    flows.ensure(flows.design().values())
    asked(root, folder)
    assert measured("night", folder / "elsewhere") == {}
    (run,) = measured("night", folder).values()
    assert night.committed(run["sha256"], 0, folder) == run
    assert night.committed(run["sha256"], 1, folder) is night.committed("other", 0, folder) is None
    return run


def test_the_pairs_that_there_are_were_asked_and_the_others_are_named(found):
    board = from_kept(found["scores"], "family")
    assert {n for _, n in board} == {12} and len(board) == 4
    others = {f"{name}, other galaxies" for name in ("diffusion", "conditional diffusion", "Glow")}
    others |= {"diffusion, 2 × 2", "conditional diffusion, 2 × 2"}
    missing = [one["pair"] for one in found["missing"]]
    assert set(missing) == others | {pair["pair"] for pair in found["pairs"]} and len(missing) == 9
    for answers in board.values():
        assert set(answers) >= set(QUESTIONS) - {"morphology"}
    assert all(len(pair["minutes"]) == 2 and len(pair["keys"]) == 2 for pair in found["pairs"])


def test_what_was_answered_outlives_the_store_as_long_as_it_is_of_the_same_recipe(found, tmp_path):
    lost, *others = found["pairs"]
    another = found | {"pairs": [lost | {"recipes": ["0", "1"]}, *others]}
    write_json(tmp_path / "night.json", {"simulated": another})
    asked(tmp_path / "empty", tmp_path)
    (again,) = measured("night", tmp_path).values()
    assert again["pairs"] == others and len(again["missing"]) == len(found["missing"]) + 1
    assert again["against"] == found["against"]
    assert again["scores"] == [score for score in found["scores"] if score["pair"] != lost["pair"]]


def test_what_it_took_stands_beside_what_the_run_found(found):
    here = {("Glow", 12): Estimate(0.61, 0.52, 0.7, 64)}
    said = night.trained_table(found, here).data.replace("\N{NO-BREAK SPACE}", " ")
    (line,) = [row for row in said.splitlines() if row.startswith("| Glow | 12 |")]
    assert "0.61 [0.52, 0.70]" in line and "Not trained yet:" in said and "Glow, N = 20" in said
    assert "profile smoke" in night.note(found) and found["pairs"][0]["commit"][:8] in night.note(found)


def test_what_others_share_with_model_A_stands_where_the_run_has_none(found):
    (flows,) = found["against"]
    said = night.design_table(found, "Glow").data
    assert said.startswith("By night. Median anomaly cosine with model A at N = 12:")
    for each in flows["cosines"]:
        assert str(Estimate(**each["cosine"])) in said
    assert said.endswith(f"committed: profile smoke · {flows['date']}, commit {flows['commit'][:8]}*")
    control = {"init": "other", "images": "other", "cosine": vars(Estimate(0.4, 0.3, 0.5, 16))}
    elsewhere = flows | {"pair": "GAN", "N": 20, "commit": "12345678", "cosines": [control]}
    said = night.design_table(found | {"against": [flows, elsewhere]}, "GAN").data
    assert "By night, model A of N = 20 and one of other galaxies agree at 0.40 [0.30, 0.50].\n" in said
    assert "12345678" in said and flows["commit"][:8] not in said
    for nothing in (None, found):
        assert "nothing" in night.design_table(nothing, "GAN").data


def test_what_a_night_changes_is_said_of_the_pairs_that_both_have(found):
    night_board = from_kept(found["scores"], "family")
    here = {("Glow", 12): {"distribution": Outcome(0.99, 0.4, 0.6, 0.01)}}
    value = night_board["Glow", 12]["distribution"].value
    line = f"- *Glow*, N = 12: AUC 0.99 → {value:.2f}"
    assert night.changes(here, night_board) == f"This run → a night:\n\n{line}"
    assert night.changes({}, night_board).startswith("This run has none")


def test_samples_of_the_largest_size_stand_below_those_of_the_run(found):
    assert night.beside(found, {("Glow", 20): None}) is None  # of N = 12 no samples are kept
    strips = strip(np.full((8, 1, 16, 16), 128, np.uint8))
    some = found | {"pairs": [found["pairs"][0] | {"samples": [strips, strips]}]}
    key = some["pairs"][0]["pair"], 12
    figure = night.beside(some, {key: [np.zeros((8, 1, 16, 16))] * 2})
    texts = [text.get_text() for axis in figure.axes for text in axis.texts] + [
        axis.get_ylabel() for axis in figure.axes
    ]
    assert any(f"{key[0]}, A: this run" in text for text in texts)
    plt.close(figure)
