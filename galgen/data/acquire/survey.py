"""Cut-outs of the DESI Legacy Surveys at catalogue positions, as in the paper's section 3.1.

An object is one request and one file, a FITS cube with a plane for each band, which is kept if it is whole
and good (`Request.check`). The folder holds

    <id>.fits               objects that are there
    <id>.dropped            objects ruled out for good; the text is the reason
    fetch.json              what was asked for; a folder answers one request only
    ok.ecsv, report.json    the objects that are there, and the losses with their reasons, after each run

A file has its name only when it is whole. So a killed writer loses what was under way and no more, and the
names tell what is missing: the same call goes on.
"""

import contextlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Annotated

import filelock
import numpy as np
from astropy.table import Table
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, StringConstraints
from tqdm import tqdm

from galgen.data.acquire import download
from galgen.data.acquire.cubes import FITS_BLOCK, read_fits
from galgen.data.acquire.download import Downloader, Unreachable, Unusable
from galgen.data.acquire.limits import MAX_ZEROS, Refusal
from galgen.data.manifest import Bands, Template
from galgen.runs.errors import Closed, GalgenError, checked
from galgen.runs.files import atomic_path, read_json, write_json

__all__ = ["Position", "fetch", "read_positions"]

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
    except Exception as error:  # each format has errors of its own
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


MIN_BYTES = 5000  # a band


class Request(Closed):
    """What is asked of the server for each object.

    Attributes:
        template: URL with the placeholders {ra}, {dec}, {bands} and, if wanted, {size} and {pixscale}.
        bands: Bands of an object, the planes of its cube.
        size: Pixels on a side.
        pixel_scale: Arcseconds a pixel.
    """

    template: Template
    bands: Bands = Field(("g", "r", "z"), min_length=1)
    size: PositiveInt = 256
    pixel_scale: PositiveFloat = 0.262

    def url(self, position: Position) -> str:
        """The address of the cut-outs of an object."""
        ra, dec = position.place
        bands = "".join(self.bands)
        return self.template.format(ra=ra, dec=dec, bands=bands, size=self.size, pixscale=self.pixel_scale)

    @property
    def max_bytes(self) -> int:
        """16 bytes a pixel and a header of 1 MB: more is no cube of this size."""
        return 16 * len(self.bands) * self.size**2 + 2**20

    def check(self, content: bytes) -> None:
        """Check a cube: for each band `size` x `size` finite pixels, at most 30 % zeros, and 5 kB or more.

        The cuts are those of Smith et al. 2022 (MNRAS 511, 1808), and the shape.

        Raises:
            Unreachable: This is no whole FITS file: a torn one, or a page that was sent in its place.
            Unusable: It is one, and fails a cut.
        """
        count, bands = len(self.bands), "".join(self.bands)
        if not content.startswith(b"SIMPLE  =") or len(content) % FITS_BLOCK:
            raise Unreachable("not a whole FITS file")
        if len(content) < MIN_BYTES * count:
            raise Unusable(f"under {MIN_BYTES * count} bytes")
        try:
            cube, header = read_fits(io.BytesIO(content), name="cut-out")
        except Refusal as error:
            raise Unreachable("damaged FITS file") from error
        cube = cube if cube.ndim == 3 else cube[None]
        if cube.shape != (count, self.size, self.size):
            raise Unusable(f"shape {cube.shape}, not {(count, self.size, self.size)}")
        if header.get("BANDS", bands) != bands:
            raise Unusable(f"bands {header['BANDS']}, not {bands}")
        for band, plane in zip(self.bands, cube, strict=True):
            if not np.isfinite(plane).all():
                raise Unusable(f"pixels not finite in {band}")
            if np.mean(plane == 0) > MAX_ZEROS:
                raise Unusable(f"more than {MAX_ZEROS:.0%} zeros in {band}")


def fetch(
    catalogue: str | Path,
    directory: str | Path,
    *,
    network: download.Network | None = None,
    workers: int = 4,
    give_up_after: int = 20,
    retry_dropped: bool = False,
    progress: bool = True,
    **request: object,
) -> dict:
    """Fetch the cut-outs of every object of a catalogue; the same call again goes on where it stopped.

    Args:
        catalogue: CSV, ECSV or FITS table with the columns `id`, `ra` and `dec` (degrees, J2000).
        directory: The folder to fill.
        network: Rate, time-outs and repeats; by default `Network()`.
        workers: Objects fetched at a time.
        give_up_after: Objects lost in a row, settled answers aside, after which the server counts as down.
        retry_dropped: Ask again for what earlier runs ruled out.
        progress: Show a progress bar with the time left.
        request: The fields of `Request`; only `template` has no default.

    Returns:
        What `report.json` holds: counts of objects `requested`, `ok` and `not_tried`, and for those `dropped`
        for good and those `failed`, which the next run asks for again, count, reasons and objects.

    Raises:
        GalgenError: Bad catalogue, template or number; the folder answers another request or is in use; or
            the server is down.
    """
    asked = checked(Request, request, "what to fetch")
    if workers < 1:
        raise GalgenError(f"workers must be positive, not {workers}")
    directory, positions = Path(directory), read_positions(catalogue)
    with _claim(directory, asked, positions):
        for pattern in [".tmp-*", "*.dropped"] if retry_dropped else [".tmp-*"]:
            for leftover in directory.glob(pattern):
                leftover.unlink()
        names = set(os.listdir(directory))
        todo = [p for p in positions if names.isdisjoint((f"{p.id}.fits", f"{p.id}.dropped"))]
        downloader = Downloader(network or download.Network(), connections=workers)
        pool, failed = ThreadPool(workers), {}
        try:
            outcomes = pool.imap_unordered(partial(_fetch_object, downloader, directory, asked), todo)
            done = len(positions) - len(todo)
            with tqdm(total=len(positions), initial=done, unit="object", disable=not progress) as bar:
                _record(outcomes, failed, bar, give_up_after)
        finally:
            downloader.close()
            pool.terminate()  # what is under way may still arrive, and is then found by its name
            report = _report(directory, positions, failed)
    return report


def _fetch_object(
    downloader: Downloader, directory: Path, request: Request, position: Position
) -> tuple[str, Unusable | Unreachable | None]:
    """Settle an object, by its cube or the reason why there is none, unless the server cannot be reached."""
    failure, suffix = None, "fits"
    try:
        content = downloader.get(request.url(position), request.max_bytes)
        request.check(content)
    except Unreachable as error:
        return position.id, error
    except Unusable as error:
        failure, suffix, content = error, "dropped", str(error).encode()
    with atomic_path(directory / f"{position.id}.{suffix}") as temporary:
        temporary.write_bytes(content)
    return position.id, failure


def _record(outcomes: Iterable[tuple], failed: dict[str, str], bar: tqdm, give_up_after: int) -> None:
    dropped = lost_in_a_row = 0
    for id_, failure in outcomes:
        # A server that says 404 is alive; one that sends nothing, or pages for images, may not be.
        lost = isinstance(failure, Unreachable)
        dropped += isinstance(failure, Unusable)
        lost_in_a_row = lost_in_a_row + 1 if lost else 0
        failed |= {id_: str(failure)} if lost else {}
        bar.set_postfix(dropped=dropped, failed=len(failed), refresh=False)
        bar.update()
        if lost_in_a_row >= give_up_after:
            raise GalgenError(
                f"{lost_in_a_row} objects in a row were lost, the last, {id_}: {failure}; the server seems "
                "to be down. What arrived is kept; give the same command later to go on"
            )


def _report(directory: Path, positions: list[Position], failed: dict[str, str]) -> dict:
    """Write `ok.ecsv` and `report.json`, in the order of the catalogue, and return what the latter holds."""
    names = set(os.listdir(directory))
    there = [p for p in positions if f"{p.id}.fits" in names]
    dropped = [directory / f"{p.id}.dropped" for p in positions if f"{p.id}.dropped" in names]
    losses = {
        "dropped": {file.name.removesuffix(".dropped"): file.read_text() for file in dropped},
        "failed": {p.id: failed[p.id] for p in positions if p.id in failed},
    }
    untried = len(positions) - len(there) - len(dropped) - len(failed)
    report = {"requested": len(positions), "ok": len(there), "not_tried": untried}
    for fate, lost in losses.items():
        report[fate] = {"count": len(lost), "reasons": dict(Counter(lost.values())), "objects": lost}
    table = Table(rows=[(p.id, p.ra, p.dec) for p in there], names=("id", "ra", "dec"))
    with atomic_path(directory / "ok.ecsv") as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)
    write_json(directory / "report.json", report)
    return report


@contextlib.contextmanager
def _claim(directory: Path, request: Request, positions: list[Position]) -> Iterator[None]:
    """Hold the folder for one writer and one request; it may hold no object that is not in `positions`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(directory / ".fetch.lock", timeout=0).acquire()
    except filelock.Timeout as error:
        raise GalgenError(f"another fetch is filling {directory}; wait for it or choose another") from error
    except OSError as error:
        raise GalgenError(f"{directory} cannot be filled: {error}") from error
    with lock:
        asked, claim = request.model_dump(mode="json"), directory / "fetch.json"
        places = {position.id: " ".join(position.place) for position in positions}
        try:
            before = read_json(claim) if claim.exists() else {**asked, "positions": {}}
            other = next((name for name, value in asked.items() if before[name] != value), None)
            moved = next((id_ for id_, at in before["positions"].items() if places.get(id_) != at), None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise GalgenError(f"{claim} is damaged: remove it, if all beside it is of one fetch") from error
        if other:
            holds = f"{directory} holds cut-outs of {other} {before[other]}"
            raise GalgenError(f"{holds}, not {asked[other]}; choose another one")
        if moved:
            holds = f"{directory} holds object {moved} at {before['positions'][moved]}; the catalogue has it"
            other = "Choose another folder (a longer catalogue may go on in this one)"
            raise GalgenError(f"{holds} at {places.get(moved)}. {other}")
        write_json(claim, {**asked, "positions": places})
        yield
