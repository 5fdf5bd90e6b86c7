"""What lies: published sets, data sets and files that are not what they say, and what a slip could lose."""

import contextlib
import copy
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_anything import FILE, examples, in_bounds, mutated

from galbook.explorer.own import read
from galbook.press.pages import rendered
from galgen.cli import main
from galgen.data.acquire.importing import import_images, write_imported
from galgen.data.dataset import Dataset
from galgen.experiment import every_family
from galgen.profiles import Parameters
from galgen.published import publish
from galgen.runs import checkpoint
from galgen.runs import store as store_module
from galgen.runs.errors import GalgenError, printable
from galgen.runs.files import file_sha256, read_json, write_json
from galgen.runs.store import Store

PARAMETERS = Parameters(profile="smoke", N=12)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16), np.uint8)


@pytest.fixture(scope="module")
def experiment(store):
    """With one model in its store, the quickest to train."""
    experiment = every_family(PARAMETERS, Store(store))["diffusion"]
    experiment.train(experiment.models.pair(12)[0])
    return experiment


@pytest.fixture(scope="module")
def good_set(experiment, tmp_path_factory):
    """A published set of that model."""
    folder = tmp_path_factory.mktemp("published")
    publish(experiment, experiment.models.pair(12)[0], folder)
    return folder


@pytest.fixture(scope="module")
def good_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / "a.npz", images=IMAGES)
    found = import_images(folder / "a.npz", size=16)
    return write_imported(folder / "set", found, source="a", manifest="local").directory


# Mutations

JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(),
    st.sampled_from([2**63, -1, 10**400, float("nan"), float("inf"), 1e300]),
    st.sampled_from(["", "..", "../../x", "\0", "\x1b[3m", "x" * 300, "0" * 64, "f" * 16, "paper-trial"]),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@st.composite
def of_json(draw, value):
    """A JSON value with one part replaced, left out or put in."""
    whole = {"": json.loads(json.dumps(value))}
    part, key = whole, ""
    while isinstance(part[key], dict | list) and part[key] and draw(st.integers(0, 4)):
        part = part[key]
        key = draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
    if part is whole or draw(st.booleans()):
        part[key] = draw(JUNK)
    elif isinstance(part, dict) and draw(st.booleans()):
        part[draw(st.sampled_from(["sha256", "key", "x"]))] = part.pop(key)
    else:
        del part[key]
    return whole[""]


def spoil_file(draw, path):
    """Something else in the place of a file, or a few of its bytes."""
    kind = draw(st.sampled_from(["bytes", "bytes", "bytes", "none", "folder", "pipe", "link"]))
    content = path.read_bytes()
    path.unlink()
    if kind == "bytes":
        path.write_bytes(draw(mutated(st.just(content))))
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")


def spoil_weights(draw, path):
    """A state that differs in a tensor, a name, a stride or a number, well written."""
    state = checkpoint.load(path)
    net = state[next(name for name in state if isinstance(state[name], dict))]
    name = draw(st.sampled_from(sorted(net)))
    tensor = net[name]
    # fmt: off
    new = draw(st.sampled_from([
        torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else tensor[None],
        tensor.new_zeros(()).expand(tensor.shape) if tensor.numel() > 1 else tensor[None],
        tensor.flatten()[:0], tensor.double(), tensor.new_zeros((3, 3)), {"x": tensor}, "text", None,
    ]))
    # fmt: on
    if draw(st.booleans()):
        net[name] = new
    elif draw(st.booleans()):
        net[draw(st.sampled_from(["x", "../x", ""]))] = net.pop(name)
    else:  # a copy, as a file has no tensor twice
        state[draw(st.sampled_from(["start", "discriminator", "average"]))] = copy.deepcopy(new)
    checkpoint.save(path, state)


def resealed(folder):
    """As an enemy would: checksums and key of a set are those of its files."""
    (weights,) = folder.rglob("weights-*")
    record = read_json(weights.with_name("record.json"))
    record["sha256"] = {weights.name: file_sha256(weights)}
    record["key"] = record["sha256"][weights.name][:16]
    write_json(weights.with_name("record.json"), record)
    weights.parent.rename(weights.parent.with_name(record["key"]))


def a_hostile_set(data, good, folder):
    shutil.copytree(good, folder)
    (record,) = folder.glob("*/*/record.json")
    (weights,) = folder.glob("*/*/weights-*")
    kinds = ["record", "record", "file", "weights", "bytes", "resealed bytes", "name"]
    kind = data.draw(st.sampled_from(kinds))
    if kind == "record":
        record.write_text(json.dumps(data.draw(of_json(read_json(record)))))
    elif kind == "file":
        spoil_file(data.draw, record)
    elif kind == "bytes":
        spoil_file(data.draw, weights)
    elif kind == "name":
        record.parent.rename(record.parent.with_name("0" * 16))
    else:
        if kind == "weights":
            spoil_weights(data.draw, weights)
        else:
            weights.write_bytes(data.draw(mutated(st.just(weights.read_bytes()))))
        resealed(folder)
    return kind


@examples(40)
@given(data=st.data())
def test_a_published_set_that_is_spoilt_is_told_in_one_line_or_draws_what_it_drew(good_set, tmp_path, data):
    folder, said = tmp_path / "set", io.StringIO()
    shutil.rmtree(folder, ignore_errors=True)
    kind = a_hostile_set(data, good_set, folder)
    store_module._SOUND.clear()
    with in_bounds(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main(["models", "verify", str(folder)])
    assert code == 2 or kind in ("record", "file", "resealed bytes"), "what nothing can know may be another"
    assert code == 0 or said.getvalue().count("\n") == 1


@examples(40)
@given(data=st.data())
def test_a_data_set_that_is_spoilt_is_one_line(good_data, tmp_path, data):
    folder, codes = tmp_path / "set", []
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good_data, folder)
    meta, said = folder / "meta.json", io.StringIO()
    which = data.draw(st.sampled_from([None, *sorted(folder.iterdir())]))
    if which:
        spoil_file(data.draw, which)
    else:
        meta.write_text(json.dumps(data.draw(of_json(read_json(meta)))))
    for command in ("info", "verify"):
        with in_bounds(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            codes.append(main(["data", command, str(folder)]))
    assert set(codes) <= {0, 2} and said.getvalue().count("\n") == codes.count(2)
    assert which in (None, meta) or codes[1] == 2, "verify reads both files"


# One by one


def test_a_set_that_says_it_drew_something_else_is_told(good_set, tmp_path, capsys):
    shutil.copytree(good_set, tmp_path / "set")
    (path,) = tmp_path.glob("set/*/*/record.json")
    record = read_json(path)
    record["summary"]["means"] = [0.9] * len(record["summary"]["means"])
    write_json(path, record)
    store_module._SOUND.clear()
    assert main(["models", "verify", str(tmp_path / "set")]) == 2
    said = capsys.readouterr().err
    assert "does not draw what it drew" in said and str(tmp_path / "set") in said


@pytest.mark.parametrize("place", ["store/new/deeper", ".", "other/diffusion/new"])
def test_models_are_not_published_into_a_store_of_trainings(experiment, tmp_path, place):
    for kind in ("dataset", "diffusion"):
        for each in ("store", "other"):
            shutil.copytree(experiment.store.root / kind, tmp_path / each / kind)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    there = len(experiment.store.runs("diffusion"))
    experiment = every_family(PARAMETERS, Store(tmp_path / "store"))["diffusion"]
    with pytest.raises(GalgenError, match="is no place for published models"):
        publish(experiment, experiment.models.pair(12)[0], tmp_path / place)
    assert before == {path: path.read_bytes() for path in before}
    assert len(list(tmp_path.glob("**/diffusion/*/record.json"))) == 2 * there


def test_a_finished_store_is_read_and_verified_where_nothing_can_be_written(tmp_path, monkeypatch, capsys):
    def make(work):
        (work / ".tmp-killed").mkdir()
        (work / "x").write_text("x")
        return {}

    def refused(*given, **options):
        raise OSError(30, "Read-only file system")

    run = Store(tmp_path).run("thing", {}, make)
    assert sorted(path.name for path in run.path.iterdir()) == ["record.json", "x"]
    for name in ("mkdir", "rename"):
        monkeypatch.setattr(Path, name, refused)
    monkeypatch.setattr(store_module, "FileLock", refused)
    store_module._SOUND.clear()
    assert Store(tmp_path).run("thing", {}, make).record == run.record
    assert Store(tmp_path).verify() == (1, 0)
    (run.path / "x").write_text("y")
    assert Store(tmp_path).verify() == (1, 1)
    assert "x has changed; it cannot be set aside: Read-only file system" in capsys.readouterr().err


def test_what_may_not_be_read_is_not_taken_for_damaged(tmp_path, monkeypatch, capsys):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    run = Store(tmp_path).run("thing", {}, lambda work: {})
    monkeypatch.setattr(store_module, "read_json", refused)
    assert main(["runs", "list", "--store", str(tmp_path)]) == 2
    assert "record.json'; mend that" in capsys.readouterr().err
    assert run.path.is_dir()


# Catalogues


@pytest.mark.parametrize(
    ("ids", "known"),
    [
        (["a", "#b", "# %ECSV"], ["a", "#b", "# %ECSV"]),
        (["a b", ' "q', "é,銀"], ["a b", '"q', "é,銀"]),
        (["a\nb", "\x1b[3m", "\u202e"], [r"a\nb", r"\x1b[3m", r"\u202e"]),
        ([b"\xff", b"b", b"c"], [r"\xff", "b", "c"]),
        (["a", " ", "b"], "the id '' names no galaxy or more than one"),
        (["a", "b" * 10**6, "b" * 10**6], "bb' names no galaxy or more than one"),
    ],
)
def test_ids_and_columns_come_back_or_are_refused(tmp_path, monkeypatch, ids, known):
    monkeypatch.setattr("locale.getpreferredencoding", lambda *given: "ascii")
    monkeypatch.setattr("locale.getencoding", lambda: "ascii", raising=False)
    np.savez(tmp_path / "a.npz", images=IMAGES, ids=np.array(ids), **{"k\n#": np.array(["#", "y", "z"])})
    try:
        found = import_images(tmp_path / "a.npz", size=16)
        dataset = write_imported(tmp_path / "set", found, source="\u202ea", manifest="local")
    except GalgenError as error:
        assert isinstance(known, str) and known in str(error) and len(str(error)) < 2000
        return
    dataset.verify()
    assert list(dataset.catalogue["id"]) == known and list(dataset.catalogue[r"k\n#"]) == ["#", "y", "z"]
    assert dataset.name == r"\u202ea"


def test_files_of_any_name_are_told_apart(tmp_path, capsys):
    for name in (b"\xff.png", b"#b.png", b"c.png", b"c.jpg", b"\xe2\x80\xae.png"):
        Image.fromarray(IMAGES[0]).save(tmp_path / "x.png")
        os.rename(tmp_path / "x.png", os.fsencode(tmp_path) + b"/" + name)
    assert main(["data", "import", str(tmp_path), "--size", "16", "--out", str(tmp_path / "set")]) == 0
    ids = list(Dataset.open(tmp_path / "set").catalogue["id"])
    assert sorted(ids) == sorted([r"\udcff.png", "#b.png", "c.png", "c.jpg", r"\u202e.png"])


def test_a_refused_import_leaves_no_folder(tmp_path):
    assert main(["data", "import", "nothing.npz", "--out", str(tmp_path / "new" / "deeper")]) == 2
    assert list(tmp_path.iterdir()) == []


# Names


NAMES = ["", "..", "../../x.npy", "a.npz", "a.txt", "a\0.png", "x" * 300 + ".png", "\udcff\u202e\x1b[3m.png"]


@pytest.mark.parametrize("name", NAMES)
def test_an_upload_of_any_name_is_read_or_told_in_one_line(name):
    content = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(content, "PNG")
    if name.endswith(".png"):
        assert (read(name, content.getvalue(), 16) == IMAGES[0]).all()
    with pytest.raises(GalgenError) as told:
        read(name, b"no image", 16)
    assert (printable(name)[-80:] or "the file") in str(told.value) and str(told.value).isprintable()
    assert tempfile.gettempdir() not in str(told.value)


@examples(150)
@given(file=FILE)
def test_what_the_explorer_says_of_any_upload_can_be_done_there(file):
    name, content = file
    try:
        with in_bounds():
            assert read(name, content, 16).shape == (1, 16, 16)
    except GalgenError as told:
        assert "--" not in str(told) and "\n" not in str(told) and len(str(told)) < 2000


def test_no_text_steers_the_terminal_or_the_page(capsys):
    assert main(["data", "info", "\x1b[31mred\u202e\udcff"]) == 2
    assert r"\x1b[31mred\u202e\udcff is not" in capsys.readouterr().err
    found = {"machine": "a\u202e\x1b[3m, \u2066x", "matrix_gflops": 1.0, "commit": "0", "rows": {}}
    assert not {"\u202e", "\x1b", "\u2066"} & set(rendered("bench.md.j2", found=found, sizes=[], labels={}))


def test_a_variable_of_the_environment_is_named_in_one_line(tmp_path):
    environment = os.environ | {"GALGEN_STORE": str(tmp_path), "TQDM_MININTERVAL": "x"}
    call = [sys.executable, "-m", "galgen", "plan", "--profile", "smoke"]
    result = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "TQDM_MININTERVAL: could not convert string to float: 'x'" in result.stderr
