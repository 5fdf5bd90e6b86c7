"""The paper's claims, each with the N where it is made, its margin and its rule, and the tables of them."""

from collections.abc import Iterable
from math import inf

from myst_nb import glue

from galbook.claims import rules
from galbook.claims.findings import Findings
from galbook.claims.verdicts import HELD, LARGEST, Claim, Range, Ruling, rule, stopped
from galbook.scoreboard import BLUR
from galgen.figures.tables import Markdown, table
from galgen.figures.words import spaced
from galgen.models.families import FAMILIES
from galgen.profiles import PROFILES

__all__ = ["BLIND", "CERTAIN", "CLAIMS", "DENOISERS", "GAN", "GLOW", "Rulings", "answer", "askable",
    "claims_table", "margins", "rulings"]  # fmt: skip

BLIND, TOLD, GLOW, GAN = "diffusion", "conditional diffusion", "Glow", "GAN"
DENOISERS, LARGE = (BLIND, TOLD), Range(1000, 100_000)

_TIMED = {"time": rules.hurried, "power": rules.missed("memorization")}
_SHAPED = {"fit": rules.unfit, "power": rules.missed("morphology")}

# fmt: off
CLAIMS = [
    Claim(
        "transition", "Diffusion passes from memorization to generalization as N grows",
        source="abstract, figure 7", figure="fig-cosine", families=DENOISERS, margin=0.05,
        needs=(Range(100, 100_000), Range(100, 100_000)), rule=rules.transition, gates=_TIMED,
        reason="P(train closer) above 1/2, or above that of shrunk Gaussians: a tenth of the samples as "
        "copies moves it by as much",
    ),
    Claim(
        "new", "The images that diffusion draws after a large training set are new",
        source="abstract, section 3.3.3", figure="fig-cosine", families=DENOISERS, margin=0.05,
        needs=(LARGE,), rule=rules.new_images, gates=_TIMED, reason="the same", largest=DENOISERS,
    ),
    Claim(
        "same", "Two diffusion models with large training sets draw the same image from one noise",
        source="section 3.3.3, figure 7", figure="fig-scale", families=DENOISERS, margin=rules.SAME,
        needs=(LARGE,), rule=rules.same_images, largest=DENOISERS,
        reason="of the way from floor to ceiling that the pair may lack: what is left, four fifths, is what "
        "trials of equivalence call the same",
    ),
    Claim(
        "required", "About 10⁵ images are required to reach generalization",
        source="section 3.3.3", figure="fig-cosine", families=DENOISERS, margin=0.05,
        needs=(Range(1000, 10_000),), rule=rules.required, gates=_TIMED,
        reason="those of new and of same images, at a tenth of that N or less",
    ),
    Claim(
        "kept", "The morphology is kept",
        source="abstract, figure 4", figure="fig-corner-families", families=(BLIND, TOLD, GLOW, GAN),
        needs=(LARGE,), rule=rules.kept, gates=_SHAPED, margin=BLUR, largest=(GLOW,),
        reason="pixels of blur (standard deviation): in simulated images of 32 pixels as wide as the seeing, "
        "so what a night of 1.4 times the seeing loses, of the galaxies that can be measured after it",
    ),
    Claim(
        "unchanged", "The morphology does not change with N",
        source="sections 3.3.3 and 3.3.5, figures 8 and 15", figure="fig-corner-diffusion",
        families=(BLIND, TOLD, GAN), needs=(LARGE, LARGE), rule=rules.unchanged, gates=_SHAPED, margin=1.0,
        reason="times the energy distance of galaxies blurred by a pixel",
    ),
    Claim(
        "table1", "The distance of z'_B from z falls with N at the deep levels, and not at the finest",
        source="table 1", figure="fig-w1", families=(GLOW,), needs=(LARGE, LARGE), margin=0.3,
        rule=rules.table1, gates={"power": rules.too_few_pairs},
        reason="of W₁ at level 0, which over the paper's whole range of N moves by .10, and the deep levels "
        "by .5 or more; from one N to the next they overlap (.14 and .07)",
    ),
    Claim(
        "density", "Two Glows of different images account for one density",
        source="section 3.3.4, figure 10", figure="fig-w1", families=(GLOW,), needs=(LARGE,), margin=0.25,
        rule=rules.density, gates={"power": rules.no_difference}, largest=(GLOW,),
        reason="of W₁, and of the bits by which likelihoods differ, beyond those of Glows of the same "
        "images: less than by how much W₁ is larger at 10⁴ than at 10⁵ in the paper's table, at the deep "
        "levels (.33 and .42)",
    ),
    Claim(
        "judges", "The discriminators part the four distributions at small N, and no longer at large N",
        source="section 3.3.5, figures 14 and 16", figure="fig-discriminator-N", families=(GAN,),
        needs=(Range(1000, 10_000), Range(100_000, inf)), rule=rules.judges, margin=rules.FEW, fixed=True,
        reason="p of the largest distance; a judge must see what is wrong on purpose",
    ),
    Claim(
        "plateau", "A denoiser of a small N makes unseen images with little noise worse",
        source="section 3.3.2, figure 6", figure="fig-psnr", families=(BLIND,), needs=(Range(100, 100),),
        rule=rules.plateau, margin=1.0,
        reason="dB by which the least noise, 40 dB, is made worse: little beside the 13 dB of the paper, "
        "whose denoiser stays at 27 dB",
    ),
    Claim(
        "echo", "A Glow finds the latents of its own images again, z'_A = z",
        source="section 3.3.4, figure 10", figure="fig-inversion", families=(GLOW,), needs=(LARGE,),
        rule=rules.echo, margin=1.0, by_construction=True, fixed=True,
        reason="times the floor of independent normals",
    ),
]
# fmt: on

Rulings = dict[tuple[Claim, str], Ruling]  # by claim and label of the family


CERTAIN = {(claim.key, HELD): ", by construction" for claim in CLAIMS if claim.by_construction}


def rulings(run: Iterable[Findings], *keys: str) -> Rulings:
    """What a run says to the claims of these keys, without keys to all, of each family they are asked of."""
    known = {found.label: found for found in run}
    asked = [claim for claim in CLAIMS if not keys or claim.key in keys]
    return {(c, label): rule(c, known[label]) for c in asked for label in c.families if label in known}


def claims_table(found: Rulings) -> Markdown:
    """One row for each claim and family: text, place in the paper, verdict, reason, numbers, our figure."""
    rows, last = [], None
    for (claim, label), ruling in found.items():
        text = "" if claim is last else claim.text
        source = "" if claim is last else f"{claim.source}; {{numref}}`{claim.figure}`"
        rows.append([text, source, f"{label}: **{ruling.verdict}**, {ruling.reason}", ruling.numbers])
        last = claim
    return table(["claim", "in the paper; here", "in this run", "numbers"], rows)


def margins() -> Markdown:
    """Of each claim the N at which the paper makes it, what decides, and why that."""
    rows = []
    for claim in CLAIMS:
        at = " and ".join(dict.fromkeys(map(str, claim.needs)))
        if claim.largest:
            at += f"; of {' and '.join(claim.largest)} refused at {spaced(LARGEST)} alone"
        rows.append([claim.text, at, f"{claim.margin:g}", claim.reason])
    return table(["claim", "at", "margin", "of what, and why"], rows)


def askable(*names: str) -> Markdown:
    """Which claims some profiles can hold, by the number and length of their trainings; else the gate."""
    rows, families = [], {family.label: family.name for family in FAMILIES.values()}
    for claim in CLAIMS:
        for label in claim.families:
            stops = (stopped(claim, getattr(PROFILES[name], families[label])) for name in names)
            rows.append([claim.text, label, *(f"*{stop}*" if stop else "yes" for stop in stops)])
    return table(["claim", "family", *(f"`{name}`" for name in names)], rows)


def answer(found: Rulings, sentence: str = "") -> Markdown:
    """The table of claims, glued at the top of the page in short: a sentence, and the first claims.

    The sentence is by default that of the first ruling. Of the claims there are three rows or a little
    more, as none is shown without one of its families.
    """
    (claim, label), first = next(iter(found.items()))
    said = sentence or f"“{claim.text}” is, for {label}, **{first.verdict}** ({first.reason})."
    rows = []
    for one in dict.fromkeys(c for c, _ in found):
        if len(rows) < 3:
            rows += [
                [c.text, name, f"**{r.verdict}**{CERTAIN.get((c.key, r.verdict), '')}", r.numbers]
                for (c, name), r in found.items()
                if c is one
            ]
    glue(
        "answer", table(["claim of the paper", "family", "here", "numbers"], rows, before=said), display=False
    )
    return claims_table(found)
