"""What of a book need not be made, as it is published.

The table and arrays are written by `galbook.publishing`. Rows of today's code and models are used as they
are; others are measured again, and the models that they read are trained.
"""

import functools
from typing import NamedTuple

from galbook import publishing
from galbook.build.pages import rendered
from galbook.build.runs import Run
from galbook.table import Published, Question
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, STUDIES
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store


class Missing(NamedTuple):
    """A measurement that is not published, or is of other code or models."""

    question: Question
    experiment: Experiment
    given: tuple

    @property
    def of(self) -> tuple[str, int]:
        """Family and N of the models that it reads."""
        return self.experiment.family.name, self.question.size(self.experiment, *self.given)

    @property
    def models(self) -> set[str]:
        """Their names."""
        return {model.name for model in self.question.models(self.experiment, *self.given)}

    @property
    def kept(self) -> bool:
        """Whether it has been made here."""
        identity = self.question.identity(self.experiment, *self.given)
        return bool(self.experiment.store.find("rows", **identity))


def of_run(run: Run) -> dict | None:
    """What `run.json` says of the published run with these parameters, of whatever sizes, if it is used."""
    there = Published.of(run.experiments[0])
    return there.about if there and there.about["precision"] == run.parameters.precision else None


@functools.cache
def needed(run: Run) -> list[Missing]:
    """The measurements of a run that are not published, or of other code or models."""
    asked = publishing.missing if of_run(run) else publishing.questions_of
    return [Missing(*each) for each in asked(run.experiments)]


def data_of(run: Run) -> dict:
    """Number and sha256 of the images of a run: as they were published, if nothing is measured."""
    if (known := of_run(run)) and not needed(run):
        return known["data"]
    dataset = run.experiments[0].images.dataset
    return {"images": len(dataset), "sha256": dataset.sha256}


def origin(run: Run) -> str:
    """What the first page says of where the numbers of a published run are from; "" of another."""
    known = of_run(run)
    if not known or run.parameters.N:
        return ""
    old = sorted({each.question.name for each in needed(run)})
    files = known["files"].values()
    told = {name: sorted({of[name] for of in files}) for name in ("commit", "machine", "date")}
    return rendered("origin.md.j2", of=told, old=old, checked=publishing.checked(run.parameters))


def made() -> list[str]:
    """What the store holds that was simulated, trained or measured here."""
    kinds = (*FAMILIES, *STUDIES, "rows", "dataset")
    entries = [(kind, entry.summary) for kind in kinds for entry in Store().runs(kind)]
    return [
        f"{of['question']}/{of['name']}" if "question" in of else of.get("name", kind) for kind, of in entries
    ]


def publish(run: Run) -> str:
    """Publish the table of a finished book.

    Raises:
        GalgenError: If the book is not made, or as `galbook.publishing.publish`.
    """
    if not (run.folder / "results.json").is_file():
        raise GalgenError(f"{run.folder} has no finished book to publish; make it first")
    return publishing.publish(run.parameters, run.experiments)
