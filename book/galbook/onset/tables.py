"""Tables of onsets by width W and N, in epochs."""

from collections.abc import Mapping

import pandas as pd

from galbook.page import interval, select
from galgen.figures.words import spaced

__all__ = ["configurations", "predictions"]


def configurations(study: pd.DataFrame, name: str, **where: object) -> pd.Series:
    """Format onsets by W and N; a lower limit as > x, a contradicted prediction in bold.

    Args:
        study: Table of measurements.
        name: Statistic, in images shown.
        where: Columns that select its rows.
    """
    ends = ["value", "low", "high"]
    rows = select(study, [name, f"{name}_lower_limit"], at=1, **where).set_index(["width", "N"])
    rows[ends] = rows[ends].div(rows.index.get_level_values("N"), axis=0)
    text = interval(rows, ",.0f").str.replace(r",(?=\d)", "\N{NO-BREAK SPACE}", regex=True)
    text = text.mask(rows.statistic.str.endswith("limit"), "> " + text)
    return text.mask(rows.p < 0.05, "**" + text + "**").rename_axis(["W", "N"])


def predictions(study: pd.DataFrame, laws: Mapping[str, str], observed: str) -> pd.DataFrame:
    """Return observed and predicted onsets by configuration.

    Args:
        study: Table of measurements.
        laws: Model of the predictions, by name of the law.
        observed: Model of the observations.
    """
    table = {"observed": configurations(study, "onset_observed", model=observed)}
    table |= {law: configurations(study, "onset_predicted", model=model) for law, model in laws.items()}
    found = pd.DataFrame(table)
    return found.set_axis([f"({W}; {spaced(N)})" for W, N in found.index]).rename_axis("(W; N)")
