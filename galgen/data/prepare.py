"""From the name of a source to a data set in the run store: simulated, a control population, or a path."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
from astropy.table import Table

from galgen.data import preprocess
from galgen.data.acquire import arrays, folders, importing
from galgen.data.dataset import Dataset, write_dataset
from galgen.data.manifest import load_manifest
from galgen.data.simulate import discs, population
from galgen.data.simulate import images as simulate
from galgen.runs.errors import GalgenError
from galgen.runs.files import file_sha256
from galgen.runs.store import Store

__all__ = ["SIMULATED", "prepare"]

SIMULATED = {"simulated": "main", "simulated-ellipticals": "ellipticals"}


def prepare(store: Store, source: str, *, size: int, crop: int, count: int, seed: int = 0) -> Dataset:
    """The data set of a source at a given image size, made or imported on the first call.

    Args:
        store: Where it is kept.
        source: A name in `SIMULATED`, or the path of images or of a data set.
        size: Side of the images, pixels.
        crop: Side of the field that is simulated, pixels of 0.262 arcsec.
        count: How many galaxies to simulate; images that exist are all taken.
        seed: Names the simulated galaxies.

    Raises:
        GalgenError: If the source is neither a name nor a path.
    """
    if source in SIMULATED:
        params = {"population": SIMULATED[source], "count": count, "size": size, "crop": crop, "seed": seed}

        def make(work: Path) -> dict:
            images, catalogue = simulate.simulate(workers=os.cpu_count() or 1, progress=True, **params)
            return _write(work, images, catalogue, source, "simulated", params, {})

        run = store.run("dataset", params, make, code=[simulate, population, discs, preprocess])
        return Dataset.open(run.path / "dataset")

    path = Path(source).expanduser()
    if not path.exists():
        raise GalgenError(
            f"data '{source}' is no path that exists and no simulated population ({', '.join(SIMULATED)})"
        )
    params = {"name": path.name, "size": size}
    if (path / "meta.json").is_file():
        given = Dataset.open(path)
        if given.images.shape[-1] == size:
            return given

        def make_smaller(work: Path) -> dict:
            images = preprocess.to_uint8(preprocess.resize_area(given.images / np.float32(255), size))
            meta = given.meta
            entry, parameters = meta["manifest"], meta["parameters"] | {"size": size}
            return _write(work, images, given.catalogue, given.name, entry, parameters, meta["dropped"])

        run = store.run("dataset", params, make_smaller, data=given.sha256, code=[preprocess])
        return Dataset.open(run.path / "dataset")

    data = _path_sha256(path)

    def make_import(work: Path) -> dict:
        found = importing.import_images(path, size=size, progress=True)
        entry = load_manifest().name_of(data)
        return _write(work, found.images, found.catalogue, path.stem, entry, found.parameters, found.dropped)

    code = [importing, arrays, folders, preprocess]
    run = store.run("dataset", params, make_import, data=data, code=code)
    return Dataset.open(run.path / "dataset")


def _write(
    work: Path,
    images: np.ndarray,
    catalogue: Table,
    source: str,
    manifest: str,
    parameters: dict,
    dropped: dict,
) -> dict:
    shutil.rmtree(work / "dataset", ignore_errors=True)  # of an interrupted attempt
    dataset = write_dataset(
        work / "dataset",
        images,
        catalogue,
        source=source,
        manifest=manifest,
        parameters=parameters,
        dropped=dropped,
    )
    return {"images": len(dataset), "sha256": dataset.sha256, "dropped": dropped}


def _path_sha256(path: Path) -> str:
    """The checksum of a file, or of the names and checksums of all files in a folder."""
    if path.is_file():
        return file_sha256(path)
    lines = [f"{p.relative_to(path)} {file_sha256(p)}" for p in sorted(path.rglob("*")) if p.is_file()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
