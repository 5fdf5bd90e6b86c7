"""Chapter 10: what the book says, in a paragraph and a figure; moved margins; the paper's other sentences."""

import dataclasses
from collections.abc import Iterable, Mapping
from math import log10

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from galbook import denoising
from galbook.claims import claims
from galbook.claims.findings import Findings
from galbook.claims.verdicts import NOT_TESTABLE, rule
from galbook.clock.in_proportion import Statement
from galbook.sentences import at_sizes, listed, span
from galgen.compare.uncertainty import Outcome, p_text
from galgen.figures.style import COLOURS, intervals
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced

__all__ = ["kept_claims", "message", "message_figure", "moved_margins", "other_sentences"]

Boards = Mapping[tuple[str, int], Mapping[str, Outcome]]


def message(
    found: Mapping[str, Findings],
    boards: Boards,
    gaussians: Outcome,
    clock: Mapping[str, Statement],
    size: str,
) -> str:
    """Its paragraphs.

    Args:
        found: Of each family, by its label.
        boards: The scoreboard of each family's first pair, by label and N.
        gaussians: Agreement of two Gaussians of disjoint images.
        clock: What the clock's networks say of time, by whose they are.
        size: What they say of size or time.
    """
    blind = found[claims.BLIND]
    pixels = blind.experiment.images.size
    agree, closer = ([getattr(p[0], what) for p in blind.pairs.values()] for what in ("agree", "closer"))
    shares = ", ".join(f"{100 * e.value:.0f} %" for e in closer)
    text = (
        "We trained the paper's three kinds of model, and a denoiser that is told the noise, on pairs of "
        f"disjoint sets of {pixels}-pixel galaxies. Every test has a null and controls.\n\n"
        "**The same picture.** From one noise two diffusion models agree at "
        f"{listed(e.value for e in agree)} for {at_sizes(blind.sizes)}. "
        f"{'By itself that is no evidence of galaxies: t' if gaussians.value > agree[-1].low else 'T'}wo "
        f"Gaussians of the largest sets agree at {gaussians.value:.2f}. {_scale(blind)}\n\n"
        "**New pictures.** A picture is nearer to a training image of its own model than to one of the "
        f"other's in {shares} of the cases; 50 % favours neither. {blind.time.words} "
    )
    text += (
        "So size and time are not told apart. "
        if blind.time.confounded
        else "So there was time to memorize. "
    )
    for whose, said in clock.items():
        text += f"Of smaller networks, trained for many passes{whose}: “{said.text}” "
        text += f"{said.verdict.capitalize()}: {said.reason}. "
    if clock:
        text += f"(Held would take {said.margin.split(':')[0]}.) "
    text += size
    last = {label: boards[label, each.sizes[-1]] for label, each in found.items()}
    fine, coarse = (
        [board[q].value for board in last.values() if q in board]
        for q in ("distribution", "coarse distribution")
    )
    if fine:
        text += "\n\n**Galaxies?** A fresh classifier, families of the largest N against galaxies, has "
        text += f"an AUC of {span(fine)}, at 8 pixels {span(coarse)}. "
    unfit = [
        label for label, each in found.items() if (f := each.fit(each.sizes[-1])) is not None and not f.nearer
    ]
    if unfit:
        text += (
            f"Not shown to be nearer to galaxies there than Gaussians of their images: {', '.join(unfit)}. "
        )
        text += f"The samples of {'this family' if len(unfit) == 1 else 'these families'} test our tests, "
        text += "not the paper. "
    (ruling,) = claims.rulings([found[claims.GLOW]], "table1").values()
    text += "\n\n**Two flows.** In the paper's Table 1 the distance of their latents falls with N at the "
    text += f"deep levels and stays at the finest. That is {ruling.verdict}: {ruling.reason}."
    N, test = max(found[claims.GLOW].latents.items())
    if test.ratio:
        times = listed(ratio.value for ratio in test.ratio)
        text += f" At N = {spaced(N)} it is {times} times that of two Glows of the same images, by level: 1 "
        text += "where it does not matter which images they saw."
    return text


def _scale(blind: Findings) -> str:
    scale = blind.scale
    if scale.share is None:
        return f"On the scale from other networks to two trainings on the same images: {scale.missing}."
    return (
        f"Networks of the same age that saw other images reach {scale.floor.value:.2f}, two trainings on the "
        f"same images {scale.ceiling.value:.2f}; on that scale the pair has {scale.share}, over "
        "trainings."
    )


def message_figure(found: Mapping[str, Findings]) -> Figure:
    """Memory and agreement over N; a classifier at 8 pixels beside Gaussians; W1 of two flows over N."""
    figure, (memory, galaxies, latents) = plt.subplots(1, 3, figsize=(10, 3.4))
    for label in claims.DENOISERS:
        each, colour = found[label], COLOURS[label]
        for k, (what, style) in enumerate((("agree", "-"), ("closer", "--"))):
            first = [getattr(pairs[0], what) for pairs in each.pairs.values()]
            name = ("agreement of A and B", "P(train closer)")[k]
            intervals(memory, each.sizes, first, ls=style, color=colour, label=f"{label}: {name}")
    memory.axhline(0.5, color=COLOURS["null"], lw=0.8)
    memory.set(
        xscale="log",
        xlabel="N",
        ylim=(-0.05, 1.6),
        yticks=[0, 0.5, 1],
        ylabel="cosine, probability",
        title="A and B, and their training images",
    )
    # Handles long enough to see the dashes.
    memory.legend(fontsize=6, loc="upper left", handlelength=4, borderaxespad=0.2)
    fits = {label: fit for label, each in found.items() if (fit := each.fit(each.sizes[-1]))}
    for y, (label, fit) in enumerate(fits.items()):
        models, gaussians = (np.array(list(side.values())) for side in (fit.models, fit.gaussians))
        galaxies.plot(gaussians, np.full(len(gaussians), y + 0.15), "|", ms=10, color=COLOURS["null"])
        galaxies.plot(models, np.full(len(models), y - 0.15), "o", ms=5, color=COLOURS[label.lower()])
    galaxies.axvline(0.5, color=COLOURS["null"], lw=0.8)
    galaxies.set(xlabel="AUC at 8 pixels (gray: Gaussians; line: chance)", title="parted from galaxies")
    galaxies.set_yticks(range(len(fits)), list(fits))
    galaxies.invert_yaxis()
    tests = found[claims.GLOW].latents
    levels = range(len(next(iter(tests.values())).apart))
    for level in levels:
        colour = plt.cm.viridis(0.85 * (1 - level / max(len(levels) - 1, 1)))
        pairs = [test.apart[level] for test in tests.values()]
        latents.plot(list(tests), [np.mean(p) for p in pairs], color=colour, label=f"level {level}")
        for n, values in zip(tests, pairs, strict=True):
            latents.plot([n] * len(values), values, "o", ms=3, color=colour)
    latents.set(xscale="log", yscale="log", xlabel="N", ylabel="$W_1$ of $z'_B$ and $z$", title="two Glows")
    latents.legend(fontsize=7)
    return figure


def other_sentences(found: Mapping[str, Findings], boards: Boards) -> Markdown:
    """The table.

    Args:
        found: Of each family, by its label.
        boards: The scoreboard of each family's first pair, by label and N.
    """
    last = {label: boards[label, each.sizes[-1]] for label, each in found.items()}
    auc = (f"{label} {b['distribution'].value:.2f}" for label, b in last.items() if "distribution" in b)
    unlike = (f"{label} {last[label]['agreement'].value:.2f}" for label in (claims.GLOW, claims.GAN))
    sizes = [(each, n) for each in found.values() for n in each.sizes]
    ratios = [
        n * each.experiment.images.dataset.images[0].size / each.experiment.weights for each, n in sizes
    ]
    blind, flow, gan = (found[label] for label in (claims.BLIND, claims.GLOW, claims.GAN))
    gaps = {n: gap.max() for n, gap in denoising.gaps(blind.experiment).items()}
    hundred = 100 if 100 in blind.sizes else blind.sizes[0]
    given = -20 * log10(denoising.LITTLE[0])
    out = listed((given + levels[0].value for levels in blind.gained(hundred).values()), ".1f")
    of_flow = [boards[claims.GLOW, n] for n in flow.sizes]
    shapes = listed(board["morphology"].value for board in of_flow if "morphology" in board)
    deep, latents = flow.sizes[-1], flow.latents[flow.sizes[-1]]
    apart = listed((sum(w) / len(w) for w in latents.apart), ".1e")
    few, many = gan.sizes[0], gan.sizes[-1]
    small, large = gan.courses[few], gan.courses[many]
    ends = ", ".join(p_text(p) for p in list(small.p.values())[-2:])
    fresh = listed(gan.courses[n].fresh.value for n in gan.sizes)
    # fmt: off
    rows = [
        ("the images look as real ones at first glance", "section 3.3.1",
         f"AUC of a classifier, not of an eye: {', '.join(auc) or 'too few images'}", "fig-families"),
        ("two Glows, and two GANs, draw different images from one latent", "figures 9 and 13",
         f"A and B agree: {', '.join(unlike)}", "fig-glow-cosine"),
        ("Glow's morphology degrades as N falls", "section 3.3.4, figure 12",
         f"energy distance {shapes or '–'} at {at_sizes(flow.sizes)}", "fig-energy"),
        ("a hundred training pixels a parameter", "section 2.5",
         f"{min(ratios):.2g} to {max(ratios):.2g}", "09_comparison"),
        ("a denoiser of a large N is as good on unseen images as on its own", "section 3.3.2",
         f"better on its own by up to {listed(gaps.values(), '.1f')} dB at {at_sizes(gaps)}", "fig-psnr"),
        ("about 27 dB for N = 100, however little the noise", "figure 6",
         f"{out} dB at N = {spaced(hundred)} and the least noise, left alone {given:.0f}", "fig-psnr"),
        ("z'_B is independent of z", "figure 10",
         f"multiple correlation beyond shuffled images, by level: {listed(latents.shared)}", "fig-inversion"),
        ("W₁(z'_B, z) of 8.7e-2, 3.6e-2, 1.9e-2 by level at N = 10⁵", "table 1",
         f"{apart} at N = {spaced(deep)}; floor {listed(latents.floor, '.0e')}", "fig-w1"),
        ("at the start the two curves of a discriminator are the same", "figure 14",
         f"p {p_text(large.start)}, twice the smaller of D_A's and D_B's, after "
         f"{spaced(next(iter(large.losses)))} images shown",
         "fig-discriminator-time"),
        ("the mean hinge losses end at 2", "section 4",
         f"{listed(list(large.losses.values())[-1])} at N = {spaced(many)}: {large.verdict}",
         "fig-discriminator-mean"),
        ("at small N the distributions stay apart however long the training", "section 3.3.5",
         f"p {ends} at the last stages, N = {spaced(few)}",
         "fig-discriminator-mean"),
        ("*not in the paper:* the generator's own distance, from held-out in place of training images",
         "figure 16", f"{fresh} standard deviations of the scores at {at_sizes(gan.sizes)}",
         "fig-discriminator-N"),
    ]
    # fmt: on
    head = ["the paper", "where", "here", "shown in"]
    role = {True: "numref", False: "doc"}
    return table(head, [[*row, f"{{{role[name.startswith('fig-')]}}}`{name}`"] for *row, name in rows])


def moved_margins(run: Iterable[Findings]) -> str:
    """Which verdicts half of a margin, and twice as much, would change.

    Asked are those that rest on a margin: where a gate decides no margin does, and where the margin is a
    level there is no other.
    """
    known, asked, changed = {found.label: found for found in run}, 0, []
    for claim in (claim for claim in claims.CLAIMS if not claim.fixed):
        for label in (label for label in claim.families if label in known):
            if (given := rule(claim, known[label])).gate or given.verdict == NOT_TESTABLE:
                continue
            asked += 1
            for times, text in ((0.5, "half"), (2.0, "twice")):
                moved = rule(dataclasses.replace(claim, margin=times * claim.margin), known[label])
                if moved.verdict != given.verdict:
                    changed.append(f"“{claim.text}” ({label}, to {moved.verdict}, at {text})")
    said = f"Verdicts that rest on a margin which can be moved: {asked}."
    return f"{said} Half of it, or twice as much, changes: {'; '.join(changed) or 'none'}."


def kept_claims(found: claims.Rulings) -> list[dict]:
    """The rulings as a chapter keeps them, one flat record each."""
    return [{"key": c.key, "claim": c.text, "family": name, **vars(r)} for (c, name), r in found.items()]
