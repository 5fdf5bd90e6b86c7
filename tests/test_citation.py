"""The metadata of the project agree: pyproject.toml, CITATION.cff, .zenodo.json and codemeta.json."""

import json
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_name_version_license_authors_and_keywords_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    zenodo, codemeta = (json.loads((ROOT / name).read_text()) for name in (".zenodo.json", "codemeta.json"))
    authors = [author["name"] for author in project["authors"]]
    expected = [project["name"], project["version"], authors, project["keywords"]]
    for of in (citation, zenodo, codemeta):
        named = of.get("creators") or of.get("author") or of["authors"]
        name = of.get("name", of.get("title")).partition(":")[0]
        assert [name, of["version"], [author["name"] for author in named], of["keywords"]] == expected
        assert of["license"].removeprefix("https://spdx.org/licenses/") == project["license"]
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["title"] == zenodo["title"]
    (paper,), (related,) = citation["references"][0]["identifiers"], zenodo["related_identifiers"]
    assert paper["value"] == related["identifier"] and "2503.23127" in citation["references"][0]["url"]
    assert f"version = {{{project['version']}}}" in (ROOT / "book" / "bibliography.md").read_text()
