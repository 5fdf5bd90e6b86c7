"""Precision of the training: float32, or bfloat16 where the hardware supports it.

In bfloat16 (8 bits of mantissa, the exponent of float32) the convolutions of a training step take about two
thirds of the time if the hardware multiplies such numbers: AVX512_BF16 or AMX, or a GPU. Weights, optimizers,
losses, statistics and gains of norms, and all computations with trained networks are in float32. Where a
processor only emulates bfloat16, it is slower than float32; for a narrow network, whose convolutions take
little of the time, it is not faster (`TrainingSettings.wide`).

The numbers of one training differ between the two precisions. So `auto` is resolved once, before the first
training, and the precision is part of every key. For a run with the profile, data and seed of a published
run, with any N, `auto` is the precision of that run: its models can be compared with the published ones.

References:
    Kalamkar et al. 2019, A study of BFLOAT16 for deep learning training, https://arxiv.org/abs/1905.12322.
"""

import functools
import time
from typing import Literal

import torch
from torch.nn import functional as F

from galgen.profiles import Parameters
from galgen.runs.errors import checked
from galgen.runs.files import read_json

__all__ = ["Precision", "emulation", "resolved"]

Precision = Literal["fp32", "bf16"]


def multiplies_bf16() -> bool:
    """Whether this machine supports bfloat16 in hardware."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Private to torch, and dependent on version and platform; torch may be configured not to use them.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    supported = any(getattr(torch.cpu, name, lambda: False)() for name in names)
    return supported and torch.backends.mkldnn.is_available() and "AVX512" in capability()


def capability() -> str:
    """Return the vector instructions that torch uses on this processor, as `AVX512`."""
    return torch.backends.cpu.get_cpu_capability()


def resolved(parameters: Parameters) -> Precision:
    """Return the precision of a run: for `auto`, that of the published run, or the fastest on this machine.

    The published run is used if it has the same profile, data and seed, even if everything is recomputed.

    Args:
        parameters: Parameters of the run.
    """
    if parameters.precision != "auto":
        return parameters.precision
    published = parameters.folder / "run.json"
    if published.is_file():
        return checked(Precision, read_json(published).get("precision"), f"the precision in {published}")
    return "bf16" if multiplies_bf16() else "fp32"


def slowdown(rounds: int = 9) -> float:
    """Measure the time of convolutions and their gradients in bfloat16, relative to float32."""
    x = torch.rand(16, 16, 32, 32).to(memory_format=torch.channels_last)
    weights = torch.rand(4, 16, 16, 3, 3, requires_grad=True)
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for half, seconds in times.items():
            start = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                y = functools.reduce(functools.partial(F.conv2d, padding=1), weights, x)
            y.float().sum().backward()
            seconds.append(time.process_time() - start)
    return min(times[True]) / min(times[False])


def emulation(precision: Precision) -> str | None:
    """Return a warning for trainings in a precision that this machine only emulates, or None."""
    if precision == "fp32" or multiplies_bf16():
        return None
    return (
        f"this run is in bfloat16, which this processor ({capability()}) only emulates: convolutions take "
        f"{slowdown():.1f} times as long as in float32. PRECISION=fp32 (--precision fp32) selects another "
        "run, in float32"
    )
