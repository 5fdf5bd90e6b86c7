"""The rooms of the code: which may import which, and how large a file and a cell may be."""

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A room of galgen, and the rooms whose modules it may import.
ROOMS = {
    "runs": (),
    "settings": ("runs.errors", "runs.schedules"),
    "config": ("runs.errors", "settings"),
    "data": ("runs",),
    "models": ("runs", "config", "settings", "data.unit"),
    "compare": ("runs", "config", "models", "data"),
    "costs": ("runs", "settings", "data.unit"),
    "trainings": ("settings", "models"),
    "experiment": ("runs", "config", "costs", "models", "data", "trainings"),
    "evidence": ("runs", "settings", "config", "models", "data", "compare", "experiment"),
    "figures": ("runs", "settings", "config", "models", "data", "compare", "experiment", "evidence"),
    "explorer": ("runs", "config", "models", "data", "compare", "costs", "experiment", "figures"),
    "cli": ("runs", "config", "models", "data", "compare", "costs", "experiment", "figures", "explorer"),
    "auditing": ("runs", "data", "figures", "cli"),
    "__main__": ("cli",),
}
GALGEN = sorted((ROOT / "galgen").rglob("*.py"))
OTHERS = sorted([*(ROOT / "workflow").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


def module(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module(path) for path in GALGEN + OTHERS}


def imported(source):
    """The modules that a source imports, anywhere in it; of `from a import b` it is `a.b`, if that is one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import is written in full"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (below & MODULES) or {node.module}


def lies_in(name, room):
    return name == f"galgen.{room}" or name.startswith(f"galgen.{room}.")


def broken(name, source):
    """The imports of a module of galgen that its room may not have."""
    room = next((room for room in ROOMS if lies_in(name, room)), None)
    if room is None:
        return [] if name == "galgen" else [f"{name} lies in no room"]
    open_to = (room, *ROOMS[room])
    return [
        f"{name} imports {other}"
        for other in imported(source)
        if other.split(".")[0] in ("galgen", "workflow", "benchmarks")
        and other != "galgen"  # its version
        and not any(lies_in(other, allowed) for allowed in open_to)
    ]


@pytest.mark.parametrize("path", GALGEN, ids=module)
def test_a_module_imports_from_its_own_room_and_those_behind_it(path):
    assert broken(module(path), path.read_text()) == []


@pytest.mark.parametrize(
    "name, source, wrong",
    [
        ("galgen.runs.store", "from galgen import config", ["galgen.config"]),
        ("galgen.config", "import galgen.runs.errors", []),
        ("galgen.config", "from galgen.runs import store, errors", ["galgen.runs.store"]),
        ("galgen.data.dataset", "def f():\n    from galgen.models.unet import UNet", ["galgen.models.unet"]),
        ("galgen.cli", "from workflow.book import sweep", ["workflow.book.sweep"]),
        ("galgen.figures.style", "from galgen.explorer import answers", ["galgen.explorer.answers"]),
        ("galgen.experiment", "from galgen.models import unet\nimport numpy", []),
    ],
)
def test_an_arrow_that_points_back_is_found(name, source, wrong):
    assert broken(name, source) == [f"{name} imports {other}" for other in wrong]


@pytest.mark.parametrize("path", GALGEN + OTHERS, ids=module)
def test_a_name_that_begins_with_an_underscore_is_its_modules_own(path):
    froms = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))
    of_ours = [node for node in froms if node.module.split(".")[0] in ("galgen", "workflow", "benchmarks")]
    assert not [alias.name for node in of_ours for alias in node.names if alias.name.startswith("_")]


@pytest.mark.parametrize("path", OTHERS, ids=module)
def test_the_workflow_and_the_benchmarks_import_galgen_and_nothing_of_each_other(path):
    own = module(path).split(".")[0]
    found = {name.split(".")[0] for name in imported(path.read_text())}
    assert not found & ({"workflow", "benchmarks"} - {own})


@pytest.mark.parametrize("path", GALGEN, ids=module)
def test_no_file_of_galgen_is_longer_than_350_lines(path):
    assert len(path.read_text().splitlines()) <= 350


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_code_cell_of_a_notebook_is_longer_than_25_lines(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    long = {k: n for k, cell in enumerate(cells) if (n := "".join(cell["source"]).count("\n") + 1) > 25}
    assert not long, f"cells and their lines: {long}"
