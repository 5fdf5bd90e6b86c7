"""The same book by Slurm, with jobs taken from it on the way, and on this machine without: are they equal?

    workflow/slurm/one_node.sh start
    python benchmarks/cluster.py [--out results/robustness/cluster.json]

Both are whole books of the profile `smoke`, made in copies of the project where a blind denoiser is shown
more images and a checkpoint is saved at each line of the log: jobs are to be caught in the middle. There the
simulation is cut into parts and the morphology of each model is a job, as for many galaxies. On the cluster
one part, two trainings, one measurement and one chapter are cancelled (`scancel`), one training is pushed off
its node as by a job that takes precedence (`scontrol requeue`), and one comes to the end of its time
(`scontrol update EndTime`). Nothing else is done: the workflow queues them again by itself. All trainings go
on from a checkpoint, which is noted.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import same

from galgen.runs import checkpoint
from galgen.runs.files import read_json, write_json
from galgen.runs.store import provenance

ROOT = Path(__file__).parents[1]
EDITS = [  # what makes jobs long enough, and checkpoints frequent enough, to be caught, and small work be cut
    (
        "galgen/profiles.py",
        "passes_per_image=64, images_cap=1024",
        "passes_per_image=None, images_cap=60_000",
    ),
    ("galgen/profiles.py", "simulated=150,", "simulated=4000,"),
    ("galgen/data/simulate/parts.py", "PART = 10_000", "PART = 2000"),
    ("galgen/profiles.py", "save_every: float = 60.0", "save_every: float = 0.0"),
    ("book/galbook/press/runs.py", "MANY = 256", "MANY = 8"),
]
SLURM = ["--workflow-profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "10"]
WAYS = {"local": ["--workflow-profile", "workflow/profiles/local", "--cores", "2"], "slurm": SLURM}
ATTACKS = {  # in this order: what is attacked, and how
    "scancel, a part of the simulation": ("part", "scancel {0}"),
    "scancel, a training": ("training", "scancel {0}"),
    "scancel, another training": ("training", "scancel {0}"),
    "requeued by Slurm": ("training", "scontrol requeue {0}"),
    "out of time": ("training", "scontrol update JobId={0} EndTime=now+1"),
    "scancel, a measurement of morphology": ("morphology", "scancel {0}"),
    "scancel, a chapter": ("chapter", "scancel {0}"),
}


def start(way: str, folder: Path) -> subprocess.Popen:
    """A book on its way, in a copy of the project that is made if it is not there."""
    project = folder / way
    if not project.is_dir():
        ignored = shutil.ignore_patterns(".*", "build", "store", "__pycache__", "shared")
        shutil.copytree(ROOT, project, ignore=ignored)
        for name, old, new in EDITS:
            text = (project / name).read_text()
            if old not in text:
                raise SystemExit(f"{name} has no longer '{old}'")
            (project / name).write_text(text.replace(old, new))
    environment = os.environ | {"PROFILE": "smoke", "DATA": "", "N": "", "SEED": ""}
    environment |= {"PYTHONPATH": str(project), "GALGEN_STORE": str(project / "store")}
    command = [sys.executable, "-m", "snakemake", "book", "-s", "workflow/Snakefile", *WAYS[way]]
    log = open(folder / f"{way}.log", "ab")
    return subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log)


def jobs(rule: str) -> dict[str, str]:
    """The jobs of a rule that run: their numbers by the wildcards."""
    found = subprocess.run(
        ["squeue", "-h", "-t", "R", "-o", "%i|%k"], capture_output=True, text=True, check=True
    )
    lines = [line.split("|", 1) for line in found.stdout.splitlines()]
    return {name: job for job, name in lines if name.startswith(f"rule_{rule}_")}


def checkpoints(project: Path) -> dict[str, Path]:
    """Where each training of a blind denoiser keeps its checkpoint, as the project's own code says."""
    code = "import json; from galgen.profiles import Parameters; from galgen.experiment import Experiment\n"
    code += "e = Experiment(Parameters(profile='smoke'), family='diffusion')\n"
    code += "print(json.dumps({t.name: e.store.key(**e.identity(t)) for t in e.trainings()}))"
    environment = os.environ | {"PYTHONPATH": str(project), "GALGEN_STORE": str(project / "store")}
    said = subprocess.check_output([sys.executable, "-c", code], cwd=project, env=environment, text=True)
    folder = project / "store" / "diffusion"
    return {name: folder / f"{key}.partial/checkpoint.safetensors" for name, key in json.loads(said).items()}


def victim(rule: str, project: Path, kept: dict[str, Path], before: set[str]) -> tuple[str, str] | None:
    """Another job in the middle of its work, of a training with a checkpoint: its name and its number."""
    running = {name.partition("simulated_")[2]: job for name, job in jobs(rule).items()}
    if rule == "training":
        running = {name: job for name, job in running.items() if name in kept and kept[name].is_file()}
    if rule == "chapter":
        begun = [path.stem for path in project.glob("build/*/chapters/unfinished-*.ipynb")]
        running = {name: job for name, job in running.items() if f"unfinished-{name}" in begun}
    return next(((name, job) for name, job in running.items() if name not in before), None)


def attacked(project: Path, process: subprocess.Popen) -> list[dict]:
    """Take jobs away while the book is being made; what was taken, and at which checkpoint it stood."""
    told, before, kept, attacks = [], set(), {}, list(ATTACKS.items())
    while attacks:
        what, (rule, command) = attacks[0]
        if rule == "training" and not kept:
            while not list(project.glob("build/*/data.json")):
                time.sleep(0.3)
            kept = checkpoints(project)
        while (found := victim(rule, project, kept, before)) is None:
            if process.poll() is not None:
                raise SystemExit(f"the book came to its end before '{what}'")
            time.sleep(0.3)
        name, job = found
        before.add(name)
        if rule != "training":
            time.sleep(4)  # into its work
        subprocess.run(command.format(job).split(), check=True)
        while rule == "training" and job in jobs(rule).values():
            time.sleep(0.1)
        if rule == "training" and not kept[name].is_file():
            continue  # it came to its end before Slurm looked at its time, every half minute
        shown = checkpoint.load(kept[name])["shown"] if rule == "training" else None
        told.append({"what": what, "job": name, "checkpoint": shown})
        del attacks[0]
        print(told[-1], flush=True)
    return told


def main() -> None:
    """Make both, compare, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--only", choices=WAYS, help="of the two books; the comparison is left to another call"
    )
    parser.add_argument(
        "--folder", type=Path, help="of the copies; what was made there before is gone on with"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="galgen-cluster-") as temporary:
        folder = args.folder or Path(temporary)
        for way in [args.only] if args.only else WAYS:
            noted = folder / f"{way}.json"
            if noted.is_file():
                continue
            began, process = time.monotonic(), start(way, folder)
            taken = attacked(folder / way, process) if way == "slurm" else []
            if process.wait():
                raise SystemExit(f"the book fails: {(folder / f'{way}.log').read_text()[-3000:]}")
            minutes = round((time.monotonic() - began) / 60, 1)
            write_json(noted, {"minutes": minutes, "taken": taken, "load": os.getloadavg()[2]})
        if not args.only:
            compare(folder, args.out)


def compare(folder: Path, out: Path | None) -> None:
    """Compare the two books of a folder; print, and write, what was found."""
    whole, other = (same.of(folder / way) for way in WAYS)
    found = same.compared(whole, other)
    counts = {"compared": len(whole), "weights": sum("/weights-" in name for name in whole)}
    counts |= {kind: len(names) for kind, names in found.items()}
    counts |= {way: read_json(folder / f"{way}.json") for way in WAYS}
    print(counts, *(f"\n{kind}: {name}" for kind, names in found.items() for name in names))
    if out:
        slurm = subprocess.run(["scontrol", "--version"], capture_output=True, text=True, check=True).stdout
        date = time.strftime("%Y-%m-%d", time.gmtime())
        write_json(out, counts | {"version": slurm.strip(), "date": date, **provenance()})
    sys.exit(bool(found["lost"] or found["different"]))


if __name__ == "__main__":
    main()
