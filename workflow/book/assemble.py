"""The book: put the executed chapters and the prose together and render them.

    notebooks/NAME.ipynb --papermill--> build/RUN/chapters/NAME.ipynb --+
    book/*.md, _config.yml, _toc.yml --------------------------------- +--> build/RUN/html/index.html

A warning of Sphinx is an error: a page that is shown is whole.
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

from galgen.config import Parameters
from galgen.figures import results
from galgen.runs.errors import GalgenError, checked
from galgen.runs.files import write_json
from workflow.book import chapters, pages, settings


def _point_to_repository(config: Path, citation: Path) -> None:
    """Put buttons to the repository and to Binder on the pages, if the citation says where the code is."""
    url = yaml.safe_load(citation.read_text()).get("repository-code") if citation.is_file() else None
    if url:
        settings = yaml.safe_load(config.read_text())
        settings["repository"] = {"url": url, "branch": "HEAD"}
        settings["html"]["use_repository_button"] = True
        launch = {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"}
        settings["launch_buttons"] = launch
        config.write_text(yaml.safe_dump(settings))


def _copy_mathjax(folder: Path) -> None:
    """One script and the fonts, all that a page needs of the 24 MB which its Sphinx extension would copy."""
    mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    fonts = "output/chtml/fonts/woff-v2"
    shutil.copytree(mathjax / fonts, folder / fonts)
    shutil.copy(mathjax / "tex-chtml.js", folder)


def jupyter_book(work: Path, builder: str) -> Path:
    """Have Jupyter Book build the assembled sources; a warning is an error.

    Returns:
        The folder of what was built.
    """
    program = Path(sys.executable).with_name("jupyter-book")  # it cannot be run with python -m
    options = ["--path-output", work, "--builder", builder, "-W", "--keep-going", "-q"]
    result = subprocess.run([program, "build", work, *options], capture_output=True, text=True)
    if result.returncode:
        raise GalgenError(f"Jupyter Book failed on {work}:\n{result.stdout[-2000:]}{result.stderr[-6000:]}")
    return work / "_build" / builder


def render(
    source: Path,
    notebooks: Path,
    build: Path,
    executed: Sequence[Path],
    plan: Sequence[dict] = (),
    trainings: Sequence[dict] = (),
) -> Path:
    """Render the book; a warning is an error.

    Args:
        source: The folder of the prose, with _config.yml and _toc.yml.
        notebooks: The folder of the chapters' sources, which the pages offer for download.
        build: The folder of this run.
        executed: The executed chapters, in reading order.
        plan: The trainings it needs, as `Experiment.plan` lists them.
        trainings: What `galgen train` wrote of each model.

    Returns:
        build/html/index.html.

    Raises:
        GalgenError: If a chapter warned or Jupyter Book did.
    """
    work, html = build / "book", build / "html"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work)
    _point_to_repository(work / "_config.yml", source.parent / "CITATION.cff")
    _copy_mathjax(work / "_extra" / "mathjax")
    for folder in ("chapters", "_notebooks", "_generated"):
        (work / folder).mkdir()
    records = {}
    for path in executed:
        chapter = chapters.page(path)
        records[path.stem] = chapter.metadata["galgen"]
        nbformat.write(chapter, work / "chapters" / path.name)
        shutil.copy(notebooks / path.name, work / "_notebooks")
    (work / "_generated" / "status.md").write_text(pages.status(records, trainings))
    (work / "_generated" / "workflow.md").write_text(pages.workflow(plan, list(records)))
    for name in ("kills", "cluster", "bench", "gpu", "growth", "trial"):
        (work / "_generated" / f"{name}.md").write_text(pages.measured(source.parent / "results", name))
    notes = list(records.values())
    parameters = checked(Parameters, notes[-1]["parameters"], "parameters")
    (work / "_generated" / "deviations.md").write_text(settings.beside_the_paper(parameters))
    (work / "_generated" / "profiles.md").write_text(settings.sizes())
    sizes = sorted({N for note in notes for N in note["N"]})
    own = pages.record(parameters, sizes, notes, trainings)
    pages.add_runs(work, build, own, executed)

    new = jupyter_book(work, "html")
    shutil.rmtree(html, ignore_errors=True)
    new.rename(html)
    write_json(build / "results.json", {"run": own, **results.collect(executed)})
    write_json(build / "run.json", own)
    (build / "failed.json").unlink(missing_ok=True)
    made = sorted([*html.glob("*.html"), *html.glob("chapters/*.html")])
    for page in made:
        # The theme's hint to load fonts early is an error in a page opened as a file.
        text = re.sub(r'<link rel="preload" as="font"[^>]*>\n?', "", page.read_text())
        # Binder opens a chapter where the repository has it.
        text = text.replace("=lab/tree/chapters/", "=lab/tree/notebooks/")
        # And from the first of them the explorer, on the published models.
        text = text.replace("notebooks/00_headline.ipynb", "notebooks/explore.ipynb")
        page.write_text(text)
        images = set(re.findall(r'"(?:\.\./)?(_images/[^"]+)"', text))
        size = page.stat().st_size + sum((html / image).stat().st_size for image in images)
        print(f"{size / 1e6:8.2f} MB  {page.relative_to(html)}")
    total = sum(path.stat().st_size for path in html.rglob("*") if path.is_file())
    print(f"{total / 1e6:8.2f} MB  with scripts and fonts\n\nThe book: {(html / 'index.html').absolute()}")
    return html / "index.html"
