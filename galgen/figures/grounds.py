"""What rules of several families have in common: grounds, each `(verdict, whether it applies, reason)`."""

from collections.abc import Callable, Iterable, Sequence

from galgen.compare.uncertainty import Estimate, Outcome, p_text
from galgen.figures.claims import (
    CONFOUNDED,
    HELD,
    NOT_HELD,
    NOT_TESTABLE,
    UNDERPOWERED,
    Claim,
    Findings,
    Ruling,
    ruled,
)

Ground = tuple[str, object, str]

FEW = 0.05  # level of the tests over a few pairs of models, and of a discriminator


def claim_into(claims: list[Claim]) -> Callable[[str, str], Callable]:
    """A decorator, of source and figure, that puts a rule into a list; its docstring is the claim's text."""

    def claim(source: str, figure: str) -> Callable[[Callable], Callable]:
        def added(rule: Callable[[Findings], Ruling]) -> Callable[[Findings], Ruling]:
            claims.append(Claim(rule.__name__[1:], rule.__doc__.rstrip("."), source, figure, rule))
            return rule

        return added

    return claim


def kept(run: Findings, question: str) -> Sequence[Ground]:
    """The grounds on which all families, at their largest N, are said to have what galaxies have."""
    answers = run.at_largest(question)
    found = ", ".join(family for family, answer in answers.items() if run.rejected(answer))
    return (
        unmeasured(answers.values()),
        (NOT_HELD, found, f"distinguished from galaxies: {found}"),
        (UNDERPOWERED, run.blind(question), run.blind(question)),
        (HELD, True, "none is distinguished from galaxies, and the controls that must be are"),
    )


def whatever_size(run: Findings, family: str) -> Ruling:
    """The ruling that the morphology of a family is the same for the smallest N and the largest."""
    between = run.between.get(family)
    numbers = f"smallest N against largest, {run.at(family)}: "
    return ruled(
        numbers + (f"energy distance {between.value:.2f}, p {p_text(between.p)}" if between else "–"),
        single(run, family),
        unmeasured([between]),
        (NOT_HELD, run.rejected(between), "the smallest N and the largest are distinguished from each other"),
        (UNDERPOWERED, run.blind("morphology"), run.blind("morphology")),
        (HELD, True, "the two are not distinguished, and the controls that must be are"),
    )


def unmeasured(answers: Iterable[Outcome | Estimate | None]) -> Ground:
    """The ground that a number is missing."""
    return NOT_TESTABLE, None in answers, "too few valid images"


def single(run: Findings, family: str) -> Ground:
    """The ground that nothing can be compared."""
    return NOT_TESTABLE, len(run.sizes(family)) < 2, "there is one N only"


def time(run: Findings, family: str) -> Ground:
    """The ground that training time explains why the largest N does not memorise."""
    return CONFOUNDED, run.hurried(family), f"with training time: {run.hurried(family)}"


def values(answers: Iterable[Outcome | None]) -> str:
    """The values of some answers, as 0.12, –."""
    return ", ".join("–" if answer is None else f"{answer.value:.2f}" for answer in answers)


def ps(answers: Iterable[Outcome | None]) -> str:
    """Their p-values."""
    return ", ".join("–" if answer is None else f"{answer.p:.3f}" for answer in answers)
