"""What the book says: one paragraph and one figure, of the numbers of a run."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from galgen.compare.clock_time import Statement
from galgen.compare.uncertainty import Outcome
from galgen.evidence.findings import Findings
from galgen.figures import claims
from galgen.figures.sentences import at_sizes, listed, span
from galgen.figures.style import COLOURS, intervals, shades

Boards = Mapping[tuple[str, int], Mapping[str, Outcome]]


def message(
    found: Mapping[str, Findings], boards: Boards, gaussians: Outcome, clock: Statement | None = None
) -> str:
    """The paragraph.

    Args:
        found: Of each family, by its label.
        boards: The scoreboard of each family's first pair, by label and N.
        gaussians: Agreement of two Gaussians of disjoint images.
        clock: What the clock's networks say of time.
    """
    blind = found[claims.BLIND]
    pixels = blind.experiment.image_size
    agree, closer = ([getattr(p[0], what) for p in blind.pairs.values()] for what in ("agree", "closer"))
    shares = ", ".join(f"{100 * e.value:.0f} %" for e in closer)
    text = (
        "We trained the paper's three kinds of model, and a denoiser that is told the noise, on pairs of "
        f"disjoint sets of {pixels}-pixel galaxies, and gave every test a null and controls. "
        "**The same picture.** From one noise two diffusion models agree at "
        f"{listed(e.value for e in agree)} for {at_sizes(blind.sizes)}. Alone that is no evidence of "
        f"galaxies: two Gaussians agree at {gaussians.value:.2f}. {_scale(blind)} "
        "**New pictures.** A picture is nearer to a training image of its own model than to one of the "
        f"other's in {shares} of the cases, where 50 % favours neither. {blind.time.words} "
    )
    text += (
        "So size and time are not told apart. "
        if blind.time.confounded
        else "So there was time to memorize. "
    )
    if clock:
        text += f"Of smaller networks, trained until they memorize: “{clock.text}” "
        text += f"{clock.verdict.capitalize()}, {clock.reason}. "
    last = {label: boards[label, each.sizes[-1]] for label, each in found.items()}
    fine, coarse = (
        [board[q].value for board in last.values() if q in board]
        for q in ("distribution", "coarse distribution")
    )
    if fine:
        text += "**Galaxies?** A fresh classifier parts the families of the largest N from galaxies with an "
        text += f"AUC of {span(fine)}, at 8 pixels {span(coarse)}. "
    unfit = [
        label for label, each in found.items() if (f := each.fit(each.sizes[-1])) is not None and not f.nearer
    ]
    if unfit:
        text += f"No nearer to galaxies there than Gaussians of their training images: {', '.join(unfit)}. "
        text += "Of these the book tests its tests, and not the paper. "
    (ruling,) = claims.rulings([found[claims.GLOW]], "table1").values()
    text += "**Two flows.** That their latents come together with N, as in the paper's Table 1, is "
    return f"{text}{ruling.verdict}: {ruling.reason}."


def _scale(blind: Findings) -> str:
    scale = blind.scale
    if scale.share is None:
        return f"On the scale from other networks to two trainings on the same images: {scale.missing}."
    return (
        f"Networks as old that saw other images reach {scale.floor.value:.2f}, two trainings on the same "
        f"images {scale.ceiling.value:.2f}; on that scale the pair has a share of {scale.share}, over "
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
        title="A and B, and their training images",
    )
    memory.legend(fontsize=6.5, loc="upper left")
    fits = {label: fit for label, each in found.items() if (fit := each.fit(each.sizes[-1]))}
    for y, (label, fit) in enumerate(fits.items()):
        models, gaussians = (np.array(list(side.values())) for side in (fit.models, fit.gaussians))
        galaxies.plot(gaussians, np.full(len(gaussians), y + 0.15), "|", ms=10, color=COLOURS["null"])
        galaxies.plot(models, np.full(len(models), y - 0.15), "o", ms=5, color=COLOURS[label.lower()])
    galaxies.axvline(0.5, color=COLOURS["null"], lw=0.8)
    galaxies.set(xlabel="AUC at 8 pixels (gray: Gaussians)", title="parted from galaxies")
    galaxies.set_yticks(range(len(fits)), list(fits))
    galaxies.invert_yaxis()
    tests = found[claims.GLOW].latents
    levels = range(len(next(iter(tests.values())).apart))
    for level, colour in shades(list(levels)).items():
        pairs = [test.apart[level] for test in tests.values()]
        latents.plot(list(tests), [np.mean(p) for p in pairs], color=colour, label=f"level {level}")
        for n, values in zip(tests, pairs, strict=True):
            latents.plot([n] * len(values), values, "o", ms=3, color=colour)
    latents.set(xscale="log", yscale="log", xlabel="N", ylabel="W₁ of z'_B and z", title="two Glows")
    latents.legend(fontsize=7)
    return figure
