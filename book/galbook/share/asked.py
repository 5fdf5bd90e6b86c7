"""How far models agree on the scale of `galbook.share.scale`, at the end of their training and along it.

Beside the images stands what Gaussians leave of them, twice:

    own   a_i - g_A(z_i) and b_i - g_B(z_i), the Gaussian of each model's own training images
    one   a_i - g(z_i)   and b_i - g(z_i),   that of A's and B's images together

A foreign network has the Gaussian of its own images in both. g_A and g_B differ by the chance of their
images. Models of the same images lose the same by that, those of disjoint images do not: so *own* understates
the share if networks do not follow the chance of their set. *One* shows whether they do.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from galbook.denoising import gaussian_image, gaussian_of
from galbook.kept import once
from galbook.readings import BEYOND, Reading
from galbook.share.scale import LEAST, Scale, agreements, scale
from galgen.compare import similarity
from galgen.compare.agreement import excess
from galgen.compare.memorization import exchange_test, margins
from galgen.compare.uncertainty import Estimate, bootstrap
from galgen.experiment import Experiment
from galgen.figures.style import COLOURS, MODELS, intervals, shades
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.models.families import Training
from galgen.models.sampling import noise, seeded
from galgen.profiles import PROFILES

__all__ = [
    "IMAGES",
    "ONE",
    "OWN",
    "Agreement",
    "Early",
    "agreement",
    "agreement_along",
    "along_figure",
    "along_said",
    "beyond",
    "by_images",
    "early",
    "early_table",
    "scale_figure",
    "scale_said",
    "share_table",
]

# The modules that the answers depend on, beside this one.
FILES = ("galbook.denoising", "galbook.share.scale")

COUNT = 64  # latents along a training

VIEWS = IMAGES, OWN, ONE = "images", "less each model's own Gaussian", "less one Gaussian of A and B"


@dataclass(frozen=True)
class Agreement:
    """The scale of agreement at the end of the trainings of the largest N.

    Attributes:
        N: Images of each model.
        latents: From which all have drawn.
        scales: By view, of `VIEWS`.
        untrained: By view, agreement of the first pair before its training.
        gaussians: Agreement of the Gaussians of A's and of B's images.
    """

    N: int
    latents: int
    scales: Mapping[str, Scale]
    untrained: Mapping[str, float]
    gaussians: float


@dataclass(frozen=True)
class Early:
    """What the first pair of the largest N has after so many images.

    Attributes:
        agree: Median anomaly cosine of A's and B's image.
        left: The same less each model's own Gaussian.
        noise: What the noise that both began with makes of it alone: the product of its cosines with both,
            which is the cosine of two images that share nothing else.
        closer: P(train closer).
    """

    agree: Estimate
    left: Estimate
    noise: Estimate
    closer: Estimate


@once
def agreement(experiment: Experiment) -> Agreement:
    """Of a family of denoisers: all pairs of the largest N, and the foreign networks."""
    N = experiment.sizes[-1]
    models = [model for pair in experiment.models.pairs(N) for model in pair] + experiment.models.foreign()
    labels, mean = [model.foreign or model.half for model in models], experiment.images.mean
    gaussians = _gaussians(experiment, models)
    drawn = [experiment.samples(model) for model in models]
    scales = {view: scale(agreements(x, mean=mean), labels) for view, x in _views(drawn, gaussians).items()}
    pair, ok = _drawn(experiment, models[:2], 0)
    of_pair = {view: [x[: len(ok)][ok] for x in given[:2]] for view, given in gaussians.items()}
    untrained = {
        view: float(agreements(x, mean=mean)[0, 1]) if ok.sum() else np.nan
        for view, x in _views(pair, of_pair).items()
    }
    linear = float(agreements(gaussians[OWN][:2], mean=mean)[0, 1])
    return Agreement(N, len(drawn[0]), scales, untrained, linear)


@once
def agreement_along(
    experiment: Experiment, kind: str = ""
) -> tuple[dict[int, dict[int, Estimate]], dict[int, Estimate]]:
    """Agreement along the training, from 0 images on, at the weights that are kept.

    Args:
        experiment: Of a family of denoisers.
        kind: Of the foreign network that is asked, of the largest N and of the same age.

    Returns:
        Of the first pair, by N and images shown; of model A and that network, if there is one.
    """
    found = {N: _along(experiment, experiment.models.pair(N)) for N in experiment.sizes}
    A, others = experiment.models.pair(experiment.sizes[-1])[0], experiment.models.foreign()
    other = next((model for model in others if model.foreign == kind), None)
    return found, _along(experiment, (A, other)) if other else {}


@once
def early(experiment: Experiment) -> dict[int, Early]:
    """Of a family of denoisers, after 0 images, at the first two weights kept, and at the end."""
    N, found = experiment.sizes[-1], {}
    pair, sets = experiment.models.pair(N), experiment.images.split(N)
    options = {"kind": "anomaly", "mean": experiment.images.mean}
    z = noise(seeded(_latents(experiment)), experiment.images.start.shape)
    own = _gaussians(experiment, pair)[OWN]
    kept = experiment.train(pair[0]).summary["weights"]
    for shown in dict.fromkeys((0, *kept[:2], kept[-1])):
        (a, b), ok = _drawn(experiment, pair, shown)
        if ok.sum() < 2:
            continue
        left = [x - g[: len(ok)][ok] for x, g in zip((a, b), own, strict=True)]
        nearer = [
            margins(x, experiment.images.dataset.images, sets, mean=experiment.images.mean) for x in (a, b)
        ]
        found[shown] = Early(
            bootstrap(similarity.cosine(a, b, **options)),
            bootstrap(similarity.cosine(*left, **options)),
            bootstrap(np.prod([similarity.cosine(x, z[ok], **options) for x in (a, b)], axis=0)),
            exchange_test(*nearer).closer,
        )
    return found


def _along(experiment: Experiment, pair: Sequence[Training]) -> dict[int, Estimate]:
    """Agreement of two models by images shown, where they draw finite images."""
    found, kept = {}, experiment.train(pair[0]).summary["weights"]
    for shown in (0, *kept):
        (a, b), ok = _drawn(experiment, pair, shown)
        if ok.sum() > 1:
            cosines = similarity.cosine(a, b, kind="anomaly", mean=experiment.images.mean)
            found[shown] = bootstrap(cosines)
    return found


def _latents(experiment: Experiment) -> range:
    return experiment.latents(min(COUNT, experiment.profile.samples))


def _drawn(experiment: Experiment, models: Sequence[Training], shown: int) -> tuple[list[Tensor], Tensor]:
    """Images of the first latents at which all are finite, and which: untrained networks may fail."""
    drawn = [experiment.samples(model, shown, len(_latents(experiment))) for model in models]
    ok = torch.stack([x.flatten(1).isfinite().all(1) for x in drawn]).all(0)
    return [x[ok] for x in drawn], ok


def _gaussians(experiment: Experiment, models: Sequence[Training]) -> dict[str, list[Tensor]]:
    """By view, what the Gaussian of each model draws by its sampler from its noise."""
    seen = {(model.half, model.foreign): model for model in models}
    of = {key: gaussian_image(experiment, model) for key, model in seen.items()}
    both = gaussian_of(experiment, np.concatenate([experiment.images.of(seen[half, ""]) for half in "AB"]))
    own = [of[model.half, model.foreign] for model in models]
    one = [x if model.foreign else both for model, x in zip(models, own, strict=True)]
    return {OWN: own, ONE: one}


def _views(drawn: Sequence[Tensor], gaussians: Mapping[str, Sequence[Tensor]]) -> dict[str, list[Tensor]]:
    left = {view: [x - g for x, g in zip(drawn, of, strict=True)] for view, of in gaussians.items()}
    return {IMAGES: list(drawn)} | left


KINDS = {"galaxies": "other galaxies", "leaves": "dead leaves"}

_MOST = 0.998  # a cosine beyond it is drawn at it: artanh of 1 is infinite

_TICKS = np.array([-0.9, -0.5, 0, 0.5, 0.8, 0.95, 0.99, _MOST])


def _fisher(cosine: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(cosine, -0.9999, 0.9999))


def beyond(networks: np.ndarray, controls: Iterable[np.ndarray]) -> Reading:
    """Do two models agree more than every control? The arguments are those of `excess`."""
    found = excess(networks, controls)
    what = "Agreement less the strongest control's, latent by latent"
    return Reading(what, found.low, BEYOND, f"{found:+.3f}")


def scale_figure(found: Agreement, colour: str = MODELS["A"]) -> Figure:
    """A panel a view: each two models a point, each kind of two a mean with its interval over trainings."""
    views, foreign = len(found.scales), found.scales[IMAGES].foreign
    kinds = sorted(foreign, key=lambda kind: foreign[kind].mean())
    figure, axes = plt.subplots(1, views, figsize=(8.4, 2.9), sharey=True, squeeze=False)
    figure.get_layout_engine().set(wspace=0.08)
    for axis, (view, each) in zip(axes[0], found.scales.items(), strict=True):
        untrained = [x for x in [found.untrained[view]] if np.isfinite(x)]
        rows = [("untrained pair", untrained, None, COLOURS["null"])]
        for kind in kinds:
            mark = each.floor if kind == each.kind else None
            rows.append((KINDS[kind], each.foreign[kind], mark, COLOURS["null"]))
        rows.append(("disjoint images", each.pairs, each.pair, colour))
        if len(each.same):
            rows.append(("same images", each.same, each.ceiling, "#595959"))
        for y, (_, values, mark, colour) in enumerate(rows):
            axis.plot(
                np.clip(values, -_MOST, _MOST),
                np.full(len(values), y),
                "o",
                color=colour,
                ms=4,
                alpha=0.5,
                mew=0,
                clip_on=False,
            )
            if mark:
                ends = [mark.value - mark.low], [mark.high - mark.value]
                axis.errorbar(mark.value, y + 0.3, xerr=ends, color=colour, marker="D", ms=4, capsize=3)
        axis.set_xscale("function", functions=(_fisher, np.tanh))
        least = min(min(values, default=1) for _, values, *_ in rows)
        ticks = _TICKS[max(np.searchsorted(_TICKS, least) - 1, 0) :]
        most = max(max(values, default=0) for _, values, *_ in rows)
        axis.set_xlim(ticks[0], np.tanh(np.arctanh(min(most, _MOST)) + 0.1))
        axis.set_xticks(ticks, [f"{x:g}" for x in ticks], fontsize=7)
        axis.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axis.set_ylim(-0.5, len(rows) - 0.4)
        axis.set_title(fill(view, 18), fontsize=9)
    axes[0, views // 2].set_xlabel("anomaly cosine, median over latents")
    return figure


def scale_said(found: Agreement) -> str:
    """How far models that share no image have come, where that can be said: the title."""
    of = found.scales[IMAGES]
    if not of.share:
        return "How alike two models are, by what they share"
    way = f"Of the way from networks of {KINDS[of.kind]} to networks of the same images"
    return f"{way} the pair that shares none has gone {of.share.value:.2f}"


def share_table(found: Agreement, family: str) -> Markdown:
    """Floor, pair, ceiling and share, by view; or what a share lacks, and which profiles have it."""
    rows, some = [], found.scales[IMAGES]
    for view, s in found.scales.items():
        marks = [format(s.marks[k], ".3f") if k in s.marks else "–" for k in ("floor", "pair", "ceiling")]
        beside = ", ".join(f"{KINDS[kind]} {share:.2f}" for kind, share in s.beside.items())
        marks[0] += f", {KINDS[s.kind]}" * bool(s.kind)
        rows.append([view, *marks, s.share or "–", beside or "–"])
    head = ["", "floor", f"disjoint images ({len(some.pairs)})"]
    head += [f"ceiling: the same images ({len(some.same)})", "share", "share with each kind as floor"]
    before = f"Median anomaly cosines at N = {spaced(found.N)}, {found.latents} latents; in brackets, pairs. "
    before += "The 95 % intervals are over trainings on these images, and never cover another split:"
    after = f"An untrained pair agrees at {found.untrained[IMAGES]:.2f}: a cosine alone shows nothing."
    if not some.share:
        after += f" There is no share of agreement: {some.missing}.{_elsewhere(family)}"
    return table(head, rows, before=before, after=after)


def by_images(found: Agreement, family: str) -> str:
    """What the images do where all begin differently, in a sentence."""
    s = found.scales[IMAGES]
    if not len(s.same):
        return f"Not asked: no two models of the same images are trained here.{_elsewhere(family)}"
    same, apart = f"{s.marks['ceiling']:.3f}", f"{s.marks['pair']:.3f}"
    moved = f"{s.moved:+.3f}, over trainings" if s.moved else f"{np.mean(s.same) - np.mean(s.pairs):+.3f}"
    return (
        f"All begin differently: {len(s.same)} pairs of the same images agree at {same}, {len(s.pairs)} of "
        f"disjoint images at {apart}. That the images are the same moves agreement by {moved}."
    )


def along_figure(
    pairs: Mapping[int, Mapping[int, Estimate]], other: Mapping[int, Estimate], kind: str = "galaxies"
) -> Figure:
    """Agreement over images shown, by N, and of A and a foreign network of its age; 0 images at the left."""
    figure, axis = plt.subplots(figsize=(8, 3.2))
    first = min(shown for found in pairs.values() for shown in found if shown) / 4
    shade, large = shades(list(pairs)), max(pairs)

    def draw(found: Mapping[int, Estimate], **style: object) -> None:
        intervals(axis, [shown or first for shown in found], found.values(), ls="-", **style)

    for n, found in pairs.items():
        draw(found, color=shade[n], label=f"A and B, N = {spaced(n)}")
    if other:
        name = f"A and {KINDS[kind]},\nof the same age, N = {spaced(large)}"
        draw(other, color=COLOURS["null"], marker="D", label=name)
    axis.axvspan(first / 1.6, first * 1.6, color=COLOURS["null"], alpha=0.15, lw=0)
    axis.set(xscale="log", xlabel="images shown", ylabel="anomaly cosine, median", ylim=(None, 1.03))
    axis.text(first, 0.02, "untrained", transform=axis.get_xaxis_transform(), ha="center", fontsize=8)
    axis.set_xticks([x for x in axis.get_xticks() if first * 2 < x <= max(map(max, pairs.values()))])
    axis.minorticks_off()
    figure.legend(*axis.get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    return figure


def along_said(pairs: Mapping[int, Mapping[int, Estimate]]) -> str:
    """Agreement before the training, of the largest N, and at the end of it, by N: the title."""
    each = (f"{found[max(found)].value:.2f} (N = {spaced(n)})" for n, found in pairs.items() if found)
    first = pairs[max(pairs)].get(0)
    before = f"at {first.value:.2f} untrained, and " if first else ""
    return f"A and B agree {before}at the end at {', '.join(each)}"


def early_table(found: Mapping[int, Early], N: int) -> Markdown:
    """What networks have that know nothing, or little: a row an age."""
    rows = [[spaced(shown), e.agree, e.noise, e.left, e.closer] for shown, e in found.items()]
    head = ["images shown", "A and B agree", "by their noise alone", "less each model's own Gaussian"]
    latents = max(each.agree.n for each in found.values())
    before = (
        f"The first pair of N = {spaced(N)}: medians of the anomaly cosine, and P(train closer), with 95 % "
    )
    return table([*head, "P(train closer)"], rows, before=f"{before}intervals over {latents} latents:")


def with_scale(family: str) -> list[str]:
    """The profiles that train what an interval over trainings takes."""
    names = []
    for name, profile in PROFILES.items():
        s = getattr(profile, family)
        pairs, kinds = s.pairs_at(s.N[-1]), Counter(s.foreign)
        if name != "smoke" and pairs >= LEAST and max(kinds.values(), default=0) > 1:
            names.append(name)
    return names


def _elsewhere(family: str) -> str:
    names = " or ".join(f"`{name}`" for name in with_scale(family))
    return f" The profile {names} trains what it takes, at its own N." if names else ""
