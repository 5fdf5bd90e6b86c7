"""The user's files, one object after the other: npz, npy and HDF5 arrays, folders of FITS, npy, PNG and JPEG.

Opening a source looks at names and headers; pixels are read one object at a time (npy files are
memory-mapped, HDF5 files read in slices, only an npz is unpacked as a whole). One bad object is a `Refusal`,
which leaves the others alone; a source that cannot be used at all is a `GalgenError`.
"""

import contextlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.lib.npyio import NpzFile
from PIL import Image

from galgen.data.acquire.cubes import band_sets, read_bands, read_drawn
from galgen.data.acquire.limits import Object, Refusal, check_pixels, check_unpacked, reading
from galgen.data.acquire.places import SUFFIXES, images_below
from galgen.data.dataset import check_ids
from galgen.data.preprocess import DRAWN
from galgen.runs.errors import GalgenError

__all__ = ["MAX_OBJECTS", "Source", "files_of", "open_source", "read_npy", "read_picture"]

PLANE_NAMES = ("bands", "filters")
ID_NAMES = ("id", "ids")
MAX_OBJECTS = 2**22
HDF5_CACHE = 2**26  # bytes: HDF5 unpacks chunks of many images, so the last ones are kept

Arrays = Mapping[str, np.ndarray | h5py.Dataset]


@dataclass(frozen=True)
class Source:
    """An opened source.

    Attributes:
        names: What to call each object in messages.
        read: The object of that number; its pixels have shape (H, W), (planes, H, W) or (H, W, planes).
        kind: "flux" or "display", where the format decides it.
        planes: Names of the bands in each image, where the source tells them.
    """

    names: Sequence[str]
    read: Callable[[int], Object]
    kind: str | None = None
    planes: tuple[str, ...] | None = None


def open_source(path: Path, bands: Sequence[str], key: str | None, resources: contextlib.ExitStack) -> Source:
    """Open a folder or a file of images.

    A folder holds FITS, npy, or PNG and JPEG files, at any depth. A FITS object is one file a band,
    `190_gband.fits`, `190_g.fits` or `g/190.fits`, or one file that holds all bands. npy, PNG and JPEG files
    are one object each; transparency is ignored.

    A FITS file by its own path is what a model has drawn (`galgen sample`), display images and no flux.

    In a file, arrays of one dimension with an entry for each image become columns of the catalogue, `id` or
    `ids` its ids. An array `bands` or `filters` with a name for each plane names the bands; if it does so for
    the first of three axes, the file is one object.

    Args:
        path: The folder, or the npz, npy, HDF5 or FITS file.
        bands: The bands that a FITS object must have.
        key: Name of the image array; by default the only array of numbers with 3 or 4 dimensions.
        resources: Closes the file when the source is no longer needed.

    Raises:
        GalgenError: If there are no images or several sorts, a file cannot be read, two files are one band of
            one object, or it is unclear which array is meant.
    """
    if os.path.isfile(path):
        return (
            _open_drawn(path)
            if path.name.lower().endswith(SUFFIXES["FITS"])
            else _open_file(path, key, resources)
        )
    if not os.path.isdir(path):
        problem = "is neither a file nor a folder" if os.path.exists(path) else "does not exist"
        raise GalgenError(f"{path} {problem}")
    if (path / "meta.json").is_file():
        raise GalgenError(f"{path} is a galgen data set already: use it as it is, as --data or DATA")
    if key is not None:
        raise GalgenError(f"{path} is a folder; a key is for npz and HDF5 files")
    return _open_folder(path, tuple(bands))


def files_of(path: Path) -> list[Path]:
    """The files that a source or a data set is read from: of folders by their names, of a file by its header.

    Raises:
        GalgenError: If it is neither, before anything of any length is read.
    """
    if os.path.isfile(path):
        with contextlib.ExitStack() as resources, reading(f"{path} cannot be read", GalgenError):
            if not path.name.lower().endswith(SUFFIXES["FITS"]):
                _opened(path, resources)
        return [path]
    own = [path / name for name in ("catalogue.ecsv", "images.npy", "meta.json")]
    return own if all(map(os.path.isfile, own)) else images_below(path)[1]


# Files of arrays


def _open_file(path: Path, key: str | None, resources: contextlib.ExitStack) -> Source:
    with reading(f"{path} cannot be read", GalgenError):
        arrays = _arrays(path, resources)
        images = arrays[_choose(path, arrays, key)]
        planes = _plane_names(arrays, images.shape)
        one = images.ndim == 3 and planes is not None
        check_pixels(images.shape[1 - one :], GalgenError, f"{path}, images are ")
        if one:
            images = images[:][None]
        if (count := len(images)) > MAX_OBJECTS:
            raise GalgenError(f"{path} has {count} images, more than {MAX_OBJECTS}; take a part of them")
        columns = {
            name: _text(array) if _is_text(array) else array[:]
            for name, array in arrays.items()
            if array.shape == (count,) and (_is_text(array) or array.dtype.kind in "biuf")
        }
    for name in PLANE_NAMES:
        columns.pop(name, None)
    found = next((columns.pop(name) for name in ID_NAMES if name in columns), range(count))
    check_ids(ids := [str(id_).strip() for id_ in found], path)

    def read(i: int) -> Object:
        with reading("cannot be read", GalgenError):  # a damaged piece of an HDF5 file
            pixels = images[i]
        return {"id": ids[i], "file": path.name} | {name: of[i] for name, of in columns.items()}, pixels

    return Source([f"{path.name}[{i}]" for i in range(count)], read, planes=planes)


def _open_drawn(path: Path) -> Source:
    """What a model has drawn; what is a little outside of black and white is clipped, as in an audit."""
    with reading(f"{path} cannot be read", GalgenError):
        images, first = read_drawn(path)
        known = images.min() >= DRAWN[0] and images.max() <= DRAWN[1]  # never of NaN
        images = images.clip(0, 1) if known else images
    return Source(
        [f"{path.name}[{i}]" for i in range(len(images))],
        lambda i: ({"id": str(first + i), "file": path.name}, images[i]),
        "display",
    )


def _opened(path: Path, resources: contextlib.ExitStack) -> np.ndarray | NpzFile | h5py.File:
    """A file of arrays, of which nothing is unpacked yet."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False)
    if suffix == ".npz":
        return resources.enter_context(np.load(path, allow_pickle=False))
    if suffix not in (".h5", ".hdf5", ".hdf"):
        raise GalgenError(f"{path} is not an npz, npy or HDF5 file; for images of other kinds give a folder")
    return resources.enter_context(h5py.File(path, "r", rdcc_nbytes=HDF5_CACHE))


def _arrays(path: Path, resources: contextlib.ExitStack) -> Arrays:
    """The arrays of a file by name; members of an npz that are no arrays are left out."""
    file, names = _opened(path, resources), []
    if isinstance(file, np.ndarray):
        return {path.name: file}
    if isinstance(file, NpzFile):
        check_unpacked(sum(member.file_size for member in file.zip.infolist()), path)
        found = {name: file[name] for name in file.files}
        return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}
    file.visit(names.append)
    found = {name: file[name] for name in names if isinstance(file[name], h5py.Dataset)}
    for name, array in found.items():
        if array.external or array.is_virtual:
            raise GalgenError(f"{path}, '{name}' lies in other files; save it in this one")
        piece = array.size if array.ndim == 1 else math.prod(array.chunks or [0])
        check_unpacked(array.dtype.itemsize * piece, f"{path}, a piece of '{name}'")
    return found


def _choose(path: Path, arrays: Arrays, key: str | None) -> str:
    images = [k for k, a in arrays.items() if a.ndim in (3, 4) and a.dtype.kind in "biufc" and len(a)]
    chosen = [name for name in images if key in (None, name)]
    if len(chosen) == 1:
        return chosen[0]
    problem = "several arrays of images (--key names one)" if chosen else "no array of images"
    problem += f" named '{key!s:.80}'" * (key is not None)
    listing = ", ".join(f"'{k}' {a.shape} {'table' if a.dtype.names else a.dtype}" for k, a in arrays.items())
    told = f"(numbers, 3 or 4 dimensions); it holds {listing or 'nothing':.500}"
    raise GalgenError(f"{path} has {problem} {told}")


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
    return [e.decode(errors="backslashreplace") if isinstance(e, bytes) else str(e) for e in array[:]]


# Folders of files


def _open_folder(path: Path, bands: tuple[str, ...]) -> Source:
    form, found = images_below(path)
    if form == "FITS":
        objects = band_sets(path, found, bands)
        sets = list(objects.items())
        return Source(list(objects), lambda i: read_bands(path, *sets[i], bands), "flux", bands)
    names = [str(file.relative_to(path)) for file in found]
    stems = [str(Path(name).with_suffix("")) for name in names]
    ids = stems if len(set(stems)) == len(stems) else names
    read_file, kind = (read_npy, None) if form == "npy" else (read_picture, "display")
    return Source(names, lambda i: ({"id": ids[i], "file": names[i]}, read_file(found[i])), kind)


def read_npy(file: Path) -> np.ndarray:
    """The image in a file, (H, W) or with planes; a Refusal if it is none."""
    with reading("cannot be read as npy", Refusal):
        pixels = np.load(file, mmap_mode="r", allow_pickle=False)
    if pixels.ndim not in (2, 3):
        raise Refusal(f"not one image: shape {pixels.shape}; give a file of many images by its own path")
    check_pixels(pixels.shape)
    return np.array(pixels)


def read_picture(file: Path) -> np.ndarray:
    """A PNG or JPEG, uint8 (H, W) or (H, W, 3); a Refusal if it is none."""
    with reading("cannot be read as a picture", Refusal), Image.open(file, formats=("PNG", "JPEG")) as image:
        if image.mode in ("F", "I") or image.mode.startswith("I;"):
            raise Refusal(
                f"more than 8 bits a pixel: mode {image.mode}; save it as 8 bits, or as npy or FITS"
            )
        check_pixels(image.size)
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
