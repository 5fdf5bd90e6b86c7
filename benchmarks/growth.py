"""How time and memory grow with the number of images, from importing to an epoch's reading.

    python benchmarks/growth.py [--sizes 1000 10000 100000 1000000] [--out results/growth.json]

Two thousand galaxies are simulated; the others are these, shifted by whole pixels, as turns and flips of
one count as one galaxy. Each step of each size is a process of its own, of one thread, whose largest memory
counts (the system's own number of it would begin with that of this process); images that are mapped into
memory count as far as the system keeps them. Seconds are of the processor.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from astropy.table import Table

from galgen.compare.agreement import two_models
from galgen.compare.morphology import COEFFICIENTS
from galgen.compare.scoreboard import QUESTIONS, scores
from galgen.compare.similarity import near_duplicates, nearest
from galgen.data.acquire.importing import import_images, write_imported
from galgen.data.dataset import Dataset, split
from galgen.data.simulate.images import simulate
from galgen.data.unit import mean_image
from galgen.runs.files import read_json, write_json
from galgen.runs.store import provenance

SIDE = 32
MOST = {"duplicates": 100_000, "questions": 100_000}  # images; of ten times as many these take hours


def make(path: Path, count: int, simulated: int) -> None:
    """So many images in an npy file: shifted galaxies."""
    base = np.load(path.with_name("base.npy")) if path.with_name("base.npy").is_file() else None
    if base is None:
        base = simulate(simulated, size=SIDE, workers=2)[0]
        np.save(path.with_name("base.npy"), base)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, 1, SIDE, SIDE))
    for first in range(0, count, len(base)):
        k = first // len(base)
        images[first : first + len(base)] = np.roll(base, divmod(k, SIDE), (2, 3))[: count - first]


def importing(folder: Path) -> None:
    """Read, check and write all."""
    write_imported(
        folder / "set", import_images(folder / "images.npy", size=SIDE), source="growth", manifest="local"
    )


def splitting(folder: Path) -> None:
    """Hash all orientations, and draw A, B and validation."""
    data = Dataset.open(folder / "set")
    split(data, len(data) // 3, len(data) // 10)


def duplicates(folder: Path) -> None:
    """All pairs that are nearly the same in one of eight orientations."""
    near_duplicates(Dataset.open(folder / "set").images, 0.95)


def search(folder: Path) -> None:
    """The nearest image of each of 256 queries, flips among them."""
    images = Dataset.open(folder / "set").images
    queries = torch.from_numpy(images[:256].astype(np.float32) / 255)
    nearest(queries, images, kind="anomaly", mean=mean_image(images), flips=True)


def epoch(folder: Path) -> None:
    """Every image once, in random order and batches of 50, as a training reads them."""
    images = Dataset.open(folder / "set").images
    for rows in np.random.default_rng(0).permutation(len(images)).reshape(-1, 50):
        torch.from_numpy(images[rows]).float() / 255


def questions(folder: Path) -> None:
    """The scoreboard of a tenth of the images as samples of A and as many of B; coefficients are made up.

    Galaxies that are not in the sets stand for samples, and twice as many are held out. Nearest images are
    looked for in 2.5 times as many for each model.
    """
    data = Dataset.open(folder / "set")
    count, mean = len(data) // 10, mean_image(data.images)
    sets = split(data, len(data) // 4, 2 * count)
    used = np.concatenate([sets.A, sets.B, sets.validation])
    rows = np.setdiff1d(np.arange(len(data)), used)[: 2 * count].reshape(2, count)
    a, b = (torch.from_numpy(data.images[part].astype(np.float32) / 255) for part in rows)

    def measured(images: np.ndarray) -> Table:
        rng = np.random.default_rng(len(images))
        columns = {name: rng.standard_normal(len(images)) for name in COEFFICIENTS}
        return Table(columns | {"reason": [""] * len(images)})

    pair = two_models(a, b, data.images, sets, mean=mean)
    reference = data.images[sets.validation]
    found = scores(a, b, reference, pair, morphology=measured, permutations=1000)
    assert set(found) == set(QUESTIONS)


STEPS = {step.__name__: step for step in (importing, splitting, duplicates, search, epoch, questions)}


def main() -> None:
    """Measure, or, with --step, do one step in this process and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--simulated", type=int, default=2000)
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), help="beside importing")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--step", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        torch.set_num_threads(1)
        began = time.process_time()
        STEPS[args.step[0]](Path(args.step[1]))
        took, status = time.process_time() - began, Path("/proc/self/status").read_text()
        held = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
        print(json.dumps({"seconds": round(took, 2), "memory_mb": round(held)}))
        return
    found = read_json(args.out) if args.out and args.out.is_file() else {"steps": {}}
    with tempfile.TemporaryDirectory(prefix="galgen-growth-") as temporary:
        for count in args.sizes:
            folder = Path(temporary) / str(count)
            folder.mkdir()
            make(folder.parent / "images.npy", count, args.simulated)
            (folder.parent / "images.npy").rename(folder / "images.npy")
            for name in STEPS:
                if name not in ("importing", *args.only) or count > MOST.get(name, count):
                    continue
                command = [sys.executable, __file__, "--step", name, str(folder)]
                environment = os.environ | {"OMP_NUM_THREADS": "1"}
                said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                found["steps"].setdefault(name, {})[str(count)] = json.loads(said.stdout.splitlines()[-1])
                print(name, count, said.stdout.strip(), flush=True)
            for path in sorted(folder.rglob("*.npy")):
                path.unlink()
            found |= provenance() | {"date": time.strftime("%Y-%m-%d", time.gmtime()), "side": SIDE}
            found |= {"load": os.getloadavg()[0], "simulated": args.simulated}
            if args.out:
                write_json(args.out, found)


if __name__ == "__main__":
    main()
