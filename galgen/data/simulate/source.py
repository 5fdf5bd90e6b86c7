"""Recipes of simulated data sets in the run store."""

import importlib.metadata
import os
from pathlib import Path

from galgen.data.dataset import Dataset, write_dataset
from galgen.data.prepare import SIMULATED, Making
from galgen.data.simulate.images import simulate
from galgen.data.simulate.leaves import dead_leaves
from galgen.runs.code import closure

__all__ = ["simulated"]

POPULATIONS = dict(zip(SIMULATED, ("main", "ellipticals", "leaves"), strict=True))


def simulated(source: str, **options: int) -> Making:
    """Return the recipe of a simulated source; options as in `galgen.data.prepare.prepare`."""
    params = {"population": POPULATIONS[source]} | options
    leaves = source == "dead-leaves"
    draw, credit = (dead_leaves, source) if leaves else (simulate, "simulated")

    def make(directory: Path) -> Dataset:
        images, truth = draw(workers=os.cpu_count() or 1, progress=True, **params)
        about = {"source": source, "manifest": credit, "parameters": params, "dropped": {}}
        return write_dataset(directory, images, truth, **about)

    recipe = params if leaves else params | {"galsim": importlib.metadata.version("galsim")}
    return Making(recipe, closure(draw.__module__), make)
