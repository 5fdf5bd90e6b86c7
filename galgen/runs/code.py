"""Code version: a hash of source files, part of the store key of every result computed with them.

Each model family, data set and measurement lists the modules that its results depend on. The version of such
a list is a hash of the syntax trees of these files, without comments, docstrings, function annotations and
layout. A test names every imported module that a list leaves out, with the reason.
"""

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from galgen.runs.errors import GalgenError

__all__ = ["imported", "source", "syntax", "version"]

_OURS = ("galgen", "galbook")


def version(modules: Iterable[str]) -> str:
    """Return the version (16 hexadecimal digits) of modules, such as `galgen.models.unet`, in any order.

    Raises:
        GalgenError: If a module does not exist.
    """
    texts = sorted(syntax(source(module)) for module in set(modules))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


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
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] in _OURS:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {name for name in below if _package(node.module) and importlib.util.find_spec(name)}
            found |= known | ({node.module} if below - known else set())
    return frozenset(name for name in found if name.partition(".")[0] in _OURS)


def _package(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.submodule_search_locations is not None
