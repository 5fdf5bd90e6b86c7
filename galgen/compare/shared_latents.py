r"""Do two models draw the same kind of galaxy from one latent? The two-models test on morphology.

For latent i let a_i and b_i be a coefficient of A's and of B's image. If both have learnt one map from
latents to galaxies, a_i = b_i; if they have learnt one distribution by unrelated maps, a_i and b_i are
independent, and no comparison of distributions can tell the two cases apart. We measure

    rho = the correlation of the ranks of a_i and b_i (Spearman)

over the latents whose images are both valid, and |rho| against a null that deals out the latents of B anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from galgen.compare.distances import Columns
from galgen.compare.uncertainty import permutation_test, permuted


@dataclass(frozen=True)
class Shared:
    """The correlation of one coefficient over shared latents.

    Attributes:
        value: Spearman's rho.
        high: The 95 % quantile of its size over shuffled latents.
        p: Share of the shuffles, the given order among them, whose correlation is as large.
        n: Latents.
    """

    value: float
    high: float
    p: float
    n: int


def shared_latents(
    a: Columns, b: Columns, names: Sequence[str], *, permutations: int = 999, seed: int = 0
) -> dict[str, Shared]:
    """Correlate the coefficients of two models' images of the same latents.

    Args:
        a: Columns of all rows of A, in the order of the latents, with `reason` empty where valid.
        b: The same of B.
        names: Of the coefficients.
        permutations: For the null.
        seed: Random seed.

    Returns:
        By coefficient. With fewer than four latents valid in both, or a coefficient that is the same for all,
        there is no correlation: the coefficient is left out.
    """
    both = (np.asarray(a["reason"]) == "") & (np.asarray(b["reason"]) == "")
    n = int(both.sum())
    if n < 4:
        return {}
    orders, found = permuted(np.arange(n), permutations, seed), {}
    for name in names:
        x, y = (stats.rankdata(np.asarray(columns[name])[both]) for columns in (a, b))
        x, y = x - x.mean(), y - y.mean()
        norm = np.sqrt((x @ x) * (y @ y))
        if norm == 0:
            continue
        rho = y[orders] @ x / norm
        size = permutation_test(np.abs(rho), (0.0, 0.95))
        found[name] = Shared(float(rho[0]), size.high, size.p, n)
    return found
