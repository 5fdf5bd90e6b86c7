"""Code version: a hash of source files, part of the store key of every result computed with them.

A result depends on the module that computes it and on everything that this imports (`closure`), except the
modules in `EXCLUDED`, which change no number. The version is a hash of the syntax trees of these files,
without comments, docstrings, function annotations and layout.
"""

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Collection, Iterable
from pathlib import Path

from galgen.runs.errors import GalgenError

__all__ = ["EXCLUDED", "closure", "imported", "source", "syntax", "version"]

_OURS = ("galgen", "galbook")
EXCLUDED = {  # imported modules on which no number depends, with the reason
    "galbook.table": "where rows are stored, and under which key",
    "galgen": "the version of the package, in messages and reports",
    "galgen.auditing.report": "layout of the report of an audit",
    "galgen.auditing.sensitivity": "quoted in the verdict of an audit, which is in no row",
    "galgen.costs": "estimates of time, memory and disk",
    "galgen.data.manifest": "credits",
    "galgen.data.prepare": "where a data set is stored; its identity is part of the key",
    "galgen.experiment": "which models exist; the recipes of those that are read are part of the key",
    "galgen.figures.style": "layout of figures",
    "galgen.figures.tables": "layout of tables",
    "galgen.figures.words": "format of numbers",
    "galgen.models.families": "names of families; the modules of a family are part of the key",
    "galgen.models.precision": "its value is a parameter",
    "galgen.parallel": "how work is distributed over processes",
    "galgen.profiles": "its values are parameters",
    "galgen.runs.checkpoint": "format of weights, under checksums",
    "galgen.runs.code": "versions, which are part of keys",
    "galgen.runs.errors": "error messages",
    "galgen.runs.files": "how files are written and read",
    "galgen.runs.machine": "name of the machine, in the record",
    "galgen.runs.registry": "import by name; the modules of a family are part of the key",
    "galgen.runs.store": "how results are stored, under checksums",
    "galgen.runs.training": "how a training is stored, reported and resumed",
}


@functools.cache
def closure(*modules: str, excluding: Collection[str] = frozenset(EXCLUDED)) -> frozenset[str]:
    """Return modules and all that they import, directly or indirectly, except excluded ones.

    A name in `excluding` that ends with a period excludes a package.
    """
    reached, todo = set(), {*modules}
    while todo:
        name = todo.pop()
        package = any(name.startswith(prefix) for prefix in excluding if prefix.endswith("."))
        if name not in reached and name not in excluding and not package:
            reached.add(name)
            todo |= imported(source(name))
    return frozenset(reached)


def version(modules: Iterable[str]) -> str:
    """Return the version (16 hexadecimal digits) of modules, such as `galgen.models.unet`, in any order.

    The version of no modules is the empty string.

    Raises:
        GalgenError: If a module does not exist.
    """
    texts = sorted(syntax(source(module)) for module in set(modules))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] if texts else ""


@functools.cache
def source(module: str) -> str:
    """Return the source of a module, cached at the first call in the process."""
    try:
        return Path(importlib.util.find_spec(module).origin).read_text()
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise GalgenError(f"the code of {module} is in no file; put it into a module") from error


@functools.cache
def syntax(text: str) -> str:
    """Return a source without comments, docstrings and function annotations, in canonical layout."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                body[:1] = [] if len(body) > 1 else [ast.Pass()]
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.unparse(tree)


@functools.cache
def imported(text: str) -> frozenset[str]:
    """Return the modules of galgen and galbook that a source imports, also inside functions."""
    modules = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] in _OURS:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = {name for name in below if _package(node.module) and importlib.util.find_spec(name)}
            modules |= submodules | ({node.module} if below - submodules else set())
    return frozenset(name for name in modules if name.partition(".")[0] in _OURS)


def _package(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.submodule_search_locations is not None
