"""The user's files, one object after the other: npz, npy and HDF5 arrays, folders of FITS, npy, PNG and JPEG.

Opening a source looks at names and headers; pixels are read one object at a time (npy files are
memory-mapped, HDF5 files read in slices, only an npz is unpacked as a whole). One bad object is a `Refusal`,
which leaves the others alone; a source that cannot be used at all is a `GalgenError`.
"""

import contextlib
import math
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
from astropy.io import fits
from PIL import Image

from galgen.data.dataset import check_ids
from galgen.runs.errors import GalgenError

__all__ = ["MAX_OBJECTS", "MAX_UNPACKED", "MAX_ZEROS", "SUFFIXES", "Refusal", "Source", "files_below",
    "open_source", "read_fits"]  # fmt: skip

KNOWN_BANDS = "ugrizyYJHK"
SUFFIXES = {
    "FITS": (".fits", ".fit", ".fits.gz", ".fits.fz"),
    "npy": (".npy",),
    "picture": (".png", ".jpg", ".jpeg"),
}
PLANE_NAMES = ("bands", "filters")
ID_NAMES = ("id", "ids")
MAX_UNPACKED = 2**29  # bytes that are unpacked in memory: an npz, a chunk or a column of HDF5
MAX_PIXELS = 2**24  # of one object, all its bands together
MAX_OBJECTS = 2**22
HDF5_CACHE = 2**26  # bytes: HDF5 unpacks chunks of many images, so the last ones are kept
MAX_ZEROS = 0.3  # of a band: Smith et al. 2022 drop a cut-out with more, it is off the edge of the survey

Arrays = Mapping[str, np.ndarray | h5py.Dataset]
Object = tuple[dict, np.ndarray]  # its row of the catalogue, with `id` and `file`, and its pixels


class Refusal(Exception):
    """One object that cannot be used; the text is the reason, with details after a colon."""


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

    In a file, arrays of one dimension with an entry for each image become columns of the catalogue, `id` or
    `ids` its ids. An array `bands` or `filters` with a name for each plane names the bands; if it does so for
    the first of three axes, the file is one object.

    Args:
        path: The folder, or the npz, npy or HDF5 file.
        bands: The bands that a FITS object must have.
        key: Name of the image array; by default the only array of numbers with 3 or 4 dimensions.
        resources: Closes the file when the source is no longer needed.

    Raises:
        GalgenError: If there are no images or several sorts, a file cannot be read, two files are one band of
            one object, or it is unclear which array is meant.
    """
    if os.path.isfile(path):
        return _open_file(path, key, resources)
    if not os.path.exists(path):
        raise GalgenError(f"{path} does not exist")
    if (path / "meta.json").is_file():
        raise GalgenError(f"{path} is a galgen data set already: use it as it is, as --data or DATA")
    if key is not None:
        raise GalgenError(f"{path} is a folder; a key is for npz and HDF5 files")
    return _open_folder(path, tuple(bands))


def _check_pixels(shape: Sequence[int], failure: type[Exception] = Refusal, of: str = "") -> None:
    """Refuse an object by its header, before its pixels are read."""
    if math.prod(shape) > MAX_PIXELS:
        size = " x ".join(map(str, shape))
        raise failure(f"{of}too large: {size} pixels, more than {MAX_PIXELS} in all; cut it smaller")


def _check_unpacked(size: int, of: object) -> None:
    if size > MAX_UNPACKED:
        limit = f"{size / 1e6:.0f} MB, more than {MAX_UNPACKED / 1e6:.0f}"
        raise GalgenError(f"{of} unpacks to {limit}; save it as npy, or as HDF5 in smaller chunks")


def files_below(path: Path) -> list[Path]:
    """All regular files in a folder, at any depth and behind symbolic links, in order; each folder once."""
    found, seen = [], set()
    for folder, below, names in os.walk(path, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
        else:
            found += [file for name in names if (file := Path(folder, name)).is_file()]
        seen.add(real)
    return sorted(found)


@contextlib.contextmanager
def _reading(what: object, failure: type[Exception]) -> Iterator[None]:
    """Name what could not be read: of a damaged file NumPy, h5py, astropy or Pillow may raise anything."""
    try:
        yield
    except (GalgenError, Refusal):
        raise
    except Exception as error:
        # NumPy's own words advise to unpickle
        pickled = any(word in str(error) for word in ("pickle", "Object arrays", "Python objects"))
        problem = "Python objects, or no npy data; save plain arrays of numbers" if pickled else error
        raise failure(f"{what}: {problem}") from error


# Files of arrays


def _open_file(path: Path, key: str | None, resources: contextlib.ExitStack) -> Source:
    with _reading(f"{path} cannot be read", GalgenError):
        arrays = _arrays(path, resources)
        images = arrays[_choose(path, arrays, key)]
        planes = _plane_names(arrays, images.shape)
        one = images.ndim == 3 and planes is not None
        _check_pixels(images.shape[1 - one :], GalgenError, f"{path}, images are ")
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
        with _reading("cannot be read", GalgenError):  # a damaged piece of an HDF5 file
            pixels = images[i]
        return {"id": ids[i], "file": path.name} | {name: of[i] for name, of in columns.items()}, pixels

    return Source([f"{path.name}[{i}]" for i in range(count)], read, planes=planes)


def _arrays(path: Path, resources: contextlib.ExitStack) -> Arrays:
    """The arrays of a file by name; members of an npz that are no arrays are left out."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return {path.name: np.load(path, mmap_mode="r", allow_pickle=False)}
    if suffix == ".npz":
        with zipfile.ZipFile(path) as directory:
            _check_unpacked(sum(member.file_size for member in directory.infolist()), path)
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
        return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}
    if suffix not in (".h5", ".hdf5", ".hdf"):
        raise GalgenError(f"{path} is not an npz, npy or HDF5 file; for images of other kinds give a folder")
    file, names = resources.enter_context(h5py.File(path, "r", rdcc_nbytes=HDF5_CACHE)), []
    file.visit(names.append)
    found = {name: file[name] for name in names if isinstance(file[name], h5py.Dataset)}
    for name, array in found.items():
        if array.external or array.is_virtual:
            raise GalgenError(f"{path}, '{name}' lies in other files; save it in this one")
        piece = array.size if array.ndim == 1 else math.prod(array.chunks or [0])
        _check_unpacked(array.dtype.itemsize * piece, f"{path}, a piece of '{name}'")
    return found


def _choose(path: Path, arrays: Arrays, key: str | None) -> str:
    images = [k for k, a in arrays.items() if a.ndim in (3, 4) and a.dtype.kind in "biufc" and len(a)]
    chosen = [name for name in images if key in (None, name)]
    if len(chosen) == 1:
        return chosen[0]
    problem = "several arrays of images, choose one with --key" if chosen else "no array of images"
    problem += f" named '{key}'" * (key is not None)
    listing = ", ".join(f"'{k}' {a.shape} {'table' if a.dtype.names else a.dtype}" for k, a in arrays.items())
    raise GalgenError(f"{path} has {problem} (numbers, 3 or 4 dimensions); it holds {listing or 'nothing'}")


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
    every = [file for file in files_below(path) if file.name[0] != "."]
    files = {form: [p for p in every if p.name.lower().endswith(of)] for form, of in SUFFIXES.items()}
    files = {form: found for form, found in files.items() if found}
    if not files:
        raise GalgenError(f"{path} holds no images: no FITS, npy, PNG or JPEG files")
    if len(files) > 1:
        counts = ", ".join(f"{len(found)} {form}" for form, found in files.items())
        raise GalgenError(f"{path} mixes {counts} files; give a folder that has one sort only")
    ((form, found),) = files.items()
    if form == "FITS":
        objects = _band_sets(path, found, bands)
        sets = list(objects.items())
        return Source(list(objects), lambda i: _read_bands(path, *sets[i], bands), "flux", bands)
    names = [str(file.relative_to(path)) for file in found]
    stems = [str(Path(name).with_suffix("")) for name in names]
    ids = stems if len(set(stems)) == len(stems) else names
    read_file, kind = (_read_npy, None) if form == "npy" else (_read_picture, "display")
    return Source(names, lambda i: ({"id": ids[i], "file": names[i]}, read_file(found[i])), kind)


def _band_sets(path: Path, files: list[Path], bands: Sequence[str]) -> dict[str, dict[str, str]]:
    """File names by object and band: `190_gband.fits`, `190_g.fits`, `g/190.fits`; "" where none is named."""
    known = "|".join(map(re.escape, sorted({*KNOWN_BANDS, *bands}, key=len, reverse=True)))
    in_folder = rf"(?P<band>{known})(?:[-_]?band)?"
    in_file = rf"(?P<id>.+)[-_.]{in_folder}"
    objects: dict[str, dict[str, str]] = {}
    for file in files:
        relative = file.relative_to(path)
        stem = re.sub(r"\.(fits?)(\.gz|\.fz)?$", "", relative.name, flags=re.IGNORECASE)
        parent, band = relative.parent, ""
        if match := re.fullmatch(in_file, stem):
            stem, band = match["id"], match["band"]
        elif match := re.fullmatch(in_folder, parent.name):
            parent, band = parent.parent, match["band"]
        members = objects.setdefault(str(parent / stem), {})
        if band in members:
            raise GalgenError(f"{path}: {members[band]} and {relative} are the same object and band")
        members[band] = str(relative)
    return dict(sorted(objects.items()))


def _read_bands(path: Path, id_: str, members: dict[str, str], bands: tuple[str, ...]) -> Object:
    planes: dict[str, np.ndarray] = {}
    for band, file in members.items():
        if band and band not in bands and len(members) > 1:
            continue
        with open(path / file, "rb") as stream:
            pixels, header = read_fits(stream, name=Path(file).name)
        if not planes:
            row = {"id": id_, "file": " ".join(members.values())}
            row |= {k.lower(): float(header[k]) for k in ("RA", "DEC") if isinstance(header.get(k), float)}
            row |= {"survey": header["SURVEY"].strip()} if isinstance(header.get("SURVEY"), str) else {}
        names = (band,) if band and pixels.ndim == 2 else tuple(str(header.get("BANDS", ""))) or bands
        cube = pixels[None] if pixels.ndim == 2 else pixels
        if cube.ndim != 3 or len(cube) != len(names):
            raise Refusal(f"taken to hold {', '.join(names)}, but is {pixels.shape}")
        planes |= dict(zip(names, cube, strict=True))
    if missing := [band for band in bands if band not in planes]:
        raise Refusal(f"band {', '.join(missing)} is missing: an object needs {', '.join(bands)} (--bands)")
    images = [planes[band] for band in bands]
    if len({image.shape for image in images}) > 1:
        raise Refusal(f"the bands do not match: shapes {', '.join(str(image.shape) for image in images)}")
    return row, np.stack(images)


def read_fits(stream: BinaryIO, name: str) -> tuple[np.ndarray, dict]:
    """The first image of a FITS file, of two dimensions or more, and its header.

    Raises:
        Refusal: The file `name` is damaged, cut off, or holds no image.
    """
    with _reading(f"damaged FITS file: {name}", Refusal), warnings.catch_warnings():
        warnings.filterwarnings("error", message="File may have been truncated")
        with fits.open(stream, memmap=False) as hdus:
            for hdu in hdus:
                if hdu.is_image and len(hdu.shape) > 1 and all(hdu.shape):
                    _check_pixels(hdu.shape)
                    return hdu.data, dict(hdu.header)  # all its cards, as damaged ones are found now
    raise Refusal(f"no image in the FITS file: {name}")


def _read_npy(file: Path) -> np.ndarray:
    with _reading("cannot be read as npy", Refusal):
        pixels = np.load(file, mmap_mode="r", allow_pickle=False)
    if pixels.ndim not in (2, 3):
        raise Refusal(f"not one image: shape {pixels.shape}; give a file of many images by its own path")
    _check_pixels(pixels.shape)
    return np.array(pixels)


def _read_picture(file: Path) -> np.ndarray:
    with _reading("cannot be read as a picture", Refusal), Image.open(file) as image:
        if image.mode in ("F", "I") or image.mode.startswith("I;"):
            raise Refusal(
                f"more than 8 bits a pixel: mode {image.mode}; save it as 8 bits, or as npy or FITS"
            )
        _check_pixels(image.size)
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
