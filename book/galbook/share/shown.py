"""The scale of agreement (`galbook.share.asked`), drawn, as a table and in words; and along a training."""

from collections import Counter
from collections.abc import Iterable, Mapping
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from matplotlib.figure import Figure

from galbook.readings import BEYOND, Reading
from galbook.share.asked import IMAGES, Agreement, Early
from galbook.share.scale import LEAST
from galgen.compare.agreement import excess
from galgen.compare.uncertainty import Estimate
from galgen.config import PROFILES
from galgen.figures.style import COLOURS, MODELS, intervals, shades
from galgen.figures.tables import table
from galgen.figures.words import spaced

__all__ = ["along_figure", "beyond", "by_images", "early_table", "scale_figure", "share_table"]

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


def scale_figure(found: Agreement) -> Figure:
    """A panel a view: each two models a point, each kind of two a mean with its interval over trainings."""
    views, foreign = len(found.scales), found.scales[IMAGES].foreign
    kinds = sorted(foreign, key=lambda kind: foreign[kind].mean())
    figure, axes = plt.subplots(1, views, figsize=(8.4, 2.9), sharey=True, squeeze=False)
    figure.get_layout_engine().set(wspace=0.08)
    for axis, (view, scale) in zip(axes[0], found.scales.items(), strict=True):
        untrained = [x for x in [found.untrained[view]] if np.isfinite(x)]
        rows = [("untrained pair", untrained, None, COLOURS["null"])]
        for kind in kinds:
            mark = scale.floor if kind == scale.kind else None
            rows.append((KINDS[kind], scale.foreign[kind], mark, COLOURS["glow"]))
        rows.append(("disjoint images", scale.pairs, scale.pair, MODELS["A"]))
        if len(scale.same):
            rows.append(("same images", scale.same, scale.ceiling, MODELS["B"]))
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
