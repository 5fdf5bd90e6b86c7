"""Chapters: notebooks executed by papermill with the parameters of a run, and their pages of the book.

Failing cells and Python warnings are errors. Provenance is stored in the metadata of the executed notebook
and printed at the end of the page. Code of galgen in a chapter is included from its source file.
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

_CODE = re.compile(r"^(```\{literalinclude\}) \.\./(.+)", re.MULTILINE)  # relative to notebooks/


def names(toc: str | os.PathLike) -> list[str]:
    """Names of the notebooks in a table of contents, in reading order."""
    given = yaml.safe_load(Path(toc).read_text())
    entries = [entry for part in given.get("parts", [given]) for entry in part["chapters"]]
    files = [given.get("root", ""), *(entry["file"] for entry in entries)]
    return [file.removeprefix("chapters/") for file in files if file.startswith("chapters/")]


def committed(notebook: str | os.PathLike, results: str | os.PathLike) -> list[Path]:
    """Files in a folder of results that a chapter reads: those it names, and published tables."""
    source, folder = Path(notebook).read_text(), Path(results)
    paths = [folder / name for name in re.findall(r'\\"results\\" / \\"([\w.]+)\\"', source)]
    if re.search(r"\b(published|verdicts|cells\w*)\(", source):
        paths += [path for name in ("measurements.csv", "run.json") for path in visible(folder, f"*/{name}")]
    return [path for path in paths if path.is_file()]  # the chapter itself reports a dangling link


def included(notebook: str | os.PathLike) -> list[Path]:
    """Source files from which a chapter includes code."""
    paths = re.findall(r"\{literalinclude\} \.\./([^\s\"\\]+)", Path(notebook).read_text())
    return [Path(name) for name in dict.fromkeys(paths)]


def execute(notebook: Path, output: Path, parameters: Parameters, note: dict) -> None:
    """Execute a chapter with papermill and store its provenance in the metadata.

    Args:
        notebook: The source notebook.
        output: The executed notebook, written only if every cell ran.
        parameters: Parameters of the chapter; None and False keep the default of the notebook.
        note: Further metadata: N (list), and number and sha256 of the images.

    Raises:
        GalgenError: If a cell fails, with its error and the path of the unfinished notebook.
    """
    values = parameters.model_dump(mode="json").items()
    given = {name: value for name, value in values if value is not None and value is not False}
    unfinished = output.parent / f"unfinished-{output.name}"
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="galgen-") as sockets:
            papermill.execute_notebook(
                notebook,
                unfinished,
                given,
                kernel_name="python3",  # of this environment, whichever kernel the notebook names
                language="python",
                # Sockets in a separate folder: chapters that start together would share one.
                # A kernel is interrupted before it is shut down, which it would report as an error.
                config=Config(
                    {
                        "KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"},
                        "NotebookClient": {"extra_arguments": ["--IPKernelApp.log_level=CRITICAL"]},
                    }
                ),
                cwd=os.getcwd(),
                progress_bar=sys.stderr.isatty(),
            )
    except PapermillExecutionError as error:
        raise GalgenError(
            f"{notebook}, cell {error.exec_count}: {error.ename}: {error.evalue}\n"
            f"the unfinished notebook, with the full traceback: {unfinished}"
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
    """Commits, machines and dates of the published runs that the code of a chapter names."""
    code, runs = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"), []
    for path in visible(project() / "results", "*/run.json"):
        name = path.parent.name
        if name == "laptop-simulated" or name in code or re.search(r"\bRUNS\b|\bcells_of_run\(", code):
            files = read_json(path)["files"].values()
            values = {key: sorted({file[key] for file in files}) for key in ("commit", "machine", "date")}
            values["rows"] = max(file["rows"][1] for file in files)
            again = [file["confirmed"].split()[2] for file in files if "confirmed" in file]
            values["confirmed"] = sum(map(int, again)) if again else None
            runs.append({"name": name, **values})
    return runs


def page(executed: Path) -> nbformat.NotebookNode:
    """Page of an executed chapter: parameters hidden, provenance collapsed at the end.

    Args:
        executed: The executed notebook.

    Raises:
        GalgenError: If the notebook has no title, or Python emitted a warning.
    """
    notebook = nbformat.read(executed, as_version=4)
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        raise GalgenError(f"{executed.name}: the first cell must open with the title, '# ...'")
    record = notebook.metadata["galgen"]  # provenance of this page
    data = Path(record["parameters"]["data"]).stem
    for index, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags or "parameters" in tags:
            cell.metadata["tags"] = [*tags, "remove-cell"]
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr" and re.search(r"^.*Warning: ", output.text, re.MULTILINE):
                raise GalgenError(f"{executed.name}, cell {index}, emitted a warning:\n{output.text.strip()}")
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt:
                cell.metadata.setdefault("mystnb", {}).setdefault("image", {})["alt"] = alt
    values = {"processor": processor(record["machine"]), "runs": _published_runs(notebook)}
    text = rendered("provenance.md.j2", **record, **values, data=data, name=executed.stem)
    notebook.cells.append(new_markdown_cell(text))
    return notebook


def put(page: nbformat.NotebookNode, path: Path) -> None:
    """Write a page into the sources of the book, with paths of included code relative to it."""
    root = os.path.relpath(project().resolve(), path.parent.resolve())
    for cell in page.cells:
        cell.source = _CODE.sub(rf"\1 {root}/\2\n:dedent:", cell.source)
    nbformat.write(page, path)
