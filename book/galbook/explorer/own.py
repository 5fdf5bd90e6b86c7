"""The user's own image: what the models make of a galaxy that is in none of the data sets.

Two questions to models A and B: the training image nearest to it, by anomaly cosine, compared with what
held-out galaxies have; and how many bits/dim Glow gives it, as a quantile of held-out galaxies. An image far
from all galaxies (a star, a cat) shows in both.
"""

import functools
import tempfile
from pathlib import Path

import numpy as np

from galbook.explorer.answers import Explorer, Row, Stamp
from galgen.compare.likelihood import bits_per_dim
from galgen.data.acquire.importing import import_images
from galgen.data.acquire.readers import SUFFIXES
from galgen.data.unit import unit
from galgen.runs.errors import GalgenError, printable

__all__ = ["answers", "read"]

_WHOLE = (".npz", ".h5", ".hdf5")  # read by its own path, all others as a folder of one
_KINDS = _WHOLE + tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
COMPARED = 256  # held-out galaxies


def read(name: str, content: bytes, size: int) -> np.ndarray:
    """The first image of an uploaded file, as `galgen data import` reads it: uint8 (1, size, size).

    Raises:
        GalgenError: If there is none in it that can be read.
    """
    kind = next((kind for kind in _KINDS if name.lower().endswith(kind)), "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{kind}"  # no file system can have every name that a browser gives
        path.write_bytes(content)
        try:
            return import_images(path if kind in _WHOLE else folder, size=size, gray=True, most=1).images[0]
        except GalgenError as error:
            told = printable(name)[-80:] or "the file"
            raise GalgenError(f"{told} cannot be read; give one galaxy as a square PNG or JPEG") from error


def answers(explorer: Explorer, image: np.ndarray, N: int) -> list[Row]:
    """Both answers to an image, uint8 (1, H, W), by the models nearest to N training images."""
    n, label = explorer.size("diffusion", N)
    stamps = [Stamp(image[0], "yours")]
    for half in "AB":
        near = explorer.nearest(unit(image[None]), "diffusion", n, half)
        training = near.first(explorer.training_images(n, half))[0, 0]
        stamps.append(Stamp(training, f"nearest of {half}'s images: {near.cosine[0, 0]:.2f}"))
    low, high = explorer.nulls("diffusion", n)[1]
    note = f"a held-out galaxy and the nearest of A's images: {low:.2f} to {high:.2f}"
    rows = [Row(f"the image as the models see it, {label}", tuple(stamps), note)]
    n, label = explorer.size("glow", N)
    try:
        told = "; ".join(f"model {half} {_likelihood(explorer, image, n, half)}" for half in "AB")
    except GalgenError as error:  # not trained
        told = str(error)
    return [*rows, Row(f"likelihood, {label}", note=told)]


def _likelihood(explorer: Explorer, image: np.ndarray, N: int, half: str) -> str:
    bits = bits_per_dim(explorer.pair("glow", N)[half]["net"], image[None], [0])[0]
    share = 100 * np.mean(_held_out_bits(explorer, N, half) >= bits)
    return f"{bits:.2f} bits/dim ({share:.0f} % of held-out galaxies cost as many or more)"


@functools.cache  # one explorer a kernel; a slider that is moved asks again
def _held_out_bits(explorer: Explorer, N: int, half: str) -> np.ndarray:
    held_out = explorer.validation[:COMPARED]
    return bits_per_dim(explorer.pair("glow", N)[half]["net"], held_out, range(1, len(held_out) + 1))
