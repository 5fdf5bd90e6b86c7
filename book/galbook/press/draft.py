"""The book while it is made: bound again as chapters are done, with a page for each that is still to come.

A page to come has the text of its chapter, the captions of its figures, and the time by which it will be
there at most; its numbers are missing. The page that opens has live models from the first, and pictures as
soon as their models are trained; models that are published of these galaxies stand in, and the page says so.
A draft appears whole, in the place of the one before it, and never in the place of a finished book.
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
from galbook.press.runs import AGAIN, HEADLINE, Prepared, Run, Trained, digest, families
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, STUDIES
from galgen.published import WithPublished
from galgen.runs.code_version import notebook_version
from galgen.runs.errors import GalgenError
from galgen.runs.files import visible
from galgen.runs.reading import read_as

CHAPTER_MINUTES = 3.0  # of a core, more than most take
_PENDING = "(not computed yet)"
_PUBLISHED = (
    "**Published models.** These are not yet the models of this run, which is training its own. The project "
    "comes with them; settings and galaxies are the same."
)


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
    glued = re.findall(r'^ *glue\(\s*"([^"]+)"', text, re.M) + re.findall(r"\{glue:md\} (.+)", text)
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


def published_headline(run: Run, notebook: Path) -> Path | None:
    """The headline before its table, of models that are there or published; None without."""
    store = WithPublished()
    experiment = Experiment(run.parameters, store)
    pairs = [experiment.models.pair(n) for n in (experiment.sizes[0], experiment.sizes[-1])]
    models = [model for pair in pairs for model in pair]
    found = [store.find(**experiment.identity(model)) for model in models]
    if not all(found):
        return None
    made, source = run.folder / "draft" / notebook.name, nbformat.read(notebook, as_version=4)
    code = notebook_version(notebook, *((FAMILIES | STUDIES)[name] for name in families(notebook)))
    of = digest(code, [model.key for model in found])
    if not made.is_file() or nbformat.read(made, as_version=4).metadata["galgen"].get("of") != of:
        for cell in source.cells:
            cell.source = cell.source.replace(
                "from galgen.runs.store import Store", "from galgen.published import WithPublished as Store"
            )
        if any("trained" in run.record for run in found):  # not of this store
            title, rest = source.cells[0].source.split("\n", 1)
            source.cells[0].source = f"{title}\n\n{_PUBLISHED}\n{rest}"
        changed = run.folder / "draft" / "published" / notebook.name
        changed.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(source, changed)
        data = read_as(run.folder / "data.json", Prepared, AGAIN)["dataset"]
        note = {"N": [experiment.sizes[0], experiment.sizes[-1]], "images": data["images"], "of": of}
        chapters.execute(changed, made, run.parameters, note | {"sha256": data["sha256"]})
    return made


def bind(run: Run, source: Path, notebooks: Path, cores: int) -> Path | None:
    """Bind what there is of a run; returns the book, or None where it is finished, or being bound.

    Args:
        run: The run.
        source: The folder of the prose.
        notebooks: The folder of the chapters' sources.
        cores: Jobs at a time.

    Raises:
        GalgenError: If nothing of it is executed yet.
    """
    names = chapters.names(source / "_toc.yml")
    try:
        with assemble.binding(run.folder, timeout=0):
            if (run.folder / "results.json").is_file():
                return None
            executed = {n: p for n in names if (p := run.folder / "chapters" / f"{n}.ipynb").is_file()}
            if not executed:
                raise GalgenError(f"no chapter of {run.folder} is executed yet")
            paths = visible(run.folder / "trainings", "*.json")
            stamps = [read_as(path, Trained, AGAIN) for path in paths]
            left = due(run.plan, {stamp["name"] for stamp in stamps}, set(executed), names, cores)
            now = datetime.datetime.now(datetime.UTC)
            words = {name: f"at most {m:.0f} minutes from {now:%H:%M} UTC" for name, m in left.items()}
            pages = {name: to_come(notebooks / f"{name}.ipynb", text) for name, text in words.items()}
            # not for the first draft, which nobody shall wait for
            wanted = HEADLINE in left and (run.folder / "html").is_dir()
            preview = published_headline(run, notebooks / f"{HEADLINE}.ipynb") if wanted else None
            banner = {"done": len(executed), "of": len(names)}
            banner["sheets"] = [path.absolute() for path in visible(run.folder / "sheets", "*.png")]
            banner["words"] = words[max(left, key=left.get)] if left else "a minute or two"
            if preview:
                executed[HEADLINE] = preview
                pages.pop(HEADLINE)
            paths = [executed[name] for name in names if name in executed]
            of = source, notebooks, run.folder, paths, list(run.plan.values()), stamps
            return assemble.draft(assemble.Sources(*of), pages, banner)
    except Timeout:
        return None
