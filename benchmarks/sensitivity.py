"""Smallest fraction of copies that the bias test of an audit detects, into results/sensitivity.json.

    python benchmarks/sensitivity.py                              simulated galaxies
    python benchmarks/sensitivity.py --data path/to/galaxies      other images

For n samples, m held-out images and N training images, 200 repetitions each. In a repetition, galaxies are
partitioned anew into training, held-out and fresh ones. A fraction c of the samples are training images,
drawn with replacement, with noise of standard deviation 0.02, in 8 bits; the others are fresh galaxies. The
test is that of `galgen.auditing.copies`, detection is p <= 0.01, unadjusted, as in the verdict of an audit.
A row has the smallest c of `LEVELS` detected in four of five repetitions or more, and the fraction of
repetitions in which it was, with Clopper-Pearson interval; `size` is that of c = 0.

Cosines of all pairs are computed once; a repetition selects rows and columns. Repetitions share galaxies, the
noise of each, and for equal N and m the permuted labels, while the order of the images is random.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from tqdm import trange

from galgen.auditing.copies import LEVEL
from galgen.compare.similarity import cosine_matrix
from galgen.data.preprocess import to_uint8
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, checked, exit_code
from galgen.runs.files import read_json, results_file, to_json_values, write_json
from galgen.runs.store import provenance

SAMPLES, HELD_OUT, LARGEST = (100, 200, 500, 1000), (100, 250, 1000), 4000
LEVELS = np.r_[
    0, np.arange(1, 10) / 200, np.arange(5, 20) / 100, np.arange(4, 10) / 20, np.arange(5, 11) / 10
]
NOISE, POWER, PERMUTATIONS, NEIGHBORS = 0.02, 0.8, 999, 5


def nearest(cosine: torch.Tensor, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest cosines of each row among some columns, and their places there, (n, 5) each."""
    found = cosine[torch.from_numpy(rows)][:, torch.from_numpy(columns)].topk(NEIGHBORS)
    return found.values.numpy(), found.indices.numpy()


def weighted(train: tuple, held_out: tuple, N: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest image in the pool and the weight w of each sample, from `nearest` in each set."""
    cosine = np.concatenate([train[0], held_out[0]], axis=1)
    place = np.concatenate([train[1], N + held_out[1]], axis=1)
    distance = np.sqrt(np.clip(2 - 2 * np.sort(cosine, axis=1), 0, None))
    rows = np.arange(len(cosine))
    return place[rows, cosine.argmax(1)], 1 - distance[:, -1] / distance[:, -NEIGHBORS]


def detected(copies: tuple, fresh: tuple, labels: np.ndarray, N: int) -> np.ndarray:
    """Return whether the test finds copies, for each number of samples and each level, in one product."""
    sums = []
    for n in SAMPLES:
        for count in np.rint(n * LEVELS).astype(int):
            place, weight = (np.r_[a[:count], b[: n - count]] for a, b in zip(copies, fresh, strict=True))
            sums.append(np.bincount(place, weight, labels.shape[1]))
    sums = np.array(sums, np.float32).T
    value = sums[:N].sum(0)
    p = (1 + (labels @ sums >= value * (1 - 1e-6)).sum(0)) / (1 + len(labels))
    return (p <= LEVEL).reshape(len(SAMPLES), -1)


def study(images: np.ndarray, turns: int, seed: int) -> list[dict]:
    """Return the rows of one data set, distinct images uint8 (M, 1, H, H)."""
    if len(images) < LARGEST + HELD_OUT[-1] + SAMPLES[-1]:
        raise GalgenError(f"{len(images)} distinct images; the table needs 6000")
    rng, mean = np.random.default_rng(seed), images.mean(0) / 255
    noisy = to_uint8(images / 255 + NOISE * rng.standard_normal(images.shape, np.float32))
    real, copied = (
        torch.from_numpy(cosine_matrix(unit(x), unit(images), kind="anomaly", mean=mean))
        for x in (images, noisy)
    )
    cells = [(m, N) for m in HELD_OUT for N in (m, LARGEST)]
    labels = {
        cell: rng.permuted(np.tile(np.arange(sum(cell)) < cell[1], (PERMUTATIONS, 1)), axis=1)
        for cell in cells
    }
    labels = {cell: table.astype(np.float32) for cell, table in labels.items()}
    found = {cell: np.zeros((len(SAMPLES), len(LEVELS)), int) for cell in cells}
    for _ in trange(turns, mininterval=10):
        train, held_out, rest = np.split(rng.permutation(len(images)), [LARGEST, LARGEST + HELD_OUT[-1]])
        fresh = rest[: SAMPLES[-1]]
        of_held_out = {m: nearest(real, fresh, held_out[:m]) for m in HELD_OUT}
        for N in {N for _, N in cells}:
            chosen = rng.choice(train[:N], SAMPLES[-1])
            of_train = nearest(real, fresh, train[:N]), nearest(copied, chosen, train[:N])
            for m in (m for m, size in cells if size == N):
                pairs = (of_train[1], nearest(copied, chosen, held_out[:m])), (of_train[0], of_held_out[m])
                found[m, N] += detected(*(weighted(*pair, N) for pair in pairs), labels[m, N], N)
    return [
        summarized(found[m, N][k], turns) | {"samples": n, "held_out": m, "train": N}
        for m, N in cells
        for k, n in enumerate(SAMPLES)
    ]


def summarized(counts: np.ndarray, turns: int) -> dict:
    """Return the smallest level with the power asked for, its power with interval, and the size."""
    enough = np.flatnonzero(counts >= POWER * turns)
    result = {"size": counts[0] / turns, "fraction": None, "power": None}
    if len(enough):
        interval = stats.binomtest(int(counts[enough[0]]), turns).proportion_ci()
        power = [counts[enough[0]] / turns, interval.low, interval.high]
        result |= {"fraction": LEVELS[enough[0]], "power": power}
    return result


def main() -> None:
    """Make the rows of a data set and add them to results/sensitivity.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="simulated")
    parser.add_argument("--turns", type=int, default=200, help="repetitions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="by default results/sensitivity.json")
    given = parser.parse_args()
    out = results_file(given.out, "sensitivity.json", trial=given.turns < 200)
    galaxies = Experiment(checked(Parameters, {"data": given.data}, "parameters")).images
    started, dataset = time.monotonic(), galaxies.dataset
    rows = study(dataset.images[dataset.distinct], given.turns, given.seed)
    made = {"date": time.strftime("%Y-%m-%d", time.gmtime()), **provenance(), "seed": given.seed}
    made |= {"turns": given.turns, "noise": NOISE, "level": LEVEL, "sha256": dataset.sha256, "rows": rows}
    made["minutes"] = round((time.monotonic() - started) / 60, 1)
    found = read_json(out) if out.is_file() else {}
    write_json(out, to_json_values(found | {galaxies.name: made}))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main() or 0))
