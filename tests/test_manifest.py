from pathlib import Path

import pytest
import yaml

from galgen.data.manifest import load_manifest
from galgen.runs.errors import GalgenError

ROOT = Path(__file__).resolve().parents[1]
CONTENT = yaml.safe_load((ROOT / "data_manifest.yaml").read_text())


def changed(tmp_path, entry, **fields):
    content = {"sources": {name: dict(source) for name, source in CONTENT["sources"].items()}}
    content["sources"][entry] |= fields
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_only_what_the_manifest_frees_may_lie_in_a_book():
    sources = load_manifest(ROOT / "data_manifest.yaml").sources
    assert {name for name, source in sources.items() if source.redistribute} == {"simulated", "dead-leaves"}


def test_a_fixed_file_is_recognised_by_its_sha256():
    manifest = load_manifest(ROOT / "data_manifest.yaml")
    known = manifest.source("sdss-galaxy-zoo").sha256
    assert manifest.name_of(known) == "sdss-galaxy-zoo"
    assert manifest.name_of("0" * 64) == "local"


ENTRY = r"fields description, survey, .*sources\.sdss-legacy.*"


BAD = [
    ({"pixel_scale": "big"}, rf"{ENTRY}\.pixel_scale: .*number.*'big'"),
    ({"licence": ""}, rf"{ENTRY}\.licence"),
    ({"sha256": "abc", "bytes": 3}, rf"{ENTRY}\.sha256"),
    ({"template": "https://host/?ra={ra}&dec={dec}"}, rf"{ENTRY}\.template: .*must have .*'bands'"),
    ({"template": "https://h/?{ra}{dec}{bands}{what}"}, rf"{ENTRY}\.template: .*must have .*\{{what"),
    ("- 1\n- 2\n", r"the input"),
    ("a: [1\n", r"cannot be read"),
    ("sources: {a: 3}\n", r": sources\.a: "),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_an_error_names_the_file_the_entry_and_the_field(tmp_path, content, message):
    if isinstance(content, dict):
        path = changed(tmp_path, "sdss-legacy", **content)
    else:
        (path := tmp_path / "other.yaml").write_text(content)
    with pytest.raises(GalgenError, match=rf"(?s)other\.yaml.*{message}"):
        load_manifest(path)


def test_the_manifest_is_found_from_any_folder_below_it_first(tmp_path, monkeypatch):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    changed(tmp_path, "local", survey="found from below").rename(tmp_path / "data_manifest.yaml")
    monkeypatch.chdir(deep)
    assert load_manifest().source("local").survey == "found from below"
