"""The rules of the paper's claims, and the gates before them; `galbook.claims.claims` has the claims.

A rule is given the `Findings` of a family, the N that are compared and the margin; a gate the first two. The
gate's answer is why it applies, or nothing (`galbook.claims.verdicts`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import comb, inf

import numpy as np

from galbook.claims.findings import Findings, Pair
from galbook.claims.verdicts import HELD, LARGEST, NOT_HELD, NOT_TESTABLE, UNDERPOWERED, Gate, Ruling, within
from galbook.clock.crossing import DURATION
from galbook.denoising import LITTLE
from galgen.compare.flow_pairs import falls, moves
from galgen.compare.uncertainty import Estimate, above, p_text
from galgen.figures.words import spaced

__all__ = ["FEW", "SAME", "density", "echo", "hurried", "judges", "kept", "missed", "new_images",
    "no_difference", "plateau", "required", "same_images", "table1", "too_few_pairs", "transition",
    "unchanged", "unfit"]  # fmt: skip

FEW = 0.05  # level of tests over a few pairs of models, and of a discriminator
SAME = 0.2  # of the way from floor to ceiling, that a pair of models that draw the same may lack


def _excess(pair: Pair, margin: float) -> Estimate:
    """P(train closer) less 1/2, or less that of the Gaussians, whichever is less, and less the margin.

    The interval of the second difference is Newcombe's, of independent parts. That both are larger takes both
    intervals; that one is not takes one.
    """
    e, g = pair.closer, pair.linear
    low, high = np.hypot(e.value - e.low, g.high - g.value), np.hypot(e.high - e.value, g.value - g.low)
    beyond = (e.value - g.value, e.value - g.value - low, e.value - g.value + high)
    ends = zip((e.value - 0.5, e.low - 0.5, e.high - 0.5), beyond, strict=True)
    return Estimate(*(float(min(end)) - margin for end in ends), e.n)


def new_images(found: Findings, N: int, margin: float) -> Ruling:
    """Whether no pair favours its training images by more than the margin beyond its null."""
    pairs = found.pairs[N]
    linear = ", ".join(sorted({f"{pair.linear.value:.2f}" for pair in pairs}))
    said = f"{_said(pair.closer for pair in pairs)} (shrunk Gaussians {linear})"
    words = "few of its samples can be copies", "its samples favour its training images"
    excess = [_excess(pair, margin) for pair in pairs]
    return within(f"P(train closer) {said} at N = {spaced(N)}", excess, -inf, 0, words)


def transition(found: Findings, small: int, large: int, margin: float) -> Ruling:
    """Whether the small N favours its own images, the large one does not, and agrees more."""
    copies, fresh = new_images(found, small, margin), new_images(found, large, margin)
    less, more = ([pair.agree for pair in found.pairs[n]] for n in (small, large))
    numbers = f"{copies.numbers}, {fresh.numbers}; A and B agree at {_said(less)} and at {_said(more)}"
    if copies.verdict == NOT_HELD and fresh.verdict == HELD and above(more, less):
        return Ruling(
            HELD, numbers, "the small N favours its own images, the large one does not, and agrees more"
        )
    if copies.verdict == HELD:
        return Ruling(NOT_HELD, numbers, f"N = {spaced(small)} does not favour its own images")
    if above(less, more):
        return Ruling(NOT_HELD, numbers, f"N = {spaced(large)} agrees less")
    if fresh.verdict == NOT_HELD:  # the paper has it behind it at its largest N
        verdict = NOT_HELD if large >= LARGEST else NOT_TESTABLE
        return Ruling(verdict, numbers, f"N = {spaced(large)} still favours its own images")
    if copies.verdict == NOT_HELD and fresh.verdict == HELD:
        return Ruling(UNDERPOWERED, numbers, "that the large N agrees more is not shown")
    return Ruling(UNDERPOWERED, numbers, "an interval holds the margin")


def _said(estimates: Iterable[Estimate]) -> str:
    return ", ".join(map(str, estimates))


def same_images(found: Findings, N: int, margin: float) -> Ruling:
    """Whether the share of agreement between floor and ceiling lacks no more than the margin."""
    scale, least = found.scale, 1 - margin
    marks = scale.marks | ({"share": scale.share} if scale.share else {})
    numbers = "agreement of " + ", ".join(f"{name} {mark:.2f}" for name, mark in marks.items())
    numbers += ", over trainings" * bool(scale.share)
    numbers += f"; of two Gaussians of their images {found.gaussians:.2f}"
    if scale.share is None:
        return Ruling(UNDERPOWERED, numbers, f"no share can be given: {scale.missing}")
    words = f"the share is {least:g} or more", f"the share is below {least:g}"
    return within(numbers, [scale.share], least, inf, words)


def required(found: Findings, N: int, margin: float) -> Ruling:
    """Whether an N far below 10^5 is not past the transition."""
    fresh, same = new_images(found, N, margin), same_images(found, N, SAME)
    numbers = f"{fresh.numbers}; {same.numbers}"
    if HELD == fresh.verdict == same.verdict:
        return Ruling(NOT_HELD, numbers, f"N = {spaced(N)} is past the transition already")
    if NOT_HELD in (fresh.verdict, same.verdict):
        return Ruling(HELD, numbers, f"N = {spaced(N)} is not past the transition")
    return Ruling(UNDERPOWERED, numbers, "whether the transition is passed is not decided")


def kept(found: Findings, N: int, margin: float) -> Ruling:
    """Whether every judged model is nearer to galaxies than galaxies blurred by the margin, in pixels."""
    nearer = found.kept(N, margin)
    numbers = f"energy distance of galaxies blurred by {margin:g} pixel, minus that of the samples, "
    numbers += f"without their bias: {_each(nearer)}"
    words = "nearer to galaxies than that blur", "farther off than that blur"
    return within(numbers, (nearer or {}).values(), 0, inf, words)


def unchanged(found: Findings, small: int, large: int, margin: float) -> Ruling:
    """Whether the distance from galaxies differs by less than that blur."""
    if (change := found.change(small, large)) is None:
        return within("", [None], 0, 0, ("", ""))
    ns, most = f"N = {spaced(small)} and {spaced(large)}", margin * change.margin
    numbers = f"energy distance from galaxies, {ns}: by {_said(change.farther)} farther"
    words = f"by no more than {most:.3f}, galaxies blurred by a pixel", f"by more than {most:.3f}"
    return within(numbers, change.farther, -most, most, words)


def table1(found: Findings, small: int, large: int, margin: float) -> Ruling:
    """Whether W1 falls at every deeper level (exact rank test) and stays at level 0 (by its interval)."""
    ends = [found.latents[n].apart for n in (small, large)]
    falling, growing = (list(map(falls, *order)) for order in (ends, ends[::-1]))
    means = [[float(np.mean(level)) for level in end] for end in ends]
    deep, k, moved = range(1, len(means[0])), len(ends[0][0]), moves(ends[0][0], ends[1][0])
    levels = zip(*means, falling, strict=True)
    said = "; ".join(f"level {i}: {a:.3f} to {b:.3f} (p {p_text(p)})" for i, (a, b, p) in enumerate(levels))
    numbers = f"W₁ from N = {spaced(small)} to {spaced(large)}, {k} pairs each: {said}; "
    numbers += f"at level 0: {moved} times as large at the small N, over trainings"
    stays, more = (f"at level 0 it {how} {1 + margin:g} times" for how in ("stays within", "moves more than"))
    finest = within(numbers, [moved], 1 / (1 + margin), 1 + margin, (stays, more))
    if any(growing[i] < FEW for i in deep):
        return replace(finest, verdict=NOT_HELD, reason="it grows at a deeper level")
    if finest.verdict != HELD:
        return _scattered(finest, [moved], 1 + margin)
    if all(falling[i] < FEW for i in deep):
        return replace(finest, reason=f"it falls at every deeper level; {stays}")
    lack = f"{k} pairs do not show that it falls at every deeper level"
    return replace(finest, verdict=UNDERPOWERED, reason=lack)


def density(found: Findings, N: int, margin: float) -> Ruling:
    """Whether flows of disjoint images are no farther apart than flows of the same: W1, and likelihoods."""
    test = found.latents[N]
    if not test.ratio:
        return Ruling(NOT_TESTABLE, "–", "a single pair: there are no two Glows of the same images")
    numbers = f"disjoint over same images, of all models, over trainings: W₁ by level {_said(test.ratio)}; "
    numbers += f"likelihoods, in bits a dimension, {test.likelihood}"
    words = f"within {1 + margin:g} times that of Glows of the same images", f"beyond {1 + margin:g} times it"
    sides = test.ratio, [test.likelihood]  # either contradicts it, and both must hold it
    apart = [within(numbers, side, -inf, 1 + margin, words) for side in sides]
    refused = next((one for one in apart if one.verdict == NOT_HELD), None)
    every = [*test.ratio, test.likelihood]
    return refused or _scattered(within(numbers, every, -inf, 1 + margin, words), every, 1 + margin)


def _scattered(ruling: Ruling, ratios: Iterable[Estimate], most: float) -> Ruling:
    """A ruling on ratios, where it is underpowered because not even a ratio of 1 would have held."""
    wide = max(ratio.high / ratio.value for ratio in ratios)
    if ruling.verdict != UNDERPOWERED or wide <= most:
        return ruling
    said = f"trainings scatter by {wide:.2f} times, so that not even a ratio of 1 would be within {most:g}"
    return replace(ruling, reason=said)


def judges(found: Findings, small: int, large: int, margin: float) -> Ruling:
    """Whether the discriminators part the distributions at the small N, and pass the large one."""
    said = {n: found.courses[n] for n in (small, large)}
    numbers = "; ".join(f"distance {c.distance:.2f} at N = {spaced(n)}: {c.verdict}" for n, c in said.items())
    one, other = (course.verdict for course in said.values())
    if (one, other) == ("separates", "passes"):
        return Ruling(
            HELD, numbers, "apart at the small N only, where the judges have power at the large one"
        )
    if one == "passes" or other == "separates":
        return Ruling(NOT_HELD, numbers, "not apart at the small N, or apart at the large one")
    return Ruling(UNDERPOWERED, numbers, "a judge does not see what is wrong on purpose")


def plateau(found: Findings, N: int, margin: float) -> Ruling:
    """Whether the denoiser makes an unseen image with the least noise worse."""
    least = {name: levels[0] for name, levels in found.gained(N).items()}
    numbers = f"PSNR out, minus PSNR in, at noise {LITTLE[0]:.2g}, in dB: {_each(least)}"
    worse = f"an unseen image with little noise becomes worse by {margin:g} dB or more"
    return within(numbers, least.values(), -inf, -margin, (worse, "it does not become that much worse"))


def echo(found: Findings, N: int, margin: float) -> Ruling:
    """Whether W1(z'_A, z) is below the floor."""
    test = found.latents[N]
    most, least = (f"{x:.1e}" for x in (max(test.echo), min(test.floor)))
    numbers = f"W₁(z'_A, z) at most {most} at N = {spaced(N)}; floor of independent normals {least}"
    if max(test.echo) > margin * min(test.floor):
        return Ruling(NOT_HELD, numbers, "the arithmetic fails: a flow is a bijection by construction")
    return Ruling(HELD, numbers, "by construction: a flow is a bijection, so this tests its arithmetic")


def _each(estimates: Mapping[str, Estimate] | None) -> str:
    return ", ".join(f"{model} {e}" for model, e in (estimates or {}).items()) or "–"


# Gates


def unfit(found: Findings, *sizes: int) -> str:
    """Samples that are not shown to be nearer to galaxies than a Gaussian's."""
    for n in sizes:
        if (fit := found.fit(n)) is None:
            return "too few images are left to ask whether its samples are nearer to galaxies than Gaussians"
        if not fit.nearer:
            models, gaussians = (np.mean(list(side.values())) for side in (fit.models, fit.gaussians))
            at = f"N = {spaced(n)} (AUC at 8 pixels {models:.2f}, of the Gaussians {gaussians:.2f})"
            return f"its samples are not shown to be nearer to galaxies than Gaussians of its images at {at}"
    return ""


def hurried(found: Findings, *_: int) -> str:
    """Too few predicted onsets of memorization at the largest N."""
    time = found.time
    if not time.confounded:
        return ""
    at = f"with training time: at N = {spaced(time.N)}"
    if not time.onsets:
        return f"{at} no smaller N says when memorization should begin"
    due = "the time in which memorization should begin"
    return f"{at} it ended after {time.onsets:.2g} of {due}; the gate asks for {DURATION:g} times that time"


def missed(question: str) -> Gate:
    """The gate that a question of the scoreboard misses a control that it must find."""

    def gate(found: Findings, *_: int) -> str:
        missed = ", ".join(found.missed(question))
        return missed and f"{question} does not find {missed}"

    return gate


def no_difference(found: Findings, *_: int) -> str:
    """Glows of different images cannot be parted at the smallest N either."""
    N = found.sizes[0]
    p = found.latents[N].joint
    said = f"W₁ does not show at N = {spaced(N)} either which images a Glow saw"
    return "" if p < FEW else f"{said} (p of all levels together {p_text(p)})"


def too_few_pairs(found: Findings, *sizes: int) -> str:
    """No p could be below the level."""
    k = min(len(found.latents[n].apart[0]) for n in sizes)
    least = 1 / comb(2 * k, k)
    return f"with {k} pairs no p is below {least:.2f}" if least >= FEW else ""
