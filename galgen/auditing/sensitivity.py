"""Sensitivity of the test of training-set bias: the fraction of copies that it detects with power 0.8.

The table is made by `benchmarks/sensitivity.py`, which defines it, for SDSS and simulated galaxies.
"""

from collections.abc import Mapping
from math import log
from pathlib import Path

from galgen.runs.files import read_json

__all__ = ["nearest_rows"]

_IN_WHEEL = Path(__file__).with_name("sensitivity.json")
_PATH = _IN_WHEEL if _IN_WHEEL.exists() else Path(__file__).parents[2] / "results" / _IN_WHEEL.name


def nearest_rows(counts: Mapping[str, int]) -> dict[str, dict]:
    """Return the row whose numbers of images are nearest, on a log scale, for each data set by name.

    >>> [row["held_out"] for row in nearest_rows({"samples": 190, "held_out": 300, "train": 3000}).values()]
    [250, 250]
    """

    def distance(row: dict) -> float:
        return sum(abs(log(row[name] / counts[name])) for name in ("samples", "held_out", "train"))

    return {name: min(study["rows"], key=distance) for name, study in read_json(_PATH).items()}
