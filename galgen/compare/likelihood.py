"""Two flows by their likelihoods: p_A = p_B asked directly, and what each knows about its training images.

**AUC.** The ratio t(x) = log p_A(x) - log p_B(x) is the best classifier there is (Neyman & Pearson), and

    AUC = P(t(x_A) > t(x_B)),   x_A ~ A, x_B ~ B

is the chance to tell which of two images is A's and which B's (`galgen.compare.twosample.auc`): 1/2 if and
only if p_A = p_B, 1 if one image is enough. No discriminator of A and B, however trained, has more. Samples
are drawn at temperature 1, neither clipped nor quantised: that would be another density.

**Gap.** A model that knows its training images gives them fewer bits/dim than images it has not seen, and
galaxies differ by more than that. But all models see the same dequantised images, one generator an image, so
their difference d = bits_A - bits_B on an image is free of what makes it hard: `gap(d of A's training images,
d of validation images)` is A's memory, whichever model is better, in an interval several times narrower.

References:
    Theis, van den Oord & Bethge 2016, A note on the evaluation of generative models,
    https://arxiv.org/abs/1511.01844 (dequantisation).
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
    """The AUC of the likelihood ratio between samples of A and of B, without those that have none.

    Args:
        of_a: log p_A(x) - log p_B(x) of samples of A, (n,).
        of_b: log p_B(x) - log p_A(x) of samples of B, (m,).
    """
    return auc(*(ratio[~np.isnan(ratio)] for ratio in (-of_b, of_a)))


@torch.inference_mode()
def bits_per_dim(flow: Glow, images: np.ndarray, seeds: Sequence[int], *, chunk: int = 64) -> np.ndarray:
    """Bits/dim of each image, (n,), float64.

    Args:
        flow: The model, of which `dequantize`, `encode` and `bits_per_dim` are used.
        images: uint8 (n, C, H, W), may be a memory map.
        seeds: One an image, of its dequantisation; its row in the data set names it for every model and set.
        chunk: Images in a call; the last bit of a result depends on it.
    """
    x = unit(images)
    x = torch.cat([flow.dequantize(one[None], g) for one, g in zip(x, seeded(seeds), strict=True)])

    def bits(part: Tensor) -> Tensor:
        return flow.bits_per_dim(flow.encode(part)[1])

    return in_chunks(bits, x, chunk=chunk).double().numpy()


def likelihood_gap(train: np.ndarray, held_out: np.ndarray) -> Estimate:
    """Mean bits/dim of held-out images less that of training images, with Welch's interval.

    Args:
        train: Bits/dim of training images, (n,), or the differences of two models.
        held_out: The same of images that the model has not seen, (m,).
    """
    test = stats.ttest_ind(held_out, train, equal_var=False)
    low, high = test.confidence_interval()
    value = float(np.mean(held_out) - np.mean(train))
    return Estimate(value, float(low), float(high), len(train) + len(held_out))
