"""The run store: a content-addressed cache of expensive results, each computed once and stored under a key.

    key = sha256(kind, parameters, name of the data, version of the source files that matter)

An entry is a folder `<root>/<kind>/<key>/` with `record.json` and the artifacts (safetensors, ECSV, JSON; no
pickle). It is computed in `<key>.partial`, where an interrupted run finds its checkpoint, and renamed when
complete, under a lock: if two processes request the same entry, one computes it and the other waits.

The record holds the sha256 of every artifact, verified when a process first uses the entry. A damaged entry
is renamed to `<key>.damaged`, with a message, and computed again.
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
    """Return the commit, the machine, and the versions of Python and of the numerical packages."""
    packages = ("galgen", "torch", "numpy", "scipy", "astropy", "galsim")
    return {
        "commit": commit(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {vectors()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def processor(machine: str) -> str:
    """Return the processor class in a machine string of `provenance`; in older ones the architecture."""
    system, _, *vectors = machine.split(", ")
    return vectors[0] if vectors else system.split()[-1]


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

# Entries that this process has computed or verified against their checksums.
_VERIFIED: set[Path] = set()


class Record(BaseModel, strict=True, allow_inf_nan=False):
    """Fields of every record, in addition to machine and versions."""

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
    def _check_key(self) -> "Record":
        if self.key != _key(self.kind, self.params, self.data, self.code):
            raise ValueError("the key does not match kind, params, data and code")
        return self


@dataclass(frozen=True)
class Run:
    """A finished entry of the store.

    Attributes:
        path: Folder of the entry.
        record: Contents of its `record.json`.
    """

    path: Path
    record: dict

    @property
    def key(self) -> str:
        """Key of the entry (16 hexadecimal digits)."""
        return self.record["key"]

    @property
    def summary(self) -> dict:
        """Summary returned by the function that computed the entry."""
        return self.record["summary"]


class Store:
    """A folder of finished runs.

    Args:
        root: The folder. By default the environment variable GALGEN_STORE, or `store/` in the project
            (the nearest folder with a `data_manifest.yaml`, from the working directory up).

    Raises:
        GalgenError: If the path exists and is not a folder.
    """

    def __init__(self, root: str | os.PathLike | None = None):
        self.root = Path(root or os.environ.get("GALGEN_STORE") or project() / "store").absolute()
        if self.root.exists() and not self.root.is_dir():
            raise GalgenError(f"{self.root} is not a folder; set the run store with --store or GALGEN_STORE")

    def key(self, kind: str, params: dict, *, data: str = "", code: Iterable[str] = ()) -> str:
        """Return the key of an entry (16 hexadecimal digits); without modules, of its recipe."""
        return _key(kind, params, data, version(code))

    def find(self, kind: str, params: dict, *, data: str = "", code: Iterable[str] = ()) -> Run | None:
        """Return the finished entry with these parameters, or None."""
        return self.at(kind, self.key(kind, params, data=data, code=code))

    def at(self, kind: str, key: str) -> Run | None:
        """Return the finished entry with this key, or None."""
        path = self.root / kind / key
        with contextlib.suppress(Damaged):  # `run`, which holds the lock, reports and recomputes it
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
        """Return the entry, computing it first if it is missing or damaged.

        Args:
            kind: Kind of result; names a folder of the store.
            params: All parameters the result depends on, as JSON values.
            make: Writes the artifacts into the folder passed to it, which may contain files of an
                interrupted attempt, and returns a summary (JSON values). If it raises `Damaged`, it is
                called once more, with an empty folder.
            data: Name of the data the result depends on, such as its sha256.
            code: The modules that the result depends on, such as `galgen.models.unet`.
            megabytes: Estimate of the size of the entry, called only when the disk is full.

        Raises:
            GalgenError: If the disk is full.
        """
        code = tuple(code)
        if entry := self.find(kind, params, data=data, code=code):
            return entry  # without a lock: a finished store may be read-only
        path = self.root / kind / self.key(kind, params, data=data, code=code)
        partial = path.with_suffix(".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path), explain_full_disk(partial, megabytes):
            if entry := _verified_or_quarantined(path):
                return entry
            partial.mkdir(exist_ok=True)
            started = time.monotonic()
            try:
                summary = make(partial)
            except Damaged as error:
                _quarantine(partial, error)
                partial.mkdir()
                summary = make(partial)
            for leftover in list(partial.rglob(".tmp-*")):  # from killed processes
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
        """Return all finished entries, oldest first; report those with unreadable records on stderr."""
        entries = []
        for path in self.finished(kind):
            try:
                entries.append(Run(path, read_record(path)))
            except Damaged as error:
                print(f"galgen: {error}; `galgen runs rm {path.name}` removes it", file=sys.stderr)
        return sorted(entries, key=lambda run: run.record["created"])

    def finished(self, kind: str | None = None) -> list[Path]:
        """Return the folders of finished entries, including damaged ones."""
        folders = sorted(self.root.glob(f"*/{'[0-9a-f]' * 16}"))
        return [path for path in folders if path.is_dir() and kind in (None, path.parent.name)]

    def get(self, key: str) -> Run:
        """Return the finished entry whose key starts with `key`.

        Raises:
            GalgenError: If no entry or several entries match, or it is not finished.
        """
        path = self.folders(key)[0].with_suffix("")
        return Run(path, read_record(path))

    def folders(self, key: str) -> list[Path]:
        """Return all folders (finished, partial, damaged) of the entry whose key starts with `key`.

        Raises:
            GalgenError: If no entry or several entries match.
        """
        folders = [p for p in self.root.glob("*/*") if p.is_dir() and key and p.name.startswith(key)]
        if (entries := len({path.with_suffix("") for path in folders})) != 1:
            raise GalgenError(
                f"{entries} runs in {self.root} have a key starting with '{key}'; see `galgen runs list`"
            )
        return sorted(folders)

    def remove(self, key: str) -> list[Path]:
        """Delete the entry whose key starts with `key`, finished or not, and return its folders.

        Raises:
            GalgenError: If no entry or several entries match, or another process is computing it.
        """
        folders = self.folders(key)
        try:
            with _lock(folders[0], timeout=0):
                for folder in folders:
                    _VERIFIED.discard(folder)
                    shutil.rmtree(folder)
        except Timeout as error:
            raise GalgenError(f"{folders[0]} is being made by another process; stop it first") from error
        return folders


def _key(kind: str, params: dict, data: str, code: str) -> str:
    identity = {"kind": kind, "params": params, "data": data, "code": code}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _lock(path: Path, timeout: float = -1) -> FileLock:
    """Return the lock of an entry, given any of its folders."""
    return FileLock(path.parent / f".{path.stem}.lock", timeout=timeout)


def read_record(path: Path, kind: type[Record] = Record) -> dict:
    """Read the record of the entry in the folder `path`.

    Raises:
        Damaged: If it is missing, is not a valid `kind` or belongs to another entry.
    """
    try:
        record = read_json(path / "record.json")
        fields = checked(kind, record, "the record")
        if (fields.kind, fields.key) != (path.parent.name, path.stem):
            raise ValueError(f"it belongs to {fields.kind}/{fields.key}")
    except PermissionError:  # not damaged, others may read it: do not quarantine it
        raise
    except (OSError, ValueError, GalgenError) as error:
        raise Damaged(f"{path} has no valid record.json ({error})") from error
    return record


def checksums(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file in a folder by relative path, except record and temporary files."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: file_sha256(path)
        for name, path in sorted(files.items())
        if name != "record.json" and not path.name.startswith(".tmp-")
    }


def verified(path: Path) -> Run:
    """Return the entry in the folder `path`, verifying its checksums once per process.

    Raises:
        Damaged: If the record is invalid, or an artifact is missing or has changed.
    """
    record = read_record(path)
    if path not in _VERIFIED:
        actual = checksums(path)
        for name, expected in record["sha256"].items():
            if actual.get(name) != expected:
                raise Damaged(f"{path / name} {'has changed' if name in actual else 'is missing'}")
        _VERIFIED.add(path)
    return Run(path, record)


def _verified_or_quarantined(path: Path) -> Run | None:
    """Return the finished entry, or quarantine it if damaged; the caller must hold its lock."""
    try:
        return verified(path) if path.is_dir() else None
    except Damaged as error:
        _quarantine(path, error)


def _quarantine(path: Path, error: Damaged) -> None:
    """Rename a damaged entry, finished or not, to `<key>.damaged` and report it on stderr."""
    target = path.with_suffix(".damaged")
    shutil.rmtree(target, ignore_errors=True)
    path.rename(target)
    _VERIFIED.discard(path)
    print(f"galgen: {error}; moved to {target}, will be computed again when needed", file=sys.stderr)
