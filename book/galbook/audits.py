"""The run's own models, audited as a stranger's would be; and galgen's audit where the answer is known.

`planted` are held-out galaxies of which a share are replaced by training images of the largest N, and the
perfect memorizer, training images alone: what the test of memory must miss, and what it must find.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from galbook.agreement import drawn
from galbook.kept import once
from galgen.auditing.audit import Audit, audit
from galgen.auditing.copies import LEVEL, Copies, copies
from galgen.auditing.report import pairs_figure, percent, rows_of, words
from galgen.compare.controls import rounded
from galgen.compare.uncertainty import p_text
from galgen.experiment import Experiment
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced

__all__ = ["answers", "audited", "audits_table", "closest_figure", "enough",
    "planted", "planted_table", "verdicts_in_short"]  # fmt: skip

# The modules that the answers depend on, beside this one.
FILES = (
    "galbook.agreement",
    "galgen.auditing.audit",
    "galgen.auditing.copies",
    "galgen.auditing.questions",
    "galgen.auditing.report",
    "galgen.compare.biases",
    "galgen.compare.controls",
    "galgen.compare.morphology",
    "galgen.compare.scales",
    "galgen.compare.scoreboard",
    "galgen.compare.twosample",
    "galgen.compare.yardstick",
    "galgen.data.preprocess",
)

SHARES = (0.0, 0.01, 0.05, 0.2, 1.0)


@once
def audited(experiment: Experiment, N: int) -> Audit:
    """The audit of model A of the first pair, B beside it, without morphology, which has a chapter."""
    images, (a, b) = [rounded(part) for part in drawn(experiment, N)], experiment.models.pair(N)
    floor = {}
    if N == experiment.sizes[-1] and (foreign := experiment.models.foreign()):
        floor = {"floor": rounded(experiment.samples(foreign[0]))}
    return audit(
        images[0],
        experiment.images.of(a),
        _held_out(experiment),
        other_samples=images[1],
        other_train=experiment.images.of(b),
        flips=experiment.family.flips,
        morphology=0,
        **floor,
    )


@once
def planted(experiment: Experiment) -> dict[float, Copies]:
    """By the share of copies, the test of memory where that is known."""
    held_out, train = (
        _held_out(experiment),
        experiment.images.of(experiment.models.pair(experiment.sizes[-1])[0]),
    )
    n, rng, found = len(held_out) // 3, np.random.default_rng(experiment.parameters.seed), {}
    for count in sorted({round(share * n) for share in SHARES}):
        copied = train[rng.integers(len(train), size=count)]
        found[count / n] = copies(np.concatenate([copied, held_out[: n - count]]), train, held_out[n:])
    return found


def _held_out(experiment: Experiment) -> np.ndarray:
    return experiment.images.held_out


def answers(found: Mapping[int, Audit]) -> Markdown:
    """What the audit says at the smallest and at the largest N."""
    said = []
    for n in sorted({min(found), max(found)}):
        texts = (f"*{title}* {text}" for title, text in words(found[n]).items())
        said.append(f"**N = {spaced(n)}.** {' '.join(texts)}")
    if any(each.memory.excess for each in found.values()):
        said.append(
            "The two shares do not compare: the excess counts samples however far they lie from the nearest "
            "training image, the smallest share found is of exact copies. An interval of 95 % may leave 0 "
            f"out where the test, at {LEVEL:g}, finds nothing."
        )
    return Markdown("\n\n".join(said))


def verdicts_in_short(found: Mapping[int, Audit]) -> str:
    """What the audit says of memory, by N, with its p where there is one."""
    said = []
    for n, each in found.items():
        said.append(f"at N = {spaced(n)}, {each.verdict}")
        if "memory" in each.adjusted:
            said[-1] += f" (p {p_text(each.adjusted['memory'])}, corrected for all questions)"
    return f"Of memory the audit says, at p of {LEVEL:g}: {'; '.join(said)}."


def closest_figure(experiment: Experiment, N: int) -> Figure:
    """The samples of A that lie closest to one image of the pool, and that image below each."""
    model = experiment.models.pair(N)[0]
    sets = {"samples": experiment.samples(model).clamp(0, 1).numpy(), "train": experiment.images.of(model)}
    return pairs_figure(audited(experiment, N), sets | {"held_out": _held_out(experiment)})


def enough(found: Mapping[int, Audit], experiment: Experiment) -> Markdown:
    """Whether any N of this run was enough, and of what that is said."""
    verdicts = "; ".join(f"{spaced(n)}: {each.verdict}" for n, each in found.items())
    shown = (f"{experiment.settings.images_shown(n) / n:.0f} at N = {spaced(n)}" for n in found)
    return Markdown(
        f"By N, this run: {verdicts}. Each image was shown so many times: {', '.join(shown)}. A longer "
        "training may copy what this one does not. All of that is of images of "
        f"{experiment.images.size} pixels a side and of one network of "
        f"{spaced(experiment.weights)} weights, trained by one recipe. Of other images, other networks and "
        "longer trainings it says nothing."
    )


def audits_table(found: Mapping[int, Audit]) -> Markdown:
    """By N all questions, each value with its null, and p by Holm's method."""
    rows = [[spaced(N), *row] for N, each in found.items() for row in rows_of(each)]
    return table(["N", "question", "value", "95 % of its null", "p", "p, Holm"], rows)


def planted_table(found: Mapping[float, Copies]) -> Markdown:
    """By the share of copies that were planted what the test of memory says."""
    rows = []
    for share, each in found.items():
        cells = [""] * 3
        if each.outcome:
            least = "none" if each.smallest is None else f"{each.smallest:.1%}"
            cells = [p_text(each.outcome.p), percent(each.excess), least]
        rows.append([f"{share:.1%}", each.verdict(), *cells])
    return table(["copies planted", "memory", "p", "excess share", "smallest share it finds"], rows)
