import base64
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import matplotlib
import nbformat
import pytest
from IPython.core.displayhook import CapturingDisplayHook
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from markdown_it import MarkdownIt
from nbformat.v4 import new_output
from traitlets.config import Config

from galgen.data.dataset import Dataset
from galgen.experiment import every_family
from galgen.profiles import Parameters
from galgen.runs.store import Store

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


SIZES = [6, 12]
MARKUP = "g|al<img src=x onerror=alert(1)> {doc}`y` $x$ [a](b)"  # the name of a data set of someone else's


@pytest.fixture(scope="session")
def models(store):
    """The store with all that the chapters need: trained here, as a process of its own costs more than that.

    Two processes begin at the two ends, and meet.
    """
    families = every_family(Parameters(profile="smoke", N=SIZES), Store(store), studies=True).values()
    wanted = [(experiment, training) for experiment in families for training in experiment.models.trainings()]
    for experiment, training in wanted[:: -1 if os.environ.get("PYTEST_XDIST_WORKER") == "gw1" else 1]:
        experiment.train(training)
    return store


def text_of(content):
    """As a kernel sends it: bytes as base64."""
    return base64.b64encode(content).decode() if isinstance(content, bytes) else content


def executed(path, **parameters):
    """A chapter with its outputs, run in this process: a kernel for each would import torch for each."""
    InteractiveShell.clear_instance()
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config, user_module=types.ModuleType(path.stem))
    shell.display_pub = CapturingDisplayPublisher()
    said = shell.display_pub.outputs
    shell.display_trap.hook = CapturingDisplayHook(shell, said)
    notebook = nbformat.read(path, 4)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        shell.run_cell(cell.source).raise_error()
        if "parameters" in cell.metadata.get("tags", []):
            given = [f"{name} = {value!r}" for name, value in parameters.items()]
            shell.run_cell("\n".join(given)).raise_error()
        for output in said:
            data = {kind: text_of(content) for kind, content in output["data"].items()}
            cell.outputs.append(new_output("display_data", data, metadata=output["metadata"] or {}))
        said.clear()
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_runs_at_smoke_and_every_figure_has_a_name_a_caption_and_a_text(
    path, models, tmp_path, monkeypatch
):
    monkeypatch.setenv("GALGEN_STORE", str(models))
    monkeypatch.setattr(Dataset, "name", MARKUP)
    with matplotlib.rc_context():
        notebook = executed(path, profile="smoke", N=SIZES)
    for cell in notebook.cells:
        if name := cell.metadata.get("mystnb", {}).get("figure", {}).get("name"):
            kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
            assert kinds & {"image/png", "text/markdown"}, f"{name} is not shown: the cell's last value is"
        for output in cell.get("outputs", []):
            said = output.get("data", {}).get("text/markdown", "")
            assert "{doc}`y`" not in said and "<img" not in MarkdownIt().render(said), "a name is no markup"
            if "image/png" in output.get("data", {}):
                assert cell.metadata["mystnb"]["figure"]["name"].startswith("fig-")
                assert len(cell.metadata["mystnb"]["figure"]["caption"]) > 40
                assert len(output["data"]["text/plain"]) > 20  # what a screen reader says
    nbformat.write(notebook, tmp_path / "out.ipynb")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_is_committed_without_outputs_and_with_its_parameters(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    (parameters,) = (cell for cell in code if "parameters" in cell.metadata.get("tags", []))
    names = ["profile", "data", "N", "seed", "precision"] + ["onset_study"] * (
        "onset8" in notebook.metadata.get("families", [])
    )
    assert re.findall(r"^\w+", parameters.source, re.M) == names


NO_PROSE = r"```.*?```|\$\$?.*?\$\$?|\{[\w:]+\}`[^`]*`|`[^`]*`|\]\([^)]*\)|sections? [\d., and]+"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_text_of_a_chapter_has_its_numbers_from_the_published_table(path):
    """But for tables and lists, which may hold the settings of the paper."""
    for cell in (cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"):
        text = re.sub(NO_PROSE, "", cell.source, flags=re.DOTALL)
        prose = [line for line in text.splitlines() if not re.match(r"\s*[-|]", line)]
        assert not re.findall(r"\b\d+\.\d+\b", "\n".join(prose)), cell.source


def test_a_single_N_and_the_command_line_work_outside_the_workflow(store, tmp_path):
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / "01_data.ipynb")]
    command += [str(tmp_path / "out.ipynb"), "--no-progress-bar", "-p", "profile", "smoke", "-p", "N", "10"]
    environment = {"GALGEN_STORE": str(store), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
