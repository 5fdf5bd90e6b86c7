"""What a definition asks of an experiment that it is handed: the methods that its version has to know.

Python does not know the class of an argument, annotations do. Followed is a name that is annotated
`Experiment`, or as several of them, and what an assignment, a loop or a comprehension binds from such a name.
An attribute of an experiment is looked up in its class, and in its parts: what `__init__` sets to an instance
of another class of that module. What cannot be followed is an error that names the line: as a gap, it would
be a stale answer.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from galgen.runs.errors import GalgenError

__all__ = ["EXPERIMENT", "Followed", "Place"]

Place = tuple[str, str]  # a module and a definition in it, as `Class`, `Class.method`, or "" for all of them
Kind = tuple[str, Place]  # "one" of a class, "many", a "map" by name, its "pairs" of name and value, a "pair"

EXPERIMENT = ("galgen.experiment", "Experiment")
_SAME = ("list", "tuple", "sorted", "reversed", "iter")  # of many these give many
_ONE = ("next", "min", "max")
_READ = (*_SAME, *_ONE, "len", "zip", "enumerate", "map", "isinstance")
_COLLECT = {  # what holds experiments, by syntax: what it holds, and as what
    ast.List: (lambda n: n.elts, "many"),
    ast.Tuple: (lambda n: n.elts, "many"),
    ast.ListComp: (lambda n: [n.elt], "many"),
    ast.GeneratorExp: (lambda n: [n.elt], "many"),
    ast.Dict: (lambda n: n.values, "map"),
    ast.DictComp: (lambda n: [n.value], "map"),
}


def _annotated(annotation: ast.expr | None) -> Kind | None:
    """What an annotation says that a name stands for."""
    if isinstance(annotation, ast.Name) and annotation.id == EXPERIMENT[1]:
        return "one", EXPERIMENT
    if isinstance(annotation, ast.BinOp):  # `Experiment | None`
        return _annotated(annotation.left) or _annotated(annotation.right)
    if isinstance(annotation, ast.Subscript):
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if ("one", EXPERIMENT) in map(_annotated, inner):
            return "map" if ast.unparse(annotation.value) in ("dict", "Mapping") else "many", EXPERIMENT
    return None


@dataclass
class Followed:
    """The names in one definition that stand for experiments, or for parts of one.

    Attributes:
        node: The definition, with its annotations.
        place: Where it stands.
        find: Where what a name stands for there (`f`, `module.f`) is defined, or None if that is not ours.
        definition: The syntax at a place.
        method: Where a method of a class is defined, or None.
    """

    node: ast.AST
    place: Place
    find: Callable[[str], Place | None]
    definition: Callable[[Place], ast.AST]
    method: Callable[[Place, str], Place | None]
    bound: dict[str, Kind] = field(default_factory=dict)

    def asked(self) -> Iterator[Place]:
        """The methods that are asked of them."""
        owner = (self.place[0], self.place[1].rpartition(".")[0])
        if owner[0] == EXPERIMENT[0] and owner in self._classes():
            self.bound["self"] = ("one", owner)
        before = -1
        while before != (before := len(self.bound)):  # a name may be bound below the loop that uses it
            for node in ast.walk(self.node):
                self._bind(node)
        for parent in ast.walk(self.node) if self.bound else ():
            if isinstance(parent, ast.Attribute) and (kind := self._kind(parent.value)):
                yield from self._attribute(parent, kind)
            elif isinstance(parent, ast.Call):
                self._check_call(parent)
            elif isinstance(parent, ast.Return) and parent.value and self._kind(parent.value):
                if _annotated(getattr(self.node, "returns", None)) is None:
                    raise self._lost(parent, "it is returned by what does not say so")

    def _bind(self, node: ast.AST) -> None:
        """Follow what a piece of syntax binds to a name."""
        if isinstance(node, ast.arg):
            self._give(ast.Name(node.arg), _annotated(node.annotation))
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value)
        elif isinstance(node, ast.NamedExpr):
            self._assign(node.target, node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            self._loop(node.target, node.iter)
        elif isinstance(node, ast.Call):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            many = next((k for k in map(self._kind, node.args) if k and k[0] == "many"), None)
            for each in (a for a in given if many and isinstance(a, ast.Lambda)):
                self._give(ast.Name(each.args.args[0].arg), ("one", many[1]))

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, other in zip(target.elts, value.elts, strict=False):
                self._assign(one, other)
        else:
            self._give(target, self._kind(value))

    def _loop(self, target: ast.expr, over: ast.expr) -> None:
        called = getattr(over.func, "id", "") if isinstance(over, ast.Call) else ""
        if called == "zip" and isinstance(target, ast.Tuple):
            for each, part in zip(target.elts, over.args, strict=False):
                self._loop(each, part)
        elif called == "enumerate" and isinstance(target, ast.Tuple):
            self._loop(target.elts[1], over.args[0])
        elif (kind := self._kind(over)) and kind[0] in ("many", "pairs"):
            self._give(target, ("one" if kind[0] == "many" else "pair", kind[1]))

    def _give(self, target: ast.expr, kind: Kind | None) -> None:
        """What is bound stands for that from now on."""
        if kind and isinstance(target, ast.Tuple):
            if kind[0] == "pair":
                self._give(target.elts[1], ("one", kind[1]))
            for each in target.elts if kind[0] == "many" else ():
                starred = isinstance(each, ast.Starred)
                self._give(each.value if starred else each, kind if starred else ("one", kind[1]))
        elif kind and isinstance(target, ast.Name | ast.Attribute):
            self.bound[ast.unparse(target)] = kind

    def _kind(self, node: ast.AST) -> Kind | None:
        """What an expression stands for, if it is experiments or a part of one."""
        if isinstance(node, ast.Name):
            return self.bound.get(node.id)
        if isinstance(node, ast.Attribute):
            kind = self._kind(node.value)
            known = self._part(kind[1], node.attr) if kind and kind[0] == "one" else None
            return known or self.bound.get(ast.unparse(node))
        if isinstance(node, ast.Subscript):
            kind = self._kind(node.value)
            return ("one", kind[1]) if kind and not isinstance(node.slice, ast.Slice) else kind
        if isinstance(node, ast.Call):
            return self._given_by(node)
        if isinstance(node, ast.IfExp):
            return self._kind(node.body) or self._kind(node.orelse)
        if isinstance(node, ast.Starred | ast.NamedExpr):
            return self._kind(node.value)
        parts, shape = _COLLECT.get(type(node), (lambda n: [], ""))
        return next(((shape, kind[1]) for kind in map(self._kind, parts(node)) if kind), None)

    def _given_by(self, call: ast.Call) -> Kind | None:
        """What a call gives."""
        name = ast.unparse(call.func)
        if isinstance(call.func, ast.Attribute) and (kind := self._kind(call.func.value)):
            shape = {"values": "many", "items": "pairs"}.get(call.func.attr)
            return (shape, kind[1]) if kind[0] == "map" and shape else None
        if place := self.find(name):
            node = self.definition(place)
            one = ("one", EXPERIMENT) if place == EXPERIMENT else None
            return _annotated(node.returns) if isinstance(node, ast.FunctionDef) else one
        kind = self._kind(call.args[0]) if call.args else None
        return ("one", kind[1]) if kind and name in _ONE else kind if name in _SAME else None

    def _attribute(self, node: ast.Attribute, kind: Kind) -> Iterator[Place]:
        """The method that is asked, if it is one."""
        shape, of = kind
        if shape == "one" and (method := self.method(of, node.attr)):
            yield method
        elif shape == "one" and node.attr not in self._set_by(of):
            raise self._lost(node, f"{of[1]} has no {node.attr}")
        elif shape != "one" and not (shape == "map" and node.attr in ("values", "items", "keys")):
            raise self._lost(node, f".{node.attr} of several experiments")

    def _check_call(self, call: ast.Call) -> None:
        """What is handed on must be followed there, too."""
        given = [(k, arg) for k, arg in enumerate(call.args)] + [(k.arg, k.value) for k in call.keywords]
        for where, _ in ((where, arg) for where, arg in given if self._kind(arg)):
            name = ast.unparse(call.func)
            place = self.find(name)
            named = self._arguments(place) if place else {}
            if _annotated(named.get(where)) is None and (place or name not in _READ):
                raise self._lost(call, f"{name} does not say that it takes experiments")

    def _arguments(self, place: Place) -> dict[int | str, ast.expr | None]:
        """The annotations of the arguments of what is called, by place and name."""
        node = self.definition(place)
        if isinstance(node, ast.ClassDef):
            made = self.method(place, "__init__")
            fields = [(n.target.id, n.annotation) for n in node.body if isinstance(n, ast.AnnAssign)]
            found = [(a.arg, a.annotation) for a in self.definition(made).args.args[1:]] if made else fields
        else:
            found = [(a.arg, a.annotation) for a in [*node.args.args, *node.args.kwonlyargs]]
        return dict(found) | {k: annotation for k, (_, annotation) in enumerate(found)}

    def _set_by(self, of: Place) -> dict[str, ast.expr]:
        """What `__init__` of a class sets, by name."""
        found = {}
        for each in ast.walk(self.definition((of[0], f"{of[1]}.__init__"))):
            if isinstance(each, ast.Assign | ast.AnnAssign):
                target = each.target if isinstance(each, ast.AnnAssign) else each.targets[0]
                several = isinstance(target, ast.Tuple)
                both = zip(target.elts, each.value.elts, strict=True) if several else [(target, each.value)]
                found |= {one.attr: value for one, value in both if isinstance(one, ast.Attribute)}
        return found

    def _part(self, of: Place, name: str) -> Kind | None:
        """The part of that name of an experiment."""
        made = self._set_by(EXPERIMENT).get(name) if of == EXPERIMENT else None
        part = (
            (of[0], made.func.id) if isinstance(made, ast.Call) and isinstance(made.func, ast.Name) else None
        )
        return ("one", part) if part and self.method(part, "__init__") else None

    def _classes(self) -> set[Place]:
        """An experiment's, and those of its parts."""
        parts = (self._part(EXPERIMENT, name) for name in self._set_by(EXPERIMENT))
        return {EXPERIMENT, *(kind[1] for kind in parts if kind)}

    def _lost(self, node: ast.AST, why: str) -> GalgenError:
        return GalgenError(f"{self.place[0]}, line {node.lineno}: an experiment cannot be followed: {why}")
