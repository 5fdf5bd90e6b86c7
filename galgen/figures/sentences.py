"""What chapters say of their numbers, in words: sentences as functions of plain values.

A set is said to be distinguished from galaxies where p is at most `ALPHA`.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from galgen.compare.agreement import Shared
from galgen.compare.scoreboard import Portrait
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.figures.morphology import LABELS
from galgen.settings import ConditionalSettings, DenoiserSettings
from galgen.words import spaced

ALPHA = 0.05


# Numbers


def at_sizes(sizes: Iterable[int]) -> str:
    """As `N = 10, 4 000`."""
    return f"N = {', '.join(map(spaced, sizes))}"


def listed(values: Iterable[float], form: str = ".2f") -> str:
    """Numbers one after another, as 0.12, 0.34."""
    return ", ".join(format(value, form) for value in values)


def span(values: Sequence[float]) -> str:
    """The range of some values, as 0.12 to 0.34."""
    return f"{min(values):.2f} to {max(values):.2f}"


def mean_span(values: np.ndarray) -> str:
    """The mean of some values and, in brackets, their range, as 0.230 (0.120 to 0.340)."""
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


# Of diffusion


def optimizer(settings: DenoiserSettings | ConditionalSettings) -> str:
    """How a denoiser is trained, as `Adam at 0.001 and batches of 512`."""
    adam, batches = f"Adam at {settings.learning_rate:g}", f"and batches of {settings.batch_size}"
    if settings.optimizer == "adam":
        return f"{adam} {batches}"
    return f"Muon at {settings.muon_rate:g} ({adam} for gains and both ends) {batches}"


def convergence(networks: Estimate, gaussians: Estimate) -> str:
    """What the agreement of two networks shows beside that of two Gaussians."""
    if gaussians.value < networks.low:
        return "The networks agree beyond that, but most of their agreement takes no more than Gaussians."
    found = "So that two models agree does not show that they have learnt galaxies"
    return f"{found}; it shows that they have converged, on something."


def first_component(deviation: float, share: float) -> str:
    """Whether the noise that the flow starts from reaches the galaxies' spread along the first component.

    Args:
        deviation: The galaxies' standard deviation along it.
        share: The samples' variance along it over the galaxies'.
    """
    spread = f"Galaxies spread by {deviation:.1f} along the first component."
    start = "The flow starts from one image with noise of 1 in every direction"
    if deviation <= 1 or share >= 0.8:
        return f"{spread} {start}."
    short = f"too little to reach the brightest and the faintest: it has {share:.2f} of their variance there"
    return f"{spread} {start}, {short}. Other starts, and another way from this one, are below."


def way_or_range(flow: Portrait, ascent: Portrait | None) -> str:
    """Is it the flow from one image, or the range of noise, that cuts the variance along the first component?

    Args:
        flow: What the flow draws from one image.
        ascent: What the paper's ascent draws from it, in the same range of noise; None if it fails.
    """
    if ascent is None:
        return "The paper's ascent does not converge here."
    one, other = (found.spread["component 1"] for found in (flow, ascent))
    text = f"Along component 1 the flow from one image has {one:.2f} of the galaxies' variance, the paper's "
    text += f"ascent, of the same network from the same image in the same range of noise, {other:.2f}: "
    if abs(other - 1) < abs(one - 1) - 0.1:
        return f"{text}the range of noise is not what cuts it, but the flow from one image."
    return f"{text}the ascent does no better, so the range of noise may be what cuts it."


def gives_away(found: Portrait) -> str:
    """At which sides in pixels a classifier tells samples from galaxies, and where their variance is off."""
    sides = {True: [], False: []}
    for side, test in found.c2st.items():
        sides[test.p < 0.05].append(f"{side}")
    told, missed = (", ".join(sides[side]) for side in (True, False))
    text = f"A classifier tells them from galaxies at {told or 'no number of'} pixels a side"
    text += f", and not at {missed}" if told and missed else ""
    off = [f"{ratio:.2f} in {name}" for name, ratio in found.spread.items() if not 0.75 < ratio < 1.35]
    within = f"{span(list(found.spread.values()))}, in all components within 0.75 to 1.35"
    return f"{text}. Of the galaxies' variance they have {', '.join(off) or within}."


def against(found: Portrait, other: Portrait) -> str:
    """A classifier's AUC at each side in pixels for two sets of samples, and which are nearer to galaxies."""
    said = []
    for side, test in found.c2st.items():
        one, two = test.auc, other.c2st[side].auc
        verdict = "nearer to galaxies" if one.high < two.low else "no clear difference"
        verdict = "farther from galaxies" if one.low > two.high else verdict
        said.append(f"at {side} pixels {one} against {two} ({verdict})")
    return ", ".join(said)


def best_of(ways: Mapping[str, Portrait], ours: str) -> str:
    """Which way to sample is told from galaxies the least, at the coarsest scale, and whether it is ours."""
    auc = {name: found.c2st[min(found.c2st)].auc for name, found in ways.items()}
    best = min(auc, key=lambda name: auc[name].value)
    text = f"At {min(ways[ours].c2st)} pixels the samples hardest to tell from galaxies are those of "
    text += f"*{best}* (AUC {auc[best]})"
    if best == ours:
        return f"{text}, the way of this book."
    apart = "no clear difference" if auc[ours].low <= auc[best].high else "a clear difference"
    return f"{text}; *{ours}*, the way of this book, has {auc[ours]}: {apart}."


def lost(errors: Mapping[str, float], linear: Mapping[str, float]) -> str:
    """Where a denoiser errs more than the linear filter does: errors of both by group of components."""
    excess = {name: errors[name] - linear[name] for name in errors if name != "bias"}
    whole = excess.pop("all")
    if whole <= 0:
        return f"Its squared error is below that of the linear filter by {-whole:.2f} in all."
    most = max(excess, key=excess.get)
    name, of_light = next(iter(excess.items()))
    text = f"Its squared error is above that of the linear filter by {whole:.2f}; the largest part of that, "
    text += f"{excess[most]:.2f}, is in {most}. Its bias exceeds the filter's by "
    text += f"{errors['bias'] - linear['bias']:+.2f}. In {name}, brightness and size, it errs "
    if of_light > 0:
        return f"{text}more ({of_light:+.2f})."
    return f"{text}less ({of_light:+.2f}): that it may not know how bright galaxies are does not show there."


def beyond(difference: float) -> str:
    """By how much two networks agree more than the stronger of their controls."""
    if difference > 0:
        return f"Agreement beyond the stronger control is {difference:+.2f}."
    less = f"The U-Nets do **not** agree more than the stronger control ({difference:+.2f})"
    return f"{less}: agreement alone is no evidence that they have learnt galaxies."


# Of Glow and the GAN


def collapsed(spread: Mapping[int, float]) -> str:
    """Whether a generator came to draw one image: spread of generated images over that of real ones, by N."""
    found = [n for n, value in spread.items() if value < 0.2]
    text = (
        f"At the end the spread of generated images over that of real ones is {listed(spread.values())} for "
    )
    text += f"{at_sizes(spread)}: "
    return text + (f"collapsed at {at_sizes(found)}." if found else "no run collapsed (below 0.2).")


def small_scales(share: float) -> str:
    """Whether samples have their share of the variance that galaxies have on the smallest scales."""
    if share > 1.3:
        return "Too much of it is on small scales: the samples are grainier than galaxies."
    return "Small scales have about their share." if share > 0.7 else "Small scales have too little of it."


def power_of_the_control(separated: bool) -> str:
    """Whether a flow of other galaxies lies beyond all tests at every level."""
    if separated:
        return "lies beyond all tests at every level."
    return "does not lie beyond all tests at every level: at those levels the test has little power."


def independent_judge(p: Sequence[float]) -> str:
    """What the p-values of the independent judge, one a generator, say about the generators."""
    text = f"(p {'<' if max(p) < 0.01 else 'up to'} {max(*p, 0.01):.2f}): "
    if max(p) >= 0.05:
        return text + "not all of them are distinguished from galaxies."
    text += "none of these generators has the distribution of galaxies, "
    return text + "whatever its own discriminator says."


# Of morphology, and of all families


def spoken(energy: Outcome | None) -> str:
    """An energy distance in words."""
    return f"E = {energy.value:.3f}, p = {energy.p:.3f}" if energy else "not measurable"


def measure(null: Outcome | None, seen: Sequence[str], blind: Sequence[str], count: int) -> str:
    """Is the measure of morphology to be trusted?

    Args:
        null: Energy distance of held-out images from held-out images.
        seen: Sets with a known fault that are found to differ.
        blind: And those that are not.
        count: Images of a set.
    """
    text = f"**The measure itself.** Held-out images against held-out images: {spoken(null)}"
    if null is None:
        text += ": too few images at this size to say anything of the models. "
    elif null.p > ALPHA:
        text += ", as it must be. "
    else:
        text += ", which is bad luck or a fault; read all that follows with that in mind. "
    if seen:
        text += f"It sees the fault of: {'; '.join(seen)}. "
    if blind:
        text += f"It is blind, with {count} images, to: {'; '.join(blind)}. "
        return text + "A model that passes may have such a fault."
    return text + ("None of the wrong sets passes." if seen else "")


def copies(found: Mapping[int, Outcome | None], model: Outcome | None) -> str:
    """Do copies of the training images pass, by N, growing? The model is one of the smallest N."""
    (n, tiny), *larger = found.items() or [(0, None)]
    text = "**Morphology alone is not enough** (section 3.3.3). "
    if tiny is None:
        text += "The copies could not be measured"
    else:
        text += f"Copies of {spaced(n)} training images, drawn again and again: {spoken(tiny)}; "
        text += f"diffusion of that N: {spoken(model)}. "
        if tiny.p <= ALPHA:
            text += "This measure sees a memoriser of so few images as a different distribution, "
            text += "which the paper's does not"
        else:
            text += "A memoriser passes this measure, as the paper says"
    said = [f"{spaced(n)} {'fails' if d.p <= ALPHA else 'passes'}" for n, d in larger if d]
    return text + f"; of the larger sets of copies {', '.join(said)}" * bool(said) + "."


def grey_levels(bits: int, shift: Outcome, like: Outcome, worse: Sequence[str]) -> str:
    """What grey levels do: cut galaxies against uncut ones, like against like, and the coefficients moved."""
    text = f"**Grey levels.** Real galaxies cut to {bits} bits, against galaxies that are not: "
    text += f"{spoken(shift)}, with like against like {spoken(like)}. "
    if not worse:
        return text + "Here the cut shows in no coefficient."
    return text + f"A Glow of so few, held against uncut data, would be blamed for it in {', '.join(worse)}."


def same_share(uneven: Mapping[str, int]) -> str:
    """How many sets of each family (by label) have another share of valid images than galaxies."""
    text, level = "**Valid rows.** ", "(p below 0.05 over the number of sets)"
    if not uneven:
        text += "No model's share of images that can be measured differs from the galaxies' "
        return text + f"{level}."
    text += f"The share of images that can be measured differs from the galaxies' {level} for "
    text += ", ".join(f"{k} of the sets of {name}" for name, k in uneven.items())
    return text + ": there the comparison of the rest is too kind."


def kinds(name: str, found: Mapping[str, Shared], strangers: Mapping[str, Shared]) -> str:
    """Do A and B draw one kind of galaxy from one latent, more so than A and a model of other galaxies?"""
    text = f"**One latent, one kind of galaxy?** {name}: the correlation of A and B "
    if not found:
        return text + "could not be measured."
    middle, far = (
        f"{np.median([s.value for s in side.values()] or [0]):+.2f}" for side in (found, strangers)
    )
    strong, also = (
        ", ".join(LABELS[k] for k, s in side.items() if s.p <= ALPHA and s.value > 0) or "no coefficient"
        for side in (found, strangers)
    )
    text += f"is positive and beyond shuffled latents in {strong} (median over the coefficients {middle})"
    if not strangers:
        return text + "."
    return text + f", that of A and a model of other galaxies in {also} (median {far})."


def family(pair: Sequence[Portrait]) -> str:
    """What all tests say of models A and B."""
    fine, coarse = max(pair[0].c2st), min(pair[0].c2st)
    auc, rough = (
        " and ".join(f"{found.c2st[side].auc.value:.2f}" for found in pair) for side in (fine, coarse)
    )
    shape = dict.fromkeys(spoken(found.morphology and found.morphology.energy) for found in pair)
    text = f"AUC {auc}, at {coarse} pixels {rough}, for A and B, morphology {' and '.join(shape)}. "
    a, b = (found.faults(ALPHA) for found in pair)
    if not a and not b:
        return text + "No test distinguishes A or B from galaxies."
    return text + f"Distinguished from galaxies: A by {_listed(a)}; B by {_listed(b)}."


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts) or "none"
