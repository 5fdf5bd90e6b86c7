"""Likelihood tests of two flows: equality of p_A and p_B, and memorization of training images.

**AUC.** The ratio t(x) = log p_A(x) - log p_B(x) is the optimal classifier (Neyman & Pearson), and

    AUC = P(t(x_A) > t(x_B)),   x_A ~ A, x_B ~ B

is the probability of assigning two images correctly to A and B (`galgen.compare.twosample.auc`): 1/2 if and
only if p_A = p_B, 1 if one image suffices. No discriminator of A and B has a larger one. Samples must have
temperature 1, neither clipped nor quantized: otherwise their density is another.

**Gap.** A model that memorizes its training images gives them fewer bits/dim than held-out images, but
galaxies differ by more than that. All models are evaluated on the same dequantized images, one generator per
image, so the difference d = bits_A - bits_B cancels the complexity of an image: `likelihood_gap(d of A's
training images, d of validation images)` measures A's memorization, whichever model is better, with an
interval several times narrower.

References:
    Theis, van den Oord & Bethge 2016, A note on the evaluation of generative models,
    https://arxiv.org/abs/1511.01844 (dequantization).
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from galgen.compare.twosample import auc
from galgen.compare.uncertainty import Estimate
from galgen.data.unit import unit
from galgen.models.glow import Glow
from galgen.models.sampling import in_chunks, seeded

__all__ = ["bits_per_dim", "likelihood_gap", "ratio_auc"]


def ratio_auc(of_a: np.ndarray, of_b: np.ndarray) -> Estimate:
    """Return the AUC of the likelihood ratio for samples of A and of B; undefined ratios are omitted.

    Args:
        of_a: log p_A(x) - log p_B(x) of samples of A, (n,).
        of_b: log p_B(x) - log p_A(x) of samples of B, (m,).
    """
    return auc(*(ratio[~np.isnan(ratio)] for ratio in (-of_b, of_a)))


@torch.inference_mode()
def bits_per_dim(flow: Glow, images: np.ndarray, seeds: Sequence[int], *, chunk: int = 64) -> np.ndarray:
    """Return the bits per dimension of each image, (n,), float64.

    Args:
        flow: The model; its methods `dequantize`, `encode` and `bits_per_dim` are used.
        images: uint8 (n, C, H, W), may be a memory map.
        seeds: One per image, for its dequantization; its row in the data set, for every model and set.
        chunk: Images per call; the last bit of a result depends on it.
    """
    x = unit(images)
    x = torch.cat([flow.dequantize(one[None], g) for one, g in zip(x, seeded(seeds), strict=True)])

    def bits(part: Tensor) -> Tensor:
        return flow.bits_per_dim(flow.encode(part)[1])

    return in_chunks(bits, x, chunk=chunk).double().numpy()


def likelihood_gap(train: np.ndarray, held_out: np.ndarray) -> Estimate:
    """Return the mean bits/dim of held-out images minus that of training images, with Welch's interval.

    Args:
        train: Bits/dim of training images, (n,), or differences of two models.
        held_out: The same for held-out images, (m,).
    """
    test = stats.ttest_ind(held_out, train, equal_var=False)
    low, high = test.confidence_interval()
    value = float(np.mean(held_out) - np.mean(train))
    return Estimate(value, float(low), float(high), len(train) + len(held_out))
