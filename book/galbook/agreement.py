"""The two-models test of the pairs of a run: asked, and in pictures and tables (figures 7, 9 and 13).

Galaxies, samples and their nearest training images; the cosines of all; the 2x2 of initialisation and data.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from galbook.kept import once
from galgen.compare import similarity
from galgen.compare.agreement import TwoModels, two_models
from galgen.compare.memorization import memorized_fraction
from galgen.compare.uncertainty import Estimate, bootstrap, p_text
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS, MODELS, intervals, stamp_sheet
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.runs.store import Array

__all__ = [
    "agree_said",
    "agreement_table",
    "controls_figure",
    "controls_said",
    "copied_said",
    "copies_said",
    "cosine_histograms",
    "design_of",
    "design_table",
    "drawn",
    "elsewhere",
    "looks",
    "sample_sheet",
    "tests",
    "two_models_at",
    "worth_table",
]

# The modules that the answers depend on, beside this one.
FILES = (
    "galgen.compare.agreement",
    "galgen.compare.distances",
    "galgen.compare.gaussian",
    "galgen.compare.memorization",
    "galgen.compare.similarity",
    "galgen.compare.uncertainty",
)


LOOKS = 12  # columns of a sheet at most


def drawn(experiment: Experiment, N: int, k: int = 0) -> list[Tensor]:
    """The samples of A and of B of the k-th pair of N images a model."""
    return list(map(experiment.samples, experiment.models.pair(N, k)))


@once
def looks(experiment: Experiment, N: int, k: int = 0) -> list[Array]:
    """The first of them that a figure shows, of A and of B, in gray levels from 0 to 255."""
    return [np.rint(part[:LOOKS].clamp(0, 1).numpy() * 255).astype(int) for part in drawn(experiment, N, k)]


@once
def elsewhere(experiment: Experiment) -> tuple[Array, Array]:
    """Of a network of other galaxies and A of the largest N: anomaly cosines, and the first images of it."""
    (A, _), other = drawn(experiment, experiment.sizes[-1]), experiment.models.foreign()[0]
    images = experiment.samples(other)
    cosines = similarity.cosine(A, images, kind="anomaly", mean=experiment.images.mean)
    return cosines, np.rint(images[:LOOKS].clamp(0, 1).numpy() * 255).astype(int)


@once
def two_models_at(experiment: Experiment, N: int, k: int = 0) -> TwoModels:
    """The two-models test of the same."""
    given = {"mean": experiment.images.mean, "flips": experiment.family.flips}
    return two_models(
        *drawn(experiment, N, k), experiment.images.dataset.images, experiment.images.split(N), **given
    )


def tests(experiment: Experiment) -> dict[int, TwoModels]:
    """The same of the first pair, by N."""
    return {n: two_models_at(experiment, n) for n in experiment.sizes}


@once
def design_of(experiment: Experiment) -> tuple[int, dict[tuple[str, str], Estimate]] | None:
    """The 2x2: its N, and the median anomaly cosine with model A, by (initialisation, images).

    None where the profile trains no such models.
    """
    found, models = {}, experiment.models.design()
    for key, model in models.items():
        both = experiment.samples(experiment.models.pair(model.N)[0]), experiment.samples(model)
        found[key] = bootstrap(similarity.cosine(*both, kind="anomaly", mean=experiment.images.mean))
    return (next(iter(models.values())).N, found) if models else None


def sample_sheet(
    samples: Mapping[int, Tensor | Sequence[Tensor | np.ndarray]],
    train: Mapping[int, np.ndarray] | None = None,
    *,
    mean: np.ndarray | None = None,
    flips: bool = False,
    count: int = 10,
) -> Figure:
    """What models draw from the same latents: a row for each model of each N, one column a latent.

    Args:
        samples: By N, the images of A, or of A and of B, each (n, 1, H, W): tensors in [0, 1], or gray
            levels.
        train: By N, the training images of A, uint8 (N, 1, H, W): the one of largest anomaly cosine with A's
            image, turned as found, stands in a further row.
        mean: The data set's mean image, (1, H, W); needed with `train`.
        flips: Whether flipped training images count.
        count: Latents, or as many as there are.
    """
    stack, rows = [], []
    for n, models in samples.items():
        drawn = [_shown(part[:count]) for part in ([models] if isinstance(models, Tensor) else models)]
        stack += [part.numpy() for part in drawn]
        rows += [f"N = {spaced(n)}, {half}" for half, _ in zip("AB", drawn, strict=False)]
        if train:
            found = similarity.nearest(drawn[0], train[n], kind="anomaly", mean=mean, flips=flips)
            stack.append(found.first(train[n]) / 255)
            rows.append("nearest to A")
    columns = len(stack[0])
    return stamp_sheet(np.concatenate(stack), columns=columns, rows=rows, inches=min(0.78, 7 / columns))


def _shown(images: Tensor | np.ndarray) -> Tensor:
    return images if isinstance(images, Tensor) else torch.from_numpy(images / np.float32(255))


def cosine_histograms(tests: Mapping[int, TwoModels]) -> Figure:
    """The paper's figures 7, 9 and 13, each histogram before its null: one column an N.

    Rows: Pearson cosine of A and B, and of A and its nearest training image; the same for the anomaly cosine.
    Those of the nearest image begin where the least cosine of all N is, as the paper's lower row does.
    """
    size = (1 + 1.9 * len(tests), 7)
    figure, axes = plt.subplots(4, len(tests), figsize=size, sharey=True, squeeze=False)
    for column, (n, test) in zip(axes.T, tests.items(), strict=True):
        column[0].set_title(f"N = {spaced(n)}")
        for (above, below), (kind, low) in zip(
            (column[:2], column[2:]), (("pearson", 0.5), ("anomaly", -0.6)), strict=True
        ):
            found = test.cosines[kind]
            near = [test.cosines[kind] for test in tests.values()]
            least = min(min(cosines.copying.min(), cosines.held_out.min()) for cosines in near)
            for axis, values, null, colour, first in (
                (above, found.agreement, found.shuffled, MODELS["A"], low),
                (below, found.copying, found.held_out, MODELS["B"], min(least, 0.95)),
            ):
                bins = np.linspace(first, 1, 41)
                axis.hist(np.clip(null, first, 1), bins, density=True, color=COLOURS["null"], alpha=0.5)
                axis.hist(
                    np.clip(values, first, 1), bins, density=True, histtype="step", color=colour, lw=1.5
                )
                axis.axvline(1, color="firebrick", ls="--", lw=0.8)
                axis.set(yscale="log", ylim=(2e-2, 200), yticks=[0.1, 1, 10, 100])
                axis.minorticks_off()
        column[3].set_xlabel("cosine")
    for axis, text in zip(
        axes[:, 0],
        ("A and B\nPearson", "nearest train\nPearson", "A and B\nanomaly", "nearest train\nanomaly"),
        strict=True,
    ):
        axis.set_ylabel(text)
    return figure


def controls_figure(
    tests: Mapping[int, TwoModels],
    gaussians: Mapping[int, Estimate],
    across: Mapping[int, Estimate],
    foreign: Estimate,
    colour: str = MODELS["A"],
) -> Figure:
    """Agreement over N of two networks, and of what has learnt less.

    Args:
        tests: The networks, by N.
        gaussians: Agreement of two Gaussians fitted to the same images, by N.
        across: Agreement of network A and the Gaussian of A, by N.
        foreign: Agreement of network A at the largest N and a network of other galaxies.
        colour: Of the family.
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.8))
    sizes, agree = list(tests), [test.agree for test in tests.values()]
    for name, x, estimates, tone, marker in (
        ("two U-Nets", sizes, agree, colour, "o"),
        ("two Gaussians", sizes, gaussians.values(), "black", "s"),
        ("U-Net and Gaussian on A", sizes, across.values(), "#595959", "v"),
        ("U-Net on other galaxies", sizes[-1:], [foreign], COLOURS["null"], "D"),
    ):
        line = "-" if len(x) > 1 else "none"
        intervals(axis, x, estimates, label=name, color=tone, marker=marker, ls=line, ms=6, capsize=3)
    nulls = [test.null for test in tests.values()]
    axis.plot(sizes, nulls, ":", color=COLOURS["null"], label="shuffled seeds")
    axis.set(xscale="log", xlabel="N", ylabel="anomaly cosine, median", ylim=(-0.15, 1.02))
    axis.legend(fontsize=8)
    return figure


def controls_said(tests: Mapping[int, TwoModels], gaussians: Mapping[int, Estimate]) -> str:
    """How much networks and Gaussians of the largest N agree: the title of that figure."""
    agree, blurred = (list(found.values())[-1] for found in (tests, gaussians))
    at = f"At N = {spaced(max(tests))} two networks agree at {agree.agree.value:.2f}"
    return f"{at}, two Gaussians at {blurred.value:.2f}"


def agree_said(tests: Mapping[int, TwoModels]) -> str:
    """How alike A's and B's pictures of one noise are, by N: the title of a figure."""
    each = (f"{test.agree.value:.2f} at N = {spaced(n)}" for n, test in tests.items())
    return f"Likeness of A's and B's picture of one noise: {', '.join(each)}"


def copied_said(
    samples: Mapping[int, Tensor],
    train: Mapping[int, np.ndarray],
    *,
    mean: np.ndarray,
    flips: bool = False,
    count: int = 12,
) -> str:
    """How many of the samples on a sheet are copies, by N: its title, of the same arguments."""
    said = []
    for n, drawn in samples.items():
        near = similarity.nearest(drawn[:count], train[n], 2, kind="anomaly", mean=mean, flips=flips)
        copies = round(len(near.cosine) * memorized_fraction(near.cosine).value)
        said.append(f"{copies} of {len(near.cosine)} at N = {spaced(n)}")
    return f"Samples that copy the image below: {', '.join(said)}"


def copies_said(tests: Mapping[int, TwoModels]) -> str:
    """How many of the pictures are copies, by N: the title of a figure."""
    each = (f"{100 * test.memorised.value:.0f} % at N = {spaced(n)}" for n, test in tests.items())
    return f"Pictures that copy one of the galaxies shown: {', '.join(each)}"


def agreement_table(tests: Mapping[int, TwoModels], *, flips: bool = False) -> Markdown:
    """Agreement, copying and memorization of two models for each N, each beside its null.

    Args:
        tests: By N.
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
    return table(head, rows, before=explained)


def design_table(
    found: tuple[int, Mapping[tuple[str, str], Estimate]] | None, beside: str
) -> tuple[Markdown, str]:
    """Initialisation or images? The 2x2 of `galgen.experiment.Models`.

    Args:
        found: Its N, and the cosines of its models with model A: `design_of`.
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


def worth_table(found: Mapping[str, Mapping]) -> Markdown:
    """What the same images are worth: agreement of twins, of pairs and with strangers, committed."""
    rows, heads = [], {"twins": "at the end of a laptop's training", "onsets": "networks of 8 kernels"}
    begins = {}
    for what, part in found.items():
        for name in sorted(part["found"], key=lambda name: [float(x) for x in name.split(" at ")]):
            one, (N, _, multiple) = part["found"][name], name.partition(" at ")
            age = f", {multiple} of the onset of law L" if multiple else ""
            means = [np.mean(each) for each in (one["twins"], one["pairs"])]
            means += [np.mean(each) for each in one["strangers"].values()]
            value = Estimate(**one["worth"])
            if multiple == "1":
                begins[int(N)] = value.value
            cells = [f"{mean:.3f}" for mean in means]
            worth = f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
            rows.append([spaced(int(N)), heads[what] + age, *cells[:2], *(cells[2:] or ["–"]), worth])
    head = ["N", "models", "same images", "other images", "of other galaxies", "worth of the same images"]
    worths = [begins[N] for N in sorted(begins)]
    said = f"Where copying begins by law L they are worth {', '.join(f'{x:.3f}' for x in worths)} "
    said += f"of agreement for N = {', '.join(map(spaced, sorted(begins)))}"
    said += ", in the mean the less the more there are" * bool((np.diff(worths) < 0).all())
    return table(head, rows, before=f"{said}:" if begins else "")
