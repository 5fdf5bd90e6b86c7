"""What the chapters on Glow and on the GAN say of their numbers: sentences as functions of plain values."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from galgen.figures.findings import at_sizes


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


def power_of_the_control(separated: bool) -> str:
    """Whether a flow of other galaxies lies beyond all tests at every level."""
    if separated:
        return "lies beyond all tests at every level."
    return "does not lie beyond all tests at every level: at those levels the test has little power."


def independent_judge(p: Sequence[float]) -> str:
    """What the p-values of the independent judge, one a generator, say about the generators."""
    text = f"(p {'<' if max(p) < 0.01 else 'up to'} {max(*p, 0.01):.2f}): "
    if max(p) >= 0.05:
        return text + "not all of them are distinguished from galaxies."
    text += "none of these generators has the distribution of galaxies, "
    return text + "whatever its own discriminator says."
