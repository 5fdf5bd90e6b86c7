"""The rows of the table: the paper's words, what is asked of a run, and what is known of the cause."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from myst_nb import glue

from galbook.claims import rules
from galbook.claims.findings import Findings
from galbook.claims.rules import BLIND, DENOISERS, EVERY, GAN, GLOW, TOLD
from galbook.judgement import IN_PART, LIMITS, NOT_ASKED, NOT_SEEN, SEEN, WORDS, Part, again, row_word
from galgen.compare.uncertainty import Estimate
from galgen.figures.tables import Markdown, table

__all__ = ["CLAIMS", "COMMITTED", "FIRST", "Claim", "Row", "answer", "claims_table", "first_rows",
    "from_kept", "kept_rows", "limits_table", "rulings"]  # fmt: skip

Words = Mapping[str, str]
COMMITTED = "transition"  # a row of committed cells, the same in every book


@dataclass(frozen=True)
class Claim:
    """A row before it is asked.

    Attributes:
        key: Its name in the code.
        text: In the paper's words, as far as they fit a line.
        source: Where in the paper; "" of what it does not say.
        figure: The name of our figure of it.
        rule: Its parts, of what a run found by the label of the family.
        limits: Names of the limits of its parts.
        why: What is known of the cause.
        right: The word that is right of models that are perfect, untrained or had 512 images, or of made-up
            inputs of which it is true.
    """

    key: str
    text: str
    source: str
    figure: str
    rule: Callable[[rules.Run], list[Part]]
    limits: tuple[str, ...]
    why: str | Callable[[], str]
    right: Words = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Row:
    """A row of a run.

    Attributes:
        key: Of its claim.
        word: What the run says.
        parts: What it rests on.
        why: What is known of the cause; "" of a row that is not asked.
    """

    key: str
    word: str
    parts: list[Part]
    why: str

    @property
    def counted(self) -> bool:
        """Whether it is of the run, and every interval over trainings, so that a second run is foretold."""
        return self.key != COMMITTED and self.word != NOT_ASKED and all(part.freedom for part in self.parts)

    @property
    def repeats(self) -> dict[str, float]:
        """How often a second run gets each word."""
        return again(self.parts) if self.parts else {}


def _clock_why() -> str:
    return f"{'N, time and capacity' if rules.capacity() else 'N and time'}; of simulated galaxies"


def _right(perfect: str, untrained: str = "", few: str = "") -> Words:
    return {kind: w for kind, w in (("perfect", perfect), ("untrained", untrained), ("few", few)) if w}


# fmt: off
CLAIMS = [
    Claim("copied", "A small training set is copied", "abstract, figure 7", "fig-cosine",
          rules.at_small("copied", "closer", DENOISERS), ("copied",), "time: fewer after fewer passes",
          _right(NOT_SEEN, NOT_SEEN, NOT_SEEN)),
    Claim("new", "After a large one the images are new", "abstract, section 3.3.3", "fig-cosine",
          rules.at_many("new", "closer", DENOISERS), ("new",), "N and time, as below",
          _right(SEEN, SEEN, SEEN)),
    Claim("same", "Two models then draw one galaxy from one noise", "section 3.3.3, figure 7", "fig-scale",
          rules.same_images, ("one", "share"), "not the choice of images, where the share says so",
          _right(NOT_SEEN)),
    Claim("galaxies", "... which shows that they learnt galaxies", "section 3.3.3", "fig-scale",
          rules.beyond, ("beyond",), "agreement does not show it", _right(NOT_SEEN)),
    Claim("transition", "It is N that decides", "abstract, figure 7", "fig-clock", rules.clocked,
          ("less", "alike"), _clock_why),
    Claim("required", "About 10⁵ images are required", "section 3.3.3", "fig-cosine", rules.required,
          ("copied", "not one"), "no fixed number: it grows with the training", _right(IN_PART)),
    Claim("plateau", "A denoiser of a small N makes unseen images with little noise worse",
          "section 3.3.2, figure 6", "fig-psnr", rules.at_small("spoils", "gained", (BLIND,)), ("spoils",),
          "time"),
    Claim("real", "Generated galaxies look real", "section 3.3.1", "fig-families",
          rules.at_large("real", "told", EVERY), ("real",), "not asked of an eye",
          _right(SEEN, NOT_SEEN, NOT_SEEN)),
    Claim("kept", "The morphology is kept", "abstract, figure 4", "fig-corner-families",
          rules.shape("kept", EVERY), ("kept",), "not asked", _right(SEEN)),
    Claim("right", "... in light and size", "", "fig-profile", rules.biased("right", "flux", "size"),
          ("right",), "not asked", _right(SEEN)),
    Claim("round", "... but drawn too round", "", "fig-profile", rules.biased("too round", "ellipticity"),
          ("too round",), "the noise that it is told, or not", _right(NOT_SEEN)),
    Claim("unchanged", "The morphology does not change with N", "sections 3.3.3 and 3.3.5, figures 8 and 15",
          "fig-corner-diffusion", rules.from_small("unchanged", (BLIND, TOLD, GAN), paper=True),
          ("unchanged",), "not asked", _right(SEEN)),
    Claim("unseen", "Morphology alone does not show memory", "sections 3.3.3 and 4", "fig-energy",
          rules.unseen, ("copied", "kept"), "not asked", _right(IN_PART)),
    Claim("degrades", "Glow's morphology degrades as N falls", "section 3.3.4, figure 12", "fig-energy",
          rules.from_small("worse", (GLOW,)), ("worse",), "not asked", _right(NOT_SEEN)),
    Claim("different", "Two Glows, and two GANs, draw different galaxies from one latent", "figures 9 and 13",
          "fig-glow-cosine", rules.at_large("other", "agree", (GLOW, GAN)), ("other",), "not asked",
          _right(SEEN)),
    Claim("table1", "The distance of z'_B from z falls with N at the deep levels, and not at the finest",
          "table 1", "fig-w1", rules.latents_fall, ("stays", "falls"), "N or time: passes differ"),
    Claim("density", "Two Glows of different images account for one density", "section 3.3.4, figure 10",
          "fig-w1", rules.density, ("same",), "not asked"),
    Claim("judges", "The discriminators know few training images, and not many",
          "section 3.3.5, figures 14 and 16", "fig-discriminator-N", rules.judges, ("known", "unknown"),
          "N or time: passes differ", _right("", IN_PART, "")),
    Claim("longer", "At one N more training brings memory", "", "fig-clock", rules.longer, ("less",), "time"),
]
# fmt: on
FIRST = [claim.key for claim in CLAIMS[:8]]  # of the page that opens
TEXTS = {claim.key: claim.text for claim in CLAIMS}
TAKES = "*takes another N, or more images that can be measured*"


def rulings(run: Iterable[Findings], *keys: str) -> list[Row]:
    """What a run says to the claims of these keys, without keys to all, of the families that are there."""
    known, rows = {found.label: found for found in run}, []
    for claim in (claim for claim in CLAIMS if not keys or claim.key in keys):
        parts = claim.rule(known)
        why = claim.why if isinstance(claim.why, str) else claim.why()
        rows.append(Row(claim.key, row_word(part.word for part in parts), parts, why if parts else ""))
    return rows


def claims_table(rows: Sequence[Row], after: str = "") -> Markdown:
    """A row each: the paper's words and where they stand, the numbers of each part, the word, and why."""
    places = {claim.key: (claim.source, claim.figure) for claim in CLAIMS}
    cells = []
    for row in rows:
        source, figure = places[row.key]
        where = f"{source or '*not in the paper*'}; {{numref}}`{figure}`"
        numbers = "; ".join(map(str, row.parts)) or TAKES
        cells.append([TEXTS[row.key], where, numbers, f"**{row.word}**", row.why])
    head = ["the paper says", "there; here", "number, 95 % over trainings", "word", "why"]
    return table(head, cells, after=after)


_OWN = "how much more often than by luck a picture is nearer to its own set"
_SHAPES = "distance from galaxies in five shapes, that of a pixel of blur being 1"
_KNOWS = "how often D scores a training image above another, by luck 0.5"
PLAIN = {  # what a number is, by the limit of its part
    "copied": _OWN,
    "new": _OWN,
    "one": "likeness of two pictures, 1 if they are one",
    "other": "likeness of two pictures, 1 if they are one",
    "not one": "likeness",
    "share": "from networks of other images (0) to networks of the same (1)",
    "beyond": "likeness less that of the best control",
    "less": "dB that own galaxies are ahead",
    "alike": "dB gained by time alone",
    "spoils": "dB won, of little noise",
    "real": "how often a judge picks the galaxy, by luck 0.5",
    "known": _KNOWS,
    "unknown": _KNOWS,
    "right": "per cent off",
    "too round": "per cent off",
    "kept": _SHAPES,
    "unchanged": f"{_SHAPES}, small less large N",
    "worse": f"{_SHAPES}, small less large N",
    "falls": "ln of the ratio of two distances",
    "stays": "ln of the ratio of two distances",
    "same": "ln of the ratio, other to same images",
}


def _in_short(parts: Sequence[Part]) -> str:
    """Numbers, by what they are."""
    groups: dict[str, list[str]] = {}
    for part in parts:
        groups.setdefault(PLAIN[part.limit], []).append(f"{part.name} {part.found:.2f}")
    return "; ".join(f"*{what}:* {', '.join(said)}" for what, said in groups.items())


def first_rows(rows: Sequence[Row], count: int = len(FIRST)) -> Markdown:
    """The first rows in short, without notes, as the first page has them."""
    cells = [
        [TEXTS[row.key], f"**{row.word}**", _in_short(row.parts) or TAKES, row.why] for row in rows[:count]
    ]
    return table(["the paper says", "here", "number", "why"], cells)


def answer(rows: Sequence[Row], sentence: str = "") -> Markdown:
    """The table, glued at the top of the page in short: a sentence, by default the first word, and rows."""
    said = sentence or f"“{TEXTS[rows[0].key]}”: **{rows[0].word}**."
    glue("answer", Markdown(f"{said}\n\n{first_rows(rows, 3).data}"), display=False)
    return claims_table(rows)


def limits_table() -> Markdown:
    """Of each claim what is asked, where it is true, and why there."""
    rows = [[claim.text, str(LIMITS[name]), LIMITS[name].reason] for claim in CLAIMS for name in claim.limits]
    return table(["claim", "true where", "why there"], rows)


def kept_rows(rows: Iterable[Row]) -> list[dict]:
    """The rows as a chapter keeps them."""
    return [
        {"key": row.key, "text": TEXTS[row.key], "word": row.word, "why": row.why}
        | {"parts": [vars(p) | {"found": vars(p.found)} for p in row.parts if isfinite(p.half)]}
        for row in rows
    ]


def from_kept(kept: Iterable[Mapping]) -> list[Row]:
    """The rows of a book that was kept."""
    return [
        Row(one["key"], one["word"], [_part(part) for part in one["parts"]], one["why"])
        for one in kept
        if one["word"] in WORDS
    ]


def _part(kept: Mapping) -> Part:
    return Part(**{**kept, "found": Estimate(**kept["found"])})
