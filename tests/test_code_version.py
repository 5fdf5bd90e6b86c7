import functools
import json
import operator
import sys
from pathlib import Path

import pytest

from galgen.data.simulate import images as simulate
from galgen.models import families
from galgen.runs import code_version as code
from galgen.runs.code_version import code_version, notebook_version, reached
from galgen.runs.errors import GalgenError
from galgen.runs.training import Stream


def test_comments_docstrings_and_annotations_do_not_make_another_version(module):
    sources = [
        '"""One."""\ndef f(x):\n    """Doc."""\n    return x + 1\n',
        '"""Two."""\n# why\ndef f(x: int) -> int:\n    """Other."""\n    return (x + 1)\n',
        '"""One."""\ndef f(x):\n    """Doc."""\n    return x + 2\n',
    ]
    versions = [code_version(module(f"m{i}", source)) for i, source in enumerate(sources)]
    assert versions[0] == versions[1] != versions[2]


DENOISERS = ("diffusion", "conditional", *families.STUDIES)
MODULE, DEFINITION = code._module, code._definition.__wrapped__


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
        ("galgen.data.preprocess", "np.rint(", "np.floor(", {"galaxies"}),
        ("galgen.models.gan", ".mean()  # Eq. (9)", ".sum()", {("gan", "training")}),
    ],
)
def test_an_edit_voids_what_it_reaches_and_nothing_else(monkeypatch, name, old, new, void):
    before = versions()
    edited(monkeypatch, name, old, new)
    assert {key for key, version in versions().items() if version != before[key]} == void


METHODS = """
K = 2
L = 3
def f(x): return K * x
def g(x): return L * x
class A:
    def one(self): return self.two()
    def two(self): return f(1)
    def three(self): return g(1)
class B(A):
    def two(self): return super().two()
class C(B):
    def one(self): return self.three()
"""


@pytest.mark.parametrize(
    ("of", "wanted"),
    [("A.one", "A.two f K"), ("A", "f g K L"), ("B.two", "A.two f K"), ("C.one", "A.three g L")],
)
def test_a_method_reaches_what_it_names_what_it_calls_and_what_its_class_inherits(module, of, wanted):
    loaded = module("galgen.methods", METHODS)
    exec(compile(METHODS, loaded.__file__, "exec"), loaded.__dict__)
    found = {name.removeprefix("galgen.methods.") for name in reached(operator.attrgetter(of)(loaded))}
    assert found == {of, *wanted.split()}


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


def test_the_values_of_a_profile_are_no_code(tmp_path, monkeypatch):
    path = tmp_path / "n.ipynb"
    source = ["from galgen.profiles import PROFILES\n", "PROFILES"]
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": source}]}))
    before = notebook_version(path)
    edited(monkeypatch, "galgen.profiles", "images_cap=4_000_000", "images_cap=1")
    assert notebook_version(path) == before
    monkeypatch.setattr(code, "_VALUES", set())
    code._definition.cache_clear()
    assert notebook_version(path) != before


def test_code_that_is_in_no_file_is_refused():
    space = {"__name__": "nowhere"}
    exec("def f():\n    return 1\n", space)
    with pytest.raises(GalgenError, match=r"nowhere\.f is in no file"):
        code_version(space["f"])
