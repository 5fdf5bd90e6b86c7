"""Measured rows and arrays of agreement, of samples and of normalized agreement are what old questions find.

As a script it compares a whole run: `python tests/test_measure_agreement.py laptop --store FOLDER`.
"""

import argparse
from pathlib import Path

import numpy as np
import pytest
import yaml

from galbook import agreement as old
from galbook import denoising, portraits, table
from galbook.measure import agreement, normalized_agreement, samples
from galbook.share import asked
from galbook.share.scale import Scale
from galgen.compare import similarity
from galgen.compare.agreement import excess
from galgen.compare.memorization import gap_ratio
from galgen.compare.uncertainty import Estimate, Outcome, bootstrap
from galgen.experiment import Experiment, every_family
from galgen.profiles import PROFILES, Parameters
from galgen.runs.store import Store

VIEWS = dict(zip(normalized_agreement.VIEWS, asked.VIEWS, strict=True))
ENDS = ("value", "low", "high", "p", "n")


class Comparison:
    """What differs, and how many numbers and arrays were compared."""

    def __init__(self):
        self.count, self.differing = 0, []

    def equal(self, what, one, two):
        self.count += 1
        one, two = (np.asarray(x, float) for x in (one, two))
        # rows have eight digits, and last bits of a cosine differ with how many are computed at once
        if one.shape != two.shape or not np.allclose(one, two, rtol=1e-7, atol=1e-7, equal_nan=True):
            self.differing.append(f"{what}: {one} and {two}")

    def row(self, rows, found, statistic, model, sets="", shown=None):
        """One row against an estimate, an outcome or a number."""
        picked = rows[(rows.statistic == statistic) & (rows.model == model) & (rows.training_sets == sets)]
        if shown is not None:
            picked = picked[picked.images_shown == shown]
        what = f"{statistic} {model} {sets} {'' if shown is None else shown}"
        if len(picked) != 1:
            self.differing.append(f"{what}: {len(picked)} rows")
            return
        given = vars(found) if isinstance(found, Estimate | Outcome) else {"value": float(found)}
        for end in ENDS:
            if end in given:
                self.equal(f"{what} {end}", picked[end].astype(float).item(), given[end])


def compare(experiment: Experiment, told: Comparison) -> None:
    """All that this topic measures of a family."""
    for N in experiment.sizes:
        _of_size(experiment, N, told)
    _gallery(experiment, experiment.sizes[-1], told)
    _looks_of_the_largest(experiment, told)
    if design := old.design_of(experiment):
        N, found = design
        rows, (A, _) = agreement.initialization_design(experiment, N).rows, experiment.models.pair(N)
        for key, model in experiment.models.design().items():
            sets = "same" if key[1] == "same" else "disjoint"
            told.row(rows, found[key], "design_agreement", f"{A.label}-{model.label}", sets)
    if experiment.family.name in agreement.DENOISERS:
        for N in experiment.sizes:
            _gaussians(experiment, N, told)
        _normalized(experiment, told)
        _along(experiment, told)


def _of_size(experiment, N, told):
    measured, near = agreement.agreement(experiment, N), agreement.near_copies(experiment, N).rows
    rows = measured.rows
    for k, (A, B) in enumerate(experiment.models.pairs(N)):
        test, pair = old.two_models_at(experiment, N, k), (f"{A.label}-{B.label}", "disjoint")
        told.row(rows, test.agree, "agreement", *pair)
        ends = rows[(rows.statistic == "agreement_null") & (rows.model == pair[0])].iloc[0]
        told.equal(
            "null", [ends.value, ends.low, ends.high], [test.null, test.agreement.low, test.agreement.high]
        )
        p = rows[(rows.statistic == "agreement") & (rows.model == pair[0])].p.item()
        told.equal("p of agreement", p, test.agreement.p)
        told.row(rows, test.copy, "nearest_cosine", *pair)
        told.row(rows, test.memorised, "memorized_fraction", *pair)
        told.row(rows, test.memorization.outcome, "margin_beyond_gaussian", *pair)
        told.row(rows, test.memorization.models.closer, "p_train_closer", *pair)
        told.row(rows, test.memorization.models.closer.value - 0.5, "training_set_bias", *pair)
        told.row(rows, test.memorization.models.margin, "training_set_margin", *pair)
        told.row(near, test.memorised.value, "near_copy_fraction", *pair)
    test, (A, B) = old.two_models_at(experiment, N), experiment.models.pair(N)
    for name in ("p_train_closer", "training_set_margin"):
        found = test.memorization.gaussians
        found = found.closer if name == "p_train_closer" else found.margin
        told.row(rows, found, name, "gaussian", "disjoint")
    told.row(rows, test.held_out, "nearest_cosine", "held-out")
    told.row(rows, test.memorised_null, "memorized_fraction", "held-out")
    for kind, found in test.cosines.items():
        prefix = "pearson_" if kind == "pearson" else ""
        told.row(rows, np.median(found.copying), f"{prefix}nearest_cosine", A.label)
        told.row(rows, np.median(found.held_out), f"{prefix}nearest_cosine", "held-out")
        if prefix:
            told.row(
                rows, np.median(found.agreement), "pearson_agreement", f"{A.label}-{B.label}", "disjoint"
            )
            told.row(
                rows, np.median(found.shuffled), "pearson_agreement_null", f"{A.label}-{B.label}", "disjoint"
            )
        for name, old_name in zip(
            ("agreement", "shuffled", "nearest", "held-out"),
            ("agreement", "shuffled", "copying", "held_out"),
            strict=True,
        ):
            told.equal(
                f"{kind} {name} at N = {N}", measured.arrays[f"{kind}-{name}"], getattr(found, old_name)
            )
    stamps = samples.samples(experiment, N).arrays
    for model, looks in zip((A, B), old.looks(experiment, N), strict=True):
        label, drawn, train = model.label, experiment.samples(model)[:12], experiment.images.of(model)
        given = {"kind": "anomaly", "mean": experiment.images.mean, "flips": experiment.family.flips}
        two = similarity.nearest(drawn, train, 2, **given)
        told.equal(f"samples of {label} at N = {N}", stamps[label], looks[:, 0])
        told.equal(f"nearest to {label} at N = {N}", stamps[f"{label}-nearest"], two.first(train)[:, 0])
        told.equal(f"cosines of {label} at N = {N}", stamps[f"{label}-cosine"], two.cosine[:, 0])
        told.equal(f"d1/d2 of {label} at N = {N}", stamps[f"{label}-ratio"], gap_ratio(two.cosine))


def _gallery(experiment, N, told):
    found, A = samples.gallery(experiment, N).arrays, experiment.models.pair(N)[0]
    drawn, held_out = experiment.samples(A)[:48], experiment.images.held_out[:48]
    if experiment.family.bits == 8:
        told.equal("gallery", found["A0"] / 255, drawn[:, 0].clamp(0, 1).numpy().__mul__(255).round() / 255)
        told.equal("gallery of held-out images", found["held-out"], held_out[:, 0])


def _looks_of_the_largest(experiment, told):
    looks, N = portraits.nearest_to(experiment), experiment.sizes[-1]
    cosines, stamps = agreement.agreement(experiment, N).arrays, samples.samples(experiment, N).arrays
    told.equal("cosines of A and B", cosines["anomaly-agreement"][: len(looks.agree)], looks.agree)
    for label, half in zip(("A0", "B1"), "AB", strict=True):
        n = min(12, len(looks.near[half]))
        told.equal(f"nearest to {half}", stamps[f"{label}-nearest"][:n], looks.near[half][:n, 0])
        told.equal(f"cosine of {half}", stamps[f"{label}-cosine"][:n], looks.cosine[half][:n])


def _gaussians(experiment, N, told):
    """What chapter 03 computes while it draws."""
    given = {"kind": "anomaly", "mean": experiment.images.mean}
    measured, pair = agreement.gaussian_agreement(experiment, N), experiment.models.pair(N)
    of_A, of_B = (denoising.gaussian_image(experiment, model) for model in pair)
    a, b = map(experiment.samples, pair)
    blobs = similarity.cosine(of_A, of_B, **given)
    told.row(measured.rows, bootstrap(blobs), "agreement", "gaussian", "disjoint")
    across = bootstrap(similarity.cosine(a, of_A, **given))
    told.row(measured.rows, across, "agreement", "A0-gaussian", "same")
    found = excess(similarity.cosine(a, b, **given), [blobs])
    told.row(measured.rows, found, "agreement_excess", "gaussian", "disjoint")
    told.equal("samples of a Gaussian", measured.arrays["gaussian"], samples.stamps(of_A))


def _normalized(experiment, told):
    N, found = experiment.sizes[-1], asked.agreement(experiment)
    measured = normalized_agreement.normalized_agreement(experiment, N)
    rows, (A, B) = measured.rows, experiment.models.pair(N)
    for view, name in VIEWS.items():
        _scale(rows, view, found.scales[name], experiment.settings.images_shown(N), told)
        if np.isfinite(found.untrained[name]):
            where = f"pairwise_{view}agreement", f"{A.label}-{B.label}", "disjoint", 0
            told.row(rows, found.untrained[name], *where)
    gaussian = agreement.gaussian_agreement(experiment, N).rows
    told.row(gaussian, found.gaussians, "agreement", "gaussian", "disjoint")
    if foreign := experiment.models.foreign():
        cosines, looks = old.elsewhere(experiment)
        name = f"{foreign[0].label}-{foreign[0].foreign}"
        told.row(rows, bootstrap(cosines), "agreement", f"A0-{name}", "out-of-domain")
        pair = old.two_models_at(experiment, N).cosines["anomaly"].agreement
        told.row(rows, excess(pair, [cosines]), "agreement_excess", f"A0-{name}", "out-of-domain")
        told.equal("samples of another network", measured.arrays[name], looks[:, 0])


def _scale(rows, view, found: Scale, shown, told):
    every = rows[(rows.statistic == f"pairwise_{view}agreement") & (rows.images_shown == shown)]
    for sets, values in (("disjoint", found.pairs), ("same", found.same)):
        told.equal(f"{view}{sets}", sorted(every[every.training_sets == sets].value), sorted(values))
    for kind, values in found.foreign.items():
        own = every[every.model.str.endswith(f"-{kind}")]
        told.equal(f"{view}{kind}", own.value, values)
    sets = {"floor": "out-of-domain", "pair": "disjoint", "ceiling": "same"}
    for mark, value in found.marks.items():
        told.row(rows, value, f"mean_{view}agreement", found.kind if mark == "floor" else "", sets[mark])
    if found.share:
        told.row(rows, found.share, f"normalized_{view}agreement", "")
    for kind, share in found.beside.items():
        told.row(rows, share, f"normalized_{view}agreement", kind)
    if len(found.same):
        moved = found.moved or np.mean(found.same) - np.mean(found.pairs)
        told.row(rows, moved, f"same_images_{view}gain", "")


def _along(experiment, told):
    large, foreign = experiment.sizes[-1], experiment.models.foreign()
    kind = asked.agreement(experiment).scales[asked.IMAGES].kind
    pairs, other = asked.agreement_along(experiment, kind)
    for N, found in pairs.items():
        rows = normalized_agreement.agreement_in_training(experiment, N).rows
        told.equal("milestones", sorted(set(rows[rows.model == "A0-B1"].images_shown)), sorted(found))
        for shown, value in found.items():
            told.row(rows, value, "agreement_in_training", "A0-B1", "disjoint", shown)
    rows = normalized_agreement.agreement_in_training(experiment, large).rows
    first = next((model for model in foreign if model.foreign == kind), None)
    for shown, value in other.items():
        name = f"A0-{first.label}-{kind}"
        told.row(rows, value, "agreement_in_training", name, "out-of-domain", shown)
    for shown, each in asked.early(experiment).items():
        for name, value in (
            ("agreement", each.agree),
            ("residual_agreement", each.left),
            ("noise_agreement", each.noise),
            ("p_train_closer", each.closer),
        ):
            told.row(rows, value, f"{name}_in_training", "A0-B1", "disjoint", shown)


@pytest.mark.parametrize("family", ["diffusion", "conditional", "glow", "gan"])
def test_rows_and_arrays_are_what_the_old_questions_find(smoke, family):
    told = Comparison()
    compare(smoke[family], told)
    assert told.differing == [] and told.count > 50


def test_a_fraction_of_near_copies_is_of_models_of_pairs_and_of_held_out_images(smoke):
    rows = agreement.near_copies(smoke["glow"], 12).rows
    pairs = smoke["glow"].models.pairs(12)
    assert len(rows) == 3 * len(pairs) + 1 and (rows.statistic == "near_copy_fraction").all()
    assert rows[rows.model == "held-out"].n.item() == len(smoke["glow"].images.held_out)
    assert ((rows.low <= rows.value) & (rows.value <= rows.high) & (rows.high > 0)).all()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", choices=PROFILES)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--statistics", type=Path, help="definitions that statistics.yaml lacks yet")
    given = parser.parse_args()
    if given.statistics:
        table.STATISTICS.update(yaml.safe_load(given.statistics.read_text()))
    told = Comparison()
    for experiment in every_family(Parameters(profile=given.profile), Store(given.store)).values():
        compare(experiment, told)
    print(*told.differing, sep="\n")
    print(f"rows {told.count}, equal {told.count - len(told.differing)}, differing {len(told.differing)}")
