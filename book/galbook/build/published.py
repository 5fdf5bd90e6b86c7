"""Which measurements of a run are published, and which must be computed.

`galbook.publishing` writes the table and the arrays. Rows whose code and models are unchanged are read from
them; all others are measured again, after training the models that they read.
"""

import functools
from typing import NamedTuple

from galbook import publishing
from galbook.build.pages import rendered
from galbook.build.runs import Run
from galbook.table import Published, Question
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, STUDIES
from galgen.runs.store import Store


class Missing(NamedTuple):
    """A measurement that is not published, or was published with other code or models."""

    question: Question
    experiment: Experiment
    given: tuple

    @property
    def of(self) -> tuple[str, int]:
        """Family and N of the models that the measurement reads."""
        return self.experiment.family.name, self.question.size(self.experiment, *self.given)

    @property
    def models(self) -> set[str]:
        """Names of the models that the measurement reads."""
        return {model.name for model in self.question.models(self.experiment, *self.given)}

    @property
    def is_stored(self) -> bool:
        """Whether the rows are in the run store."""
        entry = self.question.entry(self.experiment, *self.given)
        return bool(self.experiment.store.find("rows", **entry))


def of_run(run: Run) -> dict | None:
    """Contents of `run.json` of the published run with these parameters, at any N; None if not used."""
    table = Published.of(run.experiments[0])
    return table.about if table and table.about["precision"] == run.parameters.precision else None


@functools.cache
def missing_measurements(run: Run) -> list[Missing]:
    """Measurements of a run that are not published, or were published with other code or models."""
    listed = publishing.missing if of_run(run) else publishing.questions_of
    return [Missing(*call) for call in listed(run.experiments)]


def data_of(run: Run) -> dict:
    """Number and sha256 of the images of a run: the published ones if all measurements are published."""
    if (about := of_run(run)) and not missing_measurements(run):
        return about["data"]
    dataset = run.experiments[0].images.dataset
    return {"images": len(dataset), "sha256": dataset.sha256}


def origin(run: Run) -> str:
    """Provenance statement of the first page of a published run, in Markdown; empty for other runs."""
    about = of_run(run)
    if not about or run.parameters.N:
        return ""
    old = sorted({item.question.name for item in missing_measurements(run)})
    files = about["files"].values()
    values = {name: sorted({file[name] for file in files}) for name in ("machine", "date")}
    return rendered("origin.md.j2", of=values, old=old, checked=publishing.checked(run.parameters))


def computed_here() -> list[str]:
    """Names of the entries of the run store: data sets simulated, models trained and rows measured here."""
    kinds = (*FAMILIES, *STUDIES, "rows", "dataset")
    entries = [(kind, entry.summary) for kind in kinds for entry in Store().runs(kind)]
    return [
        f"{summary['question']}/{summary['name']}" if "question" in summary else summary.get("name", kind)
        for kind, summary in entries
    ]
