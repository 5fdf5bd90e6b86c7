"""Does the profile `paper` run? Its networks at their size, five steps each, killed, drawn, tested.

    python benchmarks/trial.py [--profile paper] [--out results/trial.json] [--only glow]

For each family models A and B are trained by `galgen train` with the profile `paper-trial` (five steps of
eight images at a hundredth of the rates, a checkpoint after each); A is killed at its second checkpoint and
started again. Then both draw, and tests of the family's chapters are made of them: they say nothing about
models that have learnt nothing, but they run. Memory is the largest that the process held, beside what
`galgen plan` says of it. A step is timed as it is trained and under `torch.compile`, which is given
up where it takes too long. On a machine with a GPU all runs on it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gpu
import torch

from galbook import denoising, discriminator, inversion
from galbook.agreement import drawn, two_models_at
from galgen.compare.morphology import measure, report
from galgen.compare.scoreboard import portrait
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES
from galgen.profiles import Parameters
from galgen.runs import checkpoint
from galgen.runs.files import read_json, write_json
from galgen.runs.store import Store, provenance

N = 8
PATIENCE = 9  # minutes that a compiler is waited for: Glow's stack at this size takes it longer
# In a process of its own, as no signal ends a compiler at work.
COMPILED = """import sys, gpu, torch
from galgen.profiles import Parameters
from galgen.experiment import Experiment
torch.set_num_threads(1)
made = Experiment(Parameters(profile=sys.argv[1]), family=sys.argv[2])
print(*gpu.training(made, made.settings.batch_size, 10.0, compiled=True))"""
# A small process starts the one that is measured, as the largest memory of a child begins with its parent's.
MEASURED = """import resource, subprocess, sys
ended = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(ended)"""


def train(name: str, profile: str, store: Path) -> tuple[int, float]:
    """Train by the command line: the largest memory it held, MB, and the seconds."""
    began = time.monotonic()
    said = subprocess.run(
        [sys.executable, "-c", MEASURED, *_command(name, profile, store)], stdout=subprocess.PIPE, text=True
    )
    if said.returncode:
        raise SystemExit(f"{name} failed: {said.returncode}")
    return int(said.stdout.split()[-1]) // 1024, time.monotonic() - began


def killed(name: str, profile: str, store: Path, at: int) -> None:
    """Train until a checkpoint of so many images; then SIGKILL."""
    process = subprocess.Popen(_command(name, profile, store), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        saved = list(store.glob(f"{name.partition('-')[0]}/*.partial/checkpoint.safetensors"))
        if saved and checkpoint.load(saved[0])["shown"] >= at:
            process.kill()
            process.wait()
            return
        time.sleep(0.05)
    raise SystemExit(f"{name} ended before it could be killed: {process.returncode}")


def _command(name: str, profile: str, store: Path) -> list[str]:
    asked = ["--profile", profile, "--N", str(N), "--store", str(store)]
    return [sys.executable, "-m", "galgen", "train", name, *asked]


def tests(experiment: Experiment) -> dict:
    """What the chapters ask of a pair; the names of the tests, and a number of each."""
    a, agreed = drawn(experiment, N)[0], two_models_at(experiment, N).agree
    unseen, train = experiment.images.unseen, experiment.images.of(experiment.models.pair(N)[0])
    found = {"drawn": len(a), "finite": bool(a.isfinite().all()), "agreement": agreed.value}
    found["AUC"] = next(iter(portrait(a.numpy(), reference=unseen, train=train).c2st.values())).auc.value
    found["morphology"] = report(measure(a.numpy(), workers=1, progress=False))["valid"]
    if hasattr(experiment.family, "denoiser"):
        found["gap, dB"] = float(denoising.gaps(experiment)[N].max())
    if experiment.family.name == "glow":
        found["latents"] = str(inversion.latents(experiment, N))[:200]
    if experiment.family.name == "gan":
        found["judges"] = discriminator.ask(experiment, N).verdict()
    return found


def compiled(experiment: Experiment) -> dict:
    """Seconds of a step, of a compiled one, and of compiling."""
    found = {"step_s": gpu.training(experiment, experiment.settings.batch_size, 10.0, compiled=False)[0]}
    command = [sys.executable, "-c", COMPILED, experiment.parameters.profile, experiment.family.name]
    asked = {"cwd": Path(__file__).parent, "capture_output": True, "text": True, "timeout": 60 * PATIENCE}
    try:
        said = subprocess.run(command, **asked)
    except subprocess.TimeoutExpired:
        return found | {"compiled_failed": f"not ready after {PATIENCE} minutes"}
    if said.returncode:  # whatever a compiler cannot do is an answer here
        return found | {"compiled_failed": said.stderr.strip().splitlines()[-1][:200]}
    found["compiled_s"], found["compiling_s"] = map(float, said.stdout.split()[-2:])
    return found


def main() -> None:
    """Train, kill, draw, test; write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="paper")
    parser.add_argument("--only", nargs="*", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--out", type=Path, help="what it holds of other families is kept")
    args = parser.parse_args()
    profile = f"{args.profile}-trial"
    found = read_json(args.out) if args.out and args.out.is_file() else {}
    for name in args.only:
        with tempfile.TemporaryDirectory(prefix="galgen-trial-") as folder:
            experiment = Experiment(Parameters(profile=profile, N=(N,)), Store(folder), family=name)
            plan = {record["name"]: record for record in experiment.plan()}
            one, other = experiment.models.pair(N)
            batch = experiment.settings.batch_size
            killed(one.name, profile, Path(folder), 2 * batch)
            killed_at = checkpoint.load(next(Path(folder).glob(f"{name}/*.partial/c*.safetensors")))["shown"]
            memory, _ = train(one.name, profile, Path(folder))
            _, seconds = train(other.name, profile, Path(folder))
            run = experiment.train(one)
            told = {"parameters": experiment.weights, "device": run.summary["device"]}
            told |= {"steps": run.summary["images_shown"] // batch, "batch": batch, "killed after": killed_at}
            told |= {
                "memory_mb": memory,
                "planned_mb": plan[one.name]["memory_mb"],
                "seconds": round(seconds),
            }
            told |= tests(experiment) | compiled(experiment)
            found[name] = told | {"date": time.strftime("%Y-%m-%d", time.gmtime())}
        print(name, found[name], flush=True)
        if args.out:
            write_json(args.out, found | {"machine": provenance()})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
