"""A question to the models of an experiment is asked once, whichever chapter asks first.

Its answer lies in the run store under all that it depends on: the question's name, arguments and code, the
data, every training of the family, how samples are drawn, and how many. So a figure and a verdict that ask
the same question have the same numbers, on every page.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, get_type_hints

from galgen.experiment import Experiment
from galgen.runs.answers import read_answer, write_answer

Asked = TypeVar("Asked", bound=Callable)


def once(question: Asked) -> Asked:
    """Keep the answers of a function of an experiment and of JSON values; its annotation says their type."""

    @functools.wraps(question)
    def asked(experiment: Experiment, *given: object) -> object:
        kind = get_type_hints(question, include_extras=True)["return"]

        def make(work: Path) -> dict:
            write_answer(work / "answer.json", question(experiment, *given), kind)
            return {"question": question.__name__}

        family, profile = experiment.family, experiment.profile
        params = {
            "question": question.__name__,
            "given": list(given),
            "N": list(experiment.sizes),
            "seed": experiment.parameters.seed,
            "samples": profile.samples,
            "validation": profile.validation,
            "sampler": experiment.settings.sampler,
            "models": experiment.keys(),
        }
        code = [question, type(family)]
        run = experiment.store.run("answers", params, make, data=experiment.dataset.sha256, code=code)
        return read_answer(run.path / "answer.json", kind)

    return asked
