"""Two books at once, of data sets of one name, on an empty store: both come out right."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_another_chapter import chapter_of_the_page

from galbook.committed import strip
from galbook.compared import longer, side_by_side
from galbook.press.runs import Run
from galgen.compare.uncertainty import Outcome
from galgen.profiles import Parameters
from galgen.runs.files import file_sha256, read_json

ROOT = Path(__file__).parents[1]
KEEP = "import hashlib\nkeep(samples=[hashlib.sha256(x.numpy().tobytes()).hexdigest() for x in (a, b)])"


@pytest.fixture
def project(tmp_path):
    """The project with one chapter, that of the page on adding one, in the place of those of the GAN."""
    for name in ("galgen", "workflow", "book/galbook"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("CITATION.cff", "data_manifest.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("_config.yml", "references.bib", "workflow.md"):
        shutil.copy(ROOT / "book" / name, tmp_path / "book")
    shutil.copytree(ROOT / "book" / "_static", tmp_path / "book" / "_static")
    (tmp_path / "book" / "intro.md").write_text("# One chapter\n\n```{include} _generated/runs.md\n```\n")
    pages = [{"file": name} for name in ("chapters/06_gan", "workflow")]
    toc = {"format": "jb-book", "root": "intro", "parts": [{"caption": "All", "chapters": pages}]}
    (tmp_path / "book" / "_toc.yml").write_text(json.dumps(toc))
    (tmp_path / "notebooks").mkdir()
    chapter_of_the_page(tmp_path / "notebooks" / "06_gan.ipynb", KEEP)
    return tmp_path


def book(project, data, store):
    """A book on its way, as `make book` makes it."""
    command = [sys.executable, "-m", "snakemake", "book", "-s", "workflow/Snakefile", "--cores", "1"]
    command += ["--workflow-profile", "workflow/profiles/local"]
    given = {"PROFILE": "smoke", "DATA": data, "N": "8", "SEED": "", "PYTHONPATH": str(project / "book")}
    environment = os.environ | given | {"GALGEN_STORE": str(project / store)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=project, env=environment, **streams)


def test_pictures_of_books_stand_under_their_names_of_the_families_that_all_have():
    def strips(value, side):  # of A and of B
        return [strip(np.full((9, 1, side, side), value + k, np.uint8)) for k in (0, 1)]

    book = {"GAN": {"8": strips(0, 8), "30": strips(50, 8)}}
    sheet = side_by_side({"one": book | {"Glow": book["GAN"]}, "two": {"GAN": {"9": strips(90, 16)}}})
    [axes] = sheet.axes
    names, labels = ([text.get_text() for text in axes.texts[a:b]] for a, b in ((3, None), (1, 3)))
    assert names == ["one", "two"] and labels == ["GAN, A", "GAN, B"]
    image = np.asarray(axes.images[0].get_array())
    across = image[17 + 8] * 255  # below the names: models A, the smaller images enlarged
    one, two = (np.isclose(across, value).nonzero()[0] for value in (50, 90))
    assert len(one) == len(two) == 6 * 16 and one.max() < two.min() and not np.isclose(across, 0).any()
    places = [text.get_position()[0] * image.shape[1] for text in axes.texts[3:]]
    np.testing.assert_allclose(places, [one.mean(), two.mean()], atol=2)


def test_books_of_one_data_set_and_two_profiles_are_held_against_each_other():
    def board(agree, margin, *sizes):
        given = {"agreement": Outcome(agree, 0, 0, 1), "memorization": Outcome(margin, 0, 0, 1)}
        return {(family, n): given for family in ("diffusion", "Glow") for n in sizes}

    boards = {"b": board(0.6, 0.2, 10, 100), "a": board(0.8, 0.1, 100), "c": board(0, 0, 100)}
    told = {"b": ("x", "night"), "a": ("x", "laptop"), "c": ("y", "night")}
    (row,) = [line for line in longer(boards, told).data.splitlines() if "N = " in line and line[0] == "|"]
    of, null = row.split("|")[1:3], " (0.000 to 0.000)"
    assert [cell.strip() for cell in of] == ["diffusion, N = 100", "a and b"]
    assert f"| 0.800{null} and 0.600{null} | 0.100{null} and 0.200{null} |" in row
    assert longer({"a": boards["a"], "c": boards["c"]}, told) is None


@pytest.mark.slow
def test_two_books_at_once_of_two_data_sets_of_one_name_are_both_right(project):
    names = ("a/galaxies.npz", "b/galaxies.npz")
    for seed, name in enumerate(names):
        (project / name).parent.mkdir()
        rng = np.random.default_rng(seed)
        np.savez(project / name, images=rng.integers(0, 256, (60, 16, 16), np.uint8))
    books = [book(project, name, "store") for name in names]
    for process in books:
        said = process.communicate(timeout=900)[0]
        assert process.returncode == 0, said

    def made():
        found = []
        for name in names:
            run = Run(Parameters(profile="smoke", data=str(project / name), N=8))
            folder = project / "build" / run.name
            data = read_json(folder / "data.json")["dataset"]
            assert file_sha256(Path(data["path"]) / "images.npy") == data["sha256"]
            assert data["images"] == 60 and (folder / "html" / "chapters" / "06_gan.html").is_file()
            page = (folder / "html" / "intro.html").read_text()
            assert re.findall(r'<tr id="([^"]+)"', page) == [run.name], "the other is of other data"
            trainings = {path.name: read_json(path)["key"] for path in (folder / "trainings").glob("gan-*")}
            found.append((data["sha256"], trainings, read_json(folder / "results.json")["kept"]))
        return found

    at_once = made()
    assert all(one != other for one, other in zip(*at_once, strict=True)), "each has read its own data"
    shutil.rmtree(project / "build")
    for name in names:
        process = book(project, name, "another")
        said = process.communicate(timeout=900)[0]
        assert process.returncode == 0, said
    assert made() == at_once, "one after the other they come out the same"
