r"""No trust asked: a part of what is published is made again here, and compared.

Retrained are the smallest Glow, GAN and blind denoiser in full, and the conditional one for its first steps.
On the class of processor that published, weights and losses are compared bit for bit. Elsewhere sums are
rounded in another order, and steps carry that on; so the losses of the first steps are compared,

    |loss here - loss published| <= .05 max(1, |loss published|)

(bfloat16 rounds by 2^-9 = .002. Without AMX and AVX512 the losses of 20 steps were seen to differ by .001
of conditional denoisers, .003 of GANs, .012 of blind denoisers and .017 of Glow's gradient),
and the published models draw eight latents each, to `galgen.published.TOLERANCE`. Answers are asked again, of
published inputs: two that the commit's hash draws of those that took less than 20 s, or all. Their numbers
are the same to 1e-3: a chapter asks with all cores, by whose number linear algebra rounds, and this with one.
"""

import importlib
import json
import math
import os
import random
import re
import tempfile
from collections.abc import Iterator, Mapping
from html import escape
from inspect import signature
from pathlib import Path
from typing import get_type_hints

import torch

from galbook.press.published import STEPS, begun, stale
from galbook.press.runs import HEADLINE, Run, digest
from galgen import published
from galgen.experiment import Experiment
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_path, write_json
from galgen.runs.packed import about
from galgen.runs.store import Store, processor, provenance, read_record, write_answer

IN_FULL = ("diffusion", "glow", "gan")
SECONDS = 20.0
TOLERANCE = 1e-3  # of answers
STEPS_TOLERANCE = 0.05  # of losses
BEGUN = '<span class="galgen-checked">'  # on the pages that tell the outcome
PAGES = (f"chapters/{HEADLINE}.html", "workflow.html")


def check(run: Run, out: Path | None = None, *, everything: bool = False) -> str:
    """Check what is published, tell the outcome on the bound pages, and write it down.

    Returns:
        The outcome.

    Raises:
        GalgenError: If something is not what was published; named on the first page, too.
    """
    store = Store()
    if not (known := about(store.packed)):
        raise GalgenError(
            "nothing is published that could be checked: results/published/book.json is not there"
        )
    torch.set_num_threads(1)  # as in every step: with more, sums are rounded in another order
    of = digest(_published(store.packed), known["commit"], provenance(), everything)
    before = json.loads(out.with_suffix(".kept").read_text()) if _kept(out) else {}
    if before.get("of") != of:
        with tempfile.TemporaryDirectory(prefix="galgen-check-") as work:
            wrong = [*_trainings(run, known, Path(work)), *_answers(run, known, everything, Path(work))]
        before = {"of": of, "wrong": wrong, "commit": provenance()["commit"]}
        if out:
            write_json(out.with_suffix(".kept"), before)
    told = "; ".join(before["wrong"])
    where = f"({processor(provenance()['machine'])}, commit {before['commit']})"
    said = f"the check failed {where}: {told}" if told else f"checked here {where}: they do"
    tell(run.folder / "html", said)
    if told:
        raise GalgenError(said)
    if out:
        write_json(out, before)
    return said


def _kept(out: Path | None) -> bool:
    return bool(out) and out.with_suffix(".kept").is_file()


def _published(folder: Path) -> list[tuple[str, int]]:
    return sorted((path.name, path.stat().st_size) for path in folder.rglob("*.*"))


def tell(html: Path, said: str) -> None:
    """Write the outcome of a check into bound pages, which are not bound again."""
    for page in (html / name for name in PAGES if (html / name).is_file()):
        text = re.sub(
            f"({re.escape(BEGUN)}).*?(</span>)",
            lambda found: f"{found[1]}{escape(said)}{found[2]}",
            page.read_text(),
        )
        with atomic_path(page) as temporary:
            temporary.write_text(text)


def _same_class(known: Mapping) -> bool:
    emulates = {"ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES"} & set(os.environ)  # another processor
    return not emulates and processor(known["machine"]) == processor(provenance()["machine"])


def _trainings(run: Run, known: Mapping, work: Path) -> Iterator[str]:
    """What is wrong with the trainings, one text each."""
    same, again = _same_class(known), begun(run)
    for name, losses in known["begun"].items():
        if not _alike(again.get(name), losses, 0.0 if same else STEPS_TOLERANCE):
            yield f"the first {STEPS} steps of {name} have other losses"
    if not same:
        try:
            published.verify()
        except GalgenError as error:
            yield str(error)
        return
    for name in IN_FULL:
        experiment = Experiment(run.parameters, Store(work), family=name)
        model = experiment.models.pair(experiment.sizes[0])[0]
        told, new = experiment.train(model), read_record(experiment.train(model).path)
        compared = [
            file for file in told.record["sha256"] if file != "checkpoint.safetensors"
        ]  # it has seconds
        if any(new["sha256"].get(file) != told.record["sha256"][file] for file in compared):
            yield f"{model.name}, retrained, is another model"


def _answers(run: Run, known: Mapping, everything: bool, work: Path) -> Iterator[str]:
    """What is wrong with the answers, one text each."""
    old = stale(known)
    fit = [key for key, of in sorted(known["answers"].items()) if not of["needs"] and key not in old]
    if not everything:
        quick = [key for key in fit if known["answers"][key]["seconds"] < SECONDS]
        fit = random.Random(provenance()["commit"]).sample(quick, min(2, len(quick)))
    store = Store(work)
    for key in fit:
        question, entry = known["answers"][key]["question"], store.at("answers", key)
        if entry is None or not _again(run, store, question, entry.record["params"], entry.path):
            yield f"{question}, asked again, has another answer"


def _again(run: Run, store: Store, name: str, params: Mapping, path: Path) -> bool:
    """Whether a question that is asked again has the answer that is published."""
    module, _, last = name.rpartition(".")
    question = getattr(importlib.import_module(module), last).__wrapped__
    families = [next(iter(of["models"])).partition("-")[0] for of in params["of"]]
    of = [Experiment(run.parameters, store, family=family) for family in families]
    hints = get_type_hints(question, include_extras=True)
    one = hints[next(iter(signature(question).parameters))] is Experiment
    answer = question(of[0] if one else of, *params["given"])
    with tempfile.TemporaryDirectory(prefix="galgen-check-") as work:
        write_answer(Path(work) / "answer.json", answer, hints["return"])
        found = json.loads((Path(work) / "answer.json").read_text())
    return _alike(found, json.loads((path / "answer.json").read_text()), TOLERANCE)


def _alike(found: object, told: object, tolerance: float) -> bool:
    """Whether two trees of JSON are the same, numbers to a tolerance; NaN is NaN in both."""
    if isinstance(told, dict) and isinstance(found, dict):
        return found.keys() == told.keys() and all(_alike(found[k], told[k], tolerance) for k in told)
    if isinstance(told, list) and isinstance(found, list):
        return len(found) == len(told) and all(map(_alike, found, told, [tolerance] * len(told)))
    if isinstance(told, int | float) and isinstance(found, int | float):
        off = tolerance * max(1.0, abs(told)) if math.isfinite(told) else 0.0
        return found == told or abs(found - told) <= off or (math.isnan(found) and math.isnan(told))
    return found == told
