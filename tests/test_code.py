import functools
import json
import sys
import types
from pathlib import Path

import pytest

from galgen.data.simulate import images as simulate
from galgen.models import families
from galgen.runs import code
from galgen.runs.code import code_version, notebook_version, reached
from galgen.runs.errors import GalgenError
from galgen.runs.stream import Stream


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A loaded module of a given source."""

    def load(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        loaded = types.ModuleType(name)
        loaded.__file__ = str(tmp_path / f"{name}.py")
        monkeypatch.setitem(sys.modules, name, loaded)
        return loaded

    return load


def test_comments_docstrings_and_annotations_do_not_make_another_version(module):
    sources = [
        '"""One."""\ndef f(x):\n    """Doc."""\n    return x + 1\n',
        '"""Two."""\n# why\ndef f(x: int) -> int:\n    """Other."""\n    return (x + 1)\n',
        '"""One."""\ndef f(x):\n    """Doc."""\n    return x + 2\n',
    ]
    versions = [code_version(module(f"m{i}", source)) for i, source in enumerate(sources)]
    assert versions[0] == versions[1] != versions[2]


DENOISERS = ("diffusion", "conditional", *families.STUDIES)
MODULE, DEFINITION = code._module.__wrapped__, code._definition.__wrapped__


def edited(monkeypatch, name, old, new):
    """Read the source of a module of galgen with an edit, for the length of a test."""
    source = Path(sys.modules[name].__file__).read_text()
    assert old in source
    changed = {name: code._Module(source.replace(old, new))}
    monkeypatch.setattr(code, "_module", functools.cache(lambda n: changed.get(n) or MODULE(n)))
    monkeypatch.setattr(code, "_definition", functools.cache(DEFINITION))


def versions():
    """Of each family's trainings and samples, and of the simulated galaxies."""
    found = {"galaxies": code_version(simulate.simulate)}
    for name, family in (families.FAMILIES | families.STUDIES).items():
        found[name, "training"] = code_version(family.networks, family.learner, Stream)
        found[name, "samples"] = code_version(family.draw)
    return found


@pytest.mark.parametrize(
    ("name", "old", "new", "void"),
    [
        ("galgen.models.sampling", "(2 * last)", "(3 * last)", {(name, "samples") for name in DENOISERS}),
        ("galgen.models.unet", "relu_()", "relu()", {(name, "training") for name in DENOISERS}),
        ("galgen.models.glow", "2 * (raw / 2)", "3 * (raw / 3)", {("glow", "training")}),
        ("galgen.runs.errors", "class GalgenError(Exception)", "class GalgenError(ValueError)", set()),
        ("galgen.settings", "kernels: int = 16", "kernels: int = 17", set()),  # a value is no code
        ("galgen.data.preprocess", "np.rint(", "np.floor(", {"galaxies"}),
        ("galgen.models.gan", ".mean()  # Eq. (9)", ".sum()", {("gan", "training")}),
    ],
)
def test_an_edit_voids_what_it_reaches_and_nothing_else(monkeypatch, name, old, new, void):
    before = versions()
    edited(monkeypatch, name, old, new)
    assert {key for key, version in versions().items() if version != before[key]} == void


def test_a_method_reaches_what_it_names_and_the_methods_it_calls(module):
    source = (
        "K = 2\nL = 3\ndef f(x):\n    return K * x\ndef g(x):\n    return L * x\n"
        "class A:\n    def one(self):\n        return self.two()\n    def two(self):\n        return f(1)\n"
        "    def three(self):\n        return g(1)\n"
    )
    loaded = module("methods", source)
    exec(compile(source, loaded.__file__, "exec"), loaded.__dict__)
    assert reached(loaded.A.one) == {f"methods.{name}" for name in ("A.one", "A.two", "f", "K")}
    assert reached(loaded.A) == {f"methods.{name}" for name in ("A", "f", "g", "K", "L")}


def test_a_method_reaches_what_its_class_inherits(module):
    source = (
        "def f():\n    return 1\ndef g():\n    return 2\n"
        "class A:\n    def one(self):\n        return f()\n    def two(self):\n        return g()\n"
        "class B(A):\n    def one(self):\n        return super().one()\n"
        "class C(B):\n    def one(self):\n        return self.two()\n"
    )
    loaded = module("galgen.inherited", source)
    exec(compile(source, loaded.__file__, "exec"), loaded.__dict__)
    found = {name.removeprefix("galgen.inherited.") for name in reached(loaded.B.one)}
    assert found == {"B.one", "A.one", "f"}
    found = {name.removeprefix("galgen.inherited.") for name in reached(loaded.C.one)}
    assert found == {"C.one", "A.two", "g"}


def test_a_notebook_depends_on_its_cells_and_what_they_reach(tmp_path, monkeypatch):
    def notebook(*cells):
        path = tmp_path / "n.ipynb"
        path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": [c]} for c in cells]}))
        return path

    path = notebook("from galgen.models import sampling", "sampling.noise([], (1,))")
    before = notebook_version(path)
    assert notebook_version(path) == before != notebook_version(notebook("1 + 1"))
    path = notebook("from galgen.models import sampling", "sampling.noise([], (1,))")
    edited(monkeypatch, "galgen.models.sampling", "(2 * last)", "(3 * last)")
    assert notebook_version(path) == before
    edited(monkeypatch, "galgen.models.sampling", "torch.randn(", "torch.rand(")
    assert notebook_version(path) != before


def test_code_that_is_in_no_file_is_refused():
    space = {"__name__": "nowhere"}
    exec("def f():\n    return 1\n", space)
    with pytest.raises(GalgenError, match=r"nowhere\.f is in no file"):
        code_version(space["f"])
