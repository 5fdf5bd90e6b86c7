"""The book while it is made: bound again as chapters are done, with a page for each that is still to come.

A page to come has the text of its chapter, the captions of its figures, and the time by which it will be
there at most; its numbers are missing. The page that opens has live models from the first; models that are
published of these galaxies stand in, and the page says so. A draft appears whole, in the place of the one
before it, and never in the place of a finished book, unless this is asked for.
"""

import datetime
import re
from collections.abc import Mapping
from pathlib import Path

import nbformat
from filelock import Timeout
from myst_nb.ext.glue import GLUE_PREFIX
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from galbook.press import assemble, chapters
from galbook.press.pages import rendered
from galbook.press.runs import AGAIN, Run, Trained
from galgen.runs.errors import GalgenError
from galgen.runs.files import visible
from galgen.runs.reading import read_as

CHAPTER_MINUTES = 3.0  # of a core, more than most take
_PENDING = "(not computed yet)"


def to_come(notebook: Path, words: str) -> nbformat.NotebookNode:
    """A page in the place of a chapter: its text, its figures' captions, and what it glues, all pending.

    Args:
        notebook: The chapter's source.
        words: When it will be there.
    """
    source = nbformat.read(notebook, as_version=4)
    title, newline, rest = source.cells[0].source.partition("\n")
    header = rendered("pending.md.j2", words=words)
    cells, text = [new_markdown_cell(f"{title}\n\n{header}{newline}{rest}")], ""
    for cell in source.cells:
        text += cell.source + "\n"
        figure = cell.metadata.get("mystnb", {}).get("figure")
        if cell.cell_type == "markdown" and cell is not source.cells[0]:
            cells.append(new_markdown_cell(cell.source))
        elif figure:
            options = f":name: {figure['name']}\n:alt: to come\n:width: 90px"
            picture = f"::::{{figure}} ../_static/pending.svg\n{options}\n\n{figure['caption']}\n::::"
            cells.append(new_markdown_cell(picture))
    # glued by a cell, or, for its own page, by a function that a cell calls
    glued = re.findall(r'^ *glue\(\s*"([^"]+)"|\{glue:\w+\}[ `]([^`\n]+)', text, re.M)
    glued = ["".join(each) for each in glued]
    outputs = list(map(_glued, dict.fromkeys(glued)))
    cells.append(new_code_cell("", metadata={"tags": ["remove-cell"]}, outputs=outputs))
    return nbformat.v4.new_notebook(cells=cells, metadata=source.metadata)


def _glued(key: str) -> nbformat.NotebookNode:
    data = {f"{GLUE_PREFIX}text/plain": f"'{_PENDING}'", f"{GLUE_PREFIX}text/markdown": _PENDING}
    return new_output("display_data", data, metadata={"scrapbook": {"name": key, "mime_prefix": GLUE_PREFIX}})


def due(
    plan: Mapping[str, Mapping], done: set[str], executed: set[str], names: list[str], cores: int
) -> dict:
    """In how many minutes each chapter that is not executed will be there at most, by its name.

    Args:
        plan: The trainings in the order in which they are made, with `minutes` and the `chapters` that read
            them.
        done: Those that are made.
        executed: The chapters that are.
        names: All chapters, in reading order.
        cores: Jobs at a time.
    """
    found, waiting = {}, 0
    for name in (name for name in names if name not in executed):
        waiting += 1
        before = 0.0
        minutes = 0.0
        for training, record in plan.items():
            before += 0 if training in done else record["minutes"]
            if name in record["chapters"]:
                minutes = before
        found[name] = minutes / cores + CHAPTER_MINUTES * waiting
    return found


def bind(run: Run, source: Path, notebooks: Path, cores: int, *, again: bool = False) -> Path | None:
    """Bind what there is of a run; returns the book, or None where it is finished, or being bound.

    Args:
        run: The run.
        source: The folder of the prose.
        notebooks: The folder of the chapters' sources.
        cores: Jobs at a time.
        again: Whether to bind it in the place of a finished one, and to wait for who binds it.

    Raises:
        GalgenError: If nothing of it is executed yet.
    """
    names = chapters.names(source / "_toc.yml")
    try:
        with assemble.binding(run.folder, timeout=-1 if again else 0):
            if (run.folder / "results.json").is_file() and not again:
                return None
            executed = {n: p for n in names if (p := run.folder / "chapters" / f"{n}.ipynb").is_file()}
            if not executed:
                raise GalgenError(f"no chapter of {run.folder} is executed yet")
            paths = visible(run.folder / "trainings", "*.json")
            stamps = [read_as(path, Trained, AGAIN) for path in paths]
            left = due(run.plan, {stamp["name"] for stamp in stamps}, set(executed), names, cores)
            now = datetime.datetime.now(datetime.UTC)
            words = {name: f"at most {m:.0f} minutes from {now:%H:%M} UTC" for name, m in left.items()}
            words = dict.fromkeys(left, "") if again else words  # nobody is making them
            pages = {name: to_come(notebooks / f"{name}.ipynb", text) for name, text in words.items()}
            banner = {"done": len(executed), "of": len(names)}
            banner["sheets"] = [path.absolute() for path in visible(run.folder / "sheets", "*.png")]
            banner["words"] = words[max(left, key=left.get)] if left else "a minute or two"
            paths = [executed[name] for name in names if name in executed]
            of = source, notebooks, run.folder, paths, list(run.plan.values()), stamps
            return assemble.draft(assemble.Sources(*of), pages, banner)
    except Timeout:
        return None
