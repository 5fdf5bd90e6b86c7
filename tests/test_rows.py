"""The role that shows one row of a published table in prose."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from galbook.rows import Row, shown

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
PAIR = "agreement statistic=agreement model=A0-B1"


def test_a_row_is_shown_with_its_interval_a_column_alone_and_counts_with_separators():
    assert shown(f"{PAIR} N=4000 .3f", {"family": "diffusion"}) == "0.978 [0.976, 0.980]"
    assert shown(f"{PAIR} family=diffusion value:.1%", {"N": "4000"}) == "97.8"
    assert shown(f"{PAIR} N=10 epochs:,", {"family": "diffusion"}) == "2\N{NO-BREAK SPACE}400"


@pytest.mark.parametrize("words", [".3f", "N=4000 model=none .3f", "colour=red .3f"])
def test_a_row_that_is_not_one_is_an_error_with_its_line(words, tmp_path):
    (tmp_path / "page.md").write_text("---\nrows: {family: diffusion}\n---\n# Title\n")
    said = []
    role, reporter = Row(), SimpleNamespace(error=lambda text, line: said.append((text, line)))
    role.text, role.lineno = f"agreement statistic=agreement {words}", 7
    env = SimpleNamespace(docname="page", doc2path=lambda name: str(tmp_path / f"{name}.md"))
    settings = SimpleNamespace(env=env)
    document = SimpleNamespace(settings=settings, current_source="", current_line=7)
    role.inliner = SimpleNamespace(reporter=reporter, document=document)
    assert role.run()[0] == [] and said[0][1] == 7 and words in said[0][0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_row_of_a_chapter_is_one(path):
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        for words in re.findall(r"\{row\}`([^`]+)`", cell.source):
            assert shown(words, notebook.metadata.get("rows", {}))
