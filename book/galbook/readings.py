"""Readings: what was measured, its value, and the words that fixed limits give it.

A value reads as the words of the first limit that it does not exceed; the last limit is infinite. The limits
stand beside the words, so that whoever would draw the line elsewhere sees where it is drawn.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from galbook.judgement import LIMITS
from galgen.compare.scoreboard import Portrait
from galgen.compare.uncertainty import p_text
from galgen.figures.tables import Markdown, table

__all__ = ["BEYOND", "Reading", "gives_away", "reading_table", "said", "ways"]

Limits = Sequence[tuple[float, str]]

TOLD = (LIMITS["told"].high, "told from galaxies"), (inf, "not told")
VARIANCE = (0.75, "too little"), (1.35, "about right"), (inf, "too much")
BEYOND = (0.0, "no more than a control"), (inf, "more alike than the controls")


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
        return f"{self.what}: {self.number}, {self.words} (limit{'s' * (len(self.limits) > 2)} {at})"


def reading_table(rows: Iterable[Reading], before: str = "") -> Markdown:
    """One row for each reading: what, value, words, limits; under a text."""
    cells = [[r.what, r.number, f"**{r.words}**", r.rule] for r in rows]
    return table(["what", "value", "reads as", "limits"], cells, before=before)


def said(rows: Iterable[Reading]) -> str:
    """Readings within a text."""
    return "; ".join(map(str, rows)) + "."


# Of samples and denoisers


def gives_away(found: Portrait) -> list[Reading]:
    """At which sides in pixels a classifier tells samples from galaxies, and where their variance is off."""
    tests = [
        Reading(f"AUC at {side} pixels a side, by its p", test.p, TOLD, f"{test.auc}, p {p_text(test.p)}")
        for side, test in found.c2st.items()
    ]
    what = "variance over the galaxies'"
    return tests + [Reading(f"{what}, {name}", ratio, VARIANCE) for name, ratio in found.spread.items()]


def ways(found: Mapping[str, Portrait], ours: str) -> list[Reading]:
    """Which way to sample is told from galaxies the least, at the coarsest scale, and ours beside it."""
    side = min(found[ours].c2st)
    auc = {name: each.c2st[side].auc for name, each in found.items()}
    best = min((name for name in auc if name != ours), key=lambda name: auc[name].value)
    gap = auc[ours].low - auc[best].high
    shown = f"AUC {auc[best]}; *{ours}*, the way of this book, {auc[ours]}; gap of the intervals {gap:+.2f}"
    worse = (0.0, "ours is not clearly worse"), (inf, "ours is clearly worse")
    return [Reading(f"Hardest to tell of the other ways, at {side} pixels: *{best}*", gap, worse, shown)]
