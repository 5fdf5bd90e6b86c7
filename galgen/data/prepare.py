"""From the name of a source to a data set in the run store: simulated, of another kind, or a path.

How each kind of source is made is in a module of its own, which is loaded where it is asked for.
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

__all__ = ["SIMULATED", "SMALLER", "SOURCES", "Making", "check_source", "identity", "out_of_domain",
    "prepare"]  # fmt: skip

SIMULATED = ("simulated", "simulated-ellipticals", "dead-leaves")  # sources that are no paths
SOURCES = Registry(
    {"simulated": "galgen.data.simulate.source:simulated", "path": "galgen.data.acquire.importing:imported"}
)

SMALLER = ("galgen.data.prepare", "galgen.data.preprocess")  # modules that averaged images depend on


@dataclass(frozen=True)
class Making:
    """How a data set is made.

    Attributes:
        params: All that it depends on beside the images it is made of (JSON).
        code: The modules that its pixels depend on.
        make: Writes it into a folder.
        data: The sha256 of the images it is made of.
    """

    params: dict
    code: Iterable[str]
    make: Callable[[Path], Dataset]
    data: str = ""


def out_of_domain(source: str, name: str) -> str:
    """The source of images of another kind, by a name of `galgen.profiles.OutOfDomain`.

    Other galaxies are ellipticals alone beside the simulated ones, and the simulated beside all else.
    """
    if name == "leaves":
        return "dead-leaves"
    return "simulated-ellipticals" if source == "simulated" else "simulated"


def check_source(source: str) -> Path:
    """The path of a source, which for a simulated one is none.

    Raises:
        GalgenError: If the source is neither a name nor the path of a file or folder.
    """
    path = os.path.expanduser(source)
    # "" is neither, and so is a pipe, which would be waited for
    if source not in SIMULATED and not (os.path.isfile(path) or os.path.isdir(path)):
        raise GalgenError(
            f"data '{source}' is no path that exists, of a file or folder, and no simulated population "
            f"({', '.join(SIMULATED)})"
        )
    return Path(path)


def identity(store: Store, source: str, *, size: int, **asked: int) -> str:
    """What names a data set in keys: of simulated images the key of their recipe, of others their sha256.

    Pixels of simulated galaxies differ between processors: of 10 million, 22 by one step of 255. They are
    the same galaxies, and a run that reads what is published of them need not simulate any.
    """
    if source in SIMULATED:
        recipe = SOURCES["simulated"](source, size=size, **asked)
        return store.key("dataset", recipe.params, code=recipe.code)
    return prepare(store, source, size=size, **asked).sha256


def prepare(
    store: Store,
    source: str,
    *,
    size: int,
    crop: int,
    count: int,
    seed: int = 0,
) -> Dataset:
    """The data set of a source at a given image size, made or imported on the first call.

    Args:
        store: Where it is kept.
        source: A name in `SIMULATED`, or the path of images or of a data set.
        size: Side of the images, pixels.
        crop: Side of the field that is simulated, pixels of 0.262 arcsec.
        count: How many galaxies to simulate; images that exist are all taken.
        seed: Names the simulated galaxies.

    Raises:
        GalgenError: If the source is neither a name nor a path, or a data set that has changed.
    """
    path = check_source(source)
    if source in SIMULATED:
        asked = {"count": count, "size": size, "crop": crop, "seed": seed}
        recipe = SOURCES["simulated"](source, **asked)
    elif (path / "meta.json").is_file():
        given = Dataset.open(path)
        given.verify()  # what is in the store is checked there
        if given.images.shape[-1] == size:
            return given
        recipe = _smaller(given, size)
    else:
        recipe = SOURCES["path"](path, size)

    def work(folder: Path) -> dict:
        shutil.rmtree(folder / "dataset", ignore_errors=True)  # of an interrupted attempt
        dataset = recipe.make(folder / "dataset")
        return {"images": len(dataset), "sha256": dataset.sha256, "dropped": dataset.meta["dropped"]}

    run = store.run("dataset", recipe.params, work, data=recipe.data, code=recipe.code)
    return Dataset.open(run.path / "dataset")


def _smaller(given: Dataset, size: int) -> Making:
    """How the images of a data set are averaged down."""

    def make(directory: Path) -> Dataset:
        # in float32, where halves round up, unlike `averaged`: the clock's images are made so, and keyed
        smaller = to_uint8(resize_area(given.images / np.float32(255), size))
        about = {name: given.meta[name] for name in ("source", "manifest", "dropped")}
        parameters = given.meta["parameters"] | {"size": size}
        return write_dataset(directory, smaller, given.catalogue, parameters=parameters, **about)

    params = {"name": given.directory.name, "size": size}
    return Making(params, SMALLER, make, given.sha256)
