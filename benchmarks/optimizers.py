"""How soon Muon brings the blind denoiser to the validation loss that Adam ends at, on one core.

    python benchmarks/optimizers.py [--data simulated] [--images 72000] [--budgets 20000 24000 28000 36000]

Adam trains as the laptop profile did before Muon: batches of 8, rate 4e-3. Each budget is a Muon training
of its own, with batches of 16 and a cosine that ends there. All go on in turn, a hundredth of each at a time,
so that other load and the clock of the processor touch all alike; the time is processor time and leaves
validation out. The loss is that of training, the square of (f(y) - sigma z) / (sigma + 0.02), over 1000
held-out images, each at its own noise level, with running statistics.

Seen on one core of an AMD EPYC beside other work, 2026-11-26, simulated galaxies: Adam .0194 after 72 000
images and 307 s; Muon .0200 with a budget of 28 000 (115 s) and .0190 with 36 000 (148 s), 2.1 times as soon.
"""

import argparse
import time

import numpy as np
import torch

from galgen.config import DenoiserSettings, Parameters
from galgen.experiment import Experiment
from galgen.models.unet import DenoiserLearner, UNet
from galgen.runs.schedules import cosine


class Racer:
    """One training: a denoiser, its settings, and how many of its images it has seen in how many seconds."""

    def __init__(self, settings: DenoiserSettings, budget: int, images: np.ndarray):
        torch.manual_seed(0)
        self.learner = DenoiserLearner(UNet(settings.kernels, settings.blocks), settings)
        self.images, self.batch, self.budget = images, settings.batch_size, budget
        self.rows = np.random.default_rng(0)
        self.shown, self.seconds = 0, 0.0

    def run_to(self, share: float) -> None:
        """Train until that share of the images was shown."""
        began = time.process_time()
        while self.shown < share * self.budget:
            rows = self.rows.integers(len(self.images), size=self.batch)
            batch = torch.from_numpy(self.images[rows]).float() / 255
            self.learner.step(
                batch, torch.Generator().manual_seed(self.shown), cosine(self.shown, self.budget)
            )
            self.shown += self.batch
        self.seconds += time.process_time() - began

    @torch.inference_mode()
    def loss(self, images: np.ndarray) -> float:
        """On images that it has not seen."""
        x = torch.from_numpy(images).float() / 255
        sigma = ((torch.arange(len(x)) + 0.5) / len(x)).square()[:, None, None, None]
        z = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        net, parts = self.learner.net.eval(), range(0, len(x), 100)
        residual = torch.cat([net((x + sigma * z)[k : k + 100]) for k in parts]) - sigma * z
        return (residual / (sigma + 0.02)).square().mean().item()


def main() -> None:
    """Race, and print the ratio of the times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--images", type=int, default=72_000)
    parser.add_argument("--budgets", type=int, nargs="+", default=[20_000, 24_000, 28_000, 36_000])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    experiment = Experiment(Parameters(data=asked.data))
    sets, settings = experiment.split(), experiment.settings
    images, held_out = experiment.dataset.images[sets.A], experiment.dataset.images[sets.validation][:1000]
    adam = settings.model_copy(update={"optimizer": "adam", "batch_size": 8})
    racers = {"Adam": Racer(adam, asked.images, images)}
    racers |= {f"Muon, {budget}": Racer(settings, budget, images) for budget in asked.budgets}
    for share in np.linspace(0.01, 1, 100):
        for racer in racers.values():
            racer.run_to(share)
    losses = {name: racer.loss(held_out) for name, racer in racers.items()}
    print(f"{experiment.note(len(images))}, {settings.kernels} kernels; seconds of one core")
    for name, r in racers.items():
        rate = f"{r.shown / r.seconds:4.0f} images/s"
        print(f"{name:12}  {r.shown:6} images  {r.seconds:6.1f} s  {rate}  {losses[name]:.5f}")
    if reached := [r for name, r in racers.items() if name != "Adam" and losses[name] <= losses["Adam"]]:
        best = min(reached, key=lambda racer: racer.budget)
        ratio = racers["Adam"].seconds / best.seconds
        print(f"Muon is there {ratio:.2f} times as soon, with {best.shown} images")
    else:
        print("no budget of Muon's was enough")


if __name__ == "__main__":
    main()
