"""The user's own image: what the models make of a galaxy that is in none of the data sets.

Three questions to models A and B: the training image nearest to it, by anomaly cosine, beside what held-out
galaxies have; how many bits/dim Glow gives it, as a quantile of held-out galaxies; and, with noise added,
what a denoiser makes of it. An image far from all galaxies (a star, a cat) shows in the first two.
"""

import functools
import re
import tempfile
from pathlib import Path

import numpy as np

from galbook.explorer.answers import Explorer, Missing, Row, Stamp
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
    with tempfile.TemporaryDirectory() as folder:
        kind = next((kind for kind in _KINDS if name.lower().endswith(kind)), "")
        path = Path(folder) / f"upload{kind}"  # no file system can have every name that a browser gives
        path.write_bytes(content)
        try:
            found = import_images(path if kind in _WHOLE else folder, size=size, gray=True, most=1)
        except GalgenError as error:
            told = str(error).replace(f"{folder}/", "").replace(folder, path.name)
            plain = re.sub(r" \(--[^)]+\)", "", told)  # options of the command line
            told = plain + "; or give one galaxy as a square PNG or JPEG" * (plain != told)
            raise GalgenError(told.replace(path.name, printable(name)[-80:] or "the file")) from error
    return found.images[0]


def answers(explorer: Explorer, image: np.ndarray, family: str, N: int, sigma: float) -> list[Row]:
    """The three answers to an image, uint8 (1, H, W), by the models nearest to N training images."""
    answer, whole = [], unit(image[None])
    n, label = explorer.size(family, N)
    found = {half: explorer.nearest(whole, family, n, half) for half in "AB"}
    stamps = [Stamp(image[0], "yours")]
    for half, near in found.items():
        training = near.first(explorer.training_images(n, half))[0, 0]
        stamps.append(Stamp(training, f"nearest of {half}'s images: {near.cosine[0, 0]:.2f}"))
    low, high = explorer.nulls(family, n)[1]
    note = f"a held-out galaxy and the nearest of A's images: {low:.2f} to {high:.2f}"
    answer.append(Row(f"the image as the models see it, {label}", tuple(stamps), note))
    answer.append(_likelihood(explorer, image, N))
    seen = dict.fromkeys("AB", "which did not see it")
    try:
        return answer + explorer.denoise_image(family, N, image, sigma, 0, seen)[1:]
    except Missing as error:
        return [*answer, Row(label, commands=str(error))]


def _likelihood(explorer: Explorer, image: np.ndarray, N: int) -> Row:
    n, label = explorer.size("glow", N)
    try:
        flows = {half: networks["net"] for half, networks in explorer.pair("glow", n).items()}
    except Missing as error:
        return Row(label, commands=str(error))
    told = []
    for half, flow in flows.items():
        bits = bits_per_dim(flow, image[None], [0])[0]
        share = 100 * np.mean(_held_out_bits(explorer, n, half) >= bits)
        told.append(
            f"model {half} {bits:.2f} bits/dim ({share:.0f} % of held-out galaxies cost as many or more)"
        )
    return Row(f"likelihood, {label}", note="; ".join(told))


@functools.cache  # one explorer a kernel; a slider that is moved asks again
def _held_out_bits(explorer: Explorer, N: int, half: str) -> np.ndarray:
    held_out = explorer.validation[:COMPARED]
    return bits_per_dim(explorer.pair("glow", N)[half]["net"], held_out, range(1, len(held_out) + 1))
