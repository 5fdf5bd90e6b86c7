"""The book: put the executed chapters and the prose together and render them.

    notebooks/NAME.ipynb --papermill--> build/RUN/chapters/NAME.ipynb --+
    book/*.md, _config.yml, _toc.yml --------------------------------- +--> build/RUN/html/index.html

`python -m workflow.book.assemble chapter|render` are the two steps of the workflow that end in the book. A
warning of Sphinx is an error: a page that is shown is whole.
"""

import argparse
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
from galgen.experiment import every_family
from galgen.figures import results
from galgen.runs.errors import GalgenError
from galgen.runs.files import read_json, write_json
from galgen.runs.store import Store
from workflow.book import chapters, run_index, workflow_graph

__all__ = ["build_name", "jupyter_book", "render"]


def build_name(parameters: Parameters) -> str:
    """The folder under build/ of a run of the book, as `smoke-simulated-N8-24`."""
    name = f"{parameters.profile}-{Path(parameters.data).stem}"
    N = parameters.N
    if N is not None:
        name += "-N" + "-".join(map(str, N))
    return name + (f"-seed{parameters.seed}" if parameters.seed else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table with its numbers aligned right."""
    rule = ["---:" if isinstance(value, int | float) else "---" for value in rows[0]]
    lines = [head, rule, *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def _status(records: dict[str, dict], trainings: Sequence[dict]) -> str:
    """Tables of what ran, for how long, where and with which versions."""

    def when(moment: str) -> str:
        return moment[:16].replace("T", " ")

    rows = [
        (f"{{doc}}`/chapters/{name}`", "passed", r["seconds"], when(r["finished"]), f"`{r['commit']}`")
        for name, r in records.items()
    ]
    text = _table(["chapter", "result", "seconds", "finished (UTC)", "commit"], rows)
    if trainings:
        runs = [(stamp["name"], Store().get(stamp["key"]).record) for stamp in trainings]
        rows = [
            (name, round(r["seconds"]), when(r["created"]), f"`{r['commit']}`", f"`{r['key'][:8]}`")
            for name, r in runs
        ]
        text += "\n" + _table(["training", "seconds", "made (UTC)", "commit", "key"], rows)
    last = list(records.values())[-1]
    rows = [(name, last[name]) for name in ("machine", "device", "python")] + list(last["versions"].items())
    return text + "\n" + _table(["machine and versions", " "], rows)


def _expected(plan: Sequence[dict]) -> str:
    """The graph again as a table, with what the trainings are expected to cost."""
    rows = [
        (
            group,
            len(members),
            round(sum(record["minutes"] for record in members), 1),
            ", ".join(sorted({name for record in members for name in record["chapters"]})),
        )
        for group, members in workflow_graph.groups(plan).items()
    ]
    return _table(["trainings", "models", "minutes expected", "read by"], rows) if rows else ""


def _point_to_repository(config: Path, citation: Path) -> None:
    """Put buttons to the repository and to Binder on the pages, if the citation says where the code is."""
    url = yaml.safe_load(citation.read_text()).get("repository-code") if citation.is_file() else None
    if url:
        settings = yaml.safe_load(config.read_text())
        settings["repository"] = {"url": url, "branch": "HEAD"}
        settings["html"]["use_repository_button"] = True
        settings["launch_buttons"] = {
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        }
        config.write_text(yaml.safe_dump(settings))


def _assemble(
    source: Path,
    notebooks: Path,
    build: Path,
    executed: Sequence[Path],
    plan: Sequence[dict],
    trainings: Sequence[dict],
) -> dict:
    """Copy the prose, the chapters, the generated pages and MathJax into a fresh folder for Jupyter Book.

    Returns:
        The record of this run, for the list of runs.
    """
    work = build / "book"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work)
    _point_to_repository(work / "_config.yml", source.parent / "CITATION.cff")
    for folder in ("chapters", "_notebooks", "_generated"):
        (work / folder).mkdir()
    records = {}
    for path in executed:
        chapter = chapters.page(path)
        records[path.stem] = chapter.metadata["galgen"]
        nbformat.write(chapter, work / "chapters" / path.name)
        shutil.copy(notebooks / path.name, work / "_notebooks")
    (work / "_generated" / "status.md").write_text(_status(records, trainings))
    (work / "_generated" / "workflow.md").write_text(
        f"```{{raw}} html\n{workflow_graph.draw(plan, list(records))}\n```\n\n{_expected(plan)}"
    )

    # The extension of this package copies all 24 MB of MathJax; a page needs one script and the fonts.
    mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    fonts = "output/chtml/fonts/woff-v2"
    shutil.copytree(mathjax / fonts, work / "_extra" / "mathjax" / fonts)
    shutil.copy(mathjax / "tex-chtml.js", work / "_extra" / "mathjax")

    parameters = list(records.values())[-1]["parameters"]
    sizes = sorted({N for r in records.values() for N in r["N"]})
    own = run_index.record(parameters, sizes, list(records.values()), trainings)
    run_index.add_page(work, build, own, executed)
    return own


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
    html = build / "html"
    own = _assemble(source, notebooks, build, executed, plan, trainings)
    made = jupyter_book(build / "book", "html")
    shutil.rmtree(html, ignore_errors=True)
    made.rename(html)
    write_json(build / "run.json", own)
    write_json(build / "results.json", {"run": own, **results.collect(executed)})
    pages = [*html.glob("*.html"), *html.glob("chapters/*.html")]
    for page in pages:
        # The theme's hint to load fonts early is an error in a page opened as a file.
        text = re.sub(r'<link rel="preload" as="font"[^>]*>\n?', "", page.read_text())
        # Binder opens a chapter where the repository has it.
        page.write_text(text.replace("=lab/tree/chapters/", "=lab/tree/notebooks/"))
    for page in sorted(pages):
        images = set(re.findall(r'"(?:\.\./)?(_images/[^"]+)"', page.read_text()))
        size = page.stat().st_size + sum((html / image).stat().st_size for image in images)
        print(f"{size / 1e6:8.2f} MB  {page.relative_to(html)}")
    total = sum(path.stat().st_size for path in html.rglob("*") if path.is_file())
    print(f"{total / 1e6:8.2f} MB  with scripts and fonts\n\nThe book: {(html / 'index.html').absolute()}")
    return html / "index.html"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step of the workflow; returns the exit code."""
    parser = argparse.ArgumentParser(prog="workflow.book.assemble", description="Two steps of the workflow.")
    steps = parser.add_subparsers(dest="step", required=True)
    chapter, book = steps.add_parser("chapter"), steps.add_parser("render")
    chapter.add_argument("notebook", type=Path)
    chapter.add_argument("output", type=Path)
    chapter.add_argument("--stamp", type=Path, required=True, help="what `galgen data prepare` wrote")
    book.add_argument("source", type=Path)
    book.add_argument("notebooks", type=Path)
    book.add_argument("build", type=Path)
    book.add_argument("--chapters", type=Path, nargs="+", required=True)
    book.add_argument("--trainings", type=Path, nargs="*", default=[])
    for step in (chapter, book):
        step.add_argument("--profile", required=True)
        step.add_argument("--data", required=True)
        step.add_argument("--N", type=int, nargs="*")
        step.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    try:
        parameters = Parameters.checked(
            profile=args.profile, data=args.data, N=args.N or None, seed=args.seed
        )
        experiments = every_family(parameters)
        if args.step == "chapter":
            data = read_json(args.stamp)["dataset"]
            own = [e for e in experiments.values() if args.notebook.stem in e.chapters]
            sizes = sorted({N for e in own or experiments.values() for N in e.sizes})
            note = {"N": sizes, "images": data["images"], "sha256": data["sha256"]}
            chapters.execute(args.notebook, args.output, parameters, note)
        else:
            trainings = [read_json(path) for path in args.trainings]
            plan = [record for e in experiments.values() for record in e.plan()]
            render(args.source, args.notebooks, args.build, args.chapters, plan, trainings)
    except GalgenError as error:
        print(f"galgen: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
