"""What a question asks of its experiment is in its key, and what it does not ask is not."""

import ast
import copy
import functools
import importlib
import inspect
import pkgutil
import sys
import zlib
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from test_code_version import DEFINITION, MODULE, edited

import galbook
from galgen import experiment as core
from galgen.runs import code_version as code
from galgen.runs.errors import GalgenError

ASKED = {  # each question: of which family, or of several, and what
    "agreement": ("diffusion",),
    "ask": ("gan", 12),
    "audited": ("diffusion", 12),
    "before_memory": ("gan", 12),
    "bits_along": ("glow", 12),
    "board": ("glow", 12),
    "ceiling": ("diffusion",),
    "checks": ("diffusion",),
    "choices": ("diffusion", 12),
    "circle": ("gan",),
    "directions_test": ("conditional", 12),
    "early": ("diffusion",),
    "fit": ("glow", 12),
    "flow_inversions": ("conditional", 12),
    "foreign_test": ("glow",),
    "fresh_judge": ("gan",),
    "gained": ("diffusion", 12),
    "generators": ("gan", 12),
    "knows": ("gan", 12),
    "latents": ("glow", 12),
    "levels_carried_over": ("glow",),
    "local_test": ("conditional", 12, 0.2),
    "traces": ("diffusion", 12),
    "copying": ("diffusion", 12),
    "model_biases": (["diffusion", "gan"],),
    "nearest_to": ("glow",),
    "pair_tests": ("glow", 12),
    "panels": ("diffusion",),
    "planted": ("diffusion",),
    "shaped": ("glow", 12),
    "spent": ("glow", 12),
    "two_models_at": ("gan", 12),
    "untrained": ("glow",),
    "ways": ("diffusion",),
    "agreement_along": ("diffusion", "galaxies"),
    "columns": ("glow", 12, "A"),
    "design_of": ("diffusion",),
    "elsewhere": ("diffusion",),
    "looks": ("glow", 12),
    "returned": ("glow", 12),
    "scatter": ("glow",),
    "warm": ("glow",),
    "_psnr": ("conditional", 12, False, [0.1]),
    "_training_gap": ("diffusion", 12),
}
PLACE = "galgen.experiment"
CLASSES = (core.Experiment, core.Images, core.Models)
METHODS = {  # the code of each method, by its name
    getattr(
        thing, "func", getattr(thing, "fget", getattr(thing, "__wrapped__", thing))
    ).__code__: f"{each.__name__}.{name}"
    for each in CLASSES
    for name, thing in vars(each).items()
    if name != "__init__" and not isinstance(thing, type | str) and name[:2] != "__"
}
KEYED = {name for name in METHODS.values() if not code._definition(("galgen.experiment", name))[0]}


def questions():
    """All functions of galbook whose answers are kept, by name."""
    found = {}
    for module in pkgutil.walk_packages(galbook.__path__, "galbook."):
        if module.name.startswith(("galbook.press", "galbook.explorer")):
            continue
        for name, thing in vars(importlib.import_module(module.name)).items():
            kept = inspect.isfunction(thing) and thing.__code__.co_name == "asked"
            if kept and thing.__module__ == module.name:
                found[name] = thing
    return found


@contextmanager
def calls():
    """The methods of an experiment that are called, but for what is named by a key."""
    called, within = set(), 0

    def watch(frame, event, _):
        nonlocal within
        if event in ("call", "return") and (name := METHODS.get(frame.f_code)):
            if event == "call" and not within:
                called.add(name)
            within += (name in KEYED) * (1 if event == "call" else -1)

    sys.setprofile(watch)
    try:
        yield called
    finally:
        sys.setprofile(None)


def methods_reached(question):
    names = (name.removeprefix("galgen.experiment.") for name in code.reached(question))
    return {name for name in names if name.split(".")[0] in {each.__name__ for each in CLASSES}}


def test_every_question_is_asked_here():
    assert set(questions()) == set(ASKED)
    assert KEYED == {"Experiment.train", "Experiment.key", "Experiment.keys", "Images._prepare"}


@pytest.mark.parametrize("name", ASKED)
def test_what_a_question_calls_is_in_its_key(smoke, name):
    question, (of, *given) = questions()[name], ASKED[name]
    fresh = {f: core.Experiment(e.parameters, e.store, family=f) for f, e in smoke.items()}
    experiments = fresh[of] if isinstance(of, str) else [fresh[each] for each in of]
    with calls() as called:
        question.__wrapped__(experiments, *given)
    assert called and called - KEYED <= (found := methods_reached(question)), called - found
    assert "Experiment" not in found, "the class counts as a whole"
    assert not found & {
        f"Experiment.{each}" for each in ("plan", "ensure", "note", "to_train", "_train_apart")
    }


@pytest.mark.parametrize(
    ("old", "new", "void"),
    [
        (
            "sets.starts if len(sets.starts) else",
            "sets.validation if 1 else",
            {"board", "fit", "latents", "_training_gap"},
        ),
        ("range(first, first + (", "range(first + 1, first + (", {"board", "fit", "latents"}),
        ("mean_image(self.unseen)", "0 * mean_image(self.unseen)", {"board", "fit"}),
        (
            "self.split(training.N, foreign",
            "self.split(training.N + 1, foreign",
            {"board", "fit", "latents", "planted", "_training_gap"},
        ),
        ('"B", 2 * k + 1', '"A", 2 * k + 1', {"board", "fit", "latents", "planted", "_training_gap"}),
        ("{cores} cores, {memory} MB", "{memory} MB", set()),
        ('"foreign": t.foreign}', "}", set()),
        ("self.sizes if N is None else N)", "self.sizes)", set()),
    ],
)
def test_an_edit_of_what_is_called_voids_the_answer_and_of_all_else_does_not(monkeypatch, old, new, void):
    some = {name: questions()[name] for name in ("board", "fit", "latents", "planted", "_training_gap")}
    before = {name: code.code_version(question) for name, question in some.items()}
    edited(monkeypatch, "galgen.experiment", old, new)
    assert {name for name, question in some.items() if code.code_version(question) != before[name]} == void


def test_an_edit_of_any_method_voids_the_questions_that_reach_it_and_no_other(monkeypatch):
    """A statement more at its end."""
    some = {name: questions()[name] for name in ("flow_inversions", "planted")}
    before = {name: code.code_version(question) for name, question in some.items()}
    reaching = {name: methods_reached(question) - KEYED for name, question in some.items()}
    known = code._module(PLACE)
    for method in sorted(set(METHODS.values())):
        (node,) = known.definitions[method]
        longer = copy.deepcopy(node)
        longer.body.append(ast.Pass())
        definitions = {**known.definitions, method: [longer]}
        changed = SimpleNamespace(tree=known.tree, imports=known.imports, definitions=definitions)
        monkeypatch.setattr(code, "_module", lambda name, of=changed: of if name == PLACE else MODULE(name))
        monkeypatch.setattr(code, "_definition", functools.cache(DEFINITION))
        voided = {name for name, question in some.items() if code.code_version(question) != before[name]}
        assert voided == {name for name, methods in reaching.items() if method in methods}, method


def test_a_message_about_memory_voids_no_answer(monkeypatch):
    before = code.code_version(questions()["board"])
    edited(monkeypatch, "galgen.costs", "close other programs", "close all")
    assert code.code_version(questions()["board"]) == before


@pytest.fixture
def load(module):
    """The function or class that comes last in that source, of a module of galgen."""

    def loaded(source):
        name = [n for n in code._Module(source).definitions if "." not in n][-1]
        here = f"galgen.loaded_{zlib.crc32(source.encode())}"  # a module is read once
        return SimpleNamespace(__module__=module(here, source).__name__, __qualname__=name)

    return loaded


HEAD = "from galgen.experiment import Experiment\nfrom galbook.scoreboard import controls_of\n"


@pytest.mark.parametrize(
    ("source", "method"),
    [
        ("def f(e: Experiment): return e.latents()", "Experiment.latents"),
        ("def f(e: Experiment): return e.images.unseen", "Images.unseen"),
        ("def f(all: list[Experiment]): return [e.models.design() for e in all]", "Models.design"),
        (
            "def f(all: Sequence[Experiment]):\n for k, (e, _) in enumerate(zip(all, all)): e.weights",
            "Experiment.weights",
        ),
        (
            "def f(all: list[Experiment]):\n first, *rest = sorted(all)\n rest[0].weights",
            "Experiment.weights",
        ),
        ("def f(all: dict[str, Experiment]):\n for _, e in all.items(): e.images.mean", "Images.mean"),
        (
            "def f(a: dict[str, Experiment]) -> Experiment: return max(a.values(), key=lambda e: e.weights)",
            "Experiment.weights",
        ),
        ("def f(e: Experiment):\n images = e.images\n return images.split()", "Images.split"),
        ("def f(e: Experiment): return controls_of(e)", "Images.compared"),
        (
            "class F:\n def __init__(self, e: Experiment): self.e = e\n def g(self): return self.e.latents()",
            "Experiment.latents",
        ),
    ],
)
def test_an_experiment_is_followed(load, source, method):
    assert method in methods_reached(load(HEAD + source))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def f(e: Experiment): return e.weight", "Experiment has no weight"),
        ("def f(e: Experiment): return e.images.weights", "Images has no weights"),
        ("def g(e): return e.weights\ndef f(e: Experiment): return g(e)", "g does not say"),
        ("def f(e: Experiment, g): return g(e)", "g does not say"),
        ("def f(e: Experiment): return getattr(e, 'weights')", "getattr does not say"),
        ("def f(e: Experiment, h): return h(x=e)", "h does not say"),
        ("def f(all: list[Experiment]): return all.pop().weights", "pop of several"),
        ("def f(e: Experiment): return e", "returned by what does not say so"),
    ],
)
def test_what_cannot_be_followed_is_an_error_that_names_the_line(load, source, why):
    with pytest.raises(GalgenError, match=rf"galgen\.loaded_\d+, line \d+: an experiment cannot.*{why}"):
        code.code_version(load(HEAD + source))
