"""Recompute a part of the published results on this machine and compare.

Samples are generated again from the published models, and a random selection of the rows that depend on no
other models is measured again. Values may change, because convolution weights are published in half precision
and processors round sums in different orders; they must not change by more than

    max(.25 (high - low) / 2, .05 |value|, .002, 2 / n),    or its `tolerance` in `statistics.yaml`,

a quarter of their uncertainty, 5 % without an interval, or two of n samples. The smallest Glow is also
retrained: on the class of processor that published it, its weights must be identical bit for bit; on others
its final loss, in bits per dimension, must agree to 1 % (the norm of the gradient differs by 5 %). All other
rows need models whose weights are not published: `make book RECOMPUTE=1` checks them.
"""

import datetime
import random

import numpy as np
import pandas as pd

from galbook import publishing
from galbook.build.runs import Run
from galbook.table import KEY, STATISTICS, Published, Question
from galgen.data.prepare import SIMULATED
from galgen.experiment import Experiment, every_family
from galgen.published import StoreWithPublished, halved, published, weights_of
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError
from galgen.runs.files import write_json
from galgen.runs.store import processor, provenance

# Questions that read logs, earlier weights or a discriminator of a training, which are not published.
COURSE = ("agreement_in_training", "discriminator_memorization", "discriminator_test")
COURSE += ("likelihood", "near_copies_along_training", "onset", "training_losses")
FILES = 4  # groups of rows that are measured again, chosen at random
OWN = [name for name in KEY if name != "seed"]


def check(run: Run, files: int = FILES) -> str:
    """Check the published results of a run; the outcome is written to `checked.json`, for the first page.

    Raises:
        GalgenError: If nothing is published for the run, or a value differs from the published one.
    """
    experiments = list(every_family(run.parameters, StoreWithPublished(), studies=True).values())
    if not (table := Published.of(experiments[0])):
        raise GalgenError(f"no published results for the run {run.name}")
    again, rest, differences = 0, 0, []
    listed = [call for call in publishing.questions_of(experiments) if _file(*call) in table.about["files"]]
    free = [call for call in listed if depends_on_published_models(*call)]
    chosen = random.sample(free, min(files, len(free)))
    for call in listed:
        first, last = table.about["files"][_file(*call)]["rows"]
        rest += last - first if call not in free else 0
    for question, experiment, given in chosen:
        name = question.file(experiment, *given)
        before = table.get(name)
        off = moved(before.rows, question.measured(experiment, *given)[0].rows)
        again += len(before.rows)
        differences += [
            f"{name}: {row.statistic} of {row.model} is {row.here:.4g}, not {row.value:.4g}" for row in off
        ]
    differences += _retrained(run)
    origin = provenance()
    outcome = "; ".join(differences[:5]) or "all within their tolerances, and the smallest Glow trained again"
    record = {"again": again, "rows": len(table.rows), "recompute": rest, "outcome": outcome}
    record |= {"machine": processor(origin["machine"]), "commit": origin["commit"]}
    record["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
    write_json(run.parameters.folder / "checked.json", record)
    if differences:
        raise GalgenError(f"{len(differences)} values differ from the published ones: {outcome}")
    return (
        f"{again} of {record['rows']} rows were measured again: {outcome}. "
        f"{rest} rows need models whose weights are not published: make book RECOMPUTE=1"
    )


def _file(question: Question, experiment: Experiment, given: tuple) -> str:
    return question.file(experiment, *given)


def depends_on_published_models(question: Question, experiment: Experiment, given: tuple) -> bool:
    """Whether rows depend on published models alone."""
    if experiment.parameters.data not in SIMULATED:
        return False
    models, place = list(question.models(experiment, *given)), published()
    keys = ((model.family, experiment.published_key(model)) for model in models)
    is_published = bool(models) and all((place.root / kind / key).is_dir() for kind, key in keys)
    return is_published and question.name not in COURSE


def moved(before: pd.DataFrame, after: pd.DataFrame) -> list:
    """Rows whose new value, `here`, differs from the published one by more than the tolerance."""
    both = before.merge(after[[*OWN, "value"]].rename(columns={"value": "here"}), on=OWN, how="left")
    half = 0.125 * (both.high - both.low).fillna(0).abs()
    own = [STATISTICS[name].get("tolerance", 0) for name in both.statistic]
    few = (2 / both.n.astype(float)).fillna(0)
    allowed = np.maximum.reduce([half, 0.05 * both.value.abs(), np.full(len(both), 0.002), few, own])
    bad = ((both.here - both.value).abs() > allowed) | (both.here.isna() != both.value.isna())
    return list(both[bad].itertuples())


def _retrained(run: Run) -> list[str]:
    """Differences between the smallest published Glow and its retraining; empty if there are none."""
    (experiment,) = (part for part in run.experiments if part.family.name == "glow")
    training = experiment.models.pair(experiment.sizes[0])[0]
    stored = published().at("glow", experiment.published_key(training))
    here = experiment.train(training)
    if not stored:
        return [f"{training.name} is not published"]
    if processor(stored.record["machine"]) == processor(here.record["machine"]):
        mine, theirs = (checkpoint.load_weights(weights_of(model)) for model in (here, stored))
        same = all(
            halved(mine[name][key]).equal(tensor) for name in mine for key, tensor in theirs[name].items()
        )
        return [] if same else [f"the weights of {training.name} differ"]
    mine, theirs = (model.summary["losses"]["bits_per_dim"] for model in (here, stored))
    same = abs(mine - theirs) <= 0.01 * theirs
    return [] if same else [f"the final loss of {training.name} is {mine:.3f}, not {theirs:.3f}"]
