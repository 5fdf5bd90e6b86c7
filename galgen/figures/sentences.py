"""What the chapters on Glow and on the GAN say of their numbers: sentences as functions of plain values."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from galgen.compare.uncertainty import Estimate
from galgen.figures.findings import at_sizes
from galgen.figures.style import spaced

__all__ = [
    "collapsed",
    "data_beside_training",
    "distance_by_size",
    "floor_reached",
    "independent_judge",
    "listed",
    "mean_span",
    "memory_of_the_judge",
    "order_in_size",
    "power_of_the_control",
    "small_scales",
    "span",
    "towards_two",
]


def listed(values: Iterable[float], form: str = ".2f") -> str:
    """Numbers one after another, as 0.12, 0.34."""
    return ", ".join(format(value, form) for value in values)


def span(values: Sequence[float]) -> str:
    """The range of some values, as 0.12 to 0.34."""
    return f"{min(values):.2f} to {max(values):.2f}"


def mean_span(values: np.ndarray) -> str:
    """The mean of some values and, in brackets, their range, as 0.230 (0.120 to 0.340)."""
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


def collapsed(spread: Mapping[int, float], least: float = 0.2) -> str:
    """Whether a generator came to draw one image: spread of generated images over that of real ones, by N."""
    found = [n for n, value in spread.items() if value < least]
    text = (
        f"At the end the spread of generated images over that of real ones is {listed(spread.values())} for "
    )
    text += f"{at_sizes(spread)}: "
    return text + (f"collapsed at {at_sizes(found)}." if found else f"no run collapsed (below {least}).")


def small_scales(share: float) -> str:
    """Whether samples have their share of the variance that galaxies have on the smallest scales."""
    if share > 1.3:
        return "Too much of it is on small scales: the samples are grainier than galaxies."
    return "Small scales have about their share." if share > 0.7 else "Small scales have too little of it."


def order_in_size(ordered: Sequence[bool], smallest: Sequence[float], largest: Sequence[float]) -> str:
    """At which levels of a Glow all tests agree that W1 falls with N.

    Args:
        ordered: Whether they do, by level.
        smallest: Mean W1 at the smallest N, by level.
        largest: The same at the largest.
    """
    falling, others = [], []
    for level, (falls, a, b) in enumerate(zip(ordered, smallest, largest, strict=True)):
        (falling if falls else others).append(f"level {level}: {a:.3f} to {b:.3f}")
    text = f"All four tests at the smallest lie above all four at the largest at {', '.join(falling)}. "
    if not others:
        return text + "The order holds at every level, also at level 0, where the paper's table has none."
    paper = "" if ordered[0] else ", as in the paper's own table at level 0"
    no_measure = f"there the distance is no measure of how much data there was{paper}."
    return text * bool(falling) + f"They do not at {', '.join(others)}: {no_measure}"


def floor_reached(factors: Sequence[float]) -> str:
    """Whether W1 at the largest N, in units of its floor by level, is that of one density."""
    seen = "not the same." if max(factors) > 3 else "the same as far as this test sees."
    times = f"{listed(factors, '.0f')} times the floor of independent normals (levels 0 up)"
    return f"At the largest N $W_1(z'_B, z)$ is {times}: the two densities are {seen}"


def data_beside_training(factors: Sequence[float]) -> str:
    """Whether W1 at the largest N, over that of models on the same images by level, comes from the images."""
    seen = "The images still matter there."
    if max(factors) < 1.5:
        seen = "What is left there comes from training, not from the images: "
        seen += "the test can no longer see that the images differ."
    apart = f"{listed(factors, '.1f')} times as far apart as models on the *same* images"
    return f"At the largest N models on disjoint images are {apart}. {seen}"


def power_of_the_control(separated: bool) -> str:
    """Whether a flow of other galaxies lies beyond all tests at every level."""
    if separated:
        return "lies beyond all tests at every level."
    return "does not lie beyond all tests at every level: at those levels the test has little power."


def towards_two(losses: Mapping[int, Sequence[float]]) -> str:
    """Whether the four mean hinge losses, by images shown, move as in the paper's figure 14."""
    stages = list(losses)
    first, last = losses[stages[0]], losses[stages[-1]]
    peak = max(losses, key=lambda shown: max(losses[shown]))
    far, left = (max(abs(loss - 2) for loss in means) for means in (losses[peak], last))
    return (
        f"the four mean losses are {span(first)} at the first stage, up to {max(losses[peak]):.2f} after "
        f"{spaced(peak)} images shown, and {span(last)} at the last. "
        f"That is {'' if left < min(0.5, far / 2) else 'not '}the movement of the paper's figure 14."
    )


def distance_by_size(distance: Mapping[int, Sequence[float]]) -> str:
    """Whether the distance of the discriminator test falls with N: of all pairs of models, by N, growing."""
    sizes, found = list(distance), list(distance.values())
    text = f"{', '.join(map(span, found))} for {at_sizes(sizes)} (two pairs each). "
    if min(found[0]) <= max(found[-1]):  # so too where there is one size only
        text += "The smallest and the largest size are not apart for both pairs: "
        return text + "the dependence is not established here."
    steps = all(min(a) > max(b) for a, b in pairwise(found))
    text += (
        f"Both pairs at N = {spaced(sizes[0])} lie above both at N = {spaced(sizes[-1])}: the dependence is "
    )
    return text + ("there, at every step." if steps else "there, though not from each size to the next.")


def memory_of_the_judge(memory: Mapping[int, Sequence[Estimate]]) -> str:
    """Whether all discriminators at an N know their training images: P(training scored above held-out)."""
    known = [n for n, found in memory.items() if min(m.low for m in found) > 0.5]
    if not known:
        text = "No judge distinguishes training from held-out images at any N, "
        return text + "so memory of the discriminator is not what the test measures here."
    most = max(m.value for n in known for m in memory[n])
    return (
        f"At {at_sizes(known)} every judge distinguishes its training images from held-out ones "
        f"(P up to {most:.2f}). A judge that knows them by heart sees a difference whatever the generator "
        "does: what the test measures there is the memory of the discriminator."
    )


def independent_judge(p: Sequence[float]) -> str:
    """What the p-values of the independent judge, one a generator, say about the generators."""
    text = f"(p {'<' if max(p) < 0.01 else 'up to'} {max(*p, 0.01):.2f}): "
    if max(p) >= 0.05:
        return text + "not all of them are distinguished from galaxies."
    text += "none of these generators has the distribution of galaxies, "
    return text + "whatever its own discriminator says."
