"""The version of source files: what a result's key knows of the code that made it.

A family of models and a measurement list the modules that their results depend on. The version of such a list
is a hash of the syntax of these files, without comments, docstrings, annotations and layout. A test computes
what each list leaves out of the modules that it imports.
"""

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

__all__ = ["version"]


def version(modules: Iterable[str]) -> str:
    """The version (16 hexadecimal digits) of modules, as `galgen.models.unet`, in whatever order.

    Raises:
        ModuleNotFoundError: If there is no such module.
    """
    return hashlib.sha256("\n".join(sorted(map(_syntax, set(modules)))).encode()).hexdigest()[:16]


@functools.cache
def _syntax(module: str) -> str:
    """The source of a module without what computes nothing."""
    found = importlib.util.find_spec(module)
    if found is None:
        raise ModuleNotFoundError(f"no module {module}")
    tree = ast.parse(Path(found.origin).read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                body[0].value.value = ""
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.unparse(tree)
