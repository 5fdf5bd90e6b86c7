"""Claims as data: what a run found, verdicts, and their tables. The rules are in `galgen.figures.rules`.

A rule takes the `Findings` of a run and gives a `Ruling`: a verdict, its reason in a line, and the numbers it
rests on. The verdicts are

    held               a test that could have found the contrary did not, or found what the claim says
    not held           a test found the contrary, or missed what the claim says though it finds its control
    underpowered       nothing was found, and this run could not have found it
    confounded         something else that differs between what is compared explains it as well
    not testable here  a number could not be measured, or a single N stands where the claim compares several

*Confounded with training time* is derived from the run: to each N belong the passes over its training set,
images shown over N, and to each family the fewest passes after which one of its pairs was found to memorize.
Where the largest N had fewer, that it does not memorize says nothing of N.

*Underpowered* has margins that are fixed here: memorization is excluded where the upper end of P(train
closer) is no more than `MARGIN` above 1/2, or above that of Gaussians of the same sets if that is larger (a
tenth of the samples as copies moves P by as much); a distribution is kept where the question finds all the
controls that it must find. Agreement must exceed that with a network of other galaxies by `MARGIN`, as with
enough latents any difference has a small p.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from IPython.display import Markdown

from galgen.compare.uncertainty import Estimate, Outcome
from galgen.figures.findings import at_sizes
from galgen.figures.style import spaced
from galgen.figures.tables import table

__all__ = ["CONFOUNDED", "HELD", "MARGIN", "NOT_HELD", "NOT_TESTABLE", "UNDERPOWERED", "VERDICTS"]
__all__ += ["Claim", "Findings", "Ruling", "beside", "claims_table", "ruled"]

VERDICTS = ("held", "not held", "underpowered", "confounded", "not testable here")
HELD, NOT_HELD, UNDERPOWERED, CONFOUNDED, NOT_TESTABLE = VERDICTS

MARGIN = 0.05  # of P(train closer), and of a cosine


@dataclass(frozen=True)
class Findings:
    """What a run found of its pairs of models.

    Attributes:
        scores: By label of the family and N, growing, the answers by question (`galgen.compare.scoreboard`).
        own: By the same, the test that only this family can be asked.
        separation: By N of the GAN, what the discriminator test says: 'separates', 'passes' or 'no power'.
        losses: Mean hinge losses at the largest N: D_A of other and of training images, then D_B.
        closer: P(train closer) of each pair.
        linear: P(train closer) of Gaussians of the same images.
        passes: How often each pair was shown its training set.
        onset: By family, the fewest passes after which a pair was found to memorize, where one was.
        foreign: By denoiser, by how much A's and B's residuals agree more, at its largest N, than A's and
            those of a network of other galaxies.
        between: By family, the energy distance of morphology of the smallest N from the largest, of other
            latents.
        farther: By family, by how much farther from galaxies the smallest N is than the largest.
        missed: By question, the controls that it must find and does not.
        alpha: The p-value below which a null is rejected.
    """

    scores: Mapping[tuple[str, int], Mapping[str, Outcome]]
    own: Mapping[tuple[str, int], Outcome]
    separation: Mapping[int, str]
    losses: Sequence[float]
    closer: Mapping[tuple[str, int], Estimate] = field(default_factory=dict)
    linear: Mapping[tuple[str, int], float] = field(default_factory=dict)
    passes: Mapping[tuple[str, int], float] = field(default_factory=dict)
    onset: Mapping[str, float | None] = field(default_factory=dict)
    foreign: Mapping[str, Outcome] = field(default_factory=dict)
    between: Mapping[str, Outcome | None] = field(default_factory=dict)
    farther: Mapping[str, Estimate | None] = field(default_factory=dict)
    missed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    alpha: float = 0.01

    def sizes(self, family: str) -> list[int]:
        """All N of a family."""
        return [n for name, n in self.scores if name == family]

    def at(self, family: str) -> str:
        """The same in words."""
        return at_sizes(self.sizes(family))

    def asked(self, family: str, question: str) -> list[Outcome | None]:
        """The answers at each N; None where the question could not be asked."""
        return [self.scores[family, n].get(question) for n in self.sizes(family)]

    def at_largest(self, question: str) -> dict[str, Outcome | None]:
        """The answers of each family at its largest N."""
        return {family: self.asked(family, question)[-1] for family, _ in self.scores}

    def rejected(self, answer: Outcome | None) -> bool:
        """Whether there is an answer and its null is rejected."""
        return answer is not None and answer.p < self.alpha

    def hurried(self, family: str) -> str:
        """Why training time alone explains that the largest N does not memorize; empty if it does not."""
        n, onset = self.sizes(family)[-1], self.onset.get(family)
        shown = self.passes[family, n]
        if onset is not None and shown >= onset:
            return ""
        longest = max(self.passes[family, m] for m in self.sizes(family))
        known = f"no pair memorises within {_count(longest)} passes, so when that sets in is not known"
        if onset is not None:
            known = f"memorization sets in after {_count(onset)}"
        return f"{family} had {_count(shown)} passes at N = {spaced(n)}, and {known}"

    def undecided(self, family: str) -> str:
        """Why memorization is not excluded at the largest N, though it was not found; empty if it is."""
        key = family, self.sizes(family)[-1]
        closer, most = self.closer[key], max(0.5, self.linear[key]) + MARGIN
        if most > 1 - MARGIN:
            return (
                f"{family}: P(train closer) of Gaussians of the same images is {self.linear[key]:.2f} already"
            )
        if closer.high <= most:
            return ""
        return f"{family}: P(train closer) {closer}, with {closer.n} latents, is not below {most:.2f}"

    def blind(self, question: str) -> str:
        """Which controls a question misses, as a reason; empty if none."""
        missed = ", ".join(self.missed.get(question, ()))
        return missed and f"with as many images the test does not find: {missed}"


@dataclass(frozen=True)
class Ruling:
    """What a run says to a claim: the verdict, the numbers it rests on, and the reason in a line."""

    verdict: str
    numbers: str
    reason: str


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        text: What it says.
        source: Where in the paper.
        figure: The name of our figure of it.
        rule: What decides.
    """

    text: str
    source: str
    figure: str
    rule: Callable[[Findings], Ruling]


def ruled(numbers: str, *grounds: tuple[str, object, str]) -> Ruling:
    """The ruling of the first ground that applies.

    Args:
        numbers: What it rests on.
        grounds: Verdict, whether it applies, and the reason; the last one applies.
    """
    verdict, reason = next((verdict, reason) for verdict, applies, reason in grounds if applies)
    return Ruling(verdict, numbers, reason)


def claims_table(rulings: Mapping[Claim, Ruling]) -> Markdown:
    """One row for each claim: text, place in the paper, verdict and reason, numbers, and our figure."""
    rows = []
    for claim, ruling in rulings.items():
        verdict = f"**{ruling.verdict}**: {ruling.reason}"
        rows.append([claim.text, claim.source, verdict, ruling.numbers, f"{{numref}}`{claim.figure}`"])
    return table(["claim", "in the paper", "in this run", "numbers", "figure"], rows)


def beside(runs: Mapping[str, Iterable[Mapping[str, str]]]) -> Markdown:
    """The claims of several runs, as chapter 10 keeps them: a row for each claim, a column for each run."""
    claims = {name: {claim["claim"]: claim for claim in kept} for name, kept in runs.items()}
    texts = list(dict.fromkeys(chain(*claims.values())))
    rows, alike = [], 0
    for text in texts:
        found = [kept.get(text) for kept in claims.values()]
        rows.append([text, *("" if c is None else f"**{c['verdict']}**: {c['numbers']}" for c in found)])
        alike += len({c["verdict"] for c in found if c}) == 1
    after = f"The verdict is the same for all runs in {alike} of {len(texts)} claims."
    return table(["claim", *runs], rows, after=after)


def _count(passes: float) -> str:
    return spaced(round(passes)) if passes >= 10 else f"{passes:.1f}"
