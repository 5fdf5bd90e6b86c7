"""The rows and arrays of denoising, sampling and mechanisms beside the answers of the functions they replace.

As a script: `python tests/test_measure_denoising.py laptop --store STORE`, of a store with its models.
"""

import argparse
import math

import numpy as np
import pytest

from galbook import curves, denoising, game, sampling
from galbook.measure import denoising as psnr
from galbook.measure import mechanisms
from galbook.measure import sampling as samplers
from galbook.why import directions, flow, local
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.experiment import Experiment, every_family
from galgen.models.families import FAMILIES
from galgen.profiles import Parameters
from galgen.runs.checkpoint import read_losses
from galgen.runs.store import Store

NUMBERS = ("value", "low", "high", "p", "n")


class Comparison:
    """Differences between the rows of a question and what was found before.

    Attributes:
        rows: How many numbers were compared.
        differences: In words.
    """

    def __init__(self):
        self.rows, self.differences = 0, []

    def same(self, name, new, old):
        """Compare two numbers or arrays."""
        self.rows += 1
        new, old = np.asarray(new, float), np.asarray(old, float)
        if new.shape != old.shape or not np.allclose(new, old, rtol=1e-7, atol=1e-12, equal_nan=True):
            self.differences.append(f"{name}: {new} is not {old}")

    def expect(self, measured, found, statistic, **where):
        """Compare the one row of that place with a number or an estimate; with None, there is no such row."""
        rows = measured.rows[measured.rows.statistic == statistic]
        for column, value in {"training_sets": "", "level": None, "at": None, **where}.items():
            of = rows[column]
            rows = rows[
                of.isna() if value is None else np.isclose(of, value) if column == "at" else of == value
            ]
        name = f"{statistic} {where}"
        if len(rows) != (found is not None):
            self.differences.append(f"{name}: {len(rows)} rows")
        elif found is not None:
            old = vars(found) if isinstance(found, Estimate | Outcome) else {"value": float(found)}
            for column in NUMBERS:
                if column in old:
                    self.same(f"{name}, {column}", rows[column].iloc[0], old[column])


def of_denoisers(experiment, c):
    for N in experiment.sizes:
        new, pair = psnr.denoising_psnr(experiment, N), experiment.models.pair(N)
        A, both = pair[0].label, {"model": f"{pair[0].label}-{pair[1].label}", "training_sets": "disjoint"}
        levels = [float(sigma) for sigma in new.arrays["sigma"]]
        if experiment.family.name == "diffusion":
            assert np.allclose(levels, denoising.LEVELS, rtol=1e-14)
            levels = denoising.LEVELS
        else:
            assert np.array_equal(levels, np.geomspace(0.01, 10, 13))
        few = experiment.family.name == "conditional" and N != experiment.sizes[-1]
        for kind, seen in (("psnr_training", True), ("psnr_held_out", False)):
            if few or (seen and experiment.family.name == "conditional"):
                continue  # nothing asked for it
            found = denoising.psnr_curve(experiment, N, levels, seen=seen)
            for k, sigma in enumerate(levels):
                c.expect(new, np.median(found.denoised[k]), kind, model=A, at=sigma)
                if not seen:
                    c.expect(new, np.median(found.noisy[k]), kind, model="noisy", at=sigma)
            if not seen:
                bands = np.percentile(found.denoised, (16, 50, 84), axis=1)
                c.same("psnr_held_out", new.arrays["psnr_held_out"], bands)
        if N == experiment.sizes[-1]:
            linear = denoising.linear_filter(experiment, levels)
            gain = np.percentile(found.denoised - linear.denoised, (16, 50, 84), axis=1)
            c.same("psnr_beyond_gaussian", new.arrays["psnr_beyond_gaussian"], gain)
            for k, sigma in enumerate(levels):
                c.expect(new, np.median(linear.denoised[k]), "psnr_held_out", model="gaussian", at=sigma)
                c.expect(new, gain[1, k], "psnr_beyond_gaussian", model=A, at=sigma)
        if experiment.family.name == "diffusion":
            for sigma, gap in zip(levels, denoising.gaps(experiment)[N], strict=True):
                c.expect(new, gap, "psnr_advantage", at=sigma, **both)
            for model, estimates in denoising.gained(experiment, N).items():
                for sigma, found in zip(denoising.LITTLE, estimates, strict=True):
                    c.expect(new, found, "psnr_gain", model=model, at=sigma)


def of_panels(experiment, c):
    for k, (kind, panel) in enumerate(denoising.panels(experiment).items()):
        statistic = f"psnr_example_{kind.replace(' ', '_')}"
        for (N,), (name, images) in zip(psnr.ends(experiment), panel.denoised.items(), strict=True):
            new = psnr.denoised_images(experiment, N)
            stacks = {"clean": panel.clean[None], "noisy": panel.noisy, "denoised": images}
            for part, old in stacks.items():
                gray = np.rint(old.clip(0, 1) * 255)[:, 0]
                c.same(part, new.arrays[part][k], gray[0] if part == "clean" else gray)
            sets = ("noisy", panel.noisy_psnr), ("A0", panel.denoised_psnr[name])
            for model, values in sets:
                for sigma, value in zip(denoising.SIGMAS, values, strict=True):
                    c.expect(new, value, statistic, model=model, at=sigma)


def of_losses(experiment, c):
    total = {}
    for N in experiment.sizes:
        new = psnr.training_losses(experiment, N)
        total[N] = new.rows[new.rows.statistic == "network_parameters"].value.sum()
        for model in (model for pair in experiment.models.pairs(N) for model in pair):
            run = experiment.train(model)
            log, label = read_losses(run.folder), model.label
            smooth, end = curves.smoothed(log), game.ends({N: log})[N]
            c.expect(new, run.summary["seconds"] / 60, "training_minutes", model=label)
            places = np.searchsorted(smooth["images"], new.arrays[f"{label}_images"])
            assert len(places) <= psnr.POINTS and places[-1] == len(smooth["images"]) - 1
            for name, statistic in psnr.LOSSES.items():
                c.expect(new, end.get(name), statistic, model=label)
                if name in end:
                    c.same(statistic, new.arrays[f"{label}_{name}"], smooth[name][places])
                if name in ("loss", "bits_per_dim") and name in end:
                    c.expect(new, run.summary["losses"][name], f"last_{statistic}", model=label)
    c.same("parameters", list(total.values()), [experiment.weights] * len(total))


NAMES = {
    "start: one image": "A0: start at the mean image",
    "start: its own mean": "A0: start at its training mean",
    "start: draws of a Gaussian": "A0: start drawn from a Gaussian",
    "down to σ = 0.02": "A0: down to sigma 0.02",
    "steps: 10": "A0: 10 steps",
    "steps: 60": "A0: 60 steps",
    "stochastic ascent": "A0: stochastic ascent",
}


def of_samplers(experiment, c):
    new, old = samplers.samplers(experiment, experiment.sizes[-1]), sampling.ways(experiment)
    sets = {NAMES[name]: found for name, found in old.found.items()} | {"held-out": old.galaxies}
    assert {*new.rows.model} == {*sets}
    c.same("components", new.arrays["components"][:, 0], [first(name) for name in old.galaxies.spread])
    for name, calls in old.calls.items():
        c.expect(new, calls, "network_calls", model=NAMES[name])
    for model, portrait in sets.items():
        for group, ratio in portrait.spread.items():
            c.expect(new, ratio, "variance_ratio", model=model, at=first(group))
        for side, test in portrait.c2st.items():
            c.expect(new, test.auc, "auc", model=model, at=side)
            p = new.rows.query("statistic == 'auc' and model == @model and at == @side").p
            c.same(f"p {model}", p, [test.p])


def first(group):
    """The first component of `components 2-5`."""
    return int(group.split()[1].split("-")[0])


def of_choices(experiment, c):
    ends = {"common": "common start", "each its own mean": "own starts"}
    noises = {"fresh": "fresh noise", "used twice": "noise used twice"}
    for (N,) in psnr.ends(experiment):
        new = samplers.stochastic_ascent_choices(experiment, N)
        for choice in sampling.choices(experiment, N):
            name = f"A0-B1: {ends[choice.start]}, {noises[choice.noise]}"
            where = {"model": name, "training_sets": "disjoint"}
            c.expect(new, choice.apart, "start_distance", **where)
            c.expect(new, choice.converged / choice.latents, "converged_fraction", **where)
            c.expect(new, choice.agree, "agreement", **where)


def of_patches(experiment, c):
    for N in experiment.sizes:
        new = mechanisms.patch_denoisers(experiment, N)
        for sigma in local.SIGMAS:
            old, at = local.local_test(experiment, N, sigma), {"at": sigma}
            same, disjoint = {"training_sets": "same"}, {"training_sets": "disjoint"}
            c.expect(new, old.twin, "explained_fraction", model="A0-B1", **at, **disjoint)
            for side in old.own:
                at["level"] = side
                of_A = at | {"model": "A0-patches"}
                c.expect(new, old.own[side], "explained_fraction", **of_A, **same)
                c.expect(new, old.other[side], "explained_fraction", **of_A, **disjoint)
                c.expect(new, old.memory[side], "explained_fraction_excess", **of_A)
                c.expect(new, old.machines[side], "explained_fraction", model="patches", **at, **disjoint)


def of_directions(experiment, c):
    ceiling = directions.ceiling(experiment)
    for N in experiment.sizes:
        new, old = mechanisms.principal_directions(experiment, N), directions.directions_test(experiment, N)
        pairs = experiment.models.pairs(N)
        sets = [({"model": "held-out"}, ceiling), ({"model": "gaussian"}, old.gaussian)]
        for pair, agreement, curve in zip(pairs, old.agreement, old.pairs, strict=True):
            where = {"model": f"{pair[0].label}-{pair[1].label}", "training_sets": "disjoint"}
            c.expect(new, agreement, "agreement", **where)
            sets.append((where, curve))
        models = [{"model": model.label} for pair in pairs for model in pair]
        for where, curve in [*sets, *zip(models, old.galaxies, strict=True)]:
            for k in mechanisms.SHOWN:
                c.expect(new, curve[k - 1], "principal_overlap", at=k, **where)
        pixels = experiment.images.dataset.images[0].size
        for k in mechanisms.SHOWN:
            c.expect(new, k / pixels, "principal_overlap_null", at=k, model="")


def of_flow(experiment, c):
    names = {
        "B": ("A0-B1", "disjoint"),
        "other galaxies": ("A0-A100-galaxies", "out-of-domain"),
        "Gaussian of B's images": ("A0-gaussian", "disjoint"),
    }
    for N in experiment.sizes:
        new, old = mechanisms.flow_inversion(experiment, N), flow.flow_inversions(experiment, N)
        for who, (model, sets) in names.items():
            if who not in old:
                assert model not in {*new.rows.model}
                continue
            for test in old[who].values():
                at = int(test.components.split("-")[0])
                where = {"model": model, "training_sets": sets, "at": at}
                c.expect(new, test.test.correlation, "latent_correlation", **where)
                c.expect(new, test.test.correlation_null, "latent_correlation_null", **where)
                c.expect(new, test.apart, "latent_wasserstein_ratio", **where)
                c.expect(new, Outcome(1, *test.null, math.nan), "latent_wasserstein_ratio_null", **where)
                if who == "B":
                    c.expect(new, test.echo, "latent_wasserstein_ratio", model="A0", at=at)
        spans = ["-".join(map(str, dict.fromkeys(ends))) for ends in new.arrays["components"].tolist()]
        assert spans == [test.components for test in old["B"].values()]


COMPARED = {
    "losses": (of_losses, tuple(FAMILIES)),
    "denoisers": (of_denoisers, ("diffusion", "conditional")),
    "panels": (of_panels, ("diffusion",)),
    "samplers": (of_samplers, ("diffusion",)),
    "choices": (of_choices, ("diffusion",)),
    "patches": (of_patches, ("conditional",)),
    "directions": (of_directions, ("diffusion", "conditional")),
    "flow": (of_flow, ("conditional",)),
}


def compare(experiment: Experiment, what: str) -> Comparison:
    """What the new questions on one subject find beside the old ones."""
    found = Comparison()
    COMPARED[what][0](experiment, found)
    return found


@pytest.mark.parametrize(
    ("what", "family"), [(what, family) for what, (_, families) in COMPARED.items() for family in families]
)
def test_rows_are_equal_to_the_answers_of_the_functions_that_they_replace(smoke, what, family):
    found = compare(smoke[family], what)
    assert found.rows and not found.differences


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("profile")
    parser.add_argument("--store")
    given = parser.parse_args()
    experiments = every_family(Parameters(profile=given.profile), Store(given.store))
    for what, (_, families) in COMPARED.items():
        for family in families:
            found = compare(experiments[family], what)
            off = len(found.differences)
            print(
                f"{what}, {family}: rows {found.rows}, equal {found.rows - off}, differing {off}", flush=True
            )
            print(*found.differences, sep="\n", end="\n" * bool(off))
