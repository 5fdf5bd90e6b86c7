"""Simulated galaxies as an entry of the run store, and a large set in parts.

A part of `PART` galaxies is an entry itself: what was interrupted loses one part at most, and on a cluster
each part is a job.
"""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from galgen.data.dataset import Dataset, write_catalogue, write_dataset
from galgen.data.prepare import SIMULATED, Making
from galgen.data.simulate.images import simulate
from galgen.data.simulate.leaves import dead_leaves
from galgen.runs.store import Store

__all__ = ["PART", "parts", "simulate_part", "simulated", "to_simulate"]

POPULATIONS = dict(zip(SIMULATED, ("main", "ellipticals", "leaves"), strict=True))
PART = 10_000  # galaxies: a minute or two of two cores


def _drawn(population: str) -> Callable[..., tuple[np.ndarray, Table]]:
    """What draws a population."""
    return dead_leaves if population == "leaves" else simulate


def parts(source: str, *, size: int, crop: int, count: int, seed: int) -> list[dict]:
    """What `simulate_part` is asked for each part of a large simulated set, in order; others have none."""
    if source not in SIMULATED or count <= PART:
        return []
    same = {"population": POPULATIONS[source], "size": size, "crop": crop, "seed": seed}
    return [same | {"start": k, "count": min(PART, count - k)} for k in range(0, count, PART)]


def to_simulate(store: Store, asked: list[dict]) -> dict[str, int]:
    """Of the data sets that these `parts` make, the galaxies of those that the store lacks, by population."""
    counts = Counter()
    for part in asked:
        counts[part["population"]] += part["count"]
    for part in asked:
        whole = {name: value for name, value in part.items() if name != "start"}
        whole["count"] = counts[part["population"]]
        if part["start"] == 0 and store.find("dataset", whole, code=[_drawn(part["population"])]):
            del counts[part["population"]]
    return counts


def simulate_part(store: Store, part: dict) -> tuple[np.ndarray, Table]:
    """Images and truth of one of `parts`, from the store or simulated here."""
    draw = _drawn(part["population"])

    def make(folder: Path) -> dict:
        images, truth = draw(workers=os.cpu_count() or 1, progress=True, **part)
        np.save(folder / "images.npy", images)
        write_catalogue(truth, folder / "truth.ecsv")
        return {"images": len(images)}

    path = store.run("part", part, make, code=[draw]).path
    return np.load(path / "images.npy", mmap_mode="r"), Table.read(
        path / "truth.ecsv", format="ascii.ecsv", encoding="utf-8"
    )


def simulated(store: Store, source: str, *, before: Callable[[], None], **asked: int) -> Making:
    """How the galaxies of a source are made; arguments as of `galgen.data.prepare.prepare`."""
    params = {"population": POPULATIONS[source]} | asked
    draw, credit = _drawn(params["population"]), source if source == "dead-leaves" else "simulated"

    def make(directory: Path) -> Dataset:
        before()
        if made := [simulate_part(store, part) for part in parts(source, **asked)]:
            found, tables = zip(*made, strict=True)
            images, truth = np.concatenate(found), vstack(tables, metadata_conflicts="error")
        else:
            images, truth = draw(workers=os.cpu_count() or 1, progress=True, **params)
        about = {"source": source, "manifest": credit, "parameters": params, "dropped": {}}
        return write_dataset(directory, images, truth, **about)

    return Making(params, [draw], make)
