"""A training step of the blind denoiser, compared with a plain implementation of the same step.

    python benchmarks/denoiser.py [--threads 1] [--seconds 20]

The plain ("ordinary") step is eager fp32: contiguous images, batch norm by the standard deviation and ReLU as
separate operations, Adam without fusion, noise levels drawn one by one. Ours is `DenoiserLearner.step`. On a
CPU the time is processor time, the minimum of several interleaved rounds, so that other load hardly matters.
FLOPs are those of the convolutions, forward and backward; the peak rate is that of a matrix product in the
same rounds. On a GPU the paper's preset runs too, in bfloat16, eager and compiled, with the hours that its
2.5e7 images would take.
"""

import argparse
import resource
import time
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from galgen.config import DenoiserSettings
from galgen.models.unet import BiasFreeNormReLU, DenoiserLearner, UNet

PAPER_IMAGES = 25_000_000  # 100 epochs of 250 000


class OrdinaryNorm(nn.Module):
    """Bias-free batch norm as published: divide by the standard deviation; (B, C, H, W) to the same."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """In training mode only."""
        variance = x.var((0, 2, 3), unbiased=False)
        self.variance = 0.9 * self.variance + 0.1 * variance.detach()
        return x / (variance + 1e-5).sqrt()[:, None, None] * self.gain[:, None, None]


def ordinary_step(kernels: int, device: str) -> Callable[[Tensor], None]:
    """A function that makes one ordinary training step on a batch."""
    net = UNet(kernels).to(device)
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BiasFreeNormReLU):
                setattr(parent, name, nn.Sequential(OrdinaryNorm(len(child.gain)), nn.ReLU()).to(device))
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step(images: Tensor) -> None:
        sigma = torch.rand(len(images), 1, 1, 1, device=device) ** 2
        noise = sigma * torch.randn_like(images)
        loss = nn.functional.mse_loss(net(images + noise), noise)
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def our_step(kernels: int, device: str, precision: str, compiled: bool = False) -> Callable[[Tensor], None]:
    """The same with our learner."""
    learner = DenoiserLearner(
        UNet(kernels), DenoiserSettings(optimizer="adam"), device=device, precision=precision
    )
    if compiled:
        learner.net.compile()
    noise = torch.Generator(device).manual_seed(0)

    def step(images: Tensor) -> None:
        learner.step(images, noise, 1.0)

    return step


def product(side: int, device: str, dtype: torch.dtype) -> Callable[[Tensor], None]:
    """A matrix product of 2 side^3 FLOPs."""
    a = torch.rand(side, side, device=device).to(dtype)

    def step(_: Tensor) -> None:
        a @ a

    return step


def race(steps: dict[str, Callable], images: Tensor, seconds: float) -> dict[str, float]:
    """Seconds for each step: the minimum over interleaved rounds that together last about `seconds`."""
    cuda = images.is_cuda
    clock = time.perf_counter if cuda else time.process_time

    def spent(step: Callable, repeats: int) -> float:
        if cuda:
            torch.cuda.synchronize()
        began = clock()
        for _ in range(repeats):
            step(images)
        if cuda:
            torch.cuda.synchronize()
        return (clock() - began) / repeats

    for step in steps.values():
        spent(step, 3 if cuda else 1)  # compiles, fills caches
    once = {name: spent(step, 1) for name, step in steps.items()}
    rounds = 5
    repeats = {n: max(1, round(seconds / len(steps) / rounds / t)) for n, t in once.items()}
    times = [{n: spent(s, repeats[n]) for n, s in steps.items()} for _ in range(rounds)]
    return {name: min(t[name] for t in times) for name in steps}


def flops(step: Callable, images: Tensor) -> int:
    """Multiplications and additions of one step."""
    with FlopCounterMode(display=False) as counter:
        step(images)
    return counter.get_total_flops()


def shares(step: Callable, images: Tensor) -> str:
    """The parts of a step, by a profiler, which itself lengthens the small operations."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        for _ in range(5):
            step(images)
    kinds = {
        "onvolution": "convolutions",
        "dam": "Adam",
        "_NormReLU": "norm",
        "cat": "cat",
        "pool": "pooling",
    }
    parts = Counter()
    for event in record.key_averages():
        kind = next((kinds[k] for k in kinds if k in event.key), "elementwise, reductions, copies")
        parts[kind] += event.self_cpu_time_total
    return ", ".join(f"{kind} {100 * t / parts.total():.0f} %" for kind, t in parts.most_common())


def compare(title: str, kernels: int, images: Tensor, steps: dict[str, Callable], seconds: float) -> None:
    """Print images per second, FLOP/s and shares of the peak rate for the steps, the ordinary one first."""
    device = images.device.type
    side = 8192 if device == "cuda" else 1024
    peaks = {n: product(side, device, d) for n, d in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    work = flops(our_step(kernels, device, "fp32"), images)
    times = race(steps | peaks, images, seconds)
    peak = {name: 2 * side**3 / times[name] / 1e9 for name in peaks}
    print(f"\n{title}: {tuple(images.shape)}, {work / len(images) / 1e9:.3f} GFLOP an image")
    print(f"  matrix product: {peak['fp32']:.0f} GFLOP/s fp32, {peak['bf16']:.0f} bf16")
    ordinary = times[next(iter(steps))]
    for name in steps:
        t = times[name]
        rate, speed = len(images) / t, work / t / 1e9
        print(
            f"  {name:22s} {rate:9.1f} images/s  {1e3 * t:8.1f} ms a step  {speed:8.0f} GFLOP/s  "
            f"{100 * speed / peak['fp32']:4.0f} % of fp32, {100 * speed / peak['bf16']:3.0f} % of bf16 peak  "
            f"x {ordinary / t:.2f}  {PAPER_IMAGES / rate / 3600:8.1f} h for 2.5e7 images"
        )


def main() -> None:
    """The laptop's network, the paper's, and the paper's preset on a GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="of measurement for each network")
    parser.add_argument("--batch", type=int, default=512, help="of the paper's preset on a GPU")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {args.threads} thread(s)")
    for title, kernels, size in (("laptop network", 16, 32), ("paper's network", 64, 64)):
        images = torch.rand(8, 1, size, size)
        steps = {
            "ordinary fp32": ordinary_step(kernels, "cpu"),
            "ours fp32": our_step(kernels, "cpu", "fp32"),
            "ours bf16": our_step(kernels, "cpu", "bf16"),
        }
        compare(title, kernels, images, steps, args.seconds)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        steps["ours fp32"](images)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        print(f"  a step of ours: {shares(steps['ours fp32'], images)}; {faults} page faults")
    if torch.cuda.is_available():
        images = torch.rand(args.batch, 1, 64, 64, device="cuda")
        steps = {
            "ordinary fp32": ordinary_step(64, "cuda"),
            "ours fp32": our_step(64, "cuda", "fp32"),
            "ours bf16": our_step(64, "cuda", "bf16"),
            "ours bf16, compiled": our_step(64, "cuda", "bf16", compiled=True),
        }
        compare(torch.cuda.get_device_name(), 64, images, steps, args.seconds)
    else:
        print("\nno GPU: the paper's preset was not run")


if __name__ == "__main__":
    main()
