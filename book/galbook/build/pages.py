"""Generated pages of the book: execution status and benchmark results.

The text is in `templates/`. Values are escaped, as Markdown in `*.md.j2` and as HTML in the other templates.
`| safe` marks values that need no escaping, such as a key or the name of a chapter; `| code` removes
characters that would end an inline code span.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup

from galgen.figures.tables import escaped
from galgen.figures.words import spaced
from galgen.models.families import FAMILIES
from galgen.runs.errors import GalgenError, printable
from galgen.runs.files import read_json


def _markdown(value: object) -> object:
    """Value for a Markdown template: strings escaped, on one line; integers with separated thousands."""
    if type(value) is int:
        return spaced(value)
    if isinstance(value, str) and not isinstance(value, Markup):
        return escaped(value)
    return value


def _html(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_COMMON = {
    "loader": FileSystemLoader(Path(__file__).with_name("templates")),
    "trim_blocks": True,
    "undefined": StrictUndefined,
}
_MARKDOWN = Environment(finalize=_markdown, **_COMMON)
_MARKDOWN.filters["code"] = lambda text: Markup(re.sub(r"[^\w.+-]", "", text))  # for inline code
_HTML = Environment(autoescape=True, finalize=_html, **_COMMON)


def rendered(template: str, **values: object) -> str:
    """Render a template: Markdown, or HTML that can be embedded in Markdown."""
    environment = _MARKDOWN if template.endswith(".md.j2") else _HTML
    text = environment.get_template(template).render(values)
    return text if environment is _MARKDOWN else Markup(text)


def status(chapters: Mapping[str, dict], trainings: Sequence[dict]) -> str:
    """Tables of executed chapters and trainings with run time, machine and package versions, in Markdown.

    Args:
        chapters: Metadata of each chapter, written by `chapters.execute`, by name.
        trainings: Name, key, seconds, time and commit of each training.
    """
    last = list(chapters.values())[-1]
    return rendered("status.md.j2", chapters=chapters, trainings=trainings, last=last, moment=_moment)


def _moment(moment: str) -> str:
    return moment[:16].replace("T", " ")


def bench(path: Path) -> str:
    """Table of the results of `benchmarks/bench.py` in Markdown, or a note that they are missing.

    Raises:
        GalgenError: If the file has another format.
    """
    labels = {name: family.label for name, family in FAMILIES.items()}
    try:
        timings = read_json(path) if os.path.lexists(path) else {}
        sizes = sorted({size for row in timings.get("steps", {}).values() for size in row}, key=int)
        return rendered("bench.md.j2", timings=timings, sizes=sizes, labels=labels)
    except (OSError, TypeError, ValueError, LookupError, AttributeError, TemplateError) as error:
        raise GalgenError(f"{path} is not a file of benchmark results ({error}); restore it") from error
