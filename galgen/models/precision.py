"""In which precision networks are trained: float32, or bfloat16 where the machine multiplies it.

In bfloat16 (8 bits of mantissa, the exponent of float32) the convolutions of a training step take about two
thirds of the time, where the processor multiplies such numbers: AVX512_BF16 or AMX, or a GPU. Weights,
optimizers, losses, and the statistics and gains of norms stay in float32, and so does all that is done with a
trained network. Where a
processor only emulates it, it is slower than float32; and a narrow network, most of whose time goes
elsewhere, gains nothing (`TrainingSettings.wide`).

Numbers of one training in two precisions differ. So `auto` is made one of the two once, before anything is
trained, and it is part of every key. For a run with the profile, data and seed of a published run, of any N,
`auto` is the precision of that run: what it trains can be compared with the published models.

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
    """Whether this machine multiplies bfloat16 rather than emulating it."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Private to torch, and there by version and platform; what torch is told to leave unused is not there.
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    there = any(getattr(torch.cpu, name, lambda: False)() for name in asked)
    return there and torch.backends.mkldnn.is_available() and "AVX512" in capability()


def capability() -> str:
    """The vector instructions that torch uses on this processor, as `AVX512`."""
    return torch.backends.cpu.get_cpu_capability()


def resolved(asked: Parameters) -> Precision:
    """Return the precision of a run: for `auto`, that of the published run, or the machine's.

    The published run counts if it has the profile, data and seed that are asked for, also if all of it is to
    be made again.

    Args:
        asked: Parameters of the run.
    """
    if asked.precision != "auto":
        return asked.precision
    published = asked.folder / "run.json"
    if published.is_file():
        return checked(Precision, read_json(published).get("precision"), f"the precision in {published}")
    return "bf16" if multiplies_bf16() else "fp32"


def slowdown(rounds: int = 9) -> float:
    """How many times as long convolutions and their gradients take here in bfloat16 as in float32."""
    x = torch.rand(16, 16, 32, 32).to(memory_format=torch.channels_last)
    weights = torch.rand(4, 16, 16, 3, 3, requires_grad=True)
    spent: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for half, seconds in spent.items():
            began = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                y = functools.reduce(functools.partial(F.conv2d, padding=1), weights, x)
            y.float().sum().backward()
            seconds.append(time.process_time() - began)
    return min(spent[True]) / min(spent[False])


def emulation(precision: Precision) -> str | None:
    """What to say before something is trained in a precision that this machine only emulates, or None."""
    if precision == "fp32" or multiplies_bf16():
        return None
    return (
        f"this run is in bfloat16, which this processor ({capability()}) does not multiply: by emulation "
        f"convolutions take {slowdown():.1f} times as long as in float32. PRECISION=fp32 (--precision fp32) "
        "is another run, in float32"
    )
