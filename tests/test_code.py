"""Versions of code: what a result depends on, and what an edit makes invalid."""

import pytest

from galgen.experiment import SAMPLING, Experiment
from galgen.models.families import FAMILIES, STUDIES
from galgen.profiles import Parameters
from galgen.runs import code
from galgen.runs.code import EXCLUDED, closure, imported, source, version
from galgen.runs.errors import GalgenError

TRAININGS = FAMILIES | STUDIES


def test_modules_that_are_excluded_exist():
    assert all(source(name) for name in EXCLUDED)


def test_a_closure_has_indirect_imports_and_nothing_excluded():
    modules = closure("galgen.models.conditional")
    assert {"galgen.models.conditional", "galgen.models.diffusion", "galgen.models.unet"} <= modules
    assert not modules & EXCLUDED.keys()
    assert "galgen.models.unet" not in closure("galgen.models.conditional", excluding=("galgen.models.unet",))
    assert closure("galgen.experiment", excluding=("galgen.",)) == frozenset()


@pytest.mark.parametrize("name", [*FAMILIES, "onset8"])
def test_a_training_depends_on_its_network_and_not_on_the_sampler(name):
    experiment = Experiment(Parameters(profile="smoke"), family=name)
    modules = experiment.recipe(experiment.models.pair(experiment.sizes[0])[0])["code"]
    assert {experiment.family.__module__, experiment.family.learner.__module__} <= modules
    assert {"galgen.runs.batches", "galgen.runs.schedules", "galgen.data.split"} <= modules
    assert "galgen.data.simulate.population" in modules and SAMPLING not in modules


def edited(monkeypatch, name, old, new):
    """Read the source of a module with an edit, for the length of a test."""
    before = code.source
    text = before(name)
    assert old in text
    edit = text.replace(old, new)
    monkeypatch.setattr(code, "source", lambda module: edit if module == name else before(module))


SOURCES = {
    "comment": '"""One."""\n# why\ndef f(x):\n    """Doc."""\n    return (x + 1)\n',
    "docstring": "def f(x):\n    return x + 1\n",
    "annotation": '"""Two."""\ndef f(x: int) -> int:\n    """Other."""\n    return x + 1\n',
    "expression": '"""One."""\ndef f(x):\n    """Doc."""\n    return x + 2\n',
}


@pytest.mark.parametrize(("edit", "same"), [(name, name != "expression") for name in SOURCES])
def test_an_expression_makes_another_version_and_words_do_not(monkeypatch, edit, same):
    written = {"a": '"""One."""\ndef f(x):\n    """Doc."""\n    return x + 1\n', "b": SOURCES[edit]}
    monkeypatch.setattr(code, "source", written.__getitem__)
    assert (version(["a"]) == version(["b"])) is same


def test_the_order_of_modules_makes_no_other_version():
    names = ["galgen.models.unet", "galgen.models.muon", "galgen.models.unet"]
    assert version(names) == version(reversed(names)) != version(names[:1])


def test_what_lies_in_no_file_has_no_version():
    for name in ("galgen.nowhere", "nowhere.at.all", "galgen.models.unet.UNet", "sys"):
        with pytest.raises(GalgenError, match=f"the code of {name} is in no file"):
            version([name])


def test_imports_are_found_wherever_they_stand():
    text = "import numpy\ndef f():\n    from galgen.models import muon, x\n    import galgen.runs.files\n"
    assert imported(text) == {"galgen.models.muon", "galgen.models", "galgen.runs.files"}
    assert imported("from galgen.profiles import Parameters") == {"galgen.profiles"}
