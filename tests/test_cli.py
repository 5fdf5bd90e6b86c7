import json

import numpy as np
import pytest

from galgen.cli import main
from galgen.data.dataset import Dataset


@pytest.fixture
def stamps(tmp_path):
    path = tmp_path / "stamps.npz"
    images = np.random.default_rng(0).integers(256, size=(40, 16, 16), dtype=np.uint8)
    np.savez(path, images=images, ids=[f"g{i}" for i in range(40)])
    return path


def test_import_info_and_verify(tmp_path, stamps, capsys):
    out = tmp_path / "set"
    assert main(["data", "import", str(stamps), "--size", "16", "--out", str(out)]) == 0
    assert main(["data", "info", str(out)]) == 0
    assert "40 images of 16 x 16 pixels" in capsys.readouterr().out
    assert main(["data", "verify", str(out)]) == 0
    (out / "images.npy").write_bytes(b"x")
    assert main(["data", "verify", str(out)]) == 2
    assert "images.npy" in capsys.readouterr().err


def test_near_duplicates_are_removed_on_request(tmp_path, stamps):
    images = np.load(stamps)["images"]
    twice = np.concatenate([images, np.clip(images[:3, ::-1].astype(int) + 1, 0, 255).astype(np.uint8)])
    np.save(tmp_path / "twice.npy", twice)
    command = ["data", "import", str(tmp_path / "twice.npy"), "--size", "16"]
    assert main([*command, "--out", str(tmp_path / "all")]) == 0
    assert main([*command, "--distinct", "0.95", "--out", str(tmp_path / "some")]) == 0
    assert len(Dataset.open(tmp_path / "all")) == 43
    some = Dataset.open(tmp_path / "some")
    assert np.array_equal(some.images[:, 0], images)
    assert some.meta["dropped"] == {"near-duplicate": 3}
    some.verify()


def test_simulate_makes_a_data_set(tmp_path, capsys):
    out = str(tmp_path / "set")
    assert main(["data", "simulate", "--count", "3", "--size", "16", "--out", out]) == 0
    assert "3 images of 16 x 16" in capsys.readouterr().out
    assert main(["data", "simulate", "--count", "3", "--size", "16", "--out", out]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["data", "info", "nothing"], "galgen data import"),
        (["data", "import", "nothing", "--out", "x"], "nothing"),
        (["data", "fetch", "nothing.csv", "--out", "x"], "nothing.csv"),
        (["data", "fetch", "nothing.csv", "--out", "x", "--source", "hubble"], "hubble"),
        (["plan", "--profile", "lap"], "smoke, laptop, paper"),
        (["plan", "--profile", "smoke", "--N", "30", "10"], "growing list"),
        (["plan", "--profile", "smoke", "--seed", "-1"], "seed"),
        (["train", "unet-N7", "--profile", "smoke"], "unet-N8-A00"),
        (["data", "prepare", "--profile", "smoke", "--data", "nowhere.npz"], "nowhere.npz"),
        (["runs", "show", "abc"], "galgen runs list"),
        (["runs", "rm", "abc"], "galgen runs list"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.startswith("galgen: error: ")
    assert message in error
    assert "Traceback" not in error


def test_too_large_an_N_is_refused_before_anything_is_trained(tmp_path, stamps, monkeypatch, capsys):
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    command = ["data", "prepare", "--profile", "smoke", "--data", str(stamps), "--N", "20"]
    assert main(command) == 2
    assert "40 distinct" in capsys.readouterr().err


def test_plan_train_and_the_store(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    options = ["--profile", "smoke", "--N", "4", "8"]
    assert main(["plan", *options]) == 0
    plan = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [record["name"] for record in plan]
    assert len(set(names)) == len(names)
    plan = [record for record in plan if record["name"].startswith("unet")]
    assert {"unet-N8-A00", "unet-N8-B11", "unet-N8-A01", "unet-N8-A11-control"} <= set(names)
    assert [record["images_shown"] for record in plan] == [512] * 6 + [256] * 2
    out = tmp_path / "stamp.json"
    assert main(["train", "unet-N4-A00", *options, "--out", str(out)]) == 0
    key = json.loads(out.read_text())["key"]
    capsys.readouterr()
    assert main(["runs", "list"]) == 0
    assert key in capsys.readouterr().out
    assert main(["runs", "show", key[:8]]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["images_shown"] == 256
    assert main(["runs", "rm", key]) == 0
    assert main(["runs", "show", key]) == 2
