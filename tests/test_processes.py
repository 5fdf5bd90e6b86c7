"""Work spread over processes: from where it can be asked for, and what is left when something is ended."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from galgen.runs.errors import GalgenError
from galgen.runs.processes import spread

SCRIPT = "from galgen.runs.processes import spread\nprint(sorted(spread(abs, [-1, -2, -3], 2)))\n"
CALLS = {
    "a script": (["script.py"], ""),
    "standard input": (["-"], SCRIPT),
    "a prompt": (["-i"], SCRIPT),
    "a command": (["-c", SCRIPT], ""),
    "a module": (["-m", "script"], ""),
    "a folder": (["."], ""),
}


@pytest.mark.parametrize(("options", "typed"), CALLS.values(), ids=CALLS)
def test_work_is_spread_from_wherever_it_is_asked_for(tmp_path, options, typed):
    for name in ("script.py", "__main__.py"):
        (tmp_path / name).write_text(SCRIPT)  # which has no guard: whoever imports it, starts processes
    command = [sys.executable, *options]
    done = subprocess.run(command, input=typed, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[(0, 1), (1, 2), (2, 3)]\n" and "Traceback" not in done.stderr


DRAWS = "from galgen.data.simulate.images import simulate; simulate(100_000, workers=2)"
MEASURES = (
    "import numpy as np; from galgen.compare.morphology import measure\n"
    "x = np.hypot(*np.mgrid[-32:32, -32:32])\n"
    "noise = np.random.default_rng(0).normal(0, 0.01, (999, 1, 64, 64))\n"
    "measure(np.exp(-x / 5) + noise, workers=2, progress=False)"
)


def working(parent):
    """The two workers of a process, past their imports."""
    for _ in range(3000):
        assert parent.poll() is None
        found = [p for p in parent.children() if "spawn_main" in " ".join(p.cmdline())]
        if len(found) == 2 and all(worker.cpu_times().user > 4 for worker in found):
            return found
        time.sleep(0.1)
    raise TimeoutError


@pytest.mark.parametrize("ended", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("work", [DRAWS, MEASURES], ids=["draw", "measure"])
def test_workers_end_with_their_parent_however_that_ends(work, ended):
    parent = psutil.Popen([sys.executable, "-c", work], stderr=subprocess.DEVNULL)
    workers = working(parent)
    parent.send_signal(ended)
    _, alive = psutil.wait_procs([parent, *workers], timeout=20)
    for process in alive:
        process.kill()
    assert not alive


def test_a_worker_that_the_system_ends_is_told_in_one_line(tmp_path):
    command = [sys.executable, "-m", "galgen", "data", "simulate", "--count", "100000", "--workers", "2"]
    parent = psutil.Popen([*command, "--out", str(tmp_path / "set")], stderr=subprocess.PIPE, text=True)
    working(parent)[0].kill()
    said = parent.communicate(timeout=300)[1]
    assert parent.returncode == 2 and not list(tmp_path.iterdir())
    assert "Traceback" not in said and said.count("galgen: error: the system ended one of 2 processes") == 1


def test_after_that_work_is_done_again():
    with pytest.raises(GalgenError, match="for want of memory"):
        list(spread(os._exit, [1, 1], 2))
    assert dict(spread(abs, [-1, -2], 2)) == {0: 1, 1: 2}


@pytest.fixture(scope="module")
def made():
    """What cases of a file share."""


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="all tests run on one core")
def test_cases_that_share_what_one_of_them_made_go_to_one_core(made, request):
    assert request.node.nodeid.endswith("@test_processes")
