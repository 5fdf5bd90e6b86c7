"""The two denoisers that can be written down: of a Gaussian, and of nothing but the training images.

*The linear control*: the best denoiser for a Gaussian with the training set's mean and covariance. For x ~
N(mu, sum_i lambda_i u_i u_i^T) and y = x + sigma z the posterior mean is Wiener's filter in the principal
components u_i,

    x_hat(y) = mu + sum_i lambda_i / (lambda_i + sigma^2) u_i u_i^T (y - mu),      cf. Eq. (21)

all that second moments can give: no edges, no arms, no objects. Its own images of noise z are mu + C^(1/2) z,
with C the covariance: what a deterministic sampler with its denoiser tends to when it begins at a large
sigma. Where a sampler tells it no sigma, it reads sigma off the image as a blind network must: in the quieter
half of all directions (those of least variance, and those in which the training set has none)

    sigma^2 = mean (u_i^T (y - mu))^2 - mean lambda_i,

good to sqrt(2 / (d/2)) in sigma^2 for d pixels: 6 % at 32x32.

*The shrunk Gaussian*: of N < d images the Gaussian above draws in their span, a memorizer itself. So N images
are pooled with other galaxies, as if there were d of these, with weight w = d / (N + d) and the others'
moments marked o,

    mu' = (1 - w) mu + w mu_o
    C'  = (1 - w) C + w C_o + w (1 - w) (mu - mu_o) (mu - mu_o)^T,

the moments of both together, and the posterior mean (but for terms of 1 / d) under a normal-inverse-Wishart
prior that is worth d images. The mean is pooled as well: about the mean of ten images even draws with all
galaxies' covariance lie nearer to these ten in 70 % of cases.

*The empirical denoiser*: what a network becomes that trains for ever and can represent everything. Of all
functions, the one that has the least loss on N training images x_i is the posterior mean under the
density that is nothing but these images,

    D(y; sigma) = sum_i w_i x_i,     w = softmax(-|y - x_i|^2 / (2 sigma^2)),

and for a blind network, with noise levels spread evenly in log sigma, sigma is integrated out:

    integral sigma^-d exp(-|y - x_i|^2 / (2 sigma^2)) d log sigma  ~  |y - x_i|^-d,
    w = softmax(-(d / 2) log |y - x_i|^2),                               d the number of pixels.

Sampled like any other denoiser it ends at a training image: a perfect memorizer at every N, of no training.

References:
    Biroli et al. 2024, https://doi.org/10.1038/s41467-024-54281-3. Kamb & Ganguli 2025, An analytic theory of
    creativity in convolutional diffusion models, https://arxiv.org/abs/2412.20292, section 2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galgen.models.sampling import noise, seeded

__all__ = ["Empirical", "Gaussian", "fit_gaussian", "shrunk_gaussian"]


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian over images; as a callable, its denoiser, in the form that a network has.

    Attributes:
        mean: (C, H, W).
        components: Orthonormal principal components in rows, by falling variance, (k, C H W).
        variances: Their variances, (k,); all other directions have none.
    """

    mean: Tensor
    components: Tensor
    variances: Tensor

    @property
    def covariance(self) -> Tensor:
        """Of the pixels, (C H W, C H W), float64."""
        axes = self.components.double()
        return axes.T * self.variances.double() @ axes

    def __call__(self, y: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Of y (B, C, H, W) the posterior mean at the noise levels sigma (B,).

        If it is not told them, it reads them off the images, and returns the noise, as a blind network does.
        """
        return y - self.denoise(y, self.noise_level(y)) if sigma is None else self.denoise(y, sigma)

    def denoise(self, y: Tensor, sigma: float | Tensor) -> Tensor:
        """The posterior mean (B, C, H, W) of images y with noise `sigma`, one number or (B,)."""
        variance = torch.as_tensor(sigma).square().reshape(-1, 1)
        coefficients = (y - self.mean).flatten(1) @ self.components.T
        shrunk = coefficients * self.variances / (self.variances + variance)
        return self.mean + (shrunk @ self.components).reshape(y.shape)

    def noise_level(self, y: Tensor) -> Tensor:
        """Sigma of each image, (B,), from the quieter half of the directions."""
        centred = (y - self.mean).flatten(1)
        d = centred.shape[1]
        loud = min(d // 2, len(self.variances))
        energy = centred.square().sum(1) - (centred @ self.components[:loud].T).square().sum(1)
        variance = (energy - self.variances[loud:].sum()) / (d - loud)
        return variance.clamp_min(1e-8).sqrt()

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """Exact draws mu + C^(1/2) z, one a seed, (n, C, H, W): two Gaussians that are alike draw alike.

        As starts of a sampler they restore the spread that a common start lacks; give other seeds than the
        sampler's, whose noise would be the same numbers.
        """
        z = noise(seeded(seeds), self.mean.shape).to(self.mean).flatten(1)
        # Row by row: the last bit of a matrix product depends on how many rows it has.
        root = [(row @ self.components.T * self.variances.sqrt()) @ self.components for row in z]
        return self.mean + torch.stack(root).reshape(-1, *self.mean.shape)


def fit_gaussian(images: np.ndarray, chunk: int = 4096) -> Gaussian:
    """Mean and covariance (maximum likelihood) of uint8 images.

    Args:
        images: uint8 (n, C, H, W), may be a memory map; at least two.
        chunk: Images converted at a time.

    Returns:
        The Gaussian of images in [0, 1], with the components that have variance, n - 1 or C H W at most.
    """
    n, d = len(images), int(np.prod(images.shape[1:]))
    parts = range(0, n, chunk)

    def pixels(i: int) -> Tensor:
        return torch.from_numpy(np.array(images[i : i + chunk]).reshape(-1, d)).double() / 255

    mean = sum(pixels(i).sum(0) for i in parts) / n
    if n <= d:
        # The n x n Gram matrix has the same spectrum and is smaller.
        centred = torch.cat([pixels(i) for i in parts]) - mean
        variances, vectors = torch.linalg.eigh(centred @ centred.T / n)
        components = vectors.T @ centred
    else:
        covariance = sum((c := pixels(i) - mean).T @ c for i in parts) / n
        variances, vectors = torch.linalg.eigh(covariance)
        components = vectors.T
    return _gaussian(mean.reshape(images.shape[1:]), variances, components)


def shrunk_gaussian(images: np.ndarray, others: Gaussian) -> Gaussian:
    """The Gaussian of uint8 images pooled with others, as if there were as many of these as pixels.

    Args:
        images: uint8 (n, C, H, W), at least two.
        others: The Gaussian of galaxies that are not among them.

    Returns:
        That of mu' and C'.
    """
    own, d = fit_gaussian(images), others.mean.numel()
    weight = d / (len(images) + d)
    apart = (own.mean - others.mean).flatten().double()
    covariance = (1 - weight) * own.covariance + weight * others.covariance
    covariance += weight * (1 - weight) * torch.outer(apart, apart)
    variances, vectors = torch.linalg.eigh(covariance)
    return _gaussian(torch.lerp(own.mean, others.mean, weight), variances, vectors.T)


def _gaussian(mean: Tensor, variances: Tensor, components: Tensor) -> Gaussian:
    """From variances that grow, and directions in rows; those with no variance are left out."""
    real = variances > 1e-10 * variances.sum()  # one direction is lost to the mean, more to repeated images
    variances, components = variances[real].flip(0), components[real].flip(0)
    components = components / components.norm(dim=1, keepdim=True)
    return Gaussian(mean.float(), components.float(), variances.float())


@dataclass(frozen=True)
class Empirical:
    """The denoiser of training images; as a callable, in the form that a network has.

    Attributes:
        images: uint8 (N, C, H, W).
    """

    images: np.ndarray

    def __call__(self, y: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Of y (B, C, H, W) the posterior mean at the noise levels sigma (B,); without them, the noise."""
        # In float64: of images of many pixels the squares differ in digits that float32 does not have.
        known = torch.from_numpy(self.images.reshape(len(self.images), -1)).double() / 255
        square = torch.cdist(y.flatten(1).double(), known).square()
        if sigma is None:
            surprise = square.clamp_min(1e-12).log() * (known.shape[1] / 2)
        else:
            surprise = square / (2 * sigma.double().square()[:, None])
        mean = (torch.softmax(-surprise, 1) @ known).reshape(y.shape).to(y.dtype)
        return mean if sigma is not None else y - mean
