"""What is refused of an object or of a whole source, before it is read if that can be known."""

import contextlib
import math
from collections.abc import Iterator, Sequence

import numpy as np

from galgen.runs.errors import GalgenError

__all__ = ["MAX_UNPACKED", "MAX_ZEROS", "Object", "Refusal", "check_pixels", "check_unpacked", "reading"]

MAX_UNPACKED = 2**29  # bytes that are unpacked: an npz, a chunk or a column of HDF5, FITS before its image
MAX_PIXELS = 2**24  # of one object, all its bands together
MAX_ZEROS = 0.3  # of a band: Smith et al. 2022 drop a cut-out with more, it is off the edge of the survey

Object = tuple[dict, np.ndarray]  # its row of the catalogue, with `id` and `file`, and its pixels


class Refusal(Exception):
    """One object that cannot be used; the text is the reason, with details after a colon."""


def check_pixels(shape: Sequence[int], failure: type[Exception] = Refusal, of: str = "") -> None:
    """Refuse an object by its header, before its pixels are read."""
    if math.prod(shape) > MAX_PIXELS:
        size = " x ".join(map(str, shape))
        raise failure(f"{of}too large: {size} pixels, more than {MAX_PIXELS} in all; cut it smaller")


def check_unpacked(size: int, of: object) -> None:
    """Refuse a source of which so many bytes would be unpacked at once."""
    if size > MAX_UNPACKED:
        limit = f"{size / 1e6:.0f} MB, more than {MAX_UNPACKED / 1e6:.0f}"
        raise GalgenError(f"{of} unpacks to {limit}; save it as npy, or as HDF5 in smaller chunks")


@contextlib.contextmanager
def reading(what: object, failure: type[Exception]) -> Iterator[None]:
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
