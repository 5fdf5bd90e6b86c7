"""Inversion test: do two flows have the same density, and do they share latents? Figures 10, 11, Table 1.

    z ~ N(0, I),   x_A = G_A(z),   z'_A = G_A^-1(x_A),   z'_B = G_B^-1(x_A)

z'_A = z for any flow: it tests the arithmetic, in double precision, as single precision cannot invert the few
images so far from the data that a flow stretches them by more than seven digits. If p_A = p_B, then
z'_B ~ N(0, I) too, and G_A and G_B differ by a bijection that preserves N(0, I). The paper pools all latents
of a level and reports W1(z'_B, z). Zero is necessary for p_A = p_B, but far from sufficient; so further
statistics are computed for each level:

* **Norm spread**: the standard deviation over images of |z'_B|^2, divided by its mean and by the value
  sqrt(2 / d) of d independent normals of one variance. For Gaussian latents of covariance C it is
  sqrt(d tr C^2) / tr C: it is sensitive to correlations between latents of an image and to common scale
  factors, to which W1 is blind.
* **Correlation** of z'_B with z, pooled. W1 does not distinguish G_B = G_A (correlation 1) from
  G_B = G_A o rotation (0).
* **Shared**: sqrt(R^2) of z'_B regressed on the c channels of z at the same position. It is 1 under any
  mixing or change of sign of the channels.

*Far latents.* An image that is improbable under B may have latents of any size. So z' beyond +-FAR, which
none of 1e8 unit normals exceeds, is clipped to +-FAR everywhere, and images with such latents are counted.
Clipping never increases a distance, so this W1 is a lower bound of that without clipping.

Latents of one image are dependent, so the intervals resample images, never latents: a statistic t is written
as the mean over images of t + (the image's influence on t), and that mean is bootstrapped. They cover another
choice of images, not another training, which scatters more: train several pairs.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from galgen.compare.distances import iid_floor, wasserstein
from galgen.compare.uncertainty import Estimate, bootstrap, permuted
from galgen.models.glow import Glow
from galgen.models.sampling import in_chunks
from galgen.runs.errors import GalgenError

__all__ = [
    "FAR",
    "LIMIT",
    "Inversion",
    "LevelTest",
    "clipped",
    "compare_levels",
    "finite_images",
    "inversions",
    "invert",
]

# Table 1 of the paper, by level and N: W1(z'_A, z) and W1(z'_B, z); 1000 images of 6144, 3072, 3072 latents.
# Its caption: W1 of two i.i.d. sets of 6e6 (level 0) or 3e6 draws.

# The data of a flow are in [-1/2, 1/2). Samples beyond twice that are not images: the inverse of the flow,
# which divides by numbers near 0, overflowed.
LIMIT = 1.0
FAR = 6.0
_SHUFFLES = 20  # random pairings of the images, for the nulls


@dataclass(frozen=True)
class Inversion:
    """Latents before and after inversion; A generated the images, B is the other model.

    Attributes:
        z: The original latents, one array (n, c, h, w) per level.
        z_a: Latents of the images under A.
        z_b: Latents of the images under B.
        x: The images G_A(z), (n, C, H, W), neither clipped nor quantized.
        log_a: log p_A(x), (n,), in nats.
        log_b: log p_B(x), (n,), in nats.
    """

    z: list[np.ndarray]
    z_a: list[np.ndarray]
    z_b: list[np.ndarray]
    x: np.ndarray
    log_a: np.ndarray
    log_b: np.ndarray

    @property
    def log_ratio(self) -> np.ndarray:
        """Log p_A(x) - log p_B(x), (n,), in nats; infinite without a density of B, NaN without one of A."""
        ratio = self.log_a.astype(np.float64) - self.log_b
        return np.where(np.isfinite(self.log_a) & np.isnan(ratio), np.inf, ratio)


@dataclass(frozen=True)
class LevelTest:
    """Statistics of the test at one level, defined in the docstring of the module.

    Attributes:
        lost: Number of images omitted because a latent is not finite.
        w1_a: W1(z'_A, z).
        w1_b: W1(z'_B, z).
        floor: Mean of W1 for as many values, if p_A = p_B and all are independent.
        norm_spread: Norm spread of z'_B, 1 if p_A = p_B; 1 +- 1 / sqrt(2 n) for n images.
        correlation: Correlation of z'_B with z, pooled.
        correlation_null: Half-width of the 95 % range of `correlation` with permuted images.
        shared: sqrt(R^2) of z'_B on the channels of z at the same position.
        shared_null: Mean of `shared` with permuted images.
    """

    lost: int
    w1_a: Estimate
    w1_b: Estimate
    floor: float
    norm_spread: Estimate
    correlation: Estimate
    correlation_null: float
    shared: float
    shared_null: float


def invert(flow_a: Glow, flow_b: Glow, latents: Sequence[Tensor], **options: object) -> Inversion:
    """Generate images with A and encode them with A and with B; see `inversions`."""
    return inversions(flow_a, [flow_b], latents, **options)[0]


@torch.inference_mode()
def inversions(
    flow_a: Glow,
    others: Sequence[Glow],
    latents: Sequence[Tensor],
    *,
    limit: float = LIMIT,
    chunk: int = 64,
    dtype: torch.dtype = torch.float64,
) -> list[Inversion]:
    """Generate images with A and encode them with A and with each of the others, as B.

    Args:
        flow_a: The model that generates the images; the methods `encode` and `decode` of all are used.
        others: The other models.
        latents: Unit normals (n, c, h, w), one tensor per level, finest first.
        limit: An image with a pixel of larger absolute value becomes NaN, and is counted as lost, whatever
            its density under B.
        chunk: Images per call.
        dtype: Data type of the computation; images and latents under B are then rounded to float32.

    Raises:
        GalgenError: If the latents are inconsistent, or those of B have other shapes.
    """
    if not latents or len({len(z) for z in latents}) != 1 or len(latents[0]) < 2:
        raise GalgenError(
            f"latents of {[tuple(z.shape) for z in latents]}: give as many images, 2 or more, at each level"
        )
    flow_a, *others = (copy.deepcopy(flow).to(dtype) for flow in (flow_a, *others))

    def round_trip(*z: Tensor) -> tuple[Tensor, ...]:
        x = flow_a.decode([level.to(dtype) for level in z])
        x = torch.where((x.abs() <= limit).all(3).all(2).all(1)[:, None, None, None], x, torch.nan)
        z_a, log_a = flow_a.encode(x)
        returned = [*z_a, log_a, x.float()]
        for flow_b in others:
            z_b, log_b = flow_b.encode(x)
            if [z.shape for z in z_b] != [z.shape for z in z_a]:
                raise GalgenError("the two flows have latents of different shapes: use flows of equal sizes")
            returned += [*(z.float() for z in z_b), log_b]
        return tuple(returned)

    columns = iter([column.numpy() for column in in_chunks(round_trip, *latents, chunk=chunk)])
    z, levels = [level.numpy() for level in latents], len(latents)
    z_a, log_a, x = list(islice(columns, levels)), next(columns), next(columns)
    return [Inversion(z, z_a, list(islice(columns, levels)), x, log_a, next(columns)) for _ in others]


def compare_levels(inversion: Inversion) -> list[LevelTest]:
    """Return all statistics of the test for each level, finest first.

    Raises:
        GalgenError: If fewer than two images have finite latents.
    """
    finite = finite_images(inversion)
    levels, lost = zip(inversion.z, inversion.z_a, inversion.z_b, strict=True), int((~finite).sum())
    return [_level(*(latents[finite] for latents in level), lost) for level in levels]


def finite_images(inversion: Inversion) -> np.ndarray:
    """Return which images have only finite latents, bool (n,); raise an error for fewer than two."""
    latents = [*inversion.z_a, *inversion.z_b]
    finite = np.all([np.isfinite(z).all((1, 2, 3)) for z in latents], axis=0)
    if finite.sum() < 2:
        raise GalgenError(f"{finite.sum()} of {len(finite)} images have finite latents: check the training")
    return finite


def _level(z: np.ndarray, z_a: np.ndarray, z_b: np.ndarray, lost: int) -> LevelTest:
    def estimate(influences: np.ndarray) -> Estimate:
        return bootstrap(influences.reshape(len(z), -1).mean(1), np.mean)

    w1_a, w1_b = (wasserstein(clipped(latents), z) for latents in (z_a, z_b))
    z, z_b = z.astype(np.float64), clipped(z_b).astype(np.float64)
    mean, sd, norms = z_b.mean(), z_b.std(), np.square(z_b).mean((1, 2, 3))
    u, v = (z - z.mean()) / z.std(), (z_b - mean) / (sd or 1.0)  # sd is 0 if all are clipped to one value
    r = (u * v).mean()
    orders = permuted(np.arange(len(z)), _SHUFFLES, 0)[1:]
    null = [(u * v[order]).mean() for order in orders]
    return LevelTest(
        lost=lost,
        w1_a=w1_a,
        w1_b=w1_b,
        floor=iid_floor(z.size),
        norm_spread=bootstrap(norms / norms.mean() * (z[0].size / 2) ** 0.5, np.std),
        correlation=estimate(r + u * v - r * (u**2 + v**2) / 2),
        correlation_null=float(1.96 * np.sqrt(np.mean(np.square(null)))),
        shared=_shared(z, z_b),
        shared_null=float(np.mean([_shared(z, z_b[order]) for order in orders])),
    )


def clipped(latents: np.ndarray) -> np.ndarray:
    """Clip latents to +-FAR."""
    return latents.clip(-FAR, FAR)


def _shared(z: np.ndarray, z_b: np.ndarray) -> float:
    """Return the multiple correlation of the channels of z_b with those of z at the same position."""
    centered = (w - w.mean((0, 2, 3), keepdims=True) for w in (z, z_b))
    u, v = (np.moveaxis(w, 1, -1).reshape(-1, w.shape[1]) for w in centered)
    cross = u.T @ v
    explained = np.sum(cross * np.linalg.lstsq(u.T @ u, cross)[0])
    return float(np.sqrt(max(explained, 0) / (np.square(v).sum() or 1.0)))
