"""What only one family of models can be asked, as a number with its null, for the scoreboard.

Diffusion: do A and B agree in what is left of their images after each model's own Gaussian image is
subtracted (`galgen.compare.alike`)? And more than A agrees with a network that has seen other galaxies? The
p-value of the latter is that of Wilcoxon's signed-rank test over the latents.

Glow: W1(z'_B, z) of the deepest level (`galgen.compare.inversion`), models on disjoint images against models
on the same ones; four tests each, by the exact rank-sum test.

The GAN's is `galgen.compare.discriminator`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats
from torch import Tensor

from galgen.compare.inversion import compare_levels, invert
from galgen.compare.uncertainty import Outcome
from galgen.models.glow import Glow

__all__ = ["beyond", "beyond_same_images"]


def beyond(pair: np.ndarray, others: np.ndarray) -> Outcome:
    """Do two models agree more than two others?

    Args:
        pair: Cosine of their images, or residuals, of each latent, (n,).
        others: The same of the others, of the same latents, (n,).

    Returns:
        The difference of the medians; its null is 0.
    """
    p = stats.wilcoxon(pair, others, alternative="greater").pvalue
    return Outcome(float(np.median(pair) - np.median(others)), 0.0, 0.0, float(p))


def beyond_same_images(
    pairs: Mapping[str, Sequence[tuple[Glow, Glow]]], latents: Sequence[Tensor]
) -> Outcome:
    """Are flows on disjoint images farther apart than flows on the same images?

    Args:
        pairs: Who draws and who inverts, under "disjoint" and "same": `model_pairs` of that module.
        latents: Unit normals (n, c, h, w), one tensor a level.

    Returns:
        The mean W1 of the former; the null is the range of the latter.
    """
    disjoint, same = (
        [compare_levels(invert(*pair, latents))[-1].w1_b.value for pair in pairs[kind]]
        for kind in ("disjoint", "same")
    )
    p = stats.mannwhitneyu(disjoint, same, alternative="greater", method="exact").pvalue
    return Outcome(float(np.mean(disjoint)), min(same), max(same), float(p))
