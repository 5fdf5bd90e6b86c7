"""The claims of the paper as data: what it says, where, and what the numbers of a run say to it.

A rule takes the `Findings` of a run and gives a `Ruling`: a verdict, the numbers it rests on, and where the
verdict needs one, a reason of a few words. What stands in the way of asking, a number that could not be
measured or a single N where the claim compares several, makes a claim not testable.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from IPython.display import Markdown

from galgen.compare.uncertainty import Outcome, p_text
from galgen.figures.findings import at_sizes
from galgen.figures.style import spaced
from galgen.figures.tables import table

__all__ = ["CLAIMS", "HELD", "NOT_HELD", "NOT_TESTABLE", "Claim", "Findings", "Ruling", "beside"]
__all__ += ["claims_table", "ruled"]

HELD, NOT_HELD, NOT_TESTABLE = "held", "not held", "not testable here"


@dataclass(frozen=True)
class Findings:
    """What a run found of its pairs of models.

    Attributes:
        scores: By label of the family and N, growing, the answers by question (`galgen.compare.scoreboard`).
        own: By the same, the test that only this family can be asked.
        separation: By N of the GAN, what the discriminator test says: 'separates', 'passes' or 'no power'.
        losses: Mean hinge losses at the largest N: D_A of other and of training images, then D_B.
        alpha: The p-value below which a null is rejected.
    """

    scores: Mapping[tuple[str, int], Mapping[str, Outcome]]
    own: Mapping[tuple[str, int], Outcome]
    separation: Mapping[int, str]
    losses: Sequence[float]
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


@dataclass(frozen=True)
class Ruling:
    """What a run says to a claim: the verdict, the numbers it rests on, and why, where it needs saying."""

    verdict: str
    numbers: str
    reason: str = ""


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


def ruled(condition: bool, numbers: str, obstacle: str = "") -> Ruling:
    """The ruling of a condition, or of what stands in the way of asking."""
    return Ruling(NOT_TESTABLE if obstacle else HELD if condition else NOT_HELD, numbers, obstacle)


CLAIMS: list[Claim] = []


def _claim(source: str, figure: str) -> Callable[[Callable], Callable]:
    """Puts a rule into `CLAIMS`; its docstring is the text of the claim."""

    def added(rule: Callable[[Findings], Ruling]) -> Callable[[Findings], Ruling]:
        CLAIMS.append(Claim(rule.__doc__.rstrip("."), source, figure, rule))
        return rule

    return added


def claims_table(rulings: Mapping[Claim, Ruling]) -> Markdown:
    """One row for each claim: text, place in the paper, verdict and reason, numbers, and our figure."""
    rows = []
    for claim, ruling in rulings.items():
        verdict = f"**{ruling.verdict}**" + f": {ruling.reason}" * bool(ruling.reason)
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


@_claim("abstract, figure 4", "fig-corner-families")
def _shape(run: Findings) -> Ruling:
    """All models keep the distributions of the morphological coefficients (at the largest N)."""
    answers = run.at_largest("morphology")
    numbers = f"p of the energy distance, {', '.join(answers)}: {_ps(answers.values())}"
    return ruled(not any(map(run.rejected, answers.values())), numbers, _unmeasured(answers.values()))


@_claim("section 3.3.1, figure 3", "fig-families")
def _appearance(run: Findings) -> Ruling:
    """The images of all models are visually indistinguishable from real ones."""
    fine, coarse = (run.at_largest(q).values() for q in ("distribution", "coarse distribution"))
    numbers = f"AUC of a classifier, not of an eye: {_values(fine)}; at 8 pixels a side {_values(coarse)}"
    return ruled(not any(map(run.rejected, fine)), numbers, _unmeasured(fine))


@_claim("abstract, figure 7", "fig-cosine")
def _passage(run: Findings) -> Ruling:
    """Diffusion passes from memorization to generalization as N grows."""
    copies, agree = (run.asked("diffusion", question) for question in ("memorization", "agreement"))
    passes = run.rejected(copies[0]) and not run.rejected(copies[-1]) and agree[-1].value > agree[0].value
    numbers = f"P(train closer) {_values(copies)} and agreement {_values(agree)} at {run.at('diffusion')}"
    return ruled(passes, numbers, _single(run, "diffusion"))


@_claim("abstract, section 3.3.3", "fig-controls")
def _one_distribution(run: Findings) -> Ruling:
    """Large training sets make diffusion draw new images, the same for both models."""
    n, agree = run.sizes("diffusion")[-1], run.at_largest("agreement")["diffusion"]
    beyond = run.own["diffusion", n]
    numbers = (
        f"agreement {agree.value:.2f} at N = {spaced(n)}, beyond the linear control by {beyond.value:+.2f}"
    )
    return ruled(run.rejected(agree) and run.rejected(beyond), numbers)


@_claim("sections 3.3.4 and 3.3.5", "fig-glow-cosine")
def _no_copies(run: Findings) -> Ruling:
    """Glow and the GAN do not copy training images (at the largest N)."""
    answers = {family: run.at_largest("memorization")[family] for family in ("Glow", "GAN")}
    numbers = ", ".join(f"{family} {p_text(answer.p)}" for family, answer in answers.items())
    return ruled(not any(map(run.rejected, answers.values())), f"p of memorization: {numbers}")


@_claim("section 3.3.4, table 1", "fig-w1")
def _latents(run: Findings) -> Ruling:
    """Two Glows agree in the distribution of z' only when N is large."""
    tests = [run.own["Glow", n] for n in run.sizes("Glow")]
    numbers = f"W1 at the deepest level {_values(tests)} at {run.at('Glow')}, "
    numbers += f"p against models on the same images {_ps(tests)}"
    # Four values against four: at the level of the other tests, .01, nothing could be rejected.
    return ruled(tests[0].p < 0.05 <= tests[-1].p, numbers, _single(run, "Glow"))


@_claim("figure 12", "fig-corner-glow")
def _glow_degrades(run: Findings) -> Ruling:
    """Glow's morphology degrades at small N."""
    answers = run.asked("Glow", "morphology")
    numbers = f"energy distance {_values(answers)} at {run.at('Glow')}"
    obstacle = _unmeasured(answers) or _single(run, "Glow")
    worse = not obstacle and answers[0].value > answers[-1].value and run.rejected(answers[0])
    return ruled(worse, numbers, obstacle)


@_claim("section 4, figure 14", "fig-discriminator-mean")
def _hinge(run: Findings) -> Ruling:
    """The mean hinge losses of the discriminator test end at 2."""
    numbers = f"{', '.join(f'{loss:.2f}' for loss in run.losses)} at N = {spaced(run.sizes('GAN')[-1])}"
    return ruled(max(abs(loss - 2) for loss in run.losses) < 0.25, numbers)


@_claim("section 4, figure 16", "fig-discriminator-N")
def _separation(run: Findings) -> Ruling:
    """The four distributions separate at small N and not at large N."""
    said = list(run.separation.values())
    distances = _values(run.own["GAN", n] for n in run.separation)
    numbers = f"distance {distances} at {run.at('GAN')}: {', '.join(said)}"
    return ruled(said[0] == "separates" != said[-1], numbers, _single(run, "GAN"))


@_claim("figure 15", "fig-corner-gan")
def _gan_shape(run: Findings) -> Ruling:
    """The GAN's morphology is the same whatever N."""
    answers = run.asked("GAN", "morphology")
    numbers = f"p {_ps(answers)} at {run.at('GAN')}"
    obstacle = _unmeasured(answers) or _single(run, "GAN")
    return ruled(not any(map(run.rejected, answers)), numbers, obstacle)


@_claim("abstract", "fig-scoreboard")
def _too_few(run: Findings) -> Ruling:
    """Training sets below 100 000 pose challenges to all models."""
    return ruled(False, "no profile but `paper` has as many", "no N is as large")


def _values(answers: Iterable[Outcome | None]) -> str:
    return ", ".join("–" if answer is None else f"{answer.value:.2f}" for answer in answers)


def _ps(answers: Iterable[Outcome | None]) -> str:
    return ", ".join("–" if answer is None else f"{answer.p:.3f}" for answer in answers)


def _unmeasured(answers: Iterable[Outcome | None]) -> str:
    return "too few valid images" if None in answers else ""


def _single(run: Findings, family: str) -> str:
    return "there is one N only" if len(run.sizes(family)) < 2 else ""
