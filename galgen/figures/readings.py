"""Readings: what was measured, its value, and the words that fixed limits give it.

A value reads as the words of the first limit that it does not exceed; the last limit is infinite. The limits
stand beside the words, so that whoever would draw the line elsewhere sees where it is drawn.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from IPython.display import Markdown

from galgen.compare.scoreboard import Portrait
from galgen.compare.uncertainty import p_text
from galgen.figures.sentences import ALPHA
from galgen.figures.tables import table

__all__ = ["BEYOND", "CONVERGED", "DENSITIES", "REACHED", "SMALL", "SPREAD",
    "Reading", "cut_by", "gives_away", "reading_table", "said", "ways"]  # fmt: skip

Limits = Sequence[tuple[float, str]]

TOLD = (ALPHA, "told from galaxies"), (inf, "not told")
VARIANCE = (0.75, "too little"), (1.35, "about right"), (inf, "too much")
SPREAD = (
    (1.0, "within the noise at the start"),
    (inf, "beyond it: the brightest and the faintest are not reached"),
)
REACHED = (0.8, "too little (other starts are tried below)"), (inf, "enough")
CUT = (
    (-0.1, "the flow from one image cuts it"),
    (inf, "the ascent does no better"),
)
APART = (0.0, "no clear difference"), (inf, "a clear difference")
CONVERGED = (
    (0.0, "no more alike than Gaussians"),
    (inf, "more alike than Gaussians, which make up most of it"),
)
BEYOND = (0.0, "no evidence of having learnt galaxies"), (inf, "more alike than the controls")
SMALL = (0.7, "too little"), (1.3, "about their share"), (inf, "too much: grainier than galaxies")
DENSITIES = (0.6, "perhaps one density"), (inf, "two densities")


@dataclass(frozen=True)
class Reading:
    """A number and what it is taken to say.

    Attributes:
        what: What was measured.
        value: The number that is held against the limits; None if it could not be measured.
        limits: Growing, each with the words of the values up to it; the last is infinite.
        shown: How the number is written, if not by itself.
    """

    what: str
    value: float | None
    limits: Limits
    shown: str = ""

    @property
    def words(self) -> str:
        """What the value reads as."""
        if self.value is None:
            return "not measurable"
        return next(words for limit, words in self.limits if self.value <= limit)

    @property
    def rule(self) -> str:
        """All words, with the limits between them."""
        *below, (_, last) = self.limits
        return "".join(f"{words} ≤ {limit:g} < " for limit, words in below) + last

    @property
    def number(self) -> str:
        """The value, as it is written."""
        return self.shown or ("–" if self.value is None else f"{self.value:.2f}")

    def __str__(self) -> str:
        at = " and ".join(f"{limit:g}" for limit, _ in self.limits[:-1])
        return f"{self.what}: {self.number}, {self.words} (limit {at})"


def reading_table(rows: Iterable[Reading], before: str = "", after: str = "") -> Markdown:
    """One row for each reading: what, value, words, limits; between two texts."""
    cells = [[r.what, r.number, f"**{r.words}**", r.rule] for r in rows]
    return table(["what", "value", "reads as", "limits"], cells, before=before, after=after)


def said(rows: Iterable[Reading]) -> str:
    """Readings within a text."""
    return "; ".join(map(str, rows)) + "."


# Of samples and denoisers


def gives_away(found: Portrait, of: str = "") -> list[Reading]:
    """At which sides in pixels a classifier tells samples from galaxies, and where their variance is off."""
    tests = [
        Reading(f"{of}AUC at {side} pixels a side, by its p", test.p, TOLD, f"{test.auc}, p {p_text(test.p)}")
        for side, test in found.c2st.items()
    ]
    what = f"{of}variance over the galaxies'"
    return tests + [Reading(f"{what}, {name}", ratio, VARIANCE) for name, ratio in found.spread.items()]


def ways(found: Mapping[str, Portrait], ours: str) -> list[Reading]:
    """Which way to sample is told from galaxies the least, at the coarsest scale, and ours beside it."""
    side = min(found[ours].c2st)
    auc = {name: each.c2st[side].auc for name, each in found.items()}
    best = min(auc, key=lambda name: auc[name].value)
    shown = f"AUC {auc[best]}; *{ours}*, the way of this book, {auc[ours]}"
    return [
        Reading(f"Hardest to tell at {side} pixels: *{best}*", auc[ours].low - auc[best].high, APART, shown)
    ]


def cut_by(flow: Portrait, ascent: Portrait | None) -> Reading:
    """Is it the flow from one image, or the range of noise, that cuts the variance along the first component?

    Args:
        flow: What the flow draws from one image.
        ascent: What the paper's ascent draws from it, in the same range of noise; None if it fails.
    """
    ratios = [each.spread["component 1"] if each else np.nan for each in (flow, ascent)]
    value = abs(ratios[1] - 1) - abs(ratios[0] - 1) if ascent else None
    shown = f"{ratios[1]:.2f} and {ratios[0]:.2f}" if ascent else "the ascent does not converge"
    return Reading(
        "variance along component 1, of the paper's ascent and of the flow",
        value,
        CUT,
        shown,
    )
