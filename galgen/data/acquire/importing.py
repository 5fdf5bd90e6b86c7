"""Import the user's images as gray 8-bit stamps and a catalogue, with a reason for each rejected object.

Pixels are one of two kinds. **Flux** is linear: it is cropped, by default to the paper's 64 x 64 pixels,
stretched and converted to gray. FITS is flux; PNG, JPEG and TIFF are display images. Arrays are display
images if they are uint8, or floats that all lie in [0, 1], and flux otherwise (noise makes some negative).

An object that cannot be used, because its file is damaged, a band is missing or a pixel is not finite, is
rejected by name and the others are imported. Problems of the whole source are errors: no images, mixed
shapes, color, an unknown key. Imported images are an entry of the run store.
"""

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table
from tqdm import tqdm

from galgen.compare.similarity import near_duplicates
from galgen.data.acquire.readers import MAX_ZEROS, Refusal, Source, files_of, open_source
from galgen.data.acquire.recipe import Recipe
from galgen.data.dataset import Dataset, write_dataset
from galgen.data.manifest import load_manifest
from galgen.data.prepare import Making
from galgen.data.preprocess import DRAWN, crop_centre, flux_to_gray, resize_area, to_uint8
from galgen.runs.code import closure
from galgen.runs.errors import GalgenError, checked, printable
from galgen.runs.files import file_sha256

__all__ = ["called", "import_images", "imported", "write_imported"]

FLUX_CROP = 64  # the paper's field
INSPECTED = 1000  # objects, evenly spaced, used to distinguish flux from display images


@dataclass(frozen=True)
class Imported:
    """Images ready to be written as a data set.

    Attributes:
        images: uint8 array of shape (n, 1, size, size), n >= 1.
        catalogue: n rows: `id`, `file` and the columns of the source (`ra`, `dec`, `survey`, ...).
        refused: Name and reason of each rejected object.
        parameters: Import parameters (JSON values), and the `surveys` named in the source.
        dropped: Number of rejected objects, by reason.
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
    """Import a folder of FITS, npy, PNG, JPEG or TIFF files, or one npz, npy or HDF5 file.

    Args:
        path: The folder or file, see `galgen.data.acquire.readers.open_source`.
        key: Name of the image array in an npz or HDF5 file; by default the only one.
        strict: Raise if any object is rejected.
        progress: Display a progress bar.
        colour: Preserve the three channels of display images; if all are gray, the gray channel is broadcast.
        most: Maximum number of images to import; the others are not read.
        recipe: The fields of `Recipe`.

    Raises:
        GalgenError: If the source as a whole is invalid; names it and says how to fix it.
    """
    path, wanted = Path(path), checked(Recipe, recipe, "import options")
    with contextlib.ExitStack() as resources:
        source = open_source(path, wanted.bands, key, resources)
        wanted = _settled(path, source, wanted)
        names = tqdm(source.names, "read", unit="image", delay=2, disable=not progress)
        stamps, rows, refused = _collected(path, source, names, wanted, colour, most)
    if refused and (strict or not rows):
        examples = "; ".join(f"{name}: {reason}" for name, reason in refused[:3])
        total = len(refused) + len(rows)
        raise GalgenError(f"{path}: {len(refused)} of {total} objects cannot be used. {examples:.1500}")
    channels = max(map(len, stamps))
    images = np.stack([np.broadcast_to(stamp, (channels, *stamp.shape[1:])) for stamp in stamps])
    catalogue = Table(rows)
    dropped = dict(Counter(re.split("[:(]", reason)[0].strip() for _, reason in refused))
    if wanted.distinct is not None:
        later = np.unique(near_duplicates(images, wanted.distinct)[:, 1])
        images, dropped["near-duplicate"] = np.delete(images, later, axis=0), len(later)
        catalogue.remove_rows(later)
    if colour and wanted.kind == "display":
        images = np.broadcast_to(images, (len(images), 3, *images.shape[2:]))
    surveys = sorted({str(row["survey"]) for row in rows if "survey" in row})
    parameters = {"path": path.name, "key": key, **wanted.model_dump(mode="json"), "surveys": surveys}
    return Imported(images, catalogue, refused, parameters, dropped)


def called(path: Path) -> str:
    """Return the name of images on figures: that of the folder, or of the file without suffix."""
    return path.stem if path.is_file() else path.resolve().name


def write_imported(directory: Path, found: Imported, *, source: str, manifest: str) -> Dataset:
    """Write imported images as a data set, see `galgen.data.dataset.write_dataset`."""
    about = {"parameters": found.parameters, "dropped": found.dropped}
    return write_dataset(directory, found.images, found.catalogue, source=source, manifest=manifest, **about)


def _collected(
    path: Path, source: Source, names: Iterable[str], recipe: Recipe, colour: bool, most: int | None
) -> tuple[list[np.ndarray], list[dict], list[tuple[str, str]]]:
    """Return stamps and catalogue rows of usable objects, and names and reasons of rejected ones."""
    stamps, rows, refused, shape = [], [], [], None
    for i, name in enumerate(names):
        try:
            row, pixels = source.read(i)
            planes = _planes(pixels, recipe, source.planes)
            shape = shape or planes.shape[1:]
            if recipe.crop is None and planes.shape[1:] != shape:
                raise GalgenError(f"{planes.shape[1:]} pixels, but the first image has {shape} (--crop)")
            stamps.append(_stamp(planes, recipe, colour))
            rows.append({printable(column): _plain(value) for column, value in row.items()})
        except Refusal as refusal:
            refused.append((name, str(refusal)))
        except GalgenError as error:
            raise GalgenError(f"{path}, {name}: {error}") from error
        if len(rows) == most:
            break
    return stamps, rows, refused


def _plain(value: object) -> object:
    return printable(value).strip() if isinstance(value, str) else value


def _settled(path: Path, source: Source, recipe: Recipe) -> Recipe:
    """Return the recipe with kind and crop resolved."""
    kind = _kind(source) if recipe.kind == "auto" else recipe.kind
    if recipe.subtract_sky and kind == "display":
        raise GalgenError(f"{path} holds display images; only flux has a sky to subtract")
    crop = recipe.crop or (FLUX_CROP if kind == "flux" else None)
    return recipe.model_copy(update={"kind": kind, "crop": crop})


def _kind(source: Source) -> str:
    """Return "flux" or "display", from the format or by the rule in the module docstring."""
    if source.kind:
        return source.kind
    for i in range(0, len(source.names), -(-len(source.names) // INSPECTED)):
        with contextlib.suppress(Refusal):  # it is rejected by name when it is imported
            pixels = source.read(i)[1]
            if pixels.dtype.kind == "f" and (((pixels < 0) | (pixels > 1)) & np.isfinite(pixels)).any():
                return "flux"
    return "display"


def _planes(pixels: np.ndarray, recipe: Recipe, names: tuple[str, ...] | None) -> np.ndarray:
    """Return an image as (planes, H, W), where the planes are one or three channels or the wanted bands."""
    flux, names, dtype = recipe.kind == "flux", names or recipe.bands, pixels.dtype
    is_flux = dtype.kind in "iuf" and dtype != np.uint8
    is_display = dtype.kind == "f" or dtype == np.uint8
    if not (is_flux if flux else is_display):
        expected = "display images are uint8 or floats, flux is other numbers"
        raise GalgenError(f"pixels are {dtype}, but {expected} (--kind)")
    allowed = (len(names),) if flux else (1, 3)
    planes = pixels[None] if pixels.ndim == 2 else pixels
    if len(planes) not in allowed:
        planes = np.moveaxis(planes, -1, 0)
    if len(planes) not in allowed:
        expected = f"the bands are {', '.join(names)}" if flux else "display images have 1 plane or 3"
        raise GalgenError(
            f"an image is {' x '.join(map(str, pixels.shape))}, but {expected} (--bands, --kind)"
        )
    if not flux:
        return planes
    if missing := [band for band in recipe.bands if band not in names]:
        raise GalgenError(f"there is no band {', '.join(missing)}, only {', '.join(names):.80} (--bands)")
    return planes[[names.index(band) for band in recipe.bands]]


def _stamp(pixels: np.ndarray, recipe: Recipe, colour: bool) -> np.ndarray:
    """Return the stamp, (1, size, size) or with three channels, of an image of shape (planes, H, W)."""
    height, width = pixels.shape[1:]
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
        # The flux with f(I) = 1: 16.4 mag per square arcsecond for the paper's Q and stretch, brighter than
        # any galaxy over half a stamp.
        white = recipe.stretch / recipe.Q * np.sinh(np.arcsinh(0.1 * recipe.Q) / 0.1)
        if np.median(pixels.mean(axis=0)) > white:
            raise Refusal("saturated: sky not subtracted (--subtract-sky), another unit, or no flux")
        stamp = flux_to_gray(pixels[None], size=size, crop=None, Q=recipe.Q, stretch=recipe.stretch)[0]
    else:
        stamp = to_uint8(resize_area(_brightness(pixels, recipe, colour), size))
    if stamp.min() == stamp.max():
        raise Refusal("blank: all pixels of the stamp are equal")
    return stamp


def _sky(pixels: np.ndarray) -> np.ndarray:
    """Return the median of the outer tenth of each band, with shape (planes, 1, 1)."""
    margin = max(1, min(pixels.shape[1:]) // 10)
    frame = np.ones(pixels.shape[1:], dtype=bool)
    frame[margin:-margin, margin:-margin] = False
    return np.nanmedian(pixels[..., frame], axis=-1)[..., None, None]


def _brightness(pixels: np.ndarray, recipe: Recipe, colour: bool) -> np.ndarray:
    """Scale a display image to [0, 1]: gray (1, H, W), or its three channels if they differ and `colour`."""
    if pixels.dtype == np.uint8:
        pixels = pixels / 255
    elif pixels.min() < DRAWN[0] or pixels.max() > DRAWN[1]:
        (low, high), span = DRAWN, f"{pixels.min():.4g} to {pixels.max():.4g}"
        raise GalgenError(f"display images of floats must lie in [{low}, {high}], not {span}; rescale them")
    pixels = pixels.clip(0, 1)  # generated values can be slightly outside
    gray = (pixels == pixels[:1]).all()
    if colour:
        return pixels[:1] if gray else pixels
    if not (gray or recipe.gray):
        raise GalgenError("the image is in color; convert it to gray with --gray")
    return pixels.mean(axis=0, keepdims=True)


def imported(path: Path, size: int) -> Making:
    """Return the recipe of a data set of the images at `path`, with `size` x `size` pixels."""
    sha256 = _path_sha256(path)

    def make(directory: Path) -> Dataset:
        images, manifest = import_images(path, size=size, progress=True), load_manifest().name_of(sha256)
        return write_imported(directory, images, source=called(path), manifest=manifest)

    return Making({"name": path.name, "size": size}, closure(__name__), make, sha256)


def _path_sha256(path: Path) -> str:
    """Return the sha256 of a file, or of the names and checksums of the images in a folder."""
    files = files_of(path)
    if files == [path]:
        return file_sha256(path)
    lines = [f"{file.relative_to(path)} {file_sha256(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
