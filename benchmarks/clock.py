"""Size or time? The clock of chapter 03 at N = 300 and 1 000, cell by cell, into results/clock/.

    python benchmarks/clock.py [--data path/to/galaxies] [--only 4x300 16x1000]

Some nine hours of a core, which no book has. A cell is a width and an N, with models A and B. Beyond N = 100
they are trained to three onsets in proportion to N, of 190 and 80 thousand images at N = 100, and the widest,
whose onset nobody has seen, to three of 50 thousand. Up to N = 100 there are more seeds, each with its own
galaxies, sets and models: six trainings of a cell beside the two that the book shows. The rules,
`galbook.clock.in_proportion` and `.clock_size`, were fixed before any of it.

A cell is written as soon as both models are there, and one that is written, of the same trainings, is not
made again: so the hours can lie in several sittings, and what is found outlives the run store. An interrupted
training goes on.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
from filelock import FileLock

from galbook.clock.asked import Committed, clock_cell
from galbook.clock.in_proportion import SCALE
from galbook.results import target
from galgen.experiment import APART, Experiment, training_named
from galgen.profiles import PROFILES, Parameters
from galgen.runs.errors import checked, exit_code
from galgen.runs.store import provenance, read_answer, write_answer

NAME, BASE = "clock", PROFILES["laptop"]
SEEDS = range(4)  # beyond the first of two widths and up to N = 100
# By kernels and N, images shown; up to N = 100 as in the profile `laptop`, whose trainings they are.
SHOWN = {
    4: BASE.clock4.lengths | {300: 1_800_000, 1000: 6_000_000},
    8: BASE.clock8.lengths | {1000: 2_400_000},
    16: {100: 150_000, 1000: 1_500_000},
}
_networks = {kernels: getattr(BASE, f"clock{kernels}") for kernels in SHOWN}
PROFILES[NAME] = BASE.model_copy(
    update={"name": NAME}
    | {
        f"clock{kernels}": each.model_copy(update={"N": tuple(SHOWN[kernels]), "lengths": SHOWN[kernels]})
        for kernels, each in _networks.items()
    }
)


def cells(data: str, trial: bool) -> list[tuple[Experiment, int]]:
    """A study and an N each, growing in N."""
    found = []
    for seed in SEEDS:
        asked = {"data": data, "profile": f"{NAME}-trial" if trial else NAME, "seed": seed}
        for kernels in SHOWN:
            study = Experiment(checked(Parameters, asked, "parameters"), family=f"clock{kernels}")
            again = [n for n in study.sizes if not seed or (n <= SCALE and kernels < 16)]
            found += [(study, n) for n in again]
    return sorted(found, key=lambda cell: cell[1])


def train(asked: Parameters, name: str) -> None:
    """One training, in a process of its own, which has this module's profile too."""
    torch.set_num_threads(1)
    of, training = training_named(name, asked)
    of.train(training)


def answered(study: Experiment, N: int) -> Committed:
    """Ask a cell whose models are trained; PSNR of single images to .01 dB, for a third of the bytes."""
    cell = clock_cell(study, N)
    gaps = [replace(g, own=g.own.round(2), held_out=g.held_out.round(2)) for g in cell.gaps]
    return Committed(
        cell=replace(cell, gaps=gaps),
        seed=study.parameters.seed,
        trainings=[study.key(training) for training in study.models.pair(N)],
        minutes=[study.train(training).summary["seconds"] / 60 for training in study.models.pair(N)],
        made={"date": time.strftime("%Y-%m-%d", time.gmtime()), **provenance()},
    )


def written(path: Path) -> list[Committed]:
    """The cells that are there by now."""
    return read_answer(path, list[Committed]) if path.is_file() else []


def place(one: Committed) -> tuple[int, int, int]:
    """What is one cell, however often it is made."""
    return one.cell.kernels, one.cell.N, one.seed


def main() -> None:
    """Make the cells that are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--only", nargs="+", help="these cells, as 4x300: kernels and N")
    parser.add_argument("--trial", action="store_true", help="five steps of each, to see that it runs")
    parser.add_argument("--out", type=Path, help="a folder; by default results/clock, but for a trial")
    given = parser.parse_args()
    given.out = target(given.out, "clock", trial=given.trial)
    os.environ.update(APART)
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), get_context("spawn")) as pool:
        for study, N in cells(given.data, given.trial):
            name = f"{study.family.name.removeprefix('clock')}x{N}"
            if given.only and name not in given.only:
                continue
            out, pair = given.out / f"{study.images.dataset.name}.json", study.models.pair(N)
            keys = [study.key(training) for training in pair]
            if any(one.trainings == keys for one in written(out)):
                continue
            list(pool.map(train, [study.parameters] * 2, [training.name for training in pair]))
            one = answered(study, N)
            with FileLock(out.with_name(f".{out.name}.lock")):  # others may have written in these hours
                others = [each for each in written(out) if place(each) != place(one)]
                write_answer(out, [*others, one], list[Committed])
            gaps = " and ".join(str(g.at(g.shown[-1])) for g in one.cell.gaps)
            print(f"{one.cell}, seed {one.seed}: g = {gaps} dB, {max(one.minutes):.1f} minutes", flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
