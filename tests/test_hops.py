"""How many functions lie between a command and the cosine: the way that a reader of the code has to go.

A *hop* is a function of galgen or of the workflow that is entered, each counted once: methods and properties
too, but not lambdas, comprehensions and the bodies of classes, which stand where they are read.
"""

import inspect
import sys
import threading
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from galgen.compare import similarity
from galgen.experiment import Experiment
from workflow.book import __main__ as steps
from workflow.book import chapters

ROOT = Path(__file__).parents[1]
OPTIONS = ["--profile", "smoke", "--N", "8"]
CHAPTER = (
    """
from galgen.config import Parameters
from galgen.experiment import Experiment

parameters = Parameters.of_notebook(globals())
experiment = Experiment(parameters)
""",
    """
from galgen.evidence.pairs import two_models_at

experiment.ensure(experiment.pair(8))
two_models_at(experiment, 8)
""",
)  # as notebooks/03_two_models_diffusion.ipynb begins


class Reached(BaseException):
    """The cosine was asked for."""


def entered(step):
    """The names of the functions that a step enters, and how many experiments it makes."""
    found, made = set(), []

    def watch(frame, event, argument):
        code = frame.f_code
        if event != "call" or not code.co_flags & inspect.CO_OPTIMIZED or code.co_name.startswith("<"):
            return
        path = Path(code.co_filename)
        if path.is_relative_to(ROOT / "galgen") or path.is_relative_to(ROOT / "workflow"):
            found.add(f"{path.relative_to(ROOT)} {code.co_qualname}")
            if code.co_qualname == "Experiment.__init__":
                made.append(frame.f_locals["family"])

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        assert step() == 0
    except Reached:
        pass
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found, made


@pytest.fixture(scope="module")
def way(tmp_path_factory):
    """What each step of the book enters: the data, two trainings, and a chapter up to the cosine."""
    here = tmp_path_factory.mktemp("way")
    names = [training.name for training in Experiment(steps.cli.Asked("smoke", N=(8,)).parameters()).pair(8)]
    notebook = new_notebook(cells=list(map(new_code_cell, CHAPTER)), metadata={"families": ["diffusion"]})
    (here / "notebooks").mkdir()
    nbformat.write(notebook, here / "notebooks" / "03_two.ipynb")

    def execute(source, output, given, **others):
        """The cells, in this process."""
        space = dict(given)
        for cell in nbformat.read(source, 4).cells:
            exec(cell.source, space)

    def cosine(*given, **options):
        raise Reached

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("GALGEN_STORE", str(here / "store"))
        found = {"data": entered(lambda: steps.main(["prepare", *OPTIONS, "--out", "data.json"]))}
        for name in names:
            found[name] = entered(lambda name=name: steps.main(["train", name, *OPTIONS]))
        patch.setattr(papermill, "execute_notebook", execute)
        patch.setattr(similarity, "cosine", cosine)
        given = ["chapter", "notebooks/03_two.ipynb", "out.ipynb", "data.json", *OPTIONS]
        found["chapter"] = entered(lambda: chapters and steps.main(given))
    return found


def test_a_chapter_comes_to_its_cosine_in_60_functions(way):
    found, _ = way["chapter"]
    assert "galgen/compare/agreement.py two_models" in found
    assert len(found) <= 60, sorted(found)


def test_a_process_makes_no_experiment_that_it_does_not_need(way):
    of = {name: made for name, (_, made) in way.items()}
    trainings = [name for name in of if name.startswith("diffusion-")]
    assert len(trainings) == 2 and all(of[name] == ["diffusion"] for name in trainings)
    assert of["chapter"] == ["diffusion"]  # in what is a kernel of its own
