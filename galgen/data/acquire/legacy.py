"""Cut-outs of the DESI Legacy Surveys at catalogue positions, as in the paper's section 3.1.

Each object is one job: its bands are fetched one after the other, and the first band that is ruled out rules
the object out. What is on the disk decides what is asked for, so a run that was stopped or killed goes on.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from galgen.data.acquire.cutouts import CutoutFolder, FetchReport, Loss, check_cutout
from galgen.data.acquire.download import Downloader, DownloadFailure, Network, Unreachable, Unusable
from galgen.data.acquire.positions import Position, read_positions
from galgen.data.manifest import check_template
from galgen.runs.errors import GalgenError

__all__ = ["fetch"]

Outcome = tuple[str, str, DownloadFailure | None]  # id, band and failure, or id, "" and None


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
        directory: The folder to fill, see `galgen.data.acquire.cutouts`.
        template: URL with the placeholders {ra}, {dec}, {band} and, if wanted, {size} and {pixscale}.
        bands: Bands of an object.
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
    _check_arguments(template, bands, size, pixel_scale, workers, give_up_after)
    positions = read_positions(catalogue)
    request = {"template": template, "bands": list(bands), "size": size, "pixel_scale": pixel_scale}
    with CutoutFolder.claim(Path(directory), request, positions, retry_dropped=retry_dropped) as folder:
        todo = folder.missing()
        downloader = Downloader(network or Network(), connections=workers)
        job = functools.partial(_fetch_object, downloader, folder, request)
        outcomes = _outcomes(job, todo, workers, downloader)
        done = len(positions) - len(todo)
        bar = tqdm(total=len(positions), initial=done, unit="object", disable=not progress)
        failed: dict[str, Loss] = {}
        try:
            with contextlib.closing(outcomes), bar:
                _record(outcomes, folder, failed, bar, give_up_after)
        finally:
            report = folder.report(failed)
    return report


def _record(
    outcomes: Iterator[Outcome], folder: CutoutFolder, failed: dict[str, Loss], bar: tqdm, give_up_after: int
) -> None:
    lost_in_a_row = 0
    for id_, band, failure in outcomes:
        if isinstance(failure, Unreachable):
            failed[id_] = Loss(id_, band, str(failure))
        elif failure is not None:
            folder.drop(Loss(id_, band, str(failure)))
        bar.set_postfix(dropped=len(folder.dropped), failed=len(failed), refresh=False)
        bar.update()
        # A server that says 404 is alive; one that sends nothing, or pages for images, may not be.
        alive = failure is None or isinstance(failure, Unusable)
        lost_in_a_row = 0 if alive else lost_in_a_row + 1
        if lost_in_a_row >= give_up_after:
            raise GalgenError(
                f"{lost_in_a_row} objects in a row were lost, the last, {id_}, in band {band} ({failure}): "
                "the server seems to be down. What arrived is kept; give the same command later to go on"
            )


def _outcomes(
    job: Callable[[Position], Outcome], todo: list[Position], workers: int, downloader: Downloader
) -> Iterator[Outcome]:
    """Yield what `job` returns for each object, as it comes; few objects are in flight at a time."""
    rest = iter(todo)
    with ThreadPoolExecutor(workers) as pool:
        try:
            pending = {pool.submit(job, place) for place in islice(rest, 2 * workers)}
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                pending |= {pool.submit(job, place) for place in islice(rest, len(done))}
                for future in done:
                    yield future.result()
        finally:
            downloader.close()
            pool.shutdown(cancel_futures=True)


def _fetch_object(downloader: Downloader, folder: CutoutFolder, request: dict, place: Position) -> Outcome:
    size = request["size"]
    for band in request["bands"]:
        if folder.has(place.id, band):
            continue
        url = request["template"].format(
            ra=place.ra, dec=place.dec, band=band, size=size, pixscale=request["pixel_scale"]
        )
        try:
            # 16 bytes a pixel and a header of 1 MB: more is not one band of this size.
            content = downloader.get(url, lambda body: check_cutout(body, size), 16 * size**2 + 2**20)
        except DownloadFailure as failure:
            return place.id, band, failure
        folder.add(place.id, band, content)
    folder.finish(place.id)
    return place.id, "", None


def _check_arguments(
    template: str, bands: Sequence[str], size: int, pixel_scale: float, workers: int, give_up_after: int
) -> None:
    try:
        check_template(template)
    except ValueError as error:
        raise GalgenError(f"template: {error}") from error
    if not bands or len(set(bands)) < len(bands) or not all(band.isalnum() for band in bands):
        raise GalgenError(f"bands must be different names of letters and digits, not {list(bands)}")
    numbers = {"size": size, "pixel_scale": pixel_scale, "workers": workers, "give_up_after": give_up_after}
    for name, value in numbers.items():
        if not value > 0:
            raise GalgenError(f"{name} must be positive, not {value}")
