"""The scoreboard as a picture, tables and sentences, of one run and of two beside each other.

A board holds the answers of each pair, (family, N), or of each control, by question: `Outcome`s of
`galgen.compare.scoreboard`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galgen.compare.scoreboard import EXPECTED, QUESTIONS
from galgen.compare.uncertainty import Outcome, p_text
from galgen.figures.style import COLOURS
from galgen.figures.tables import table
from galgen.words import spaced

__all__ = ["UNITS", "Use", "differences", "dot_plot", "from_kept", "kept", "take_away", "use_of", "use_table"]

Board = Mapping[tuple[str, int], Mapping[str, Outcome]]

_MEASURES = ("anomaly cosine", "margin to the own set", "AUC", "AUC at 8 pixels", "energy distance")
UNITS = dict(zip(QUESTIONS, _MEASURES, strict=True))


@dataclass(frozen=True)
class Use:
    """What a question finds of the controls that it must find, and of those that it must not.

    Attributes:
        must: Whether each of the former is found, by name.
        must_not: The same of the latter.
    """

    must: dict[str, bool]
    must_not: dict[str, bool]

    @property
    def missed(self) -> list[str]:
        """Those that it must find and does not."""
        return [name for name, found in self.must.items() if not found]

    @property
    def of_use(self) -> bool:
        """Whether it finds all that it must and none that it must not."""
        return bool(self.must) and all(self.must.values()) and not any(self.must_not.values())


def use_of(question: str, checks: Mapping[str, Mapping[str, Outcome]], alpha: float) -> Use:
    """What a question finds of the controls (by name), at p < alpha; those it was not put to are left out."""
    told = {name: found[question].p < alpha for name, found in checks.items() if question in found}
    sides = [
        {name: told[name] for name, must in EXPECTED.items() if must.get(question) is side and name in told}
        for side in (True, False)
    ]
    return Use(*sides)


def use_table(uses: Mapping[str, Use], before: str) -> Markdown:
    """Which controls each question must find and does, must not find and does."""
    rows = []
    for question, use in uses.items():
        cells = []
        for side in (use.must, use.must_not):
            cells += [", ".join(side), ", ".join(name for name, found in side.items() if found) or "none"]
        if not use.must and not use.must_not:
            rows.append([question, *[""] * 4, "too few valid images to ask"])
        else:
            rows.append([question, *cells, "yes" if use.of_use else "**does not separate its controls**"])
    head = ["question", "must find", "finds", "must not find", "finds", "of use"]
    return table(head, rows, before=before)


def kept(board: Board, kind: str) -> list[dict]:
    """The answers as a chapter keeps them: one flat record each."""
    return [
        {"pair": name, "N": n, "question": question, "kind": kind, **vars(answer)}
        for (name, n), found in board.items()
        for question, answer in found.items()
    ]


def from_kept(records: Iterable[Mapping], kind: str) -> dict[tuple[str, int], dict[str, Outcome]]:
    """The board of the records of one kind."""
    board = {}
    for record in records:
        if record["kind"] == kind:
            outcome = Outcome(*(record[name] for name in ("value", "low", "high", "p")))
            board.setdefault((record["pair"], record["N"]), {})[record["question"]] = outcome
    return board


def where(boards: Board, found_in: Callable[[Mapping[str, Outcome]], bool]) -> str:
    """The pairs of which that holds, in words."""
    sizes: dict[str, list[str]] = {}
    for (family, n), found in boards.items():
        if found_in(found):
            sizes.setdefault(family, []).append(spaced(n))
    if sum(map(len, sizes.values())) == len(boards):
        return "every pair"
    return "; ".join(f"{family} at N = {', '.join(ns)}" for family, ns in sizes.items()) or "none"


def take_away(boards: Board, uses: Mapping[str, Use], alpha: float) -> list[str]:
    """What the questions are worth, and of which pairs each rejects its null at p < alpha."""
    asked = {question: use.of_use for question, use in uses.items() if use.must or use.must_not}
    useful, useless = (", ".join(q for q in asked if asked[q] is side) for side in (True, False))
    useless = useless and f"**Not separated from their controls here:** {useless}"

    def rejected(question: str, *, above: bool = True) -> str:
        def found_in(found: Mapping[str, Outcome]) -> bool:
            one = found.get(question)
            return one is not None and one.p < alpha and (one.value >= one.low) is above

        return where(boards, found_in)

    return [
        f"**Of use:** {useful or 'none'}. {useless or 'Each question finds what it must'}.",
        f"**Agreement** beyond chance: {rejected('agreement')}; less alike than strangers: "
        f"{rejected('agreement', above=False)}.",
        f"**Memorization** found in {rejected('memorization')}.",
        f"**A fresh classifier** distinguishes from held-out images: {rejected('distribution')}; at 8 pixels "
        f"a side: {rejected('coarse distribution')}.",
        f"**Morphology** differs in {rejected('morphology')}.",
    ]


def differences(boards: Mapping[str, Board], alpha: float) -> str:
    """Where two runs (by name) lie on different sides of p = alpha, and how far their values are apart."""
    one, other = boards.values()
    shared = [(key, q) for key in one for q in QUESTIONS if q in one[key] and q in other.get(key, {})]
    differ, gaps = [], {}
    for (family, n), question in shared:
        pair = [board[family, n][question] for board in boards.values()]
        gaps.setdefault(question, []).append(abs(pair[0].value - pair[1].value))
        if len({answer.p < alpha for answer in pair}) == 2:
            said = [
                f"{a.value:.2f}, p {p_text(a.p)} for {name}" for name, a in zip(boards, pair, strict=True)
            ]
            differ.append(f"{question} of {family} at N = {spaced(n)} ({'; '.join(said)})")
    largest = [f"{max(gaps[q]):.2f} at most in {q}" for q in QUESTIONS if q in gaps]
    same = len(shared) - len(differ)
    missing = {q: lacks({name: board.values() for name, board in boards.items()}, q) for q in QUESTIONS}
    absent = {name: [q for q in QUESTIONS if missing[q] == [name]] for name in boards}
    text = "".join(f"{name} was not asked: {', '.join(asked)}. " for name, asked in absent.items() if asked)
    text += f"Of {len(shared)} answers that both runs have, {same} are on the same side of p = {alpha}."
    text += f" They differ in: {'; '.join(differ)}." if differ else ""
    return f"{text} The values differ by {', '.join(largest)}."


def lacks(series: Mapping[str, Iterable[Mapping[str, Outcome]]], question: str) -> list[str]:
    """The series, by name, in which a question has no answer at all."""
    return [name for name, answers in series.items() if not any(question in answer for answer in answers)]


def dot_plot(
    series: Mapping[str, Sequence[Mapping[str, Outcome]]],
    rows: Sequence[str],
    units: Mapping[str, str],
    *,
    colours: Mapping[str, Sequence[str]],
    alpha: float,
    controls: int = 0,
) -> Figure:
    """Values beside their nulls: a panel for each question, in it a row for each thing that was asked.

    A bar holds 95 % of the null, a dot is the value; it is filled where p < alpha. Several series stand one
    above the other within a row, and in a legend.

    Args:
        series: By name, the answers of each row by question; a question may be missing.
        rows: Labels, from the top.
        units: The questions, and what each is measured in.
        colours: By name of the series, the colour of each row.
        alpha: Level of the tests.
        controls: The last so many rows are controls: a line is drawn above them.
    """
    lines = math.ceil(len(units) / 5)
    columns = math.ceil(len(units) / lines)
    size = (2.1 * columns + 0.9, lines * ((0.28 + 0.04 * len(series)) * len(rows) + 1.5))
    figure, axes = plt.subplots(lines, columns, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[len(units) :]:
        axis.remove()
    for axis, (question, unit) in zip(axes.flat, units.items(), strict=False):
        for k, (name, answers) in enumerate(series.items()):
            for y, (answer, colour) in enumerate(zip(answers, colours[name], strict=True)):
                if question in answer:
                    at = y + 0.3 * (k - (len(series) - 1) / 2)
                    null = COLOURS["null"] if len(series) == 1 else colour
                    _dot(axis, at, answer[question], colour, null, alpha)
        lacking = lacks(series, question)
        if len(lacking) == len(series):
            axis.set_xticks([])
        if lacking and len(series) == 1:
            axis.text(0.5, 0.3, "too few images\nto ask", ha="center", transform=axis.transAxes, fontsize=9)
        elif lacking:  # of several runs some may be older than a question
            unit = "\n".join([unit, "not asked in", *lacking])
        if controls:
            axis.axhline(len(rows) - controls - 0.5, color="black", lw=0.7)
        axis.set_title(question, fontsize=10)
        axis.set_xlabel(unit, fontsize=9)
        axis.margins(x=0.12)
        axis.xaxis.set_major_formatter("{x:g}")  # as short as can be: those of small values would touch
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].invert_yaxis()
    if len(series) > 1:
        handles = [plt.Line2D([], [], color=colours[name][0], marker="o", ls="none") for name in series]
        figure.legend(handles, list(series), loc="outside upper center", ncols=len(series))
    return figure


def _dot(axis: Axes, y: float, answer: Outcome, colour: str, null: str, alpha: float) -> None:
    axis.plot([answer.low, answer.high], [y, y], color=null, alpha=0.4, lw=5, solid_capstyle="butt")
    face = colour if answer.p < alpha else "white"
    axis.plot(answer.value, y, "o", color=colour, markerfacecolor=face, ms=5)
