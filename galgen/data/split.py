"""Split a data set into disjoint training sets A and B and a validation set.

Two images are the same galaxy if one equals the other under a flip or a rotation by a multiple of 90 degrees
(the dihedral group D4). One image per class is used. With a seeded permutation s of these n' distinct images,
V for validation and N for each model,

    validation = s[:V],   A = s[V : V + N],   B = s[n' - N : n'],        2 N + V <= n'

so A, B and validation are disjoint by content, and the sets of a smaller N are subsets of those of a larger.
"""

from dataclasses import dataclass, field

import numpy as np

from galgen.runs.errors import GalgenError

__all__ = ["Split", "dihedral_keys", "distinct", "split"]


@dataclass(frozen=True)
class Split:
    """Row numbers of disjoint sets of images; A and B have N each.

    `starts`, at most as many as validation, are outside the training sets and used by few tests; their mean
    is the start image of samplers.
    """

    A: np.ndarray
    B: np.ndarray
    validation: np.ndarray
    starts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


def dihedral_keys(images: np.ndarray) -> np.ndarray:
    """Return a 64-bit key per image, equal for images in one orbit of D4 (flips and quarter turns).

    The key is the minimum of eight hashes h_g(x) = sum_p w_g(p) x(p) mod 2^64, with random odd weights w
    moved by the eight elements g. Two different images share a key with probability about 2^-61.

    Args:
        images: uint8 array of shape (n, 1, H, W) with H = W.

    Returns:
        uint64 array of shape (n,).

    >>> image = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    >>> dihedral_keys(image) == dihedral_keys(np.rot90(image, axes=(2, 3)))
    array([ True])
    """
    side = images.shape[-1]
    weights = 2 * np.random.default_rng(0).integers(2**63, size=(side, side), dtype=np.uint64) + 1
    turned = [np.rot90(w, k).ravel() for w in (weights, weights.T) for k in range(4)]
    keys = np.empty(len(images), np.uint64)
    for part in (slice(first, first + 4096) for first in range(0, len(images), 4096)):
        pixels = images[part].reshape(-1, side * side).astype(np.uint64)
        keys[part] = np.min([pixels @ w for w in turned], axis=0)
    return keys


def distinct(images: np.ndarray) -> np.ndarray:
    """Return the rows of distinct images, one per D4 class, ascending."""
    return np.sort(np.unique(dihedral_keys(images), return_index=True)[1])


def split(
    rows: np.ndarray, N: int, validation: int, seed: int = 0, *, source: object = "the data set"
) -> Split:
    """Draw A, B (N images each), validation and, from the rest, starts: disjoint by content and nested in N.

    Args:
        rows: Rows of distinct images, as returned by `distinct`.
        N: Training images of each of the two models.
        validation: Number of held-out images, on which no model is trained.
        seed: Random seed of the permutation.
        source: Name of the data set in error messages.

    Raises:
        GalgenError: If 2 N + validation exceeds the number of distinct images.
    """
    if 2 * N + validation > len(rows):
        most = (len(rows) - validation) // 2
        hint = f"N can be at most {most}" if most > 1 else f"at least {validation + 4} are needed"
        raise GalgenError(
            f"two models with N = {N} and {validation} validation images need {2 * N + validation} images, "
            f"but {source} has {len(rows)} distinct ones: {hint}"
        )
    order = np.random.default_rng([seed, 0x5B117]).permutation(rows)
    held_out, A, rest, B = np.split(order, [validation, validation + N, len(order) - N])
    return Split(A, B, held_out, rest[:validation])
