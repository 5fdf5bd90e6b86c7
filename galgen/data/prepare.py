"""Prepare the data set of a source (simulated, out-of-domain or a path) in the run store.

Each kind of source has a separate module, imported on first use.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galgen.data.dataset import Dataset, write_dataset
from galgen.data.preprocess import resize_area, to_uint8
from galgen.runs.errors import GalgenError
from galgen.runs.registry import Registry
from galgen.runs.store import Store

__all__ = ["SIMULATED", "SMALLER", "SOURCES", "Making", "check_source", "out_of_domain", "prepare",
    "simulation"]  # fmt: skip

SIMULATED = ("simulated", "simulated-ellipticals", "dead-leaves")  # sources that are not paths
SOURCES = Registry(
    {"simulated": "galgen.data.simulate.source:simulated", "path": "galgen.data.acquire.importing:imported"}
)

SMALLER = frozenset({"galgen.data.prepare", "galgen.data.preprocess"})  # averaged images depend on them


@dataclass(frozen=True)
class Making:
    """Recipe of a data set.

    Attributes:
        params: All that it depends on except its input images (JSON).
        code: The modules that its pixels depend on.
        make: Writes the data set into a folder.
        data: The sha256 of its input images.
    """

    params: dict
    code: Iterable[str]
    make: Callable[[Path], Dataset]
    data: str = ""


def out_of_domain(source: str, name: str) -> str:
    """Return the source of out-of-domain images, by a name of `galgen.profiles.OutOfDomain`.

    Out-of-domain galaxies are ellipticals if the source is `simulated`, simulated galaxies otherwise.
    """
    if name == "leaves":
        return "dead-leaves"
    return "simulated-ellipticals" if source == "simulated" else "simulated"


def check_source(source: str) -> Path:
    """Return the path of a source; for simulated sources it does not exist.

    Raises:
        GalgenError: If the source is neither a simulated one nor the path of a file or folder.
    """
    path = os.path.expanduser(source)
    # rejects "" and pipes, which would block
    if source not in SIMULATED and not (os.path.isfile(path) or os.path.isdir(path)):
        raise GalgenError(
            f"data '{source}' is neither an existing file or folder nor a simulated population "
            f"({', '.join(SIMULATED)})"
        )
    return Path(path)


def simulation(source: str, **options: int) -> Making:
    """Return the recipe of a simulated data set, which names it in keys instead of the sha256 of its pixels.

    Pixels differ between processors: 22 of 10 million by one of 255 gray levels. They count as the same
    galaxies, so a run that reads published results need not simulate any.
    """
    return SOURCES["simulated"](source, **options)


def prepare(
    store: Store,
    source: str,
    *,
    size: int,
    crop: int,
    count: int,
    seed: int = 0,
) -> Dataset:
    """Return the data set of a source at a given image size, simulating or importing it on the first call.

    Args:
        store: The run store.
        source: A name in `SIMULATED`, or the path of images or of a data set.
        size: Side of the images, pixels.
        crop: Side of the simulated field, pixels of 0.262 arcsec.
        count: Number of galaxies to simulate; existing images are all used.
        seed: Random seed of the simulated galaxies.

    Raises:
        GalgenError: If the source is neither a name nor a path, or is a data set that has changed.
    """
    path = check_source(source)
    if source in SIMULATED:
        recipe = simulation(source, count=count, size=size, crop=crop, seed=seed)
    elif (path / "meta.json").is_file():
        original = Dataset.open(path)
        original.verify()  # entries of the store are verified there
        if original.images.shape[-1] == size:
            return original
        recipe = _smaller(original, size)
    else:
        recipe = SOURCES["path"](path, size)

    def work(folder: Path) -> dict:
        shutil.rmtree(folder / "dataset", ignore_errors=True)  # from an interrupted attempt
        dataset = recipe.make(folder / "dataset")
        return {"images": len(dataset), "sha256": dataset.sha256, "dropped": dataset.meta["dropped"]}

    run = store.run("dataset", recipe.params, work, data=recipe.data, code=recipe.code)
    return Dataset.open(run.path / "dataset")


def _smaller(original: Dataset, size: int) -> Making:
    """Return the recipe that averages the images of a data set to a smaller size."""

    def make(directory: Path) -> Dataset:
        # in float32, where halves round up, unlike `averaged`: as published for the onset study
        smaller = to_uint8(resize_area(original.images / np.float32(255), size))
        about = {name: original.meta[name] for name in ("source", "manifest", "dropped")}
        parameters = original.meta["parameters"] | {"size": size}
        return write_dataset(directory, smaller, original.catalogue, parameters=parameters, **about)

    params = {"name": original.directory.name, "size": size}
    return Making(params, SMALLER, make, original.sha256)
