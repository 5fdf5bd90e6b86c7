"""The claims on the GAN and its discriminators, and their rules; see `galgen.figures.rules`."""

from collections.abc import Mapping, Sequence
from math import inf

from galgen.compare.discriminator import Course
from galgen.compare.uncertainty import p_text
from galgen.figures.claims import Claim, claim_into, single, whatever_size
from galgen.figures.findings import FEW, Findings
from galgen.figures.sentences import listed, ps, values
from galgen.figures.style import spaced
from galgen.figures.verdicts import Ruling, confounded, held, not_held, not_testable, ruled, underpowered

_TWO = 0.25  # how near to 2 a mean hinge loss counts as 2


CLAIMS: list[Claim] = []
_claim = claim_into(CLAIMS)


@_claim("section 3.3.5, figure 14", "fig-discriminator-time")
def _start(run: Findings) -> Ruling:
    """At the start of the training the two curves of one discriminator are the same."""
    judge = _last(run)
    shown = next(iter(judge.losses))
    return ruled(
        f"p {p_text(judge.start)} of two, after {spaced(shown)} images shown, the first stage kept",
        not_held(
            judge.start < FEW,
            "D distinguishes the other model's samples from training images there",
        ),
        underpowered(judge.p[shown] >= FEW, "D distinguishes nothing there, its own samples included"),
        held("D distinguishes its own samples, but not the other model's from training images"),
    )


@_claim("section 3.3.5, figure 14", "fig-discriminator-mean")
def _alone(run: Findings) -> Ruling:
    """By its own two curves A's training would be stopped before all four have come to 2."""
    alone, together = (_settled(_last(run).losses, curves) for curves in (2, 4))
    when = [f"after {spaced(n)} images shown" if n < inf else "never" for n in (alone, together)]
    return ruled(
        f"within {_TWO} of 2 from then on: A's two {when[0]}, all four {when[1]}",
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
        not_held(far >= _TWO, f"the farthest is {far:.2f} from it"),
        underpowered(_last(run).verdict == "no power", "a judge that sees nothing ends there as well"),
        held(f"all are within {_TWO} of it"),
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
        if max(abs(loss - 2) for loss in means[:curves]) >= _TWO:
            break
        since = shown
    return since


def _memory(run: Findings) -> tuple:
    knows = next(iter(run.judges.values())).memory > 0.5
    return confounded(knows, "with memory: both D distinguish their training images from held-out ones")
