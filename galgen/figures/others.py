"""The paper's other sentences: its number, ours, and where ours is seen. Nothing is judged."""

from collections.abc import Mapping
from math import log10

from IPython.display import Markdown

from galgen.compare.uncertainty import Outcome, p_text
from galgen.evidence import denoisers
from galgen.evidence.findings import Findings
from galgen.figures import claims
from galgen.figures.sentences import at_sizes, listed
from galgen.figures.style import spaced
from galgen.figures.tables import table

Boards = Mapping[tuple[str, int], Mapping[str, Outcome]]


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
    ratios = [n * each.experiment.dataset.images[0].size / each.experiment.weights for each, n in sizes]
    blind, flow, gan = (found[label] for label in (claims.BLIND, claims.GLOW, claims.GAN))
    gaps = {n: gap.max() for n, gap in denoisers.gaps(blind.experiment).items()}
    hundred = 100 if 100 in blind.sizes else blind.sizes[0]
    given = -20 * log10(denoisers.LITTLE[0])
    out = listed((given + levels[0].value for levels in blind.gained(hundred).values()), ".1f")
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
        ("a hundred training pixels a parameter", "section 2.5",
         f"{min(ratios):.2g} to {max(ratios):.2g}", "fig-scoreboard"),
        ("sets below 10⁵ pose challenges to all models", "abstract",
         f"every N is below: {spaced(max(n for _, n in sizes))} at most", "fig-scoreboard"),
        ("a denoiser of a large N is as good on unseen images as on its own", "section 3.3.2",
         f"better on its own by up to {listed(gaps.values(), '.1f')} dB at {at_sizes(gaps)}", "fig-psnr"),
        ("about 27 dB for N = 100, however little the noise", "figure 6",
         f"{out} dB at N = {spaced(hundred)} and the least noise, undone {given:.0f}", "fig-psnr"),
        ("z'_B is independent of z", "figure 10",
         f"multiple correlation beyond shuffled images, by level: {listed(latents.shared)}", "fig-inversion"),
        ("W₁(z'_B, z) of 8.7e-2, 3.6e-2, 1.9e-2 by level at N = 10⁵", "table 1",
         f"{apart} at N = {spaced(deep)}; floor {listed(latents.floor, '.0e')}", "fig-w1"),
        ("at the start the two curves of a discriminator are the same", "figure 14",
         f"p {p_text(large.start)} of two, after {spaced(next(iter(large.losses)))} images shown",
         "fig-discriminator-time"),
        ("the mean hinge losses end at 2", "section 4",
         f"{listed(list(large.losses.values())[-1])} at N = {spaced(many)}: {large.verdict}",
         "fig-discriminator-mean"),
        ("at small N the distributions stay apart however long the training", "section 3.3.5",
         f"p {ends} at the last stages, N = {spaced(few)}",
         "fig-discriminator-mean"),
        ("*a finding of this book:* held-out in the place of training images leave the generator's distance",
         "figure 16", f"{fresh} at {at_sizes(gan.sizes)}", "fig-discriminator-N"),
    ]
    # fmt: on
    head = ["the paper", "where", "here", "figure"]
    return table(head, [[*row, f"{{numref}}`{name}`"] for *row, name in rows])
