"""Do two denoisers trained on disjoint sets of galaxies generate the same galaxies from the same latents?

    python examples/two_models.py            # two minutes on one core; writes a figure, two_models.png
    python examples/two_models.py --N 10     # models trained on ten galaxies each

Four small denoisers are trained: A and B on disjoint sets of simulated galaxies, A2 again on those of A, C on
dead leaves. All generate samples from the same latents. The cosine of A and B is compared with

    its null        A's sample of one latent and B's of another
    its floor       A and C: the agreement of equal networks trained on different kinds of images
    its ceiling     A and A2: the agreement of two trainings on the same images

With N = 1000, A and B reach the ceiling: the choice of training galaxies has no effect; with 10 it has.
Nothing is stored or cached: this is the complete method, which `galgen.experiment` runs for the book.
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
from galgen.models.sampling import dpm_solver_2m, from_residual, noise_schedule
from galgen.models.unet import UNet
from galgen.profiles import DiffusionSettings
from galgen.runs.batches import BatchSampler
from galgen.runs.schedules import cosine as schedule
from galgen.runs.training import train


def trained(name: str, images: np.ndarray, seed: int, shown: int) -> UNet:
    """Train a denoiser on images (N, 1, H, W), uint8; the seed sets initialization, order and noise."""
    settings = DiffusionSettings(N=(len(images),), base_channels=8, images_cap=shown, epochs=None)
    torch.manual_seed(seed)
    net, batch = UNet(settings.base_channels), settings.batch_size
    learner = DenoiserLearner({"net": net}, images, None, settings)
    stream = BatchSampler(len(images), settings.images_shown(len(images)), batch, seed, seed, schedule)
    with tempfile.TemporaryDirectory() as folder:
        train(learner, images, folder, stream, label=name)
    return net.eval()


def main() -> None:
    """Simulate galaxies, train the models, sample, compare, and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--N", type=int, default=1000, help="training images of each model")
    parser.add_argument("--shown", type=int, default=16_000, help="images shown to each model")
    parser.add_argument("--samples", type=int, default=64, help="number of latents")
    parser.add_argument("--out", default="two_models.png", help="file name of the figure")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if min(given.N, given.samples) < 2:
        parser.error("--N and --samples: give 2 or more")
    # galaxies: the first N for A, the next N for B, the last 64 held out
    galaxies, _ = simulate(2 * given.N + 64, size=16, crop=64, progress=True)
    leaves, _ = dead_leaves(given.N, size=16, crop=64)
    A, B, held_out = np.split(galaxies, [given.N, 2 * given.N])
    sets = {"A": A, "B": B, "A2, images of A": A, "C, dead leaves": leaves}
    nets = {name: trained(name, sets[name], seed, given.shown) for seed, name in enumerate(sets)}

    # the same latents for all models: noise about the mean of held-out galaxies
    start, seeds = torch.from_numpy(mean_image(held_out)), range(given.samples)
    levels = noise_schedule(sigma_max=1.0, sigma_min=0.006, steps=20)
    samples = {k: dpm_solver_2m(from_residual(net), start, seeds, levels).images for k, net in nets.items()}

    a, b, same, other = samples.values()
    anomaly = {"kind": "anomaly", "mean": mean_image(galaxies)}  # mean galaxy subtracted
    cosines = {
        "A and B": cosine(a, b, **anomaly),
        "null: two latents": shuffled_cosine(a, b, **anomaly),
        "floor: A and C": cosine(a, other, **anomaly),
        "ceiling: A and A2": cosine(a, same, **anomaly),
    }
    medians = [bootstrap(values) for values in cosines.values()]
    for name, median in zip(cosines, medians, strict=True):
        print(f"{name:20} median anomaly cosine {median}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 2.9), layout="constrained", width_ratios=(1.7, 1))
    framed = [np.pad(part[:10, 0], ((0, 0), (1, 1), (1, 1)), constant_values=1) for part in samples.values()]
    left.imshow(np.vstack([*map(np.hstack, framed)]), "gray", vmin=0, vmax=1, interpolation="nearest")
    left.set_yticks(18 * np.arange(4) + 8.5, list(samples))
    left.set(xticks=[], title=f"simulated, N = {given.N}: one column, one latent")
    for y, (values, median) in enumerate(zip(cosines.values(), medians, strict=True)):
        right.plot(np.quantile(values, (0.025, 0.975)), [y, y], lw=8, color="0.85", solid_capstyle="butt")
        right.plot([median.low, median.high], [y, y], lw=8, color="C0", solid_capstyle="butt")
        right.plot(median.value, y, "k|", ms=12)
    right.set(yticks=range(4), yticklabels=list(cosines), xlim=(None, 1), ylim=(3.5, -0.5))
    right.set_xlabel("anomaly cosine (gray: 95 % of latents;\nblue: interval of the median)")
    figure.savefig(given.out, dpi=110)


if __name__ == "__main__":
    main()
