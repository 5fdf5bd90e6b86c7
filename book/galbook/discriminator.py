"""The discriminator test, and an independent judge beside it: asked, drawn (figures 14, 16), and in words."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galbook.agreement import drawn
from galbook.kept import once
from galbook.sentences import listed, span
from galgen.compare.controls import blurred
from galgen.compare.discriminator import (
    ALIKE,
    GRADES,
    WRONG,
    Course,
    DiscriminatorTest,
    Judgement,
    course,
    discriminator_test,
    judge,
    score,
)
from galgen.compare.twosample import C2ST, auc, c2st, features
from galgen.compare.uncertainty import Estimate, p_text
from galgen.data.unit import unit
from galgen.experiment import Experiment
from galgen.figures.style import MODELS
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.models import gan

__all__ = ["COARSE", "ask", "before_memory", "constant", "courses", "fresh_judge", "fresh_table",
    "history_figure", "in_short", "knows", "means_table", "pairs_figure", "pairs_said",
    "power_in_short", "power_table", "readings", "sign_in_short", "tests_along", "tests_of_pairs",
    "time_figure", "time_said", "verdict_table"]  # fmt: skip

# The modules that the answers depend on, beside this one.
FILES = (
    "galbook.agreement",
    "galgen.compare.controls",
    "galgen.compare.discriminator",
    "galgen.compare.twosample",
    "galgen.models.average",
    "galgen.models.gan",
    "galgen.models.lightweight",
)

COUNT = 256  # images that show whether D knows those it was trained on
COARSE = 8  # pixels a side
STAGES = 6  # of a training, in the figure

Tests = Mapping[tuple[int, str], DiscriminatorTest]  # by N and when, of which pair, they were read


@once
def ask(experiment: Experiment, N: int, k: int = 0, shown: int | None = None) -> DiscriminatorTest:
    """The test of the k-th pair of N images a model, at the end or at a milestone of their training."""
    pair = experiment.models.pair(N, k)
    nets = [experiment.networks(model, shown) for model in pair]
    naive = [experiment.networks(model, 0)["discriminator"] for model in pair]
    own = [experiment.samples(model, shown) for model in pair]
    given = {"side": own[0].shape[-1]}
    raw = [gan.draw(part["generator"], experiment.latents(), **given) for part in nets]
    judges, sets = [part["discriminator"] for part in nets], experiment.images.split(N)
    seed, images = experiment.parameters.seed, experiment.images.dataset.images
    return discriminator_test(judges, naive, own, images, sets, raw=raw, seed=seed)


def tests_along(experiment: Experiment, N: int) -> dict[int, DiscriminatorTest]:
    """The same along the training of the first pair, by images shown."""
    stages = experiment.train(experiment.models.pair(N)[0]).summary["weights"]
    last = stages[-1]
    return {shown: ask(experiment, N, 0, shown) if shown < last else ask(experiment, N) for shown in stages}


def tests_of_pairs(experiment: Experiment) -> dict[int, list[DiscriminatorTest]]:
    """The same of all pairs at the end of their training, by N."""
    return {
        n: [ask(experiment, n, k) for k in range(len(experiment.models.pairs(n)))] for n in experiment.sizes
    }


def courses(experiment: Experiment) -> dict[int, Course]:
    """What the test says along the training of the first pair, by N."""
    return {n: course(tests_along(experiment, n)) for n in experiment.sizes}


@once
def before_memory(experiment: Experiment, N: int) -> int:
    """Images shown at the last milestone at which neither D of the first pair knows its training images.

    It does not where the interval of P(a training image scores above one of `experiment.unseen`) holds 1/2 or
    lies below; the first milestone, if one of them does at every milestone.
    """
    pair = experiment.models.pair(N)
    stages = experiment.train(pair[0]).summary["weights"]
    unseen = experiment.images.unseen[:COUNT]
    for shown in reversed(stages):
        known = False
        for model in pair:
            D = experiment.networks(model, shown)["discriminator"]
            scores = [score(D, unit(x)) for x in (unseen, experiment.images.of(model)[:COUNT])]
            known |= auc(*scores).low > 0.5
        if not known:
            return shown
    return stages[0]


@once
def knows(experiment: Experiment, N: int) -> list[Estimate]:
    """P(a training image scores above a held-out one), of each D of N images: above 1/2 it knows them.

    After as many images shown as a model of any N has seen, so that no N was shown more than another.
    """
    least = min(experiment.settings.images_shown(n) for n in experiment.sizes)
    unseen, found = unit(experiment.images.unseen[:COUNT]), []
    for model in (model for pair in experiment.models.pairs(N) for model in pair):
        stages = experiment.train(model).summary["weights"]
        shown = max((k for k in stages if k <= least), default=stages[0])
        D = experiment.networks(model, shown)["discriminator"]
        found.append(auc(score(D, unseen), score(D, unit(experiment.images.of(model)[:COUNT]))))
    return found


def readings(experiment: Experiment) -> dict[tuple[int, str], DiscriminatorTest]:
    """The test of each pair at the end, and of the first before memory, if that comes earlier."""
    found = {}
    for n, pairs in tests_of_pairs(experiment).items():
        found |= {(n, f"pair {k + 1}, end"): test for k, test in enumerate(pairs)}
        along, early = tests_along(experiment, n), before_memory(experiment, n)
        if early < max(along):
            found[n, f"pair 1, {spaced(early)} images shown"] = along[early]
    return found


def _half(experiment: Experiment) -> int:
    """Images of each set that the fresh classifier is shown."""
    return min(len(experiment.images.split().validation) // 2, experiment.profile.samples)


@once
def fresh_judge(experiment: Experiment) -> dict[int, dict[str, C2ST]]:
    """What a fresh classifier says, by side in pixels and by which two sets it is asked about."""
    held_out, samples = experiment.images.dataset.images[experiment.images.split().validation], {}
    half = _half(experiment)
    fresh = held_out[half : 2 * half]
    sets = {"known": held_out[:half], "fresh": fresh, "blurred": blurred(fresh, 0.5)}
    asked = {
        "held-out against held-out (null)": ("known", "fresh"),
        "held-out, blurred by half a pixel (control)": ("known", "blurred"),
    }
    for n in experiment.sizes:
        at = f"N = {spaced(n)}"
        samples[n] = {f"{M}, {at}": part[:half] for M, part in zip("AB", drawn(experiment, n), strict=True)}
        sets |= samples[n]
        asked |= {f"samples of {name}": ("known", name) for name in samples[n]}
        asked[f"A against B, same latents, {at}"] = tuple(samples[n])
    found = {}
    for side in (held_out.shape[-1], COARSE):
        seen = {name: features(part, side=side) for name, part in sets.items()}
        found[side] = {text: c2st(seen[x], seen[y], paired=x != "known") for text, (x, y) in asked.items()}
    return found


def constant(count: int) -> Judgement:
    """A dead judge, which gives each of so many images the same score."""
    scores = dict.fromkeys((*ALIKE, *GRADES), np.zeros(count))
    return judge(scores, scores)


_STYLES = {
    ("A", "other"): (MODELS["A"], "-", "$\\ell(D_A(x_A), D_A(x_B))$"),
    ("A", "train"): (MODELS["A"], ":", "$\\ell(D_A(x_A), D_A(x_{\\mathrm{train}}))$"),
    ("B", "other"): (MODELS["B"], "-", "$\\ell(D_B(x_B), D_B(x_A))$"),
    ("B", "train"): (MODELS["B"], ":", "$\\ell(D_B(x_B), D_B(x_{\\mathrm{train}}))$"),
    ("A", "held_out"): ("#56B4E9", "--", "$\\ell(D_A(x_A), D_A(x_{\\mathrm{held\\ out}}))$"),
    ("B", "held_out"): ("#F0E442", "--", "$\\ell(D_B(x_B), D_B(x_{\\mathrm{held\\ out}}))$"),
}


def _loss_curves(axis: Axes, test: DiscriminatorTest) -> None:
    """The distributions of the hinge loss; what lies above 6 is put into the last bin."""
    form = {"bins": np.linspace(0, 6, 49), "density": True, "histtype": "step", "lw": 1.4}
    for which, (colour, line, label) in _STYLES.items():
        losses = np.clip(getattr(test, which[0]).curves[which[1]].loss, 0, 6)
        axis.hist(losses, color=colour, ls=line, label=label, **form)
    axis.axvline(2, color="black", lw=0.7)
    axis.set(yticks=[], xlim=(0, 6))


def _loss_panels(tests: Mapping[str, DiscriminatorTest]) -> Figure:
    """The distributions of the hinge loss of each test, in a panel under its name."""
    columns = min(3, len(tests))
    rows = -(-len(tests) // columns)
    size = (max(2.7 * columns, 5.6), 2 * rows + 0.6)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat[len(tests) :]:
        axis.set_visible(False)
    for axis, (name, test) in zip(axes.flat, tests.items(), strict=False):
        _loss_curves(axis, test)
        axis.set_title(name, fontsize=9)
    for axis in axes.flat[max(0, len(tests) - columns) : len(tests)]:  # the lowest of each column
        axis.set_xlabel("$\\ell$")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def time_figure(along: Mapping[int, DiscriminatorTest]) -> Figure:
    """The paper's figure 14, at some stages of a training: tests by images shown."""
    stages = list(along)
    picked = [stages[k] for k in sorted({*np.linspace(0, len(stages) - 1, STAGES).round().astype(int)})]
    return _loss_panels({f"{spaced(shown)} images shown": along[shown] for shown in picked})


def pairs_figure(final: Mapping[int, Sequence[DiscriminatorTest]]) -> Figure:
    """The paper's figure 16, of each pair: tests by N."""
    return _loss_panels({_named(n, k): test for n, some in final.items() for k, test in enumerate(some)})


def _named(N: int, k: int) -> str:
    return f"N = {spaced(N)}, pair {k + 1}"


def history_figure(history: Mapping[int, Mapping[int, DiscriminatorTest]]) -> Figure:
    """Mean losses against images shown, a panel for each N.

    Args:
        history: By N, the tests by images shown.
    """
    size = (max(2.8 * len(history), 5.6), 3.4)
    figure, axes = plt.subplots(1, len(history), figsize=size, sharey=True, squeeze=False)
    for axis, (n, tests) in zip(axes[0], history.items(), strict=True):
        for which, (colour, line, label) in _STYLES.items():
            curves = [getattr(test, which[0]).curves[which[1]] for test in tests.values()]
            mean, low, high = np.array([(c.mean.value, c.low, c.high) for c in curves]).T
            axis.plot(list(tests), mean, line, marker=".", color=colour, label=label)
            if which == ("A", "train"):
                axis.fill_between(list(tests), low, high, color=colour, alpha=0.12, lw=0)
        axis.axhline(2, color="black", lw=0.7)
        axis.set(xscale="log", xlabel="images shown", title=f"N = {spaced(n)}")
    axes[0, 0].set(ylabel="mean of $\\ell$", ylim=(0, None))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def verdict_table(found: Tests, count: int) -> Markdown:
    """How far own, other, training and held-out images are apart, memory, and the verdict.

    Args:
        found: `readings`.
        count: Samples of a model.
    """
    rows = []
    for (n, name), test in found.items():
        apart = (f"{x.value:.2f} ({p_text(x.p)})" for x in (test.apart(), test.apart("held_out")))
        memory = listed(D.memory.value for D in (test.A, test.B))
        rows.append([spaced(n), name, *apart, memory, test.verdict()])
    head = ["N", "reading", "distance (p)", "with held-out images (p)", "memory of D_A, D_B", "verdict"]
    least = f"no p is below {6 / 1001:.3f}, six times one of a thousand permutations:"
    return table(head, rows, before=f"{count} samples a model; {least}")


def means_table(found: Tests) -> Markdown:
    """Means and widths of the four distributions, and how far the raw generators are from held-out images."""
    rows = []
    for (n, name), test in found.items():
        curves, judges = test.curves.values(), (test.A, test.B)
        raw, average = ([D.contrasts[which, "held_out"].distance for D in judges] for which in ("raw", "own"))
        of_each = [c.mean.value for c in curves], [c.sd for c in curves], [D.floor for D in judges]
        rows.append([spaced(n), name, *map(listed, (*of_each, raw, average))])
    head = ["N", "reading", "mean ℓ: A other, A train, B other, B train", "widths (sd)", "floor A, B"]
    return table([*head, "raw generator from held-out, D_A, D_B", "its average from held-out"], rows)


def _judges(final: Mapping[int, Sequence[DiscriminatorTest]]) -> dict[str, Judgement]:
    """Both judges of each pair at the end, by name."""
    return {
        f"{_named(n, k)}, D_{M}": getattr(test, M)
        for n, some in final.items()
        for k, test in enumerate(some)
        for M in "AB"
    }


def _faintest(judgement: Judgement, kind: str) -> str:
    """The least fault of a kind that D finds, trained and untrained."""
    found = (judgement.sees(kind, trained=trained) for trained in (True, False))
    return " / ".join("–" if np.isinf(grade) else f"{grade:g}" for grade in found)


def power_table(final: Mapping[int, Sequence[DiscriminatorTest]], dead: Judgement) -> Markdown:
    """The least fault from which on each judge finds all, beside a dead one."""
    rows = [
        [name, *(_faintest(D, kind) for kind in WRONG), "yes" if D.has_power() else "no power"]
        for name, D in (_judges(final) | {"a constant": dead}).items()
    ]
    strongest = ", ".join(f"{kind} {max(grades):g}" for kind, grades in WRONG.items())
    curve, verdict = dead.curves["other"], DiscriminatorTest(dead, dead).verdict()
    return table(
        ["judge", "noise, sd", "blur, pixels", "brightest share left out", "power"],
        rows,
        before="Least fault found by the trained / the untrained judge (–: not even the strongest, "
        f"{strongest}):",
        after="Power matters where a judge finds nothing: what one without it finds apart is apart. The test "
        f"with the constant in the place of both judges: mean {curve.mean.value:.2f}, width {curve.sd:.2f}, "
        f"verdict *{verdict}*.",
    )


def fresh_table(experiment: Experiment) -> Markdown:
    """What the fresh classifier says of each two sets."""
    judged, rows = fresh_judge(experiment), []
    for text in next(iter(judged.values())):
        tests = [found[text] for found in judged.values()]
        answers = [(t.auc, f"{t.outcome.low:.2f} to {t.outcome.high:.2f}", f"{t.p:.3f}") for t in tests]
        rows.append([text, *(cell for answer in answers for cell in answer)])
    head = ["sets", "AUC, cross-validated", "permuted labels, 95 %", "p", f"AUC at {COARSE} pixels a side"]
    return table([*head, "permuted", "p"], rows, before=f"{_half(experiment)} images a set:")


def _means(test: DiscriminatorTest) -> str:
    """Where the four mean losses lie."""
    return span([c.mean.value for c in test.curves.values()])


def time_said(along: Mapping[int, DiscriminatorTest]) -> str:
    """Where they begin and end: the title."""
    first, *_, last = (_means(along[shown]) for shown in (min(along), max(along)))
    return f"The four mean losses begin at {first} and end at {last}; the judge that cannot tell has 2"


def pairs_said(final: Mapping[int, Sequence[DiscriminatorTest]]) -> str:
    """Where those of the first pair end, by N: the title."""
    each = (f"{_means(tests[0])} at N = {spaced(n)}" for n, tests in final.items())
    return f"The four mean losses of the first pair at the end: {', '.join(each)}"


def sign_in_short(along: Mapping[int, DiscriminatorTest], N: int) -> str:
    """The same, in a sentence of another page."""
    first, *_, last = (_means(along[shown]) for shown in (min(along), max(along)))
    at = f"with the paper's signs the four means at N = {spaced(N)}"
    return f"{at} begin at {first} and end at {last}"


def power_in_short(final: Mapping[int, Sequence[DiscriminatorTest]], dead: Judgement) -> str:
    """How many judges have power, beside the mean loss of a dead one."""
    powers, mean = [D.has_power() for D in _judges(final).values()], dead.curves["train"].mean.value
    return (
        f"of {len(powers)} discriminators {sum(powers)} can find every kind of fault, and at least one at a "
        f"smaller size than before training; a constant has a mean loss of {mean:.0f}"
    )


def in_short(
    final: Mapping[int, Sequence[DiscriminatorTest]], judged: Mapping[int, Mapping[str, C2ST]]
) -> str:
    """What the judges can see, and what a fresh one tells apart at the largest N."""
    powers, N = [D.has_power() for D in _judges(final).values()], spaced(max(final))
    fine, coarse = (found[f"samples of A, N = {N}"].auc for found in judged.values())
    return (
        f"Of {len(powers)} discriminators {sum(powers)} can find all kinds of fault made on purpose, and at "
        "least one at a smaller size than before training. A fresh classifier's area under the curve, A's "
        f"samples at N = {N} beside galaxies, is {fine}, at {COARSE} pixels a side {coarse}; 0.50 is chance."
    )
