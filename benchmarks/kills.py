"""The kill test: SIGKILL at random moments, and whether anything is lost or comes out different.

    python benchmarks/kills.py [--kills 100] [--seed 0] [--out results/robustness/kills.json]

Data, one training of each family and a book of three chapters, all of the profile `smoke`, are made once
undisturbed, and again while a process is killed and killed again and the same command given anew. The
trainings are longer than those of `smoke` and save a checkpoint every two steps, so that kills fall into
writing too. Of the book, all processes are killed, as when the power fails, or any one, as by a system short
of memory.

Lost is what does not come to its end when it is left alone, what is missing then or was set aside as damaged,
and a training that goes on from an earlier checkpoint than it had. Different is every file (weights, logs,
samples, images; numbers and pictures of the chapters) whose sha256 is not that of the undisturbed run; left
out are records, which hold times.
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
from galgen.data import prepare  # noqa: F401 - and with it all that commands import later
from galgen.models.families import FAMILIES
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError
from galgen.runs.files import read_json, write_json
from galgen.runs.store import provenance

ROOT = Path(__file__).parents[1]
# Of the book, for its time: pages that refer to no other.
PAGES = [{"file": f"chapters/{name}"} for name in ("01_data", "04_glow", "06_gan")]
PAGES += [{"file": name} for name in ("workflow", "bibliography")]
TRAINING = "{}-N24-A0-0"
OPTIONS = ["--profile", "smoke", "--N", "8", "24"]
LONGER = {
    "diffusion": 2000,
    "conditional": 2000,
    "glow": 2000,
    "gan": 1200,
}  # images shown: seconds of training
SHARES = {"data": 0.05, "book": 0.23}  # of the kills; the families have equal parts of the others


class Count:
    """Kills, those that left a checkpoint to go on from, runs to the end, what was lost or is different."""

    def __init__(self, name: str):
        self.name, self.kills, self.resumed, self.runs, self.compared = name, 0, 0, 0, 0
        self.lost, self.different = [], []

    def compare(self, whole: dict[str, str], found: dict[str, str]) -> None:
        """Count what is missing in `found`, and what differs from `whole`."""
        self.runs, self.compared = self.runs + 1, self.compared + len(whole)
        for kind, names in same.compared(whole, found).items():
            getattr(self, kind).extend(names)

    def told(self) -> dict:
        """The numbers, also on stdout."""
        numbers = {"kills": self.kills, "resumed": self.resumed, "runs": self.runs, "compared": self.compared}
        numbers |= {"lost": len(self.lost), "different": len(self.different)}
        print(f"{self.name}: {numbers} {self.lost[:5]} {self.different[:5]}", flush=True)
        return numbers


def alone(text: str) -> str:
    """The text of a page without its references to other pages."""
    return re.sub(r"\{(?:doc|ref|numref|term)\}`([^`]*)`", r"\1", text)


def shown(store: Path) -> int:
    """Images after which the checkpoint of the unfinished training in a store was saved."""
    with suppress(GalgenError, StopIteration):
        return checkpoint.load(next(store.glob("*/*.partial/checkpoint.pt")))["shown"]
    return 0


def longer(profile: profiles.Profile) -> profiles.Profile:
    """A profile whose trainings are longer, and save a checkpoint every two steps."""
    parts = {
        name: getattr(profile, name).model_copy(update={"passes_per_image": None, "images_cap": cap})
        for name, cap in LONGER.items()
    }
    return profile.model_copy(update=parts | {"report_every": 2, "save_every": 0.0})


def _galgen(arguments: list[str], log: Path) -> None:
    """Run a command of galgen in a process of its own: with checkpoints every two steps, and longer."""
    with open(log, "wb") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    profiles.PROFILES["smoke"] = longer(profiles.PROFILES["smoke"])
    sys.exit(cli.main(arguments))


def run(arguments: list[str], log: Path) -> multiprocessing.Process:
    """Start a command of galgen with all imports done, which are nothing but reading."""
    process = multiprocessing.get_context("fork").Process(target=_galgen, args=(arguments, log))
    process.start()
    return process


def command(name: str, arguments: list[str], given: Path, folder: Path, kills: int, chance) -> Count:
    """Kill a command of galgen again and again in each run to its end, in a fresh copy of a store each."""
    count = Count(name)

    def start(store: Path) -> multiprocessing.Process:
        return run([*arguments, *OPTIONS, "--store", str(store)], folder / "log")

    def said() -> str:
        return (folder / "log").read_text(errors="replace")[-600:]

    whole = folder / "whole"
    shutil.copytree(given, whole)
    began, process = time.monotonic(), start(whole)
    process.join()
    span = time.monotonic() - began
    if process.exitcode:
        raise SystemExit(f"{name} fails undisturbed: {said()}")
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
                count.lost.append(f"the checkpoint fell from {before} to {now}")
            count.resumed += now > 0
            before = now
        if process.exitcode:
            count.lost.append(f"exit code {process.exitcode}: {said()}")
        count.compare(same.content(whole), same.content(store))
    return count


def book(folder: Path, kills: int, chance) -> Count:
    """Kill the workflow of a book, or one process of it at a time, and go on until it is made."""
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
        for page in [
            *(folder / name).glob("notebooks/*.ipynb"),
            *(folder / name).glob("book/*.md"),
        ]:  # they refer to pages that are not bound
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
        if process.poll() == 0:  # it came to its end: once more from nothing
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
    """Count what the book that was killed lacks, and what differs from the undisturbed one."""
    count.compare(*(same.of(folder / name) for name in ("whole", "killed")))


def main() -> None:
    """Kill, count, and write what was counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="what it holds of other targets is kept")
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
            found[name] = attack(folder / name, kills, chance).told() | {"seed": args.seed, **provenance()}
            found[name]["seconds"] = round(time.monotonic() - began)
            found[name]["date"] = time.strftime("%Y-%m-%d", time.gmtime())
            if args.out:
                write_json(args.out, found)
    if any(each["lost"] or each["different"] for each in found.values()):
        raise SystemExit("something was lost or is different")


if __name__ == "__main__":
    main()
