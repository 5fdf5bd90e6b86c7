"""Seconds for 256 samples: batched samplers compared with a stochastic loop that makes one image at a time.

    python benchmarks/sampling.py [--samples 256] [--kernels 16] [--size 32] [--threads 1] [--chunk 16]

Only time is measured, so the network is untrained and its output multiplied by 0: f(y) = y + 0 net(y) is the
denoiser of an empty sky at the cost of the network, and the ascent stops by itself after about as many calls
as with a trained one (83; trained 66 to 109). The loop is run for a few samples, checked to draw the same
images as the batched ascent, and its time is scaled up. With one thread the time is processor time, the
minimum of a few rounds, so that other load hardly matters.
"""

import argparse
import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor

from galgen.models.sampling import Samples, noise, probability_flow_ode, seeded, stochastic_ascent
from galgen.models.unet import UNet


@torch.inference_mode()
def one_at_a_time(f: Callable[[Tensor], Tensor], start: Tensor, seed: int) -> Tensor:
    """The paper's sampler in its plainest form, for one image, (C, H, W)."""
    h0, beta, sigma_end, t = 0.01, 0.1, 0.1, 1
    generator = seeded([seed])
    y = start + noise(generator, start.shape)
    while True:
        residual = f(y)
        sigma = residual.square().mean().sqrt().item()
        if sigma <= sigma_end:
            return (y - residual)[0]
        h = h0 * t / (1 + h0 * (t - 1))
        gamma = ((1 - beta * h) ** 2 - (1 - h) ** 2) ** 0.5 * sigma
        y = y - h * residual + gamma * noise(generator, start.shape)
        t += 1


def main() -> None:
    """Time the loop and the three batched samplers in turn, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--kernels", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--chunk", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--alone", type=int, default=4, help="samples that the loop really makes, in a round")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    net = UNet(args.kernels).eval()
    ours = copy.deepcopy(net).to(memory_format=torch.channels_last)
    start, seeds = torch.full((1, args.size, args.size), 0.05), range(args.samples)

    def plain(y: Tensor) -> Tensor:
        return y + 0 * net(y)

    def channels_last(y: Tensor) -> Tensor:
        return y + 0 * ours(y.to(memory_format=torch.channels_last))

    def batched(sampler: Callable[..., Samples], **options: int) -> Callable[[], Samples]:
        return lambda: sampler(channels_last, start, seeds, chunk=args.chunk, **options)

    ways = {
        "one at a time, stochastic": lambda: [one_at_a_time(plain, start, s) for s in seeds[: args.alone]],
        "batched, stochastic ascent": batched(stochastic_ascent),
        "batched, ODE in 20 calls": batched(probability_flow_ode, steps=20),
        "batched, ODE in 10 calls": batched(probability_flow_ode, steps=10),
    }
    clock = time.process_time if args.threads == 1 else time.perf_counter
    seconds, made = dict.fromkeys(ways, float("inf")), {}
    for _ in range(args.rounds):
        for name, way in ways.items():
            began = clock()
            made[name] = way()
            seconds[name] = min(seconds[name], clock() - began)
    alone, ascent, *_ = made.values()
    torch.testing.assert_close(ascent.images[: args.alone], torch.stack(alone), atol=1e-5, rtol=0)
    calls = ascent.calls.double().mean()
    print(
        f"{args.samples} samples of {args.size}x{args.size}, {args.kernels} kernels, {args.threads} threads, "
        f"{'processor' if clock is time.process_time else 'wall'} time; {calls:.0f} calls in an ascent"
    )
    seconds["one at a time, stochastic"] *= args.samples / args.alone
    for name, value in seconds.items():
        print(f"{name:30s}{value:8.1f} s{seconds['one at a time, stochastic'] / value:8.1f} x")


if __name__ == "__main__":
    main()
