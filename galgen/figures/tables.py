"""Tables and lists in Markdown, as the last value of a cell."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from galgen.runs.errors import printable

__all__ = ["Markdown", "escaped", "points", "table"]

_PUNCTUATION = r"[!-/:-@\[-`{-~]"

_READ = r"[\\`*_{}\[\]<>|$&~!]"  # what Markdown reads, of that, within a line


def escaped(text: str, *, typeset: bool = False) -> str:
    r"""A text that is not the project's own as Markdown that shows it letter by letter, on one line.

    Args:
        text: As the name of a file or of a data set, or what a file says.
        typeset: Whether the book may set its signs and numbers as print does.

    >>> print(escaped("<i> of {x}, -1"))
    \<i\> of \{x\}\, \-1
    """
    line = re.sub(r"[^\S\N{NO-BREAK SPACE}]+", " ", text).strip()
    return re.sub(_READ if typeset else _PUNCTUATION, r"\\\g<0>", printable(line))


@dataclass(frozen=True)
class Markdown:
    """A text that a notebook shows as Markdown."""

    data: str

    def _repr_markdown_(self) -> str:
        return self.data


def table(head: Sequence[str], rows: Iterable[Iterable], *, before: str = "", after: str = "") -> Markdown:
    """A table between two texts, as the last value of a cell.

    Args:
        head: Over the columns.
        rows: Cells, which may be anything that has a text; what is not the project's own is `escaped`.
        before: Text over the table.
        after: Text under it.
    """
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    return Markdown("\n\n".join(part for part in (before, text, after) if part))


def points(texts: Iterable[str]) -> Markdown:
    """A list of points, as the last value of a cell: what a chapter ends with."""
    return Markdown("\n".join(f"- {text}" for text in texts))
