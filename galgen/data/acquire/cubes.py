"""FITS: the files of an object, one a band or one that holds all bands, and the image in a file."""

import gzip
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits

from galgen.data.acquire.limits import MAX_UNPACKED, Object, Refusal, check_pixels, check_unpacked, reading
from galgen.runs.errors import GalgenError

__all__ = ["DISPLAY", "FITS_BLOCK", "band_sets", "read_bands", "read_drawn", "read_fits"]

KNOWN_BANDS = "ugrizyYJHK"
FITS_BLOCK = 2880  # bytes
MAX_HEADER = 2**20  # bytes of the headers of a file: 13 000 cards
DISPLAY = "display: black 0, white 1"  # STRETCH in the header of what a model has drawn


def band_sets(path: Path, files: list[Path], bands: Sequence[str]) -> dict[str, dict[str, str]]:
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


def read_bands(path: Path, id_: str, members: dict[str, str], bands: tuple[str, ...]) -> Object:
    """An object, of its file names by band: the bands asked for, and what the header says of it."""
    planes: dict[str, np.ndarray] = {}
    for band, file in members.items():
        if band and band not in bands and len(members) > 1:
            continue
        with open(path / file, "rb") as stream:
            pixels, header = read_fits(stream, name=Path(file).name)
        if _is_drawn(header):
            raise Refusal("drawn by a model, and no flux (STRETCH); give the file by its own path")
        if not planes:
            row = {"id": id_, "file": " ".join(members.values())}
            row |= {k.lower(): float(header[k]) for k in ("RA", "DEC") if isinstance(header.get(k), float)}
            row |= {"survey": header["SURVEY"].strip()} if isinstance(header.get("SURVEY"), str) else {}
        names = (band,) if band and pixels.ndim == 2 else tuple(str(header.get("BANDS", ""))) or bands
        cube = pixels[None] if pixels.ndim == 2 else pixels
        if cube.ndim != 3 or len(cube) != len(names):
            raise Refusal(f"taken to hold {', '.join(names):.80}, but is {pixels.shape}")
        planes |= dict(zip(names, cube, strict=True))
    if missing := [band for band in bands if band not in planes]:
        raise Refusal(f"band {', '.join(missing)} is missing: an object needs {', '.join(bands)} (--bands)")
    images = [planes[band] for band in bands]
    if len({image.shape for image in images}) > 1:
        raise Refusal(f"the bands do not match: shapes {', '.join(str(image.shape) for image in images)}")
    return row, np.stack(images)


def read_drawn(file: Path) -> tuple[np.ndarray, int]:
    """The images (n, H, W) in a FITS file of what a model has drawn, and the seed of the first.

    Raises:
        GalgenError: If it is damaged, or its header does not say so: FITS is flux.
    """
    try:
        with open(file, "rb") as stream:
            pixels, header = read_fits(stream, file.name)
    except Refusal as error:
        raise GalgenError(f"{file}: {error}") from error
    if not _is_drawn(header) or pixels.ndim > 3:
        raise GalgenError(
            f"{file} is FITS, and so flux, if its header does not say STRETCH = '{DISPLAY}' of one or of a "
            "cube of gray images: give flux as a folder, to galgen data import"
        )
    first = header.get("FIRSTID")
    return pixels.reshape(-1, *pixels.shape[-2:]), first if isinstance(first, int) and first >= 0 else 0


def _is_drawn(header: dict) -> bool:
    return str(header.get("STRETCH", "")).startswith(DISPLAY.partition(":")[0])


class _Headed:
    """A FITS file, packed by gzip or not, whose headers end: a few MB may unpack to gigabytes of cards."""

    def __init__(self, stream: BinaryIO):
        self._packed, self._left = stream.read(2) == b"\x1f\x8b", MAX_HEADER
        stream.seek(0)
        self._stream = gzip.GzipFile(fileobj=stream) if self._packed else stream
        self.tell = self._stream.tell

    def read(self, size: int = -1) -> bytes:
        self._left -= size if size == FITS_BLOCK else 0  # headers are read by blocks, pixels all at once
        if self._left < 0:
            raise Refusal(f"damaged FITS file: a header of more than {MAX_HEADER / 1e6:.0f} MB")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        if self._packed and whence == os.SEEK_END:  # a packed file has no length until all is unpacked
            return self._stream.seek(0)
        if self._packed and offset > MAX_UNPACKED:
            raise Refusal(f"more than {MAX_UNPACKED / 1e6:.0f} MB before the image of the FITS file")
        return self._stream.seek(offset, whence)


def read_fits(stream: BinaryIO, name: str) -> tuple[np.ndarray, dict]:
    """The first image of a FITS file, of two dimensions or more, and its header.

    Raises:
        Refusal: The file `name` is damaged, cut off, or holds no image.
    """
    with reading(f"damaged FITS file: {name}", Refusal), warnings.catch_warnings():
        warnings.filterwarnings("error", message="File may have been truncated")
        with fits.open(_Headed(stream), memmap=False) as hdus:
            for hdu in hdus:
                if hdu.is_image and len(hdu.shape) > 1 and all(hdu.shape):
                    check_pixels(hdu.shape[-2:] if _is_drawn(hdu.header) else hdu.shape)
                    check_unpacked(hdu.size, name)  # bytes, but for the header
                    return hdu.data, dict(hdu.header)  # all its cards, as damaged ones are found now
    raise Refusal(f"no image in the FITS file: {name}")
