"""The paper's other sentences: its number, ours, and where ours is seen. Nothing is judged."""

from collections.abc import Iterator, Mapping
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
    rows = [
        *_of_all(found, boards),
        *_of_denoisers(found[claims.BLIND]),
        *_of_flows(found[claims.GLOW]),
        *_of_judges(found[claims.GAN]),
    ]
    head = ["the paper", "where", "here", "figure"]
    return table(head, [[*row, f"{{numref}}`{name}`"] for *row, name in rows])


def _of_all(found: Mapping[str, Findings], boards: Boards) -> Iterator[list[str]]:
    last = {label: boards[label, each.sizes[-1]] for label, each in found.items()}
    auc = (f"{label} {b['distribution'].value:.2f}" for label, b in last.items() if "distribution" in b)
    yield [
        "the images look as real ones at first glance", "section 3.3.1",
        f"AUC of a classifier, not of an eye: {', '.join(auc) or 'too few images'}", "fig-families",
    ]  # fmt: skip
    unlike = (f"{label} {last[label]['agreement'].value:.2f}" for label in (claims.GLOW, claims.GAN))
    yield [
        "two Glows, and two GANs, draw different images from one latent", "figures 9 and 13",
        f"A and B agree: {', '.join(unlike)}", "fig-glow-cosine",
    ]  # fmt: skip
    ratios = [
        n * each.experiment.dataset.images[0].size / each.experiment.weights
        for each in found.values()
        for n in each.sizes
    ]
    yield [
        "a hundred training pixels a parameter", "section 2.5",
        f"{min(ratios):.2g} to {max(ratios):.2g}", "fig-scoreboard",
    ]  # fmt: skip
    yield [
        "sets below 10⁵ pose challenges to all models", "abstract",
        f"every N is below: {spaced(max(n for each in found.values() for n in each.sizes))} at most",
        "fig-scoreboard",
    ]  # fmt: skip


def _of_denoisers(blind: Findings) -> Iterator[list[str]]:
    gaps = {n: gap.max() for n, gap in denoisers.gaps(blind.experiment).items()}
    yield [
        "a denoiser of a large N is as good on unseen images as on its own", "section 3.3.2",
        f"better on its own by up to {listed(gaps.values(), '.1f')} dB at {at_sizes(gaps)}", "fig-psnr",
    ]  # fmt: skip
    n = 100 if 100 in blind.sizes else blind.sizes[0]
    little = [levels[0] for levels in blind.gained(n).values()]
    given = -20 * log10(denoisers.LITTLE[0])
    out = listed((given + e.value for e in little), ".1f")
    yield [
        "about 27 dB for N = 100, however little the noise", "figure 6",
        f"{out} dB at N = {spaced(n)} and the least noise, undone {given:.0f}", "fig-psnr",
    ]  # fmt: skip


def _of_flows(flow: Findings) -> Iterator[list[str]]:
    n, test = flow.sizes[-1], flow.latents[flow.sizes[-1]]
    yield [
        "z'_B is independent of z", "figure 10",
        f"multiple correlation beyond shuffled images, by level: {listed(test.shared)}", "fig-inversion",
    ]  # fmt: skip
    apart = listed((sum(w) / len(w) for w in test.apart), ".1e")
    yield [
        "W₁(z'_B, z) of 8.7e-2, 3.6e-2, 1.9e-2 by level at N = 10⁵", "table 1",
        f"{apart} at N = {spaced(n)}; floor {listed(test.floor, '.0e')}", "fig-w1",
    ]  # fmt: skip


def _of_judges(gan: Findings) -> Iterator[list[str]]:
    small, large = (gan.courses[gan.sizes[k]] for k in (0, -1))
    shown, losses = next(iter(large.losses)), list(large.losses.values())[-1]
    yield [
        "at the start the two curves of a discriminator are the same", "figure 14",
        f"p {p_text(large.start)} of two, after {spaced(shown)} images shown", "fig-discriminator-time",
    ]  # fmt: skip
    yield [
        "the mean hinge losses end at 2", "section 4",
        f"{listed(losses)} at N = {spaced(gan.sizes[-1])}: {large.verdict}", "fig-discriminator-mean",
    ]  # fmt: skip
    last = ", ".join(p_text(p) for p in list(small.p.values())[-2:])
    yield [
        "at small N the distributions stay apart however long the training", "section 3.3.5",
        f"p {last} at the last stages, N = {spaced(gan.sizes[0])}", "fig-discriminator-mean",
    ]  # fmt: skip
    fresh = [gan.courses[n].fresh for n in gan.sizes]
    yield [
        "*a finding of this book:* held-out in the place of training images leave the generator's distance",
        "figure 16", f"{listed(f.value for f in fresh)} at {at_sizes(gan.sizes)}", "fig-discriminator-N",
    ]  # fmt: skip
