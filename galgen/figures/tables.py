"""Tables of the chapters, in Markdown, and the two that the chapters on two models share."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from IPython.display import Markdown

from galgen.compare.agreement import TwoModels
from galgen.compare.estimates import bootstrap
from galgen.data import similarity
from galgen.experiment import Experiment
from galgen.figures.style import spaced

__all__ = ["agreement_table", "design_table", "table"]


def table(head: Sequence[str], rows: Iterable[Iterable], *, before: str = "", after: str = "") -> Markdown:
    """A table between two texts, as the last value of a cell.

    Args:
        head: Over the columns.
        rows: Cells, which may be anything that has a text.
        before: Text over the table.
        after: Text under it.
    """
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    return Markdown("\n\n".join(part for part in (before, text, after) if part))


def agreement_table(tests: Mapping[int, TwoModels], before: str) -> Markdown:
    """Agreement, copying and memorization of two models for each N, each beside its null."""
    head = ["N", "A and B agree", "(shuffled)", "nearest training image", "(validation image)"]
    head += ["P(train closer)", "(validation image)", "memorised fraction"]
    rows = [
        [
            spaced(n),
            t.agree,
            f"{t.null:.2f}",
            t.copy,
            f"{t.held_out:.2f}",
            t.closer,
            t.closer_null,
            t.memorised,
        ]
        for n, t in tests.items()
    ]
    return table(head, rows, before=before)


def design_table(experiment: Experiment, mean: np.ndarray) -> Markdown:
    """Initialisation or images? The 2x2 of `galgen.experiment`, in anomaly cosines with model A."""
    design = experiment.design()
    N = design["same", "same"].N
    reference = experiment.samples(experiment.pair(N)[0])
    found = {
        key: bootstrap(similarity.cosine(reference, experiment.samples(model), kind="anomaly", mean=mean))
        for key, model in design.items()
    }
    inits, sets = ("same", "other"), ("same", "disjoint")
    rows = [[f"{init} initialisation", *(found[init, images] for images in sets)] for init in inits]
    by_images = np.mean([found[init, "same"].value - found[init, "disjoint"].value for init in inits])
    by_init = np.mean([found["same", images].value - found["other", images].value for images in sets])
    return table(
        ["", "same images", "disjoint images"],
        rows,
        before=f"Median anomaly cosine with model A at N = {spaced(N)}:",
        after=f"The images move the cosine by {by_images:+.2f}, the initialisation by {by_init:+.2f}.",
    )
