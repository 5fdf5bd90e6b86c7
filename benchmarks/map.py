"""The map: is it the number of galaxies N, or the time spent on each, that decides whether a model copies?

    python benchmarks/map.py predict            writes results/predictions/map.json, once
    python benchmarks/map.py train              trains and measures every configuration, into store/map/
    python benchmarks/map.py train --only plane
    python benchmarks/map.py train --trial --out FOLDER     2 048 images of each, as a test

A configuration is a width W, a size in pixels, an N and a seed; models A and B of the onset study
(`galgen.models.onset_study`: Muon, batches of 16, a constant learning rate, averaged weights), in bfloat16
from 16 channels on. All images of a seed are the same galaxies, simulated at 64 x 64 pixels and averaged.

    pixels   W = 8, 16, 32 and 16, 32, 64 pixels, N = 30, 100, 300: each model to the first milestone after
             twice its onset, or for half an hour of one core
    plane    W = 16, 32 pixels (the network of the book), N = 10 to 1 000; and a model of
             out-of-domain galaxies
    paper    W = 64, 64 pixels (the network of the paper), N = 10, 100, and 100 000, the reference: it
             sees each image once, so it cannot memorize

At each milestone, a factor of 2^(1/2) apart (2 for the reference), the folder of a model gets

    weights-T.safetensors    network and average after T images shown
    measured-T.npz           psnr (5, n): of held-out images, training images of A, and of B, up to 512 each,
                             at `SIGMAS`, with the same noise at every T and for both models; and, at every
                             second milestone, samples (512, 1, px, px) of the latents that A and B share

and at most ten minutes of work are lost when a process is killed. Equal noise per area is sigma proportional
to pixels across: 0.1 at 16, 0.2 at 32, 0.4 at 64 pixels.

Definitions and criteria, fixed before any of these trainings:

    onset    t*: images shown when a model denoises its training images more than 1 dB better than held-out
             images (sigma = 0.1, relative to the first milestone after 60 epochs, or earlier where a form
             predicts an earlier onset), for good
    learned  t_L: first milestone at which held-out images are denoised (sigma = 0.1) more than 0.5 dB better,
             mean of A and B, than by the best simple filter of the largest N
    copies   t_C: more than 5 % of 512 samples are close copies, mean of A and B, for good; not reached
             is censored
    *Number alone* (N decides whether a model copies) is contradicted at an N that has a milestone with a gain
             above 0.5 dB and close copies below 5 %, and a later one beyond t_C.
    *Time alone* (epochs decide) is contradicted if t_C / N differs by more than a factor of 2 between N = 30
             and 1 000, or if the best gain before t_C at N = 100 is over 0.5 dB below that at N = 1 000.
    A form of the law is contradicted if the geometric mean of the onsets of a configuration, or its lower
             limit where a model has none, lies outside the 95 % interval. Score: sum of log normal densities
             of the mean, and of the log probability of censoring where one is censored.
    Network of the paper: until half the onset of N = 100 the PSNR of held-out images (sigma = 0.1) is within
             0.1 dB of that of N = 100 000; after 100 000 images close copies of N = 100 exceed 5 %, and
             N = 100 000 has a gain above 0.5 dB and close copies below 1 %.

`LEARNED`, `LEARNS` and `CONTRADICTED` were chosen from one training with N = 4 000, W = 16 of seed 50, which
is in no configuration.
"""

import argparse
import dataclasses
import functools
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import permutations
from math import exp, log, sqrt
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from scipy import stats

from galbook.onset.gap import memory_gap
from galbook.onset.law import LAWS, Fit, Place, fit, power, trainings
from galbook.page import published
from galgen.compare.denoising import denoising_curve
from galgen.compare.uncertainty import Estimate
from galgen.experiment import APART, Experiment, load_networks
from galgen.models.families import Training
from galgen.models.unet import UNet
from galgen.profiles import PROFILES, OnsetSettings, Parameters
from galgen.runs import checkpoint
from galgen.runs import training as loop
from galgen.runs.errors import exit_code
from galgen.runs.files import atomic_path, project, read_json, to_json_values, write_json
from galgen.runs.schedules import SCHEDULES
from galgen.runs.store import provenance

SIGMAS = (0.025, 0.05, 0.1, 0.2, 0.4)
MOST = 512  # images of each set, and latents
FIRST = {10: 512, 30: 512}  # images shown at the first milestone of an N, 2 048 of others
CORE = 1800  # seconds, the longest training of the study of pixels
# Images per second of one core (AMD EPYC, AVX512_BF16), by width and pixels
RATE = {8: {16: 1114, 32: 655, 64: 256}, 16: {16: 722, 32: 425, 64: 163}, 32: {16: 221, 32: 130}}
# The law of each form; only "load" takes the size of the images, the others the load of 16 x 16 pixels.
FORMS = {"load": "load", "load without d": "load", "power": "power", "proportional": "proportional"}
LEARNED = {16: (14e3, 25e3, 45e3), 32: (6e3, 9e3, 14e3), 64: (13e3, 30e3, 8e4)}  # t_L by pixels, at W = 16
LEARNS = {10: (0.02,) * 3, 30: (0.02,) * 3, 100: (0.2, 0.6, 0.5), 300: (0.7, 0.9, 0.8), 1000: (0.95,) * 3}
CONTRADICTED = {"number alone, by N": {10: 0.02, 30: 0.02, 100: 0.5, 300: 0.9, 1000: 0.9}, "time alone": 0.95}
OTHER = "ellipticals"  # training images of the out-of-domain model


@dataclasses.dataclass(frozen=True)
class Configuration:
    """Trainings A and B of one network and N; `onsets`: they end at that multiple of their onset."""

    study: str
    width: int
    pixels: int
    N: int
    seed: int
    images: int
    onsets: float = np.inf
    step: float = sqrt(2)
    other: str = ""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.study}-W{self.width}-{self.pixels}px-N{self.N}-seed{self.seed}" + self.other

    @property
    def milestones(self) -> list[int]:
        """Images shown at each milestone, whole batches of 16."""
        first = FIRST.get(self.N, 512 if self.study == "paper" else 2048)
        count = int(log(self.images / first) / log(self.step)) + 1
        return sorted({-(-round(first * self.step**k) // 16) * 16 for k in range(count)} | {self.images})

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(weight.numel() for weight in UNet(self.width).parameters())

    def place(self, fixed: bool) -> Place:
        """Arguments of the laws; with a `fixed` load, that of images of 16 x 16 pixels."""
        return Place(self.width, self.N, self.N * (256 if fixed else self.pixels**2) / self.parameters)

    @functools.cached_property
    def reference(self) -> int:
        """t_0 of the gap: a milestone after 60 epochs, or after a quarter of the earliest onset predicted."""
        earliest = min(form["onset"]["value"] for form in predicted(self).values()) / 4
        late = min(max(2048, 60 * self.N), earliest)
        return next((t for t in self.milestones[:-1] if t >= late), self.milestones[0])

    @functools.cached_property
    def experiment(self) -> Experiment:
        """Images and networks."""
        settings = OnsetSettings(base_channels=self.width, image_size=self.pixels, N=(self.N,))
        count = max(10_000, 2 * self.N + 2 * MOST)
        profile = {"name": self.name, "image_size": 64, "simulated": count, "validation": MOST}
        PROFILES[self.name] = PROFILES["laptop"].model_copy(update=profile | {"onset8": settings})
        of = Experiment(Parameters(profile=self.name, seed=self.seed), family="onset8")
        of.precision = "bf16" if self.width >= 16 else "fp32"
        return of

    @property
    def models(self) -> tuple[Training, ...]:
        """A and B, or the one out-of-domain model."""
        pair = self.experiment.models.pair(self.N)
        other = dataclasses.replace(pair[0], out_of_domain="galaxies", init=100, order=100)
        return (other,) if self.other else pair


def _pixels() -> list[Configuration]:
    """Configurations of the study of pixels, the cheapest first: N = 300 with one seed."""
    sizes = [(N, seed) for N in (30, 100) for seed in (51, 52)] + [(300, 51)]
    rates = sorted(((rate, W, px) for W, row in RATE.items() for px, rate in row.items()), reverse=True)
    return [
        Configuration("pixels", W, px, N, seed, 16 * int(CORE * rate / 16), onsets=2)
        for N, seed in sizes
        for rate, W, px in rates
    ]


CONFIGURATIONS = (
    *_pixels(),
    Configuration("paper", 64, 64, 100, 54, 100_000),
    Configuration("paper", 64, 64, 100_000, 54, 100_000, step=2),
    Configuration("paper", 64, 64, 10, 54, 40_000),
    *(Configuration("plane", 16, 32, N, 53, 100_000) for N in (10, 30, 100, 300)),
    Configuration("plane", 16, 32, 1000, 53, 500_000),
    Configuration("plane", 16, 32, 1000, 53, 500_000, step=2, other=OTHER),
)


@functools.cache
def laws() -> tuple[dict[str, Fit], tuple[float, float, float]]:
    """The laws fitted to published onsets at 16 pixels; and log(t_C / t*) = a + b log load, with its s.d."""
    of = trainings(published("onset"))
    copies = read_json(project() / "results" / "near_copies.json")["trainings"]
    x, y = np.log([[row["load"], row["copies_onset"] / row["onset"]] for row in copies]).T
    line = stats.linregress(x, y)
    s = float(np.std(y - line.intercept - line.slope * x, ddof=2))
    return {name: fit(LAWS[name], of) for name in LAWS}, (line.intercept, line.slope, s)


@functools.cache
def predicted(of: Configuration, models: int = 2) -> dict:
    """Onset and t_C of each form, of the geometric mean of models: value, 95 % interval, error of the log.

    t_C is that of near-copies by the multiple of `laws`, known for loads of 0.05 to 0.85, whose ends stand
    for others; close copies, found with more power, come earlier: by 0.6, uncertain by 1.5 (one s.d.).
    """
    fits, (a, b, s) = laws()
    forms = {}
    for form, name in FORMS.items():
        law, at = fits[name], of.place(form != "load")
        if name == "proportional" and f"A_{of.width}" not in law.values:
            continue  # it has one constant for each width, none for this one
        onset, error = law.predicted(at, models)
        wide = sqrt(error**2 + s**2 + log(1.5) ** 2)
        middle = log(onset.value) + a + b * log(np.clip(at.load, 0.05, 0.85)) + log(0.6)
        ends = (middle - 2 * wide, middle + 2 * wide)
        copies = Estimate(exp(middle), *map(exp, ends), models)
        forms[form] = {"onset": vars(onset), "error": error, "copies": vars(copies), "copies_error": wide}
    return forms


def predictions() -> dict:
    """The predictions of every configuration, with the power of each form against each other one."""
    rows, freedom = [], laws()[0]["load"].freedom
    for of in CONFIGURATIONS:
        row = dataclasses.asdict(of) | {"t_L": [t * (16 / of.width) ** 0.5 for t in LEARNED[of.pixels]]}
        if not of.other and of.N < 100_000:
            ends = {name: (Estimate(**form["onset"]), form["error"]) for name, form in predicted(of).items()}
            chance = {f"{a} not {b}": power(*ends[a], ends[b][0], freedom) for a, b in permutations(ends, 2)}
            learns = LEARNS[of.N][list(LEARNED).index(of.pixels)]
            row |= {"forms": predicted(of), "power": chance, "probability that it learns": learns}
        rows.append(row)
    return {"criteria": __doc__, "configurations": rows, "contradicted with probability": CONTRADICTED}


def gap_onset(of: Configuration, folder: Path, shown: list[int], half: str) -> float | None:
    """Images shown when the denoising gap of a model exceeds 1 dB for good, if it does by now."""
    psnr = np.array([np.load(folder / f"measured-{t}.npz")["psnr"][SIGMAS.index(0.1)] for t in shown])
    held_out, *sets = np.split(psnr, [MOST, (MOST + psnr.shape[1]) // 2], axis=1)
    if of.other or of.reference not in shown[:-1]:
        return None
    return memory_gap(shown, sets["AB".index(half)], held_out, start=of.reference).onset()


def follow(of: Configuration, index: int, root: Path, most: int) -> str:
    """Train one model from milestone to milestone and measure it at each; resumed where it was killed."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(True)
    study, model, ladder = of.experiment, of.models[index], [t for t in of.milestones if t <= most]
    images, sets = study.images.of(model), study.images.split(of.N)
    pool = study.images.dataset.images[np.concatenate([sets.validation, sets.A[:MOST], sets.B[:MOST]])]
    folder, onset = root / of.name / model.half, None
    folder.mkdir(parents=True, exist_ok=True)
    learner, stream, state = study._learner(model, "cpu"), study._stream(model), folder / "checkpoint.pt"
    with FileLock(folder / ".lock", timeout=0):
        for k, shown in enumerate(ladder):
            if not (measured := folder / f"measured-{shown}.npz").exists():
                if state.exists():  # of a training that ended at the milestone before
                    was = checkpoint.load(state)
                    checkpoint.save(state, was | {"settings": was["settings"] | {"total": shown}})
                part = dataclasses.replace(stream, total=shown, schedule=SCHEDULES["constant"])
                loop.train(learner, images, folder, part, label=f"{of.name} {model.half}", progress=False)
                weights = checkpoint.load_weights(folder / f"weights-{shown}.safetensors")
                networks = load_networks(study._networks(0), weights)
                with torch.autocast("cpu", torch.bfloat16, enabled=study.precision == "bf16"):
                    psnr = denoising_curve(study.family.denoiser(networks), pool, SIGMAS).denoised
                    arrays = {"psnr": psnr.astype(np.float32)}
                    if k % 2 == 0 or of.step == 2 or shown == of.images:
                        chunk = 64 if of.width * of.pixels <= 1024 else 16
                        samples = study.family.draw(networks, study.latents(MOST), study.images.start, chunk)
                        arrays["samples"] = samples.numpy().astype(np.float16)
                with atomic_path(measured) as path, path.open("wb") as file:
                    np.savez_compressed(file, **arrays)
            onset = gap_onset(of, folder, ladder[: k + 1], model.half)
            if onset and shown >= of.onsets * onset:
                break
    return f"{of.name} {model.half}: {shown} images, onset {onset and round(onset)}"


def main() -> None:
    """Write the predictions, or train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("predict", "train"))
    parser.add_argument("--only", choices=("pixels", "plane", "paper"))
    parser.add_argument("--trial", action="store_true", help="2 048 images of each, as a test")
    parser.add_argument("--out", type=Path, default=project() / "store" / "map")
    given = parser.parse_args()
    path = project() / "results" / "predictions" / "map.json"
    if given.what == "predict":
        if not path.exists():
            write_json(path, to_json_values(provenance() | predictions()))
        return
    os.environ.update(APART)
    finished = project() / "results" / "map" / "onsets.csv"  # delete it to train these again
    lines = finished.read_text().splitlines() if finished.is_file() and not given.trial else ()
    done = {tuple(line.split(",")[:2]) for line in lines}
    work = [
        (of, k)
        for of in CONFIGURATIONS
        for k in range(2 - bool(of.other))
        if given.only in (None, of.study) and (of.name, "AB"[k]) not in done
    ]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        most = 2048 if given.trial else 10**9
        for future in [pool.submit(follow, of, k, given.out, most) for of, k in work]:
            try:
                print(future.result(), flush=True)
            except Timeout:
                print("another process trains this model", flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
