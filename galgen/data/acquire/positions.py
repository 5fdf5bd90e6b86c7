"""A catalogue of positions on the sky: names that can be file names, and J2000 degrees."""

from collections import Counter
from pathlib import Path
from typing import Annotated

from astropy.table import Table
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from galgen.runs.errors import GalgenError, checked

TABLES = {
    # As text, so that an id keeps its leading zeros and its 19 digits; SkyServer writes a line #Table1 first.
    ".csv": {"format": "ascii.csv", "comment": "#", "converters": {"*": str}},
    ".ecsv": {"format": "ascii.ecsv"},
    ".fits": {"format": "fits", "character_as_bytes": False},
}


class Position(BaseModel):
    """An object: a name that can be that of a file, and its place in degrees, J2000."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False)

    id: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]*$")]
    ra: float = Field(ge=0, le=360)
    dec: float = Field(ge=-90, le=90)

    @property
    def place(self) -> tuple[str, str]:
        """Right ascension and declination with six decimals (4 mas), as they stand in a URL."""
        return f"{self.ra:.6f}", f"{self.dec:.6f}"


def read_positions(path: str | Path) -> list[Position]:
    """Read the columns `id`, `ra` and `dec` (degrees, J2000; any case) of a CSV, ECSV or FITS table.

    Raises:
        GalgenError: No such table; a column is missing, empty or no number; a position is not on the sphere;
            an id is twice there or can't be part of a file name.
    """
    path = Path(path)
    if path.suffix.lower() not in TABLES:
        raise GalgenError(f"{path}: a catalogue is a table {', '.join(TABLES)}, not {path.suffix!r}")
    try:
        table = Table.read(path, **TABLES[path.suffix.lower()])
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise GalgenError(f"{path} cannot be read as a table: {error}") from error
    names = {name.lower(): name for name in table.colnames}
    if missing := [name for name in Position.model_fields if name not in names]:
        raise GalgenError(
            f"{path} has no column {' and no column '.join(map(repr, missing))}; "
            f"its columns are {', '.join(table.colnames)}"
        )
    columns = [table[names[name]].tolist() for name in Position.model_fields]
    if any(isinstance(id_, float) for id_ in columns[0]):
        raise GalgenError(
            f"{path}: the ids are floating-point numbers, which lose digits; write them as text"
        )
    rows = [dict(zip(Position.model_fields, row, strict=True)) for row in zip(*columns, strict=True)]
    positions = checked(list[Position], rows, f"{path}, row (from 0) and column")
    if not positions:
        raise GalgenError(f"{path} has no rows")
    twice = [id_ for id_, count in Counter(position.id for position in positions).items() if count > 1]
    if twice:
        raise GalgenError(f"{path}: {len(twice)} ids are there more than once, for example {twice[0]!r}")
    return positions
