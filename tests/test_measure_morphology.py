"""Measured rows and arrays of morphology, photometry and the classifier are what old questions find.

As a script it compares a whole run: `python tests/test_measure_morphology.py laptop --store FOLDER`.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from galbook import biases as old_biases
from galbook import morphology as old_morphology
from galbook import portraits, scoreboard, shapes, table
from galbook.measure import biases, morphology
from galbook.measure import scoreboard as measured
from galbook.measure.scoreboard import named
from galgen.compare.agreement import shared_latents
from galgen.compare.controls import rounded
from galgen.compare.distances import with_spread
from galgen.compare.morphology import COEFFICIENTS, report, valid
from galgen.compare.scales import principal_spread
from galgen.compare.scoreboard import apart, same_share
from galgen.compare.uncertainty import Estimate, Outcome, worse
from galgen.experiment import every_family
from galgen.profiles import PROFILES, Parameters
from galgen.runs.store import Store

ENDS = ("value", "low", "high", "p", "n")
BASELINES = {"held out": "held-out", "blurred": "blurred-0.5", "Gaussian": "gaussian"}


class Comparison:
    """What differs, and how many numbers and arrays were compared."""

    def __init__(self):
        self.count, self.differing = 0, []

    def equal(self, what, one, two):
        self.count += 1
        one, two = (np.asarray(x, float) for x in (one, two))
        if one.shape != two.shape or not np.allclose(one, two, rtol=1e-7, atol=1e-9, equal_nan=True):
            self.differing.append(f"{what}: {one} and {two}")

    def row(self, rows, found, statistic, model, at=None, ends=ENDS):
        """One row against an estimate, an outcome or a number; of nothing there is no row."""
        picked = rows[(rows.statistic == statistic) & (rows.model == model)]
        picked = picked[picked["at"] == at] if at is not None else picked
        what = f"{rows.family.iloc[0] if len(rows) else ''} {statistic} {model} {at or ''}"
        if len(picked) != (found is not None):
            self.count += 1
            self.differing.append(f"{what}: {len(picked)} rows for {found}")
        elif found is not None:
            given = vars(found) if isinstance(found, Estimate | Outcome) else {"value": float(found)}
            for end in [end for end in ends if end in given]:
                self.equal(f"{what} {end}", picked[end].astype(float).item(), given[end])


def compare(experiments) -> Comparison:
    """All that this topic measures of the families of a run."""
    told = Comparison()
    shape = shapes.measured(experiments)
    for experiment in experiments:
        for N in experiment.sizes:
            _of_gaussians(experiment, N, told)
            _of_shape(experiment, N, told)
            _of_board(experiment, N, told)
        _of_likeness(experiment, told)
    _of_morphology(experiments, shape, told)
    _of_baselines(experiments, shape, told)
    _of_controls(experiments[0], told)
    _of_photometry(experiments, told)
    _of_portraits(experiments, told)
    _as_far_off(experiments, told)
    return told


def _of_gaussians(experiment, N, told):
    old, rows = old_morphology.fit(experiment, N), measured.gaussian_comparison(experiment, N).rows
    if old is None:
        told.equal("rows", len(rows), 0)
        return
    for training in table.all_pairs(experiment, N):
        told.row(rows, old.models[training.name], "auc", training.label, 8)
        told.row(rows, old.gaussians[training.name], "auc", f"gaussian-{training.half}", 8)
    told.equal("gain", (rows.statistic == "auc_gain").sum(), old.gain is not None)
    if old.gain:
        gain = rows[rows.statistic == "auc_gain"].iloc[0]
        for end in ("value", "low", "high", "n"):
            told.equal(f"gain {end}", gain[end], getattr(old.gain, end))


def _of_shape(experiment, N, told):
    old, rows = old_morphology.shaped(experiment, N), morphology.morphology(experiment, N).rows
    baselines = morphology.morphology_baselines(experiment, experiment.sizes[-1]).rows
    if old is None:  # or of one model only there are too few
        rows = rows[rows.model != "training-images"]
        models = rows[rows.statistic == "relative_energy_distance"].model
        told.equal("relative", len(models) < len(morphology._models(experiment, N)), True)
        return
    for blur, far in zip(old_morphology.BLURS, old.ladder, strict=True):
        told.row(baselines, far, "energy_distance_unbiased", "blurred", blur)
    told.equal("galaxies", baselines[baselines.model == "blurred"].n.iloc[0], old.galaxies)
    for model, far in old.energy.items():
        told.row(rows, far, "energy_distance_unbiased", model)
        told.row(rows, far / old.pixel, "relative_energy_distance", model)
        told.row(rows, old.blur(far), "equivalent_blur_of_morphology", model)
        name, shift = old.farthest[model]
        told.row(rows, shift, f"{name}_shift", model)
        others = rows[rows.statistic.str.endswith("_shift") & (rows.model == model)].value.abs()
        told.equal("farthest", others.max(), abs(shift))


def _of_board(experiment, N, told):
    """The answers of the scoreboard from the rows of A and of B; permutations of morphology are others."""
    old, shape = scoreboard.board(experiment, N), morphology.morphology(experiment, N).rows
    tests = measured.classifier_test(experiment, N).rows
    side, models = experiment.images.size, [model.label for model in experiment.models.pair(N)]
    for question, at in (("distribution", side), ("coarse distribution", 8)):
        found = []
        for model in models:
            part = tests[(tests.model == model) & (tests["at"] == at)].set_index("statistic")
            null = part.loc["auc_null"]
            found.append(Outcome(part.loc["auc"].value, null.low, null.high, part.loc["auc"].p))
        for end, value in vars(worse(found)).items():
            told.equal(f"{question} {end}", value, getattr(old[question], end))
    if "morphology" in old:
        far = shape[(shape.statistic == "energy_distance") & shape.model.isin(models)]
        told.equal("worse energy", far.value.max(), old["morphology"].value)
        p = min(1.0, 2 * far.p.min())
        print(f"{experiment.family.name} {N}: p of morphology {old['morphology'].p:.4f}, now {p:.4f}")


def _of_likeness(experiment, told):
    old, N = scoreboard.likeness(experiment), experiment.sizes[-1]
    rows = measured.classifier_test(experiment, N).rows
    rows = rows[rows.model == "A0"]
    n = rows[rows.statistic == "brightness_ratio"].n.item()
    if n != min(len(experiment.images.held_out) // 2, experiment.profile.samples):
        print(f"{experiment.family.name}: likeness was of another number of samples than {n}")
        return
    _of_portrait(old, rows, "A0", told)
    samples = rounded(experiment.samples(experiment.models.pair(N)[0]), experiment.family.bits)
    train = experiment.images.dataset.images[experiment.images.split().A]
    for group, ratio in principal_spread(samples, train).items():
        told.row(rows, ratio, "variance_ratio", "A0", group.first)


def _of_portrait(old, rows, model, told):
    told.row(rows, old.brightness, "brightness_ratio", model)
    for group, ratio in old.spread.items():
        told.row(rows, ratio, "variance_ratio", model, group.first)
    for side, test in old.c2st.items():
        told.row(rows, test.auc, "auc", model, side)
        p = rows[(rows.statistic == "auc") & (rows.model == model) & (rows["at"] == side)].p.item()
        told.equal(f"{model} p", p, test.p)
        null = rows[(rows.statistic == "auc_null") & (rows.model == model) & (rows["at"] == side)]
        told.equal(f"{model} null", null[["low", "high"]], [[test.outcome.low, test.outcome.high]])


def _used(shape, bits):
    """The coefficients by the reference of these gray levels alone, as they are chosen now."""
    return with_spread(valid(shape.known[bits, "reference"]), COEFFICIENTS)


def _distances(rows, known, other, used, seed, model, told, at=None):
    old = apart(known, other, used, seed=seed)
    for name in COEFFICIENTS:
        told.row(rows, old and old.w1.get(name), f"{name}_wasserstein", model, at)
    told.row(rows, old and old.energy, "energy_distance", model, at)


def _fractions(rows, part, known, model, told):
    said = report(part)
    told.row(rows, said["valid_fraction"], "valid_fraction", model)
    where = rows[(rows.statistic == "valid_fraction") & (rows.model == model)].iloc[0]
    told.equal("images", where.n, said["images"])
    if known is not None:
        told.equal("p of Fisher", where.p, same_share(part, known))
    sky = sum(n for reason, n in said["reasons"].items() if "background-subtracted" in reason)
    told.row(rows, sky / said["images"], "no_sky_fraction", model)


def _of_morphology(experiments, shape, told):
    seed = experiments[0].parameters.seed
    for experiment in experiments:
        label, bits = experiment.family.label, experiment.family.bits
        known, used = shape.reference(label), _used(shape, bits)
        if list(used) != shapes.distances_of(shape, seed).used:
            print(f"{label}: coefficients {used}, they were {shapes.distances_of(shape, seed).used}")
        for N in experiment.sizes:
            found = morphology.morphology(experiment, N)
            tables = [shape.models[label, N, half] for half in "AB"]
            for model, part in zip(("A0", "B1"), tables, strict=True):
                _distances(found.rows, known, part, used, seed, model, told)
                _fractions(found.rows, part, known, model, told)
                good = np.isfinite(found.arrays[model]).all(1)
                now = np.stack([np.asarray(valid(part)[name]) for name in COEFFICIENTS], axis=1)
                told.equal("columns", found.arrays[model][good], now.astype(np.float32))
            _correlations(found.rows, *tables, seed, "A0-B1", told)
            if (label, N) in shape.copied and len(own := shape.copied[label, N]):
                again = np.random.default_rng(seed).integers(0, len(own), shape.count)
                _distances(found.rows, known, own[again], used, seed, "training-images", told)
        if label in shape.foreign:
            N, other = experiment.sizes[-1], experiment.models.foreign()[0]
            rows = morphology.morphology_out_of_domain(experiment, N).rows
            sets = shape.models[label, N, "A"], shape.foreign[label]
            _correlations(rows, *sets, seed, f"A0-{named(experiment, other)['model']}", told)


def _correlations(rows, a, b, seed, model, told):
    old = shared_latents(a, b, COEFFICIENTS, seed=seed)
    for name in COEFFICIENTS:
        told.row(rows, old.get(name), f"{name}_correlation", model)


def _of_baselines(experiments, shape, told):
    seed, diffusion = experiments[0].parameters.seed, experiments[0]
    kinds = BASELINES | {"others": "other-galaxies"}
    for experiment in [e for e in experiments if e.family.bits == 8]:
        found, known = morphology.morphology_baselines(experiment, experiment.sizes[-1]), shape.known
        for kind, model in kinds.items():
            part, used = known[8, kind], _used(shape, 8)
            _distances(found.rows, known[8, "reference"], part, used, seed, model, told)
            _fractions(found.rows, part, known[8, "reference"], model, told)
        _fractions(found.rows, known[8, "reference"], None, "reference", told)
        pair = known[8, "held out"], known[8, "blurred"]
        _correlations(found.rows, *pair, seed, "held-out-blurred-0.5", told)
        columns = np.stack([np.asarray(known[8, "reference"][name]) for name in COEFFICIENTS], axis=1)
        good = np.asarray(known[8, "reference"]["reason"]) == ""
        now = np.where(good[:, None], columns, np.nan).astype(np.float32)
        told.equal("reference", found.arrays["reference"], now)
        one = found.rows[(found.rows.model == "blurred-1") & (found.rows.statistic == "energy_distance")]
        old = apart(known[8, "reference"], known[8, "margin"], _used(shape, 8), seed=seed)
        print("blurred by a pixel", one.value.tolist(), "was", old and old.energy.value)
    _sorted(morphology.morphology_examples(diffusion).arrays, shape, told)
    rows, five = morphology.gray_levels(diffusion).rows, shape.known[5, "reference"]
    for kind in ("held out", "blurred"):
        model, part = f"{BASELINES[kind]}-5-bits", shape.known[5, kind]
        _distances(rows, five, part, _used(shape, 5), seed, model, told, 5)
        _fractions(rows, part, five, model, told)
    shift = shape.known[8, "reference"], shape.known[5, "held out"]
    _distances(rows, *shift, _used(shape, 8), seed, "held-out-5-bits", told, 8)
    _fractions(rows, five, None, "reference-5-bits", told)


def _sorted(arrays, shape, told):
    """As `galbook.shapes.meaning` has them."""
    rows, galaxies = shape.known[8, "reference"], shape.galaxies
    good, reference = np.flatnonzero(np.asarray(rows["reason"]) == ""), valid(rows)
    ranks = np.linspace(0, len(reference) - 1, min(10, len(reference))).round().astype(int)
    for k, name in enumerate(COEFFICIENTS):
        picked = np.argsort(reference[name])[ranks]
        told.equal("values", arrays["values"][k], reference[name][picked].astype(np.float32))
        told.equal("stamps", arrays["images"][k] / 255, galaxies[good[picked], 0].round(9))


def _of_controls(diffusion, told):
    old, N = scoreboard.checks(diffusion), diffusion.sizes[-1]
    names = {"held out": "held-out", "blurred": "blurred-1", "Gaussian": "gaussian"}
    names |= {"empirical denoiser": "empirical"}
    tests, pairs = measured.classifier_baselines(diffusion, N).rows, measured.control_pairs(diffusion, N).rows
    shape, side = morphology.morphology_baselines(diffusion, N).rows, diffusion.images.size
    for control, model in names.items():
        of = old[control]
        told.row(pairs, of["memorization"], "margin_beyond_gaussian", model)
        at = pairs[pairs.model == model].set_index("statistic")
        agree, null = at.loc["agreement"], at.loc["agreement_null"]
        now = [agree.p, null.low, null.high]
        told.equal(f"{model} agreement", now, [of["agreement"].p, of["agreement"].low, of["agreement"].high])
        # the same median of cosines of other products of matrices, and of another rounding
        told.equal(f"{model} agreement", round(agree.value, 5), round(of["agreement"].value, 5))
        for question, pixels in (("distribution", side), ("coarse distribution", 8)):
            told.row(tests, of[question].value, "auc", model, pixels)
            told.row(tests, Estimate(0.5, of[question].low, of[question].high, 0), "auc_null", model,
                pixels, ("value", "low", "high"))  # fmt: skip
            part = tests[(tests.model == model) & (tests["at"] == pixels) & (tests.statistic == "auc")]
            told.equal(f"{model} p", part.p.item(), of[question].p)
        if "morphology" in of:
            told.row(shape, of["morphology"].value, "energy_distance", model)


def _of_photometry(experiments, told):
    old = old_biases.model_biases(experiments)
    for experiment in experiments:
        rows = biases.photometry_biases(experiment, experiment.sizes[-1]).rows
        models = old.models[experiment.family.label]
        found = {"A0": models["A"].biases, "B1": models["B"].biases}
        if experiment.family.bits == 8:
            found |= dict(zip(("held-out", "blurred-0.5", "blurred-1"), old.galaxies.values(), strict=True))
        for model, of in found.items():
            for statistic, name in biases.STATISTICS.items():
                told.row(rows, getattr(of, name), statistic, model)
            for k, bias in enumerate(of.profile):
                told.row(rows, bias, "profile_bias", model, k + 0.5)
        tests = measured.classifier_test(experiment, experiment.sizes[-1]).rows
        for model, beside in (("A0", models["A"]), ("B1", models["B"])):
            for side, off in beside.far_off.items():
                _far_off(off, tests, model, side, told)


def _far_off(off, rows, model, side, told):
    told.row(rows, off and off.auc, "auc", model, side)
    told.row(rows, off and off.blur, "equivalent_blur", model, side)
    told.row(rows, off and off.noise, "equivalent_noise", model, side)


def _as_far_off(experiments, told):
    for (label, N), sides in old_biases.as_far_off(experiments).items():
        (experiment,) = (each for each in experiments if each.family.label == label)
        for side, off in sides.items():
            _far_off(off, measured.classifier_test(experiment, N).rows, "A0", side, told)


def _of_portraits(experiments, told):
    sets, known = portraits.sets_of(experiments), experiments[0]
    old = portraits.portraits_of(sets, known)
    tests = measured.classifier_baselines(known, known.sizes[-1]).rows
    for name, model in zip(old.known, ("held-out", "blurred-0.5", "gaussian"), strict=True):
        _of_portrait(old.known[name], tests, model, told)
    for experiment in experiments:
        N = experiment.sizes[-1]
        tests, shape = (ask(experiment, N).rows for ask in (measured.classifier_test, morphology.morphology))
        for half, model in (("A", "A0"), ("B", "B1")):
            of = old.models[experiment.family.label, half]
            _of_portrait(of, tests, model, told)
            told.row(shape, of.valid, "valid_fraction", model)
            if of.morphology:
                told.row(shape, of.morphology.energy.value, "energy_distance", model)


def _defined():
    for file in Path(__file__).parents[1].glob("store/statistics-*.yaml"):
        table.STATISTICS.update(yaml.safe_load(file.read_text()))


@pytest.fixture
def experiments(store, monkeypatch):
    """Two families, of sets large enough for morphology, and three pairs of the one."""
    _defined()
    smoke = PROFILES["smoke"]
    sets = {"simulated": 150, "validation": 84, "samples": 28}
    sets["diffusion"] = smoke.diffusion.model_copy(update={"more_pairs": {12: 3}})
    sets["glow"] = smoke.glow.model_copy(update={"pairs": 1})
    monkeypatch.setitem(PROFILES, "morphology", smoke.model_copy(update={"name": "morphology"} | sets))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # processes for few images cost more than they save
    for module in (old_morphology, morphology):  # so that further galaxies are taken
        monkeypatch.setattr(module, "MANY", 20)
        monkeypatch.setattr(module, "MORE", 80)
    found = every_family(Parameters(profile="morphology", N=12), Store(store))
    return [found[name] for name in ("diffusion", "glow")]


def test_rows_are_what_old_questions_find(experiments):
    told = compare(experiments)
    assert not told.differing
    assert told.count > 800
    rows = [morphology.morphology(experiment, 12).rows for experiment in experiments]
    assert all("relative_energy_distance" in set(found.statistic) for found in rows)


def test_realism_of_galaxies_and_of_models(experiments):
    diffusion, N = experiments[0], 12
    rows = measured.realism(diffusion, N, 40).rows
    held_out, excess = rows[rows.model == "held-out"], rows[rows.statistic == "auc_excess"]
    assert held_out["at"].tolist() == [16, 8] and held_out.n.max() <= 40
    assert set(excess.model) == {"A0", "B1", "A2", "B3", "A4", "B5"}
    for _, one in excess.iterrows():
        known = held_out[held_out["at"] == one["at"]].value.item()
        model = rows[(rows.model == one.model) & (rows["at"] == one["at"]) & (rows.statistic == "auc")]
        assert one.value == pytest.approx(model.value.item() - known, abs=1e-7)
        assert one.low < one.value < one.high


def test_a_perfect_model_is_within_the_margin_in_that_share_of_splits(experiments):
    galaxies = experiments[0].images.dataset.images
    few, many = (measured.realism_margin(galaxies, n, splits=20) for n in (12, 48))
    assert 0.5 > few > many > 0.02


def main():
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("profile")
    asked.add_argument("--store", type=Path, required=True)
    given = asked.parse_args()
    _defined()
    experiments = [*every_family(Parameters(profile=given.profile), Store(given.store)).values()]
    told = compare(experiments)
    for line in told.differing:
        print(line)
    print(f"rows {told.count}, equal {told.count - len(told.differing)}, differing {len(told.differing)}")


if __name__ == "__main__":
    main()
