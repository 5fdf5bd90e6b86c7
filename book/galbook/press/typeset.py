"""What a chapter says, set as print sets it: minus signs, no sign of a zero, and what no line may break.

Code, mathematics and tags of HTML stay as they are.
"""

import re

import nbformat

_ASIS = re.compile(r"(```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|<[a-z!/][^>]*>)", re.DOTALL)
_WORDS = ("text/markdown", "papermill.record/text/plain")  # the latter are texts for other pages to show
_SIGN = r"(?<![\w.)\]/#\\-])\\?-"  # escaped or not, and not that of a range, a name or an exponent
_NUMBER = r"[+\N{MINUS SIGN}]?[\d.]+"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _power(found: re.Match) -> str:
    return f"{found[1]}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10{str(int(found[2])).translate(_RAISED)}"


_RULES = [
    (r"(?<![\w.\\])\.(?=\d)", "0."),
    (rf"{_SIGN}(?=0(\.0*)?(?![\d.]))", ""),
    (rf"{_SIGN}(?=\d)", "\N{MINUS SIGN}"),
    (r"(?<![\w.])(\d(?:\.\d+)?)e([+-]\d{1,2})\b", _power),
    (rf"(\\?\[{_NUMBER}), ({_NUMBER}\\?\])", "\\1,\N{NO-BREAK SPACE}\\2"),
    (r"(?<=\d) ?(?=%)", "\N{NO-BREAK SPACE}"),
    (r"\b(N|p) = (?=\d)", "\\1\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"),
    (r"\bp (?=[\d<≤])", "p\N{NO-BREAK SPACE}"),
    (r"(?<=[<≤]) (?=\d)", "\N{NO-BREAK SPACE}"),
    (r"\b(?:(z')\\?|(D))_([AB])\b", r"$\1\2_\3$"),
]


def typeset(text: str) -> str:
    r"""A Markdown text by these rules.

    >>> typeset("N = 10: -0.01 [-0.00, .3], components 2-5, `x -1`")
    'N\xa0=\xa010: −0.01 [0.00,\xa00.3], components 2-5, `x -1`'
    """
    parts = _ASIS.split(text)
    for rule, by in _RULES:
        parts[::2] = [re.sub(rule, by, part) for part in parts[::2]]
    return "".join(parts)


def set_cell(cell: nbformat.NotebookNode) -> None:
    """A cell's words, what it printed in Markdown or keeps for other pages, and the caption of its figure."""
    if cell.cell_type == "markdown":
        cell.source = typeset(cell.source)
    if caption := cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"):
        cell.metadata.mystnb.figure.caption = typeset(caption)
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        for kind in [kind for kind in data if kind.endswith(_WORDS)]:
            data[kind] = typeset(data[kind])
