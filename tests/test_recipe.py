"""The page on your own galaxies works as written, at smaller sizes."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from galgen.cli import main
from galgen.experiment import Experiment
from galgen.profiles import Parameters

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "yours.md").read_text()
RECIPE = re.findall(r"```(bash|python)\n(.*?)\n```", PAGE.partition("## My galaxies")[2], re.DOTALL)
SMALLER = {
    "--N 1000": "--N 12 --profile smoke",
    "-N1000-": "-N12-",
    "--size 32": "--size 16",
    "-n 256": "-n 12",
    "distinct, 1000, 1000)": "distinct, 12, 32)",
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
    for language, text in RECIPE:
        for whole, small in SMALLER.items():
            text = text.replace(whole, small)
        if language == "python":
            exec(text, {})
            continue
        for line in text.splitlines():
            morphology = ["--morphology", "0"] if " audit " in line else []
            command, *given = shlex.split(line)
            assert command == "galgen" and main([*given, *morphology]) == 0, capsys.readouterr().err
    sets = [np.load(tmp_path / f"{name}.npy") for name in ("A", "B", "validation")]
    assert [len(part) for part in sets] == [12, 12, 32]
    assert len(np.unique(np.concatenate(sets).reshape(56, -1), axis=0)) == 56
    book = Experiment(Parameters(profile="smoke", data="galaxies", N=12))
    trained = [book.images.of(training) for training in book.models.pair(12)]
    assert np.array_equal(trained, sets[:2]) and np.array_equal(book.images.held_out, sets[2])
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert {"agreement", "own training images", "memory"} & answer["answers"].keys() >= {"agreement"}


@pytest.mark.parametrize("line", [*re.findall(r"^galgen [^#\n]+", PAGE, re.M)])
def test_every_command_of_the_page_is_one(line, tmp_path, monkeypatch, capsys):
    """It stops at a file that is missing, or at what it makes, and not at a word of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    _, *given = shlex.split(line)
    assert main([*given, "--nothing"]) == 2
    assert "Unknown option: --nothing" in capsys.readouterr().err
