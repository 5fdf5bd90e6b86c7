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
from galgen.experiment import every_family
from galgen.profiles import Parameters
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
    most = torch.cuda.max_memory_allocated() / 2**20 if CUDA else 0  # since `family` began
    return round(most or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def learner_of(experiment, images: np.ndarray, device: str = "cpu") -> object:
    """The learner of fresh networks, in the precision that `auto` has here."""
    made = experiment.family.learner
    return made(experiment._networks(0), images, images, experiment.settings, device, experiment.precision)


def training(experiment, batch: int, budget: float, compiled: bool) -> tuple[float, float]:
    """Seconds of a step of so many images, and of the first one, in which it is compiled."""
    side = experiment.images.size
    images = np.random.default_rng(0).integers(0, 256, (max(batch, 256), 1, side, side), np.uint8)
    learner = learner_of(experiment, images, DEVICE)
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


def counted(experiment) -> dict:
    """What all trainings of a family are, whatever the machine."""
    settings, trainings, side = experiment.settings, experiment.models.trainings(), experiment.images.size
    some = np.random.default_rng(0).integers(0, 256, (2, 1, side, side), np.uint8)
    learner = learner_of(experiment, some)
    each = costs.of_step(learner, torch.from_numpy(some).float() / 255, settings.batch_size)[0]
    shown = sum(settings.images_shown(training.N) for training in trainings)
    found = {"trainings": len(trainings), "images": shown, "gflop_an_image": each / 1e9}
    return found | {
        "exaflop": each * shown / 1e18,
        "core_hours": each * shown / experiment.family.flop_rate / 3600,
    }


def family(experiment, budget: float, rate: float) -> dict:
    """What is measured of one family."""
    found, batch = counted(experiment), experiment.settings.batch_size
    while True:
        if CUDA:
            torch.cuda.reset_peak_memory_stats()
        try:
            eager, _ = training(experiment, batch, budget, compiled=False)
            break
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
            batch //= 2
            torch.cuda.empty_cache()
    found |= {"batch": batch, "batch_asked": experiment.settings.batch_size, "images_per_s": batch / eager}
    found |= {"share_of_peak": found["gflop_an_image"] * 1e9 * batch / eager / rate, "memory_mb": memory_mb()}
    found |= {"hours": found["images"] * eager / batch / 3600}
    try:
        quick, first = training(experiment, batch, budget, compiled=True)
        found |= {"compiled_images_per_s": batch / quick, "compiling_s": first}
    except Exception as error:  # whatever a compiler cannot do is an answer here
        found["compiled_failed"] = str(error).strip().splitlines()[0][:200]
    side, few = experiment.images.size, np.random.default_rng(0)
    images = few.integers(0, 256, (8, 1, side, side), np.uint8)
    learner = learner_of(experiment, images, DEVICE)  # initialises what depends on images
    networks = {name: net.eval() for name, net in learner.networks.items()}
    start, count = torch.full((1, side, side), 0.05, device=DEVICE), 256 if CUDA else 8
    drawn = seconds(lambda: experiment.family.draw(networks, range(count), start, min(count, 64)), budget)
    return found | {"samples_per_s": count / drawn}


def main() -> None:
    """Measure every family, print it, and write all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="paper")
    parser.add_argument("--minutes", type=float, default=8, help="beside compiling; 0 only counts")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    experiments = every_family(Parameters(profile=args.profile))
    found = {"profile": args.profile, "gpu": torch.cuda.get_device_name() if CUDA else None}
    if args.minutes:
        budget = 60 * args.minutes / len(experiments) / 6
        rate = peak(min(budget, 5))
        found |= {"peak_tflops": rate / 1e12, "threads": torch.get_num_threads(), "load": os.getloadavg()[0]}
    found["families"] = {}
    for name, each in experiments.items():
        found["families"][name] = family(each, budget, rate) if args.minutes else counted(each)
        print(name, json.dumps(found["families"][name]), flush=True)
    if args.out:
        write_json(args.out, found | {"date": time.strftime("%Y-%m-%d", time.gmtime())} | provenance())


if __name__ == "__main__":
    main()
