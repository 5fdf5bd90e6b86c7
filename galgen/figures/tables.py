"""Tables and lists of the chapters, in Markdown, and the tables that several chapters share."""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from IPython.display import Markdown

from galgen.compare.agreement import TwoModels
from galgen.compare.scoreboard import Portrait
from galgen.compare.uncertainty import Estimate, p_text
from galgen.figures.words import spaced
from galgen.models.families import Training
from galgen.runs.errors import printable
from galgen.runs.store import Run

__all__ = ["agreement_table", "design_table", "escaped", "points", "portrait_table", "spread_table",
    "table", "training_table"]  # fmt: skip

_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_READ = r"[\\`*_{}\[\]<>|$&~!]"  # what Markdown reads, of that, within a line


def escaped(text: str, *, typeset: bool = False) -> str:
    r"""A text that is not the project's own as Markdown that shows it letter by letter, on one line.

    Args:
        text: As the name of a file or of a data set, or what a file says.
        typeset: Whether the book may set its signs and numbers as print does.

    >>> print(escaped("<i> of {x}, -1"))
    \<i\> of \{x\}\, \-1
    """
    line = re.sub(r"[^\S\N{NO-BREAK SPACE}]+", " ", text).strip()
    return re.sub(_READ if typeset else _PUNCTUATION, r"\\\g<0>", printable(line))


def table(head: Sequence[str], rows: Iterable[Iterable], *, before: str = "", after: str = "") -> Markdown:
    """A table between two texts, as the last value of a cell.

    Args:
        head: Over the columns.
        rows: Cells, which may be anything that has a text; what is not the project's own is `escaped`.
        before: Text over the table.
        after: Text under it.
    """
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    return Markdown("\n\n".join(part for part in (before, text, after) if part))


def points(texts: Iterable[str]) -> Markdown:
    """A list of points, as the last value of a cell: what a chapter ends with."""
    return Markdown("\n".join(f"- {text}" for text in texts))


def training_table(
    runs: Mapping[Training, Run], before: str, last: Mapping[str, str] | None = None
) -> Markdown:
    """What the training of each model took.

    Args:
        runs: The trained models, one row each.
        before: Text over the table: the network and how it was trained.
        last: By heading, losses (names in the training's log) whose last value is shown.
    """
    last = last or {}
    rows = []
    for training, run in runs.items():
        done, N = run.summary, training.N
        counts = spaced(N), spaced(done["images_shown"]), f"{done['images_shown'] / N:.0f}"
        speed = f"{done['seconds'] / 60:.1f}", f"{done['images_per_second']:.0f}", done["device"]
        rows.append([*counts, *speed, *(f"{done['losses'][name]:.3f}" for name in last.values())])
    head = ["N", "images shown", "passes over the set", "minutes", "images/s", "on", *last]
    return table(head, rows, before=before)


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


def agreement_table(tests: Mapping[int, TwoModels], before: str = "", *, flips: bool = False) -> Markdown:
    """Agreement, copying and memorization of two models for each N, each beside its null.

    Args:
        tests: By N.
        before: Text over the table, by default what the columns are.
        flips: Whether the tests have searched flipped training images as well.
    """
    explained = (
        "Medians of the anomaly cosine and proportions, with 95 % intervals over the choice of latents; "
    )
    explained += "nulls in brackets. The first pair of each N. "
    explained += f"{next(iter(tests.values())).n} latents; the columns on training images "
    explained += f"take the samples of both models{' and search all flips' if flips else ''}."
    head = ["N", "A and B agree", "(shuffled)", "nearest training image", "(held-out image)"]
    head += ["P(train closer)", "(Gaussians of the sets)", "p of memorization"]
    head += ["memorized fraction", "(held-out images)"]
    rows = []
    for n, t in tests.items():
        agreement = t.agree, f"{t.null:.2f}", t.copy, f"{t.held_out:.2f}"
        gaussians, p = f"{t.memorization.gaussians.closer.value:.2f}", p_text(t.memorization.outcome.p)
        copies = t.memorised, f"{t.memorised_null:.2f}"
        rows.append([spaced(n), *agreement, t.closer, gaussians, p, *copies])
    return table(head, rows, before=before or explained)


def design_table(
    found: tuple[int, Mapping[tuple[str, str], Estimate]] | None, beside: str
) -> tuple[Markdown, str]:
    """Initialisation or images? The 2x2 of `galgen.experiment.Models`.

    Args:
        found: Its N, and the cosines of its models with model A: `galbook.pairs.design_of`.
        beside: What other models say of it, which stands under the table, and alone where there is none.

    Returns:
        The table with a sentence under it that says what each moves the cosine by, and that sentence alone.
    """
    if found is None:
        return Markdown(beside), beside
    N, cosines = found
    inits, sets = ("same", "other"), ("same", "disjoint")
    shown = {key: round(one.value, 2) for key, one in cosines.items()}  # differences are those of the table
    alike, apart = (shown[init, "same"] - shown[init, "disjoint"] for init in inits)
    by_init = np.mean([shown["same", images] - shown["other", images] for images in sets])
    sentence = (
        f"The images move the cosine by {alike:+z.2f} where both begin alike and by {apart:+z.2f} where they "
        f"do not; the initialisation moves it by {by_init:+z.2f} on average."
    )
    design = table(
        ["", "same images", "disjoint images"],
        [[f"{init} initialisation", *(cosines[init, images] for images in sets)] for init in inits],
        before=f"Median anomaly cosine with model A at N = {spaced(N)}, one training a cell:",
        after=f"{sentence} {beside}".strip(),
    )
    return design, sentence
