"""Does a diffusion model that predicts epsilon recognize its training images?

    python examples/your_diffusion_model.py     # one minute of training; writes your_diffusion_model.png

The network is called as those of most libraries are: images on [-1, 1] and integer timesteps, from which
`galgen.from_epsilon` makes a denoiser of images on [0, 1] with noise sigma. Networks A and B are trained on
ten simulated galaxies each, and two questions are asked:

    membership     does A denoise its training images better than B does, compared with held-out images?
    denoising gap  how much better does A become on its training images than on held-out ones, from an early
                   checkpoint on?

To audit a network of your own, replace `Epsilon` and `trained`: with diffusers, `net` is
`lambda x, t: unet(x, t).sample` of a `UNet2DModel`, and `ABAR` is `scheduler.alphas_cumprod`.
"""

import argparse
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn

import galgen
from galgen.compare.membership import membership
from galgen.data.simulate.images import simulate
from galgen.data.unit import unit
from galgen.models.sampling import Denoiser
from galgen.models.unet import UNet

BATCH = 16
ABAR = (1 - torch.linspace(1e-4, 0.02, 1000)).cumprod(0)  # the schedule of DDPM


class Epsilon(nn.Module):
    """A network that predicts epsilon (B, 1, H, W) from images x_t and timesteps t, (B,)."""

    def __init__(self):
        super().__init__()
        self.body = UNet(16, 2, extra=1, conditions=2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Predict epsilon."""
        u = t[:, None] / 500 - 1
        return self.body(torch.cat([x, torch.ones_like(x)], 1), torch.cat([u, u**2], 1))


def trained(images: np.ndarray, steps: int, seed: int) -> dict[int, Denoiser]:
    """Train a network on images (N, 1, H, W), uint8; return its denoisers after 32, 64, ... and all steps."""
    torch.manual_seed(seed)
    net, x_0, kept = Epsilon(), 2 * unit(images) - 1, {}
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        x, t = x_0[torch.randint(len(x_0), (BATCH,))], torch.randint(len(ABAR), (BATCH,))
        epsilon, abar = torch.randn_like(x), ABAR[t][:, None, None, None]
        loss = (net(abar.sqrt() * x + (1 - abar).sqrt() * epsilon, t) - epsilon).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step == steps or (step >= 32 and step & (step - 1) == 0):
            kept[step] = galgen.from_epsilon(copy.deepcopy(net).eval(), ABAR)
            print(f"step {step}: loss {loss:.3f}")
    return kept


def main() -> None:
    """Simulate galaxies, train A and B, audit A, and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--N", type=int, default=10, help="training images of each network")
    parser.add_argument("--steps", type=int, default=1500, help="training steps")
    parser.add_argument("--out", default="your_diffusion_model.png", help="file name of the figure")
    given = parser.parse_args()
    torch.set_num_threads(1)
    galaxies, _ = simulate(2 * given.N + 300, size=16, crop=64, progress=True)
    A, B, held_out = np.split(galaxies, [given.N, 2 * given.N])
    D, other = (trained(images, given.steps, seed) for seed, images in enumerate((A, B)))
    auc = membership(D[given.steps], other[given.steps], A, held_out).auc
    early = next((step for step in D if step * BATCH >= 60 * given.N), given.steps)  # 60 epochs
    along = [step for step in D if step >= early]
    gaps = [galgen.denoising_gap(D[step], A, held_out, baseline=D[early]) for step in along]
    print(f"membership: AUC {auc} (0.5: training images are not recognized)\n{gaps[-1]}")

    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    value, low, high = np.array([(gap.value, gap.low, gap.high) for gap in gaps]).T
    axes.errorbar(along, value, [value - low, high - value], fmt="o-", capsize=3)
    axes.set(xscale="log", xlabel="steps", ylabel="denoising gap (dB)", title=f"membership AUC {auc}")
    figure.savefig(given.out, dpi=110)


if __name__ == "__main__":
    main()
