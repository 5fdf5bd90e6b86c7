"""Documentation for newcomers: the reading order, the table of the paper's figures, the doctests."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


READ = (ROOT / "README.md").read_text().partition("\n## Read the code\n")[2].partition("\n## ")[0]


def test_the_reading_path_is_ten_files_that_are_there():
    path = re.findall(r"^\d+\. `(galgen/[\w/]+\.py)`", READ, re.MULTILINE)
    assert len(path) == 10 and all((ROOT / name).is_file() for name in path)


def test_every_figure_of_the_paper_names_a_chapter_and_at_most_three_functions_that_are_there():
    lines = (ROOT / "book" / "figures.md").read_text().splitlines()
    rows = [line.split("|")[1:6] for line in lines if line.startswith(("| figure", "| Table"))]
    figures = [f"figure {k}" for k in range(1, 17)]
    assert [row[0].strip() for row in rows] == [*figures[:11], "Table 1", *figures[11:]]
    for _, _, here, functions, _ in rows:
        (notebook,) = (ROOT / "notebooks").glob(f"{here.split(',')[0].strip()}_*.ipynb")
        for name in re.findall(r"\{numref\}`([\w-]+)`", here):
            assert f'"name": "{name}"' in notebook.read_text()
        names = re.findall(r"`([\w.]+)`", functions)
        assert functions.strip() == ", ".join(f"`{name}`" for name in names) and 1 <= len(names) <= 3
        whole = [name if name.startswith("galbook.") else f"galgen.{name}" for name in names]
        assert all(callable(pkgutil.resolve_name(name)) for name in whole)


SHOWN = [path.relative_to(ROOT) for path in (ROOT / "galgen").rglob("*.py") if ">>> " in path.read_text()]
DOCTESTS = sorted(".".join(path.with_suffix("").parts) for path in SHOWN)


@pytest.mark.parametrize("name", DOCTESTS)
def test_what_a_docstring_shows_is_what_comes_out(name):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted and not found.failed


def test_the_closed_forms_are_shown():
    assert len(DOCTESTS) >= 10
