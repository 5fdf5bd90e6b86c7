"""Numbers in prose: a Sphinx role that shows one row of a published table.

    {row}`agreement family=diffusion statistic=agreement model=A0-B1 N=100 .3f`

The words are the question, values of columns, and a format. The value is shown with its interval, or, with
`p:.2g`, one column alone (or `epochs`, images shown divided by N). A format that ends with % multiplies
by 100; the format `,` rounds and separates thousands. Defaults of columns, and the run in `results/`, are in
the metadata of a page under `rows`. Exactly one row must match: else the build names page and line.
"""

import json
import shlex
from collections.abc import Mapping

import pandas as pd
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from galbook.page import published, with_minus
from galbook.table import KEY
from galgen.figures.words import spaced

__all__ = ["setup", "shown"]


def shown(words: str, defaults: Mapping = {}) -> str:
    """Text of a row, selected by the words of the role.

    Raises:
        ValueError: If no row or several match, or a column is unknown.
    """
    *selectors, form = shlex.split(words)
    where = dict(word.split("=", 1) if "=" in word else ("question", word) for word in selectors)
    where = {**defaults, **where}
    rows = published(where.pop("run", "laptop-simulated"))
    for name, value in where.items():
        if name not in KEY:
            raise ValueError(f"there is no column {name}")
        rows = rows[rows[name] == (value if KEY[name] == "str" else float(value))]
    if len(rows) != 1:
        raise ValueError(f"{len(rows)} rows match, not one")
    return _text(rows.assign(epochs=rows.images_shown / rows.N).iloc[0], form)


def _text(row: pd.Series, form: str) -> str:
    column, _, form = form.rpartition(":")

    def number(name: str) -> str:
        return spaced(round(row[name])) if form == "," else f"{row[name]:{form}}".rstrip("%")

    interval = "" if column or pd.isna(row.low) else f" [{number('low')}, {number('high')}]"
    return with_minus(f"{number(column or 'value')}{interval}")


class Row(SphinxRole):
    """The role; a row that does not exist is an error of the page."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Text of the row."""
        try:
            return [nodes.Text(shown(self.text, self._defaults()))], []
        except ValueError as error:
            text = f"{{row}}`{self.text}`: {error}"
            return [], [self.inliner.reporter.error(text, line=self.lineno)]

    def _defaults(self) -> dict:
        path = self.env.doc2path(self.env.docname)
        with open(path) as source:
            text = source.read()
        if path.endswith(".ipynb"):
            return json.loads(text)["metadata"].get("rows", {})
        return yaml.safe_load(text.split("---")[1]).get("rows", {}) if text.startswith("---") else {}


def setup(app: Sphinx) -> dict:
    """Register the role."""
    app.add_role("row", Row())
    return {"parallel_read_safe": True}
