"""Source files in the keys of results: imports that a list leaves out are named here, with reasons."""

import pytest

from galbook import measure
from galbook.table import QUESTIONS
from galgen import images
from galgen.compare import morphology
from galgen.data import prepare
from galgen.data.acquire import importing
from galgen.data.simulate import source as simulated
from galgen.models.families import FAMILIES, STUDIES
from galgen.runs import code
from galgen.runs.code import imported, source, version
from galgen.runs.errors import GalgenError

TRAININGS = FAMILIES | STUDIES
LEFT_OUT = {
    "galbook.table": "where rows are kept, and under which key",
    "galgen": "its version, in messages and reports",
    "galgen.auditing.report": "how an audit is told",
    "galgen.auditing.sensitivity": "quoted in the verdict on memorization of an audit, which no row has",
    "galgen.costs": "estimates of time, memory and disk",
    "galgen.data.manifest": "whom to credit",
    "galgen.experiment": "which models there are: the keys of those that are asked are in the key",
    "galgen.figures.style": "how figures look",
    "galgen.figures.tables": "how tables look",
    "galgen.figures.words": "how numbers are said",
    "galgen.models.families": "names of families; a family's files are in the key",
    "galgen.models.precision": "its value enters as a parameter",
    "galgen.profiles": "its values enter as parameters",
    "galgen.runs.code": "versions, which are in keys",
    "galgen.runs.checkpoint": "how weights are kept, under checksums",
    "galgen.runs.errors": "how mistakes are told",
    "galgen.runs.files": "how files are written and read",
    "galgen.runs.machine": "on which machine: in the record",
    "galgen.parallel": "how work is spread over processes",
    "galgen.runs.registry": "names that stand for code; a family's files are in the key",
    "galgen.runs.store": "how results are kept, under checksums",
    "galgen.runs.training": "how a training is kept, told and resumed",
}
OF_DATA = {
    "galgen.data.split": "which images: a training lists it",
    "galgen.data.dataset": "how a data set lies on the disk",
    "galgen.data.prepare": "where a data set is kept; its identity is in the key of what is of it",
}

OF_ANSWERS = {
    **OF_DATA,
    "galgen.models.sampling": "each family lists it, and the families that are asked are in the key",
}


def closure(modules):
    """All modules that modules import, and the listed ones among them in turn."""
    return set().union(*(imported(source(module)) for module in modules))


def left_out(modules, also=()):
    return closure(modules) - {*modules, *LEFT_OUT, *also}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_family_lists_all_that_a_training_and_what_is_drawn_depend_on(name):
    family = TRAININGS[name]
    assert {family.__module__, family.learner.__module__} <= set(family.files)
    assert left_out(family.files, family.draws) == set()
    assert left_out((*family.files, *family.draws)) == set()
    assert {"galgen.runs.batches", "galgen.runs.schedules"} <= set(family.files)


@pytest.mark.parametrize(
    "listed", [simulated.GALAXIES, simulated.LEAVES, importing.FILES, prepare.SMALLER, [morphology.__name__]]
)
def test_a_data_set_lists_all_that_its_pixels_depend_on(listed):
    assert left_out(listed, OF_DATA) == set()


measure.load()


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_measurement_lists_all_that_its_rows_depend_on(name):
    families = [TRAININGS[family] for family in QUESTIONS[name].families]
    in_keys = {each for family in families for each in (*family.files, *family.draws)}  # of its models
    assert left_out(QUESTIONS[name].files, OF_ANSWERS) - in_keys == set()


def test_images_list_theirs():
    assert left_out((images.__name__, *images.FILES), OF_DATA) == set()


def test_what_is_left_out_are_modules_that_exist():
    assert all(source(name) for name in LEFT_OUT | OF_DATA)


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


DENOISERS = ("diffusion", "conditional", *STUDIES)


def versions():
    """Of each family's trainings and samples, and of the simulated galaxies."""
    found = {"galaxies": version(simulated.GALAXIES)}
    for name, family in TRAININGS.items():
        found[name, "training"], found[name, "samples"] = version(family.files), version(family.draws)
    return found


@pytest.mark.parametrize(
    ("name", "old", "new", "void"),
    [
        ("galgen.models.sampling", "(2 * last)", "(3 * last)", {(name, "samples") for name in TRAININGS}),
        ("galgen.models.unet", "relu_()", "relu()", {(name, "training") for name in DENOISERS}),
        ("galgen.models.glow", "2 * (raw / 2)", "3 * (raw / 3)", {("glow", "training")}),
        ("galgen.runs.errors", "class GalgenError(Exception)", "class GalgenError(ValueError)", set()),
        ("galgen.runs.training", "def _resume(", "def _resumed(", set()),
        ("galgen.data.preprocess", "np.rint(", "np.floor(", {"galaxies"}),
        ("galgen.models.gan", ".mean()  # Eq. (9)", ".sum()", {("gan", "training")}),
    ],
)
def test_an_edit_voids_what_lists_its_file_and_nothing_else(monkeypatch, name, old, new, void):
    before = versions()
    edited(monkeypatch, name, old, new)
    assert {key for key, found in versions().items() if found != before[key]} == void


def test_imports_are_found_wherever_they_stand():
    text = "import numpy\ndef f():\n    from galgen.models import muon, x\n    import galgen.runs.files\n"
    assert imported(text) == {"galgen.models.muon", "galgen.models", "galgen.runs.files"}
    assert imported("from galgen.profiles import Parameters") == {"galgen.profiles"}
