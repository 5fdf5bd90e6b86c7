"""Chapter 10: what the book says in a figure, and the paper's other sentences."""

from collections.abc import Mapping
from math import log10

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from galbook import agreement, denoising, discriminator
from galbook.claims.findings import Findings
from galbook.claims.rules import BLIND, DENOISERS, GAN, GLOW
from galbook.morphology import fit
from galbook.sentences import at_sizes, listed, span
from galgen.compare.uncertainty import p_text
from galgen.figures.style import COLOURS, intervals
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced

__all__ = ["figure_said", "message_figure", "other_sentences"]


def message_figure(found: Mapping[str, Findings]) -> Figure:
    """Memory and agreement over N; a classifier at 8 pixels beside Gaussians; W1 of two flows over N."""
    figure, (memory, galaxies, latents) = plt.subplots(1, 3, figsize=(7, 3.4))
    for label in DENOISERS:
        each, colour = found[label], COLOURS[label]
        asked = agreement.tests(each.experiment).values()
        for k, (what, style) in enumerate((("agree", "-"), ("closer", "--"))):
            first = [getattr(test, what) for test in asked]
            name = ("A and B agree", "own set nearer")[k]
            intervals(memory, each.sizes, first, ls=style, color=colour, label=f"{label}: {name}")
    memory.axhline(0.5, color=COLOURS["null"], lw=0.8)
    memory.set(
        xscale="log",
        xlabel="N",
        ylim=(-0.05, 1.05),
        yticks=[0, 0.5, 1],
        ylabel="cosine, probability",
        title="A and B, and their images",
    )
    fits = {label: one for label, each in found.items() if (one := fit(each.experiment, each.large))}
    for y, (label, one) in enumerate(fits.items()):
        models, gaussians = (np.array(list(side.values())) for side in (one.models, one.gaussians))
        galaxies.plot(gaussians, np.full(len(gaussians), y + 0.15), "|", ms=10, color=COLOURS["null"])
        galaxies.plot(models, np.full(len(models), y - 0.15), "o", ms=5, color=COLOURS[label.lower()])
    galaxies.axvline(0.5, color=COLOURS["null"], lw=0.8)
    galaxies.set(xlabel="AUC at 8 pixels", title="told from galaxies")
    galaxies.set_yticks(range(len(fits)), [label.replace(" ", "\n") for label in fits])
    galaxies.invert_yaxis()
    tests = found[GLOW].latents
    levels = range(len(next(iter(tests.values())).apart))
    for level in levels:
        colour = plt.cm.Greens(0.4 + 0.5 * level / max(len(levels) - 1, 1))  # of Glow, and of no N
        pairs = [test.apart[level] for test in tests.values()]
        latents.plot(list(tests), [np.mean(p) for p in pairs], color=colour, label=f"level {level}")
        for n, values in zip(tests, pairs, strict=True):
            latents.plot([n] * len(values), values, "o", ms=3, color=colour)
    latents.set(xscale="log", yscale="log", xlabel="N", ylabel="$W_1$ of $z'_B$ and $z$", title="two Glows")
    latents.legend(fontsize=8)
    handles, names = memory.get_legend_handles_labels()
    # long enough to see the dashes
    figure.legend(handles, names, loc="outside upper center", ncols=2, fontsize=8.5, handlelength=4)
    return figure


def figure_said(found: Mapping[str, Findings]) -> str:
    """What two blind denoisers of the largest N do: the title of that figure."""
    blind = found[BLIND]
    agree = agreement.tests(blind.experiment)[blind.large].agree.value
    said = f"At N = {spaced(blind.large)} two blind denoisers agree at {agree:.2f}"
    one = fit(blind.experiment, blind.large)
    return (
        f"{said}; a classifier picks the galaxy in {span([*one.models.values()])} of the cases"
        if one
        else said
    )


def other_sentences(found: Mapping[str, Findings]) -> Markdown:
    """The table, of what was found of each family, by its label."""
    sizes = [(each, n) for each in found.values() for n in each.sizes]
    ratios = [
        n * each.experiment.images.dataset.images[0].size / each.experiment.weights for each, n in sizes
    ]
    blind, flow, gan = (found[label] for label in (BLIND, GLOW, GAN))
    gaps = {n: gap.max() for n, gap in denoising.gaps(blind.experiment).items()}
    hundred = 100 if 100 in blind.sizes else blind.sizes[0]
    given = -20 * log10(denoising.LITTLE[0])
    out = listed(
        (given + levels[0].value for levels in denoising.gained(blind.experiment, hundred).values()), ".1f"
    )
    deep, latents = flow.sizes[-1], flow.latents[flow.sizes[-1]]
    apart = listed((sum(w) / len(w) for w in latents.apart), ".1e")
    few, many = gan.sizes[0], gan.sizes[-1]
    courses = discriminator.courses(gan.experiment)
    small, large = courses[few], courses[many]
    ends = ", ".join(p_text(p) for p in list(small.p.values())[-2:])
    fresh = listed(courses[n].fresh.value for n in gan.sizes)
    # fmt: off
    rows = [
        ("a Glow finds the latents of its own images again, z'_A = z", "figure 10",
         f"W₁ at most {max(latents.echo):.0e}: a bijection, by construction", "fig-inversion"),
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
