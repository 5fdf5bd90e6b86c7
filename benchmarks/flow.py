"""A training step of our Glow, compared with that of the Glow in the package `normflows`.

    pip install normflows
    python benchmarks/flow.py [--threads 1] [--steps 15]

Both have the same K, L, width, batch, images and precision (float32), maximise the likelihood of images that
are dequantised in each step, and use the same fused Adam. The two alternate step by step, so that other load
slows both; the times are processor times. Theirs has no learnt priors conditioned on the channels that go on
to the next level, no gains in the coupling networks and no gradient clipping: ours does a little more.
`normflows` (MIT licence) is not a dependency of this project.

Measured on one core of a server (AMD EPYC with AVX-512, torch 2.13, normflows 1.7.3): theirs takes 1.05
times as long at the laptop's K = 4, width 64 and 16 images, 1.15 times with 64 images, and 1.90 times at
K = 8, width 128 and 32 images. At the laptop's size three quarters of our step are the convolutions of the
couplings, which both have; with these in bf16 our step is 1.5 times as fast on such a processor.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from galgen.config import GlowSettings
from galgen.models.glow import Glow
from galgen.models.glow_learner import GlowLearner

try:
    import normflows
except ImportError:
    sys.exit("this benchmark compares with a package that is missing: pip install normflows")

BITS = 5


def ours(
    size: int, steps: int, levels: int, width: int, images: Tensor
) -> tuple[nn.Module, Callable[[], None]]:
    """Our flow, and a function that trains it for one step on the images."""
    noise = torch.Generator().manual_seed(0)
    flow = Glow(size=size, steps=steps, levels=levels, width=width, bits=BITS)
    flow.initialize(images, noise)
    learner = GlowLearner(flow, GlowSettings(learning_rate=1e-4))
    return flow, lambda: learner.step(images, noise, 1.0)


def theirs(
    size: int, steps: int, levels: int, width: int, images: Tensor
) -> tuple[nn.Module, Callable[[], None]]:
    """The same of normflows, put together as its documentation does."""
    priors, flows, merges = [], [], []
    for level in range(levels):  # theirs count from the coarsest
        channels = 2 ** (levels + 1 - level)
        blocks = [normflows.flows.GlowBlock(channels, width) for _ in range(steps)]
        flows.append([*blocks, normflows.flows.Squeeze()])
        side = size // 2 ** (levels - level)
        split = level > 0
        priors.append(normflows.distributions.GlowBase((channels // 2 if split else channels, side, side)))
        merges += [normflows.flows.Merge()] * split
    flow = normflows.MultiscaleFlow(priors, flows, merges, class_cond=False)
    adam = torch.optim.Adam(flow.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        integers = (images * 255).div(2 ** (8 - BITS), rounding_mode="floor")
        x = (integers + torch.rand_like(images)) / 2**BITS - 0.5
        loss = flow.forward_kld(x) / size**2
        adam.zero_grad()
        loss.backward()
        adam.step()

    return flow, step


def seconds(step: Callable[[], None]) -> float:
    """Processor time of one step."""
    began = time.process_time()
    step()
    return time.process_time() - began


def main() -> None:
    """Both at the laptop's size and at a wider one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=15, help="measured steps of each")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(
        f"torch {torch.__version__}, {args.threads} thread(s), float32, {args.steps} steps each, alternating"
    )
    for size, steps, levels, width, batch in ((32, 4, 3, 64, 16), (32, 4, 3, 64, 64), (32, 8, 3, 128, 32)):
        images = torch.randint(0, 256, (batch, 1, size, size)) / 255
        (flow, our_step), (other, their_step) = (
            make(size, steps, levels, width, images) for make in (ours, theirs)
        )
        for step in (our_step, their_step) * 2:
            step()  # theirs initialises its actnorm in the first; caches fill
        times = [(seconds(our_step), seconds(their_step)) for _ in range(args.steps)]
        (mine, least), (its, its_least) = ((statistics.median(t), min(t)) for t in zip(*times, strict=True))
        ratios = statistics.quantiles([b / a for a, b in times], n=4)
        numbers = [sum(p.numel() for p in net.parameters()) for net in (flow, other)]
        print(f"\nK={steps}, L={levels}, width {width}, {batch} images of {size} x {size}")
        print(
            f"  ours       {1e3 * mine:7.1f} ms median, {1e3 * least:7.1f} least, {numbers[0]:,} parameters"
        )
        print(
            f"  normflows  {1e3 * its:7.1f} ms median, {1e3 * its_least:7.1f} least, "
            f"{numbers[1]:,} parameters"
        )
        print(
            f"  ratio {its / mine:.2f} of the medians; of pairs of steps {ratios[0]:.2f} .. {ratios[2]:.2f}"
        )


if __name__ == "__main__":
    main()
