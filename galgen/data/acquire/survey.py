"""Download cut-outs of the DESI Legacy Surveys at catalogue positions, as in the paper's section 3.1.

Each object takes one request and one file, a FITS cube with one plane per band, accepted if it passes
`Request.check`. The folder contains

    <id>.fits       downloaded objects
    <id>.dropped    objects dropped for good; the text is the reason
    fetch.json      the request; a folder serves one request only
    report.json     numbers of downloaded, dropped and failed objects, by reason, after each run

Files are written atomically. A killed process loses only downloads in progress, and the file names show what
is missing: the same call resumes.
"""

import contextlib
import io
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Annotated

import filelock
import numpy as np
from astropy.table import Table
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, StringConstraints
from tqdm import tqdm

from galgen.data.acquire.download import Downloader, Network, Unreachable, Unusable
from galgen.data.acquire.readers import MAX_ZEROS, Refusal, read_fits
from galgen.data.dataset import check_ids
from galgen.data.manifest import Bands, Template
from galgen.runs.errors import Closed, GalgenError, checked, reading
from galgen.runs.files import atomic_path, read_json, write_json

__all__ = ["Position", "fetch", "read_positions"]

FITS_BLOCK = 2880  # bytes
TABLES = {
    # As text, to preserve leading zeros and 19 digits of ids; SkyServer's first line is #Table1.
    ".csv": {"format": "ascii.csv", "comment": "#", "converters": {"*": str}},
    ".ecsv": {"format": "ascii.ecsv"},
    ".fits": {"format": "fits", "character_as_bytes": False},
}


class Position(BaseModel):
    """An object: an id that is a valid file name, and its position in degrees, J2000."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False)

    id: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]*$")]
    ra: float = Field(ge=0, le=360)
    dec: float = Field(ge=-90, le=90)

    @property
    def place(self) -> tuple[str, str]:
        """Right ascension and declination with six decimals (4 mas), as in URLs."""
        return f"{self.ra:.6f}", f"{self.dec:.6f}"


def read_positions(path: str | Path) -> list[Position]:
    """Read the columns `id`, `ra` and `dec` (degrees, J2000; any case) of a CSV, ECSV or FITS table.

    Raises:
        GalgenError: If the table cannot be read; a column is missing, empty or not numeric; a position is not
            on the sphere; an id is duplicated or not a valid file name.
    """
    path = Path(path)
    with reading(path, "give a CSV, ECSV or FITS table with the columns id, ra and dec"):
        table = Table.read(path, **TABLES[path.suffix.lower()])
        columns = {name.lower(): table[name].tolist() for name in table.colnames}
    columns = {name: columns[name] for name in Position.model_fields if name in columns}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    at_least_one = Annotated[list[Position], Field(min_length=1)]
    positions = checked(at_least_one, rows, f"{path}, row (from 0) and column")
    check_ids([position.id for position in positions], path)
    return positions


class Request(Closed):
    """Request of one object's cut-outs.

    Attributes:
        template: URL with the placeholders {ra}, {dec}, {bands} and optionally {size} and {pixscale}.
        bands: Bands of an object, the planes of its cube.
        size: Side of the images, pixels.
        pixel_scale: Arcseconds per pixel.
    """

    template: Template
    bands: Bands = Field(("g", "r", "z"), min_length=1)
    size: PositiveInt = 256
    pixel_scale: PositiveFloat = 0.262

    def url(self, position: Position) -> str:
        """Return the URL of the cut-outs of an object."""
        ra, dec = position.place
        bands = "".join(self.bands)
        return self.template.format(ra=ra, dec=dec, bands=bands, size=self.size, pixscale=self.pixel_scale)

    @property
    def max_bytes(self) -> int:
        """Maximum size of a cube: 16 bytes per pixel and a header of 1 MB."""
        return 16 * len(self.bands) * self.size**2 + 2**20

    def check(self, content: bytes) -> None:
        """Check a cube: each band must have `size` x `size` finite pixels, at most 30 % of them zero.

        The cuts are those of Smith et al. 2022 (MNRAS 511, 1808), with the shape instead of their 5 kB limit.

        Raises:
            Unreachable: If it is not a complete FITS file (truncated, or an error page).
            Unusable: If it is a FITS file that fails a cut.
        """
        count, bands = len(self.bands), "".join(self.bands)
        if not content.startswith(b"SIMPLE  =") or len(content) % FITS_BLOCK:
            raise Unreachable("not a whole FITS file")
        try:
            with reading("the cut-out"):
                cube, header = read_fits(io.BytesIO(content))
        except Refusal as error:
            raise Unusable(str(error)) from error
        except GalgenError as error:
            raise Unreachable("damaged FITS file") from error
        cube = cube.reshape(-1, *cube.shape[-2:])
        if cube.shape != (count, self.size, self.size):
            raise Unusable(f"shape {cube.shape}, not {(count, self.size, self.size)}")
        if header.get("BANDS", bands) != bands:
            raise Unusable(f"bands {header['BANDS']}, not {bands}")
        if not np.isfinite(cube).all():
            raise Unusable("pixels not finite")
        if (np.mean(cube == 0, axis=(1, 2)) > MAX_ZEROS).any():
            raise Unusable(f"more than {MAX_ZEROS:.0%} zeros in a band")


def fetch(
    catalogue: str | Path,
    directory: str | Path,
    *,
    network: Network | None = None,
    workers: int = 4,
    give_up_after: int = 20,
    retry_dropped: bool = False,
    progress: bool = True,
    **request: object,
) -> dict:
    """Download the cut-outs of all objects of a catalogue; the same call resumes an interrupted download.

    Args:
        catalogue: CSV, ECSV or FITS table with the columns `id`, `ra` and `dec` (degrees, J2000).
        directory: Output folder.
        network: Rate limit, timeout and retries; by default `Network()`.
        workers: Number of parallel downloads.
        give_up_after: Consecutive failures (definitive responses excluded) after which to stop.
        retry_dropped: Request objects again that earlier runs dropped.
        progress: Display a progress bar with the remaining time.
        request: The fields of `Request`; only `template` has no default.

    Returns:
        Contents of `report.json`: numbers of objects `requested`, `ok` and `not_tried`; for objects `dropped`
        for good and for `failed` ones, which the next run retries, number and number by reason.

    Raises:
        GalgenError: If an argument or the catalogue is invalid, the folder belongs to another request or is
            in use, or the server is down.
    """
    wanted = checked(Request, request, "request")
    if workers < 1:
        raise GalgenError(f"workers must be positive, not {workers}")
    directory, positions = Path(directory), read_positions(catalogue)
    with _claim(directory, wanted, positions):
        for pattern in [".tmp-*", "*.dropped"] if retry_dropped else [".tmp-*"]:
            for leftover in directory.glob(pattern):
                leftover.unlink()
        names = set(os.listdir(directory))
        todo = [p for p in positions if names.isdisjoint((f"{p.id}.fits", f"{p.id}.dropped"))]
        settle = partial(_settle, Downloader(network or Network(), connections=workers), directory, wanted)
        failed = []
        try:
            with ThreadPool(workers) as pool:  # downloads that finish during its shutdown are reported
                outcomes = pool.imap_unordered(settle, todo)
                for failure in tqdm(outcomes, total=len(todo), unit="object", disable=not progress):
                    failed.append(failure)
                    if len(failed) >= give_up_after and all(failed[-give_up_after:]):
                        lost = f"{give_up_after} objects in a row were lost ({failure})"
                        raise GalgenError(f"{lost}; the server seems to be down: run the same command later")
        finally:
            report = _report(directory, positions, [reason for reason in failed if reason])
    return report


def _settle(downloader: Downloader, directory: Path, request: Request, position: Position) -> str:
    """Download an object and write its cube or the reason to drop it; return the reason of a failure."""
    suffix = "fits"
    try:
        content = downloader.get(request.url(position), request.max_bytes)
        request.check(content)
    except Unreachable as error:
        return str(error)
    except Unusable as error:
        suffix, content = "dropped", str(error).encode()
    with atomic_path(directory / f"{position.id}.{suffix}") as temporary:
        temporary.write_bytes(content)
    return ""


def _report(directory: Path, positions: list[Position], failed: list[str]) -> dict:
    """Write `report.json` and return its contents."""
    names = set(os.listdir(directory))
    ok = sum(f"{position.id}.fits" in names for position in positions)
    files = [f"{position.id}.dropped" for position in positions]
    dropped = [(directory / file).read_text() for file in files if file in names]
    not_tried = len(positions) - ok - len(dropped) - len(failed)
    report = {"requested": len(positions), "ok": ok, "not_tried": not_tried}
    for fate, reasons in {"dropped": dropped, "failed": failed}.items():
        report[fate] = {"count": len(reasons), "reasons": dict(Counter(reasons))}
    write_json(directory / "report.json", report)
    return report


@contextlib.contextmanager
def _claim(directory: Path, request: Request, positions: list[Position]) -> Iterator[None]:
    """Lock the folder for one writer and one request; all its objects must be in `positions`."""
    directory.mkdir(parents=True, exist_ok=True)
    claim, wanted = directory / "fetch.json", request.model_dump(mode="json")
    places = {position.id: " ".join(position.place) for position in positions}
    try:
        with filelock.FileLock(directory / ".fetch.lock", timeout=0):
            if claim.exists():
                with reading(claim, "choose another folder"):
                    before = read_json(claim)
                    same = before.pop("positions").items() <= places.items() and before == wanted
                if not same:
                    raise GalgenError(f"{directory} has cut-outs of another request; choose another folder")
            write_json(claim, {**wanted, "positions": places})
            yield
    except filelock.Timeout as error:
        raise GalgenError(f"another fetch is filling {directory}; wait for it or choose another") from error
