"""The pages that the workflow writes: execution status, and what the benchmarks measured.

Words lie in `templates/`. What a template is given is escaped: as Markdown in `*.md.j2`, as HTML in the
others; `| safe` there marks what is no one's text, as a key or the name of a chapter, and `| code` takes what
backticks do not hold.
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
    """A text as Markdown that shows it letter by letter, on one line; a count by its thousands."""
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
_MARKDOWN.filters["code"] = lambda text: Markup(re.sub(r"[^\w.+-]", "", text))  # between backticks
_HTML = Environment(autoescape=True, finalize=_html, **_COMMON)


def rendered(template: str, **values: object) -> str:
    """A template with its values put in: Markdown, or HTML that Markdown may hold as it is."""
    environment = _MARKDOWN if template.endswith(".md.j2") else _HTML
    text = environment.get_template(template).render(values)
    return text if environment is _MARKDOWN else Markup(text)


def status(chapters: Mapping[str, dict], trainings: Sequence[dict]) -> str:
    """Tables of what ran, for how long, where and with which versions.

    Args:
        chapters: What `chapters.execute` noted of each, by name.
        trainings: Name, key, seconds, time and commit of each.
    """
    last = list(chapters.values())[-1]
    return rendered("status.md.j2", chapters=chapters, trainings=trainings, last=last, moment=_moment)


def _moment(moment: str) -> str:
    return moment[:16].replace("T", " ")


def bench(path: Path) -> str:
    """What `benchmarks/bench.py` has recorded; or that it has not.

    Raises:
        GalgenError: If the file holds something else.
    """
    labels = {name: family.label for name, family in FAMILIES.items()}
    try:
        found = read_json(path) if os.path.lexists(path) else {}
        sizes = sorted({size for row in found.get("steps", {}).values() for size in row}, key=int)
        return rendered("bench.md.j2", found=found, sizes=sizes, labels=labels)
    except (OSError, TypeError, ValueError, LookupError, AttributeError, TemplateError) as error:
        raise GalgenError(f"{path} is not what was measured ({error}); copy it anew") from error
