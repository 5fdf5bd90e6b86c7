"""Numbers of the chapters in words: lists, ranges, and what all tests say of two sets of samples.

Where a number is given words by a limit it is a `galbook.readings.Reading`.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from galgen.compare.scoreboard import Portrait
from galgen.compare.uncertainty import Outcome, above
from galgen.figures.words import spaced
from galgen.profiles import ConditionalSettings, DenoiserSettings

__all__ = ["against", "at_sizes", "listed", "mean_span", "optimizer", "span", "spoken"]

# Numbers


def at_sizes(sizes: Iterable[int]) -> str:
    """As `N = 10, 4 000`."""
    return f"N = {', '.join(map(spaced, sizes))}"


def listed(values: Iterable[float], form: str = ".2f") -> str:
    """Numbers one after another, as 0.12, 0.34."""
    return ", ".join(format(value, form) for value in values)


def span(values: Sequence[float]) -> str:
    """The range of some values, as 0.12 to 0.34."""
    return f"{min(values):.2f} to {max(values):.2f}"


def mean_span(values: np.ndarray) -> str:
    """The mean of some values and, in brackets, their range, as 0.230 (0.120 to 0.340)."""
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


# Of diffusion


def optimizer(settings: DenoiserSettings | ConditionalSettings) -> str:
    """How a denoiser is trained, as `Adam at 0.001 and batches of 512`."""
    adam, batches = f"Adam at {settings.learning_rate:g}", f"and batches of {settings.batch_size}"
    if settings.optimizer == "adam":
        return f"{adam} {batches}"
    return f"Muon at {settings.muon_rate:g} ({adam} for gains and both ends) {batches}"


def against(found: Sequence[Portrait], others: Sequence[Portrait]) -> str:
    """AUC of a classifier at each side in pixels for models of two kinds, and where all intervals part."""
    said = []
    for side in found[0].c2st:
        one, two = ([each.c2st[side].auc for each in kind] for kind in (found, others))
        verdict = "nearer to galaxies" if above(two, one) else "not decided"
        verdict = "farther from galaxies" if above(one, two) else verdict
        values = (" and ".join(f"{area.value:.2f}" for area in kind) for kind in (one, two))
        said.append(f"at {side} pixels {' against '.join(values)} ({verdict})")
    return ", ".join(said)


def spoken(energy: Outcome | None) -> str:
    """An energy distance in words."""
    return f"E = {energy.value:.3f}, p = {energy.p:.3f}" if energy else "not measurable"
