"""The claims of the paper as data, grounds that rules of several families share, and the tables of claims.

A rule takes the `Findings` of a run and gives a `Ruling` (`galgen.figures.verdicts`); the rules are in
`galgen.figures.rules`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from IPython.display import Markdown
from myst_nb import glue

from galgen.compare.uncertainty import Estimate, Outcome, p_text
from galgen.figures.findings import Findings
from galgen.figures.style import spaced
from galgen.figures.tables import table
from galgen.figures.verdicts import (
    Ground,
    Ruling,
    confounded,
    held,
    not_held,
    not_testable,
    ruled,
    underpowered,
)


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        key: Its name in the code.
        text: What it says.
        source: Where in the paper.
        figure: The name of our figure of it.
        rule: What decides.
    """

    key: str
    text: str
    source: str
    figure: str
    rule: Callable[[Findings], Ruling]


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
        not_held(found, f"distinguished from galaxies: {found}"),
        underpowered(run.blind(question)),
        held("none is distinguished from galaxies, and the controls that must be are"),
    )


def whatever_size(run: Findings, family: str) -> Ruling:
    """The ruling that the morphology of a family is the same for the smallest N and the largest."""
    between = run.between.get(family)
    numbers = f"smallest N against largest, {run.at(family)}: "
    return ruled(
        numbers + (f"energy distance {between.value:.2f}, p {p_text(between.p)}" if between else "–"),
        single(run, family),
        unmeasured([between]),
        not_held(
            run.rejected(between),
            f"the smallest N and the largest are distinguished from each other{by_construction(run, family)}",
        ),
        underpowered(run.blind("morphology")),
        held("the two are not distinguished, and the controls that must be are"),
    )


def by_construction(run: Findings, family: str) -> str:
    """That a difference in morphology of the smallest N had to come, if it had: copies of it differ too."""
    n, copies = run.sizes(family)[0], run.copied.get(family)
    if not run.rejected(copies):
        return ""
    return f", by construction for a memoriser: so are copies of {spaced(n)} galaxies (E {copies.value:.2f})"


def unmeasured(answers: Iterable[Outcome | Estimate | None]) -> Ground:
    """The ground that a number is missing."""
    return not_testable(None in answers, "too few valid images")


def single(run: Findings, family: str) -> Ground:
    """The ground that nothing can be compared."""
    return not_testable(len(run.sizes(family)) < 2, "there is one N only")


def time(run: Findings, family: str) -> Ground:
    """The ground that training time may explain why the largest N does not memorise."""
    return confounded(run.hurried(family), f"with training time: {run.hurried(family)}")


def claims_table(rulings: Mapping[Claim, Ruling]) -> Markdown:
    """One row for each claim: text, place in the paper, verdict and reason, numbers, and our figure."""
    rows = []
    for claim, ruling in rulings.items():
        verdict = f"**{ruling.verdict}**: {ruling.reason}"
        rows.append([claim.text, claim.source, verdict, ruling.numbers, f"{{numref}}`{claim.figure}`"])
    return table(["claim", "in the paper", "in this run", "numbers", "figure"], rows)


def answer(rulings: Mapping[Claim, Ruling], sentence: str = "") -> Markdown:
    """The table of claims, glued at the top of the page in short: a sentence, and up to three rows.

    The sentence is by default that of the first ruling.
    """
    (claim, first), *_ = rulings.items()
    said = sentence or f"“{claim.text}” is **{first.verdict}**: {first.reason}."
    rows = [[c.text, f"**{r.verdict}**", r.numbers] for c, r in list(rulings.items())[:3]]
    glue("answer", table(["claim of the paper", "here", "numbers"], rows, before=said), display=False)
    return claims_table(rulings)


def beside(runs: Mapping[str, Iterable[Mapping[str, str]]]) -> Markdown:
    """The claims of several runs, as chapter 10 keeps them: a row for each claim, a column for each run."""
    claims = {name: {claim["claim"]: claim for claim in kept} for name, kept in runs.items()}
    rows = []
    for text in dict.fromkeys(chain(*claims.values())):
        found = (kept.get(text) for kept in claims.values())
        rows.append([text, *(f"**{one['verdict']}**: {one['numbers']}" if one else "" for one in found)])
    return table(["claim", *runs], rows, after=alike(runs))


def alike(runs: Mapping[str, Iterable[Mapping[str, str]]]) -> str:
    """In how many claims runs have the same verdict."""
    said = {}
    for claim in chain(*runs.values()):
        said.setdefault(claim["claim"], set()).add(claim["verdict"])
    same = sum(len(verdicts) == 1 for verdicts in said.values())
    return f"The verdict is the same for all runs in {same} of {len(said)} claims."
