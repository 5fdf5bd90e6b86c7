"""What the numbers of the chapters on diffusion say, in words: functions of nothing but these numbers."""

from collections.abc import Iterable, Mapping

from galgen.compare.exchange import Memorization
from galgen.compare.uncertainty import Estimate
from galgen.figures.style import spaced

__all__ = ["at_sizes", "beyond", "convergence", "first_component"]
__all__ += ["onset", "passes"]


def at_sizes(sizes: Iterable[int]) -> str:
    """As `N = 10, 4 000`."""
    return f"N = {', '.join(map(spaced, sizes))}"


def convergence(networks: Estimate, gaussians: Estimate) -> str:
    """What the agreement of two networks shows beside that of two Gaussians."""
    if gaussians.value < networks.low:
        return "The networks agree beyond that, but most of their agreement takes no more than Gaussians."
    found = "So that two models agree does not show that they have learnt galaxies"
    return f"{found}; it shows that they have converged, on something."


def first_component(deviation: float, share: float) -> str:
    """Whether the noise that a sampler starts from reaches the galaxies' spread along the first component.

    Args:
        deviation: The galaxies' standard deviation along it.
        share: The samples' variance along it over the galaxies'.
    """
    spread = f"Galaxies spread by {deviation:.1f} along the first component."
    start = "The sampler starts from one image with noise of 1 in every direction"
    if deviation <= 1 or share >= 0.8:
        return f"{spread} {start}."
    range_ = "the range of noise from 0 to 1, which is the paper's, cuts the variance there to"
    short = f"too little to reach the brightest and the faintest: {range_} {share:.2f} of what it should be"
    return f"{spread} {start}, {short}."


def beyond(difference: float) -> str:
    """By how much two networks agree more than the stronger of their controls."""
    if difference > 0:
        return f"Agreement beyond the stronger control is {difference:+.2f}."
    less = f"The U-Nets do **not** agree more than the stronger control ({difference:+.2f})"
    return f"{less}: agreement alone is no evidence that they have learnt galaxies."


def onset(history: Mapping[int, Mapping[int, Memorization]], alpha: float = 0.01) -> dict[int, float]:
    """After how many passes over its training set a pair of models has memorised it.

    Args:
        history: The tests by N and images shown.
        alpha: The p-value below which a pair memorises.

    Returns:
        By N, the fewest passes at which it does, where it ever does.
    """
    passes = {
        n: [shown / n for shown, test in tests.items() if test.outcome.p < alpha]
        for n, tests in history.items()
    }
    return {n: min(found) for n, found in passes.items() if found}


def passes(history: Mapping[int, Mapping[int, Memorization]]) -> str:
    """The same in words."""
    found = onset(history)
    texts = [
        f"at N = {spaced(n)} " + (f"after {spaced(round(found[n]))} passes" if n in found else "never")
        for n in history
    ]
    return f"The pair memorises (p < 0.01) {', '.join(texts)}"
