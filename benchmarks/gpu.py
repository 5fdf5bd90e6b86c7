"""What one machine makes of the profile `paper`, in one run of some eight minutes: one JSON.

    python benchmarks/gpu.py [--profile paper] [--minutes 8] [--out results/gpu.json]

For each family: images a second of a training step as it is trained and under `torch.compile`, with the
seconds that compiling takes; its share of the rate of a matrix product, in bfloat16 on a GPU; memory; hours
of all its trainings at that rate; samples a second. Images are uint8 on the device. A batch that does not fit
is halved until one does, which is noted. Where there is no GPU the CPU does it, and the file says so.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from galgen import costs
from galgen.config import Parameters
from galgen.experiment import every_family, loaded
from galgen.runs.files import write_json
from galgen.runs.store import provenance

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"


def seconds(step: Callable[[], object], budget: float) -> float:
    """Seconds for each of several calls that together last about `budget`; the first is not counted."""
    step()
    calls, began = 0, _now()
    while calls < 1 or time.perf_counter() - began < budget:
        step()
        calls += 1
    return (_now() - began) / calls


def _now() -> float:
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter()


def peak(budget: float) -> float:
    """FLOP/s of a matrix product: in bfloat16 on a GPU, in float32 on a CPU."""
    side, dtype = (8192, torch.bfloat16) if CUDA else (1024, torch.float32)
    a = torch.rand(side, side, device=DEVICE).to(dtype)
    return 2 * side**3 / seconds(lambda: a @ a, budget)


def memory_mb() -> float:
    """The most that was held: on a GPU by tensors, elsewhere by the process so far."""
    most = torch.cuda.max_memory_allocated() / 2**20 if CUDA else 0
    return round(most or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def training(experiment, batch: int, budget: float, compiled: bool) -> tuple[float, float]:
    """Seconds of a step of so many images, and of the first one, in which it is compiled."""
    side = experiment.image_size
    images = np.random.default_rng(0).integers(0, 256, (max(batch, 256), 1, side, side), np.uint8)
    learner = experiment.family.learner(experiment._networks(0), images, images[:64], DEVICE)
    if compiled:
        for net in learner.networks.values():
            net.compile()
    held = torch.from_numpy(images).to(DEVICE)
    noise = torch.Generator(DEVICE).manual_seed(0)

    def step() -> None:
        rows = torch.randint(len(held), (batch,), generator=noise, device=DEVICE)
        learner.step(held[rows].float() / 255, noise, 1.0)

    began = _now()
    step()
    first = _now() - began
    return seconds(step, budget), first


def family(experiment, budget: float, rate: float) -> dict:
    """What is measured of one family."""
    settings = experiment.settings
    side, batch = experiment.image_size, settings.batch_size
    while True:
        try:
            eager, _ = training(experiment, batch, budget, compiled=False)
            break
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
            torch.cuda.empty_cache()
    trainings = experiment.trainings()
    shown = sum(settings.images_shown(training.N) for training in trainings)
    some = np.random.default_rng(0).integers(0, 256, (2, 1, side, side), np.uint8)
    learner = experiment.family.learner(experiment._networks(0), some, some, "cpu")
    each = costs.flops(learner, torch.from_numpy(some).float() / 255, batch)
    found = {"batch": batch, "batch_asked": settings.batch_size, "images_per_s": batch / eager}
    found |= {"gflop_an_image": each / 1e9, "share_of_peak": each * batch / eager / rate}
    found |= {"memory_mb": memory_mb(), "trainings": len(trainings), "hours": shown * eager / batch / 3600}
    try:
        quick, first = training(experiment, batch, budget, compiled=True)
        found |= {"compiled_images_per_s": batch / quick, "compiling_s": first}
    except Exception as error:  # whatever a compiler cannot do is an answer here
        found["compiled_failed"] = str(error).strip().splitlines()[0][:200]
    networks = loaded(experiment._networks(0), {})
    if own := getattr(learner, "net", None):  # the learner has initialised it
        networks = {"net": own.eval()}
    networks = {name: net.to(DEVICE) for name, net in networks.items()}
    start, count = torch.full((1, side, side), 0.05, device=DEVICE), 256 if CUDA else 8
    chunk = min(count, 64)
    drawn = seconds(lambda: experiment.family.draw(networks, range(count), start, chunk), budget)
    return found | {"samples_per_s": count / drawn}


def main() -> None:
    """Measure every family, print it, and write all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="paper")
    parser.add_argument("--minutes", type=float, default=8, help="of which compiling may take what it needs")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    experiments = every_family(Parameters(profile=args.profile))
    budget = 60 * args.minutes / len(experiments) / 6
    rate = peak(min(budget, 5))
    found = {"profile": args.profile, "gpu": torch.cuda.get_device_name() if CUDA else None}
    found |= {"peak_tflops": rate / 1e12, "threads": torch.get_num_threads(), "load": os.getloadavg()[0]}
    found["families"] = {}
    for name, experiment in experiments.items():
        found["families"][name] = family(experiment, budget, rate)
        print(name, json.dumps(found["families"][name]), flush=True)
    rows = found["families"].values()
    found |= {"trainings": sum(r["trainings"] for r in rows), "hours": sum(r["hours"] for r in rows)}
    print(f"all {found['trainings']} trainings: {found['hours']:.1f} h on {found['gpu'] or 'this CPU'}")
    if args.out:
        write_json(args.out, found | {"date": time.strftime("%Y-%m-%d", time.gmtime())} | provenance())


if __name__ == "__main__":
    main()
