r"""What would the number be with other latents, another training, another split? Variance components.

Let y_stl be the agreement of A and B at the latent l, for the split s of the galaxies and the t-th pair of
trainings on it; latents are the same throughout. With independent effects of each,

    y_stl = mean + S_s + T_st + L_l + (L S)_sl + e_stl,

the mean over n latents, which the book quotes of one pair, varies with

    latents     (v_L + v_LS + v_e) / n      what its interval covers
    training    v_T                         and what it leaves out:
    split       v_S

The components are those that give the mean squares of the analysis of variance; below 0 they are put to 0.
Intervals: a mean square of d degrees of freedom is its mean times chi^2_d / d, so that means that may have led
to the ones found are drawn, and components made of them (generalised confidence intervals). With three
splits of three trainings they are wide, and say so.

References:
    Burdick, Borror & Montgomery 2005, Design and analysis of gauge R&R studies,
    https://doi.org/10.1137/1.9780898718379 (generalised intervals, appendix B).
"""

import numpy as np

from galgen.compare.uncertainty import Estimate, finite
from galgen.runs.errors import GalgenError

PARTS = ("latents", "training", "split")


def components(agreement: np.ndarray, *, draws: int = 20_000) -> dict[str, Estimate]:
    """Standard deviations of the mean over latents, by what is drawn anew, and of all together.

    Args:
        agreement: (splits, trainings, latents), two or more of each.
        draws: For the intervals.

    Returns:
        Those of `PARTS`, of "all", and "wider": how much wider than over latents alone an interval should be.
    """
    y = finite(agreement).astype(np.float64)
    if y.ndim != 3 or min(y.shape) < 2:
        raise GalgenError(f"agreement of shape {y.shape}: give two splits, trainings and latents or more")
    S, T, n = y.shape
    of_split, of_training = y.mean((1, 2), keepdims=True), y.mean(2, keepdims=True)
    of_latent, both, mean = y.mean((0, 1), keepdims=True), y.mean(1, keepdims=True), y.mean()
    terms = {  # sum of squares and degrees of freedom
        "S": (n * T * np.square(of_split - mean).sum(), S - 1),
        "T": (n * np.square(of_training - of_split).sum(), S * (T - 1)),
        "L": (S * T * np.square(of_latent - mean).sum(), n - 1),
        "LS": (T * np.square(both - of_split - of_latent + mean).sum(), (n - 1) * (S - 1)),
        "e": (np.square(y - both - of_training + of_split).sum(), (n - 1) * S * (T - 1)),
    }
    rng, squares = np.random.default_rng(0), {}
    for name, (total, d) in terms.items():
        squares[name] = total / np.concatenate([[d], rng.chisquare(d, draws)])
    split = (squares["S"] - squares["T"] - squares["LS"] + squares["e"]) / (n * T)
    training = (squares["T"] - squares["e"]) / n
    latents = squares["L"] / (S * T) + squares["LS"] * (1 - 1 / S) / T + squares["e"] * (1 - 1 / T)
    variances = dict(zip(PARTS, (np.maximum(v, 0) for v in (latents / n, training, split)), strict=True))
    variances["all"] = sum(variances.values())
    found = {name: _estimate(np.sqrt(v), n) for name, v in variances.items()}
    return found | {"wider": _estimate(np.sqrt(variances["all"] / variances["latents"]), n)}


def _estimate(values: np.ndarray, n: int) -> Estimate:
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return Estimate(float(values[0]), float(low), float(high), n)
