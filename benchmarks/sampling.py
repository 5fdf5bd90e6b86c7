"""Seconds for 256 samples: batched samplers against a stochastic loop that makes one image at a time.

    python benchmarks/sampling.py [--samples 256] [--kernels 16] [--size 32] [--threads 1] [--chunk 16]

Only time is measured, so the network is untrained and its answer multiplied by 0: f(y) = y + 0 net(y) is the
denoiser of an empty sky at the price of the network, and the ascent ends by itself after about as many calls
as with a trained one (83; trained 66 to 109). The loop is run for a few samples, checked to draw the same
images as the batched ascent, and scaled up.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from galgen.models.unet import UNet
from galgen.sampling import deterministic_ladder, noise, seeded, stochastic_ascent


@torch.inference_mode()
def one_at_a_time(f: Callable[[Tensor], Tensor], start: Tensor, seed: int) -> Tensor:
    """The paper's sampler written down plainly for one image, (C, H, W)."""
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
    """Time the loop and the three batched ways, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--kernels", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--chunk", type=int, default=16)
    parser.add_argument("--loop-samples", type=int, default=4, help="samples the loop really makes")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    net = UNet(args.kernels).eval()

    def plain(y: Tensor) -> Tensor:
        return y + 0 * net(y)

    start, seeds = torch.full((1, args.size, args.size), 0.05), range(args.samples)
    one_at_a_time(plain, start, 0)
    began = time.perf_counter()
    alone = torch.stack([one_at_a_time(plain, start, seed) for seed in range(args.loop_samples)])
    slow = (time.perf_counter() - began) * args.samples / args.loop_samples
    print(
        f"{args.samples} samples of {args.size}x{args.size}, {args.kernels} kernels, {args.threads} threads"
    )
    print(f"one at a time, stochastic      {slow:7.1f} s  (from {args.loop_samples})")

    net.to(memory_format=torch.channels_last)

    def ours(y: Tensor) -> Tensor:
        return y + 0 * net(y.to(memory_format=torch.channels_last))

    options = {"chunk": args.chunk}
    stochastic_ascent(ours, start, range(args.chunk), **options)
    for name, sampler, more in (
        ("batched, stochastic ascent", stochastic_ascent, {}),
        ("batched, ladder of 20", deterministic_ladder, {"steps": 20}),
        ("batched, ladder of 10", deterministic_ladder, {"steps": 10}),
    ):
        began = time.perf_counter()
        samples = sampler(ours, start, seeds, **options, **more)
        seconds = time.perf_counter() - began
        calls = samples.calls.double().mean()
        print(f"{name:30s} {seconds:7.1f} s  {slow / seconds:5.1f} x  {calls:.0f} calls a sample")
        if sampler is stochastic_ascent:
            torch.testing.assert_close(samples.images[: len(alone)], alone, atol=1e-5, rtol=0)


if __name__ == "__main__":
    main()
