"""What a network of ten galaxies makes of a noisy one that it has not seen, beside a network of 4 000.

    python -m benchmarks.made_up

The published blind denoisers of the smallest and the largest N, on the first hundred held-out galaxies with
noise of .2: median anomaly cosine of what they give with the galaxy, and with the nearest of the ten that the
small one was trained on. The first six are drawn into `book/_static/made_up.png`. The galaxies are those of
the run store. A minute of a core.
"""

import sys
from pathlib import Path

import numpy as np
import torch

import galgen
from galgen.compare.similarity import cosine, nearest
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.models.sampling import noise, seeded
from galgen.profiles import Parameters
from galgen.published import AsItIs
from galgen.runs.errors import exit_code
from galgen.using.samples import sheet

SIGMA, COUNT, SHOWN = 0.2, 100, 6


def main() -> int:
    """Measure and draw it."""
    torch.set_num_threads(1)
    experiment = Experiment(Parameters(), AsItIs())
    sizes, images = (experiment.sizes[-1], experiment.sizes[0]), experiment.images
    ten = np.array(images.of(experiment.models.pair(sizes[1])[0]))
    known, mean = unit(images.held_out[:COUNT]), images.mean
    y = (known + SIGMA * noise(seeded(range(COUNT)), known.shape[1:]))[:, 0].numpy()
    rows, labels = [known[:SHOWN, 0].numpy(), y[:SHOWN]], ["unseen galaxy", f"with noise of {SIGMA:g}"]
    for N in sizes:
        found = torch.from_numpy(galgen.denoise(y, f"diffusion-N{N}-A").mean)[:, None]
        near = nearest(found, ten, kind="anomaly", mean=mean)
        truth = np.median(cosine(found, known, kind="anomaly", mean=mean))
        print(
            f"N = {N}: {truth:.2f} with the galaxy, {np.median(near.cosine):.2f} with the nearest of the ten"
        )
        rows, labels = [*rows, found[:SHOWN, 0].numpy()], [*labels, f"by the network of {N}"]
    rows, labels = [*rows, near.first(ten)[:SHOWN, 0] / 255], [*labels, "nearest of its ten"]
    note = f"galaxies {', '.join(map(str, range(SHOWN)))} of validation, profile laptop, simulated"
    out = Path("book/_static/made_up.png")
    sheet(np.concatenate(rows), out, note, columns=SHOWN, rows=labels, inches=0.8)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
