"""What the chapters on morphology and on all families conclude, in words: each point of plain values.

A set is said to be distinguished from galaxies where p is at most 0.05.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from galgen.compare.portraits import Portrait
from galgen.compare.shared_latents import Shared
from galgen.compare.uncertainty import Outcome
from galgen.figures.corners import LABELS
from galgen.figures.style import spaced

ALPHA = 0.05


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
    return text + f"A Glow held against uncut data would be blamed in {', '.join(worse)} for its grey levels."


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
    strong = ", ".join(LABELS[k] for k, s in found.items() if s.p <= ALPHA and s.value > 0)
    text += f"is positive and beyond shuffled latents in {strong or 'no coefficient'} "
    text += f"(median {middle}{' over the coefficients' if strong else ''})."
    if not strangers:
        return text
    ahead = [LABELS[k] for k in found if k in strangers and found[k].value > strangers[k].value]
    text += f" The model of other galaxies has a median of {far}; "
    return text + f"A and B agree more than that in {_listed(ahead)}."


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
