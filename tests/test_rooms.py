"""The structure of the code: permitted imports and names."""

import ast
import json
import re
from pathlib import Path

from galgen.runs.code import imported

ROOT = Path(__file__).parents[1]
# A room of galgen, and the rooms whose modules it may import.
ROOMS = {
    "runs": (),
    "figures.words": (),
    "parallel": ("runs.errors",),
    "profiles": ("runs.errors", "runs.files", "runs.schedules"),
    "data.simulate": ("runs", "data", "parallel"),
    "data.acquire": ("runs", "data", "compare.similarity"),
    "data": ("runs",),
    "models": ("runs", "profiles", "data.unit"),
    "compare": "runs.errors runs.arguments runs.progress parallel profiles figures.words models data".split(),
    "costs": ("runs", "profiles", "data.unit"),
    "images": ("runs", "profiles", "models", "data"),
    "experiment": ("runs", "profiles", "costs", "models", "data", "images"),
    "figures": ("runs", "compare.uncertainty"),
    "published": ("runs", "profiles", "models", "experiment"),
    "cli": ("runs", "profiles", "costs", "data", "experiment", "published"),
    "auditing": ("runs", "data", "compare", "figures"),
    "inference": "runs profiles data models compare figures experiment published auditing".split(),
    "commands": ("runs", "profiles", "data", "auditing", "inference", "cli"),
    "__main__": ("cli",),
}
# The core is what `galgen.experiment` and the two-models test import, anywhere in them. It may import none of
# these: they are found by name, or import the core.
FAMILIES = "diffusion conditional onset_study glow glow_learner coupling gan lightweight"
BEYOND = "biases equivalent_blur"
LEAVES = "figures.style figures.tables published cli commands auditing inference".split()
LEAVES += ["data.acquire", "data.simulate", *(f"models.{name}" for name in FAMILIES.split())] + [
    f"compare.{name}" for name in BEYOND.split()
]
GALGEN = sorted((ROOT / "galgen").rglob("*.py"))
BOOK = sorted((ROOT / "book" / "galbook").rglob("*.py"))
OTHERS = sorted((ROOT / "benchmarks").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def module(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removeprefix("book.").removesuffix(".__init__")


SOURCES = {module(path): path.read_text() for path in GALGEN + BOOK + OTHERS}


def test_the_rooms_that_are_named_are_there():
    assert not [name for name in (*ROOMS, *LEAVES) if not any(lies_in(each, name) for each in SOURCES)]


def lies_in(name, room):
    return name == f"galgen.{room}" or name.startswith(f"galgen.{room}.")


def test_a_module_imports_from_its_own_room_and_those_behind_it():
    for path in GALGEN:
        if (name := module(path)) != "galgen":
            room = next(room for room in ROOMS if lies_in(name, room))
            others = imported(SOURCES[name]) - {"galgen"}  # its version
            allowed = (room, *ROOMS[room])
            assert [each for each in others if not any(lies_in(each, place) for place in allowed)] == [], name


def test_what_measures_imports_nothing_of_what_builds_the_book():
    for path in BOOK:
        if not (name := module(path)).startswith("galbook.build"):
            assert not [each for each in imported(SOURCES[name]) if each.startswith("galbook.build")], name


def test_the_core_imports_no_leaf():
    core, todo = set(), ["galgen.experiment", "galgen.compare.agreement"]
    while todo:
        if (name := todo.pop()) not in core:
            core.add(name)
            todo += imported(SOURCES[name])
    assert {"galgen.runs.training", "galgen.data.dataset", "galgen.compare.similarity"} <= core
    assert not [name for name in core if any(lies_in(name, leaf) for leaf in LEAVES)]


def imports_from(source):
    """The names that a source imports, each with its module."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return {(node.module, alias.name) for node in nodes for alias in node.names}


def exported(source):
    """The names in a module's `__all__`. That it defines them is a rule of ruff's."""
    assigned = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    lists = [node.value for node in assigned if getattr(node.targets[0], "id", "") == "__all__"]
    return {name for each in lists for name in ast.literal_eval(each)}


def test_a_module_lists_the_names_that_others_import_and_none_of_these_is_private():
    used = set().union(*map(imports_from, SOURCES.values()))
    used = {(name, each) for name, each in used if name in SOURCES and f"{name}.{each}" not in SOURCES}
    assert not [each for each in used if re.match("_[^_]", each[1])]
    for name in (name for name in SOURCES if not name.startswith(("galbook.build", "benchmarks"))):
        lost = {each for other, each in used if other == name} - exported(SOURCES[name])
        assert lost <= {"__version__"}, f"{name}: {lost}"


UNSAFE = r"^\s*(?:import|from) (?:pickle|marshal|shelve|dill)|allow_pickle=True|weights_only=False|shell=True"
UNSAFE = re.compile(UNSAFE + r"|yaml\.(?:unsafe_)?load\(", re.MULTILINE)


def test_no_module_unpickles_or_runs_code_from_a_file():
    for name, source in SOURCES.items():
        called = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        assert not {"eval", "exec"} & {getattr(function, "id", "") for function in called}, name
        assert not UNSAFE.search(source), name


def test_a_notebook_has_few_lines_of_code():
    for path in NOTEBOOKS:
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        assert sum(len("".join(cell["source"]).splitlines()) for cell in cells) <= 200, path.name
