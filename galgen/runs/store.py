"""The run store: everything expensive is done once and kept under a key.

    key = sha256(kind, parameters, sha256 of the data, version of the source files that matter)

An entry is a folder `<root>/<kind>/<key>/` with `record.json` and the artefacts (safetensors, ECSV, JSON; no
pickle). It is made in `<key>.partial`, where an interrupted run finds its checkpoint again, and renamed when
done, under a lock: of two processes that ask for the same entry one works and the other waits for it.

The record holds the sha256 of every artefact. They are compared when a process first uses the entry.
What is not as it was written is renamed to `<key>.damaged`, with a message, and made again.
"""

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from filelock import FileLock, Timeout
from pydantic import BaseModel, StringConstraints, model_validator

from galgen.runs.code import version
from galgen.runs.errors import Damaged, GalgenError, checked
from galgen.runs.files import explain_full_disk, file_sha256, project, read_json, write_json
from galgen.runs.machine import commit, vectors

__all__ = ["Record", "Run", "Sha256", "Store", "checksums", "processor", "provenance", "read_record",
    "verified"]  # fmt: skip


def provenance() -> dict:
    """Commit, machine and versions of the packages that compute."""
    packages = ("galgen", "torch", "numpy", "scipy", "astropy", "galsim")
    return {
        "commit": commit(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {vectors()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def processor(machine: str) -> str:
    """The class of the processor in what `provenance` says of a machine; of older ones the architecture."""
    system, _, *vectors = machine.split(", ")
    return vectors[0] if vectors else system.split()[-1]


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

# Entries that this process has compared with their checksums, or made.
_VERIFIED: set[Path] = set()


class Record(BaseModel, strict=True, allow_inf_nan=False):
    """What every record holds, beside machine and versions."""

    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    kind: str
    params: dict
    data: str
    code: str
    created: str
    seconds: float
    commit: str
    summary: dict
    sha256: dict[str, Sha256]

    @model_validator(mode="after")
    def _of_its_key(self) -> "Record":
        if self.key != _key(self.kind, self.params, self.data, self.code):
            raise ValueError("its key is not that of its kind, params, data and code")
        return self


@dataclass(frozen=True)
class Run:
    """A finished entry of the store.

    Attributes:
        path: Its folder.
        record: What is known of it.
    """

    path: Path
    record: dict

    @property
    def key(self) -> str:
        """The name of the entry."""
        return self.record["key"]

    @property
    def summary(self) -> dict:
        """What the work reported of itself."""
        return self.record["summary"]


class Store:
    """A folder of finished runs.

    Args:
        root: The folder. By default the environment's GALGEN_STORE, or `store/` beside the
            `data_manifest.yaml` of the project the working directory lies in.

    Raises:
        GalgenError: If it is something else than a folder.
    """

    def __init__(self, root: str | os.PathLike | None = None):
        self.root = Path(root or os.environ.get("GALGEN_STORE") or project() / "store").absolute()
        if self.root.exists() and not self.root.is_dir():
            raise GalgenError(f"{self.root} is no folder, and so no run store: see --store and GALGEN_STORE")

    def key(self, kind: str, params: dict, *, data: str = "", code: Iterable[str] = ()) -> str:
        """The key of an entry (16 hexadecimal digits)."""
        return _key(kind, params, data, version(code))

    def find(self, kind: str, params: dict, *, data: str = "", code: Iterable[str] = ()) -> Run | None:
        """The finished entry, or None."""
        return self.at(kind, self.key(kind, params, data=data, code=code))

    def at(self, kind: str, key: str) -> Run | None:
        """The same, by its key."""
        path = self.root / kind / key
        with contextlib.suppress(Damaged):  # `run`, which holds the lock, says so and makes it again
            return verified(path) if path.is_dir() else None
        return None

    def run(
        self,
        kind: str,
        params: dict,
        make: Callable[[Path], dict],
        *,
        data: str = "",
        code: Iterable[str] = (),
        megabytes: Callable[[], float] | None = None,
    ) -> Run:
        """Return the entry, making it first if it is missing or damaged.

        Args:
            kind: What sort of artefact, a folder of the store.
            params: Everything the result depends on, as JSON values.
            make: Writes the artefacts into the folder it is given, which may hold what an interrupted
                attempt left behind, and returns a summary (JSON values). If it raises `Damaged`, it is
                called once more, with an empty folder.
            data: sha256 of the data the result depends on.
            code: The modules that the result depends on, as `galgen.models.unet`.
            megabytes: About how much room the entry takes, asked only when the disk is full.

        Raises:
            GalgenError: If the disk is full.
        """
        code = tuple(code)
        if found := self.find(kind, params, data=data, code=code):
            return found  # without a lock: a finished store may lie where nothing can be written
        path = self.root / kind / self.key(kind, params, data=data, code=code)
        partial = path.with_suffix(".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path), explain_full_disk(partial, megabytes):
            if found := _whole(path):
                return found
            partial.mkdir(exist_ok=True)
            started = time.monotonic()
            try:
                summary = make(partial)
            except Damaged as error:
                _quarantine(partial, error)
                partial.mkdir()
                summary = make(partial)
            for leftover in list(partial.rglob(".tmp-*")):  # of processes that were killed
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
            record = {
                "key": path.name,
                "kind": kind,
                "params": params,
                "data": data,
                "code": version(code),
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
                "seconds": round(time.monotonic() - started, 3),
                "summary": summary,
                "sha256": checksums(partial),
                **provenance(),
            }
            write_json(partial / "record.json", record)
            partial.rename(path)
            _VERIFIED.add(path)
        return Run(path, record)

    def runs(self, kind: str | None = None) -> list[Run]:
        """All finished entries, oldest first; those whose record cannot be read are named on stderr."""
        found = []
        for path in self.finished(kind):
            try:
                found.append(Run(path, read_record(path)))
            except Damaged as error:
                print(f"galgen: {error}; `galgen runs rm {path.name}` removes it", file=sys.stderr)
        return sorted(found, key=lambda run: run.record["created"])

    def finished(self, kind: str | None = None) -> list[Path]:
        """The folders of finished entries, whole or not."""
        found = sorted(self.root.glob(f"*/{'[0-9a-f]' * 16}"))
        return [path for path in found if path.is_dir() and kind in (None, path.parent.name)]

    def get(self, key: str) -> Run:
        """The finished entry whose key starts with `key`.

        Raises:
            GalgenError: If there is none, or more than one, or it is not finished.
        """
        path = self.folders(key)[0].with_suffix("")
        return Run(path, read_record(path))

    def folders(self, key: str) -> list[Path]:
        """All there is of the entry whose key starts with `key`: finished, unfinished, damaged.

        Raises:
            GalgenError: If there is none, or more than one such entry.
        """
        found = [p for p in self.root.glob("*/*") if p.is_dir() and key and p.name.startswith(key)]
        if (entries := len({path.with_suffix("") for path in found})) != 1:
            raise GalgenError(
                f"{entries} runs in {self.root} have a key starting with '{key}'; see `galgen runs list`"
            )
        return sorted(found)

    def remove(self, key: str) -> list[Path]:
        """Delete the entry whose key starts with `key`, whole or not, and return the folders it had.

        Raises:
            GalgenError: If there is none, or more than one, or another process is at work on it.
        """
        folders = self.folders(key)
        try:
            with _lock(folders[0], timeout=0):
                for folder in folders:
                    _VERIFIED.discard(folder)
                    shutil.rmtree(folder)
        except Timeout as error:
            raise GalgenError(f"{folders[0]} is being made by another process; end that first") from error
        return folders


def _key(kind: str, params: dict, data: str, code: str) -> str:
    identity = {"kind": kind, "params": params, "data": data, "code": code}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _lock(path: Path, timeout: float = -1) -> FileLock:
    """The lock of an entry, by any of its folders."""
    return FileLock(path.parent / f".{path.stem}.lock", timeout=timeout)


def read_record(path: Path, kind: type[Record] = Record) -> dict:
    """The record of the entry in the folder `path`.

    Raises:
        Damaged: If there is none, it is not that of a `kind`, or that of another entry.
    """
    try:
        record = read_json(path / "record.json")
        known = checked(kind, record, "the record")
        if (known.kind, known.key) != (path.parent.name, path.stem):
            raise ValueError(f"it is that of {known.kind}/{known.key}")
    except PermissionError:  # whole for others: nothing to set aside
        raise
    except (OSError, ValueError, GalgenError) as error:
        raise Damaged(f"{path} has no whole record.json ({error})") from error
    return record


def checksums(folder: Path) -> dict[str, str]:
    """The sha256 of every file below a folder, by its path there, but for the record and temporary files."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: file_sha256(path)
        for name, path in sorted(files.items())
        if name != "record.json" and not path.name.startswith(".tmp-")
    }


def verified(path: Path) -> Run:
    """The entry in the folder `path`, compared with its checksums if this process has not done so yet.

    Raises:
        Damaged: If the record is not whole, or an artefact is missing or has changed.
    """
    record = read_record(path)
    if path not in _VERIFIED:
        found = checksums(path)
        for name, expected in record["sha256"].items():
            if found.get(name) != expected:
                raise Damaged(f"{path / name} {'has changed' if name in found else 'is missing'}")
        _VERIFIED.add(path)
    return Run(path, record)


def _whole(path: Path) -> Run | None:
    """The finished entry, for whoever holds its lock; what is damaged is set aside."""
    try:
        return verified(path) if path.is_dir() else None
    except Damaged as error:
        _quarantine(path, error)


def _quarantine(path: Path, error: Damaged) -> None:
    """Rename a damaged entry, finished or not, in the place of an older one, and say so."""
    aside = path.with_suffix(".damaged")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    _VERIFIED.discard(path)
    print(f"galgen: {error}; it is set aside in {aside} and made again when needed", file=sys.stderr)
