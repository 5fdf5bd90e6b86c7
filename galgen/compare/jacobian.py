r"""What a denoiser keeps of an image, and what it shrinks: the eigenvectors of its Jacobian.

Near y a denoiser is linear, D(y + e) = D(y) + J e. Eigenvectors of J with an eigenvalue near 1 pass, those
near 0 are taken for noise. Of networks that generalise they are oscillating patterns that follow the outlines
of the image (Kadkhodaie et al. 2024); a Gaussian's are the principal components, whatever the image, with the
eigenvalues lambda_i / (lambda_i + sigma^2).

The posterior mean has a symmetric Jacobian, Cov(x | y) / sigma^2, a network has not: eigenvectors are those
of S = (J + J^T) / 2, and

    asymmetry = |J - J^T| / |J + J^T|      0: symmetric,  1: as much turned as stretched

says what that leaves out. How much of their eigenvectors two denoisers share is an overlap of subspaces
(`galgen.compare.directions`).

J v and J^T v cost a few passes through the network (J v is the derivative of J^T w by w, along v), so that
`leading` finds k eigenvectors by Lanczos' method from a random start.

References:
    Kadkhodaie et al. 2024, https://openreview.net/forum?id=ANvmVS2Yr0. Lehoucq, Sorensen & Yang 1998, ARPACK
    users' guide, https://doi.org/10.1137/1.9780898719628.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import linalg
from torch import Tensor

from galgen.models.sampling import ConditionalDenoiser
from galgen.runs.errors import GalgenError

__all__ = ["leading"]

_PROBES = 16  # random directions, for the asymmetry


@dataclass(frozen=True)
class Spectrum:
    """Eigenvectors of the symmetric part of a Jacobian.

    Attributes:
        values: Falling, (k,), float64.
        vectors: Orthonormal, (k, C, H, W), float64.
        asymmetry: Of the Jacobian: 0 if it is symmetric.
    """

    values: np.ndarray
    vectors: np.ndarray
    asymmetry: float


def leading(denoise: ConditionalDenoiser, y: Tensor, sigma: float, k: int, *, seed: int = 0) -> Spectrum:
    """The k leading eigenvectors at an image y (C, H, W); the asymmetry is that seen in random directions.

    Raises:
        GalgenError: If there are not more than k directions.
    """
    d = y.numel()
    if not 0 < k < d:
        raise GalgenError(f"{k} eigenvectors of an image of {d} pixels: ask for fewer")
    rng = np.random.default_rng(seed)
    forth, back = _products(denoise, y, sigma, rng.standard_normal((_PROBES, d)))
    asymmetry = np.linalg.norm(forth - back) / np.linalg.norm(forth + back)

    def symmetric(v: np.ndarray) -> np.ndarray:
        return np.add(*_products(denoise, y, sigma, v.reshape(1, d)))[0] / 2

    S = linalg.LinearOperator((d, d), matvec=symmetric, dtype=np.float64)
    values, vectors = linalg.eigsh(S, k, which="LA", v0=rng.standard_normal(d), tol=1e-4)
    order = np.argsort(-values)
    return Spectrum(values[order], vectors.T[order].reshape(-1, *y.shape), float(asymmetry))


def _products(
    denoise: ConditionalDenoiser, y: Tensor, sigma: float, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """J v and J^T v of directions v in rows, float64 (k, C H W)."""
    with torch.enable_grad():
        along = torch.from_numpy(v).to(y).reshape(-1, *y.shape)
        batch = y.expand(along.shape).clone().requires_grad_()
        denoised = denoise(batch, y.new_full((len(v),), sigma))
        w = torch.zeros_like(denoised, requires_grad=True)
        (pulled,) = torch.autograd.grad(denoised, batch, w, create_graph=True)  # J^T w: linear in w
        (forth,) = torch.autograd.grad(pulled, w, along, retain_graph=True)
        (back,) = torch.autograd.grad(denoised, batch, along)
    return forth.flatten(1).double().numpy(), back.flatten(1).double().numpy()
