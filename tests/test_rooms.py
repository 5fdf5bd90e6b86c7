"""The rooms of the code: which may import which."""

import ast
import functools
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A room of galgen, and the rooms whose modules it may import.
ROOMS = {
    "runs": (),
    "figures.words": (),
    "profiles": ("runs.errors", "runs.schedules"),
    "data.simulate": ("runs", "data"),
    "data.acquire": ("runs", "data", "compare.similarity"),
    "data": ("runs",),
    "models": ("runs", "profiles", "data.unit"),
    "compare": ("runs", "profiles", "figures.words", "models", "data"),
    "costs": ("runs", "profiles", "data.unit"),
    "images": ("runs", "profiles", "costs", "models", "data"),
    "experiment": ("runs", "figures.words", "profiles", "costs", "models", "data", "images"),
    "figures": ("runs", "compare.uncertainty"),
    "published": ("runs", "profiles", "models", "compare.similarity", "experiment"),
    "cli": ("runs", "profiles", "costs", "data", "experiment", "published"),
    "auditing": ("runs", "profiles", "costs", "data", "compare", "figures", "published", "using", "cli"),
    "using": ("runs", "profiles", "data", "models", "compare", "figures", "experiment", "published", "cli"),
    "__main__": ("cli",),
}
# A room of galbook, and the rooms of it whose modules it may import, beside those of galgen.
TABLE = ("table", "measure", "clock", "share", "why", "onset_law")
BOOK_ROOMS = {name: () for name in ("table", "clock", "share", "why", "diagrams", "explorer")}
BOOK_ROOMS |= {
    "onset_law": ("clock",),
    "coefficients": ("table", "page"),
    "measure": TABLE,
    "publishing": TABLE,
    "page": ("table",),
    "verdicts": (*TABLE, "page"),
    "forest": ("verdicts",),
    "press": (*TABLE, "publishing", "verdicts"),
}
# The core is what `galgen.experiment` and the two-models test import, anywhere in them. It may import none of
# these: they are found by name, or import the core.
FAMILIES = "diffusion conditional clock glow glow_learner coupling gan lightweight"
BEYOND = "biases yardstick"
LEAVES = "figures.style figures.tables published cli auditing using data.acquire data.simulate".split()
LEAVES += [f"models.{name}" for name in FAMILIES.split()] + [f"compare.{name}" for name in BEYOND.split()]
parsed = functools.cache(ast.parse)  # a source is read by many tests
GALGEN = sorted((ROOT / "galgen").rglob("*.py"))
BOOK = sorted((ROOT / "book" / "galbook").rglob("*.py"))
OTHERS = sorted((ROOT / "benchmarks").rglob("*.py"))
OURS = ("galgen", "galbook", "benchmarks")


def module(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removeprefix("book.").removesuffix(".__init__")


MODULES = {module(path) for path in GALGEN + BOOK + OTHERS}


def imported(source):
    """The modules that a source imports, anywhere in it; of `from a import b` it is `a.b`, if that is one."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import is written in full"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (below & MODULES) or {node.module}


def lies_in(name, room, package="galgen"):
    return name == f"{package}.{room}" or name.startswith(f"{package}.{room}.")


def broken(name, source):
    """The imports of a module that its room may not have."""
    package = name.split(".")[0]
    rooms = BOOK_ROOMS if package == "galbook" else ROOMS
    room = next((room for room in rooms if lies_in(name, room, package)), None)
    if room is None:
        return [] if name == package else [f"{name} lies in no room"]
    open_to = (room, *rooms[room])
    return [
        f"{name} imports {other}"
        for other in imported(source)
        if other.split(".")[0] in OURS
        and other != "galgen"  # its version
        and not (package == "galbook" and other.startswith("galgen."))
        and not any(lies_in(other, allowed, package) for allowed in open_to)
    ]


def test_a_module_imports_from_its_own_room_and_those_behind_it():
    assert [wrong for path in GALGEN + BOOK for wrong in broken(module(path), path.read_text())] == []


@pytest.mark.parametrize(
    "name, source, wrong",
    [
        ("galgen.runs.store", "from galgen import profiles", ["galgen.profiles"]),
        ("galgen.profiles", "from galgen.runs import store, errors", ["galgen.runs.store"]),
        ("galgen.data.dataset", "def f():\n    from galgen.models.unet import UNet", ["galgen.models.unet"]),
        ("galgen.cli", "from galbook.press import runs", ["galbook.press.runs"]),
        ("galbook.table", "from galbook import page", ["galbook.page"]),
        ("galbook.page", "from galgen.compare import similarity\nfrom galbook import table", []),
        ("galbook.share.scale", "from galbook.measure import samples", ["galbook.measure.samples"]),
        ("galgen.experiment", "from galgen.models import unet\nimport numpy", []),
        ("galgen.profiles", "import galgen.runs.errors", []),
        ("galgen.data.dataset", "from galgen.compare import similarity", ["galgen.compare.similarity"]),
    ],
)
def test_an_arrow_that_points_back_is_found(name, source, wrong):
    assert broken(name, source) == [f"{name} imports {other}" for other in wrong]


def test_a_name_that_begins_with_an_underscore_is_its_modules_own():
    of_ours = [
        f"{module(path)} imports {name} of {other}"
        for path in GALGEN + BOOK + OTHERS
        for other, names in imported_names(path).items()
        for name in names
        if other.split(".")[0] in OURS and re.match("_[^_]", name)
    ]
    assert of_ours == []


@functools.cache
def imported_names(path):
    """By module, the names that a file imports from it."""
    found = {}
    for node in ast.walk(parsed(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.setdefault(node.module, set()).update(alias.name for alias in node.names)
    return found


def said(source):
    """The names in a module's `__all__`, or None."""
    for node in parsed(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def defined(source):
    """The names that a module defines at its top level."""
    nodes = parsed(source).body
    stored = (n for node in nodes if not hasattr(node, "name") for n in ast.walk(node))
    names = {n.id for n in stored if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names | {node.name for node in nodes if hasattr(node, "name")}


def test_a_module_says_which_of_its_names_others_use():
    wrong = {}
    for path in GALGEN + [p for p in BOOK if "press" not in p.parts]:
        if path.stem in ("__init__", "__main__"):
            continue
        name, names = module(path), said(path.read_text())
        used = (imported_names(other).get(name, set()) for other in GALGEN + BOOK + OTHERS if other != path)
        if names is None:
            wrong[name] = "has no __all__"
        elif lost := (set().union(*used) - names) | (names - defined(path.read_text())):
            wrong[name] = sorted(lost)
    assert wrong == {}


def test_the_benchmarks_import_nothing_of_the_press():
    names = [(module(path), name) for path in OTHERS for name in imported(path.read_text())]
    assert names and not [each for each in names if each[1].startswith("galbook.press")]


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_cells(path):
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


ENTRIES = ("galgen.experiment", "galgen.compare.agreement")


@functools.cache
def core():
    """The modules that the entries import, anywhere in them, and what these import; with their sources."""
    sources, found, todo = {module(path): path.read_text() for path in GALGEN}, {}, list(ENTRIES)
    while todo:
        if (name := todo.pop()) not in found and name in sources:
            found[name] = sources[name]
            todo += imported(sources[name])
    return found


def test_the_core_imports_no_leaf():
    assert {"galgen.runs.training", "galgen.data.dataset", "galgen.compare.similarity"} <= {*core()}
    assert not [name for name in core() if any(lies_in(name, leaf) for leaf in LEAVES)]


TO_COME = {"00_headline", "03_two_models_diffusion"}


def hung(source):
    """The texts in a source that stand there only if something holds: times what is no number."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left, right = node.left, node.right
            if isinstance(left, ast.JoinedStr) or isinstance(getattr(left, "value", 0), str):
                if not isinstance(right, ast.Constant):
                    yield ast.unparse(node)


def test_no_cell_of_a_notebook_hangs_a_sentence_on_a_condition():
    """Such a text is a table of readings, or chosen by a function beside its question."""
    assert [*hung('f"{n}, and {m}" * (m > n)')] and not [*hung('"-" * 3')]
    texts = {path.stem: [text for cell in code_cells(path) for text in hung(cell)] for path in NOTEBOOKS}
    assert {name: some for name, some in texts.items() if some and name not in TO_COME} == {}
