"""Every claim of the paper and the rule that decides it, from the `Findings` of a run.

A rule lists its grounds in the order in which they count, `(verdict, whether it applies, reason)`, and the
first one that applies is the ruling: what cannot be measured comes before what was found, what was found
before what could not have been.
"""

from collections.abc import Callable, Iterable, Sequence

from galgen.compare.uncertainty import Estimate, Outcome, p_text
from galgen.figures.claims import (
    CONFOUNDED,
    HELD,
    MARGIN,
    NOT_HELD,
    NOT_TESTABLE,
    UNDERPOWERED,
    Claim,
    Findings,
    Ruling,
    ruled,
)
from galgen.figures.style import spaced

__all__ = ["CLAIMS"]

CLAIMS: list[Claim] = []


def _claim(source: str, figure: str) -> Callable[[Callable], Callable]:
    """Puts a rule into `CLAIMS`; its docstring is the text of the claim."""

    def added(rule: Callable[[Findings], Ruling]) -> Callable[[Findings], Ruling]:
        CLAIMS.append(Claim(rule.__doc__.rstrip("."), source, figure, rule))
        return rule

    return added


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
    n, agree = run.sizes("diffusion")[-1], run.at_largest("agreement")["diffusion"]
    left, foreign = run.own["diffusion", n], run.foreign.get("diffusion")
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
