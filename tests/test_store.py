import json
import os
import pickle
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from galgen.cli import main
from galgen.models.unet import UNet
from galgen.runs import checkpoint
from galgen.runs import store as store_module
from galgen.runs.errors import Damaged, FullDisk, GalgenError
from galgen.runs.files import atomic_path, read_json, write_json
from galgen.runs.store import Store, _lock


def write(work):
    (work / "result.txt").write_text("done")
    return {"answer": 42}


def test_work_is_done_once(tmp_path):
    first = Store(tmp_path).run("thing", {"a": 1}, write)
    again = Store(tmp_path).run("thing", {"a": 1}, Path.unlink)  # which would fail
    assert again.path == first.path and again.summary == {"answer": 42}
    assert (again.path / "result.txt").read_text() == "done"
    assert {"commit", "seconds", "versions", "machine", "created"} <= set(again.record)


def test_the_key_depends_on_everything_that_matters(tmp_path):
    store = Store(tmp_path)
    keys = {store.key(kind, {"a": a}) for kind, a in (("thing", 1), ("other", 1), ("thing", 2))}
    keys |= {store.key("thing", {"a": 1}, **more) for more in ({"data": "x"}, {"code": ["galgen.runs.code"]})}
    assert len(keys) == 5
    assert store.key("thing", {"a": 1, "b": 2}) == store.key("thing", {"b": 2, "a": 1})


def slow(root):
    def make(work):
        with open(work.parent / "calls", "a") as file:
            file.write("x")
        time.sleep(0.3)
        return write(work)

    Store(root).run("thing", {"a": 1}, make)


def test_of_two_processes_one_works(tmp_path, forks):
    processes = [forks.Process(target=slow, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "thing" / "calls").read_text() == "x"


def endless(root, begun):
    Store(root).run("thing", {}, lambda work: begun.set() or time.sleep(60))


def test_a_killed_process_leaves_no_lock(tmp_path, forks):
    begun = forks.Event()
    process = forks.Process(target=endless, args=(tmp_path, begun))
    process.start()
    assert begun.wait(60)
    process.kill()
    process.join()
    assert Store(tmp_path).run("thing", {}, write).summary == {"answer": 42}


def test_runs_are_listed_shown_and_removed(tmp_path):
    store = Store(tmp_path)
    runs = [store.run("thing", {"a": a}, write) for a in range(3)]
    assert [run.key for run in store.runs()] == [run.key for run in runs]
    assert store.get(runs[1].key[:10]).path == runs[1].path
    assert main(["runs", "rm", runs[1].key, runs[1].key[:10], "--store", str(tmp_path)]) == 0  # one twice
    assert len(store.runs("thing")) == 2
    assert store.runs("/etc/thing") == store.runs("*") == []  # a name, and no pattern
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


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def write_two(work):
    (work / "dataset").mkdir(exist_ok=True)
    (work / "dataset" / "images").write_bytes(bytes(1000))
    (work / ".tmp-left").touch()  # of a killed process
    return write(work)


DAMAGE = {  # one of a kind
    "a flipped bit": ("dataset/images", flip),
    "missing": ("result.txt", Path.unlink),
    "record of garbage": ("record.json", lambda path: path.write_bytes(b"\xff\xfe[1]")),
}


@pytest.mark.parametrize(("name", "spoil"), DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_set_aside_and_made_again_with_a_message(tmp_path, capsys, name, spoil):
    store = Store(tmp_path)
    first = store.run("thing", {}, write_two)
    whole = (tmp_path / "thing" / first.key / "dataset" / "images").read_bytes()
    spoil(first.path / name)
    store_module._VERIFIED.clear()  # as in a new process
    assert store.find("thing", {}) is None
    again = store.run("thing", {}, write_two)
    assert (again.path / "dataset" / "images").read_bytes() == whole
    assert (again.path / "result.txt").read_text() == "done" and again.summary == {"answer": 42}
    said = capsys.readouterr().err
    assert name in said and "moved to" in said and said.count("\n") == 1
    assert first.path.with_suffix(".damaged").is_dir()
    store_module._VERIFIED.clear()  # as in a new process
    assert store.find("thing", {}).record == again.record


@pytest.mark.parametrize("kind", ["dataset", "diffusion"])
def test_an_entry_with_the_key_of_another_is_refused_by_name_and_made_anew(tmp_path, capsys, kind):
    store, params = Store(tmp_path), [{"of": "A"}, {"of": "B"}]
    runs = [store.run(kind, each, lambda work, each=each: write(work) | each) for each in params]
    runs[0].path.rename(tmp_path / "A")
    runs[1].path.rename(runs[0].path)
    (tmp_path / "A").rename(runs[1].path)
    for run in runs:
        write_json(run.path / "record.json", read_json(run.path / "record.json") | {"key": run.key})
    store_module._VERIFIED.clear()  # as in a new process
    assert store.find(kind, params[0]) is None and store.runs() == []
    capsys.readouterr()
    for each, run in zip(params, runs, strict=True):
        assert store.run(kind, each, lambda work, each=each: write(work) | each).summary == run.summary
        said = capsys.readouterr().err
        assert str(run.path) in said and "the key does not match kind, params" in said
        assert "moved to" in said and said.count("\n") == 1


def test_parameters_of_any_json_are_those_that_were_asked_for(tmp_path):
    params = {"a": (1, 2.5e-7), "é": [None, True, {"b": 1e300}], "": -0.0}
    run = Store(tmp_path).run("thing", params, write)
    store_module._VERIFIED.clear()  # as in a new process
    assert Store(tmp_path).find("thing", params).record == json.loads(json.dumps(run.record))


@pytest.mark.parametrize("command", [["runs", "list"], ["plan"], ["train", "x"], ["models", "export"]])
@pytest.mark.parametrize("make", [Path.touch, os.mkfifo], ids=["a file", "a pipe"])
def test_what_is_no_folder_is_no_store_whoever_asks(tmp_path, monkeypatch, capsys, make, command):
    make(tmp_path / "store")
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    assert main(command) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'store'} is not a folder" in said and said.count("\n") == 1


def test_runs_without_a_whole_record_are_named_and_can_be_removed(tmp_path, capsys):
    store = Store(tmp_path)
    whole, broken = (store.run("thing", {"a": a}, write) for a in range(2))
    (broken.path / "record.json").write_text('{"key": 3}')
    assert main(["runs", "list", "--store", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert whole.key in said.out and broken.key not in said.out
    assert f"`galgen runs rm {broken.key}`" in said.err and said.err.count("\n") == 1
    assert main(["runs", "rm", broken.key, "--store", str(tmp_path)]) == 0
    assert not broken.path.exists() and whole.path.exists()


def test_any_entry_is_removed_with_all_there_is_of_it(tmp_path, capsys):
    store = Store(tmp_path)
    run = store.run("thing", {}, write)
    for suffix in (".partial", ".damaged"):
        run.path.with_suffix(suffix).mkdir()
    with _lock(run.path), pytest.raises(GalgenError, match="being made by another process"):
        store.remove(run.key)
    assert main(["runs", "rm", run.key[:6], "--store", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("removed /") == 3
    assert not [path for path in (tmp_path / "thing").iterdir() if path.is_dir()]
    assert main(["runs", "rm", run.key[:6], "--store", str(tmp_path)]) == 2


def test_damaged_leftovers_are_set_aside_and_the_work_begins_anew(tmp_path, capsys):
    store, found = Store(tmp_path), []

    def make(work):
        found.append([path.name for path in work.iterdir()])
        if (work / "checkpoint").exists():
            raise Damaged("the checkpoint is of cheese")
        (work / "checkpoint").touch()
        if len(found) == 1:
            raise KeyboardInterrupt
        return write(work)

    with pytest.raises(KeyboardInterrupt):
        store.run("thing", {}, make)
    assert store.run("thing", {}, make).summary == {"answer": 42}
    assert found == [[], ["checkpoint"], []]
    assert "cheese; moved to" in capsys.readouterr().err


FULL = [  # as the system, numpy and safetensors say it
    OSError(122, "Disk quota exceeded"),
    OSError("1000000 requested and 131056 written"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("error", FULL)
def test_a_full_disk_is_told_and_what_was_done_is_gone_on_with(tmp_path, error):
    store = Store(tmp_path)

    def full(work):
        (work / "checkpoint").write_bytes(bytes(2**20))
        raise error

    with pytest.raises(GalgenError, match=r"disk is full: .*needs about 7\.5 MB, has 1\.0 MB.* it resumes"):
        store.run("thing", {}, full, megabytes=lambda: 7.5)
    with pytest.raises(OSError, match="Is a directory"):  # another error is not taken for it
        store.run("thing", {}, lambda work: work.read_bytes())
    assert store.find("thing", {}) is None and store.runs() == [], "what failed is no entry"
    assert store.run("thing", {}, lambda work: {"found": (work / "checkpoint").stat().st_size}).summary


@pytest.mark.parametrize("error", [*FULL, OSError(28, "No space left on device")])
def test_a_full_disk_under_any_file_names_the_folder_and_the_room(tmp_path, error):
    with pytest.raises(
        FullDisk, match=rf"^the disk is full: {tmp_path}, and [0-9.]+ MB are free\. Free some space"
    ):
        with atomic_path(tmp_path / "x.json"):
            raise error
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="Is a directory"), atomic_path(tmp_path / "x.json"):
        tmp_path.read_bytes()


def test_checkpoint_round_trip_is_exact(tmp_path):
    net = UNet(2, 1).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
    net(torch.rand(2, 1, 8, 8)).sum().backward()
    adam.step()
    types = [torch.tensor([float("nan"), -0.0, 1e-45]), torch.tensor([1, 2], dtype=torch.uint8)]
    types += [torch.tensor([1.0, 3.14]).bfloat16(), torch.empty(0, 2), torch.rand(4, 6)[:, ::2]]
    types.append(torch.tensor(True))
    state = {"net": net.state_dict(), "adam": adam.state_dict(), "types": types}
    state["json"] = {"a": [1, 2.5, None, True, "é"], 3: (0.1 + 0.2, {}), "": []}
    checkpoint.save(tmp_path / "c.pt", state)
    back = checkpoint.load(tmp_path / "c.pt")

    def check(a, b):
        assert type(a) is type(b) or isinstance(a, dict)
        if isinstance(a, torch.Tensor):
            assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
            raw = [t.contiguous().flatten().view(torch.uint8) for t in (a, b)]
            assert torch.equal(*raw)
        elif isinstance(a, dict):
            check(list(a.items()), list(b.items()))
        elif isinstance(a, list | tuple):
            for x, y in zip(a, b, strict=True):
                check(x, y)
        else:
            assert a == b

    check(state, back)
    other = torch.optim.Adam(net.parameters(), lr=0.5, fused=True)
    other.load_state_dict(back["adam"])
    check(adam.state_dict(), other.state_dict())


def test_damaged_or_foreign_files_are_refused(tmp_path):
    path = tmp_path / "c.pt"
    with pytest.raises(GalgenError, match=r"c.pt cannot be read .*remove it to start anew"):
        checkpoint.load(path)
    checkpoint.save(path, {"x": torch.rand(1000)})
    whole = path.read_bytes()
    save_file({"x": torch.rand(3)}, tmp_path / "other")
    for damaged in (whole[: len(whole) // 2], pickle.dumps({"x": 1}), (tmp_path / "other").read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(GalgenError, match="cannot be read"):
            checkpoint.load(path)


def test_write_that_breaks_off_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    checkpoint.save(path, {"x": torch.arange(5)})

    def full(path, content):
        open(path, "wb").write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FullDisk, match=f"full: {tmp_path}, and .* MB are free"):
        checkpoint.save(path, {"x": torch.zeros(5)})
    assert torch.equal(checkpoint.load(path)["x"], torch.arange(5))
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]
