"""Rows and arrays on flows against the functions that they replace, number by number.

As a script, `python tests/test_measure_inversion.py laptop --store STORE` compares those of a profile.
"""

import argparse

import numpy as np
import pytest

from galbook import flows as old_flows
from galbook import inversion as old_inversion
from galbook import likelihood as old_likelihood
from galbook import overfitting, walk
from galbook.measure import flows, interpolation
from galbook.measure import inversion as measured
from galgen.compare.flow_pairs import model_pairs
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs.store import Store

FAMILIES = "glow", "gan"
NUMBERS = ("value", "low", "high", "p", "n")


class Differences(list):
    """What differs, and how many numbers were compared."""

    def __init__(self):
        super().__init__()
        self.compared = 0

    def number(self, found, expected, what, **tolerance):
        self.compared += 1
        close = {"rtol": 1e-7, "atol": 1e-13, "equal_nan": True} | tolerance
        if np.shape(found) != np.shape(expected) or not np.allclose(found, expected, **close):
            self.append(f"{what}: {found} is not {expected}")

    def row(self, rows, expected, **where):
        """One row, of what an old function returned: a number, or one with interval, p and n."""
        found = rows[
            np.logical_and.reduce(
                [rows[column].eq(value).fillna(False).astype(bool) for column, value in where.items()]
            )
        ]
        if "level" not in where:
            found = found[found.level.isna()]
        if len(found) != 1:
            self.append(f"{len(found)} rows of {where}")
            return
        values = vars(expected) if hasattr(expected, "value") else {"value": expected}
        for name, value in values.items():
            self.number(float(found.iloc[0][name]), float(value), f"{where} {name}")


def name(model):
    return f"{model.label}-{model.foreign}" if model.foreign else model.label


def levels(differ, rows, tests, **where):
    """All statistics of a test of one pair."""
    for level, test in enumerate(tests):
        for statistic, attribute in measured.TESTED.items():
            differ.row(rows, getattr(test, attribute), statistic=statistic, level=level, **where)
    differ.row(rows, tests[0].lost, statistic="images_left_out", **where)


def compare_inversion(experiment, N, differ):
    found, pairs = measured.inversion(experiment, N), experiment.models.pairs(N)
    rows, old, every = (
        found.rows,
        *(f(experiment, N) for f in (old_inversion.pair_tests, old_inversion.latents)),
    )
    for k, (model, others) in enumerate(model_pairs(pairs)):
        for kind, other in zip(("disjoint", "same"), others, strict=True):
            tests, where = getattr(old, kind)[k], {"model": f"{name(model)}-{name(other)}"}
            levels(differ, rows, tests, **where)
            for level, test in enumerate(tests):
                if kind == "disjoint":
                    at = {"model": name(model), "level": level}
                    differ.row(rows, test.w1_a, statistic="latent_wasserstein_self", **at)
                if not test.lost:
                    differ.row(rows, test.floor, statistic="latent_wasserstein_floor", level=level)
    first = {"disjoint": pairs[0], "same": (pairs[0][0], pairs[1][0])}
    for kind, pair in first.items():
        where = {"statistic": "likelihood_ratio_auc", "model": "-".join(map(name, pair))}
        differ.row(rows, old.auc[kind], training_sets=kind, **where)
    of = {statistic: some for statistic, some in rows.groupby("statistic")}
    for level, echo in enumerate(every.echo):
        at = of["latent_wasserstein_self"].query("level == @level")
        differ.number(at.value.max(), echo, f"echo {level}")
        apart = of["latent_wasserstein_pair"].query("level == @level").value
        differ.number(apart.to_numpy(), every.apart[level], f"apart {level}")
        where = {"statistic": "latent_wasserstein_null", "level": level}
        null = rows[(rows.statistic == "latent_wasserstein_null") & (rows.level == level)]
        differ.number(null[["low", "high"]].to_numpy()[0], every.same[level], f"same {level}")
        where["statistic"] = "latent_wasserstein_disjoint_over_same"
        differ.row(rows, every.ratio[level], **where)
        exchanged = of["latent_wasserstein_disjoint_over_same"]
        differ.number(exchanged.p[exchanged.level == level].to_numpy(), [every.p[level]], f"p {level}")
        differ.row(rows, every.floor[level], statistic="latent_wasserstein_floor", level=level)
        one = old.disjoint[0][level]
        differ.number(one.shared - one.shared_null, every.shared[level], f"shared {level}")
        all_same = of["latent_wasserstein"].query("level == @level and training_sets == 'same'").value
        differ.number([all_same.min(), all_same.max()], every.same[level], f"range of the same {level}")
    differ.number(exchanged.p[exchanged.level.isna()].to_numpy(), [every.joint], "joint p")
    bits = of["log_likelihood_ratio"].groupby("training_sets").value.mean()
    differ.number(bits[["disjoint", "same"]].to_numpy(), every.bits, "bits")
    differ.row(rows, every.likelihood, statistic="log_likelihood_ratio_disjoint_over_same")
    for level, drawn in enumerate(old.first):
        expected = np.array([drawn.z, drawn.z_a, drawn.z_b]).clip(-6, 6).astype(np.float16)
        differ.number(found.arrays[f"latents_{level}"], expected, f"latents {level}", rtol=0, atol=0)
        expected = np.array([drawn.density_a, drawn.density_b])
        differ.number(found.arrays["densities"][level], expected, f"densities {level}", rtol=1e-6)
        differ.row(rows, drawn.count, statistic="latents_per_image", level=level)
    count = len(experiment.models.pairs(N))
    differ.number(len(of["likelihood_ratio_auc"]), count * (2 * count - 1), "AUCs")


def compare_controls(experiment, differ):
    rows = measured.inversion_controls(experiment, N := experiment.sizes[-1]).rows
    (a, b), other = experiment.models.pair(N), experiment.models.foreign()[0]
    levels(differ, rows, old_inversion.foreign_test(experiment), model=f"{name(a)}-{name(other)}")
    old = old_inversion.untrained(experiment)
    for test, pair in zip(old.tests, ((a, b), (b, a)), strict=True):
        levels(differ, rows, test, model="-".join(map(name, pair)), images_shown=0)
    where = {"statistic": "likelihood_ratio_auc", "images_shown": 0}
    differ.row(rows, old.auc, model=f"{name(a)}-{name(b)}", **where)


def compare_likelihood(experiment, N, differ):
    rows, pair = flows.likelihood(experiment, N).rows, experiment.models.pair(N)
    along = overfitting.bits_along(experiment, N)
    for shown, (own, held_out) in along.items():
        at = {"model": name(pair[0]), "images_shown": shown}
        differ.row(rows, own.mean(), statistic="bits_per_dim_training", **at)
        differ.row(rows, held_out.mean(), statistic="bits_per_dim_held_out", **at)
    at = {"model": name(pair[0]), "images_shown": experiment.settings.images_shown(N)}
    differ.row(rows, overfitting.gaps({N: along})[N], statistic="likelihood_gap", **at)
    for model, cost in zip(pair, old_likelihood.spent(experiment, N).values(), strict=True):
        at["model"] = name(model)
        for role, mean in {"training": cost.own, "partner": cost.others, "held_out": cost.held_out}.items():
            differ.row(rows, mean, statistic=f"bits_per_dim_{role}", **at)
        differ.row(rows, cost.gap, statistic="likelihood_gap", **at)
        differ.row(rows, cost.beyond, statistic="likelihood_gap_beyond_partner", **at)


def compare_latents(experiment, N, differ):
    rows, old = flows.flow_latents(experiment, N).rows, old_flows.returned(experiment, N)
    for bits, way in ((32, old["single"]), (64, old["double"])):
        for level, error in enumerate(way.errors):
            differ.row(rows, error, statistic="inverse_error", at=bits, level=level)
        differ.row(rows, way.off, statistic="images_not_recovered", at=bits)
        differ.row(rows, way.lost, statistic="images_out_of_range", at=bits)
    if N == experiment.sizes[-1]:
        for level, spread in enumerate(old_flows.scatter(experiment)):
            differ.row(rows, spread, statistic="held_out_norm_spread", level=level)


def compare_temperature(experiment, differ):
    old = old_flows.warm(experiment)
    for k, N in enumerate(experiment.sizes):
        found = flows.temperature(experiment, N)
        differ.number(found.arrays["samples"], old.panels[:, k], f"samples {N}", rtol=0, atol=0)
        differ.number(found.rows["at"].to_numpy(), old.temperatures, "temperatures")
    differ.number(found.rows.value.to_numpy(), old.spreads, "spreads")


def compare_interpolation(experiment, differ):
    found = interpolation.latent_interpolation(experiment, experiment.sizes[-1]).arrays
    old = walk.levels_carried_over(experiment)
    first, last = (np.broadcast_to(end, found["images"].shape) for end in found["ends"])
    side_by_side = np.concatenate([first, found["images"], last], 3)
    differ.number(side_by_side, old, "interpolation", rtol=0, atol=0)


def compare_circle(experiment, differ):
    found = [interpolation.latent_circle(experiment, N).arrays["images"] for N in experiment.sizes]
    differ.number(np.concatenate(found, 2), walk.circle(experiment), "circle", rtol=0, atol=0)


def compare(experiment):
    """What differs between the rows and arrays and the old answers on the models of one family."""
    differ = Differences()
    if experiment.family.name == "gan":
        compare_circle(experiment, differ)
        return differ
    for N in experiment.sizes:
        compare_inversion(experiment, N, differ)
        compare_likelihood(experiment, N, differ)
        compare_latents(experiment, N, differ)
    compare_controls(experiment, differ)
    compare_temperature(experiment, differ)
    compare_interpolation(experiment, differ)
    return differ


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_and_arrays_are_the_old_answers(trained, family):
    differ = compare(Experiment(Parameters(profile="smoke", N=12), trained, family=family))
    assert not differ and differ.compared


def test_a_single_pair_has_no_comparison_with_the_same_images():
    assert list(measured._exchanged(np.ones((3, 2, 2)), np.ones((2, 2)))) == []


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("profile")
    parser.add_argument("--store", default=None)
    given = parser.parse_args()
    for family in FAMILIES:
        store = Store(given.store) if given.store else None
        differ = compare(Experiment(Parameters(profile=given.profile), store, family=family))
        equal = differ.compared - len(differ)
        print(f"{family}: rows {differ.compared}, equal {equal}, differing {len(differ)}")
        print(*differ, sep="\n")
