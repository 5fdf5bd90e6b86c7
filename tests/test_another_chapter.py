"""The page on adding a chapter, followed to the letter: its cells make a notebook that is a chapter."""

import json
import re
from pathlib import Path

import nbformat
import pytest
import test_notebooks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from galgen.figures import results

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "another_chapter.md").read_text()


def chapter_of_the_page(path, *code):
    """Write the chapter that the page shows, tagged as it says, with some more code at its end."""
    shown = re.findall(r"```python\n(.*?)\n```", PAGE, re.DOTALL)
    cells = [new_code_cell(source, metadata={"tags": []}) for source in (*shown, *code)]
    cells[0].metadata["tags"] = ["parameters", "remove-cell"]
    (figure,) = (cell for cell in cells if cell.source.startswith("show("))
    figure.metadata.update(json.loads(re.search(r"```json\n(.*?)\n```", PAGE, re.DOTALL)[1]))
    for cell in cells:
        cell.metadata["tags"] += ["remove-cell"] * ("keep(" in cell.source)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells.insert(0, new_markdown_cell("# Another chapter"))
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)


@pytest.fixture
def chapter(tmp_path):
    chapter_of_the_page(tmp_path / "12_another.ipynb")
    return tmp_path / "12_another.ipynb"


def test_the_cells_of_the_page_are_a_chapter(chapter, store, tmp_path, monkeypatch):
    test_notebooks.test_a_chapter_is_committed_without_outputs_and_with_its_parameters(chapter)
    test_notebooks.test_a_chapter_runs_at_smoke_and_every_figure_has_a_name_a_caption_and_a_text(
        chapter, store, tmp_path, monkeypatch
    )
    executed = nbformat.read(tmp_path / "out.ipynb", 4)
    assert sum("image/png" in o.get("data", {}) for c in executed.cells for o in c.get("outputs", [])) == 1
    executed.metadata["galgen"] = {"parameters": {"data": "simulated"}}
    nbformat.write(executed, tmp_path / "out.ipynb")
    kept = results.collect([tmp_path / "out.ipynb"])["kept"]["out"]["agreement"]
    assert kept["N"] == 12 and -1 <= kept["value"] <= 1 and -1 <= kept["null"] <= 1


def test_every_path_that_the_page_names_is_there():
    named = set(re.findall(r"`((?:galgen|workflow|book|notebooks)/[\w/.]*)`", PAGE))
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
