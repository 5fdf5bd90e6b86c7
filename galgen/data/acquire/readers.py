"""The user's images, one object after the other: folders of FITS, npy or picture files, and files of arrays.

Opening a source looks at names and headers; pixels are read one object at a time (npy files are
memory-mapped, HDF5 files read in slices, only an npz is unpacked as a whole). One bad object is a `Refusal`,
which leaves the others alone; a source that cannot be used at all is a `GalgenError`.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits
from PIL import Image

from galgen.data.dataset import check_ids
from galgen.runs.errors import GalgenError, reading
from galgen.runs.files import regular

__all__ = [
    "DISPLAY",
    "MAX_ZEROS",
    "SUFFIXES",
    "Refusal",
    "Source",
    "files_of",
    "open_source",
    "read_drawn",
    "read_fits",
    "read_npy",
    "read_picture",
]

SUFFIXES = {
    "FITS": (".fits", ".fit", ".fits.gz", ".fits.fz"),
    "npy": (".npy",),
    "picture": (".png", ".jpg", ".jpeg", ".tif", ".tiff"),
}
MAX_UNPACKED = 2**29  # bytes that a packed file may hold
MAX_ZEROS = 0.3  # of a band: Smith et al. 2022 drop a cut-out with more, it is off the edge of the survey
KNOWN_BANDS = "ugrizyYJHK"
PLANE_NAMES, ID_NAMES = ("bands", "filters"), ("id", "ids")
DISPLAY = "display: black 0, white 1"  # STRETCH in the header of images that a model generated

Object = tuple[dict, np.ndarray]  # its row of the catalogue, with `id` and `file`, and its pixels
Arrays = Mapping[str, np.ndarray | h5py.Dataset]


class Refusal(GalgenError):
    """One object that cannot be used; the text is the reason, with details after a colon or a bracket."""


@dataclass(frozen=True)
class Source:
    """An opened source.

    Attributes:
        names: What to call each object in messages.
        get: Return the object of that number, or raise any error.
        kind: "flux" or "display", where the format decides it.
        planes: Names of the bands in each image, where the source tells them.
    """

    names: Sequence[str]
    get: Callable[[int], Object]
    kind: str | None = None
    planes: tuple[str, ...] | None = None

    def read(self, i: int) -> Object:
        """Return object `i`; its pixels have shape (H, W), (planes, H, W) or (H, W, planes).

        Raises:
            Refusal: If it cannot be read, or is not one image.
        """
        try:
            with reading("the file"):
                row, pixels = self.get(i)
        except GalgenError as error:
            raise Refusal(str(error)) from error
        if pixels.ndim not in (2, 3) or not pixels.size:
            raise Refusal(f"not one image: shape {pixels.shape}; give a file of many images by its own path")
        return row, pixels


def open_source(path: Path, bands: Sequence[str], key: str | None, resources: contextlib.ExitStack) -> Source:
    """Open a folder or a file of images.

    A folder holds FITS, npy, or PNG, JPEG and TIFF files, at any depth. A FITS object is one file per band,
    `190_gband.fits`, `190_g.fits` or `g/190.fits`, or one file that holds all bands. npy, PNG, JPEG and TIFF
    files are one object each; transparency is ignored.

    A FITS file by its own path holds images that a model generated: display images and no flux.

    In a file, arrays of one dimension with an entry for each image become columns of the catalogue, `id` or
    `ids` its ids. An array `bands` or `filters` with a name for each plane names the bands.

    Args:
        path: The folder, or the npz, npy, HDF5 or FITS file.
        bands: The bands that a FITS object must have.
        key: Name of the image array; by default the only array of numbers with 3 or 4 dimensions.
        resources: Closes the file when the source is no longer needed.

    Raises:
        GalgenError: If there are no images or several sorts, a file cannot be read, two files are one band of
            one object, or it is unclear which array is meant.
    """
    if path.is_dir():
        return _open_folder(path, tuple(bands))
    with reading(path):
        regular(path)  # a pipe would be waited for
        return _open_arrays(path, key, resources)


def files_of(path: Path) -> list[Path]:
    """Return the files of images that a source or a data set is read from; none is opened."""
    return [path] if path.is_file() else images_below(path)[1]


# Files of arrays


def _open_arrays(path: Path, key: str | None, resources: contextlib.ExitStack) -> Source:
    arrays = _arrays(path, resources)
    found = {k: a for k, a in arrays.items() if a.ndim in (3, 4) and a.dtype.kind in "biufc" and len(a)}
    chosen = [array for name, array in found.items() if key in (None, name)]
    if len(chosen) != 1:
        listing = ", ".join(f"'{name}' {array.shape} {array.dtype}" for name, array in arrays.items())
        problem = f"{path} has {len(chosen) or 'no'} arrays of images (--key names one)"
        raise GalgenError(f"{problem}: numbers of 3 or 4 dimensions; it holds {listing or 'nothing':.500}")
    (images,) = chosen
    wanted = {name: a for name, a in arrays.items() if name in PLANE_NAMES or a.shape == (len(images),)}
    columns = {name: _column(array) for name, array in wanted.items() if array.ndim == 1}
    columns = {name: column for name, column in columns.items() if column.dtype.kind in "biufU"}
    bands = [columns.pop(name) for name in PLANE_NAMES if name in columns]
    planes = next((tuple(map(str, names)) for names in bands if len(names) in images.shape[1:]), None)
    named = next((columns.pop(name) for name in ID_NAMES if name in columns), range(len(images)))
    check_ids(ids := [str(id_).strip() for id_ in named], path)

    def get(i: int) -> Object:
        row = {name: column[i] for name, column in columns.items()}
        return {"id": ids[i], "file": path.name} | row, images[i]

    kind = "display" if _is_fits(path) else None
    return Source([f"{path.name}[{i}]" for i in range(len(images))], get, kind, planes)


def _arrays(path: Path, resources: contextlib.ExitStack) -> Arrays:
    """Return the arrays of a file by name; members of an npz that are no arrays are left out."""
    if _is_fits(path):
        images, first = read_drawn(path)
        return {path.name: images, "ids": np.arange(first, first + len(images))}
    if path.suffix.lower() in (".h5", ".hdf5", ".hdf"):
        # with a cache of 64 MB, as a chunk may hold many images
        file, names = resources.enter_context(h5py.File(path, "r", rdcc_nbytes=2**26)), []
        file.visit(names.append)
        return {name: file[name] for name in names if isinstance(file[name], h5py.Dataset)}
    if path.suffix.lower() not in (".npy", ".npz"):
        raise GalgenError(f"{path} is no npz, npy, HDF5 or FITS file; give a folder of other images")
    file = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(file, np.ndarray):
        return {path.name: file}
    resources.enter_context(file)
    _check_unpacked(sum(member.file_size for member in file.zip.infolist()), path)
    found = {name: file[name] for name in file.files}
    return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}


def _column(array: np.ndarray | h5py.Dataset) -> np.ndarray:
    """Return the values of an array of one dimension, text as str."""
    if isinstance(array, h5py.Dataset) and h5py.check_string_dtype(array.dtype):
        return array.asstr(errors="backslashreplace")[:].astype(str)
    return np.char.decode(array, "utf-8", "backslashreplace") if array.dtype.kind == "S" else array[:]


def _check_unpacked(size: int, of: object) -> None:
    if size > MAX_UNPACKED:
        raise Refusal(f"{of} unpacks to more than {MAX_UNPACKED / 1e6:.0f} MB; cut it smaller")


# Folders of files


def images_below(path: Path) -> tuple[str, list[Path]]:
    """Return the format of the images in a folder, at any depth, and their files in order.

    Pipes, devices, names that begin with a dot and folders behind links are passed by.

    Raises:
        GalgenError: If there are none, or more than one sort.
    """
    found: dict[str, list[Path]] = {}
    for file in sorted(path.rglob("*")):
        form = next((form for form, of in SUFFIXES.items() if file.name.lower().endswith(of)), "")
        if form and not file.name.startswith(".") and file.is_file():
            found.setdefault(form, []).append(file)
    if len(found) != 1:
        held = " and ".join(f"{form} files ({of[0].relative_to(path)})" for form, of in found.items())
        raise GalgenError(f"{path} holds {held or 'no images'}; give FITS, npy, or PNG, JPEG and TIFF files")
    return found.popitem()


def _open_folder(path: Path, bands: tuple[str, ...]) -> Source:
    form, files = images_below(path)
    if form == "FITS":
        sets = _band_sets(path, files, bands)
        ids = list(sets)
        return Source(ids, lambda i: _read_bands(path, ids[i], sets[ids[i]], bands), "flux", bands)
    names = [str(file.relative_to(path)) for file in files]
    stems = [str(Path(name).with_suffix("")) for name in names]
    ids = stems if len(set(stems)) == len(stems) else names
    read_file, kind = (read_npy, None) if form == "npy" else (read_picture, "display")
    return Source(names, lambda i: ({"id": ids[i], "file": names[i]}, read_file(files[i])), kind)


def read_npy(file: Path) -> np.ndarray:
    """Return the array in a file."""
    return np.array(np.load(file, mmap_mode="r", allow_pickle=False))


def read_picture(file: Path) -> np.ndarray:
    """Return a PNG, JPEG or TIFF image, uint8 (H, W) or (H, W, 3).

    Raises:
        Refusal: If it has more than 8 bits per pixel.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # more pixels than Pillow's limit
        with Image.open(file, formats=("PNG", "JPEG", "TIFF")) as image:
            if image.mode == "F" or image.mode.startswith("I"):
                raise Refusal(f"more than 8 bits per pixel: mode {image.mode}; save it as 8 bits or npy")
            return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


# FITS


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
    """Return an object, given its file names by band: the wanted bands, and what the header says about it."""
    row, planes = {"id": id_, "file": " ".join(members.values())}, {}
    wanted = {band: file for band, file in members.items() if band in ("", *bands)} or members
    for band, file in wanted.items():
        pixels, header = read_fits(path / file)
        if _is_drawn(header):
            raise Refusal("generated by a model, and no flux (STRETCH); give the file by its own path")
        if not planes:
            row |= {k.lower(): float(header[k]) for k in ("RA", "DEC") if isinstance(header.get(k), float)}
            row |= {"survey": header["SURVEY"].strip()} if isinstance(header.get("SURVEY"), str) else {}
        cube = pixels.reshape(-1, *pixels.shape[-2:])
        names = (band,) if band and len(cube) == 1 else tuple(str(header.get("BANDS", ""))) or bands
        if len(cube) != len(names):
            raise Refusal(f"taken to hold {', '.join(names):.80}, but is {pixels.shape}")
        planes |= dict(zip(names, cube, strict=True))
    if missing := [band for band in bands if band not in planes]:
        raise Refusal(f"band {', '.join(missing)} is missing: an object needs {', '.join(bands)} (--bands)")
    return row, np.stack([planes[band] for band in bands])


def read_drawn(file: Path) -> tuple[np.ndarray, int]:
    """Return the images (n, H, W) in a FITS file that a model generated, and the seed of the first.

    Raises:
        GalgenError: If its header does not say so: FITS is flux.
    """
    pixels, header = read_fits(file)
    if not _is_drawn(header):
        known = f"its header does not say STRETCH = '{DISPLAY}'"
        raise GalgenError(f"{file} is FITS, and so flux, as {known}: import a folder of flux")
    return pixels.reshape(-1, *pixels.shape[-2:]), int(header.get("FIRSTID", 0))


def _is_fits(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES["FITS"])


def _is_drawn(header: dict) -> bool:
    return str(header.get("STRETCH", "")).startswith(DISPLAY.partition(":")[0])


def read_fits(file: Path | io.BytesIO) -> tuple[np.ndarray, dict]:
    """Return the first image of a FITS file, of two dimensions or more, and its header.

    Raises:
        Refusal: If it holds no image, or one that is too large; if it is damaged, astropy raises what it may.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="File may have been truncated")
        with fits.open(file, memmap=False) as hdus:
            for hdu in hdus:
                if hdu.is_image and len(hdu.shape) > 1 and all(hdu.shape):
                    _check_unpacked(hdu.size, "the image")  # bytes; tiles may be compressed
                    return hdu.data, dict(hdu.header)
    raise Refusal("no image in the FITS file")
