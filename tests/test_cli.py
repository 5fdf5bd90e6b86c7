import json
import subprocess
import sys
from pathlib import Path

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


def test_import_simulate_info_and_verify(tmp_path, stamps, capsys):
    out = tmp_path / "set"
    assert main(["data", "import", str(stamps), "--size", "16", "--out", str(out)]) == 0
    assert main(["data", "info", str(out)]) == 0
    assert "40 images of 16 x 16 pixels" in capsys.readouterr().out
    assert main(["data", "verify", str(out)]) == 0
    (out / "images.npy").write_bytes(b"x")
    assert main(["data", "verify", str(out)]) == 2
    assert "images.npy" in capsys.readouterr().err
    assert main(["data", "simulate", "--count", "3", "--size", "16", "--out", str(tmp_path / "made")]) == 0
    assert "3 images of 16 x 16" in capsys.readouterr().out


MISTAKES = [
    ("data info nothing", "galgen data import"),
    ("data fetch nothing.csv --out x", "nothing.csv"),
    ("plan --profile lap", "smoke, laptop, seeds, paper"),
    ("plan --profile smoke --seed -1", "seed: Input should be greater than or equal to 0"),
    ("plan --sed 1", "--seed"),
    ("plan --data nowhere.npz", "is neither an existing file or folder"),
    ("plan --data /proc", "/proc"),
    ("train unet-N7 --profile smoke", "diffusion-N8-A0-0"),
    ("train diffusion-N8-A0-0 --threads 0", "--threads. Must be >= 1"),
    ("train diffusion-N8-A0-0 --sheets x", "--sheets"),
    ("train diffusion-N8-A0-0 --profile smoke --store /dev/null/x", "Not a directory"),
    ("data prepare --profile smoke --N 1000000000", "less than 10000000"),
    ("data simulate --count 1.5 --out x", "'1.5' is not an integer"),
    ("data import x --out", "--out"),
    ("data import x --out=", "'' is not a path"),
    ("data import x --out /dev/null/o", "no data set can be written to /dev/null/o"),
    ("runs show abc", "galgen runs list"),
    ("runs rm", "KEYS"),
    ("runs list --store nowhere", "nowhere is not a folder"),
    ("runs verify", "verify"),
    ("data split", "split"),
    ("models export --profile smoke --N 77", "no family has N = [77]"),
    ("nothing", "nothing"),
]


@pytest.mark.parametrize(("command", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("galgen: error: ") and error.count("\n") == 1
    assert message in error
    assert "Traceback" not in error


def test_the_help_names_every_option_and_imports_nothing_that_takes_seconds():
    code = "import sys; from galgen.cli import main; main(['data', 'import', '--help']); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for option in ("--out", "--size", "--crop", "--key", "--bands", "--kind", "--gray", "--Q", "--strict"):
        assert option in shown
    assert not {"torch", "astropy", "scipy"} & set(shown.split())


def test_options_reach_the_importer(tmp_path):
    flux = np.random.default_rng(0).normal(0.05, 0.3, (3, 2, 24, 24)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=flux, y=flux)
    command = ["data", "import", str(tmp_path / "a.npz"), "--out", str(tmp_path / "set"), "--strict"]
    options = "--size 16 --crop 20 --key x --bands i,r --kind flux --gray --subtract-sky --Q 3 --stretch .5"
    assert main([*command, *options.split(), "--distinct", ".99"]) == 0
    known = {
        "size": 16, "crop": 20, "key": "x", "bands": ["i", "r"], "kind": "flux", "gray": True,
        "subtract_sky": True, "Q": 3.0, "stretch": 0.5, "distinct": 0.99, "path": "a.npz", "surveys": [],
    }  # fmt: skip
    assert Dataset.open(tmp_path / "set").meta["parameters"] == known


def test_too_few_images_are_told_with_the_path_given_before_any_are_simulated(stamps, monkeypatch, capsys):
    monkeypatch.chdir(stamps.parent)
    monkeypatch.setenv("GALGEN_STORE", "store")
    monkeypatch.setattr("galgen.data.simulate.source.simulate", lambda *_, **__: pytest.fail("simulated"))
    assert main(["data", "prepare", "--profile", "smoke", "--data", stamps.name, "--N", "20"]) == 2
    assert "need 72 images, but stamps.npz has 40 distinct ones" in capsys.readouterr().err


def test_plan_train_and_the_store(fresh, monkeypatch, capsys):
    monkeypatch.setenv("GALGEN_STORE", str(fresh.root))
    options = ["--profile", "smoke", "--N", "4", "8"]
    assert main(["plan", *options]) == 0
    _, *plan, total = (line.split() for line in capsys.readouterr().out.splitlines())
    names = [record[0] for record in plan]
    assert len(set(names)) == len(names)
    asked = ("A0-0", "B1-1", "A0-1", "A100-100-galaxies")
    assert {f"diffusion-N8-{model}" for model in asked} <= set(names)
    shown = [record[-3] for record in plan if record[0].startswith("diffusion")]
    assert shown == ["512"] * 8 + ["256"] * 2  # A, B, the 2 x 2 and three of other images; A and B
    minutes, disk_mb = (f"{sum(float(record[k]) for record in plan):.0f}" for k in (-2, -1))
    expected = f"{len(plan)} trainings: {minutes} minutes of one core, {disk_mb} MB of disk space"
    assert " ".join(total) == expected
    assert main(["train", "diffusion-N4-A0-0", *options]) == 0
    key = Path(capsys.readouterr().out.split()[-1]).name
    assert main(["runs", "list"]) == 0
    assert key in capsys.readouterr().out
    assert main(["runs", "show", key[:8]]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["images_shown"] == 256
    assert main(["runs", "rm", key]) == 0
    assert main(["runs", "show", key]) == 2


def test_a_reader_that_has_seen_enough_gets_no_traceback(tmp_path):
    command = f"{sys.executable} -m galgen plan --profile smoke --store {tmp_path} | head -n 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.stdout.count("\n") == 1 and result.stderr == ""
