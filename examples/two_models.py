"""Two denoisers that share no galaxy, given the same noise: do they draw the same galaxies?

    python examples/two_models.py            # two minutes of one core, and a picture, two_models.png

Four small denoisers are trained: A and B on disjoint sets of simulated galaxies, A2 on those of A again, C on
dead leaves. All of them draw from the same latents. The cosine of A and B stands beside

    its null        A's image of one latent and B's of another
    its floor       A and C: what networks of one kind share, whatever they have seen
    its ceiling     A and A2: what two trainings on the same images share

Nothing is stored and nothing looked up: this is the whole way, which `galgen.experiment` walks for the book.
"""

import argparse
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import torch

from galgen.compare.similarity import cosine, shuffled_cosine
from galgen.compare.uncertainty import bootstrap
from galgen.data.simulate.images import simulate
from galgen.data.simulate.leaves import dead_leaves
from galgen.data.unit import mean_image
from galgen.models.diffusion import DenoiserLearner
from galgen.models.sampling import blind, dpm_solver_2m, ladder
from galgen.models.unet import UNet
from galgen.runs.schedules import cosine as schedule
from galgen.runs.stream import Stream
from galgen.runs.training import train
from galgen.settings import DiffusionSettings


def trained(images: np.ndarray, seed: int, shown: int) -> UNet:
    """A denoiser of images (N, 1, H, W), uint8; the seed names its start, the order and the noise."""
    settings = DiffusionSettings(N=(len(images),), kernels=8, images_cap=shown, passes_per_image=None)
    torch.manual_seed(seed)
    net, batch = UNet(settings.kernels), settings.batch_size
    learner = DenoiserLearner({"net": net}, images, None, settings)
    stream = Stream(len(images), settings.images_shown(len(images)), batch, seed, seed, schedule)
    with tempfile.TemporaryDirectory() as folder:
        train(learner, images, folder, stream, label=f"training {seed}")
    return net.eval()


def main() -> None:
    """Simulate, train, draw, compare, and paint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--N", type=int, default=1000, help="training images of each model")
    parser.add_argument("--shown", type=int, default=16_000, help="images shown to each")
    parser.add_argument("--samples", type=int, default=64, help="latents")
    parser.add_argument("--out", default="two_models.png", help="the picture")
    given = parser.parse_args()
    torch.set_num_threads(1)

    # galaxies: the first N for A, the next N for B, the last for nobody
    galaxies, _ = simulate(2 * given.N + 64, size=16, crop=64, progress=True)
    leaves, _ = dead_leaves(given.N, size=16, crop=64)
    A, B, unseen = np.split(galaxies, [given.N, 2 * given.N])
    sets = {"A": A, "B": B, "A2, images of A": A, "C, dead leaves": leaves}
    nets = {name: trained(images, seed, given.shown) for seed, (name, images) in enumerate(sets.items())}

    # the same latents for all: noise about the mean of galaxies that none has seen
    start, seeds = torch.from_numpy(mean_image(unseen)), range(given.samples)
    levels = ladder(sigma_max=1.0, sigma_min=0.006, steps=20)
    drawn = {name: dpm_solver_2m(blind(net), start, seeds, levels).images for name, net in nets.items()}

    a, b, same, other = drawn.values()
    anomaly = {"kind": "anomaly", "mean": mean_image(galaxies)}  # without what all galaxies have in common
    found = {
        "A and B": cosine(a, b, **anomaly),
        "null: two latents": shuffled_cosine(a, b, **anomaly),
        "floor: A and C": cosine(a, other, **anomaly),
        "ceiling: A and A2": cosine(a, same, **anomaly),
    }
    for name, values in found.items():
        print(f"{name:20} median anomaly cosine {bootstrap(values)}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", width_ratios=(1.6, 1))
    left.imshow(np.vstack([np.hstack(list(part[:10, 0])) for part in drawn.values()]), "gray", vmin=0, vmax=1)
    left.set_yticks(16 * np.arange(4) + 8, list(drawn))
    left.set(xticks=[], title="one column, one latent")
    for y, values in enumerate(found.values()):
        right.plot(np.quantile(values, (0.025, 0.975)), [y, y], lw=5, alpha=0.4, solid_capstyle="butt")
        right.plot(np.median(values), y, "ko")
    right.set_yticks(range(4), list(found))
    right.invert_yaxis()
    right.set(xlabel="anomaly cosine (bar: 95 %)", title=f"simulated, N = {given.N}")
    figure.savefig(given.out, dpi=110)


if __name__ == "__main__":
    main()
