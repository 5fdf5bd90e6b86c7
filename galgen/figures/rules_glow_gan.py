"""The claims on Glow, and on the GAN and its discriminators, and their rules; see `galgen.figures.rules`."""

from collections.abc import Iterable, Mapping, Sequence
from math import comb, inf

from galgen.compare.discriminator import Course
from galgen.compare.inversion import falls
from galgen.compare.uncertainty import p_text
from galgen.figures.claims import Claim, claim_into, single, unmeasured, whatever_size
from galgen.figures.findings import AREA, FEW, MARGIN, Findings
from galgen.figures.sentences import listed, ps, values
from galgen.figures.style import spaced
from galgen.figures.verdicts import Ruling, confounded, held, not_held, not_testable, ruled, underpowered

TIMES = 1.25  # of a W1: how far two Glows of one density may be apart, over two of the same images

TWO = 0.25  # how near to 2 a mean hinge loss counts as 2

CLAIMS: list[Claim] = []
_claim = claim_into(CLAIMS)


@_claim("sections 3.3.4 and 3.3.5, figures 9 and 13", "fig-glow-cosine")
def _unlike(run: Findings) -> Ruling:
    """From one latent two Glows, and two GANs, draw different images (at the largest N)."""
    agree = {family: run.at_largest("agreement")[family].value for family in ("Glow", "GAN")}
    alike = ", ".join(family for family, value in agree.items() if value > 0.9)
    return ruled(
        f"agreement {', '.join(f'{family} {value:.2f}' for family, value in agree.items())}",
        not_held(alike, f"they draw nearly the same, above 0.9: {alike}"),
        held("by construction for the GAN, in which nothing ties a latent to an image; Glow's could"),
    )


@_claim("section 3.3.4, figure 10", "fig-inversion")
def _echo(run: Findings) -> Ruling:
    """A Glow finds the latents of its own images again, z'_A = z."""
    worst = [max(test.echo) for test in run.latents.values()]
    floor = min(min(test.floor) for test in run.latents.values())
    return ruled(
        f"W1 at most {max(worst):.1e}; floor of independent normals {floor:.1e}",
        not_held(max(worst) > floor, "the arithmetic fails: a flow is a bijection by construction"),
        held("by construction: a flow is a bijection, so this tests its arithmetic and nothing learnt"),
    )


@_claim("section 3.3.4, figure 10", "fig-inversion")
def _independent(run: Findings) -> Ruling:
    """What another Glow finds in them, z'_B, is independent of z (at the largest N)."""
    shared = list(run.latents.values())[-1].shared
    return ruled(
        f"multiple correlation beyond shuffled images, by level: {listed(shared)}",
        not_held(
            max(shared) > MARGIN, f"z'_B depends on z by more than {MARGIN} at level {_where(shared, MARGIN)}"
        ),
        held(f"at no level does z'_B depend on z by more than {MARGIN}, the margin"),
    )


@_claim("section 3.3.4, table 1", "fig-w1")
def _ordered(run: Findings) -> Ruling:
    """The distance of z'_B from z falls as N grows, at all levels."""
    first, last = (list(run.latents.values())[k].apart for k in (0, -1))
    falling, growing = (list(map(falls, *ends)) for ends in ((first, last), (last, first)))
    few, least = len(first[0]), 1 / comb(2 * len(first[0]), len(first[0]))
    means = [[sum(level) / few for level in test.apart] for test in run.latents.values()]
    levels = "; ".join(f"level {k} {listed(w)}" for k, w in enumerate(zip(*means, strict=True)))
    return ruled(
        f"W1 at {run.at('Glow')}: {levels}; p of {few} pairs, by level {listed(falling)}",
        single(run, "Glow"),
        held(max(falling) < FEW, "at every level all pairs of the smallest N lie above those of the largest"),
        not_held(min(growing) < FEW, f"it grows at level {_where([-p for p in growing], -FEW)}"),
        underpowered(least >= FEW, f"with {few} pairs no p is below {least:.2f}"),
        not_held(f"it does not fall at level {_where(falling, FEW)}"),
    )


@_claim("section 3.3.4, figure 10", "fig-w1")
def _floor(run: Findings) -> Ruling:
    """z'_B has the distribution of z (at the largest N)."""
    test = list(run.latents.values())[-1]
    times = [min(pairs) / floor for pairs, floor in zip(test.apart, test.floor, strict=True)]
    return ruled(
        f"W1 of the nearest pair, by level: {listed(map(min, test.apart), '.3f')}; floor of independent "
        f"normals {listed(test.floor, '.3f')}",
        not_held(max(times) > TIMES, f"beyond {TIMES} times the floor at level {_where(times, TIMES)}"),
        held(f"within {TIMES} times the floor, the margin, at all levels"),
    )


@_claim("section 3.3.4", "fig-w1")
def _one_density(run: Findings) -> Ruling:
    """Two Glows of different images account for one density (at the largest N)."""
    first, test = (list(run.latents.values())[k] for k in (0, -1))
    matter = _where([r if p < FEW else 0 for r, p in zip(test.ratio, test.p, strict=False)], TIMES)
    least = 2 / comb(2 * len(test.apart[0]), len(test.apart[0]))
    return ruled(
        f"AUC of the likelihood ratio {test.auc}; W1 over that of Glows of the same images, by level: "
        f"{listed(test.ratio)}; p {listed(test.p)}",
        not_held(test.auc.low > AREA, f"the likelihoods tell A's images from B's, AUC above {AREA}"),
        not_testable(not test.ratio, "a single pair: there are no two Glows of the same images"),
        not_held(matter, f"beyond {TIMES} times it, and not by chance, at level {matter}"),
        underpowered(test.auc.high > AREA, f"an AUC above {AREA} is not excluded"),
        underpowered(
            max(test.ratio, default=0) > TIMES,
            f"beyond {TIMES} times it, but no more than by chance, where p is {least:.2f} at least",
        ),
        underpowered(min(first.p) >= FEW, "not even at the smallest N does it show which images they saw"),
        held(f"no AUC above {AREA} is left, and W1 is at most {TIMES} times that on the same images"),
    )


@_claim("figure 12", "fig-corner-glow")
def _glow_degrades(run: Findings) -> Ruling:
    """Glow's morphology degrades at small N."""
    answers, farther = run.asked("Glow", "morphology"), run.farther.get(("Glow", run.sizes("Glow")[0]))
    numbers = f"energy distance {values(answers)} at {run.at('Glow')}"
    passes = [run.passes[key] for key in run.scores if key in run.passes and key[0] == "Glow"]
    numbers += f" ({listed(passes, '.0f')} passes)" if passes else ""
    numbers += f"; of A, smallest N less largest, of other latents, {farther}" if farther else ""
    return ruled(
        numbers,
        single(run, "Glow"),
        unmeasured([farther]),
        held(farther and farther.low > 0, "the smallest N is farther from galaxies than the largest"),
        not_held(farther and farther.high < 0, "the smallest N is nearer to galaxies than the largest"),
        underpowered("the interval of the difference holds 0"),
    )


@_claim("section 3.3.4, table 1 and figure 12", "fig-corner-glow")
def _worse_unseen(run: Findings) -> Ruling:
    """Glow's morphology worsens from the largest N to the next although W1 hardly moves."""
    n = run.sizes("Glow")[-2:][0]
    farther = run.farther.get(("Glow", n))
    near, far = (run.latents[m].deepest() for m in (run.sizes("Glow")[-1], n))
    moved = far.value / near.value
    return ruled(
        f"energy distance of A at N = {spaced(n)} less that at the largest, of other latents, "
        f"{farther or '–'}; W1 {moved:.2f} times",
        not_testable(len(run.sizes("Glow")) < 3, "there are fewer than three N"),
        unmeasured([farther]),
        not_held(farther and farther.high < 0, "it is nearer to galaxies than the largest"),
        not_held(max(moved, 1 / moved) > 1.5, "W1 moves as well, by more than half"),
        underpowered(farther and farther.low <= 0, "the interval of the difference holds 0"),
        held("it is farther from galaxies, while W1 changes by less than half"),
    )


def _where(values: Iterable[float], limit: float) -> str:
    """The levels at which a value is above a limit."""
    return ", ".join(str(level) for level, value in enumerate(values) if value > limit)


# The GAN


@_claim("section 3.3.5, figure 14", "fig-discriminator-time")
def _start(run: Findings) -> Ruling:
    """At the start of the training the two curves of one discriminator are the same."""
    judge = _last(run)
    shown = next(iter(judge.losses))
    return ruled(
        f"p {p_text(judge.start)} of two, after {spaced(shown)} images shown, the first stage kept",
        not_held(judge.start < FEW, "D distinguishes the other model's samples from training images there"),
        underpowered(judge.p[shown] >= FEW, "D distinguishes nothing there, its own samples included"),
        held("D distinguishes its own samples, but not the other model's from training images"),
    )


@_claim("section 3.3.5, figure 14", "fig-discriminator-mean")
def _alone(run: Findings) -> Ruling:
    """By its own two curves A's training would be stopped before all four have come to 2."""
    alone, together = (_settled(_last(run).losses, curves) for curves in (2, 4))
    when = [f"after {spaced(n)} images shown" if n < inf else "never" for n in (alone, together)]
    return ruled(
        f"within {TWO} of 2 from then on: A's two {when[0]}, all four {when[1]}",
        not_held(alone == inf, "A's own two do not come there either"),
        not_held(alone >= together, "all four are there as soon as A's two"),
        held("A's two are there before all four"),
    )


@_claim("section 4, figure 14", "fig-discriminator-mean")
def _hinge(run: Findings) -> Ruling:
    """The mean hinge losses of the discriminator test end at 2."""
    losses = list(_last(run).losses.values())[-1]
    far = max(abs(loss - 2) for loss in losses)
    return ruled(
        f"{listed(losses)} at N = {spaced(run.sizes('GAN')[-1])}",
        not_held(far >= TWO, f"the farthest is {far:.2f} from it"),
        underpowered(_last(run).verdict == "no power", "a judge that sees nothing ends there as well"),
        held(f"all are within {TWO} of it"),
    )


@_claim("section 4, figure 16", "fig-discriminator-N")
def _separation(run: Findings) -> Ruling:
    """The four distributions separate at small N and not at large N."""
    judges, said = list(run.judges.values()), [judge.verdict for judge in run.judges.values()]
    return ruled(
        f"distance {listed(j.distance for j in judges)} at {run.at('GAN')}: {', '.join(said)}",
        single(run, "GAN"),
        not_held(said[-1] == "separates", "they separate at the largest N"),
        underpowered("no power" in (said[0], said[-1]), "a judge does not see what is wrong on purpose"),
        not_held(said[0] != "separates", "they do not separate at the smallest N"),
        _memory(run),
        held("they separate at the smallest N only, where the judges have power at the largest"),
    )


@_claim("section 3.3.5", "fig-discriminator-mean")
def _persists(run: Findings) -> Ruling:
    """At small N the distributions stay apart however long the training."""
    stages = list(next(iter(run.judges.values())).p.items())[-2:]
    return ruled(
        f"p {', '.join(f'{p_text(p)} after {spaced(n)} images shown' for n, p in stages)}",
        not_testable(len(stages) < 2, "there is one stage only"),
        not_held(max(p for _, p in stages) >= FEW, "they are not apart at the last two stages"),
        _memory(run),
        held("they are apart at the last two stages"),
    )


@_claim("figure 16, implied", "fig-discriminator-N")
def _generator(run: Findings) -> Ruling:
    """What sets the distributions apart at small N is the generator, not the memory of the discriminator."""
    fresh = [judge.fresh for judge in run.judges.values()]
    return ruled(
        f"distance with held-out for training images {values(fresh)} at {run.at('GAN')}, p {ps(fresh)}",
        single(run, "GAN"),
        not_held(
            fresh[0].value < 1.1 * fresh[-1].value,
            "with held-out images the distance does not fall by a tenth: what falls with N is memory",
        ),
        not_held(fresh[0].p >= FEW, "with held-out images nothing is apart at the smallest N"),
        held("with held-out images too the smallest N is apart, and farther than the largest"),
    )


@_claim("section 3.3.5, figure 15", "fig-corner-gan")
def _gan_shape(run: Findings) -> Ruling:
    """The GAN's morphology is the same whatever N."""
    return whatever_size(run, "GAN")


def _last(run: Findings) -> Course:
    return list(run.judges.values())[-1]


def _settled(losses: Mapping[int, Sequence[float]], curves: int) -> float:
    """Images shown from which on the first so many mean losses stay near 2."""
    since = inf
    for shown, means in reversed(losses.items()):
        if max(abs(loss - 2) for loss in means[:curves]) >= TWO:
            break
        since = shown
    return since


def _memory(run: Findings) -> tuple:
    knows = next(iter(run.judges.values())).memory > 0.5
    return confounded(knows, "with memory: both D distinguish their training images from held-out ones")
