"""The benchmarks run in small versions on the CPU; their numbers are meaningless."""

import importlib
import sys
from pathlib import Path

from galgen import profiles
from galgen.runs.errors import exit_code

ROOT = Path(__file__).parents[1]


def test_a_trial_writes_into_no_committed_results(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.setattr(profiles, "PROFILES", dict(profiles.PROFILES))
    monkeypatch.setattr(sys, "argv", ["power", "--profile", "smoke"])
    assert exit_code(lambda: importlib.import_module("power").main() or 0) == 2
    assert "does not write results/" in capsys.readouterr().err
