"""From number to verdict: gates that a claim must pass before its rule is asked, and the rule.

A claim is asked at the N where the paper makes it. The first gate that applies decides:

    range      not testable here  the run has no N, or too few, in the range of the paper that is compared
    fit        not testable here  samples that are not shown to be nearer to galaxies than a Gaussian's
    time       confounded         fewer than three predicted onsets of memorization went by at the largest N
    power      underpowered       the positive control of that size is missed
    trainings  one pair           fewer than three models at an N that is compared

Beyond the gates a claim is

    held            every interval lies within the margin, so that the contrary is excluded
    not held        every interval lies wholly outside of it (at a smaller N than the 10^5 of which alone the
                    paper says it, this is no contradiction: not testable here)
    underpowered    neither

Each rule and its margin were fixed before the numbers that it judges were seen. What could hardly have come
out otherwise is *by construction*, and says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from galbook.claims.findings import Findings
from galbook.clock.crossing import DURATION
from galbook.clock.gap import START
from galgen.compare.uncertainty import Estimate
from galgen.figures.words import spaced
from galgen.profiles import PROFILES, TrainingSettings

__all__ = ["CONFOUNDED", "HELD", "LARGEST", "NOT_HELD", "NOT_TESTABLE", "ONE_PAIR", "UNDERPOWERED", "Claim",
    "Gate", "Range", "Ruling", "rule", "stopped", "within"]  # fmt: skip

HELD, NOT_HELD, UNDERPOWERED, CONFOUNDED, NOT_TESTABLE, ONE_PAIR = VERDICTS = (
    "held", "not held", "underpowered", "confounded", "not testable here", "one pair"
)  # fmt: skip
ENOUGH = 3  # models at an N: the fewest that show how far another one lies
LARGEST = 100_000  # the paper's largest N, of which it says what it says without reserve


@dataclass(frozen=True)
class Ruling:
    """What a run says to a claim, of one family.

    Attributes:
        verdict: One of `VERDICTS`.
        numbers: What it rests on.
        reason: Why, in a line.
        gate: The name of the gate that decided, or "".
    """

    verdict: str
    numbers: str
    reason: str
    gate: str = ""


@dataclass(frozen=True)
class Range:
    """N at which the paper makes a claim."""

    low: float
    high: float

    def __contains__(self, N: float) -> bool:
        return self.low <= N <= self.high

    def __str__(self) -> str:
        if self.low == self.high:
            return f"N = {spaced(int(self.low))}"
        if self.high == inf:
            return f"N of {spaced(int(self.low))} or more"
        return f"N = {spaced(int(self.low))} to {spaced(int(self.high))}"


Rule = Callable[..., Ruling]  # of the findings of a family, the N that are compared, and the margin
Gate = Callable[..., str]  # of the findings and the N: why it applies, or ""


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        key: Its name in the code.
        text: In the paper's words, as far as they fit a line.
        source: Where in the paper.
        figure: The name of our figure of it.
        families: Labels of those it is asked of.
        needs: The N that it compares, growing, each somewhere in its range.
        margin: What decides between held and not held, in the unit of the rule.
        reason: Of what it is, and why that much.
        rule: What decides beyond the gates, of the findings, the N and the margin.
        gates: Beside range and trainings, by name, in the order of the module.
        largest: Families of which the paper says it at its largest N, and less, or the contrary, below.
        by_construction: Whether it could hardly have come out otherwise.
        fixed: Whether no other margin can be tried: it is a level, or of arithmetic.
    """

    key: str
    text: str
    source: str
    figure: str
    families: tuple[str, ...]
    needs: tuple[Range, ...]
    margin: float
    reason: str
    rule: Rule
    gates: Mapping[str, Gate] = field(default_factory=dict, hash=False)
    largest: tuple[str, ...] = ()
    by_construction: bool = False
    fixed: bool = False

    def compared(self, sizes: Sequence[int]) -> list[int] | None:
        """The N of a run that the claim compares, or None: the least that will do, but the largest last.

        A claim that takes time is of the largest N of the run.
        """
        found, left = [], list(sizes)
        for k, needed in enumerate(self.needs):
            fitting = [n for n in left if n in needed and (not found or n > found[-1])]
            if not fitting:
                return None
            found.append(fitting[-1] if k == len(self.needs) - 1 else fitting[0])
        return None if "time" in self.gates and found[-1] != max(sizes) else found  # onsets are counted there


GATES = {"fit": NOT_TESTABLE, "time": CONFOUNDED, "power": UNDERPOWERED}  # between range and trainings


def rule(claim: Claim, found: Findings, *, gates: bool = True) -> Ruling:
    """The ruling on a claim, asked of one family; without its gates, by its rule alone."""
    sizes, family = claim.compared(found.sizes), found.experiment.family.name
    if gates and sizes is None:
        needed = " and ".join(dict.fromkeys(map(str, claim.needs)))
        run = ", ".join(map(spaced, found.sizes))
        times = "two sizes, " * (len(claim.needs) > len(set(claim.needs)))
        needed += " and no more" * ("time" in claim.gates)
        said = f"the paper's claim is on {times}{needed}; {_elsewhere(claim, family)}"
        return Ruling(NOT_TESTABLE, f"N of this run: {run}", said, "range")
    compared = sizes or [*found.sizes[:1], *found.sizes[-1:]][-len(claim.needs) :]
    ruling = claim.rule(found, *compared, claim.margin)
    if not gates or claim.by_construction:
        return ruling
    for name, verdict in GATES.items():
        if name in claim.gates and (reason := claim.gates[name](found, *compared)):
            return replace(ruling, verdict=verdict, reason=reason, gate=name)
    few = [n for n in compared if found.models[n] < ENOUGH]
    if ruling.verdict != NOT_TESTABLE and few:
        said = f"{' and '.join(f'N = {spaced(n)}' for n in few)}: two models; {_elsewhere(claim, family)}"
        return replace(ruling, verdict=ONE_PAIR, reason=said, gate="trainings")
    if ruling.verdict == NOT_HELD and found.label in claim.largest and compared[-1] < LARGEST:
        said = f"{ruling.reason}; the paper says it of N = {spaced(LARGEST)}, and less of smaller N"
        return replace(ruling, verdict=NOT_TESTABLE, reason=said, gate="range")
    return ruling


def stopped(claim: Claim, own: TrainingSettings) -> str:
    """The gate at which a family of these settings stops, whatever it finds, or "".

    No onset comes before g begins, so in proportion none at the largest N before as many times `START`. Only
    memorization at the largest N itself, within the training, would come past the gate of time.
    """
    at = claim.compared(own.N)
    if at is None:
        return "range"
    *smaller, large = sorted(own.N)
    least = DURATION * START * large / smaller[-1] if smaller else inf
    if "time" in claim.gates and own.images_shown(large) < least:
        return "time"
    return "" if claim.by_construction or all(2 * own.pairs_at(n) >= ENOUGH for n in at) else "trainings"


def _elsewhere(claim: Claim, family: str) -> str:
    """Which profiles can hold a claim."""
    known = [name for name, of in PROFILES.items() if not stopped(claim, getattr(of, family))]
    return f"the profile {' or '.join(known)} can ask it, at its own N" if known else "no profile can ask it"


def within(
    numbers: str, estimates: Iterable[Estimate | None], low: float, high: float, words: tuple[str, str]
) -> Ruling:
    """Held where every interval lies from low to high, not held where every one lies wholly outside.

    Args:
        numbers: What the ruling rests on.
        estimates: One a model or pair; None where one could not be measured.
        low: Lower end of the margin, or minus infinity.
        high: Its upper end, or infinity.
        words: The reasons of held and of not held.
    """
    estimates = list(estimates)
    if not estimates or None in estimates:
        return Ruling(NOT_TESTABLE, numbers or "–", "too few images could be measured")
    if all(low <= e.low and e.high <= high for e in estimates):
        return Ruling(HELD, numbers, words[0])
    if all(e.high < low or e.low > high for e in estimates):
        return Ruling(NOT_HELD, numbers, words[1])
    return Ruling(UNDERPOWERED, numbers, f"the intervals exclude neither: {words[0]}, or {words[1]}")
