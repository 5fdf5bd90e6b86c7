"""The rows and arrays of discriminators, audits and the data set hold what the questions before them found.

As a script: `python tests/test_measure_discriminator.py laptop --store STORE` compares a whole run.
"""

import argparse
from math import nan

import numpy as np
import pytest
import torch

from galbook import audits, discriminator, game
from galbook.measure import audit, data
from galbook.measure import discriminator as measure
from galbook.table import Measurement
from galgen.auditing.copies import Copies
from galgen.compare import agreement, similarity
from galgen.compare.discriminator import WRONG, Judgement
from galgen.compare.similarity import FLIPS
from galgen.compare.twosample import C2ST
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.data import dataset, preprocess
from galgen.data.simulate.images import simulate_flux
from galgen.experiment import Experiment
from galgen.figures.style import gray
from galgen.figures.words import spaced
from galgen.profiles import Parameters
from galgen.runs.store import Store

FALSE = {"other": "other", "train": "training", "held_out": "held_out"}
FAULTS = {"noise": "noise", "blurred": "blur", "dropped": "missing"}


class Differences:
    """What of a measurement is not what was found before."""

    def __init__(self):
        self.compared, self.told, self.rows = 0, [], 0

    def of(self, measurement: Measurement) -> "Differences":
        """Compare with this one from now on."""
        self.now, self.rows = measurement, self.rows + len(measurement.rows)
        return self

    def row(self, statistic: str, found: Estimate | Outcome | dict | float, **where: object) -> None:
        """Compare one row, with the value and all else that was found."""
        rows = self.now.rows[self.now.rows.statistic == statistic]
        for name, value in where.items():
            rows = rows[rows[name] == value] if value is not None else rows[rows[name].isna()]
        expected = vars(found) if isinstance(found, Estimate | Outcome) else found
        expected = expected if isinstance(expected, dict) else {"value": expected}
        self.compared += 1
        if len(rows) != 1:
            self.told.append(f"{statistic} {where}: {len(rows)} rows")
            return
        for name, value in expected.items():
            if not np.isclose(float(rows[name].iloc[0]), float(value), rtol=1e-7, atol=1e-9, equal_nan=True):
                self.told.append(f"{statistic} {where}: {name} {rows[name].iloc[0]} was {value}")

    def array(self, name: str, expected: np.ndarray) -> None:
        """Compare an array, as precise as it is kept."""
        self.compared += 1
        found, expected = self.now.arrays[name], np.asarray(expected)
        if found.shape != expected.shape or not (found == expected.astype(found.dtype)).all():
            self.told.append(f"array {name}: {found.shape}, was {expected.shape}, or others")

    def test(self, found: C2ST, **where: object) -> None:
        """Compare the two rows of a classifier test."""
        self.row("auc", vars(found.auc) | {"p": found.p}, **where)
        self.row("auc_null", {"value": 0.5, "low": found.outcome.low, "high": found.outcome.high}, **where)


def one_discriminator(to: Differences, D: Judgement, **where: object) -> None:
    for false, name in FALSE.items():
        curve = D.curves[false]
        to.row(f"hinge_loss_{name}", curve.mean, **where)
        middle = {"value": curve.sd, "low": curve.low, "high": curve.high}
        to.row(f"hinge_loss_{name}_sd", middle, **where)
    to.row("hinge_loss_floor", D.floor, **where)
    to.row("membership_auc", D.memory, **where)
    to.row("has_power", D.has_power(), **where)
    for fault in WRONG:
        to.row(f"least_detected_{FAULTS[fault]}", D.sees(fault), **where)
    pairs = {"other_training": ("other", "train"), "own_held_out": ("own", "held_out")}
    for name, pair in (pairs | {"generator_held_out": ("raw", "held_out")}).items():
        if pair in D.contrasts:
            found = D.contrasts[pair]
            to.row(f"score_distance_{name}", {"value": found.distance, "p": found.p}, **where)


def of_discriminators(experiment: Experiment, N: int, to: Differences) -> None:
    pairs, end = experiment.models.pairs(N), experiment.settings.images_shown(N)
    tests = {(0, shown): test for shown, test in discriminator.tests_along(experiment, N).items()}
    tests |= {(k, end): discriminator.ask(experiment, N, k) for k in range(1, len(pairs))}
    to.of(measure.discriminator_test(experiment, N))
    for (k, shown), test in tests.items():
        labels = [model.label for model in pairs[k]]
        for name, third in (("score_distance", "train"), ("score_distance_held_out", "held_out")):
            found, where = test.apart(third), {"model": "-".join(labels), "images_shown": shown}
            to.row(name, {"value": found.value, "p": found.p}, **where)
        for label, D in zip(labels, (test.A, test.B), strict=True):
            one_discriminator(to, D, model=label, images_shown=shown)
            for fault, name in FAULTS.items():
                found = D.sees(fault, trained=False)
                to.row(f"least_detected_{name}", found, model=label, images_shown=0)
    one_discriminator(to, discriminator.constant(experiment.profile.samples), model="constant")
    to.array("pair", [k for k, _ in tests])
    to.array("images_shown", [shown for _, shown in tests])
    losses = [[[D.curves[false].loss for false in FALSE] for D in (t.A, t.B)] for t in tests.values()]
    to.array("hinge_losses", losses)

    to.of(measure.discriminator_memorization(experiment, N))
    to.row("images_before_memorization", discriminator.before_memory(experiment, N))
    least = min(experiment.settings.images_shown(n) for n in experiment.sizes)
    shown = max(
        (k for k in experiment.settings.kept(N) if k <= least), default=experiment.settings.kept(N)[0]
    )
    models = [model for pair in pairs for model in pair]
    for model, found in zip(models, discriminator.knows(experiment, N), strict=True):
        to.row("membership_auc", found, model=model.label, images_shown=shown)

    drawn, label = game.generators(experiment, N), models[0].label
    to.of(measure.generator_average(experiment, N))
    for one in drawn:
        where = {"model": label if one.average else f"{label}-generator", "images_shown": one.shown}
        for at, found in one.auc.items():
            to.row("auc", found, at=at, **where)
        for group, found in one.spread.items():
            first = float(group.removeprefix("components ").removeprefix("component ").split("-")[0])
            to.row("variance_ratio", found, at=first, **where)
    to.array("images_shown", sorted({one.shown for one in drawn}))
    first = np.array([one.first for one in drawn])
    to.array("samples", first.reshape(-1, 2, *np.delete(first.shape[1:], 1)))


def of_the_fresh_classifier(experiment: Experiment, to: Differences) -> None:
    old = discriminator.fresh_judge(experiment)
    for N in experiment.sizes:
        A, B = (model.label for model in experiment.models.pair(N))
        to.of(measure.fresh_classifier(experiment, N))
        for at, found in old.items():
            names = {
                "held-out against held-out (null)": "held-out",
                "held-out, blurred by half a pixel (control)": "blurred",
                f"samples of A, N = {spaced(N)}": A,
                f"samples of B, N = {spaced(N)}": B,
                f"A against B, same latents, N = {spaced(N)}": f"{A}-{B}",
            }
            for text, model in names.items():
                to.test(found[text], model=model, at=at)


def copies_rows(to: Differences, found: Copies, verdict: str, **where: object) -> None:
    told = {"none found": 0, "favours its training set": 1, "copies": 2}
    to.row("audit_verdict", told.get(verdict, nan), **where)
    to.row("nearest_units", found.units, **where)
    to.row("repeated_samples", sum(count for _, count in found.repeats), **where)
    to.row("copies_of_training", found.known[0], **where)
    to.row("copies_of_held_out", found.known[1], **where)
    if found.difference:
        to.row("split_auc", vars(found.difference.auc) | {"p": found.difference.p}, **where)
    if found.outcome:
        to.row("weighted_training_fraction", found.outcome, **where)
        to.row("excess_fraction", found.excess, **where)
        to.row("nearest_is_training_null", found.chance, **where)
        to.row("least_detected_copies", nan if found.smallest is None else found.smallest, **where)
        to.row("least_p", found.least, **where)
        to.row("beyond_gaussian_p", found.beyond, **where)


def of_audits(experiment: Experiment, to: Differences) -> None:
    statistics = {"memory": "weighted_training_fraction", "energy distance": "pixel_energy_distance"}
    statistics |= {"agreement": "agreement", "own training images": "training_set_margin"}
    for N in experiment.sizes:
        (A, B), old = experiment.models.pair(N), audits.audited(experiment, N)
        to.of(audit.audit(experiment, N))
        copies_rows(to, old.memory, old.verdict, model=A.label)
        for name, found in old.answers.items():
            where = {
                "model": f"{A.label}-{B.label}" if name in ("agreement", "own training images") else A.label
            }
            where |= {"at": float(name.split()[1])} if name.startswith("classifier") else {}
            statistic = "auc" if "at" in where else statistics[name]
            if statistic in ("auc", "agreement"):
                to.row(statistic, {"value": found.value, "p": found.p}, **where)
                to.row(f"{statistic}_null", {"low": found.low, "high": found.high}, **where)
            else:
                to.row(statistic, found, **where)
            to.row(f"{statistic}_adjusted_p", old.adjusted[name], **where)
        for fault, amount in old.faults.items():
            to.row(f"equivalent_{fault}", amount)
        closer = old.pair["P(train closer)"]
        bias = Estimate(*(getattr(closer, end) - 0.5 for end in ("value", "low", "high")), closer.n)
        to.row("training_set_bias", bias)
        if "floor" in old.pair:
            to.row("agreement", old.pair["floor"], training_sets="out-of-domain")
        samples = gray(experiment.samples(A).clamp(0, 1).numpy())
        train, held_out, near = experiment.images.of(A), experiment.images.held_out, old.memory.nearest
        pool = [train[p.image] if p.image < N else held_out[p.image - N] for p in near]
        stamps = [
            (samples[p.sample, 0], np.flip(image, FLIPS[p.flip])[0])
            for p, image in zip(near, pool, strict=True)
        ]
        to.array("nearest", np.array(stamps))
        to.array("sample", [p.sample for p in near])
        to.array("image", [p.image if p.image < N else p.image - N for p in near])
        to.array("is_training", [p.image < N for p in near])
        to.array("weight", [p.weight for p in near])
        to.array("repeats", np.array(old.memory.repeats, int).reshape(-1, 2))
    to.of(audit.planted_copies(experiment, experiment.sizes[-1]))
    for share, found in audits.planted(experiment).items():
        copies_rows(to, found, found.verdict(), at=float(f"{share:.8g}"))


def of_the_data_set(experiment: Experiment, to: Differences) -> None:
    data_set, sets, mean = experiment.images.dataset, experiment.images.split(), experiment.images.mean
    images, keys = data_set.images, dataset.dihedral_keys(data_set.images)
    train = {n: images[experiment.images.split(n).A] for n in experiment.sizes}
    held_out = torch.from_numpy(images[sets.validation]).float() / 255
    found = agreement.strangers(held_out, train, mean=mean)

    def spread(values: np.ndarray) -> Estimate:
        low, middle, high = np.percentile(values, (5, 50, 95))
        return Estimate(middle, low, high, len(values))

    for n in experiment.sizes:
        parts = vars(experiment.images.split(n))
        to.of(data.data_split(experiment, n))
        for name, part in zip(("A", "B", "held-out", "sampler-start"), parts.values(), strict=True):
            to.row("images", len(part), model=name)
        kept = [np.unique(keys[part]) for part in parts.values()]
        to.row("images_in_common", sum(map(len, kept)) - len(np.unique(np.concatenate(kept))))
        for kind in similarity.KINDS:
            to.row(f"{kind}_cosine_nearest", spread(found[kind].nearest[n]))
            to.array(kind, found[kind].nearest[n])
    to.of(data.data_set(experiment))
    for kind in similarity.KINDS:
        to.row(f"{kind}_cosine_unrelated", spread(found[kind].random))
        to.array(kind, found[kind].random)
    pairs, clones = (similarity.near_duplicates(images, cosine) for cosine in (0.95, 0.99))
    place = np.full(len(images), -1)
    for k, part in enumerate((sets.A, sets.B, sets.validation)):
        place[part] = k
    apart = (place[pairs] >= 0).all(1) & (place[pairs[:, 0]] != place[pairs[:, 1]])
    shares = np.bincount(images[:].ravel(), minlength=256) / images[:].size
    to.row("images", len(images))
    to.row("distinct_images", len(np.unique(keys)))
    to.row("pixels_per_side", images.shape[-1])
    to.row("images_dropped", sum(data_set.meta["dropped"].values()))
    to.row("near_duplicate_pairs", len(pairs), at=0.95)
    to.row("near_duplicate_pairs", len(clones), at=0.99)
    to.row("near_duplicate_pairs_across_sets", apart.sum(), N=experiment.sizes[-1])
    to.row("dark_pixel_fraction", shares[: round(0.1 * 255)].sum())
    to.row("mean_pixel_value", mean.mean())
    to.array("pixel_values", np.round(shares * images[:].size))
    to.array("mean_image", mean[0])
    to.array("held_out", images[sets.validation[:60], 0])
    to.array("sha256", list(bytes.fromhex(data_set.sha256)))
    different = pairs[np.unique(pairs[:, 0], return_index=True)[1]][:12]
    to.array("near_duplicates", images[different.ravel(), 0].reshape(-1, 2, *images.shape[2:]))

    to.of(data.gray_scale(experiment))
    flux, truth = simulate_flux(64, seed=experiment.parameters.seed)
    spiral = (truth["type"] == "spiral") & (truth["inclination"] < 50)
    shown = int(np.argmin(np.where(spiral, np.abs(truth["half_light_radius"] - 3.5), np.inf)))
    linear = np.clip(flux[shown] / np.percentile(flux[shown], 99.7), 0, 1)
    four = flux[np.argsort(-np.asarray(truth["half_light_radius"]))[:4]]
    to.row("example_galaxy", int(truth["id"][shown].split("-")[-1]))
    to.array("bands", gray(linear))
    one = flux[shown : shown + 1]
    to.array("stretched", preprocess.flux_to_gray(one, size=64)[0, 0])
    to.array("resized", preprocess.flux_to_gray(one, size=images.shape[-1])[0, 0])
    qs, stretches = [0.5, 2, 8, 20, 50], [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
    frames = [
        [np.hstack(preprocess.flux_to_gray(four, size=64, Q=q, stretch=s)[:, 0]) for s in stretches]
        for q in qs
    ]
    to.array("frames", frames)
    to.array("Q", qs)
    to.array("stretch", stretches)


def compare_gan(experiment: Experiment) -> Differences:
    """The questions to GANs."""
    to = Differences()
    for N in experiment.sizes:
        of_discriminators(experiment, N, to)
    of_the_fresh_classifier(experiment, to)
    return to


def compare_images(experiment: Experiment) -> Differences:
    """The audit of denoisers, and the data set."""
    to = Differences()
    of_audits(experiment, to)
    of_the_data_set(experiment, to)
    return to


@pytest.mark.parametrize(("family", "compare"), [("gan", compare_gan), ("diffusion", compare_images)])
def test_rows_and_arrays_hold_what_was_found_before(smoke, family, compare):
    found = compare(smoke[family])
    assert found.compared > 50
    assert not found.told, "\n".join(found.told)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("--store", required=True)
    asked = parser.parse_args()
    for name, compared in {"gan": compare_gan, "diffusion": compare_images}.items():
        of = Experiment(Parameters(profile=asked.profile), Store(asked.store), family=name)
        said = compared(of)
        print(f"{name}: rows {said.rows}, compared {said.compared}, differing {len(said.told)}")
        print("\n".join(said.told))
