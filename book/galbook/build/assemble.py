"""Assemble the executed chapters and the prose of the book, and render them as HTML.

    notebooks/NAME.ipynb --papermill--> build/RUN/chapters/NAME.ipynb --+
    the pages of book/ (`pages_of`) -----------------------------------+--> build/RUN/html/index.html

Warnings of Sphinx are errors.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import yaml

from galbook.build import chapters, live, pages, settings
from galbook.build.runs import HEADLINE
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, checked
from galgen.runs.files import write_json


def root_of(work: Path) -> str:
    """Path of the first page, without suffix, relative to the sources of a book."""
    return yaml.safe_load((work / "_toc.yml").read_text())["root"]


def pages_of(prose: Path) -> list[Path]:
    """Source files of a book other than its chapters and code."""
    return files_in(prose, "*.md", "_config.yml", "_toc.yml", "references.bib", "_static/**/*", "_extra/**/*")


def files_in(folder: Path, *patterns: str) -> list[Path]:
    """Files in a folder that match glob patterns, without hidden files and Python caches."""
    paths = (path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    hidden = (".", "__pycache__")
    return [p for p in paths if not any(part.startswith(hidden) for part in p.relative_to(folder).parts)]


def _point_to_repository(config: Path, citation: Path) -> None:
    """Add buttons for the repository and Binder to the pages, if CITATION.cff has a repository URL."""
    url = yaml.safe_load(citation.read_text()).get("repository-code") if citation.is_file() else None
    if url:
        settings = yaml.safe_load(config.read_text())
        settings["repository"] = {"url": url, "branch": "HEAD"}
        settings["html"]["use_repository_button"] = True
        launch = {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"}
        settings["launch_buttons"] = launch
        config.write_text(yaml.safe_dump(settings))


def _copy_mathjax(folder: Path) -> None:
    """Copy the script and the fonts that pages need, instead of all 24 MB of MathJax."""
    mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    fonts = "output/chtml/fonts/woff-v2"
    shutil.copytree(mathjax / fonts, folder / fonts)
    shutil.copy(mathjax / "tex-chtml.js", folder)


def jupyter_book(work: Path, builder: str) -> Path:
    """Build the assembled sources with Jupyter Book; warnings are errors.

    Returns:
        The folder of the output.
    """
    program = Path(sys.executable).with_name("jupyter-book")  # it cannot be run with python -m
    options = ["--path-output", work, "--builder", builder, "-W", "--keep-going", "-q"]
    result = subprocess.run([program, "build", work, *options], capture_output=True, text=True)
    if result.returncode:
        log = f"{result.stdout[-2000:]}{result.stderr[-6000:]}"
        why = re.search(r".*\b(?:WARNING|ERROR|Error)\b.*", log)  # the first line goes into failed.json
        raise GalgenError(f"Jupyter Book failed on {work}: {why[0] if why else 'no warning'}\n{log}")
    return work / "_build" / builder


def missing_chapters(prose: Path, build: Path) -> list[str]:
    """Return the names of the chapters that were not executed in the folder of a run."""
    names = chapters.names(prose / "_toc.yml")
    return [name for name in names if not (build / "chapters" / f"{name}.ipynb").is_file()]


def render(
    prose: Path, notebooks: Path, build: Path, trainings: Sequence[dict] = (), origin: str = ""
) -> Path:
    """Render the book of a run; warnings are errors.

    Args:
        prose: Folder of the prose, with _config.yml and _toc.yml.
        notebooks: Folder of the source notebooks, which the pages offer for download.
        build: Folder of the run, with its executed chapters.
        trainings: Name, key, seconds, time and commit of each model.
        origin: Markdown at the end of the first page and of the page on the workflow.

    Returns:
        build/html/index.html.

    Raises:
        GalgenError: If a chapter was not executed, or if a chapter or Jupyter Book emitted a warning.
    """
    executed = [build / "chapters" / f"{name}.ipynb" for name in chapters.names(prose / "_toc.yml")]
    if missing := missing_chapters(prose, build):
        raise GalgenError(f"{', '.join(missing)} of {build} were not executed; run make book")
    work = build / "book"
    _assembled(prose, notebooks, executed, work, trainings, origin)
    html = _put_up(jupyter_book(work, "html"), build)
    write_json(build / "results.json", {"pages": len(_pages(html))})  # marks a complete book
    for page in _pages(html):
        images = set(re.findall(r'"(?:\.\./)?(_images/[^"]+)"', page.read_text()))
        size = page.stat().st_size + sum((html / image).stat().st_size for image in images)
        print(f"{size / 1e6:8.2f} MB  {page.relative_to(html)}")
    total = sum(path.stat().st_size for path in html.rglob("*") if path.is_file())
    print(f"{total / 1e6:8.2f} MB  with scripts and fonts\n\nThe book: {(html / 'index.html').absolute()}")
    return html / "index.html"


def _append(page: Path, words: str) -> None:
    """Append Markdown to a page or, for a notebook, to its last cell."""
    if not (words and page.is_file()):
        return
    if page.suffix == ".ipynb":
        notebook = nbformat.read(page, as_version=4)
        notebook.cells[-1].source += f"\n\n{words}"
        nbformat.write(notebook, page)
    else:
        page.write_text(f"{page.read_text()}\n{words}\n")


def _assembled(
    prose: Path, notebooks: Path, executed: Sequence[Path], work: Path, trainings: Sequence[dict], origin: str
) -> None:
    """Assemble the sources of a book in a folder."""
    shutil.rmtree(work, ignore_errors=True)
    for path in pages_of(prose):
        copy = work / path.relative_to(prose)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    _point_to_repository(work / "_config.yml", prose.parent / "CITATION.cff")
    _copy_mathjax(work / "_extra" / "mathjax")
    for folder in ("chapters", "_notebooks", "_generated"):
        (work / folder).mkdir()
    records = {}
    for path in executed:
        chapter = chapters.page(path)
        records[path.stem] = chapter.metadata["galgen"]
        chapters.put(chapter, work / "chapters" / path.name)
        shutil.copy(notebooks / path.name, work / "_notebooks")
    parameters = checked(Parameters, records[executed[-1].stem]["parameters"], "parameters")
    generated = {
        "status": pages.status(records, trainings),
        "bench": pages.bench(prose.parent / "results" / "bench.json"),
        "deviations": settings.compared_with_paper(parameters),
        "profiles": settings.sizes(),
        "statistics": settings.statistics(),
        "criteria": settings.criteria(),
    }
    for name, text in generated.items():
        (work / "_generated" / f"{name}.md").write_text(text)
    if HEADLINE in records:
        live.write(work, parameters)
    for name in (f"{root_of(work)}.ipynb", "workflow.md"):
        _append(work / name, origin)


def _put_up(new: Path, build: Path) -> Path:
    """Post-process built pages and replace the previous ones; returns their folder."""
    for page in _pages(new):
        # Preloading fonts fails in a page opened as a file.
        text = re.sub(r'<link rel="preload" as="font"[^>]*>\n?', "", page.read_text())
        # Binder opens the source notebook in the repository.
        text = text.replace("=lab/tree/chapters/", "=lab/tree/notebooks/")
        # On the first page, Binder opens the explorer with the published models.
        text = text.replace(f"notebooks/{HEADLINE}.ipynb", "notebooks/explore.ipynb")
        # Figures link to their full-size images, for small screens.
        text = re.sub(r'(<figure[^>]*>\s*)(<img [^>]*src="([^"]+)"[^>]*>)', r'\1<a href="\3">\2</a>', text)
        page.write_text(text)
    html, before = build / "html", build / "html.before"
    shutil.rmtree(before, ignore_errors=True)
    if html.exists():
        html.rename(before)
    new.rename(html)
    shutil.rmtree(before, ignore_errors=True)
    return html


def _pages(html: Path) -> list[Path]:
    return sorted([*html.glob("*.html"), *html.glob("chapters/*.html")])
