"""The benchmarks run in small versions on the CPU; their numbers are meaningless."""

import contextlib
import importlib
import io
import os
import sys
from pathlib import Path
from unittest import mock

import pytest

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


@pytest.mark.parametrize("asked", ["power --profile smoke"])
def test_a_trial_writes_into_no_committed_results(asked):
    assert "does not write results/" in run(*asked.split(), code=2)
