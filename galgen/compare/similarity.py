"""Cosine similarity of images in three variants, nearest images in a data set, and near-duplicates.

All three variants are the cosine <Px, Py> / (|Px| |Py|) and differ in the orthogonal projection P:

* "raw":     P = 1, the cosine of the paper's text. Images are positive: about 0.9 for any two galaxies.
* "pearson": P removes the mean of the image (the direction of a constant image), as in the published figures.
* "anomaly": P removes the data set's mean image as well. Galaxies are centered blobs, and this removes the
  blob: the cosine of unrelated galaxies scatters about 0, and only individual features contribute.

P is symmetric, so <Px, Py> = <Px, y>: only the queries need projecting, the data set enters the matrix
product unchanged, and |Py|^2 = |y|^2 - |By|^2 with B the removed directions. The data set is read once, chunk
by chunk, in uint8.

Near-duplicates are searched among all pairs, but with few numbers per image. Let u and v be projected images
of norm 1, E an orthogonal projection onto k directions and F = 1 - E. By Cauchy and Schwarz

    <u, v> = <Eu, Ev> + <Fu, Fv> <= <Eu, Ev> + |Fu| |Fv|,

so all pairs of cosine t or more are among those whose k + 1 numbers (Eu, |Fu|) have a product of t or more,
and only their cosines are computed. With E onto leading principal components these pairs are few.

A cosine needs a null: `shuffled_cosine` for two models (A's sample of one seed, B's of another), and for
nearest images `nearest` itself with held-out images as the queries (the value of a real galaxy) or as the
data set (the value of as many images that were not used for training).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galgen.data.unit import mean_image
from galgen.runs.errors import GalgenError

__all__ = ["FLIPS", "KINDS", "Neighbors", "cosine", "cosine_matrix", "near_duplicates", "nearest",
    "shuffled_cosine"]  # fmt: skip

KINDS = ("raw", "pearson", "anomaly")
FLIPS = ((), (-1,), (-2,), (-2, -1))  # axes: no flip, horizontal, vertical, both


@dataclass(frozen=True)
class Neighbors:
    """The nearest images of each query, nearest first.

    Attributes:
        cosine: (n, k), float32.
        index: Their rows in the data set, (n, k).
        flip: Nearest flip of the query, (n, k), an index of `FLIPS`.
    """

    cosine: np.ndarray
    index: np.ndarray
    flip: np.ndarray

    def first(self, images: np.ndarray) -> np.ndarray:
        """Return the nearest of images (N, C, H, W) for each query, flipped to match, (n, C, H, W)."""
        pairs = zip(self.index[:, 0], self.flip[:, 0], strict=True)
        return np.stack([np.flip(images[row], FLIPS[flip]) for row, flip in pairs])


def cosine(a: Tensor, b: Tensor, *, kind: str, mean: np.ndarray | None = None) -> np.ndarray:
    """Return the cosines of a_i and b_i.

    Args:
        a: Images (n, C, H, W).
        b: Images of the same shape.
        kind: One of `KINDS`.
        mean: The data set's mean image, (C, H, W), for kind "anomaly".

    Returns:
        (n,) float32; 0 if the projection of an image vanishes, NaN if one is not finite.

    >>> a, b = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0]]]])
    >>> cosine(a, b, kind="raw").round(2), cosine(a, b, kind="pearson").round(2)  # b has no contrast
    (array([0.71], dtype=float32), array([0.], dtype=float32))
    """
    if a.shape != b.shape:
        raise GalgenError(f"images of shapes {tuple(a.shape)} and {tuple(b.shape)} are not pairs")
    removed = _removed(kind, mean, a[0].numel())
    return (_unit(a, removed) * _unit(b, removed)).sum(1).numpy()


def cosine_matrix(a: Tensor, b: Tensor, *, kind: str, mean: np.ndarray | None = None) -> np.ndarray:
    """Return the cosine of each a_i and each b_j, (n, m) float32; arguments as for `cosine`."""
    removed = _removed(kind, mean, a[0].numel())
    return (_unit(a, removed) @ _unit(b, removed).T).numpy()


def shuffled_cosine(a: Tensor, b: Tensor, *, kind: str, mean: np.ndarray | None = None) -> np.ndarray:
    """Return the null of `cosine`: a_i with b_j of another seed, for eight equally spaced shifts j - i.

    Returns:
        (8 n,) float32, or fewer for small n; no pair of two different sets is used twice.
    """
    if len(a) < 2:
        raise GalgenError("shuffling seeds needs two samples or more")
    shifts = np.unique(np.linspace(1, len(a) - 1, min(8, len(a) - 1)).astype(int))
    return np.concatenate([cosine(a, b.roll(int(s), 0), kind=kind, mean=mean) for s in shifts])


@torch.inference_mode()
def nearest(
    queries: Tensor,
    images: np.ndarray,
    k: int = 1,
    *,
    kind: str,
    mean: np.ndarray | None = None,
    flips: bool = False,
    chunk: int = 2048,
) -> Neighbors:
    """Find the k images of largest cosine for each query: a chunked matrix product with a running top k.

    Memory does not grow with the data set: 1024 queries at a time, with flips four times as many, are
    compared with `chunk` images. An image without contrast has cosine 0.

    Args:
        queries: Float images (n, C, H, W).
        images: The data set, uint8 (N, C, H, W), may be a memory map.
        k: Number of neighbors, at most N.
        kind: One of `KINDS`.
        mean: The data set's mean image, (C, H, W), for kind "anomaly".
        flips: Also try the query flipped horizontally, vertically and both, as the paper does for Glow and
            GAN, which are trained with flips.
        chunk: Images of the data set at a time.

    Returns:
        The neighbors; the order of equal cosines is undefined.
    """
    removed = _removed(kind, mean, queries[0].numel())
    axes = FLIPS if flips else FLIPS[:1]
    blocks = [_search(part, images, k, removed, axes, chunk) for part in queries.split(1024)]
    return Neighbors(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _search(
    queries: Tensor, images: np.ndarray, k: int, removed: Tensor, axes: Sequence[tuple[int, ...]], chunk: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cosine, index and flip of the k nearest, each (n, k), in one pass over the images."""
    n, d = len(queries), queries[0].numel()
    unit = torch.cat([_unit(queries.flip(flipped), removed) for flipped in axes])
    best = torch.full((n, k), -torch.inf)
    index, flip = torch.zeros(n, k, dtype=torch.int64), torch.zeros(n, k, dtype=torch.int64)
    buffer = torch.empty(min(chunk, len(images)), d)  # reused for each conversion from uint8
    for first in range(0, len(images), chunk):
        part = torch.from_numpy(np.array(images[first : first + chunk])).reshape(-1, d)
        pixels = buffer[: len(part)].copy_(part)
        squares = torch.linalg.vecdot(pixels, pixels)
        norm = (squares - (pixels @ removed.T).square().sum(1)).clamp_min(0).sqrt()
        norm[norm <= 1e-3 * squares.sqrt()] = torch.inf  # only rounding errors: cosine 0
        scores, turn = ((unit @ pixels.T) / norm).reshape(len(axes), n, -1).max(0)
        value, place = scores.topk(min(k, len(part)), dim=1)
        best, order = torch.cat([best, value], 1).topk(k, dim=1)
        index = torch.cat([index, place + first], 1).gather(1, order)
        flip = torch.cat([flip, turn.gather(1, place)], 1).gather(1, order)
    return best.numpy(), index.numpy(), flip.numpy()


@torch.inference_mode()
def near_duplicates(images: np.ndarray, threshold: float, components: int = 63) -> np.ndarray:
    """Find pairs of near-duplicate images in any of the eight orientations.

    Args:
        images: uint8 (n, 1, H, W) with H = W, may be a memory map.
        threshold: Smallest anomaly cosine of a pair.
        components: Number k of principal components, of about 1000 images evenly spread over the rows.

    Returns:
        Row numbers (m, 2), i < j, sorted.
    """
    removed = _removed("anomaly", mean_image(images), images[0].size)

    def unit(part: np.ndarray) -> Tensor:
        return _unit(torch.from_numpy(np.array(part)), removed)

    some = unit(images[:: -(-len(images) // 1024)])
    directions = torch.linalg.svd(some, full_matrices=False).Vh[:components]

    def few(u: Tensor) -> Tensor:
        inside = u @ directions.T
        outside = u.square().sum(1, keepdim=True) - inside.square().sum(1, keepdim=True)
        return torch.cat([inside, outside.clamp_min(0).sqrt()], 1)

    starts = range(0, len(images), 1024)
    all_few = torch.cat([few(unit(images[first : first + 1024])) for first in starts])
    rows, pairs = max(1, 2**26 // len(images)), []  # 256 MB of products
    for first in range(0, len(images), rows):
        part = images[first : first + rows]
        for axes, turned in itertools.product(FLIPS, (part, part.swapaxes(2, 3))):  # D4
            u = unit(np.flip(turned, axes))
            near = (few(u) @ all_few[first:].T >= threshold - 1e-5).nonzero()  # rounding
            for i, j in (both.T for both in near[near[:, 0] < near[:, 1]].split(512)):
                alike = (u[i] * unit(images[first + j])).sum(1) >= threshold
                pairs.append(first + torch.stack([i, j], 1)[alike].numpy())
    return np.unique(np.concatenate([np.empty((0, 2), np.int64), *pairs]), axis=0)


def _removed(kind: str, mean: np.ndarray | None, d: int) -> Tensor:
    """Return the orthonormal directions (r, d) that this kind of cosine projects out."""
    if kind not in KINDS:
        raise GalgenError(f"unknown kind of cosine {kind!r}; choose from {', '.join(KINDS)}")
    if kind == "raw":
        return torch.zeros(0, d)
    constant = torch.full((1, d), d**-0.5)
    if kind == "pearson":
        return constant
    shape = torch.as_tensor(np.asarray(mean, np.float32)).reshape(1, d)
    shape = shape - shape.mean()
    if not shape.norm() > 0:
        raise GalgenError("the mean image is constant: the anomaly cosine would be the pearson cosine")
    return torch.cat([constant, shape / shape.norm()])


def _unit(images: Tensor, removed: Tensor) -> Tensor:
    """Return projected images of norm 1, (n, d); zeros if only rounding errors remain, NaN if not finite."""
    flat = images.detach().float().cpu().flatten(1)
    projected = flat - flat @ removed.T @ removed
    norm = projected.norm(dim=1, keepdim=True)
    return torch.where(norm <= 1e-3 * flat.norm(dim=1, keepdim=True), 0.0, projected / norm)
