"""The benchmarks run in small versions on the CPU; their numbers are meaningless."""

import contextlib
import importlib
import io
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from galbook.onset import configurations as clocks
from galgen import profiles
from galgen.experiment import find_training
from galgen.models.families import FAMILIES
from galgen.profiles import Parameters
from galgen.runs.errors import exit_code

ROOT = Path(__file__).parents[1]


def run(name, *options, code=0, **variables):
    """What a benchmark says, in this process, which has the profiles and the environment that it had."""
    out, error = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, variables),
        mock.patch.dict(profiles.PROFILES),
        mock.patch.object(sys, "argv", [name, *map(str, options)]),
        mock.patch.object(sys, "path", [str(ROOT / "benchmarks"), *sys.path]),
        mock.patch.object(os, "cpu_count", lambda: 1),  # processes of its own cost more than they do here
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        sys.modules.pop(name, None)  # it makes its profiles as it is imported
        found = exit_code(lambda: importlib.import_module(name).main() or 0)
    assert found == code, error.getvalue()
    return out.getvalue() or error.getvalue()


@pytest.mark.parametrize("asked", ["onset --trial", "power --profile smoke"])
def test_a_trial_writes_into_no_committed_results(asked):
    assert "does not write results/" in run(*asked.split(), code=2)


def test_cells_of_the_clock_are_kept_one_by_one_and_not_made_again(tmp_path):
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 256, (150, 32, 32), np.uint8))
    asked = "onset", "--trial", "--data", tmp_path / "noise.npy", "--out", tmp_path / "out", "--only", "32x8"
    assert len(run(*asked, GALGEN_STORE=str(tmp_path / "store")).splitlines()) == 2
    kept = clocks.committed(tmp_path / "out")["noise"]
    assert [clocks.key_of(one)[:3] for one in kept] == [(32, 8, 4), (32, 8, 5)]
    assert "dB" not in run(*asked, GALGEN_STORE=str(tmp_path / "store"))
    (cell,) = clocks.merged(kept)
    assert len(cell.gaps) == 4 and cell.load == kept[0].configuration.load
    assert all(trace.own_errors.shape == (5, len(trace.shown)) for trace in cell.traces)
    longer = replace(kept[0], images=kept[0].images + 8)  # as of weights that are gone
    clocks.write(tmp_path / "out" / "noise.json", [longer, *kept[1:]])
    assert "dB" in run(*asked, GALGEN_STORE=str(tmp_path / "store"))
    both = clocks.committed(tmp_path / "out")["noise"]
    assert [clocks.key_of(one) for one in both[:2]] == [clocks.key_of(one) for one in (longer, *kept[1:])]
    assert clocks.key_of(both[2]) == clocks.key_of(kept[0]), "beside what is written, never in its place"


def test_kills_meet_trainings_that_there_are_and_that_save_checkpoints(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    kills = importlib.import_module("kills")
    asked = Parameters(profile="smoke", N=(8, 24))
    monkeypatch.setitem(profiles.PROFILES, "smoke", kills.longer(profiles.PROFILES["smoke"]))
    for name in FAMILIES:
        experiment, training = find_training(kills.TRAINING.format(name), asked)
        steps = experiment.settings.images_shown(training.N) / experiment.settings.batch_size
        assert steps >= 10 * experiment.profile.report_every and experiment.profile.save_every == 0


def test_the_pages_of_the_book_that_is_killed_refer_to_no_other(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    kills = importlib.import_module("kills")
    for page in kills.PAGES:
        name = page["file"]
        path = f"notebooks/{Path(name).name}.ipynb" if "/" in name else f"book/{name}.md"
        source = (ROOT / path).read_text()
        assert not re.search(r"\{(doc|ref|numref|term)\}`", kills.alone(source)), page


def test_two_books_are_compared_by_content(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    same = importlib.import_module("same")
    for name, weights in (("one", b"a"), ("other", b"a"), ("third", b"b")):
        folder = tmp_path / name / "store" / "diffusion" / "0123"
        folder.mkdir(parents=True)
        (folder / "weights-8.safetensors").write_bytes(weights)
        (folder / "record.json").write_text(name)  # holds times
    one, other, third = (same.of(tmp_path / name) for name in ("one", "other", "third"))
    assert len(one) == 1 and same.compared(one, other) == {"lost": [], "different": []}
    assert same.compared(one, third)["different"] == ["diffusion/0123/weights-8.safetensors"]
    assert same.compared(one, {})["lost"] == list(one)
