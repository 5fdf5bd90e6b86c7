"""Every claim of the paper and the rule that decides it, from the `Findings` of a run.

A rule lists its grounds in the order in which they count, each a verdict of whether it applies and a reason,
and the first one that applies is the ruling: what cannot be measured comes before what was found, what was
found before what could not have been. Levels are those of `galgen.figures.findings`, but .05 where there are
only a few models to deal out anew and where a discriminator is asked.
"""

from math import inf, log10

from galgen.compare.uncertainty import p_text
from galgen.figures import rules_glow_gan
from galgen.figures.claims import (
    Claim,
    by_construction,
    claim_into,
    kept,
    single,
    time,
    unmeasured,
    whatever_size,
)
from galgen.figures.findings import AREA, MARGIN, PAPER, Findings
from galgen.figures.sentences import values
from galgen.figures.style import spaced
from galgen.figures.verdicts import Ruling, confounded, held, not_held, not_testable, ruled, underpowered

CLAIMS: list[Claim] = []
_claim = claim_into(CLAIMS)


@_claim("abstract, figure 4", "fig-corner-families")
def _shape(run: Findings) -> Ruling:
    """All models keep the distributions of the morphological coefficients (at the largest N)."""
    nearer = {family: e for family, e in run.nearer.items() if family in PAPER}
    found = {family: e for family, e in nearer.items() if e}
    far = ", ".join(family for family, e in found.items() if e.high < 0)
    unclear = ", ".join(family for family, e in found.items() if e.low <= 0)
    numbers = ", ".join(f"{family} {e}" for family, e in found.items()) or "–"
    return ruled(
        f"energy distance, blurred by a pixel less samples (A or B, the farther): {numbers}",
        unmeasured(nearer.values()),
        not_held(far, f"farther from galaxies than galaxies blurred by a pixel: {far}"),
        underpowered(unclear, f"the interval of the difference from that blur holds 0: {unclear}"),
        held("all are nearer to galaxies than galaxies blurred by a pixel, the margin"),
    )


@_claim("section 3.3.1, figure 3", "fig-families")
def _appearance(run: Findings) -> Ruling:
    """The images of all models are visually indistinguishable from real ones."""
    fine, coarse = (run.at_largest(q) for q in ("distribution", "coarse distribution"))
    said = f"{values(fine.values())}; at 8 pixels a side {values(coarse.values())}"
    *found, held_so = kept(run, "distribution")
    # what the null spreads by, a value near it may as well
    wide = [f for f, a in fine.items() if a and a.value - 0.5 + a.high > AREA]
    return ruled(
        f"AUC of a classifier, not of an eye: {said}",
        *found,
        underpowered(", ".join(wide), f"an AUC above {AREA} is not excluded: {', '.join(wide)}"),
        held_so,
    )


@_claim("abstract, figure 7", "fig-cosine")
def _passage(run: Findings) -> Ruling:
    """Diffusion passes from memorization to generalization as N grows."""
    copies, agree = (run.asked(run.diffusion, question) for question in ("memorization", "agreement"))
    closer = ", ".join(f"{run.closer[run.diffusion, n].value:.2f}" for n in run.sizes(run.diffusion))
    return ruled(
        f"P(train closer) {closer} and agreement {values(agree)} at {run.at(run.diffusion)}",
        single(run, run.diffusion),
        not_held(not run.rejected(copies[0]), "no memorization is found at the smallest N"),
        not_held(run.rejected(copies[-1]), "the largest N memorises as well"),
        not_held(agree[-1].value <= agree[0].value, "A and B do not agree more at the largest N"),
        time(run, run.diffusion),
        underpowered(run.undecided(run.diffusion)),
        held("the smallest N memorises, the largest does not, and had the time to"),
    )


@_claim("abstract, section 3.3.3", "fig-controls")
def _same(run: Findings) -> Ruling:
    """Large training sets make two diffusion models draw the same images from one latent."""
    n, agree = run.sizes(run.diffusion)[-1], run.at_largest("agreement")[run.diffusion]
    left, foreign = run.own[run.diffusion, n], run.foreign.get(run.diffusion)
    numbers = f"agreement {agree.value:.2f} at N = {spaced(n)}, {left.value:.2f} of what Gaussians leave"
    numbers += f", beyond a network of other galaxies by {foreign.value:+.2f}" if foreign else ""
    what = "what each model's own Gaussian leaves of its images agrees"
    return ruled(
        numbers,
        not_held(not run.alike(agree), "A and B agree no more than unrelated latents"),
        not_held(not run.alike(left), f"{what} no more than unrelated latents"),
        not_testable(foreign is None, "no network of other galaxies to hold against"),
        not_held(
            not run.rejected(foreign) or foreign.value < MARGIN,
            f"{what} no more, within {MARGIN}, than with a network of other galaxies",
        ),
        held(f"{what}, and more than with a network of other galaxies"),
    )


@_claim("abstract, section 3.3.3", "fig-cosine")
def _new(run: Findings) -> Ruling:
    """The images that diffusion draws after a large training set are new."""
    n, answer = run.sizes(run.diffusion)[-1], run.at_largest("memorization")[run.diffusion]
    closer = run.closer[run.diffusion, n]
    return ruled(
        f"P(train closer) {closer} at N = {spaced(n)}, p of memorization {p_text(answer.p)}",
        not_held(run.rejected(answer), "memorization is found"),
        time(run, run.diffusion),
        underpowered(run.undecided(run.diffusion)),
        held("no memorization is found, and there was time for it"),
    )


@_claim("section 3.3.3, figure 8", "fig-corner-diffusion")
def _diffusion_shape(run: Findings) -> Ruling:
    """Diffusion's morphology does not change with N."""
    return whatever_size(run, run.diffusion)


@_claim("section 3.3.3", "fig-corner-diffusion")
def _unseen_copies(run: Findings) -> Ruling:
    """Morphology cannot distinguish a model that memorises from one that does not."""
    between, copies = run.between.get(run.diffusion), run.asked(run.diffusion, "memorization")
    numbers = f"energy distance of the two {between.value:.2f}, p {p_text(between.p)}" if between else "–"
    return ruled(
        f"smallest N against largest, {run.at(run.diffusion)}: {numbers}",
        single(run, run.diffusion),
        not_testable(not run.rejected(copies[0]), "the smallest N is not found to memorise"),
        not_testable(run.rejected(copies[-1]), "the largest N memorises as well"),
        unmeasured([between]),
        not_held(
            run.rejected(between),
            f"the N that memorises is distinguished from the other{by_construction(run, run.diffusion)}",
        ),
        underpowered(run.blind("morphology")),
        held("the two are not distinguished, and the controls that must be are"),
    )


@_claim("section 3.3.2, figure 6", "fig-psnr")
def _plateau(run: Findings) -> Ruling:
    """The denoiser of a small N stays at about 27 dB on images it has not seen, however little the noise."""
    (least, best), *_, (most, worst) = run.unseen.items()
    rise, middle = best - worst, sorted(run.unseen.values())[len(run.unseen) // 2]
    undone = " to ".join(f"{-20 * log10(sigma):.0f}" for sigma in (most, least))
    return ruled(
        f"{worst:.1f} to {best:.1f} dB as noise falls from {most:.2g} to {least:.2g}, undone {undone}",
        not_held(rise >= 3, f"it gains {rise:.1f} dB, 3 or more"),
        not_held(abs(middle - 27) > 3, f"it is flat within 3 dB, but about {middle:.0f} dB"),
        held("it is flat within 3 dB, and within 3 of 27"),
    )


@_claim("section 3.3.2, figures 5 and 6", "fig-psnr")
def _no_gap(run: Findings) -> Ruling:
    """The denoiser of a large N is as good on images that it has not seen as on its own."""
    gaps = list(run.gaps.values())
    small, large = gaps[0], gaps[-1]
    return ruled(
        f"largest gap {', '.join(f'{gap:.1f}' for gap in gaps)} dB at {run.at(run.diffusion)}",
        single(run, run.diffusion),
        not_held(large >= 1, f"it is {large:.1f} dB better on its own, 1 or more"),
        underpowered(small < 1, "no gap of 1 dB is seen at the smallest N either"),
        time(run, run.diffusion),
        held("the gap is below 1 dB, and there was time for one"),
    )


@_claim("section 3.3.3", "fig-time")
def _resolution(run: Findings) -> Ruling:
    """A higher resolution needs no training set that is orders of magnitude larger."""
    return ruled("no second size of images", not_testable("the images of a run are of one size"))


@_claim("sections 3.3.4 and 3.3.5", "fig-glow-cosine")
def _no_copies(run: Findings) -> Ruling:
    """Glow and the GAN do not copy training images (at the largest N)."""
    families = ("Glow", "GAN")
    answers = {family: run.at_largest("memorization")[family] for family in families}
    numbers = ", ".join(f"{family} {p_text(answer.p)}" for family, answer in answers.items())
    closer = ", ".join(f"{run.closer[family, run.sizes(family)[-1]]}" for family in families)
    found = ", ".join(family for family in families if run.rejected(answers[family]))
    rushed, wide = ("; ".join(filter(None, map(why, families))) for why in (run.hurried, run.undecided))
    return ruled(
        f"p of memorization: {numbers}; P(train closer) {closer}",
        not_held(found, f"memorization is found: {found}"),
        confounded(rushed, f"with training time: {rushed}"),
        underpowered(wide),
        held("no memorization is found, and both had the time to"),
    )


CLAIMS += rules_glow_gan.CLAIMS


@_claim("section 2.5", "fig-scoreboard")
def _thumb(run: Findings) -> Ruling:
    """Training takes a hundred pixels for each parameter, as a rule of thumb."""
    questions = ("memorization", "distribution", "morphology")
    faulty = {key: any(run.rejected(run.scores[key].get(q)) for q in questions) for key in run.ratios}
    good, bad = ([run.ratios[key] for key in faulty if faulty[key] is side] for side in (False, True))
    said = [f"{min(side):.3g} to {max(side):.3g}" if side else "none" for side in (good, bad)]
    return ruled(
        f"pixels a parameter: of pairs without a fault {said[0]}, of those with one {said[1]}",
        not_held(min(good, default=inf) < 10, "a pair ten times below that shows no fault"),
        not_held(max(bad, default=0) >= 100, "a pair above that has a fault"),
        not_testable(max(good, default=0) < 100, "no pair has as many"),
        confounded("with N: at every N the parameters are the same"),
    )


@_claim("abstract", "fig-scoreboard")
def _too_few(run: Findings) -> Ruling:
    """Training sets below 100 000 pose challenges to all models."""
    return ruled("no profile but `paper` has as many", not_testable("no N is as large"))


def rulings(run: Findings, *keys: str) -> dict[Claim, Ruling]:
    """What a run says to the claims of these keys, in their order; without keys to all."""
    named = {claim.key: claim for claim in CLAIMS}
    return {named[key]: named[key].rule(run) for key in keys or named}
