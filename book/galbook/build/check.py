"""No trust asked: a part of what is published is made again here, and compared.

The published models draw their samples again, and rows that read no other models are measured again from
these. Weights of convolutions are published in half precision, and processors round sums in other orders, so
a number may move; it must not move by more than

    max(.25 (high - low) / 2, .02 |value|, .002),    or the `tolerance` of its statistic in `statistics.yaml`,

a quarter of its own uncertainty, or 2 % where it has no interval. The smallest Glow is trained again, too: on
the class of processor that published it, its weights are the same bit for bit; on others its last losses are
alike to 5 %. All other rows need models whose weights are not published: `make book RECOMPUTE=1` checks them.
"""

import datetime
import os
import random

import numpy as np
import pandas as pd

from galbook import publishing
from galbook.build.runs import Run
from galbook.table import KEY, STATISTICS, Published
from galgen.experiment import every_family
from galgen.published import WithPublished, halved, published, weights_of
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError
from galgen.runs.files import write_json
from galgen.runs.store import processor, provenance

# What reads the course of a training: its log, earlier weights, a discriminator. None of it is published.
COURSE = ("agreement_in_training", "discriminator_memorization", "discriminator_test", "fresh_classifier")
COURSE += ("near_copies_along_training", "onset", "training_losses")
FILES = 8  # of rows that are measured again, drawn by chance
OWN = [name for name in KEY if name != "seed"]


def check(run: Run, files: int = FILES) -> str:
    """Check what is published of a run, and write the outcome beside it, for the first page to tell.

    Raises:
        GalgenError: If nothing is published of it, or something is not what was published.
    """
    experiments = list(every_family(run.parameters, WithPublished(), studies=True).values())
    if not (table := Published.of(experiments[0])):
        raise GalgenError(f"nothing is published of the run {run.name} that could be checked")
    there = set(table.about["files"])
    again, rest, wrong = 0, 0, []
    asked = [each for each in publishing.questions_of(experiments) if _label(*each) in there]
    free = [each for each in asked if _drawable(*each)]
    chosen = random.sample(free, min(files, len(free)))
    for each in asked:
        first, last = table.about["files"][_label(*each)]["rows"]
        rest += last - first if each not in free else 0
    os.environ["RECOMPUTE"] = "1"  # published rows don't stand for these
    for question, experiment, given in chosen:
        name = _label(question, experiment, given)
        before = table.get(name, table.about["files"][name]["key"])
        off = moved(before.rows, question(experiment, *given).rows)
        again += len(before.rows)
        wrong += [f"{name}: {of.statistic} of {of.model} is {of.here:.4g}, not {of.value:.4g}" for of in off]
    wrong += _retrained(run)
    told = provenance()
    outcome = (
        "; ".join(wrong[:5]) if wrong else "all within their tolerances, and the smallest Glow trained again"
    )
    found = {"again": again, "rows": sum(1 for _ in table.lines) - 1, "recompute": rest, "outcome": outcome}
    found |= {"machine": processor(told["machine"]), "commit": told["commit"]}
    found["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
    write_json(run.parameters.folder / "checked.json", found)
    if wrong:
        raise GalgenError(f"{len(wrong)} numbers are not what was published: {outcome}")
    return (
        f"{again} of {found['rows']} rows were measured again: {outcome}. "
        f"{rest} rows need models whose weights are not published: make book RECOMPUTE=1"
    )


def _label(question: object, experiment: object, given: tuple) -> str:
    return f"{question.name}/{question.label(experiment, *given)}"


def _drawable(question: object, experiment: object, given: tuple) -> bool:
    """Whether rows are of models, and of published ones alone."""
    models, place = list(question.models(experiment, *given)), published()
    keys = ((model.family, place.key(**experiment.identity(model))) for model in models)
    there = bool(models) and all((place.root / kind / key).is_dir() for kind, key in keys)
    return there and question.name not in COURSE


def moved(before: pd.DataFrame, after: pd.DataFrame) -> list:
    """The rows whose value has moved by more than their tolerance, with what it is `here`."""
    both = before.merge(after[[*OWN, "value"]].rename(columns={"value": "here"}), on=OWN, how="left")
    half = 0.125 * (both.high - both.low).fillna(0).abs()
    own = [STATISTICS[name].get("tolerance", 0) for name in both.statistic]
    allowed = np.maximum.reduce([half, 0.02 * both.value.abs(), np.full(len(both), 0.002), own])
    bad = ((both.here - both.value).abs() > allowed) | (both.here.isna() != both.value.isna())
    return list(both[bad].itertuples())


def _retrained(run: Run) -> list[str]:
    """What is wrong with the smallest Glow that is trained again."""
    (experiment,) = (each for each in run.experiments if each.family.name == "glow")
    training = experiment.models.pair(experiment.sizes[0])[0]
    known = published().at("glow", experiment.store.key(**experiment.identity(training)))
    here = experiment.train(training)
    if not known:
        return [f"{training.name} is not published"]
    if processor(known.record["machine"]) == processor(here.record["machine"]):
        mine, theirs = (checkpoint.load_weights(weights_of(each)) for each in (here, known))
        same = all(halved(mine[name][key]).equal(of) for name in mine for key, of in theirs[name].items())
        return [] if same else [f"the weights of {training.name} are others"]
    losses = zip(here.summary["losses"].values(), known.summary["losses"].values(), strict=True)
    alike = all(abs(a - b) <= 0.05 * max(1, abs(b)) for a, b in losses)
    return [] if alike else [f"{training.name} ends with other losses"]
