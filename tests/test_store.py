import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from galgen.runs.errors import GalgenError
from galgen.runs.store import Store


def write(work):
    (work / "result.txt").write_text("done")
    return {"answer": 42}


def test_work_is_done_once(tmp_path):
    store, calls = Store(tmp_path), []

    def make(work):
        calls.append(work)
        return write(work)

    first = store.run("thing", {"a": 1}, make)
    again = Store(tmp_path).run("thing", {"a": 1}, make)
    assert len(calls) == 1
    assert again.path == first.path
    assert again.summary == {"answer": 42}
    assert (again.path / "result.txt").read_text() == "done"
    assert {"commit", "seconds", "versions", "machine", "created"} <= set(again.record)


def test_the_key_depends_on_everything_that_matters(tmp_path):
    store = Store(tmp_path)
    keys = {
        store.key("thing", {"a": 1}),
        store.key("other", {"a": 1}),
        store.key("thing", {"a": 2}),
        store.key("thing", {"a": 1}, data="x"),
        store.key("thing", {"a": 1}, code=[json]),
    }
    assert len(keys) == 5
    assert store.key("thing", {"a": 1, "b": 2}) == store.key("thing", {"b": 2, "a": 1})


def test_a_failed_run_is_no_entry_and_finds_its_work_again(tmp_path):
    store = Store(tmp_path)

    def fail(work):
        (work / "checkpoint").write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        store.run("thing", {}, fail)
    assert store.find("thing", {}) is None
    assert store.runs() == []
    run = store.run("thing", {}, lambda work: {"found": (work / "checkpoint").read_text()})
    assert run.summary == {"found": "half"}


def slow(root):
    def make(work):
        with open(work.parent / "calls", "a") as file:
            file.write("x")
        time.sleep(0.3)
        return write(work)

    Store(root).run("thing", {"a": 1}, make)


def test_of_two_processes_one_works(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=slow, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "thing" / "calls").read_text() == "x"


def test_a_killed_process_leaves_no_lock(tmp_path):
    code = (
        "import sys, time; from galgen.runs.store import Store\n"
        "def make(work):\n    (work / 'begun').touch(); time.sleep(60)\n"
        "Store(sys.argv[1]).run('thing', {}, make)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    while not list(tmp_path.glob("thing/*.partial/begun")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert Store(tmp_path).run("thing", {}, write).summary == {"answer": 42}


def test_runs_are_listed_shown_and_removed(tmp_path):
    store = Store(tmp_path)
    runs = [store.run("thing", {"a": a}, write) for a in range(3)]
    assert [run.key for run in store.runs()] == [run.key for run in runs]
    assert store.get(runs[1].key[:10]).path == runs[1].path
    store.remove(runs[1].key)
    assert len(store.runs("thing")) == 2
    for wrong in ("", "zz", runs[1].key):
        with pytest.raises(GalgenError, match="0 runs"):
            store.get(wrong)


def test_the_folder_comes_from_the_environment_or_the_project(tmp_path, monkeypatch):
    monkeypatch.delenv("GALGEN_STORE", raising=False)
    (tmp_path / "data_manifest.yaml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert Store().root == tmp_path / "store"
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "elsewhere"))
    assert Store().root == tmp_path / "elsewhere"
