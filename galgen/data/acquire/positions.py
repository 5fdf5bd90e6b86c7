"""A catalogue of positions on the sky: names that can be file names, and J2000 degrees."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import Column, Table

from galgen.runs.errors import GalgenError

__all__ = ["Position", "read_positions"]

READERS = {
    # As text, so that an id keeps its leading zeros and its 19 digits; SkyServer writes a line #Table1 first.
    ".csv": {"format": "ascii.csv", "comment": "#", "converters": {"*": str}},
    ".ecsv": {"format": "ascii.ecsv"},
    ".fits": {"format": "fits", "character_as_bytes": False},
}
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")


class Position(NamedTuple):
    """An object: its name and its place, in degrees with six decimals (4 mas), as they stand in a URL."""

    id: str
    ra: str
    dec: str


def read_positions(path: str | Path) -> list[Position]:
    """Read the columns `id`, `ra` and `dec` (degrees, J2000; any case) of a CSV, ECSV or FITS table.

    Raises:
        GalgenError: No such table; a column is missing, empty or no number; a position is not on the sphere;
            an id is twice there or can't be part of a file name.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise GalgenError(f"{path}: a catalogue is a table {', '.join(READERS)}, not {path.suffix!r}")
    try:
        table = Table.read(path, **READERS[path.suffix.lower()])
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise GalgenError(f"{path} cannot be read as a table: {error}") from error
    names = {name.lower(): name for name in table.colnames}
    if missing := [name for name in Position._fields if name not in names]:
        raise GalgenError(
            f"{path} has no column {' and no column '.join(map(repr, missing))}; "
            f"its columns are {', '.join(table.colnames)}"
        )
    if not len(table):
        raise GalgenError(f"{path} has no rows")
    columns = {name: table[names[name]] for name in Position._fields}
    for name, column in columns.items():
        if np.any(empty := np.ma.getmaskarray(column)):
            raise GalgenError(f"{path}: row {np.argmax(empty) + 1} has no {name}")
    ids = _ids(columns["id"], path)
    ra, dec = (_degrees(columns[name], name, path) for name in ("ra", "dec"))
    outside = ~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90))
    if outside.any():
        i = int(np.argmax(outside))
        raise GalgenError(f"{path}: object {ids[i]} at ra {ra[i]}, dec {dec[i]} is not on the sphere")
    return [Position(*row) for row in zip(ids, *([f"{v:.6f}" for v in x] for x in (ra, dec)), strict=True)]


def _ids(column: Column, path: Path) -> list[str]:
    if column.dtype.kind == "f":
        raise GalgenError(
            f"{path}: the ids are floating-point numbers, which lose digits; write them as text"
        )
    ids = [str(value).strip() for value in column]
    if unfit := [id_ for id_ in ids if not ID.fullmatch(id_)]:
        raise GalgenError(f"{path}: id {unfit[0]!r} cannot be part of a file name (letters, digits, . + _ -)")
    values, counts = np.unique(ids, return_counts=True)
    if twice := values[counts > 1].tolist():
        raise GalgenError(f"{path}: {len(twice)} ids are there more than once, for example {twice[0]!r}")
    return ids


def _degrees(column: Column, name: str, path: Path) -> np.ndarray:
    try:
        return np.asarray(column, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise GalgenError(f"{path}: column {name!r} is not all numbers: {error}") from error
