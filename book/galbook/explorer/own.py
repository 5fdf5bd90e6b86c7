"""Nearest training images and likelihood of an uploaded image.

For models A and B: the nearest training image by anomaly cosine, compared with held-out galaxies; and the
bits per dimension of Glow, as a quantile of held-out galaxies. An image unlike all galaxies (a star, a
cat) is an outlier in both.
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

_WHOLE = (".npz", ".h5", ".hdf5")  # read as files, all others as a folder with one file
_KINDS = _WHOLE + tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
COMPARED = 256  # held-out galaxies


def read(name: str, content: bytes, size: int) -> np.ndarray:
    """First image of an uploaded file, read as by `galgen data import`: uint8 (1, size, size).

    Raises:
        GalgenError: If the file has no readable image.
    """
    kind = next((kind for kind in _KINDS if name.lower().endswith(kind)), "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{kind}"  # names from a browser may be invalid on this file system
        path.write_bytes(content)
        try:
            return import_images(path if kind in _WHOLE else folder, size=size, gray=True, most=1).images[0]
        except GalgenError as error:
            label = printable(name)[-80:] or "the file"
            raise GalgenError(f"{label} cannot be read; upload one galaxy as a square PNG or JPEG") from error


def answers(explorer: Explorer, image: np.ndarray, N: int) -> list[Row]:
    """Nearest training images and likelihood of an image, uint8 (1, H, W), for the sizes nearest to N."""
    n, label = explorer.size("diffusion", N)
    stamps = [Stamp(image[0], "your image")]
    for half in "AB":
        near = explorer.nearest(unit(image[None]), "diffusion", n, half)
        training = near.first(explorer.training_images(n, half))[0, 0]
        stamps.append(Stamp(training, f"nearest of {half}'s images: {near.cosine[0, 0]:.2f}"))
    low, high = explorer.nulls("diffusion", n)[1]
    note = f"a held-out galaxy and the nearest of A's images: {low:.2f} to {high:.2f}"
    rows = [Row(f"the image at the models' resolution, {label}", tuple(stamps), note)]
    n, label = explorer.size("glow", N)
    try:
        text = "; ".join(f"model {half} {_likelihood(explorer, image, n, half)}" for half in "AB")
    except GalgenError as error:  # not trained
        text = str(error)
    return [*rows, Row(f"likelihood, {label}", note=text)]


def _likelihood(explorer: Explorer, image: np.ndarray, N: int, half: str) -> str:
    bits = bits_per_dim(explorer.pair("glow", N)[half]["net"], image[None], [0])[0]
    share = 100 * np.mean(_held_out_bits(explorer, N, half) >= bits)
    return f"{bits:.2f} bits/dim ({share:.0f} % of held-out galaxies have as many or more)"


@functools.cache  # recomputed on every move of a slider otherwise
def _held_out_bits(explorer: Explorer, N: int, half: str) -> np.ndarray:
    held_out = explorer.validation[:COMPARED]
    return bits_per_dim(explorer.pair("glow", N)[half]["net"], held_out, range(1, len(held_out) + 1))
