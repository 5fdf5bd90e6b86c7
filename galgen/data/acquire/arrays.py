"""Files of arrays as blocks of pixels: npz, npy and HDF5.

Only an npz is read as a whole: npy files are memory-mapped, HDF5 files are read in slices.
"""

import contextlib
import functools
import zipfile
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from galgen.data.acquire.folders import Block, Source, npy_problem
from galgen.runs.errors import GalgenError

__all__ = ["read_arrays"]

BLOCK = 256  # objects read at a time: some 25 MB of 64 x 64 pixels in three bands
PLANE_NAMES = ("bands", "filters")
ID_NAMES = ("id", "ids")

Arrays = Mapping[str, np.ndarray | h5py.Dataset]


def read_arrays(path: Path, key: str | None, resources: contextlib.ExitStack) -> Source:
    """Open an npz, npy or HDF5 file.

    Arrays of one dimension with an entry for each image become columns of the catalogue, `id` or `ids` its
    ids. An array `bands` or `filters` with a name for each plane names the bands; if it does so for the first
    of three axes, the file is one object.

    Args:
        path: The file.
        key: Name of the image array; by default the only array of numbers with 3 or 4 dimensions.
        resources: Closes the file when the source is no longer needed.

    Raises:
        GalgenError: If the file cannot be read, or it is unclear which of its arrays is meant.
    """
    try:
        arrays = _open(path, key, resources)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise GalgenError(f"{path} cannot be read: {npy_problem(error)}") from error
    images = arrays[_choose(path, arrays, key)]
    planes = _plane_names(arrays, images.shape)
    one = images.ndim == 3 and planes is not None
    count = 1 if one else len(images)
    columns = {
        name: _text(array) if _is_text(array) else array[:]
        for name, array in arrays.items()
        if array.ndim == 1
        and len(array) == count
        and name not in PLANE_NAMES
        and (_is_text(array) or array.dtype.kind in "biuf")
    }
    ids = next((columns.pop(name) for name in ID_NAMES if name in columns), range(count))

    def load(start: int) -> Block:
        pixels = images[:][None] if one else images[start : start + BLOCK]
        numbers = range(start, start + len(pixels))
        rows = [
            {"id": str(ids[i]), "file": path.name} | {name: of[i] for name, of in columns.items()}
            for i in numbers
        ]
        return Block([f"{path.name}[{i}]" for i in numbers], rows, pixels)

    loaders = [(path.name, functools.partial(load, start)) for start in range(0, count, BLOCK)]
    return Source(loaders, planes=planes)


def _open(path: Path, key: str | None, resources: contextlib.ExitStack) -> Arrays:
    """The arrays of a file by name; those of an npz that would have to be unpickled are left out."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return {path.name: np.load(path, mmap_mode="r", allow_pickle=False)}
    if suffix == ".npz":
        arrays = {}
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            for name in archive.files:
                try:
                    arrays[name] = archive[name]
                except ValueError as error:
                    if key in (None, name):
                        problem = (
                            f"{path}, key '{name}': {npy_problem(error)}; or name another array by --key"
                        )
                        raise GalgenError(problem) from error
        return arrays
    if suffix in (".h5", ".hdf5", ".hdf"):
        file = resources.enter_context(h5py.File(path, "r"))
        found: dict[str, h5py.Dataset] = {}
        file.visititems(
            lambda name, node: found.update({name: node} if isinstance(node, h5py.Dataset) else {})
        )
        return found
    raise GalgenError(f"{path} is not an npz, npy or HDF5 file; for images of other kinds give their folder")


def _choose(path: Path, arrays: Arrays, key: str | None) -> str:
    kinds = {name: "table" if array.dtype.names else array.dtype for name, array in arrays.items()}
    listing = ", ".join(f"'{name}' {arrays[name].shape} {kind}" for name, kind in kinds.items()) or "nothing"
    images = [k for k, a in arrays.items() if a.ndim in (3, 4) and a.dtype.kind in "biufc" and len(a)]
    if key is None and len(images) == 1:
        return images[0]
    if key is None:
        problem = "several arrays of images, choose one with --key" if images else "no array of images"
    else:
        problem = f"no array of images named '{key}'"
    if key is None or key not in images:
        raise GalgenError(f"{path} has {problem} (numbers, 3 or 4 dimensions); it holds {listing}")
    return key


def _plane_names(arrays: Arrays, shape: tuple[int, ...]) -> tuple[str, ...] | None:
    for name in PLANE_NAMES:
        if name in arrays and arrays[name].ndim == 1 and _is_text(arrays[name]):
            planes = tuple(_text(arrays[name]))
            axes = shape[:1] if len(shape) == 3 else (shape[1], shape[-1])
            if len(planes) in axes and len(set(planes)) == len(planes):
                return planes
    return None


def _is_text(array: np.ndarray | h5py.Dataset) -> bool:
    return array.dtype.kind in "SU" or h5py.check_string_dtype(array.dtype) is not None


def _text(array: np.ndarray | h5py.Dataset) -> list[str]:
    return [entry.decode() if isinstance(entry, bytes) else str(entry) for entry in array[:]]
