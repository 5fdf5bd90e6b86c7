"""What of a book travels with the project: the table of its measurements, and its trainings without weights.

The table and arrays are written by `galbook.publishing`. Beside them are packed (`galgen.runs.packed`) the
data sets by which trainings are known, and of each training its record and losses. So a book is made of what
is published, as far as it is of today's code: other measurements are made again, and their models trained.
"""

import functools
import shutil
from collections.abc import Iterable
from typing import NamedTuple

import torch

from galbook import publishing
from galbook.press.pages import rendered
from galbook.press.runs import Run
from galbook.table import Question
from galgen.data.prepare import SIMULATED
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, STUDIES, Training
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_folder, write_json
from galgen.runs.packed import about, pack, place
from galgen.runs.store import Store, provenance

STEPS = 20  # of the trainings that are begun to be compared


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
    """What `book.json` says, if it is of that run of simulated galaxies, of whatever sizes, and is used."""
    known, of = about(Store().packed), run.parameters.model_dump(mode="json")
    if not known or of["data"] not in SIMULATED or known["precision"] != of["precision"]:
        return None
    same = all(known["parameters"][name] == of[name] for name in ("profile", "data", "seed"))
    return known if same else None


@functools.cache
def needed(run: Run) -> tuple[set[str], list[Missing]]:
    """Trainings that need no step, as they are published, and the measurements that are missing.

    Of a run that is not published these are none, and all.
    """
    if not of_run(run) or not all(entry for _, entry in run.simulated()):
        return set(), [Missing(*each) for each in publishing.asked(run.experiments)]
    missing = [Missing(*each) for each in publishing.missing(run.experiments)]
    there = {model.name for model, _ in _published(run)}
    return there - {name for each in missing for name in each.models}, missing


def _published(run: Run) -> Iterable[tuple[Training, dict]]:
    """The trainings of a run that are packed, each with what its key is made of."""
    for experiment in run.experiments:
        for model in experiment.models.trainings():
            identity = experiment.identity(model)
            if (place() / model.family / f"{Store().key(**identity)}.zip").is_file():
                yield model, identity


def stamps(run: Run, but: Iterable[str]) -> list[dict]:
    """Of trainings that are published, what `galgen train` would write of them, but for some."""
    there, found = needed(run)[0] - set(but), []
    for model, identity in _published(run) if there else ():
        if model.name in there and (entry := Store().find(**identity)):
            found.append({"name": model.name, "key": entry.key, **entry.summary})
    return found


def origin(run: Run) -> str:
    """What the first page of the book that is published says of where its numbers are from; "" of another."""
    known = of_run(run)
    if not known or known["parameters"]["N"] != run.parameters.model_dump(mode="json")["N"]:
        return ""
    there, missing = needed(run)
    old = sorted({each.question.name for each in missing})
    return rendered("origin.md.j2", of=known, old=old) if there else ""


def made() -> list[str]:
    """What the store holds that was trained or measured here."""
    entries = [entry.summary for kind in (*FAMILIES, *STUDIES, "rows") for entry in Store().runs(kind)]
    return [f"{of['question']}/{of['name']}" if "question" in of else of["name"] for of in entries]


def begun(run: Run) -> dict[str, list[dict[str, float]]]:
    """The losses of the first steps of the smallest model of each family that is compared, by one thread."""
    torch.set_num_threads(1)  # as in every training step; with more, sums are rounded in another order
    compared = [each for each in run.experiments if each.family.name in FAMILIES]
    models = {each: each.models.pair(each.sizes[0])[0] for each in compared}
    return {model.name: each.begun(model, STEPS) for each, model in models.items()}


def publish(run: Run) -> str:
    """Publish the table of a finished book; and pack its trainings, unless those of another run are packed.

    Raises:
        GalgenError: If the book is not made, or as `galbook.publishing.publish`.
    """
    if not (run.folder / "results.json").is_file():
        raise GalgenError(f"{run.folder} has no finished book to publish; make it first")
    said, target = publishing.publish(run.parameters, run.experiments), place()
    known, of = about(target), run.asked.model_dump(mode="json")
    if known and known["parameters"] != of:
        return f"{said}; {target} keeps the trainings of another run"
    entries = []
    for experiment in run.experiments:
        for model in experiment.models.trainings():
            if not (entry := experiment.store.find(**experiment.identity(model))):
                raise GalgenError(f"{model.name} is not trained; make the book first")
            entries.append(entry)
    entries += [entry for _, entry in run.simulated() if entry]  # by which every training is found
    with atomic_folder(target) as new:
        for entry in entries:
            name = f"{entry.record['kind']}/{entry.key}.zip"
            (new / name).parent.mkdir(exist_ok=True)
            if entry.folder.suffix == ".published":
                shutil.copy(target / name, new / name)
            else:
                pack(entry.folder, entry.record["sha256"], new / name)
        told = provenance()
        index = {"parameters": of, "precision": run.parameters.precision, "begun": begun(run)}
        index |= {name: told[name] for name in ("commit", "machine")}
        write_json(new / "book.json", index | {"date": max(e.record["created"] for e in entries)[:10]})
        size = sum(path.stat().st_size for path in new.rglob("*") if path.is_file()) / 1e6
    return f"{said}\n{len(entries)} trainings and data sets in {target}: {size:.2f} MB"
