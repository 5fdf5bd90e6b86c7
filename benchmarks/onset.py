"""Train and measure the configurations of the onset study, one by one, into results/clock/.

    python benchmarks/onset.py [--data path/to/galaxies] [--only 8x300 16x300]

A configuration is a width, an N, a seed of galaxies, sets and models, images shown, and a learning rate;
models A and B. Those of `BEFORE` precede the first laws; those of `PREDICTED` were predicted
in results/foretold.json before they were trained, and those of `FRESH` in results/predictions/onsets.json.
Given galaxies have those of `GIVEN`, predicted there, too. About 32 CPU hours in total.

A configuration is appended to the file as soon as both models are trained; existing ones are neither replaced
nor repeated. So the work can be split into several sessions, and the results outlive the run store. An
interrupted training is resumed. At the end the measurements of all are written into results/onset/ or, of
given galaxies, results/onset-<name>/.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
from filelock import FileLock

from galbook.measure.onset_committed import committed_onsets
from galbook.onset.configurations import CommittedConfiguration, Configuration, Trace, key_of, read, write
from galbook.onset.gap import SIGMAS, psnr_along
from galbook.table import to_csv
from galgen.experiment import APART, Experiment, find_training
from galgen.profiles import PROFILES, Parameters
from galgen.runs.errors import checked, exit_code
from galgen.runs.files import atomic_path, project, results_file
from galgen.runs.store import provenance

# Base channels, N, seeds, images shown, learning rate relative to the standard one.
BEFORE = (
    (4, 10, range(4), 60_000, 1),
    (8, 10, range(4), 40_000, 1),
    (4, 30, range(4), 120_000, 1),
    (8, 30, range(4), 100_000, 1),
    (4, 100, range(4), 400_000, 1),
    (8, 100, range(4), 200_000, 1),
    (16, 100, range(1), 150_000, 1),
    (4, 300, range(1), 1_800_000, 1),
    (4, 1000, range(1), 6_000_000, 1),
    (8, 1000, range(1), 2_400_000, 1),
    (16, 1000, range(1), 1_500_000, 1),
)
PREDICTED = (
    (8, 300, (0, 4), 700_000, 1),
    (16, 300, (4, 5, 6), 450_000, 1),
    (16, 100, (4, 5, 6), 150_000, 1),
    (32, 100, (4, 5), 50_000, 1),
    (32, 300, (4, 5), 150_000, 1),
    (4, 300, (4,), 3_600_000, 0.5),
    (4, 1000, (4,), 18_000_000, 1),
)
FRESH = (
    (4, 400, (21,), 5_000_000, 1),
    (4, 600, (21,), 8_000_000, 1),
    (8, 1000, (21,), 5_000_000, 1),
)
GIVEN = (
    (4, 100, (21, 22), 400_000, 1),
    (4, 300, (21, 22), 2_400_000, 1),
    (8, 100, (21, 22), 200_000, 1),
    (8, 300, (21, 22), 700_000, 1),
    (16, 300, (21, 22), 450_000, 1),
)


def measured(study: Experiment, N: int) -> Configuration:
    """Configuration of one width and N: PSNR of training and held-out images along A and B."""
    held_out, pixels, traces = study.images.held_out, study.images.dataset.images[0].size, []
    for model in study.models.pair(N):
        along = ((shown, study.networks(model, shown)) for shown in study.train(model).summary["weights"])
        psnr = psnr_along(along, study.family.denoiser, study.images.of(model), held_out, sigmas=SIGMAS)
        traces.append(Trace.of(*psnr, pixels))
    return Configuration(study.settings.base_channels, N, N * pixels / study.weights, traces)


def _named(base_channels: int, N: int, images: int, rate: float) -> str:
    return f"clock-{base_channels}x{N}x{images}x{rate:g}"


def _profile(base_channels: int, N: int, images: int, rate: float) -> None:
    """Register the profile `laptop` with one configuration."""
    base, family = PROFILES["laptop"], f"onset{base_channels}"
    of = getattr(base, family)
    rates = {each: rate * getattr(of, each) for each in ("learning_rate", "muon_rate")}
    own = of.model_copy(update={"N": (N,), "own": (N,), "lengths": {N: images}} | rates)
    name = _named(base_channels, N, images, rate)
    PROFILES[name] = base.model_copy(update={"name": name, family: own})


for base_channels, N, _, images, rate in BEFORE + PREDICTED + FRESH + GIVEN:
    _profile(base_channels, N, images, rate)


def studies(data: str, trial: bool) -> Iterator[tuple[Experiment, int, float]]:
    """Yield a study, an N and a learning rate for each configuration."""
    configurations = BEFORE + PREDICTED + FRESH if data == "simulated" else GIVEN
    for base_channels, N, seeds, images, rate in configurations:
        profile = _named(base_channels, N, images, rate) + "-trial" * trial
        for seed in seeds:
            given = {"data": data, "profile": profile, "seed": seed, "onset_study": True}
            asked = checked(Parameters, given, "parameters")
            study = Experiment(asked, family=f"onset{base_channels}")
            yield study, study.sizes[0], rate


def train(asked: Parameters, name: str) -> None:
    """Train one model, in its own process, which also has this module's profile."""
    torch.set_num_threads(1)
    of, training = find_training(name, asked)
    of.train(training)


def answered(study: Experiment, N: int, rate: float) -> CommittedConfiguration:
    """Measure a configuration whose models are trained."""
    return CommittedConfiguration(
        configuration=replace(measured(study, N), rate=rate),
        seed=study.parameters.seed,
        images=study.settings.images_shown(N),
        trainings=[study.key(training) for training in study.models.pair(N)],
        minutes=[study.train(training).summary["seconds"] / 60 for training in study.models.pair(N)],
        made={"date": time.strftime("%Y-%m-%d", time.gmtime()), **provenance()},
    )


def written(path: Path) -> list[CommittedConfiguration]:
    """Configurations written so far."""
    return read(path) if path.is_file() else []


def main() -> None:
    """Make the missing configurations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--only", nargs="+", help="these configurations, as 4x300: base channels and N")
    parser.add_argument("--trial", action="store_true", help="five steps of each, as a test")
    parser.add_argument("--out", type=Path, help="a folder; by default results/clock, except with --trial")
    given = parser.parse_args()
    given.out = results_file(given.out, "clock", trial=given.trial)
    os.environ.update(APART)
    workers = min(2, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        each = pool.map if workers > 1 else map
        for study, N, rate in studies(given.data, given.trial):
            name = f"{study.family.name.removeprefix('onset')}x{N}"
            if given.only and name not in given.only:
                continue
            out, pair = given.out / f"{study.images.name}.json", study.models.pair(N)
            at = study.settings.base_channels, N, study.parameters.seed, study.settings.images_shown(N), rate
            if at in map(key_of, written(out)):
                continue
            list(each(train, [study.parameters] * 2, [training.name for training in pair]))
            one = answered(study, N, rate)
            with FileLock(out.with_name(f".{out.name}.lock")):  # another process may have written meanwhile
                if key_of(one) not in map(key_of, there := written(out)):
                    write(out, [*there, one])
            gaps = " and ".join(str(g.at(g.shown[-1])) for g in one.configuration.gaps)
            minutes = f"{max(one.minutes):.1f} minutes"
            print(f"{one.configuration}, seed {one.seed}: g = {gaps} dB, {minutes}", flush=True)
    if given.out == project() / "results" / "clock":
        name = study.images.name
        run = "onset" if name == "simulated" else f"onset-{name}"
        with atomic_path(project() / "results" / run / "measurements.csv") as path:
            path.write_text(to_csv(committed_onsets(name)))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
