"""What of a book travels with the project (`galgen.runs.packed`): chosen, packed, held against today's code.

Each chapter notes which entries it read (`build/RUN/asked/`), and a record which were read to make its entry.
So the entries that a book rests on are known. Of them are packed: data sets by which trainings are known,
answers, morphology, and samples that a chapter reads; of each training all but its weights; and, as far as
there is room, samples that answers of two chapters or more read, of the most first. An answer *needs* a
training if asking it again takes weights of it, beside what is packed; and galaxies that are simulated again.
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import torch

from galbook.kept import files
from galbook.press.pages import rendered
from galbook.press.runs import Run
from galgen.models.families import FAMILIES, STUDIES
from galgen.runs.code import version
from galgen.runs.errors import GalgenError
from galgen.runs.files import visible, write_json
from galgen.runs.packed import about, pack
from galgen.runs.store import Run as Entry
from galgen.runs.store import Store, provenance

LARGEST = 40.0  # MB of all that is packed
INDEX = 1.0  # of which the index takes less
STEPS = 20  # of the trainings that are begun to be compared
TRAININGS = FAMILIES | STUDIES


def asked(run: Run) -> dict[str, list[dict]]:
    """By chapter, what it read and what was made for it."""
    paths = visible(run.folder / "asked", "*.jsonl")
    return {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in paths}


def made(run: Run) -> list[str]:
    """What the chapters of a run had to make, with its seconds."""
    lines = [each for of in asked(run).values() for each in of if each["made"] is not None]
    return [f"{each['what'] or ''} {each['entry']}, {each['made']:.1f} s".strip() for each in lines]


@cache
def _version(question: str, families: tuple[str, ...]) -> str:
    return version(files(question.rpartition(".")[0], families))


def stale(known: Mapping, moved: Iterable[str] = ()) -> dict[str, dict]:
    """The published answers that are none of today's code, by key: of edited questions and moved families."""
    moved, found = set(moved), {}
    for key, of in known["answers"].items():
        try:
            same = _version(of["question"], tuple(of["families"])) == of["code"]
        except (GalgenError, KeyError, ImportError):  # there is no such question or family any more
            same = False
        if not same or moved & set(of["families"]):
            found[key] = of
    return found


def needed(run: Run, store: Store) -> tuple[set[str], dict[str, dict]]:
    """Of the book that is published, trainings that need no step, and stale answers; nothing of another."""
    known, parameters = about(store.packed), run.parameters.model_dump(mode="json")
    if not known or known["parameters"] | {"precision": known["precision"]} != parameters:
        return set(), {}
    there, moved = set(), set()
    for experiment in run.experiments:
        for model in experiment.models.trainings():
            if store.find(**experiment.identity(model)):
                there.add(model.name)
            else:
                moved.add(experiment.family.name)
    old = stale(known, moved)
    return there - {name for of in old.values() for name in of["needs"]}, old


def stamps(run: Run, but: Iterable[str]) -> list[dict]:
    """Of the book that is published, what `galgen train` would write of its trainings but for some."""
    store, there, found = Store(), needed(run, Store())[0] - set(but), []
    for experiment in run.experiments if there else ():
        for model in (each for each in experiment.models.trainings() if each.name in there):
            entry = store.find(**experiment.identity(model))
            found.append({"name": model.name, "key": entry.key, **entry.summary})
    return found


def origin(run: Run) -> str:
    """What the first page of the book that is published says of where its numbers are from; "" of another."""
    store = Store()
    there, old = needed(run, store)
    if not there:
        return ""
    return rendered(
        "origin.md.j2", of=about(store.packed), old=sorted({of["question"] for of in old.values()})
    )


class _Chosen:
    """The entries that a book rests on, and of them those to be packed."""

    def __init__(self, run: Run, store: Store):
        self.store, self.entries = store, {}
        self.names = {}
        for experiment in run.experiments:
            for model in experiment.models.trainings():
                entry = store.find(**experiment.identity(model))
                if not entry:
                    raise GalgenError(f"{model.name} is not trained; make the book first")
                self.names[self._known(entry)] = model.name
        seen, read, images = Counter(), set(), {each.images for each in run.experiments}
        sets = [of for each in images for of in (each.dataset, *map(each.foreign, each.strangers))]
        for lines in asked(run).values():
            of_chapter = {each["entry"] for each in lines if each["read"]}
            read |= of_chapter
            seen.update(self._closure(of_chapter))
        kinds = {name: name.partition("/")[0] for name in seen}
        drawn = {name for name, kind in kinds.items() if kind == "samples"} - read
        left = {*TRAININGS, "dataset"}
        self.packed = {name for name, kind in kinds.items() if kind not in left} - drawn
        # by which every training is found; smaller images are made of them again
        simulated = self._closure(f"dataset/{of.directory.parent.stem}" for of in sets)
        self.packed |= {name for name in simulated if "population" in self.entries[name].record["params"]}
        self.spare = sorted((name for name in drawn if seen[name] > 1), key=lambda name: (-seen[name], name))

    def _known(self, entry: Entry) -> str:
        name = f"{entry.record['kind']}/{entry.key}"
        self.entries[name] = entry
        return name

    def _closure(self, names: Iterable[str]) -> set[str]:
        """These entries and all that was read to make them, and so on."""
        found, todo = set(), list(names)
        while todo:
            if (name := todo.pop()) not in found:
                found.add(name)
                if name not in self.entries:
                    entry = self.store.at(*name.split("/"))
                    if not entry or "read" not in entry.record:
                        raise GalgenError(
                            f"{name}, which the book reads, is not there, or older; make it again"
                        )
                    self._known(entry)
                todo += self.entries[name].record.get("read", ())
        return found

    def needs(self, name: str) -> list[str]:
        """What it takes to make an entry again, beside what is packed: weights of trainings, galaxies."""
        found, todo = set(), list(self.entries[name].record.get("read", ()))
        while todo:
            each = todo.pop()
            if each in self.names:
                found.add(self.names[each])
            elif each not in self.packed:
                todo += (before := self.entries[each].record["read"])
                if each.startswith("dataset/") and not before:  # simulated elsewhere it has other pixels
                    found.add(each)
        return sorted(found)

    def answers(self) -> dict[str, dict]:
        """What the index says of each answer (`galgen.runs.packed.Answer`)."""
        found = {}
        for name in sorted(self.packed):
            record = self.entries[name].record
            if record["kind"] == "answers":
                question = f"{record['summary']['module']}.{record['params']['question']}"
                families = [next(iter(of["models"])).partition("-")[0] for of in record["params"]["of"]]
                told = {"question": question, "families": families, "seconds": record["seconds"]}
                found[record["key"]] = told | {"code": record["code"], "needs": self.needs(name)}
        return found


def begun(run: Run) -> dict[str, list[dict[str, float]]]:
    """The losses of the first steps of the smallest model of each family that is compared, by one thread."""
    torch.set_num_threads(1)  # as in every training step; with more, sums are rounded in another order
    compared = [each for each in run.experiments if each.family.name in FAMILIES]
    models = {each: each.models.pair(each.sizes[0])[0] for each in compared}
    return {model.name: each.begun(model, STEPS) for each, model in models.items()}


def publish(run: Run, folder: Path | None = None) -> str:
    """Pack what a finished book rests on, in the place of what was packed before; says what takes how much.

    Raises:
        GalgenError: If the book is not made, or it is too much.
    """
    if not (run.folder / "results.json").is_file():
        raise GalgenError(f"{run.folder} has no finished book to publish; make it first")
    store = Store()
    target, of = folder or store.packed, _Chosen(run, store)
    if target is None:
        raise GalgenError("RECOMPUTE=1 asks for no published store; publish without it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=target.parent) as work:
        sizes: Counter[str] = Counter()
        for name in [*sorted(of.packed | set(of.names)), *of.spare]:
            entry, new, before = of.entries[name], Path(work) / f"{name}.zip", target / f"{name}.zip"
            if before.is_file() and entry.folder.suffix == ".published":
                new.parent.mkdir(exist_ok=True)
                shutil.copy(before, new)
            else:
                pack(entry.folder, entry.record["sha256"], new)
            size = new.stat().st_size / 1e6
            if name in of.spare and sizes.total() + size > LARGEST - INDEX:
                new.unlink()
                continue
            of.packed.add(name)
            sizes[entry.record["kind"]] += size
        told = provenance()
        index = {"parameters": run.asked.model_dump(mode="json"), "precision": run.parameters.precision}
        index |= {name: told[name] for name in ("commit", "machine")}
        index |= {"date": max(e.record["created"] for e in of.entries.values())[:10], "answers": of.answers()}
        write_json(Path(work) / "book.json", index | {"begun": begun(run)})
        sizes["index"] = (Path(work) / "book.json").stat().st_size / 1e6
        said = ", ".join(f"{kind} {size:.2f}" for kind, size in sorted(sizes.items()))
        if sizes.total() > LARGEST:
            raise GalgenError(f"{sizes.total():.1f} MB are more than {LARGEST:g}: {said}; publish less")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(work, target)
        os.chmod(target, 0o755)  # temporary folders are private
    return f"{sizes.total():.2f} MB in {target}: {said}"
