"""Entries of the release before get the keys of today, and are then found, however often it was begun."""

import importlib.util
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from galgen.runs.files import file_sha256, write_json
from galgen.runs.packed import pack
from galgen.runs.store import Store, provenance

FILE = Path(__file__).parents[1] / "workflow" / "rekey.py"
SPEC = importlib.util.spec_from_file_location("rekey", FILE)
rekey = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(rekey)
NAME = "gan-N12-A0-0"


def made(folder, kind, params, recipe, summary, *, read=(), code=None, file="answer.json"):
    """Write an entry as the release before did; returns its key."""
    record = {"kind": kind, "params": params, "data": "d", "summary": summary, "read": list(read)}
    record |= {"code": code or rekey.OLD[recipe], "created": "2026", "seconds": 1.0, **provenance()}
    key = rekey.key_of(record, params, record["code"])
    work = folder / kind / key
    work.mkdir(parents=True)
    (work / file).write_text(f"{kind} {params}")
    write_json(work / "record.json", record | {"key": key, "sha256": {file: file_sha256(work / file)}})
    return key


@pytest.fixture
def before(tmp_path):
    """A store and a packed folder of before, in which one thing was read to make another."""
    store, packed = tmp_path / "store", tmp_path / "packed"
    data = made(store, "dataset", {"population": "leaves"}, "dataset leaves", {})
    made(store, "dataset", {"name": "dataset", "size": 8}, "dataset smaller", {})
    gan = made(store, "gan", {"schedule": "falling"}, "gan falling", {"name": NAME}, read=[f"dataset/{data}"])
    made(store, "samples", {"model": gan}, "samples gan", {"name": NAME}, read=[f"gan/{gan}"])
    shape = made(store, "morphology", {}, "morphology", {})
    made(store, "gan", {"schedule": "late"}, "", {"name": NAME}, code="0" * 16)  # of other code
    made(store, "samples", {"model": "f" * 16}, "samples gan", {"name": NAME})  # of a model that is not there
    pack(store / "morphology" / shape, ["answer.json"], packed / "morphology" / f"{shape}.zip")
    shutil.rmtree(store / "morphology" / shape)
    return store, packed


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_entries_are_found_under_the_keys_of_today(before, monkeypatch):
    store, packed = before
    done = {word: kinds.total() for word, kinds in rekey.rekey([store, packed]).items()}
    left = {"of other code": 1, "of models that are not there": 1}
    assert done == {"given new keys": 5, "with today's": 0} | left
    here = Store(store, packed)
    today = here.find("gan", {"schedule": "falling"}, data="d", code=rekey.TRAININGS["gan"].files)
    data = here.find("dataset", {"population": "leaves"}, data="d", code=rekey.FIXED["dataset leaves"])
    assert today.record["read"] == [f"dataset/{data.key}"]
    code = [*rekey.TRAININGS["gan"].files, *rekey.TRAININGS["gan"].draws]
    drawn = here.find("samples", {"model": today.key}, data="d", code=code)
    assert drawn.record["read"] == [f"gan/{today.key}"]


@pytest.mark.parametrize("after", range(9))
def test_it_may_be_killed_anywhere_and_run_again(before, monkeypatch, tmp_path, after):
    store, packed = before
    whole = tmp_path / "whole"
    for folder in before:
        shutil.copytree(folder, whole / folder.name)
    rekey.rekey([whole / "store", whole / "packed"])
    written = []

    def write(path, value):
        if len(written) == after:
            raise KeyboardInterrupt
        written.append(path)
        write_json(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(rekey, "write_json", write)
        try:
            rekey.rekey([store, packed])
        except KeyboardInterrupt:
            pass
    for _ in range(2):
        rekey.rekey([store, packed])
        assert contents(store) == contents(whole / "store")
        assert contents(packed) == contents(whole / "packed")
    for path in packed.glob("*/*.zip"):
        assert json.loads(zipfile.ZipFile(path).read("record.json"))["key"] == path.stem


def test_a_store_beside_results_that_have_the_keys_of_today_is_given_them_too(before):
    store, packed = before
    gan = next(path for path in (store / "gan").iterdir() if "falling" in (path / "answer.json").read_text())
    pack(gan, ["answer.json"], packed / "gan" / f"{gan.name}.zip")
    shutil.rmtree(gan)
    rekey.rekey([packed])
    rekey.rekey([store, packed])
    drawn = [
        json.loads((path / "record.json").read_text())["params"]["model"]
        for path in (store / "samples").iterdir()
    ]
    (model,) = (packed / "gan").iterdir()
    assert sorted(drawn) == sorted([model.stem, "f" * 16])


def test_every_recipe_of_before_is_one_of_today():
    assert {recipe for recipe in rekey.OLD if not rekey.today(recipe)} == set()
