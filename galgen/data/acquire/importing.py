"""The user's own images as gray 8-bit stamps and a catalogue, with a reason for each object left out.

Pixels are one of two kinds. **Flux** is linear: it is cropped, by default to the paper's 64 x 64 pixels, and
stretched and made gray. FITS is flux, PNG and JPEG are display images. Arrays are display images if they are
uint8, or floats that all lie in [0, 1], and flux otherwise (flux has noise, so some of it is negative).

An object of which nothing can be made, because a file is damaged, a band is missing or a pixel is not finite,
is refused by name and the others are kept. What is wrong with the whole is an error: no images, mixed shapes,
colour, an unknown key.
"""

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table
from tqdm import tqdm

from galgen.data.acquire.arrays import read_arrays
from galgen.data.acquire.folders import Block, Refusal, Source, read_folder
from galgen.data.preprocess import crop_centre, flux_to_gray, resize_area, to_uint8
from galgen.runs.errors import GalgenError

__all__ = ["Imported", "import_images"]

FLUX_CROP = 64  # the paper's field
MAX_ZEROS = 0.3  # Smith et al. 2022 drop a cut-out with more: it is off the edge of the survey
KINDS = ("auto", "flux", "display")


@dataclass(frozen=True)
class Imported:
    """Images ready for `galgen.data.dataset.write_dataset`.

    Attributes:
        images: uint8 array of shape (n, 1, size, size), n >= 1.
        catalogue: n rows: `id`, `file`, and what the source says of each object (`ra`, `dec`, `survey`, ...).
        refused: Name and reason of each object left out.
        parameters: How the images were made (JSON values), and the `surveys` named in the source.
    """

    images: np.ndarray
    catalogue: Table
    refused: list[tuple[str, str]]
    parameters: dict

    @property
    def dropped(self) -> dict[str, int]:
        """Number of objects left out, by reason."""
        return dict(Counter(reason.partition(":")[0] for _, reason in self.refused))


@dataclass(frozen=True)
class _Recipe:
    """What is done to each image."""

    kind: str
    size: int
    crop: int | None
    bands: tuple[str, ...]
    gray: bool
    subtract_sky: bool
    Q: float
    stretch: float


def import_images(
    path: str | Path,
    *,
    size: int,
    crop: int | None = None,
    key: str | None = None,
    bands: Sequence[str] = ("g", "r", "z"),
    kind: str = "auto",
    gray: bool = False,
    subtract_sky: bool = False,
    Q: float = 8.0,
    stretch: float = 0.2,
    strict: bool = False,
    progress: bool = False,
) -> Imported:
    """Import a folder of FITS, npy, PNG or JPEG files, or one npz, npy or HDF5 file.

    Args:
        path: The folder (`galgen.data.acquire.folders`) or file (`galgen.data.acquire.arrays`).
        size: Side of the images made, pixels.
        crop: Side of the central square to keep, pixels; by default 64 of flux and all of a display image.
        key: Name of the image array in an npz or HDF5 file; by default the only one.
        bands: Names of one to three bands of flux, from blue to red.
        kind: "flux", "display", or "auto" for the rule at the top of this module.
        gray: Make colour display images gray, by the mean of their channels; otherwise they are an error.
        subtract_sky: Subtract from each band of flux the median of the outer tenth of its frame.
        Q: Softening of the stretch of flux.
        stretch: Scale of the stretch of flux, for nanomaggies a pixel; see `flux_to_gray` for other units.
        strict: Make it an error if any object is refused.
        progress: Show a progress bar.

    Raises:
        GalgenError: For whatever is wrong with the source as a whole, with its name and the way out.
    """
    path, bands = Path(path), tuple(bands)
    if kind not in KINDS:
        raise GalgenError(f"kind must be one of {', '.join(KINDS)}, not '{kind}'")
    if not 1 <= len(bands) <= 3 or len(set(bands)) < len(bands) or not all(bands):
        raise GalgenError(f"bands must be one to three different names, from blue to red, not {list(bands)}")
    images, rows, refused = [], [], []
    with contextlib.ExitStack() as resources:
        source = _open(path, key, bands, resources)
        kind = _kind(path, source, kind)
        if subtract_sky and kind == "display":
            raise GalgenError(f"{path} holds display images; only flux has a sky to subtract")
        crop = FLUX_CROP if kind == "flux" and crop is None else crop
        recipe = _Recipe(kind, size, crop, bands, gray, subtract_sky, Q, stretch)
        shape, first = None, ""
        for name, load in tqdm(source.loaders, disable=not progress, unit="part"):
            try:
                block = _read(path, name, load)
                pixels = _planes(block.pixels, recipe, source.planes)
                shape, first = (pixels.shape[-2:], name) if shape is None else (shape, first)
                if crop is None and pixels.shape[-2:] != shape:
                    raise GalgenError(
                        f"{pixels.shape[-2:]} pixels, but {first} has {shape}; crop them (--crop)"
                    )
                stamps, reasons = _stamps(pixels, recipe)
            except Refusal as refusal:
                refused.append((name, str(refusal)))
                continue
            except GalgenError as error:
                raise GalgenError(f"{path}, {name}: {error}") from error
            images.append(stamps)
            rows += [row for row, reason in zip(block.rows, reasons, strict=True) if not reason]
            refused += [(of, reason) for of, reason in zip(block.names, reasons, strict=True) if reason]
    if refused and (strict or not rows):
        some = "; ".join(f"{name}: {reason}" for name, reason in refused[:5])
        raise GalgenError(
            f"{path}: {len(refused)} of {len(refused) + len(rows)} objects cannot be used. {some}"
            + ("; ..." if len(refused) > 5 else "")
        )
    surveys = sorted({str(row["survey"]) for row in rows if "survey" in row})
    parameters = {"path": path.name, "key": key, **asdict(recipe), "bands": list(bands), "surveys": surveys}
    return Imported(np.concatenate(images), Table(rows), refused, parameters)


def _open(path: Path, key: str | None, bands: tuple[str, ...], resources: contextlib.ExitStack) -> Source:
    if path.is_file():
        return read_arrays(path, key, resources)
    if not path.exists():
        raise GalgenError(f"{path} does not exist")
    if key is not None:
        raise GalgenError(f"{path} is a folder; a key is for npz and HDF5 files")
    return read_folder(path, bands)


def _read(path: Path, name: str, load: Callable[[], Block]) -> Block:
    try:
        return load()
    except OSError as error:  # a damaged piece of an HDF5 file
        raise GalgenError(f"{path}, {name} cannot be read: {error}") from error


def _kind(path: Path, source: Source, kind: str) -> str:
    """Flux or display: from the format, the user, or the rule at the top of this module."""
    if source.kind is not None:
        if kind not in ("auto", source.kind):
            raise GalgenError(f"{path} is of {source.kind} images by its format, not of {kind}")
        return source.kind
    if kind != "auto":
        return kind
    for name, load in source.loaders:
        with contextlib.suppress(Refusal):
            pixels = _read(path, name, load).pixels
            if pixels.dtype != np.uint8 and pixels.dtype.kind != "f":
                raise GalgenError(
                    f"{path}, {name}: pixels are {pixels.dtype}; give uint8 or floats, or say that they are "
                    "flux (--kind flux)"
                )
            if pixels.dtype.kind == "f" and ((pixels < 0).any() or (pixels > 1).any()):
                return "flux"
    return "display"


def _planes(pixels: np.ndarray, recipe: _Recipe, names: tuple[str, ...] | None) -> np.ndarray:
    """Bring a block to (n, planes, H, W), the planes being one or three colours, or the bands asked for."""
    flux = recipe.kind == "flux"
    if flux and pixels.dtype == np.uint8:
        raise Refusal("8-bit pixels, a display image and not flux")
    if pixels.dtype.kind not in ("iuf" if flux else "f") and pixels.dtype != np.uint8:
        raise GalgenError(
            f"pixels are {pixels.dtype}; give {'numbers' if flux else 'uint8 or floats in [0, 1]'}"
        )
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    names = names or recipe.bands
    allowed, expected = (
        ((len(names),), f"bands {', '.join(names)}") if flux else ((1, 3), "1 plane if gray, 3 if colour")
    )
    if pixels.shape[1] not in allowed and pixels.shape[-1] in allowed:
        pixels = np.moveaxis(pixels, -1, 1)
    if pixels.shape[1] not in allowed:
        shape = " x ".join(map(str, pixels.shape[1:]))
        raise GalgenError(f"an image is {shape}, but is to have {expected}" + flux * " (--bands)")
    if not flux:
        return pixels
    if missing := [band for band in recipe.bands if band not in names]:
        raise GalgenError(f"there is no band {', '.join(missing)}, only {', '.join(names)} (--bands)")
    return pixels[:, [names.index(band) for band in recipe.bands]]


def _stamps(pixels: np.ndarray, recipe: _Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Stamps of the good images of (n, planes, H, W), and for each image "" or why it is refused."""
    height, width = pixels.shape[-2:]
    if recipe.crop is None and height != width:
        raise GalgenError(f"images of {height} x {width} pixels are not square; crop them (--crop)")
    if recipe.crop is not None and recipe.crop > min(height, width):
        raise Refusal(f"smaller than the crop of {recipe.crop} pixels: {height} x {width} (--crop)")
    sky = _sky(pixels) if recipe.subtract_sky else 0
    pixels = pixels if recipe.crop is None else crop_centre(pixels, recipe.crop)
    zeros = ((pixels == 0).mean(axis=(2, 3)) > MAX_ZEROS).any(axis=1)
    pixels = pixels - sky
    reasons = np.full(len(pixels), "", dtype=object)
    if recipe.kind == "flux":
        # Where f(I) = 1: with the paper's numbers 16.4 mag a square arcsecond, and no galaxy is that bright
        # over half a stamp.
        white = recipe.stretch / recipe.Q * np.sinh(np.arcsinh(0.1 * recipe.Q) / 0.1)
        bright = np.median(pixels.mean(axis=1), axis=(1, 2)) > white
        reasons[bright] = (
            "saturated: the sky is still in it (--subtract-sky), or the stretch is for another unit"
        )
        reasons[zeros] = f"more than {MAX_ZEROS:.0%} zeros"
    reasons[~np.isfinite(pixels).all(axis=(1, 2, 3))] = "pixels not finite"
    good = np.flatnonzero(reasons == "")
    if not len(good):
        return np.empty((0, 1, recipe.size, recipe.size), np.uint8), reasons
    if recipe.kind == "flux":
        stamps = flux_to_gray(pixels[good], size=recipe.size, crop=None, Q=recipe.Q, stretch=recipe.stretch)
    else:
        stamps = to_uint8(resize_area(_brightness(pixels[good], recipe.gray), recipe.size))
    blank = stamps.min(axis=(1, 2, 3)) == stamps.max(axis=(1, 2, 3))
    reasons[good[blank]] = "blank: all pixels of the stamp are equal"
    return stamps[~blank], reasons


def _sky(pixels: np.ndarray) -> np.ndarray:
    """The median of the outer tenth of each band, with shape (n, planes, 1, 1)."""
    margin = max(1, min(pixels.shape[-2:]) // 10)
    frame = np.ones(pixels.shape[-2:], dtype=bool)
    frame[margin:-margin, margin:-margin] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a frame without a number gives NaN: refused
        return np.nanmedian(pixels[..., frame], axis=-1)[..., None, None]


def _brightness(pixels: np.ndarray, gray: bool) -> np.ndarray:
    """Display images as gray in [0, 1], with shape (n, 1, H, W)."""
    if pixels.dtype == np.uint8:
        pixels = pixels / 255
    elif pixels.min() < 0 or pixels.max() > 1:
        raise GalgenError(
            f"display images of floats must lie in [0, 1], not {pixels.min()} to {pixels.max()}"
        )
    if not gray and (pixels != pixels[:, :1]).any():
        raise GalgenError("the image is in colour; to make it gray, ask for it (--gray)")
    return pixels.mean(axis=1, keepdims=True)
