"""From the name of a source to a data set in the run store: simulated, of another kind, or a path.

A large simulated set is made of parts of `PART` galaxies, entries of the store themselves: what was
interrupted loses one part at most, and on a cluster each part is a job.
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack

from galgen.data.acquire.importing import import_images, write_imported
from galgen.data.acquire.readers import files_below
from galgen.data.dataset import Dataset, write_catalogue, write_dataset
from galgen.data.manifest import load_manifest
from galgen.data.preprocess import resize_area, to_uint8
from galgen.data.simulate.images import simulate
from galgen.data.simulate.leaves import dead_leaves
from galgen.runs.errors import GalgenError
from galgen.runs.files import file_sha256
from galgen.runs.store import Store

SIMULATED = {"simulated": "main", "simulated-ellipticals": "ellipticals", "dead-leaves": "leaves"}
PART = 10_000  # galaxies: a minute or two of two cores


def foreign(source: str, name: str) -> str:
    """The source of images of another kind, by a name of `galgen.settings.Foreign`.

    Other galaxies are the simulated ones beside real data, and ellipticals alone beside the simulated.
    """
    if name == "leaves":
        return "dead-leaves"
    return "simulated-ellipticals" if source in SIMULATED else "simulated"


def _drawn(population: str) -> Callable[..., tuple[np.ndarray, Table]]:
    """What draws a population."""
    return dead_leaves if population == "leaves" else simulate


def parts(source: str, *, size: int, crop: int, count: int, seed: int) -> list[dict]:
    """What `simulate` is asked for each part of a large simulated set, in order; others have no parts."""
    if source not in SIMULATED or count <= PART:
        return []
    same = {"population": SIMULATED[source], "size": size, "crop": crop, "seed": seed}
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


def check_source(source: str) -> Path:
    """The path of a source, which for a simulated one is none.

    Raises:
        GalgenError: If the source is neither a name nor a path that exists.
    """
    path = os.path.expanduser(source)
    if source not in SIMULATED and not os.path.exists(path):  # "" does not
        raise GalgenError(
            f"data '{source}' is no path that exists and no simulated population ({', '.join(SIMULATED)})"
        )
    return Path(path)


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


def prepare(
    store: Store,
    source: str,
    *,
    size: int,
    crop: int,
    count: int,
    seed: int = 0,
    before: Callable[[], None] = lambda: None,
) -> Dataset:
    """The data set of a source at a given image size, made or imported on the first call.

    Args:
        store: Where it is kept.
        source: A name in `SIMULATED`, or the path of images or of a data set.
        size: Side of the images, pixels.
        crop: Side of the field that is simulated, pixels of 0.262 arcsec.
        count: How many galaxies to simulate; images that exist are all taken.
        seed: Names the simulated galaxies.
        before: Called before galaxies are simulated, to raise where there is no room for them.

    Raises:
        GalgenError: If the source is neither a name nor a path, or a data set that has changed.
    """
    path, data = check_source(source), ""
    if source in SIMULATED:
        params = {"population": SIMULATED[source], "count": count, "size": size, "crop": crop, "seed": seed}
        draw = _drawn(SIMULATED[source])
        credit = source if source == "dead-leaves" else "simulated"
        code = [draw]

        def make(directory: Path) -> Dataset:
            before()
            if asked := parts(source, size=size, crop=crop, count=count, seed=seed):
                found, tables = zip(*(simulate_part(store, part) for part in asked), strict=True)
                images, truth = np.concatenate(found), vstack(tables, metadata_conflicts="error")
            else:
                images, truth = draw(workers=os.cpu_count() or 1, progress=True, **params)
            about = {"source": source, "manifest": credit, "parameters": params, "dropped": {}}
            return write_dataset(directory, images, truth, **about)

    elif (path / "meta.json").is_file():
        given = Dataset.open(path)
        given.verify()  # what is in the store is checked there
        if given.images.shape[-1] == size:
            return given
        params, data, code = {"name": path.name, "size": size}, given.sha256, [to_uint8, resize_area]

        def make(directory: Path) -> Dataset:
            smaller = to_uint8(resize_area(given.images / np.float32(255), size))
            about = {name: given.meta[name] for name in ("source", "manifest", "dropped")}
            parameters = given.meta["parameters"] | {"size": size}
            return write_dataset(directory, smaller, given.catalogue, parameters=parameters, **about)

    else:
        params, data = {"name": path.name, "size": size}, _path_sha256(path)
        code = [import_images]

        def make(directory: Path) -> Dataset:
            found = import_images(path, size=size, progress=True)
            return write_imported(directory, found, source=path.stem, manifest=load_manifest().name_of(data))

    def work(folder: Path) -> dict:
        shutil.rmtree(folder / "dataset", ignore_errors=True)  # of an interrupted attempt
        dataset = make(folder / "dataset")
        return {"images": len(dataset), "sha256": dataset.sha256, "dropped": dataset.meta["dropped"]}

    return Dataset.open(store.run("dataset", params, work, data=data, code=code).path / "dataset")


def _path_sha256(path: Path) -> str:
    """The checksum of a file, or of the names and checksums of all files in a folder."""
    if path.is_file():
        return file_sha256(path)
    lines = [f"{file.relative_to(path)} {file_sha256(file)}" for file in files_below(path)]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
