"""The page of one's own galaxies, followed to the letter, but for the size of everything."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from galgen.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "yours.md").read_text()
RECIPE = re.search(r"## My galaxies.*?```bash\n(.*?)\n```", PAGE, re.DOTALL)[1].splitlines()
SMALLER = {
    "--N 1000": "--N 12 --profile smoke",
    "-N1000-": "-N12-",
    "--size 32": "--size 16",
    "-n 256": "-n 12",
}


def fits_of(folder, count):
    """A folder of cubes of three bands of galaxies that differ, with a sky to subtract."""
    folder.mkdir()
    rng, (y, x) = np.random.default_rng(0), np.mgrid[-32:32, -32:32]
    for k in range(count):
        q, width, turn = rng.uniform(0.4, 1), rng.uniform(3, 8), rng.uniform(0, np.pi)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        light = rng.uniform(0.3, 2) * np.exp(-np.hypot(along, across / q) / width)
        cube = light * np.array([0.5, 1, 1.4])[:, None, None] + rng.normal(0.05, 0.01, (3, 64, 64))
        fits.PrimaryHDU(np.float32(cube)).writeto(folder / f"galaxy{k}.fits")


def test_the_recipe_leads_from_a_folder_of_fits_to_the_answer_of_two_models(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    fits_of(tmp_path / "fits", 60)
    for line in RECIPE:
        for whole, small in SMALLER.items():
            line = line.replace(whole, small)
        morphology = ["--morphology", "0"] if " audit " in line else []
        command, *given = shlex.split(line)
        assert command == "galgen" and main([*given, *morphology]) == 0, capsys.readouterr().err
    sets = [np.load(tmp_path / "sets" / f"{name}.npy") for name in ("A", "B", "held-out")]
    assert [len(part) for part in sets] == [12, 12, 32]
    assert len(np.unique(np.concatenate(sets).reshape(56, -1), axis=0)) == 56
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert {"agreement", "own training images", "memory"} & answer["answers"].keys() >= {"agreement"}
    assert "Two models:" in answer["said"] and (tmp_path / "A.png").is_file()
    again = ["data", "split", "--out", "sets", "--data", "galaxies", "--profile", "smoke", "--N", "12"]
    assert main(again) == 2
    assert "sets exists already" in capsys.readouterr().err


def test_too_few_galaxies_are_told_with_the_largest_N(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("few.npy", np.random.default_rng(0).integers(0, 256, (50, 16, 16), np.uint8))
    few = "data split --out x --data few.npy --profile smoke --N 12 --store store".split()
    assert main(few) == 2
    assert "N can be at most 9" in capsys.readouterr().err


@pytest.mark.parametrize("line", [*re.findall(r"^galgen [^#\n]+", PAGE, re.M)])
def test_every_command_of_the_page_is_one(line, tmp_path, monkeypatch, capsys):
    """It stops at a file that is missing, or at what it makes, and not at a word of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    _, *given = shlex.split(line)
    assert main([*given, "--nothing"]) == 2
    assert "Unknown option: --nothing" in capsys.readouterr().err
