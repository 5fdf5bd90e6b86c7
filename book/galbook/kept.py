"""A question to the models of an experiment is asked once, whichever chapter asks first.

Its answer lies in the run store under all that it depends on: the question's name, arguments and source
files, the data, every training of the family, how samples are drawn, and how many. So a figure and a verdict
that ask the same question have the same numbers, on every page. The source files are the question's module,
those that `FILES` of that module lists, and those of the images and of the families that are asked.
"""

import functools
import importlib
from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from pathlib import Path
from typing import TypeVar, get_type_hints

from galgen import images
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, STUDIES
from galgen.runs.errors import Damaged
from galgen.runs.store import read_answer, write_answer

__all__ = ["files", "once"]

Asked = TypeVar("Asked", bound=Callable)


def files(module: str, families: Iterable[str] = ()) -> list[str]:
    """Return the modules that the answers of a module depend on, asked of these families.

    They are those that its `FILES` lists, with those that the `FILES` of these list in turn.
    """
    asked = [(FAMILIES | STUDIES)[name] for name in families]
    found = {each for family in asked for each in (*family.files, *family.draws)}
    todo = [module, images.__name__]
    while todo:
        found.add(name := todo.pop())
        todo += set(getattr(importlib.import_module(name), "FILES", ())) - found
    return sorted(found)


def _named(value: object) -> object:
    """As a key has it: processors differ in the last digit of a number that is computed."""
    if isinstance(value, list | tuple):
        return list(map(_named, value))
    return float(f"{value:.12g}") if isinstance(value, float) else value


def once(question: Asked) -> Asked:
    """Keep the answers of a function whose annotation says their type.

    Args:
        question: Of an experiment, or several of one data set, and of JSON values.
    """

    @functools.wraps(question)
    def asked(of: Experiment | Sequence[Experiment], *given: object) -> object:
        experiments = [of] if isinstance(of, Experiment) else list(of)
        kind = get_type_hints(question, include_extras=True)["return"]
        usual = [parameter.default for parameter in signature(question).parameters.values()][1:]
        while given and given[-1] == usual[len(given) - 1]:  # said or not, it is one question
            given = given[:-1]
        given = _named(given)
        first, profile = experiments[0], experiments[0].profile

        def make(work: Path) -> dict:
            write_answer(work / "answer.json", question(of, *given), kind)
            return {"question": question.__name__, "module": question.__module__}

        params = {
            "question": question.__name__,
            "given": list(given),
            "seed": first.parameters.seed,
            "samples": profile.samples,
            "validation": profile.validation,
            "of": [
                {"N": list(e.sizes), "sampler": e.settings.sampler, "models": e.keys()} for e in experiments
            ],
        }
        code = files(question.__module__, (e.family.name for e in experiments))
        identity = {"data": first.images.dataset.sha256, "code": code}
        run = first.store.run("answers", params, make, **identity)
        try:
            return read_answer(run.path / "answer.json", kind)
        except Damaged as error:
            first.store.set_aside(run, error)
            run = first.store.run("answers", params, make, **identity)
            return read_answer(run.path / "answer.json", kind)

    return asked
