"""The claims of the paper as data: what it says, where, and what the numbers of a run say to it.

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

from galgen.compare.uncertainty import Estimate, Outcome, p_text
from galgen.figures.findings import at_sizes
from galgen.figures.style import spaced
from galgen.figures.tables import table

__all__ = ["CLAIMS", "CONFOUNDED", "HELD", "MARGIN", "NOT_HELD", "NOT_TESTABLE", "UNDERPOWERED", "VERDICTS"]
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
        foreign: By how much A's and B's residuals agree more, at the largest N of diffusion, than A's and
            those of a network of other galaxies; None where there is none.
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
    foreign: Outcome | None = None
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


@_claim("abstract, figure 4", "fig-corner-families")
def _shape(run: Findings) -> Ruling:
    """All models keep the distributions of the morphological coefficients (at the largest N)."""
    answers = run.at_largest("morphology")
    numbers = f"p of the energy distance, {', '.join(answers)}: {_ps(answers.values())}"
    return ruled(numbers, *_kept(run, "morphology"))


@_claim("section 3.3.1, figure 3", "fig-families")
def _appearance(run: Findings) -> Ruling:
    """The images of all models are visually indistinguishable from real ones."""
    fine, coarse = (run.at_largest(q).values() for q in ("distribution", "coarse distribution"))
    numbers = f"AUC of a classifier, not of an eye: {_values(fine)}; at 8 pixels a side {_values(coarse)}"
    return ruled(numbers, *_kept(run, "distribution"))


@_claim("abstract, figure 7", "fig-cosine")
def _passage(run: Findings) -> Ruling:
    """Diffusion passes from memorization to generalization as N grows."""
    copies, agree = (run.asked("diffusion", question) for question in ("memorization", "agreement"))
    closer = ", ".join(f"{run.closer['diffusion', n].value:.2f}" for n in run.sizes("diffusion"))
    return ruled(
        f"P(train closer) {closer} and agreement {_values(agree)} at {run.at('diffusion')}",
        _single(run, "diffusion"),
        (NOT_HELD, not run.rejected(copies[0]), "no memorization is found at the smallest N"),
        (NOT_HELD, run.rejected(copies[-1]), "the largest N memorises as well"),
        (NOT_HELD, agree[-1].value <= agree[0].value, "A and B do not agree more at the largest N"),
        (CONFOUNDED, run.hurried("diffusion"), f"with training time: {run.hurried('diffusion')}"),
        (UNDERPOWERED, run.undecided("diffusion"), run.undecided("diffusion")),
        (HELD, True, "the smallest N memorises, the largest does not, and had the time to"),
    )


@_claim("abstract, section 3.3.3", "fig-controls")
def _same(run: Findings) -> Ruling:
    """Large training sets make two diffusion models draw the same images from one latent."""
    n, agree, foreign = run.sizes("diffusion")[-1], run.at_largest("agreement")["diffusion"], run.foreign
    left = run.own["diffusion", n]
    numbers = f"agreement {agree.value:.2f} at N = {spaced(n)}, {left.value:.2f} of what Gaussians leave"
    numbers += f", beyond a network of other galaxies by {foreign.value:+.2f}" if foreign else ""
    what = "what each model's own Gaussian leaves of its images agrees"
    return ruled(
        numbers,
        (NOT_HELD, not run.rejected(agree), "A and B agree no more than unrelated latents"),
        (NOT_HELD, not run.rejected(left), f"{what} no more than unrelated latents"),
        (NOT_TESTABLE, foreign is None, "no network of other galaxies to hold against"),
        (
            NOT_HELD,
            not run.rejected(foreign) or foreign.value < MARGIN,
            f"{what} no more, within {MARGIN}, than with a network of other galaxies",
        ),
        (HELD, True, f"{what}, and more than with a network of other galaxies"),
    )


@_claim("abstract, section 3.3.3", "fig-cosine")
def _new(run: Findings) -> Ruling:
    """The images that diffusion draws after a large training set are new."""
    n, answer = run.sizes("diffusion")[-1], run.at_largest("memorization")["diffusion"]
    closer = run.closer["diffusion", n]
    return ruled(
        f"P(train closer) {closer} at N = {spaced(n)}, p of memorization {p_text(answer.p)}",
        (NOT_HELD, run.rejected(answer), "memorization is found"),
        (CONFOUNDED, run.hurried("diffusion"), f"with training time: {run.hurried('diffusion')}"),
        (UNDERPOWERED, run.undecided("diffusion"), run.undecided("diffusion")),
        (HELD, True, "no memorization is found, and there was time for it"),
    )


@_claim("sections 3.3.4 and 3.3.5", "fig-glow-cosine")
def _no_copies(run: Findings) -> Ruling:
    """Glow and the GAN do not copy training images (at the largest N)."""
    families = ("Glow", "GAN")
    answers = {family: run.at_largest("memorization")[family] for family in families}
    numbers = ", ".join(f"{family} {p_text(answer.p)}" for family, answer in answers.items())
    closer = ", ".join(f"{run.closer[family, run.sizes(family)[-1]]}" for family in families)
    found = ", ".join(family for family in families if run.rejected(answers[family]))
    time, wide = ("; ".join(filter(None, map(why, families))) for why in (run.hurried, run.undecided))
    return ruled(
        f"p of memorization: {numbers}; P(train closer) {closer}",
        (NOT_HELD, found, f"memorization is found: {found}"),
        (CONFOUNDED, time, f"with training time: {time}"),
        (UNDERPOWERED, wide, wide),
        (HELD, True, "no memorization is found, and both had the time to"),
    )


@_claim("section 3.3.4, table 1", "fig-w1")
def _latents(run: Findings) -> Ruling:
    """Two Glows agree in the distribution of z' only when N is large."""
    tests = [run.own["Glow", n] for n in run.sizes("Glow")]
    numbers = f"W1 at the deepest level {_values(tests)} at {run.at('Glow')}, "
    numbers += f"p against models on the same images {_ps(tests)}"
    # Four values against four: at the level of the other tests, .01, nothing could be rejected.
    few = "models on disjoint images are not distinguished from models on the same even at the smallest N, "
    return ruled(
        numbers,
        _single(run, "Glow"),
        (NOT_HELD, tests[-1].p < 0.05, "at the largest N disjoint images still set them apart"),
        (UNDERPOWERED, tests[0].p >= 0.05, f"{few}with four values of four models each"),
        (HELD, True, "disjoint images set them apart at the smallest N, not at the largest"),
    )


@_claim("figure 12", "fig-corner-glow")
def _glow_degrades(run: Findings) -> Ruling:
    """Glow's morphology degrades at small N."""
    answers, farther = run.asked("Glow", "morphology"), run.farther.get("Glow")
    numbers = f"energy distance {_values(answers)} at {run.at('Glow')}"
    numbers += f"; smallest N less largest {farther}" if farther else ""
    return ruled(
        numbers,
        _single(run, "Glow"),
        _unmeasured([farther]),
        (HELD, farther and farther.low > 0, "the smallest N is farther from galaxies than the largest"),
        (NOT_HELD, farther and farther.high < 0, "the smallest N is nearer to galaxies than the largest"),
        (UNDERPOWERED, True, "the interval of the difference holds 0"),
    )


@_claim("section 4, figure 14", "fig-discriminator-mean")
def _hinge(run: Findings) -> Ruling:
    """The mean hinge losses of the discriminator test end at 2."""
    n, far = run.sizes("GAN")[-1], max(abs(loss - 2) for loss in run.losses)
    return ruled(
        f"{', '.join(f'{loss:.2f}' for loss in run.losses)} at N = {spaced(n)}",
        (NOT_HELD, far >= 0.25, f"the farthest is {far:.2f} from it"),
        (UNDERPOWERED, run.separation[n] == "no power", "a judge that sees nothing ends there as well"),
        (HELD, True, "all are within 0.25 of it"),
    )


@_claim("section 4, figure 16", "fig-discriminator-N")
def _separation(run: Findings) -> Ruling:
    """The four distributions separate at small N and not at large N."""
    said = list(run.separation.values())
    distances = _values(run.own["GAN", n] for n in run.separation)
    return ruled(
        f"distance {distances} at {run.at('GAN')}: {', '.join(said)}",
        _single(run, "GAN"),
        (NOT_HELD, said[-1] == "separates", "they separate at the largest N"),
        (UNDERPOWERED, "no power" in (said[0], said[-1]), "a judge does not see what is wrong on purpose"),
        (NOT_HELD, said[0] != "separates", "they do not separate at the smallest N"),
        (HELD, True, "they separate at the smallest N only, where the judges have power at the largest"),
    )


@_claim("figure 15", "fig-corner-gan")
def _gan_shape(run: Findings) -> Ruling:
    """The GAN's morphology is the same whatever N."""
    between = run.between.get("GAN")
    numbers = f"smallest N against largest, {run.at('GAN')}: "
    return ruled(
        numbers + (f"energy distance {between.value:.2f}, p {p_text(between.p)}" if between else "–"),
        _single(run, "GAN"),
        _unmeasured([between]),
        (NOT_HELD, run.rejected(between), "the smallest N and the largest are distinguished from each other"),
        (UNDERPOWERED, run.blind("morphology"), run.blind("morphology")),
        (HELD, True, "the two are not distinguished, and the controls that must be are"),
    )


@_claim("abstract", "fig-scoreboard")
def _too_few(run: Findings) -> Ruling:
    """Training sets below 100 000 pose challenges to all models."""
    return Ruling(NOT_TESTABLE, "no profile but `paper` has as many", "no N is as large")


def _kept(run: Findings, question: str) -> Sequence[tuple[str, object, str]]:
    """The grounds on which all families, at their largest N, are said to have what galaxies have."""
    answers = run.at_largest(question)
    found = ", ".join(family for family, answer in answers.items() if run.rejected(answer))
    return (
        _unmeasured(answers.values()),
        (NOT_HELD, found, f"distinguished from galaxies: {found}"),
        (UNDERPOWERED, run.blind(question), run.blind(question)),
        (HELD, True, "none is distinguished from galaxies, and the controls that must be are"),
    )


def _values(answers: Iterable[Outcome | None]) -> str:
    return ", ".join("–" if answer is None else f"{answer.value:.2f}" for answer in answers)


def _ps(answers: Iterable[Outcome | None]) -> str:
    return ", ".join("–" if answer is None else f"{answer.p:.3f}" for answer in answers)


def _unmeasured(answers: Iterable[Outcome | Estimate | None]) -> tuple[str, object, str]:
    return NOT_TESTABLE, None in answers, "too few valid images"


def _single(run: Findings, family: str) -> tuple[str, object, str]:
    return NOT_TESTABLE, len(run.sizes(family)) < 2, "there is one N only"


def _count(passes: float) -> str:
    return spaced(round(passes)) if passes >= 10 else f"{passes:.1f}"
