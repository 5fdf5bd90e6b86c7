"""Helpers for the cells of a page: formatted numbers, numbered tables, numbers of published runs in prose."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from IPython.display import display
from myst_nb import glue

from galbook.table import read_table
from galgen.figures.tables import Markdown, escaped
from galgen.profiles import Parameters
from galgen.runs.files import project

__all__ = ["NumberedTable", "banner", "interval", "mean_and_range", "numbers", "published", "select",
    "with_minus"]  # fmt: skip


@functools.cache
def published(run: str = "laptop-simulated") -> pd.DataFrame:
    """Table of a published run, which the text of a chapter describes, whatever the reader runs."""
    return read_table(project() / "results" / run / "measurements.csv")


def numbers(**texts: str) -> None:
    """Register numbers for use in the Markdown of the page, as {glue:text}`name`."""
    for name, text in texts.items():
        glue(name, with_minus(text), display=False)


def with_minus(text: str) -> str:
    """Replace the hyphens of negative numbers by minus signs, and remove that of zero."""
    text = re.sub(r"(?<![\w.)\]/-])-(?=0(\.0*)?(?![\d.]))", "", text)
    return re.sub(r"(?<![\w.)\]/-])-(?=\d)", "\N{MINUS SIGN}", text)


def banner(parameters: Parameters, described: str = "simulated galaxies, profile laptop, seed 0") -> None:
    """Register {glue:md}`banner`, which states whether the text of a page describes its figures.

    In the notebook it is also displayed, with what the names in the text stand for.
    """
    text = f"Figures, tables and verdicts are of published runs: {described}."
    if parameters.model_copy(update={"precision": "auto"}) != Parameters():
        sizes = f", N = {', '.join(map(str, parameters.N))}" if parameters.N else ""
        data = escaped(Path(parameters.data).stem)
        run = f"profile {parameters.profile}, data {data}, seed {parameters.seed}{sizes}"
        text = f"""```{{admonition}} The text describes the published run
Numbers in the text are of published runs: {described}. Figures, tables and verdicts below are of this run:
{run}.
```"""
    glue("banner", Markdown(text), display=False)
    display(Markdown(re.sub("```.*", "", text) + " {row}, {glue:text}: numbers of published runs."))


def select(rows: pd.DataFrame, statistic: str, **where: object) -> pd.DataFrame:
    """Rows of a statistic in which columns have the given values (one of them, for a list)."""
    for name, value in {"statistic": statistic, **where}.items():
        rows = rows[rows[name].isin(value if isinstance(value, list) else [value])]
    return rows


def interval(rows: pd.DataFrame, form: str = ".2f") -> pd.Series:
    """Format each value with its interval, as 0.12 [0.10, 0.14]; without one, as 0.12."""

    def text(row: pd.Series) -> str:
        limits = "" if pd.isna(row.low) else f" [{row.low:{form}}, {row.high:{form}}]"
        return with_minus(f"{row.value:{form}}{limits}")

    return rows.apply(text, axis=1, result_type="reduce") if len(rows) else pd.Series(dtype=str)


def mean_and_range(values: pd.Series, form: str = ".2f") -> str:
    """Format the mean and the range, as 0.23 (0.12 to 0.34)."""
    mean, low, high = (with_minus(f"{x:{form}}") for x in (values.mean(), values.min(), values.max()))
    return f"{mean} ({low} to {high})" if len(values) > 1 else mean


@dataclass(frozen=True)
class NumberedTable:
    """A table with its caption, as the last value of a cell; numbered by the book.

    Attributes:
        frame: One value per cell; its index is the first column.
        caption: Contents, number of samples, and source of variance of the intervals.
        name: Label for references, as in {numref}`tab-name`.
        form: Format of numbers that are not text.
    """

    frame: pd.DataFrame
    caption: str
    name: str
    form: str = ".2f"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        flat = self.frame.reset_index()
        text = flat.map(self._text).to_markdown(index=False, disable_numparse=True)
        return {
            "text/markdown": f":::{{table}} {self.caption}\n:name: {self.name}\n\n{text}\n:::",
            "text/html": f"<p>{self.caption}</p>{flat.to_html(index=False, na_rep='–')}",
            "text/plain": flat.to_string(index=False, na_rep="–"),
        }

    def _text(self, cell: object) -> str:
        if pd.isna(cell):
            return "–"
        if isinstance(cell, int) or (isinstance(cell, float) and cell.is_integer() and abs(cell) >= 10):
            return f"{int(cell):,}".replace(",", "\N{NO-BREAK SPACE}")
        return with_minus(f"{cell:{self.form}}" if isinstance(cell, float) else str(cell))
