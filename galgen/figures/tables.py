"""Markdown tables and lists, as the last value of a notebook cell."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from galgen.runs.errors import printable

__all__ = ["Markdown", "escaped", "points", "table"]

_PUNCTUATION = r"[!-/:-@\[-`{-~]"

_READ = r"[\\`*_{}\[\]<>|$&~!]"  # those with a meaning in Markdown within a line


def escaped(text: str, *, typeset: bool = False) -> str:
    r"""Escape an external text so that Markdown renders it literally, on one line.

    Args:
        text: Such as a name of a file or of a data set, or text from a file.
        typeset: Whether to leave signs and numbers unescaped, so that the book can typeset them.

    >>> print(escaped("<i> of {x}, -1"))
    \<i\> of \{x\}\, \-1
    """
    line = re.sub(r"[^\S\N{NO-BREAK SPACE}]+", " ", text).strip()
    return re.sub(_READ if typeset else _PUNCTUATION, r"\\\g<0>", printable(line))


@dataclass(frozen=True)
class Markdown:
    """A text that a notebook renders as Markdown."""

    data: str

    def _repr_markdown_(self) -> str:
        return self.data


def table(head: Sequence[str], rows: Iterable[Iterable], *, before: str = "", after: str = "") -> Markdown:
    """Return a Markdown table between two optional texts, as the last value of a cell.

    Args:
        head: Column headers.
        rows: Cells, converted with `str`; external texts must be `escaped`.
        before: Text above the table.
        after: Text below the table.
    """
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
    return Markdown("\n\n".join(part for part in (before, text, after) if part))


def points(texts: Iterable[str]) -> Markdown:
    """Return a bulleted list, as the last value of a cell (the summary of a chapter)."""
    return Markdown("\n".join(f"- {text}" for text in texts))
