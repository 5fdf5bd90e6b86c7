"""Which code a result depends on: every definition of ours that its entry points reach.

A definition is a function, a class, or a constant of a module. It reaches what it names, in its own module or
by import (`f`, `module.f`), and what that reaches in turn; a class counts as a whole, a method given as entry
point for itself and for the methods that it calls on `self` or `super()`, also inherited ones. What is asked
of an experiment counts by method (`galgen.runs.following`), but for what is `keyed`. The version of
some entry points is a hash of the syntax of all these definitions. So an edit of the sampler gives samples
another key and leaves the trainings alone, and an edit of one family's network voids no training of another.

Comments, docstrings, annotations and layout are no part of a version. Neither are the values in
`galgen.profiles` and `galgen.profiles`: they enter keys as parameters, and of those modules only functions
count. What is looked up by
a string at run time is not seen: it must be among the entry points.
"""

import ast
import copy
import functools
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

from galgen.runs.errors import GalgenError
from galgen.runs.following import Followed, Place

__all__ = ["code_version", "keyed", "notebook_version", "reached"]

_OURS = ("galgen", "galbook")
# How results are kept, how work is spread and how mistakes are told is no part of them.
_KEEPING = ("checkpoint", "errors", "files", "machine", "packed", "processes", "reading", "store")
_LEFT_OUT = {f"galgen.runs.{name}" for name in _KEEPING} | {"galbook.kept"}
_VALUES = {"galgen.profiles"}


def keyed(function: Callable) -> Callable:
    """Mark what gives a thing that a key of its own names: who asks for it has that key, not this code."""
    return function


def code_version(*entries: object) -> str:
    """The version (16 hexadecimal digits) of functions, classes, methods or modules and of all they reach."""
    return _digest(_reach(map(_place, entries)).values())


def notebook_version(path: str | os.PathLike, *also: object) -> str:
    """The version of a notebook: the syntax of its code cells, and of all that these and others reach."""
    cells = [cell for cell in json.loads(Path(path).read_text())["cells"] if cell["cell_type"] == "code"]
    notebook = _Module("\n".join("".join(cell["source"]) for cell in cells))
    named = {
        place for place in _uses(_Bare().visit(copy.deepcopy(notebook.tree)), "", notebook, "") if place[0]
    }
    return _digest([_bare(notebook.tree), *_reach([*named, *map(_place, also)]).values()])


def reached(*entries: object) -> set[str]:
    """The names of all definitions that entry points reach, as `galgen.models.unet.UNet`."""
    return {".".join(place) for place in _reach(map(_place, entries))}


class _Bare(ast.NodeTransformer):
    """Takes off what computes nothing: docstrings, and the annotations of functions."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                body[0].value.value = ""
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        return node


def _bare(node: ast.AST) -> str:
    return ast.unparse(_Bare().visit(copy.deepcopy(node)))


class _Module:
    """What a source defines at its top level, by name, and what its imports bind."""

    def __init__(self, source: str):
        self.tree = ast.parse(source)
        self.imports = _imports(self.tree.body)
        self.definitions: dict[str, list[ast.AST]] = {}
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                self._add(node.name, node)
                for member in node.body:
                    if isinstance(node, ast.ClassDef) and isinstance(member, ast.FunctionDef):
                        self._add(f"{node.name}.{member.name}", member)
            else:
                for name in ast.walk(node):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        self._add(name.id, node)

    def _add(self, name: str, node: ast.AST) -> None:
        self.definitions.setdefault(name, []).append(node)


def _imports(nodes: Iterable[ast.AST]) -> dict[str, Place]:
    """What imports bind, by name: the module, and what of it."""
    bound: dict[str, Place] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            bound |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                bound[alias.asname or top] = (alias.name if alias.asname else top, "")
    return bound


@functools.cache
def _module(name: str) -> _Module | None:
    """The module of that name, or None if it is not ours: what it computes has a version of its own."""
    loaded = sys.modules.get(name)
    file = getattr(loaded, "__file__", None)
    if file is None and name.partition(".")[0] in _OURS:
        spec = importlib.util.find_spec(name)
        file = spec and spec.origin
    return _Module(Path(file).read_text()) if file else None


def _ours(name: str) -> bool:
    return name.partition(".")[0] in _OURS and name not in _LEFT_OUT


def _place(entry: object) -> Place:
    place = (entry.__name__, "") if isinstance(entry, ModuleType) else (entry.__module__, entry.__qualname__)
    module = _module(place[0])
    if module is None or (place[1] and place[1] not in module.definitions):
        raise GalgenError(f"the code of {'.'.join(place)} is in no file; put it at the top level of a module")
    return place


def _find(module: str, name: str) -> Place | None:
    """Where a name of a module is defined: a definition or a module of ours, or None."""
    known = _module(module)
    if known is None or not _ours(module):
        return None
    if name in known.definitions:
        return module, name
    if name in known.imports:
        return _target(*known.imports[name])
    return None


def _target(module: str, name: str) -> Place | None:
    """Where what an import names is defined."""
    if not _ours(module):
        return None
    if name and importlib.util.find_spec(module).submodule_search_locations is not None:
        below = f"{module}.{name}"
        if importlib.util.find_spec(below):
            return (below, "") if _ours(below) else None
    return _find(module, name) if name else (module, "")


def _bases(module: str, name: str) -> list[Place]:
    """The classes of ours that a class is derived from."""
    (node,) = _module(module).definitions[name]
    places = (_find(module, base.id) for base in node.bases if isinstance(base, ast.Name))
    return [place for place in places if place]


def _method(of: Place, name: str) -> Place | None:
    """Where a method of a class is defined: in it, or in a class of ours that it is derived from."""
    module, owner = of
    if f"{owner}.{name}" in _module(module).definitions:
        return module, f"{owner}.{name}"
    return next(filter(None, (_method(base, name) for base in _bases(module, owner))), None)


def _uses(node: ast.AST, module: str, known: _Module, owner: str) -> Iterator[Place]:
    """The places that a definition names, with `self` for methods of the class `owner`."""
    local = _imports(ast.walk(node))
    roots = {id(n.value) for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    for n in ast.walk(node):
        parts = []
        while isinstance(n, ast.Attribute):
            parts.append(n.attr)
            n = n.value
        if parts and owner and isinstance(n, ast.Call) and getattr(n.func, "id", "") == "super":
            yield from filter(None, (_method(base, parts[-1]) for base in _bases(module, owner)))
        if not isinstance(n, ast.Name) or (not parts and id(n) in roots):
            continue
        if n.id == "self" and owner and parts and (method := _method((module, owner), parts[-1])):
            yield method
            continue
        if n.id in local:
            place = _target(*local[n.id])
        elif n.id in known.definitions:
            place = (module, n.id)
        else:
            place = _target(*known.imports[n.id]) if n.id in known.imports else None
        while place and not place[1] and parts:  # a module: the next part is in it
            place = _target(place[0], parts.pop())
        if place:
            yield place


@functools.cache
def _definition(place: Place) -> tuple[str, tuple[Place, ...]]:
    """The syntax of a definition, and the places it names."""
    module, name = place
    known = _module(module)
    if not name:
        return "", tuple((module, each) for each in known.definitions if "." not in each)
    nodes = known.definitions[name]
    if module in _VALUES and not isinstance(nodes[0], ast.FunctionDef):
        return "", ()
    if any(getattr(each, "id", "") == keyed.__name__ for each in getattr(nodes[0], "decorator_list", ())):
        return "", ()
    owner = name.rpartition(".")[0]
    bare = [_Bare().visit(copy.deepcopy(node)) for node in nodes]
    named = {used for node in bare for used in _uses(node, module, known, owner)}
    for node in nodes:
        named |= set(Followed(node, place, functools.partial(_named, module), _syntax, _method).asked())
    return "\n".join(map(ast.unparse, bare)), tuple(named)


def _named(module: str, name: str) -> Place | None:
    """Where what a module calls `f` or `module.f` is defined."""
    first, *parts = name.split(".")
    place = _find(module, first)
    while place and not place[1] and parts:
        place = _target(place[0], parts.pop(0))
    return place if not parts else None


def _syntax(place: Place) -> ast.AST:
    return _module(place[0]).definitions[place[1]][0]


def _reach(entries: Iterable[Place]) -> dict[Place, str]:
    """The syntax of all that is reached, by place."""
    found: dict[Place, str] = {}
    todo = list(entries)
    while todo:
        place = todo.pop()
        if place not in found:
            found[place], named = _definition(place)
            todo += named
    return found


def _digest(parts: Iterable[str]) -> str:
    # Sorted, and without the names of modules: a definition that moves is still the same.
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]
