"""A chapter: a notebook that papermill runs with the parameters of this run, made ready for the book.

A cell that fails and a Python warning are errors. What ran where is noted in the executed notebook's metadata
and stands at the end of the page. Code of galgen that a chapter shows is included from where it is.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
import papermill
import torch
import yaml
from nbformat.v4 import new_markdown_cell
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from galbook.build.pages import rendered
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_path, project, read_json, visible
from galgen.runs.store import processor, provenance

_CODE = re.compile(r"^(```\{literalinclude\}) \.\./(.+)", re.MULTILINE)  # a path beside notebooks/


def names(toc: str | os.PathLike) -> list[str]:
    """Names of the notebooks in a table of contents, in reading order."""
    given = yaml.safe_load(Path(toc).read_text())
    entries = [entry for part in given.get("parts", [given]) for entry in part["chapters"]]
    files = [given.get("root", ""), *(entry["file"] for entry in entries)]
    return [file.removeprefix("chapters/") for file in files if file.startswith("chapters/")]


def committed(notebook: str | os.PathLike, results: str | os.PathLike) -> list[Path]:
    """Files of a folder of results that a chapter shows: those that it names, and published tables."""
    source, folder = Path(notebook).read_text(), Path(results)
    found = [folder / name for name in re.findall(r'\\"results\\" / \\"([\w.]+)\\"', source)]
    if re.search(r"\b(published|verdicts|cells\w*)\(", source):
        found += [path for name in ("measurements.csv", "run.json") for path in visible(folder, f"*/{name}")]
    return [path for path in found if path.is_file()]  # the chapter tells of a link to nothing


def shown(notebook: str | os.PathLike) -> list[Path]:
    """The files of our code of which a chapter shows a part, as it is in the file."""
    found = re.findall(r"\{literalinclude\} \.\./([^\s\"\\]+)", Path(notebook).read_text())
    return [Path(name) for name in dict.fromkeys(found)]


def execute(notebook: Path, output: Path, parameters: Parameters, note: dict) -> None:
    """Run a chapter with papermill and note in the result what ran where.

    Args:
        notebook: The source.
        output: The executed notebook; it appears only if every cell ran.
        parameters: Those of the chapter; what is None or False keeps the notebook's own value.
        note: What the header says beyond them: N (list), and images and sha256 of the data set.

    Raises:
        GalgenError: If a cell fails: its error, and where the unfinished notebook lies.
    """
    asked = parameters.model_dump(mode="json").items()
    given = {name: value for name, value in asked if value is not None and value is not False}
    unfinished = output.parent / f"unfinished-{output.name}"
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="galgen-") as sockets:
            papermill.execute_notebook(
                notebook,
                unfinished,
                given,
                kernel_name="python3",  # of this environment, whatever Jupyter the reader saved it with
                language="python",
                # Sockets in a folder of their own: two chapters that start together would share one.
                config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
                cwd=os.getcwd(),
                progress_bar=sys.stderr.isatty(),
            )
    except PapermillExecutionError as error:
        raise GalgenError(
            f"{notebook}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
            f"the notebook as far as it came, with the whole traceback: {unfinished}"
        ) from error
    executed = nbformat.read(unfinished, as_version=4)
    executed.metadata["galgen"] = {
        **provenance(),
        "parameters": parameters.model_dump(mode="json"),
        **note,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "seconds": round(executed.metadata.papermill.duration),
        "finished": executed.metadata.papermill.end_time[:19] + "Z",
    }
    with atomic_path(output) as temporary:
        nbformat.write(executed, temporary)
    unfinished.unlink()


def _published_runs(notebook: nbformat.NotebookNode) -> list[dict]:
    """Of the published runs that the code of a chapter names, by whom, where and when they were measured."""
    code, found = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"), []
    for path in visible(project() / "results", "*/run.json"):
        name = path.parent.name
        if name == "laptop-simulated" or name in code or re.search(r"\bRUNS\b|\bcells_of_run\(", code):
            files = read_json(path)["files"].values()
            told = {each: sorted({file[each] for file in files}) for each in ("commit", "machine", "date")}
            told["rows"] = max(file["rows"][1] for file in files)
            found.append({"name": name, **told})
    return found


def page(executed: Path) -> nbformat.NotebookNode:
    """A chapter made ready for the book: parameters hidden, provenance folded at its end.

    Args:
        executed: The executed notebook.

    Raises:
        GalgenError: If it has no title, or Python warned in it.
    """
    notebook = nbformat.read(executed, as_version=4)
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        raise GalgenError(f"{executed.name}: the first cell must open with the title, '# ...'")
    record = notebook.metadata["galgen"]  # what this page was computed with
    data = Path(record["parameters"]["data"]).stem
    for index, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags or "parameters" in tags:
            cell.metadata["tags"] = [*tags, "remove-cell"]
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr" and re.search(r"^.*Warning: ", output.text, re.MULTILINE):
                raise GalgenError(f"{executed.name}, cell {index}, warned:\n{output.text.strip()}")
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt:
                cell.metadata.setdefault("mystnb", {}).setdefault("image", {})["alt"] = alt
    values = {"processor": processor(record["machine"]), "runs": _published_runs(notebook)}
    told = rendered("provenance.md.j2", **record, **values, data=data, name=executed.stem)
    notebook.cells.append(new_markdown_cell(told))
    return notebook


def put(page: nbformat.NotebookNode, path: Path) -> None:
    """Write a page where it lies among the book's sources; what it shows of our code is read from there."""
    root = os.path.relpath(project().resolve(), path.parent.resolve())
    for cell in page.cells:
        cell.source = _CODE.sub(rf"\1 {root}/\2\n:dedent:", cell.source)
    nbformat.write(page, path)
