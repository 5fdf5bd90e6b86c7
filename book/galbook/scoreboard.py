"""The scoreboard of the first pair of models at each N, and of controls: asked, as a picture and as tables.

A board holds the answers of each pair, (family, N), or of each control, by question: `Outcome`s of
`galgen.compare.scoreboard`.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galbook.agreement import drawn, two_models_at
from galbook.kept import once
from galgen.compare.agreement import two_models
from galgen.compare.controls import Controls, controls, rounded
from galgen.compare.morphology import stored
from galgen.compare.scoreboard import EXPECTED, QUESTIONS, Portrait, portrait, scores
from galgen.compare.uncertainty import Outcome, p_text
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.models.families import Training

__all__ = [
    "BLUR",
    "UNITS",
    "Boards",
    "beyond_said",
    "board",
    "board_table",
    "checks",
    "controls_of",
    "dot_plot",
    "from_kept",
    "kept",
    "likeness",
    "measure",
    "models_judged",
    "portrait_table",
    "spread_table",
    "use_table",
]

# The modules that the answers depend on, beside this one.
FILES = (
    "galbook.agreement",
    "galgen.compare.controls",
    "galgen.compare.morphology",
    "galgen.compare.scales",
    "galgen.compare.scoreboard",
    "galgen.compare.twosample",
)

BLUR = 1.0  # pixels: the classifier finds half a one, but with so few images morphology may not

Board = dict[str, Outcome]  # answers by question


@functools.cache
def controls_of(experiment: Experiment) -> Controls:
    """Held-out images and sets that are wrong in a known way, for the families' largest N."""
    return controls(
        experiment.images.dataset.images, experiment.images.split(), experiment.images.compared, blur=BLUR
    )


def measure(experiment: Experiment) -> functools.partial:
    """What measures the morphology of images, once a set."""
    return functools.partial(stored, experiment.store, progress=False)


@once
def board(experiment: Experiment, N: int) -> Board:
    """The scoreboard of the first pair of models, beside galaxies of as many gray levels."""
    bits = experiment.family.bits
    images = [rounded(part, bits) for part in drawn(experiment, N)]
    reference = rounded(controls_of(experiment).reference, bits)
    return scores(*images, reference, two_models_at(experiment, N), morphology=measure(experiment))


@once
def checks(experiment: Experiment) -> dict[str, Board]:
    """The scoreboard of the controls, by name, with the gray levels and the flips of the family."""
    found, sets, bits = {}, experiment.images.split(), experiment.family.bits
    given = {"mean": experiment.images.mean, "flips": experiment.family.flips}
    reference = rounded(controls_of(experiment).reference, bits)
    for name, images in controls_of(experiment).pairs.items():
        pair = [rounded(part, bits) for part in images]
        test = two_models(*map(torch.as_tensor, pair), experiment.images.dataset.images, sets, **given)
        found[name] = scores(*pair, reference, test, morphology=measure(experiment), both=False)
    return found


def models_judged(experiment: Experiment, N: int) -> list[Training]:
    """The models that are judged each by itself: A and B of the first pair, and A of a second one."""
    (a, b), *more = experiment.models.pairs(N)
    return [a, b, *(pair[0] for pair in more[:1])]


def likeness(experiment: Experiment) -> Portrait:
    """The samples of model A of the largest N beside held-out galaxies, without morphology."""
    model = experiment.models.pair(experiment.sizes[-1])[0]
    images, unseen = (
        experiment.samples(model),
        experiment.images.held_out,
    )
    images = images[images.isfinite().all(3).all(2).all(1)][: len(unseen) // 2].numpy()
    bits = experiment.family.bits
    reference = rounded(unseen[: 2 * len(images)], bits)
    return portrait(images, reference, experiment.images.of(model), bits=bits)


Boards = Mapping[tuple[str, int], Mapping[str, Outcome]]

_MEASURES = ("anomaly cosine", "margin to the own set", "AUC", "AUC at 8 pixels", "energy distance")

UNITS = dict(zip(QUESTIONS, _MEASURES, strict=True))


def use_table(checks: Mapping[str, Mapping[str, Outcome]], alpha: float) -> Markdown:
    """Which controls (by name) each question must find at p < alpha, and does, must not find, and does."""
    rows = []
    for question in QUESTIONS:
        told = {name: found[question].p < alpha for name, found in checks.items() if question in found}
        must, must_not = (
            [name for name in told if EXPECTED[name].get(question) is side] for side in (True, False)
        )
        found, wrong = ([name for name in side if told[name]] for side in (must, must_not))
        use = "yes" if must and found == must and not wrong else "**does not separate its controls**"
        sides = [", ".join(side) or "none" for side in (must, found, must_not, wrong)]
        rows.append([question, *(sides if told else [""] * 4), use if told else "too few images to ask"])
    head = ["question", "must find", "finds", "must not find", "finds", "of use"]
    before = f"Does each question find the controls it should, at p < {alpha}, and no others?"
    return table(head, rows, before=before)


def board_table(board: Boards, before: str) -> Markdown:
    """Every answer with its null and p, a row for each pair and N; small margins of memorization in full."""
    rows = []
    for (name, n), answers in board.items():
        cells = [""] * len(QUESTIONS)
        for k, q in enumerate(QUESTIONS):
            if found := answers.get(q):
                form = ".3f" if q == "memorization" else ".2f"
                value, low, high = (format(number, form) for number in (found.value, found.low, found.high))
                cells[k] = f"{value} ({low} to {high}), p {p_text(found.p)}"
        rows.append([name, spaced(n), *cells])
    return table(["", "N", *QUESTIONS], rows, before=before)


def kept(board: Boards, kind: str) -> list[dict]:
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
    size = (2.1 * len(units) + 0.9, max(0.28 + 0.04 * len(series), 0.14 * len(series)) * len(rows) + 1.5)
    size = size[0], min(size[1], 8.0)  # a screen
    figure, axes = plt.subplots(1, len(units), figsize=size, sharey=True, squeeze=False)
    for axis, (question, unit) in zip(axes[0], units.items(), strict=True):
        for k, (name, answers) in enumerate(series.items()):
            for y, (answer, colour) in enumerate(zip(answers, colours[name], strict=True)):
                if question in answer:
                    at = y + min(0.3, 0.8 / len(series)) * (k - (len(series) - 1) / 2)
                    null = COLOURS["null"] if len(series) == 1 else colour
                    _dot(axis, at, answer[question], colour, null, alpha)
        lacking = [name for name, answers in series.items() if not any(question in a for a in answers)]
        if len(lacking) == len(series):
            axis.set_xticks([])
        if lacking and len(series) == 1:
            axis.text(0.5, 0.3, "too few images\nto ask", ha="center", transform=axis.transAxes, fontsize=9)
        elif lacking:  # of several runs some may be older than a question
            unit = "\n".join([unit, "not asked in", *lacking])
        if controls:
            axis.axhline(len(rows) - controls - 0.5, color="black", lw=0.7)
        axis.set_title(question.replace(" ", "\n"), fontsize=9)
        axis.set_xlabel("\n".join(fill(line, 14) for line in unit.split("\n")), fontsize=9)
        axis.margins(x=0.12)
        axis.locator_params(axis="x", nbins=2)
        axis.xaxis.set_major_formatter("{x:g}")  # as short as can be: those of small values would touch
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 0].invert_yaxis()
    if len(series) > 1:
        handles = [plt.Line2D([], [], color=colours[name][0], marker="o", ls="none") for name in series]
        figure.legend(handles, list(series), loc="outside upper center", ncols=2)
    return figure


def beyond_said(boards: Boards, alpha: float) -> str:
    """How many answers lie beyond their nulls: the title."""
    answers = [answer for found in boards.values() for answer in found.values()]
    beyond = sum(answer.p < alpha for answer in answers)
    return f"Of {len(answers)} answers on models {beyond} lie beyond their nulls (p < {alpha:g})"


def _dot(axis: Axes, y: float, answer: Outcome, colour: str, null: str, alpha: float) -> None:
    axis.plot([answer.low, answer.high], [y, y], color=null, alpha=0.4, lw=5, solid_capstyle="butt")
    face = colour if answer.p < alpha else "white"
    axis.plot(answer.value, y, "o", color=colour, markerfacecolor=face, ms=5)


def spread_table(spread: Mapping[int, Mapping[str, float]], after: str = "") -> Markdown:
    """Variance of samples over that of the images of the largest N, by N: `galgen.compare.scales`."""
    rows = [[spaced(n), *(f"{ratio:.2f}" for ratio in found.values())] for n, found in spread.items()]
    before = f"Variance of the samples over that of the {spaced(max(spread))} training images; 1 is right:"
    return table(["N", *spread[max(spread)]], rows, before=before, after=after)


def portrait_table(portraits: Mapping[str, Portrait], before: str, after: str = "") -> Markdown:
    """Sets of images beside galaxies: variance by group of components, and the classifier's AUC by side."""
    before += " A p of 0.002 is the least that its 500 permutations can give."
    some = next(iter(portraits.values()))
    head = ["", *some.spread, *(f"AUC at {side} pixels" for side in some.c2st)]
    rows = [
        [name, *(f"{ratio:.2f}" for ratio in found.spread.values())]
        + [f"{test.auc}, p {p_text(test.p)}" for test in found.c2st.values()]
        for name, found in portraits.items()
    ]
    return table(head, rows, before=before, after=after)
