"""Corrupted and malicious files: published sets, data sets and catalogs."""

import os

import numpy as np
import pytest
from PIL import Image

from galbook.build.pages import rendered
from galgen.cli import main
from galgen.data.acquire.importing import import_images, write_imported
from galgen.data.dataset import Dataset
from galgen.experiment import every_family
from galgen.profiles import Parameters
from galgen.published import publish
from galgen.runs import store as store_module
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store

NAME = "diffusion-N12-A"
PARAMETERS = Parameters(profile="smoke", N=12)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16), np.uint8)


@pytest.fixture(scope="module")
def experiment(store):
    """With one model in its store, the quickest to train."""
    experiment = every_family(PARAMETERS, Store(store))["diffusion"]
    experiment.train(experiment.models.pair(12)[0])
    return experiment


@pytest.fixture
def a_set(experiment, tmp_path):
    """A published set of that model."""
    publish(experiment, experiment.models.pair(12)[0], tmp_path / "set")
    store_module._VERIFIED.clear()
    return tmp_path / "set"


SPOILT = {
    "cut off": lambda content: content[: len(content) // 2],
    "a header that lies": lambda content: b"\xff" * 8 + content[8:],
    "other bytes": lambda content: content[:-900] + bytes(900),
    "no file of ours": lambda content: b"x",
    "nothing": lambda content: b"",
}


@pytest.mark.parametrize("how", SPOILT)
def test_weights_of_a_published_set_that_are_spoilt_are_told_in_one_line(a_set, capsys, how):
    (weights,) = a_set.rglob("weights-*")
    weights.write_bytes(SPOILT[how](weights.read_bytes()))
    assert main(["sample", NAME, "--models", str(a_set), "--out", str(a_set / "x.npz")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"key": null, "sha256": {"../x": 1}}'])
def test_a_record_that_is_spoilt_is_told_in_one_line(a_set, capsys, content):
    (record,) = a_set.rglob("record.json")
    record.write_text(content)
    assert main(["sample", NAME, "--models", str(a_set), "--out", str(a_set / "x.npz")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["meta.json", "images.npy", "catalogue.ecsv"])
@pytest.mark.parametrize("how", SPOILT)
def test_a_data_set_that_is_spoilt_is_one_line(tmp_path, capsys, name, how):
    np.savez(tmp_path / "a.npz", images=IMAGES)
    found = import_images(tmp_path / "a.npz", size=16)
    folder = write_imported(tmp_path / "set", found, source="a", manifest="local").directory
    (folder / name).write_bytes(SPOILT[how]((folder / name).read_bytes()))
    assert main(["data", "verify", str(folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# Names


@pytest.mark.parametrize(
    ("ids", "known"),
    [
        (["a b", ' "q', "# %ECSV"], ["a b", '"q', "# %ECSV"]),
        (["a\nb", "\x1b[3m", "\u202e"], [r"a\nb", r"\x1b[3m", r"\u202e"]),
        ([b"\xff", b"b", b"c"], [r"\xff", "b", "c"]),
    ],
)
def test_ids_and_columns_come_back_as_text_that_steers_nothing(tmp_path, ids, known):
    np.savez(tmp_path / "a.npz", images=IMAGES, ids=np.array(ids), **{"k\n#": np.array(["#", "y", "z"])})
    found = import_images(tmp_path / "a.npz", size=16)
    dataset = write_imported(tmp_path / "set", found, source="\u202ea", manifest="local")
    dataset.verify()
    assert list(dataset.catalogue["id"]) == known and list(dataset.catalogue[r"k\n#"]) == ["#", "y", "z"]
    assert dataset.name == r"\u202ea"


def test_ids_that_name_no_galaxy_or_two_are_refused(tmp_path):
    for ids in (["a", " ", "b"], ["a", "b", "b"]):
        np.savez(tmp_path / "a.npz", images=IMAGES, ids=np.array(ids))
        with pytest.raises(GalgenError, match="is blank or not unique"):
            import_images(tmp_path / "a.npz", size=16)


def test_files_of_any_name_are_told_apart(tmp_path):
    for name in (b"\xff.png", b"#b.png", b"c.png", b"c.jpg", b"\xe2\x80\xae.png"):
        Image.fromarray(IMAGES[0]).save(tmp_path / "x.png")
        os.rename(tmp_path / "x.png", os.fsencode(tmp_path) + b"/" + name)
    assert main(["data", "import", str(tmp_path), "--size", "16", "--out", str(tmp_path / "set")]) == 0
    ids = list(Dataset.open(tmp_path / "set").catalogue["id"])
    assert sorted(ids) == sorted([r"\udcff.png", "#b.png", "c.png", "c.jpg", r"\u202e.png"])


def test_a_refused_import_leaves_no_folder(tmp_path):
    assert main(["data", "import", "nothing.npz", "--out", str(tmp_path / "new" / "deeper")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_no_text_steers_the_terminal_or_the_page(capsys):
    assert main(["data", "info", "\x1b[31mred\u202e\udcff"]) == 2
    assert r"\x1b[31mred\u202e\udcff is not" in capsys.readouterr().err
    found = {"machine": "a\u202e\x1b[3m, \u2066x", "matrix_gflops": 1.0, "commit": "0", "rows": {}}
    assert not {"\u202e", "\x1b", "\u2066"} & set(rendered("bench.md.j2", found=found, sizes=[], labels={}))
