"""Measure near-copies along trainings of the onset study, into results/near_copies.json.

    python benchmarks/near_copies.py

Models A and B of four configurations (W; N) of simulated galaxies, seed 23, are trained for 8 to 11 times the
onset that the law of load gives. At each milestone 512 latents give the near-copies of each model and the
training-set bias of the pair; `galbook.onset.near_copies` compares t_c with t*. Three core-hours; an
interrupted training is resumed.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from galbook.onset.configurations import Trace
from galbook.onset.gap import SIGMA, crossing, memory_gap, psnr_along, settled
from galbook.onset.near_copies import FRACTION, one_event
from galgen.compare.agreement import two_models
from galgen.compare.memorization import distance_ratio, near_copy_fraction
from galgen.data.unit import unit
from galgen.experiment import APART, Experiment, find_training
from galgen.profiles import PROFILES, OnsetSettings, Parameters
from galgen.runs.errors import exit_code
from galgen.runs.files import project, to_json_values, write_json
from galgen.runs.store import provenance

LENGTHS = {16: {100: 400_000}, 8: {100: 800_000, 300: 2_400_000}, 4: {100: 2_400_000}}  # by width and N
EXPECTED = {"one event": 0.05, "two events": 0.45, "inconclusive": 0.5}  # before the trainings
SEED = 23

studies = {f"onset{W}": OnsetSettings(base_channels=W, N=tuple(of), lengths=of) for W, of in LENGTHS.items()}
name = {"name": "near-copies", "samples": 512}
PROFILES["near-copies"] = PROFILES["laptop"].model_copy(update=studies | name)


def train(parameters: Parameters, name: str) -> None:
    """Train one model, in its own process."""
    of, training = find_training(name, parameters)
    of.train(training)


def measured(study: Experiment, N: int) -> list[dict]:
    """Near-copies and onsets along A and B."""
    pair, images = study.models.pair(N), study.images
    options, found = {"mean": images.mean, "flips": study.family.flips}, []
    shown = sorted(study.train(pair[0]).summary["weights"])
    samples = [[study.samples(model, t) for model in pair] for t in shown]
    tests = [two_models(*each, images.dataset.images, images.split(N), **options) for each in samples]
    for k, model in enumerate(pair):
        train = images.of(model)
        sets = [*(each[k] for each in samples), unit(images.held_out)]
        *along, held_out = (near_copy_fraction(distance_ratio(x, train, **options)).value for x in sets)
        networks = ((t, study.networks(model, t)) for t in shown)
        psnr = psnr_along(networks, study.family.denoiser, train, images.held_out, sigmas=(SIGMA,))
        trace = Trace.of(*psnr, images.dataset.images[0].size)
        gap = memory_gap(trace.shown, trace.own, trace.held_out, start=settled(N, trace.shown))
        late = int(0.9 * shown[-1])
        onset, copies = gap.onset(), crossing(np.array(shown), np.array(along), FRACTION)
        censored = copies is None or copies > late
        about = {"width": study.settings.base_channels, "N": N, "model": model.label, "shown": shown}
        about |= {"load": N * images.dataset.images[0].size / study.weights, "near_copies": along}
        about |= {"held_out": held_out, "bias": [test.p_closer.value - 0.5 for test in tests]}
        about |= {"onset": onset, "copies_onset": late if censored else copies, "censored": censored}
        about |= {"key": study.key(model), "minutes": study.train(model).summary["seconds"] / 60}
        found.append(about)
    return found


def main() -> None:
    """Train all models and write what was measured, with the test."""
    os.environ.update(APART)
    parameters = Parameters(profile="near-copies", seed=SEED)
    studies = [Experiment(parameters, family=f"onset{W}") for W in LENGTHS]
    names = [model.name for of in studies for N in of.sizes for model in of.models.pair(N)]
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), get_context("spawn")) as pool:
        list(pool.map(train, [parameters] * len(names), names))
    rows = [each for of, N in ((of, N) for of in studies for N in of.sizes) for each in measured(of, N)]
    ratios = np.array([row["copies_onset"] / row["onset"] for row in rows]).reshape(-1, 2)
    test = one_event(ratios, np.array([row["censored"] for row in rows]).reshape(-1, 2))
    found = {"trainings": rows, "test": test, "expected": EXPECTED}
    write_json(project() / "results" / "near_copies.json", to_json_values(provenance() | found))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
