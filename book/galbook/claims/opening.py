"""What the book found, in three sentences: the rows of the table in plain words.

Each row has one wording for each word. A row that was not asked takes its wording out, and a sentence of
which nothing is left goes.
"""

from collections.abc import Mapping, Sequence

from galbook.claims.claims import COMMITTED, Row, first_rows
from galbook.claims.findings import Findings
from galbook.claims.rules import BLIND, MANY, capacity
from galbook.clock import cells, said
from galbook.judgement import IN_PART, NOISY, NOT_ASKED, NOT_SEEN, SEEN, Part
from galgen.figures.tables import Markdown, escaped
from galgen.figures.words import spaced

__all__ = ["KEYS", "opens", "three_sentences"]

SAID = {
    "copied": {
        SEEN: "networks that saw {small} galaxies come to copy them",
        NOT_SEEN: "networks that saw {small} galaxies do not copy them",
        IN_PART: "networks that saw {small} galaxies copy them if they are of one kind and not of another",
        NOISY: "whether networks that saw {small} galaxies copy them is too noisy to say",
    },
    "new": {
        SEEN: "networks that saw {large} draw new ones",
        NOT_SEEN: "networks that saw {large} still lean to their own",
        IN_PART: "networks that saw {large} draw new ones if they are of one kind and not of another",
        NOISY: "whether what networks that saw {large} draw is new is too noisy to say",
    },
    "same": {
        SEEN: "two of these draw the same from one noise",
        NOT_SEEN: "two of these draw different ones from one noise",
        IN_PART: "two of these draw the same by one measure and not by another",
        NOISY: "whether two of these draw the same is too noisy to say",
    },
    "transition": {
        SEEN: "when copying begins depends on the number of galaxies alone: {times}",
        NOT_SEEN: "when copying begins depends on time alone: {times}",
        IN_PART: "when copying begins depends on {causes}: {times}",
        NOISY: "what decides when copying begins is too noisy to say: {times}",
    },
    "right": {
        SEEN: "what is drawn is right in light and size, to {off} % or better",
        NOT_SEEN: "what is drawn is wrong in light and size, by up to {off} %",
        IN_PART: "what is drawn is right in light and size in part, and off by up to {off} %",
        NOISY: "what is drawn is off in light and size by up to {off} %, too noisy to call it right or wrong",
    },
    "round": {
        SEEN: "its shapes are too round ({round})",
        NOT_SEEN: "its shapes are not too round",
        IN_PART: "its shapes are too round in part ({round})",
        NOISY: "{where_round}",
    },
    "galaxies": {
        SEEN: "two networks agree better than blurs and networks of other images do",
        NOT_SEEN: "that two networks agree shows none of this: blurs agree as well",
        IN_PART: "that two networks agree shows this of one kind and not of another",
        NOISY: "whether the agreement of two networks shows this is too noisy to say",
    },
}
SENTENCES = ("copied", "new", "same"), ("transition",), ("right", "round", "galaxies")
KEYS = [key for keys in SENTENCES for key in keys]


def opens(rows: Sequence[Row], run: Mapping[str, Findings]) -> Markdown:
    """The sentences and the first rows; of a run whose models are not all there, that they are to come."""
    if not rows:
        return Markdown("*The answer is computed when all models of this run are trained.*")
    one = next(iter(run.values())).experiment
    of = f"*Galaxies: {escaped(one.images.dataset.name)}; profile {one.profile.name}.*"
    return Markdown(f"{of} {three_sentences(rows, run)}\n\n{first_rows(rows).data}")


def three_sentences(rows: Sequence[Row], run: Mapping[str, Findings]) -> str:
    """The sentences.

    Args:
        rows: Of this run, those of `KEYS` among them.
        run: What it found, by the label of the family.
    """
    asked, text = {row.key: row for row in rows if row.word != NOT_ASKED}, []
    for keys in SENTENCES:
        each = [asked[key] for key in keys if key in asked]
        joined = "; ".join(SAID[row.key][row.word].format(**_numbers(row, run)) for row in each)
        text += [f"{joined[0].upper()}{joined[1:]}."] if joined else []
    return " ".join(text)


def _numbers(row: Row, run: Mapping[str, Findings]) -> dict[str, str]:
    """The numbers of its wordings."""
    if row.key == COMMITTED:
        data, kept = next(iter(cells.committed().items()))
        return {
            "times": f"ten times as many {data} galaxies take {said.longer(cells.together(kept))}",
            "causes": f"the number of galaxies{', on the network' * capacity()} and on time",
        }
    blind = run.get(BLIND) or next(iter(run.values()))
    round_of = _rounder([part for part in row.parts if part.word == SEEN])
    where = f"its shapes are too round where that can be said ({round_of})"
    off = max((abs(part.found.value) for part in row.parts), default=0.0)
    return {
        "small": spaced(blind.small),
        "large": spaced(blind.large) + " galaxies" * (blind.small >= MANY),
        "off": f"{off:.0f}",
        "round": round_of,
        "where_round": where if round_of else "whether its shapes are too round is too noisy to say",
    }


def _rounder(parts: Sequence[Part]) -> str:
    """Of which families, by how much."""
    off = [f"{x:.0f}" for x in sorted(-part.found.value for part in parts)]
    names = ", ".join(part.name.split(",")[0] for part in parts)
    return f"{names}: by {' to '.join(dict.fromkeys((off[0], off[-1])))} %" if parts else ""
