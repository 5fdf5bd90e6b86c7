"""Kill test: SIGKILL at random times; counts lost and changed results.

    python benchmarks/kills.py [--kills 100] [--seed 0] [--out results/robustness/kills.json]

Data, one training of each family and a book of three chapters, all with the profile `smoke`, are computed
once undisturbed, and again with repeated kills and restarts of the same command. The trainings are longer
than in `smoke` and save a checkpoint every two steps, so that some kills interrupt writes. For the book,
either all processes are killed, as in a power failure, or a random one, as by a system that runs out of
memory.

*Lost* are commands that fail when left undisturbed, files that are then missing or were renamed as damaged,
and trainings that resume from an earlier checkpoint than before. *Different* are files (weights, logs,
samples, images, figures of chapters) whose sha256 differs from the undisturbed run, except records, which
contain times.
"""

import argparse
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import same

from galgen import cli, profiles
from galgen.data import prepare  # noqa: F401 - with all later imports of the commands
from galgen.models.families import FAMILIES
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError
from galgen.runs.files import read_json, write_json
from galgen.runs.store import provenance

ROOT = Path(__file__).parents[1]
# A short book: pages that do not refer to others.
PAGES = [{"file": f"chapters/{name}"} for name in ("01_data", "04_glow", "06_gan")]
PAGES += [{"file": name} for name in ("workflow", "bibliography")]
TRAINING = "{}-N24-A0-0"
OPTIONS = ["--profile", "smoke", "--N", "8", "24"]
# Images shown; a few seconds of training each.
LONGER = {"diffusion": 2000, "conditional": 2000, "glow": 2000, "gan": 1200}
SHARES = {"data": 0.05, "book": 0.23}  # of the kills; the rest is divided equally between the families


class Count:
    """Counts of kills, resumed kills and completed runs; lists of lost and different files."""

    def __init__(self, name: str):
        self.name, self.kills, self.resumed, self.runs, self.compared = name, 0, 0, 0, 0
        self.lost, self.different = [], []

    def compare(self, whole: dict[str, str], found: dict[str, str]) -> None:
        """Add the files that are missing in `found` or differ from `whole`."""
        self.runs, self.compared = self.runs + 1, self.compared + len(whole)
        for kind, names in same.compared(whole, found).items():
            getattr(self, kind).extend(names)

    def report(self) -> dict:
        """Print and return the counts."""
        numbers = {"kills": self.kills, "resumed": self.resumed, "runs": self.runs, "compared": self.compared}
        numbers |= {"lost": len(self.lost), "different": len(self.different)}
        print(f"{self.name}: {numbers} {self.lost[:5]} {self.different[:5]}", flush=True)
        return numbers


def alone(text: str) -> str:
    """Text of a page without its references to other pages."""
    return re.sub(r"\{(?:doc|ref|numref|term)\}`([^`]*)`", r"\1", text)


def shown(store: Path) -> int:
    """Images shown at the checkpoint of the unfinished training in a store; 0 without one."""
    with suppress(GalgenError, StopIteration):
        return checkpoint.load(next(store.glob("*/*.partial/checkpoint.pt")))["shown"]
    return 0


def longer(profile: profiles.Profile) -> profiles.Profile:
    """Profile with longer trainings that save a checkpoint every two steps."""
    parts = {
        name: getattr(profile, name).model_copy(update={"passes_per_image": None, "images_cap": cap})
        for name, cap in LONGER.items()
    }
    return profile.model_copy(update=parts | {"report_every": 2, "save_every": 0.0})


def _galgen(arguments: list[str], log: Path) -> None:
    """Run a command of galgen with the profile of `longer`, writing its output to a log."""
    with open(log, "wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    profiles.PROFILES["smoke"] = longer(profiles.PROFILES["smoke"])
    sys.exit(cli.main(arguments))


def run(arguments: list[str], log: Path) -> multiprocessing.Process:
    """Start a command of galgen in a forked process, with all imports done."""
    process = multiprocessing.get_context("fork").Process(target=_galgen, args=(arguments, log))
    process.start()
    return process


def command(name: str, arguments: list[str], given: Path, folder: Path, kills: int, chance) -> Count:
    """Kill and restart a command of galgen until it completes; repeat in fresh copies of a store."""
    count = Count(name)

    def start(store: Path) -> multiprocessing.Process:
        return run([*arguments, *OPTIONS, "--store", str(store)], folder / "log")

    def output() -> str:
        return (folder / "log").read_text(errors="replace")[-600:]

    whole = folder / "whole"
    shutil.copytree(given, whole)
    began, process = time.monotonic(), start(whole)
    process.join()
    span = time.monotonic() - began
    if process.exitcode:
        raise SystemExit(f"{name} fails undisturbed: {output()}")
    while count.kills < kills:
        store, before = folder / f"run-{count.runs}", 0
        shutil.copytree(given, store)
        while True:
            process = start(store)
            time.sleep(chance.uniform(0, span))
            if count.kills < kills:
                process.kill()
            process.join()
            if process.exitcode != -signal.SIGKILL:
                break
            count.kills += 1
            if (now := shown(store)) < before and not same.content(store).keys() >= same.content(
                whole
            ).keys():
                count.lost.append(f"the checkpoint went back from {before} to {now}")
            count.resumed += now > 0
            before = now
        if process.exitcode:
            count.lost.append(f"exit code {process.exitcode}: {output()}")
        count.compare(same.content(whole), same.content(store))
    return count


def book(folder: Path, kills: int, chance) -> Count:
    """Kill the workflow of a book, or one of its processes, and restart it until the book is complete."""
    count = Count("book")

    def start(name: str) -> subprocess.Popen:
        environment = os.environ | {"PROFILE": "smoke", "N": "8", "PYTHONPATH": str(folder / name)}
        environment |= {"GALGEN_STORE": str(folder / name / "store")}
        call = [sys.executable, "-m", "snakemake", "book", "-s", "workflow/Snakefile", "--cores", "1"]
        call += ["--workflow-profile", "workflow/profiles/local"]
        log = open(folder / f"{name}.log", "ab")
        return subprocess.Popen(call, cwd=folder / name, env=environment, stdout=log, stderr=log)

    def orphans() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("GALGEN_STORE") == str(folder / "killed" / "store"):
                    found.append(process)
        return found

    for name in ("whole", "killed"):
        ignored = shutil.ignore_patterns(".*", "build", "store", "__pycache__", "shared")
        shutil.copytree(ROOT, folder / name, ignore=ignored)
        (folder / name / "book" / "intro.md").write_text("# A part of the book\n")
        toc = {"format": "jb-book", "root": "intro", "parts": [{"caption": "All", "chapters": PAGES}]}
        (folder / name / "book" / "_toc.yml").write_text(json.dumps(toc))
        # They refer to pages that are left out.
        for page in (*(folder / name).glob("notebooks/*.ipynb"), *(folder / name).glob("book/*.md")):
            page.write_text(alone(page.read_text()))
    began = time.monotonic()
    if start("whole").wait():
        raise SystemExit(f"the book fails undisturbed: {(folder / 'whole.log').read_text()[-3000:]}")
    span = time.monotonic() - began
    print(f"a book of smoke takes {span:.0f} s", flush=True)
    process = start("killed")
    while count.kills < kills:
        time.sleep(chance.uniform(0, 3 * span / kills))
        if process.poll() is None:
            tree = [root := psutil.Process(process.pid), *root.children(recursive=True)]
            victims = tree if chance.random() < 0.5 else [chance.choice(tree)]
            for each in victims:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            count.kills += 1
            if root in victims:
                process.wait()
        if process.poll() == 0:  # complete: start again from scratch
            compare_books(count, folder)
            for name in ("build", "store"):
                shutil.rmtree(folder / "killed" / name)
        if process.poll() is not None:
            process = start("killed")
    process.wait()
    psutil.wait_procs(orphans(), timeout=120)
    if start("killed").wait():
        count.lost.append(f"the book: {(folder / 'killed.log').read_text()[-2000:]}")
    compare_books(count, folder)
    return count


def compare_books(count: Count, folder: Path) -> None:
    """Add the files of the killed book that are missing or differ from the undisturbed one."""
    count.compare(*(same.of(folder / name) for name in ("whole", "killed")))


def main() -> None:
    """Run the kill tests and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="results of other targets in this file are preserved")
    parser.add_argument("--only", nargs="*", help="data, book, or names of families")
    args = parser.parse_args()
    found = read_json(args.out) if args.out and args.out.is_file() else {}
    targets: dict[str, Callable[[Path, int], Count]] = {}
    with tempfile.TemporaryDirectory(prefix="galgen-kills-") as temporary:
        folder = Path(temporary)
        (folder / "empty").mkdir()
        data = folder / "given"
        make_data = ["data", "prepare"]
        targets["data"] = lambda *given: command("data", make_data, folder / "empty", *given)
        for name in FAMILIES:
            train = ["train", TRAINING.format(name)]
            targets[name] = lambda *given, n=name, t=train: command(n, t, data, *given)
        targets["book"] = book
        for name, attack in targets.items():
            kills = round(args.kills * SHARES.get(name, 0.72 / len(FAMILIES)))
            if args.only and name not in args.only:
                continue
            if name in FAMILIES and not data.is_dir():
                run([*make_data, *OPTIONS, "--store", str(data)], folder / "log").join()
            (folder / name).mkdir()
            began, chance = time.monotonic(), random.Random(f"{args.seed} {name}")
            found[name] = attack(folder / name, kills, chance).report() | {"seed": args.seed, **provenance()}
            found[name]["seconds"] = round(time.monotonic() - began)
            found[name]["date"] = time.strftime("%Y-%m-%d", time.gmtime())
            if args.out:
                write_json(args.out, found)
    if any(each["lost"] or each["different"] for each in found.values()):
        raise SystemExit("results were lost or changed")


if __name__ == "__main__":
    main()
