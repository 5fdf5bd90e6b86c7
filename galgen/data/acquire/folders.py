"""Folders of users' files, one object or one band each, as blocks of pixels: FITS, npy, PNG and JPEG.

Opening a folder looks only at names; a file is read when its loader is called. One bad object is a `Refusal`,
which leaves the others alone; a source that cannot be used at all is a `GalgenError`.
"""

import functools
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from PIL import Image

from galgen.runs.errors import GalgenError

__all__ = ["Block", "Refusal", "Source", "npy_problem", "read_folder"]

KNOWN_BANDS = set("ugrizyYJHK")
SUFFIXES = {
    "FITS": (".fits", ".fit", ".fits.gz", ".fits.fz"),
    "npy": (".npy",),
    "picture": (".png", ".jpg", ".jpeg"),
}


class Refusal(Exception):
    """One object that cannot be used; the text is the reason, with details after a colon."""


@dataclass(frozen=True)
class Block:
    """Some objects.

    Attributes:
        names: What to call them in messages.
        rows: Their rows of the catalogue, each with `id` and `file`.
        pixels: Shape (n, H, W), (n, planes, H, W) or (n, H, W, planes), as in the file.
    """

    names: list[str]
    rows: list[dict]
    pixels: np.ndarray


@dataclass(frozen=True)
class Source:
    """An opened source.

    Attributes:
        loaders: Name of a part of the source, and what reads it.
        kind: "flux" or "display", where the format decides it.
        planes: Names of the bands in each image, where the source tells them.
    """

    loaders: list[tuple[str, Callable[[], Block]]]
    kind: str | None = None
    planes: tuple[str, ...] | None = None


def read_folder(path: Path, bands: Sequence[str]) -> Source:
    """Open a folder of FITS, npy, or PNG and JPEG files, at any depth.

    A FITS object is one file a band, `190_gband.fits`, `190_g.fits` or `g/190.fits`, or one file that holds
    all bands. npy, PNG and JPEG files are one object each; transparency is ignored.

    Args:
        path: The folder.
        bands: The bands that a FITS object must have.

    Raises:
        GalgenError: If there are no such files, or several sorts, or two for one band of one object.
    """
    files = {
        form: [p for p in sorted(path.rglob("*")) if p.name.lower().endswith(suffixes) and p.name[0] != "."]
        for form, suffixes in SUFFIXES.items()
    }
    forms = [form for form, found in files.items() if found]
    if not forms:
        raise GalgenError(f"{path} holds no images: no FITS, npy, PNG or JPEG files")
    if len(forms) > 1:
        counts = ", ".join(f"{len(files[form])} {form}" for form in forms)
        raise GalgenError(f"{path} mixes {counts} files; give a folder that has one sort only")
    if forms == ["FITS"]:
        objects = _band_sets(path, files["FITS"], bands)
        loaders = [
            (id_, functools.partial(_load_fits, path, id_, members, tuple(bands)))
            for id_, members in objects.items()
        ]
        return Source(loaders, kind="flux", planes=tuple(bands))
    read, kind = (_read_npy, None) if forms == ["npy"] else (_read_picture, "display")
    names = [str(p.relative_to(path)) for p in files[forms[0]]]
    return Source([(name, functools.partial(_load_file, path, name, read)) for name in names], kind=kind)


def _band_sets(path: Path, files: list[Path], bands: Sequence[str]) -> dict[str, dict[str, str]]:
    """File names by object and band: `190_gband.fits`, `190_g.fits`, `g/190.fits`; "" where none is named."""
    name = "|".join(re.escape(band) for band in sorted(KNOWN_BANDS | set(bands), key=len, reverse=True))
    in_file = re.compile(rf"(?P<id>.+)[-_.](?P<band>{name})(?:[-_]?band)?")
    in_folder = re.compile(rf"(?P<band>{name})(?:[-_]?band)?")
    objects: dict[str, dict[str, str]] = {}
    for file in files:
        relative = file.relative_to(path)
        stem = re.sub(r"\.(fits?)(\.gz|\.fz)?$", "", relative.name, flags=re.IGNORECASE)
        parent, band = relative.parent, ""
        if match := in_file.fullmatch(stem):
            stem, band = match["id"], match["band"]
        elif match := in_folder.fullmatch(parent.name):
            parent, band = parent.parent, match["band"]
        members = objects.setdefault(str(parent / stem), {})
        if band in members:
            raise GalgenError(f"{path}: {members[band]} and {relative} are the same object and band")
        members[band] = str(relative)
    return dict(sorted(objects.items()))


def _load_fits(path: Path, id_: str, members: dict[str, str], bands: tuple[str, ...]) -> Block:
    if set(members) == {""}:
        pixels, header = _read_fits(path / members[""])
        if pixels.ndim == 2:
            pixels = pixels[None]
        names = tuple(header.get("BANDS", "")) or bands  # the Legacy Survey's cut-outs have BANDS = 'grz'
        if pixels.ndim != 3 or len(pixels) != len(names) or not set(bands) <= set(names):
            raise Refusal(
                f"no band in the file's name: taken to hold {', '.join(names)}, but is {pixels.shape}"
            )
        images = [pixels[names.index(band)] for band in bands]
    else:
        if missing := [band for band in bands if band not in members]:
            raise Refusal(
                f"band {', '.join(missing)} is missing: an object needs {', '.join(bands)} (--bands)"
            )
        read = [_read_fits(path / members[band]) for band in bands]
        images, header = [pixels for pixels, _ in read], read[0][1]
    if len({image.shape for image in images}) > 1 or images[0].ndim != 2:
        raise Refusal(f"the bands do not match: shapes {', '.join(str(image.shape) for image in images)}")
    row = {"id": id_, "file": " ".join(members.values())}
    row |= {k.lower(): float(header[k]) for k in ("RA", "DEC") if isinstance(header.get(k), float)}
    row |= {"survey": header["SURVEY"].strip()} if isinstance(header.get("SURVEY"), str) else {}
    return Block([id_], [row], np.stack(images)[None])


def _read_fits(file: Path) -> tuple[np.ndarray, fits.Header]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="File may have been truncated")
            with open(file, "rb") as stream, fits.open(stream, memmap=False) as hdus:
                for hdu in hdus:
                    if hdu.is_image and hdu.data is not None and hdu.data.ndim > 1:
                        return hdu.data, hdu.header
    except (OSError, ValueError, TypeError, KeyError, fits.VerifyError, AstropyUserWarning) as error:
        raise Refusal(f"damaged FITS file: {file.name}, {error}") from error
    raise Refusal(f"no image in the FITS file: {file.name}")


def _load_file(path: Path, name: str, read: Callable[[Path], np.ndarray]) -> Block:
    pixels = read(path / name)
    if pixels.ndim not in (2, 3):
        raise Refusal(f"not one image: shape {pixels.shape}; give a file of many images by its own path")
    return Block([name], [{"id": str(Path(name).with_suffix("")), "file": name}], pixels[None])


def _read_npy(file: Path) -> np.ndarray:
    try:
        with open(file, "rb") as stream:
            return np.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Refusal(f"cannot be read as npy: {npy_problem(error)}") from error


def _read_picture(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as image:
            if image.mode in ("F", "I") or image.mode.startswith("I;"):
                raise Refusal(f"more than 8 bits a pixel: mode {image.mode}")
            return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: bad PNG
        raise Refusal(f"cannot be read as a picture: {error}") from error


def npy_problem(error: Exception) -> str:
    """What is wrong with an npy file, in NumPy's words but for its advice to unpickle."""
    pickled = any(word in str(error) for word in ("pickle", "Object arrays", "Python objects"))
    return "Python objects, or no npy data; save a plain array of numbers" if pickled else str(error)
