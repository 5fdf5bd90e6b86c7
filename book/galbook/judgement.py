r"""From number to word: what was seen, what was not, and where the numbers are too noisy to say.

A row of the table is asked in *parts*: of families, levels or widths that are fixed beforehand. Each has an
estimate x with a 95 % interval and a limit, the x of which the claim is true:

    effect      true beyond a margin, with a sign:   x >= low, or x <= high
    equality    true between two margins, of which one may be infinite:   low <= x <= high

A part is *seen* if its interval lies wholly where the claim is true, *not seen* if wholly where it is not,
and else *too noisy*. A row is seen, or not seen, if all of its parts are; *in part* if one is seen and
another is not; else too noisy.

**Interval**, over trainings. Of n values of one cell (a family and an N), less the mean of m of another,

    x +- t_f s sqrt(1 / n + 1 / m),     s^2 = sum_c sum_i (x_ci - mean_c)^2 / f,     f = sum_c (n_c - 1),

as the scatter of trainings is pooled over the cells c of one run and family. With one degree of freedom f the
other families of the run are added. With none, s and f are those of a committed run (`BORROWED`), and the
interval over latents is added in quadrature; where none has any, the interval is over latents or images
alone, and says so. With k
more trainings the half-width falls as t_(f + k) / sqrt(n + k). A part that is too noisy says after how many
it would be the distance from the estimate to the nearest margin; at a margin no number of them decides.

**Again.** A second run draws x' = x + s_x T_f + s_x Z about the estimate, the estimate's own error included,
s_x its standard error, and a standard error of its own, s_x (chi2_f / f)^(1/2): so often it gets each word.
That is right on average over truths, wherever they lie; at one that lies by a margin it says too much.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isinf, log

import numpy as np
from scipy import stats

from galgen.compare.uncertainty import Estimate

__all__ = [
    "BORROWED",
    "EFFECT",
    "EQUALITY",
    "IN_PART",
    "LIMITS",
    "NOISY",
    "NOT_ASKED",
    "NOT_SEEN",
    "SEEN",
    "WORDS",
    "Cells",
    "Limit",
    "Part",
    "again",
    "over_cells",
    "pooled",
    "row_word",
]  # fmt: skip

WORDS = SEEN, NOT_SEEN, IN_PART, NOISY, NOT_ASKED = (
    "seen", "not seen", "in part", "too noisy", "not asked"
)  # fmt: skip
EFFECT, EQUALITY = "effect", "equality"
MOST = 20  # further trainings that are counted


@dataclass(frozen=True)
class Limit:
    """Where a claim is true: from low to high, the unit, and why there."""

    kind: str
    low: float
    high: float
    unit: str
    reason: str

    def word(self, low: float, high: float) -> str:
        """What an interval says."""
        if self.low <= low and high <= self.high:
            return SEEN
        return NOT_SEEN if high < self.low or low > self.high else NOISY

    def distance(self, x: float) -> float:
        """From a value to the nearest margin."""
        return min(abs(x - margin) for margin in (self.low, self.high) if not isinf(margin))

    def __str__(self) -> str:
        ends = [f"≥ {self.low:.3g}"] * (self.low > -inf) + [f"≤ {self.high:.3g}"] * (self.high < inf)
        return f"{self.kind}: {' and '.join(ends)} {self.unit}".strip()


_TENTH = "a tenth of the samples as copies moves P(own set nearer) by as much"
_FIFTHS = "the judge is right on three of five pairs of images, by luck on two and a half"
_PIXEL = "what a night of 1.4 times the seeing loses, as simulated images of 32 pixels have it"
_HALF = "half of the 1 dB that the clock calls the onset of memory"
# fmt: off
LIMITS = {
    "copied": Limit(EFFECT, 0.05, inf, "beyond 1/2 and Gaussians", _TENTH),
    "new": Limit(EQUALITY, -inf, 0.05, "beyond 1/2 and Gaussians", _TENTH),
    "one": Limit(EFFECT, 0.9, inf, "of anomaly cosine", "its square, four fifths of the variance, is shared, "
        "which trials of equivalence call the same"),
    "other": Limit(EQUALITY, -inf, 0.5, "of anomaly cosine", "a quarter of the variance is shared, or less"),
    "not one": Limit(EFFECT, -inf, 0.9, "of anomaly cosine", "the contrary of one image"),
    "share": Limit(EFFECT, 0.8, inf, "of the way from floor to ceiling", "four fifths, as above"),
    "beyond": Limit(EFFECT, 0.0, inf, "of anomaly cosine", "more than the strongest control, by any amount"),
    "less": Limit(EFFECT, 0.5, inf, "dB", _HALF),
    "alike": Limit(EQUALITY, -0.5, 0.5, "dB", _HALF),
    "spoils": Limit(EFFECT, -inf, -1.0, "dB", "little beside the 13 dB of the paper, whose denoiser stays at "
        "27 dB where an image has 40"),
    "real": Limit(EQUALITY, -inf, 0.6, "AUC", _FIFTHS),
    "known": Limit(EFFECT, 0.6, inf, "AUC", _FIFTHS),
    "unknown": Limit(EQUALITY, -inf, 0.6, "AUC", _FIFTHS),
    "right": Limit(EQUALITY, -10.0, 10.0, "%", "a tenth of a magnitude of light"),
    "too round": Limit(EFFECT, -inf, 0.0, "%", "rounder than galaxies, by any amount"),
    "kept": Limit(EQUALITY, -inf, 1.0, "times a pixel of blur", _PIXEL),
    "unchanged": Limit(EQUALITY, -1.0, 1.0, "times a pixel of blur", _PIXEL),
    "worse": Limit(EFFECT, 1.0, inf, "times a pixel of blur", _PIXEL),
    "falls": Limit(EFFECT, 0.0, inf, "ln W₁", "by any amount"),
    "stays": Limit(EQUALITY, -log(1.3), log(1.3), "ln W₁", "1.3 times: over the paper's whole range of N "
        "level 0 moves by 1.1, and the deep levels by 1.5 or more"),
    "same": Limit(EQUALITY, -inf, log(1.25), "ln of the ratio", "1.25 times: W₁ of the deep levels is larger "
        "at 10⁴ than at 10⁵ by 1.33 and more in the paper"),
    "told": Limit(EFFECT, -inf, 0.05, "p", "of one question, or joined by Bonferroni"),
    "scored": Limit(EFFECT, -inf, 0.01, "p", "of the scoreboard, which asks some seventy"),
}
# Standard deviation over trainings and its degrees, of what a laptop run has no two of: by
# statistic and family, of the night on simulated galaxies, three pairs of N = 4 000, kept to .01.
BORROWED = {
    ("closer", "conditional diffusion"): (0.006, 2, "night-simulated"),
    ("agree", "conditional diffusion"): (0.003, 2, "night-simulated"),  # all .97: that of rounding
}
# fmt: on


@dataclass(frozen=True)
class Part:
    """A part of a row.

    Attributes:
        name: Of which family, level or width.
        found: The estimate and its interval; n counts trainings, or pairs of them.
        limit: Its name in `LIMITS`.
        freedom: Degrees of freedom of the scatter of trainings; 0 where the interval is not over these.
        note: Whose scatter it is, if not the run's and family's own, and what stands beside the number.
    """

    name: str
    found: Estimate
    limit: str
    freedom: float = 0.0
    note: str = ""

    @property
    def word(self) -> str:
        """What its interval says."""
        return LIMITS[self.limit].word(self.found.low, self.found.high)

    @property
    def half(self) -> float:
        """Half of the width of the interval."""
        return (self.found.high - self.found.low) / 2

    @property
    def more(self) -> int | None:
        """Further trainings after which it would be decided, `MOST` for that or more; None if not known."""
        if not self.freedom:
            return None
        now, n = _t(self.freedom), self.found.n
        away = LIMITS[self.limit].distance(self.found.value)
        falling = (_t(self.freedom + k) / now * (n / (n + k)) ** 0.5 * self.half for k in range(1, MOST))
        return next((k for k, half in enumerate(falling, 1) if half <= away), MOST)

    def __str__(self) -> str:
        said = f"{self.name} {self.found:{'.3g' if abs(self.found.value) < 100 else '.0f'}}"
        if self.word == NOISY:
            takes = {None: "", MOST: f"; takes {MOST} or more"}
            said += f" (±{self.half:.2g}{takes.get(self.more, f'; takes {self.more} more')})"
        return said + (f" ({self.note})" if self.note else "")


def row_word(words: Iterable[str]) -> str:
    """The word of a row, of those of its parts."""
    found = {*words}
    if not found:
        return NOT_ASKED
    if len(found) == 1:
        return found.pop()
    return IN_PART if {SEEN, NOT_SEEN} <= found else NOISY


Cells = Mapping[int, Sequence[Estimate | float]]  # by N, a value for each training, or pair of them


def pooled(cells: Iterable[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation within cells, and its degrees of freedom."""
    squares = [np.square(np.subtract(c, np.mean(c))).sum() for c in cells if len(c)]
    freedom = sum(len(c) - 1 for c in cells if len(c))
    return (float(np.sqrt(sum(squares) / freedom)) if freedom else 0.0), freedom


def over_cells(
    name: str,
    limit: str,
    cells: Cells,
    N: int,
    less: int | None = None,
    *,
    beside: Sequence[Cells] = (),
    beyond: float = 0.0,
    statistic: str = "",
    note: str = "",
) -> Part:
    """The part of a claim on one cell, or on one less another.

    Args:
        name: Of the part: the label of the family.
        limit: Its name in `LIMITS`.
        cells: Of the family.
        N: Which one.
        less: Whose mean is subtracted.
        beside: Cells of the other families of the run, whose scatter counts where the own has few degrees.
        beyond: What is subtracted beside.
        statistic: Under which name its scatter is borrowed.
        note: What is said beside.
    """
    own = [[_value(x) for x in c] for c in cells.values()]
    ends = [cells[n] for n in (N, less) if n is not None]
    x = float(np.subtract.reduce([np.mean([_value(v) for v in end]) for end in ends])) - beyond
    (sd, freedom), whose, latents = pooled(own), "", 0.0
    if freedom == 1 and beside:
        sd, freedom = pooled(own + [[_value(x) for x in c] for of in beside for c in of.values()])
        whose = "scatter of all families"
    if not freedom:
        sd, freedom, run = BORROWED.get((statistic, name), (0.0, 0, ""))
        whose = f"scatter of {run}, and latents" if run else "over latents or images"
        latents = _over_latents(ends)
    half = _t(freedom) * sd * sum(1 / len(end) for end in ends) ** 0.5 if freedom else 0.0
    half, n = float(np.hypot(half, latents)), min(map(len, ends))
    said = "; ".join(text for text in (note, whose) if text)
    return Part(name, Estimate(x, x - half, x + half, n), limit, float(freedom), said)


def _over_latents(ends: Sequence[Sequence[Estimate | float]]) -> float:
    """The half-width of single values, of two ends added in quadrature; infinite where they have none."""
    widths = [[(v.high - v.low) / 2 if isinstance(v, Estimate) else inf for v in end] for end in ends]
    return float(np.sqrt(sum(np.mean(np.square(w)) / len(w) for w in widths)))


def _value(x: Estimate | float) -> float:
    return x.value if isinstance(x, Estimate) else float(x)


def _t(freedom: float) -> float:
    return float(stats.t.ppf(0.975, freedom))


def again(parts: Sequence[Part], *, draws: int = 20_000, seed: int = 0) -> dict[str, float]:
    """How often a second run gets each word of a row; parts are drawn apart from each other."""
    rng, drawn = np.random.default_rng(seed), []
    for part in parts:
        freedom = part.freedom or np.inf
        error = part.half / (_t(part.freedom) if part.freedom else stats.norm.ppf(0.975))
        student = rng.standard_t(part.freedom, draws) if part.freedom else rng.standard_normal(draws)
        x = part.found.value + error * (student + rng.standard_normal(draws))
        scale = np.sqrt(rng.chisquare(part.freedom, draws) / freedom) if part.freedom else 1.0
        limit, half = LIMITS[part.limit], part.half * scale
        low, high = x - half, x + half
        seen, not_seen = (limit.low <= low) & (high <= limit.high), (high < limit.low) | (low > limit.high)
        drawn.append(np.select([seen, not_seen], [SEEN, NOT_SEEN], NOISY))
    rows = [row_word(words) for words in zip(*drawn, strict=True)]
    return {word: rows.count(word) / len(rows) for word in WORDS if rows}
