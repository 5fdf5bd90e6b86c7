"""How many functions lie between `make book` and the cosine: the way that a reader of the code has to go.

A *hop* is a function of galgen or of the workflow, counted once: methods and properties, but not lambdas,
comprehensions and the bodies of classes, which stand where they are read. On the *way* are those that are
open (that a debugger would show) when galaxies are drawn, when a network takes a step, a sample is drawn,
and when the cosine is taken. All others that a step enters stand beside it: keys, checks, and what is kept.
"""

import functools
import inspect
import sys
import threading
from pathlib import Path

import nbformat
import papermill
from nbformat.v4 import new_code_cell, new_notebook

from galbook.press import __main__ as steps
from galgen.experiment import Experiment
from galgen.profiles import Parameters

ROOT = Path(__file__).parents[1]
OPTIONS = ["--profile", "smoke", "--N", "8"]
EVENTS = ("images simulate", "diffusion DenoiserLearner.step", "sampling dpm_solver_2m", "similarity cosine")
# as notebooks/03_two_models_diffusion.ipynb begins
CHAPTER = """
from galgen.profiles import Parameters
from galbook.scoreboard import two_models_at
from galgen.experiment import Experiment

experiment = Experiment(Parameters.of_notebook(globals()))
experiment.ensure(experiment.models.pair(8))
two_models_at(experiment, 8)
"""


class Reached(BaseException):
    """The cosine was taken."""


@functools.cache
def hop(code):
    """The name of a function of ours, or none."""
    path = Path(code.co_filename)
    ours = path.is_relative_to(ROOT / "galgen") or path.is_relative_to(ROOT / "book")
    if ours and code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<"):
        return f"{path.relative_to(ROOT).with_suffix('')} {code.co_qualname}"
    return ""


def entered(step):
    """The hops of a step, those on the way, and the families of which it makes an experiment."""
    found, way, made = set(), set(), []

    def watch(frame, event, argument):
        if event != "call":
            return
        code = frame.f_code
        found.add(hop(code))
        if code.co_qualname == "Experiment.__init__":
            made.append(frame.f_locals["family"])
        if hop(code).endswith(EVENTS):
            while frame:
                way.add(hop(frame.f_code))
                frame = frame.f_back
            if code.co_name == "cosine":
                raise Reached

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        assert step() == 0
    except Reached:
        pass
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found - {""}, way - {""}, made


def test_the_way_from_make_to_the_cosine_is_short(tmp_path, monkeypatch):
    """What each step of a small book enters: the data, a training, and a chapter up to the cosine."""
    one, other = (each.name for each in Experiment(Parameters(profile="smoke", N=8)).models.pair(8))
    notebook = new_notebook(cells=[new_code_cell(CHAPTER)], metadata={"families": ["diffusion"]})
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "03_two.ipynb")

    def execute(source, output, given, **others):
        """The cells, in this process."""
        space = dict(given)
        for cell in nbformat.read(source, 4).cells:
            exec(cell.source, space)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GALGEN_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(papermill, "execute_notebook", execute)
    book = {"data": entered(lambda: steps.main(["prepare", *OPTIONS, "--out", "data.json"]))}
    assert steps.main(["prepare", "--others", *OPTIONS, "--out", "others.json"]) == 0
    book["training"] = entered(lambda: steps.main(["train", one, *OPTIONS]))
    assert steps.main(["train", other, *OPTIONS]) == 0
    given = ["chapter", "notebooks/03_two.ipynb", "out.ipynb", "data.json", *OPTIONS]
    book["chapter"] = entered(lambda: steps.main(given))
    way = set().union(*(on_the_way for _, on_the_way, _ in book.values()))
    for name in ("simulate", "DenoiserLearner.step", "dpm_solver_2m", "two_models", "cosine"):
        assert [hop for hop in way if hop.endswith(f" {name}")]
    assert len(way) <= 60, sorted(way)
    beside = {name for name in book["chapter"][0] if not name.startswith("galgen/runs/")}
    assert len(beside) <= 110, sorted(beside)
    made = {name: experiments for name, (_, _, experiments) in book.items()}
    assert made["training"] == made["chapter"] == ["diffusion"], "no experiment that a process does not need"
