r"""The empirical denoiser: what a network becomes that trains for ever and can represent everything.

Of all functions, the one that has the least loss on N training images x_i is the posterior mean under the
density that is nothing but these images,

    D(y; sigma) = sum_i w_i x_i,     w = softmax(-|y - x_i|^2 / (2 sigma^2)),

and for a blind network, with noise levels spread evenly in log sigma, sigma is integrated out:

    integral sigma^-d exp(-|y - x_i|^2 / (2 sigma^2)) d log sigma  ~  |y - x_i|^-d,
    w = softmax(-(d / 2) log |y - x_i|^2),                               d the number of pixels.

In that many dimensions the spread of the noise levels hardly matters. Sampled like any other denoiser it ends
at a training image: a perfect memorizer at every N, of no training at all. How near a network is to it says
how much it has memorized; what it still shares with another one, fitted to other images, is what agreement
is worth.

References:
    Biroli et al. 2024, https://doi.org/10.1038/s41467-024-54281-3. Kamb & Ganguli 2025, An analytic theory of
    creativity in convolutional diffusion models, https://arxiv.org/abs/2412.20292, section 2.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


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
