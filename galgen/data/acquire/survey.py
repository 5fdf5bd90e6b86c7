"""Cut-outs of the DESI Legacy Surveys at catalogue positions, as in the paper's section 3.1.

An object is one request and one file, a FITS cube with a plane for each band, which is kept if it is whole and
good (`check_cutout`). The folder holds

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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import filelock
import numpy as np
from astropy.table import Table
from tqdm import tqdm

from galgen.data.acquire.download import (
    Downloader,
    DownloadFailure,
    Network,
    Unreachable,
    Unreadable,
    Unusable,
)
from galgen.data.acquire.positions import Position, read_positions
from galgen.data.acquire.readers import MAX_ZEROS, Refusal, read_fits
from galgen.data.manifest import check_template
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_path, read_json, write_json

__all__ = ["FetchReport", "check_cutout", "fetch"]

MIN_BYTES = 5000  # a band
FITS_BLOCK = 2880


def check_cutout(content: bytes, bands: Sequence[str], size: int) -> None:
    """Check a cube: for each band `size` x `size` finite pixels, at most 30 % zeros, and 5 kB or more.

    The cuts are those of Smith et al. 2022 (MNRAS 511, 1808), and the shape.

    Raises:
        Unreadable: This is no whole FITS file.
        Unusable: It is one, and fails a cut.
    """
    if not content.startswith(b"SIMPLE  =") or len(content) % FITS_BLOCK:
        raise Unreadable("not a whole FITS file")
    if len(content) < MIN_BYTES * len(bands):
        raise Unusable(f"under {MIN_BYTES * len(bands)} bytes")
    try:
        cube, header = read_fits(io.BytesIO(content), name="cut-out")
    except Refusal as error:
        raise Unreadable("damaged FITS file") from error
    cube = cube if cube.ndim == 3 else cube[None]
    if cube.shape != (len(bands), size, size):
        raise Unusable(f"shape {cube.shape}, not {(len(bands), size, size)}")
    if header.get("BANDS", "".join(bands)) != "".join(bands):
        raise Unusable(f"bands {header['BANDS']}, not {''.join(bands)}")
    cuts = {
        "pixels not finite": ~np.isfinite(cube).all(axis=(1, 2)),
        f"more than {MAX_ZEROS:.0%} zeros": (cube == 0).mean(axis=(1, 2)) > MAX_ZEROS,
    }
    for reason, fails in cuts.items():
        if fails.any():
            raise Unusable(f"{reason} in {', '.join(np.compress(fails, bands))}")


@dataclass(frozen=True)
class FetchReport:
    """What a folder holds after a run; everything is in the order of the catalogue.

    Attributes:
        ok: Ids of the objects that are there.
        dropped: Objects ruled out for good, by this run or an earlier one, and why.
        failed: Objects that this run could not get, and why; the next run asks for them again.
        not_tried: How many objects a run that stopped early had not come to.
    """

    ok: list[str]
    dropped: dict[str, str]
    failed: dict[str, str]
    not_tried: int

    def summary(self) -> dict:
        """Return the contents of `report.json`: counts, reasons, and the objects lost."""

        def losses(of: dict[str, str]) -> dict:
            return {"count": len(of), "reasons": dict(Counter(of.values())), "objects": of}

        return {
            "requested": len(self.ok) + len(self.dropped) + len(self.failed) + self.not_tried,
            "ok": len(self.ok),
            "dropped": losses(self.dropped),
            "failed": losses(self.failed),
            "not_tried": self.not_tried,
        }


def fetch(
    catalogue: str | Path,
    directory: str | Path,
    *,
    template: str,
    bands: Sequence[str] = ("g", "r", "z"),
    size: int = 256,
    pixel_scale: float = 0.262,
    network: Network | None = None,
    workers: int = 4,
    give_up_after: int = 20,
    retry_dropped: bool = False,
    progress: bool = True,
) -> FetchReport:
    """Fetch the cut-outs of every object of a catalogue; the same call again goes on where it stopped.

    Args:
        catalogue: CSV, ECSV or FITS table with the columns `id`, `ra` and `dec` (degrees, J2000).
        directory: The folder to fill.
        template: URL with the placeholders {ra}, {dec}, {bands} and, if wanted, {size} and {pixscale}.
        bands: Bands of an object, the planes of its cube.
        size: Pixels on a side.
        pixel_scale: Arcseconds a pixel.
        network: Rate, time-outs and repeats; by default `Network()`.
        workers: Objects fetched at a time.
        give_up_after: Objects lost in a row, settled answers aside, after which the server counts as down.
        retry_dropped: Ask again for what earlier runs ruled out.
        progress: Show a progress bar with the time left.

    Returns:
        The report, whose summary is in `report.json`.

    Raises:
        GalgenError: Bad catalogue, template or number; the folder answers another request or is in use; or
            the server is down.
    """
    _check_arguments(template, bands, size, pixel_scale, workers)
    positions = read_positions(catalogue)
    directory = Path(directory)
    request = {"template": template, "bands": list(bands), "size": size, "pixel_scale": pixel_scale}
    with _claim(directory, request, positions):
        for pattern in [".tmp-*", "*.dropped"] if retry_dropped else [".tmp-*"]:
            for leftover in directory.glob(pattern):
                leftover.unlink()
        names = set(os.listdir(directory))
        todo = [p for p in positions if names.isdisjoint((f"{p.id}.fits", f"{p.id}.dropped"))]
        downloader = Downloader(network or Network(), connections=workers)

        def job(position: Position) -> tuple[str, DownloadFailure | None]:
            ra, dec = position.place
            url = template.format(ra=ra, dec=dec, bands="".join(bands), size=size, pixscale=pixel_scale)
            # 16 bytes a pixel and a header of 1 MB: more is no cube of this size.
            most = 16 * len(bands) * size**2 + 2**20
            failure, suffix = None, "fits"
            try:
                content = downloader.get(url, lambda body: check_cutout(body, bands, size), most)
            except DownloadFailure as error:
                failure, suffix, content = error, "dropped", str(error).encode()
            if not isinstance(failure, Unreachable):
                with atomic_path(directory / f"{position.id}.{suffix}") as temporary:
                    temporary.write_bytes(content)
            return position.id, failure

        failed: dict[str, str] = {}
        pool = ThreadPool(workers)
        outcomes = pool.imap_unordered(job, todo)
        done = len(positions) - len(todo)
        try:
            with tqdm(total=len(positions), initial=done, unit="object", disable=not progress) as bar:
                _record(outcomes, failed, bar, give_up_after)
        finally:
            downloader.close()
            pool.terminate()
            pool.join()
            report = _report(directory, positions, failed)
    return report


def _record(
    outcomes: Iterable[tuple[str, DownloadFailure | None]],
    failed: dict[str, str],
    bar: tqdm,
    give_up_after: int,
) -> None:
    dropped = lost_in_a_row = 0
    for id_, failure in outcomes:
        if isinstance(failure, Unreachable):
            failed[id_] = str(failure)
        elif failure is not None:
            dropped += 1
        bar.set_postfix(dropped=dropped, failed=len(failed), refresh=False)
        bar.update()
        # A server that says 404 is alive; one that sends nothing, or pages for images, may not be.
        alive = failure is None or isinstance(failure, Unusable)
        lost_in_a_row = 0 if alive else lost_in_a_row + 1
        if lost_in_a_row >= give_up_after:
            raise GalgenError(
                f"{lost_in_a_row} objects in a row were lost, the last, {id_}: {failure}; the server seems to "
                "be down. What arrived is kept; give the same command later to go on"
            )


def _report(directory: Path, positions: list[Position], failed: dict[str, str]) -> FetchReport:
    """Write `ok.ecsv` and `report.json`, and return the report."""
    names = set(os.listdir(directory))
    there = [position for position in positions if f"{position.id}.fits" in names]
    dropped = [p.id for p in positions if f"{p.id}.dropped" in names]
    report = FetchReport(
        ok=[position.id for position in there],
        dropped={id_: (directory / f"{id_}.dropped").read_text() for id_ in dropped},
        failed={position.id: failed[position.id] for position in positions if position.id in failed},
        not_tried=len(positions) - len(there) - len(dropped) - len(failed),
    )
    table = Table(rows=[(p.id, p.ra, p.dec) for p in there], names=("id", "ra", "dec"))
    with atomic_path(directory / "ok.ecsv") as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)
    write_json(directory / "report.json", report.summary())
    return report


@contextlib.contextmanager
def _claim(directory: Path, request: dict, positions: list[Position]) -> Iterator[None]:
    """Hold the folder for one writer and one request; the objects of earlier runs must be among `positions`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(directory / ".fetch.lock", timeout=0).acquire()
    except filelock.Timeout as error:
        raise GalgenError(f"another fetch is filling {directory}; wait for it or choose another") from error
    except OSError as error:
        raise GalgenError(f"{directory} cannot be filled: {error}") from error
    with lock:
        claim = directory / "fetch.json"
        places = {position.id: " ".join(position.place) for position in positions}
        before = read_json(claim) if claim.exists() else {**request, "positions": {}}
        for name, value in request.items():
            if before[name] != value:
                raise GalgenError(
                    f"{directory} holds cut-outs of {name} {before[name]}, not {value}; choose another one"
                )
        for id_, place in before["positions"].items():
            if places.get(id_) != place:
                raise GalgenError(
                    f"{directory} holds object {id_} at {place}; the catalogue has it at {places.get(id_)}. "
                    "Choose another folder (a longer catalogue may go on in this one)"
                )
        write_json(claim, {**request, "positions": places})
        yield


def _check_arguments(
    template: str, bands: Sequence[str], size: int, pixel_scale: float, workers: int
) -> None:
    try:
        check_template(template)
    except ValueError as error:
        raise GalgenError(f"template: {error}") from error
    if not bands or len(set(bands)) < len(bands) or not all(band.isalnum() for band in bands):
        raise GalgenError(f"bands must be different names of letters and digits, not {list(bands)}")
    for name, value in {"size": size, "pixel_scale": pixel_scale, "workers": workers}.items():
        if not value > 0:
            raise GalgenError(f"{name} must be positive, not {value}")
