"""Two Glows by their likelihoods: is p_A = p_B, and what does a model spend on images it was trained on?"""

from collections.abc import Mapping
from dataclasses import dataclass

from galbook.inversion import PairTests
from galbook.kept import once
from galgen.compare.flow_pairs import Latents
from galgen.compare.likelihood import bits_per_dim, likelihood_gap
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced

__all__ = ["in_short", "likelihood_table", "spent", "spent_table"]

# The modules that the answers depend on, beside this one.
FILES = ("galbook.inversion",)

COUNT = 256  # images of a set


@dataclass(frozen=True)
class Spent:
    """What one model of a pair spends on an image, in bits per dimension.

    Attributes:
        own: On its training images, a mean.
        others: On those of the other model.
        held_out: On held-out images.
        gap: On held-out images less that on its own.
        beyond: The same of what it spends less what the other model does.
    """

    own: float
    others: float
    held_out: float
    gap: Estimate
    beyond: Estimate


@once
def spent(experiment: Experiment, N: int) -> dict[str, Spent]:
    """What A and B of the first pair spend on an image; all models see the same dequantisation of it."""
    images, sets = experiment.images.dataset.images, experiment.images.split(N)
    rows = {"A": sets.A[:COUNT], "B": sets.B[:COUNT], "held out": sets.validation[:COUNT]}
    cost = {}
    for name, model in zip("AB", experiment.models.pair(N), strict=True):
        flow = experiment.networks(model)["net"]
        cost[name] = {part: bits_per_dim(flow, images[some], some) for part, some in rows.items()}
    found = {}
    for name, other in ("AB", "BA"):
        own, others, new = (cost[name][part] for part in (name, other, "held out"))
        beyond = likelihood_gap(*(cost[name][part] - cost[other][part] for part in (name, "held out")))
        means = (float(part.mean()) for part in (own, others, new))
        found[name] = Spent(*means, likelihood_gap(own, new), beyond)
    return found


def likelihood_table(tests: Mapping[int, PairTests], parted: Mapping[int, Latents]) -> Markdown:
    """Is p_A = p_B? AUC and bits a dimension of models on disjoint images, and on the same; a column an N.

    Args:
        tests: By N.
        parted: The test of every model with every other, by N.
    """
    kinds = ("disjoint", "same")
    rows = [[f"AUC, {kind} images", *(found.auc[kind] for found in tests.values())] for kind in kinds]
    for k, kind in enumerate(kinds):
        bits = (f"{parted[n].bits[k]:.3f}" if k < len(parted[n].bits) else "–" for n in tests)
        rows.append([f"bits a dimension, {kind} images", *bits])
    rows.append(["bits, disjoint over same images", *(parted[n].likelihood or "–" for n in tests)])
    refused = all(area.low > 0.5 for found in tests.values() for area in found.auc.values())
    return table(
        ["likelihood ratio", *(f"N = {spaced(n)}" for n in tests)],
        rows,
        before="The AUC of A and B, or of A and another model of A's images, from "
        f"{next(iter(tests.values())).images} samples of each, with intervals over these. Bits are medians "
        "over samples, means over all models; the interval of their ratio is over trainings.",
        after=f"{'No' if refused else 'Not refused everywhere'}: so say the AUCs of this table. The claim "
        "below asks less, whether disjoint images part two Glows farther than the same images do.",
    )


def spent_table(costs: Mapping[int, Mapping[str, Spent]], bits: int) -> Markdown:
    """What models A and B spend on an image, by N.

    Args:
        costs: By N and model.
        bits: What the uniform density spends.
    """
    rows = []
    for n, pair in costs.items():
        for name, cost in pair.items():
            means = (f"{mean:.3f}" for mean in (cost.own, cost.others, cost.held_out))
            rows.append([spaced(n), name, *means, f"{cost.gap:+.3f}", f"{cost.beyond:+.3f}"])
    head = ["N", "model", "its training images", "the other's", "validation", "gap to validation"]
    return table(
        [*head, "gap of its cost less the other model's"],
        rows,
        before=f"Means over up to {COUNT} images a set, with 95 % intervals; the uniform density spends "
        f"{bits}. In the last column what makes one image harder than another for both models cancels:",
    )


def in_short(found: PairTests, parted: Latents, costs: Mapping[str, Spent], N: int) -> str:
    """How one image distinguishes two Glows, by how much, and whether A knows its images."""
    by = f"{parted.bits[0]:.2f} bits a dimension"
    if parted.likelihood:
        by += f", {parted.likelihood} times what it is to a Glow of the same images (over trainings)"
    return (
        f"One image distinguishes two Glows of {spaced(N)} images each with an AUC of "
        f"{found.auc['disjoint'].value:.2f} if they share no image, of {found.auc['same'].value:.2f} if they "
        f"share all. It is likelier to the one that drew it by {by}. Compared with B, A spends "
        f"{costs['A'].beyond:.3f} bits a dimension less on its own training images than on held-out ones."
    )
