"""Cross-likelihood of two flows: p_A = p_B asked directly, and what each knows about its training images.

    KL(A|B) = E_{x ~ A} [log p_A(x) - log p_B(x)]   in nats an image;   / (D log 2) in bits/dim for D values

is 0 if and only if p_A = p_B, in both directions. It is a mean over samples of A, drawn at temperature 1,
neither clipped nor quantised: that would be another density. A few images that are nothing to B would carry
that mean, and leave it without a variance. So a log-ratio above `MOST` bits/dim counts as `MOST`, and such
images, those to which B gives no finite density among them, are counted: E min(t, MOST) <= E t, a lower bound
of the divergence whose interval is the bootstrap of a mean.

**AUC.** Bits/dim hide how much a whole image tells: 0.01 bits/dim is 7 nats at 32 x 32. The ratio
t(x) = log p_A(x) - log p_B(x) is the best classifier there is (Neyman & Pearson), and

    AUC = P(t(x_A) > t(x_B)),   x_A ~ A, x_B ~ B

is the chance to tell which of two images is A's and which B's (`galgen.compare.twosample.auc`): 1/2 if and
only if p_A = p_B, 1 if one image is enough. No discriminator of A and B, however trained, has more.

**Gap.** A model that knows its training images gives them fewer bits/dim than images it has not seen, and
galaxies differ by more than that. But all models see the same dequantised images, one generator an image, so
their difference d = bits_A - bits_B on an image is free of what makes it hard: `gap(d of A's training images,
d of validation images)` is A's memory, whichever model is better, in an interval several times narrower.

References:
    Theis, van den Oord & Bethge 2016, A note on the evaluation of generative models,
    https://arxiv.org/abs/1511.01844 (dequantisation).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from galgen.compare.twosample import auc
from galgen.compare.uncertainty import Estimate, bootstrap
from galgen.data.unit import unit
from galgen.models.glow import Glow
from galgen.models.sampling import in_chunks, seeded
from galgen.runs.errors import GalgenError

__all__ = ["MOST", "Divergence", "bits_per_dim", "divergence", "gap", "ratio_auc"]

MOST = 2.0  # bits/dim that an image counts at most


@dataclass(frozen=True)
class Divergence:
    """KL of the model that drew the samples from the other one.

    Attributes:
        bits_per_dim: In bits per value of the image; a lower bound.
        beyond: Samples whose log-ratio is above `MOST` and counts as that.
    """

    bits_per_dim: Estimate
    beyond: int

    def __str__(self) -> str:
        return f"{self.bits_per_dim:.3f}" + f" ({self.beyond} beyond)" * bool(self.beyond)


def divergence(log_ratio: np.ndarray, dimensions: int) -> Divergence:
    """KL(A|B) with its interval.

    Args:
        log_ratio: log p_A(x) - log p_B(x) of samples of A, (n,), in nats: `Inversion.log_ratio`.
        dimensions: Values in an image, C H W.

    Raises:
        GalgenError: If fewer than two samples are left: those that A's own arithmetic lost have no log-ratio.
    """
    bits = log_ratio[~np.isnan(log_ratio)].astype(np.float64) / (dimensions * np.log(2))
    if len(bits) < 2:
        raise GalgenError(f"{len(bits)} of {len(log_ratio)} samples have a log-ratio: look at the training")
    return Divergence(bootstrap(np.minimum(bits, MOST), np.mean), int((bits > MOST).sum()))


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


def gap(train: np.ndarray, held_out: np.ndarray) -> Estimate:
    """Mean bits/dim of held-out images less that of training images, with Welch's interval.

    Args:
        train: Bits/dim of training images, (n,), or the differences of two models.
        held_out: The same of images that the model has not seen, (m,).
    """
    test = stats.ttest_ind(held_out, train, equal_var=False)
    low, high = test.confidence_interval()
    value = float(np.mean(held_out) - np.mean(train))
    return Estimate(value, float(low), float(high), len(train) + len(held_out))
