"""The benchmarks run in small versions on the CPU; their numbers are meaningless."""

import contextlib
import importlib
import io
import os
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from galbook.onset import configurations as clocks
from galgen import profiles
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
    asked = "onset", "--trial", "--data", tmp_path / "noise.npy", "--out", tmp_path / "out", "--only", "16x8"
    assert len(run(*asked, GALGEN_STORE=str(tmp_path / "store")).splitlines()) == 2
    kept = clocks.committed(tmp_path / "out")["noise"]
    assert [clocks.key_of(one)[:3] for one in kept] == [(16, 8, 21), (16, 8, 22)]
    assert "dB" not in run(*asked, GALGEN_STORE=str(tmp_path / "store"))
    assert kept[0].configuration.load == kept[1].configuration.load
    traces = [trace for one in kept for trace in one.configuration.traces]
    assert [trace.own_errors.shape for trace in traces] == [(5, len(trace.shown)) for trace in traces]
    longer = replace(kept[0], images=kept[0].images + 8)  # as of weights that are gone
    clocks.write(tmp_path / "out" / "noise.json", [longer, *kept[1:]])
    assert "dB" in run(*asked, GALGEN_STORE=str(tmp_path / "store"))
    both = clocks.committed(tmp_path / "out")["noise"]
    assert [clocks.key_of(one) for one in both[:2]] == [clocks.key_of(one) for one in (longer, *kept[1:])]
    assert clocks.key_of(both[2]) == clocks.key_of(kept[0]), "beside what is written, never in its place"
