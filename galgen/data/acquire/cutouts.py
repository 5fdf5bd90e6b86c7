"""A folder of cut-outs, one FITS file per object and band, that is in order whenever its writer is killed.

An object is used only if all of its bands are there and good (`check_cutout`). The folder holds

    <id>_<band>.fits        complete objects
    <id>_<band>.fits.part   good bands of objects that still lack others; never read downstream
    dropped.jsonl           objects ruled out for good, one a line: id, band, reason
    fetch.json              what was asked for; a folder answers one request only
    ok.ecsv, report.json    the complete objects, and the losses with their reasons, after each run

A file has its name only when it is whole and good, and an object is in the journal before its files go. So a
killed writer loses what was under way and no more, and the names tell what is missing.
"""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock
import numpy as np
from astropy.io import fits
from astropy.table import Table

from galgen.data.acquire.download import Unreadable, Unusable
from galgen.data.acquire.positions import Position
from galgen.runs.errors import GalgenError
from galgen.runs.files import atomic_path, read_json, write_json

__all__ = ["CutoutFolder", "FetchReport", "Loss", "check_cutout"]

MIN_BYTES = 5000
MAX_ZEROS = 0.3
FITS_BLOCK = 2880


def check_cutout(content: bytes, size: int) -> None:
    """Check one band: a FITS image of `size` x `size` finite pixels, at most 30 % zeros, 5 kB or more.

    The cuts are those of Smith et al. 2022 (MNRAS 511, 1808), and the shape.

    Raises:
        Unreadable: This is no whole FITS file.
        Unusable: It is one, and fails a cut.
    """
    if not content.startswith(b"SIMPLE  ="):
        raise Unreadable("not a FITS file")
    if len(content) % FITS_BLOCK:
        raise Unreadable("torn FITS file")
    if len(content) < MIN_BYTES:
        raise Unusable(f"under {MIN_BYTES} bytes")
    try:
        image = fits.PrimaryHDU.fromstring(content).data
    except (OSError, ValueError, TypeError, KeyError, fits.VerifyError) as error:
        raise Unreadable("damaged FITS file") from error
    shape = None if image is None else image.shape
    if shape != (size, size):
        raise Unusable(f"shape {shape}, not {(size, size)}")
    if not np.isfinite(image).all():
        raise Unusable("pixels not finite")
    if np.mean(image == 0) > MAX_ZEROS:
        raise Unusable(f"more than {MAX_ZEROS:.0%} zeros")


@dataclass(frozen=True)
class Loss:
    """An object that is not there, the band that failed first, and why."""

    id: str
    band: str
    reason: str


@dataclass(frozen=True)
class FetchReport:
    """What a folder holds after a run; everything is in the order of the catalogue.

    Attributes:
        requested: Number of objects in the catalogue.
        ok: Ids of the complete objects.
        dropped: Objects ruled out for good, by this run or an earlier one.
        failed: Objects that this run could not get; the next run asks for them again.
    """

    requested: int
    ok: list[str]
    dropped: list[Loss]
    failed: list[Loss]

    def summary(self) -> dict:
        """Return the contents of `report.json`: counts, reasons, and the objects lost."""

        def losses(of: list[Loss]) -> dict:
            return {
                "count": len(of),
                "reasons": dict(Counter(loss.reason for loss in of)),
                "objects": {loss.id: f"{loss.band}: {loss.reason}" for loss in of},
            }

        return {
            "requested": self.requested,
            "ok": len(self.ok),
            "dropped": losses(self.dropped),
            "failed": losses(self.failed),
            "not_tried": self.requested - len(self.ok) - len(self.dropped) - len(self.failed),
        }


class CutoutFolder:
    """The folder, for one writer at a time; made by `CutoutFolder.claim`.

    Attributes:
        positions: The objects asked for.
        dropped: The objects ruled out for good, by id.
    """

    def __init__(self, directory: Path, bands: tuple[str, ...], positions: list[Position]):
        self._directory = directory
        self._bands = bands
        self._journal = directory / "dropped.jsonl"
        self.positions = positions
        self.dropped: dict[str, Loss] = {}

    @classmethod
    @contextlib.contextmanager
    def claim(
        cls, directory: Path, request: dict, positions: list[Position], *, retry_dropped: bool = False
    ) -> Iterator["CutoutFolder"]:
        """Yield the folder, tidied after whatever happened to its last writer.

        Args:
            directory: The folder, made if it is not there.
            request: JSON values that decide what the files are, among them `bands`.
            positions: The objects; those of earlier runs must be among them, at the same place.
            retry_dropped: Forget what was ruled out.

        Raises:
            GalgenError: Another process is filling the folder, or it answers another request.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(directory / ".fetch.lock", timeout=0).acquire()
        except filelock.Timeout as error:
            raise GalgenError(
                f"another fetch is filling {directory}; wait for it or choose another"
            ) from error
        except OSError as error:
            raise GalgenError(f"{directory} cannot be filled: {error}") from error
        with lock:
            _check_claim(directory, request, positions)
            folder = cls(directory, tuple(request["bands"]), positions)
            if retry_dropped:
                folder._journal.unlink(missing_ok=True)
            folder._recover()
            yield folder

    def missing(self) -> list[Position]:
        """Return the objects that are neither complete nor ruled out."""
        settled = self._finished() | self.dropped.keys()
        return [place for place in self.positions if place.id not in settled]

    def has(self, id_: str, band: str) -> bool:
        """Tell whether a good file of this band is there."""
        return any(path.exists() for path in self._paths(id_, band))

    def add(self, id_: str, band: str, content: bytes) -> None:
        """Keep a good band; the object is complete once `finish` is called."""
        with atomic_path(self._paths(id_, band)[1]) as temporary:
            temporary.write_bytes(content)

    def finish(self, id_: str) -> None:
        """Give the bands of an object, all there, their final names."""
        for band in self._bands:
            final, part = self._paths(id_, band)
            if part.exists():
                part.rename(final)

    def drop(self, loss: Loss) -> None:
        """Rule an object out for good: journal first, then its files."""
        self.dropped[loss.id] = loss
        with open(self._journal, "a") as file:
            file.write(json.dumps(asdict(loss)) + "\n")
        for name in self._names([loss.id]):
            (self._directory / name).unlink(missing_ok=True)

    def report(self, failed: dict[str, Loss]) -> FetchReport:
        """Write `ok.ecsv` and `report.json`, and return the report."""
        complete = self._finished()
        ok = [place for place in self.positions if place.id in complete]
        dropped, lost = ([of[p.id] for p in self.positions if p.id in of] for of in (self.dropped, failed))
        report = FetchReport(len(self.positions), [place.id for place in ok], dropped, lost)
        table = Table(
            {
                "id": np.array([place.id for place in ok], dtype=str),
                "ra": np.array([float(place.ra) for place in ok]),
                "dec": np.array([float(place.dec) for place in ok]),
            }
        )
        with atomic_path(self._directory / "ok.ecsv") as temporary:
            table.write(temporary, format="ascii.ecsv", overwrite=True)
        write_json(self._directory / "report.json", report.summary())
        return report

    def _paths(self, id_: str, band: str) -> tuple[Path, Path]:
        final = self._directory / f"{id_}_{band}.fits"
        return final, final.with_name(f"{final.name}.part")

    def _names(self, ids: Iterable[str]) -> set[str]:
        return {path.name for id_ in ids for band in self._bands for path in self._paths(id_, band)}

    def _finished(self) -> set[str]:
        names = set(os.listdir(self._directory))
        return {
            place.id
            for place in self.positions
            if names.issuperset(self._paths(place.id, band)[0].name for band in self._bands)
        }

    def _recover(self) -> None:
        if self._journal.exists():
            whole, newline, torn = self._journal.read_text().rpartition("\n")
            if torn:  # the next line would be glued to the half one that a killed process can leave
                with atomic_path(self._journal) as temporary:
                    temporary.write_text(whole + newline)
            losses = [Loss(**json.loads(line)) for line in whole.splitlines()]
            self.dropped = {loss.id: loss for loss in losses}
        leftovers = self._names(self.dropped)
        for name in os.listdir(self._directory):
            if name.startswith(".tmp-") or name in leftovers:
                (self._directory / name).unlink()


def _check_claim(directory: Path, request: dict, positions: list[Position]) -> None:
    claim = directory / "fetch.json"
    places = {place.id: f"{place.ra} {place.dec}" for place in positions}
    if claim.exists():
        before = read_json(claim)
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
