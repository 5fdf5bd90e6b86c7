"""The user's own images as gray 8-bit stamps and a catalogue, with a reason for each object left out.

Pixels are one of two kinds. **Flux** is linear: it is cropped, by default to the paper's 64 x 64 pixels, and
stretched and made gray. FITS is flux, PNG and JPEG are display images. Arrays are display images if they are
uint8, or floats that all lie in [0, 1], and flux otherwise (flux has noise, so some of it is negative).

An object of which nothing can be made, because a file is damaged, a band is missing or a pixel is not finite,
is refused by name and the others are kept. What is wrong with the whole is an error: no images, mixed shapes,
colour, an unknown key. What is imported is an entry of the run store.
"""

import contextlib
import hashlib
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from astropy.table import Table
from tqdm import tqdm

from galgen.compare.similarity import near_duplicates
from galgen.data.acquire.limits import MAX_ZEROS, Refusal
from galgen.data.acquire.readers import MAX_OBJECTS, Source, files_of, open_source
from galgen.data.acquire.recipe import Recipe
from galgen.data.dataset import Dataset, write_dataset
from galgen.data.manifest import load_manifest
from galgen.data.prepare import Making
from galgen.data.preprocess import DRAWN, crop_centre, flux_to_gray, resize_area, to_uint8
from galgen.runs.errors import GalgenError, checked, printable
from galgen.runs.files import file_sha256

__all__ = ["FILES", "called", "import_images", "imported", "write_imported"]

FILES = (  # that the pixels of imported images depend on
    "galgen.compare.similarity",
    "galgen.data.acquire.cubes",
    "galgen.data.acquire.importing",
    "galgen.data.acquire.limits",
    "galgen.data.acquire.places",
    "galgen.data.acquire.readers",
    "galgen.data.acquire.recipe",
    "galgen.data.preprocess",
    "galgen.data.unit",
)


FLUX_CROP = 64  # the paper's field

HOPELESS = 1000  # objects refused before the first that can be used: the others are not tried


@dataclass(frozen=True)
class Imported:
    """Images ready to be written as a data set.

    Attributes:
        images: uint8 array of shape (n, 1, size, size), n >= 1.
        catalogue: n rows: `id`, `file`, and what the source says of each object (`ra`, `dec`, `survey`, ...).
        refused: Name and reason of each object left out.
        parameters: How the images were made (JSON values), and the `surveys` named in the source.
        dropped: Number of objects left out, by reason.
    """

    images: np.ndarray
    catalogue: Table
    refused: list[tuple[str, str]]
    parameters: dict
    dropped: dict[str, int]


def import_images(
    path: str | Path,
    *,
    key: str | None = None,
    strict: bool = False,
    progress: bool = False,
    colour: bool = False,
    most: int | None = None,
    **recipe: object,
) -> Imported:
    """Import a folder of FITS, npy, PNG or JPEG files, or one npz, npy or HDF5 file.

    Args:
        path: The folder or file, see `galgen.data.acquire.readers.open_source`.
        key: Name of the image array in an npz or HDF5 file; by default the only one.
        strict: Make it an error if any object is refused.
        progress: Show a progress bar.
        colour: Keep the three channels of display images; of gray ones alone they are one array, seen thrice.
            Floats are clipped that are as a model draws them (`DRAWN`).
        most: How many images to import; the others are left unread.
        recipe: The fields of `Recipe`.

    Raises:
        GalgenError: For whatever is wrong with the source as a whole, with its name and the way out.
    """
    path, wanted = Path(path), checked(Recipe, recipe, "how to import")
    stamps, rows, refused = None, [], []
    with contextlib.ExitStack() as resources:
        source = open_source(path, wanted.bands, key, resources)
        kind = _kind(path, source, wanted.kind)
        if wanted.subtract_sky and kind == "display":
            raise GalgenError(f"{path} holds display images; only flux has a sky to subtract")
        crop = wanted.crop or (FLUX_CROP if kind == "flux" else None)
        wanted = wanted.model_copy(update={"kind": kind, "crop": crop})
        shape, first = None, ""
        for i, name in enumerate(tqdm(source.names, disable=not progress, unit="object")):
            try:
                row, pixels = source.read(i)
                planes = _planes(pixels, wanted, source.planes)
                shape, first = (planes.shape[1:], name) if shape is None else (shape, first)
                if crop is None and planes.shape[1:] != shape:
                    raise GalgenError(
                        f"{planes.shape[1:]} pixels, but {first} has {shape}; crop them (--crop)"
                    )
                stamp = _stamp(planes, wanted, colour)
                if stamps is None or len(stamp) > stamps.shape[1]:  # the first, or the first in colour
                    before, stamps = stamps, _room(path, min(most or MAX_OBJECTS, len(source.names)), stamp)
                    if before is not None:
                        stamps[: len(rows)] = before[: len(rows)]
                stamps[len(rows)] = stamp
                rows.append(
                    {
                        printable(column): printable(value).strip() if isinstance(value, str) else value
                        for column, value in row.items()
                    }
                )
            except Refusal as refusal:
                refused.append((name, str(refusal)))
                if len(refused) >= HOPELESS and not rows:
                    break
            except GalgenError as error:
                raise GalgenError(f"{path}, {name}: {error}") from error
            if len(rows) == most:
                break
    if refused and (strict or not rows):
        some = "; ".join(f"{name}: {reason}" for name, reason in refused[:5])
        broken = (tried := len(refused) + len(rows)) < len(source.names)
        raise GalgenError(
            f"{path}: {len(refused)} of {'the first ' * broken}{tried} objects cannot be used. {some}"
            + ("; ..." if len(refused) > 5 else "")
        )
    stamps, catalogue = stamps[: len(rows)], Table(rows)
    dropped = dict(Counter(reason.partition(":")[0] for _, reason in refused))
    if wanted.distinct is not None:
        later = np.unique(near_duplicates(stamps, wanted.distinct)[:, 1])
        stamps, dropped["near-duplicate"] = np.delete(stamps, later, axis=0), len(later)
        catalogue.remove_rows(later)
    if colour and kind == "display":
        stamps = np.broadcast_to(stamps, (len(stamps), 3, *stamps.shape[2:]))
    surveys = sorted({str(row["survey"]) for row in rows if "survey" in row})
    parameters = {"path": path.name, "key": key, **wanted.model_dump(mode="json"), "surveys": surveys}
    return Imported(stamps, catalogue, refused, parameters, dropped)


def called(path: Path) -> str:
    """What figures call the images at a path: the name of a folder, of a file without what kind it is."""
    return path.stem if path.is_file() else path.resolve().name


def write_imported(directory: Path, found: Imported, *, source: str, manifest: str) -> Dataset:
    """Write what was imported as a data set, see `galgen.data.dataset.write_dataset`."""
    about = {"parameters": found.parameters, "dropped": found.dropped}
    return write_dataset(directory, found.images, found.catalogue, source=source, manifest=manifest, **about)


def _room(path: Path, count: int, stamp: np.ndarray) -> np.ndarray:
    """An array for so many stamps like this one, which takes memory as it is filled.

    Raises:
        GalgenError: If all of them need more than is available.
    """
    needed, available = count * stamp.nbytes / 2**20, psutil.virtual_memory().available / 2**20
    if needed > available:
        raise GalgenError(
            f"{count} images of {stamp.shape[-1]} pixels a side need {needed:.0f} MB of memory, and "
            f"{available:.0f} MB are available; take a part of them, or make them smaller (--size)"
        )
    return np.empty((count, *stamp.shape), np.uint8)


def _kind(path: Path, source: Source, kind: str) -> str:
    """Flux or display: from the format, the user, or the rule at the top of this module."""
    if source.kind is not None and kind not in ("auto", source.kind):
        raise GalgenError(f"{path} is of {source.kind} images by its format, not of {kind}")
    if source.kind is not None or kind != "auto":
        return source.kind or kind
    # Some, spread over all: what they do not tell, the import refuses by name.
    for i in range(0, len(source.names), -(-len(source.names) // HOPELESS)):
        name = source.names[i]
        with contextlib.suppress(Refusal):  # it will be refused by name when it is read for good
            pixels = source.read(i)[1]
            if pixels.dtype != np.uint8 and pixels.dtype.kind != "f":
                raise GalgenError(
                    f"{path}, {name}: pixels are {pixels.dtype}; give uint8 or floats (--kind flux, if they "
                    "are flux)"
                )
            if pixels.dtype.kind == "f" and (((pixels < 0) | (pixels > 1)) & np.isfinite(pixels)).any():
                return "flux"
    return "display"


def _planes(pixels: np.ndarray, recipe: Recipe, names: tuple[str, ...] | None) -> np.ndarray:
    """Bring an image to (planes, H, W), the planes being one or three colours, or the bands asked for."""
    if not pixels.size:
        raise Refusal(f"empty: shape {pixels.shape}")
    flux = recipe.kind == "flux"
    if flux and pixels.dtype == np.uint8:
        raise Refusal("8-bit pixels, a display image and not flux")
    if pixels.dtype.kind not in ("iuf" if flux else "f") and pixels.dtype != np.uint8:
        raise GalgenError(
            f"pixels are {pixels.dtype}; give {'numbers' if flux else 'uint8 or floats in [0, 1]'}"
        )
    if pixels.ndim == 2:
        pixels = pixels[None]
    names = names or recipe.bands
    allowed, expected = (1, 3), "a display image is to have 1 plane if gray, 3 if colour"
    if flux:
        allowed, expected = (len(names),), f"flux is to have bands {', '.join(names)} (--bands)"
        expected += ", and floats that do not all lie in [0, 1] are taken for flux"
    if len(pixels) not in allowed and pixels.shape[-1] in allowed:
        pixels = np.moveaxis(pixels, -1, 0)
    if len(pixels) not in allowed:
        raise GalgenError(f"an image is {' x '.join(map(str, pixels.shape))}, but {expected}")
    if not flux:
        return pixels
    if missing := [band for band in recipe.bands if band not in names]:
        raise GalgenError(f"there is no band {', '.join(missing)}, only {', '.join(names):.80} (--bands)")
    return pixels[[names.index(band) for band in recipe.bands]]


def _stamp(pixels: np.ndarray, recipe: Recipe, colour: bool) -> np.ndarray:
    """The stamp, (1, size, size) or of three channels, of an image of shape (planes, H, W)."""
    height, width = pixels.shape[1:]
    if recipe.crop is None and height != width:
        raise GalgenError(f"images of {height} x {width} pixels are not square; crop them (--crop)")
    if recipe.crop is not None and recipe.crop > min(height, width):
        raise Refusal(f"smaller than the crop of {recipe.crop} pixels: {height} x {width} (--crop)")
    sky = _sky(pixels) if recipe.subtract_sky else 0
    pixels = pixels if recipe.crop is None else crop_centre(pixels, recipe.crop)
    size = recipe.size or pixels.shape[-1]
    if not np.isfinite(pixels - sky).all():
        raise Refusal("pixels not finite")
    if recipe.kind == "flux":
        if ((pixels == 0).mean(axis=(1, 2)) > MAX_ZEROS).any():
            raise Refusal(f"more than {MAX_ZEROS:.0%} zeros")
        pixels = pixels - sky
        # Where f(I) = 1: with the paper's numbers 16.4 mag a square arcsecond, and no galaxy is that bright
        # over half a stamp.
        white = recipe.stretch / recipe.Q * np.sinh(np.arcsinh(0.1 * recipe.Q) / 0.1)
        if np.median(pixels.mean(axis=0)) > white:
            raise Refusal(
                "saturated: the sky is still in it (--subtract-sky), the stretch is for another unit, or it "
                "is no flux (display images are uint8, or floats in [0, 1])"
            )
        stamp = flux_to_gray(pixels[None], size=size, crop=None, Q=recipe.Q, stretch=recipe.stretch)[0]
    else:
        stamp = to_uint8(resize_area(_brightness(pixels, recipe, colour), size))
    if stamp.min() == stamp.max():
        raise Refusal("blank: all pixels of the stamp are equal")
    return stamp


def _sky(pixels: np.ndarray) -> np.ndarray:
    """The median of the outer tenth of each band, with shape (planes, 1, 1)."""
    margin = max(1, min(pixels.shape[1:]) // 10)
    frame = np.ones(pixels.shape[1:], dtype=bool)
    frame[margin:-margin, margin:-margin] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a frame without a number gives NaN: refused
        return np.nanmedian(pixels[..., frame], axis=-1)[..., None, None]


def _brightness(pixels: np.ndarray, recipe: Recipe, colour: bool) -> np.ndarray:
    """A display image in [0, 1], as gray of shape (1, H, W), or with its three channels if they differ."""
    lowest, highest = DRAWN if colour else (0, 1)
    if pixels.dtype == np.uint8:
        pixels = pixels / 255
    elif pixels.min() < lowest or pixels.max() > highest:
        found = f"{pixels.min():.4g} to {pixels.max():.4g}"
        raise GalgenError(
            f"display images of floats must lie in [{lowest}, {highest}], not {found}; "
            "clip or rescale them, and import flux as such (galgen data import)"
        )
    pixels = pixels.clip(0, 1)
    gray = (pixels == pixels[:1]).all()
    if colour:
        return pixels[:1] if gray else pixels
    if not (gray or recipe.gray):
        raise GalgenError("the image is in colour; to make it gray, ask for it (--gray)")
    return pixels.mean(axis=0, keepdims=True)


def imported(path: Path, size: int) -> Making:
    """How a data set is made of the images at `path`, of `size` pixels a side."""
    sha256 = _path_sha256(path)

    def make(directory: Path) -> Dataset:
        try:
            found = import_images(path, size=size, progress=True)
        except GalgenError as error:
            hint = "; that is an option of galgen data import, and DATA the folder that it makes"
            raise GalgenError(f"{error}{hint * ('--' in str(error))}") from error
        return write_imported(
            directory,
            found,
            source=called(path),
            manifest=load_manifest().name_of(sha256),
        )

    return Making({"name": path.name, "size": size}, FILES, make, sha256)


def _path_sha256(path: Path) -> str:
    """The checksum of a file, or of the names and checksums of the images in a folder."""
    files = files_of(path)
    if files == [path]:
        return file_sha256(path)
    lines = [f"{file.relative_to(path)} {file_sha256(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
