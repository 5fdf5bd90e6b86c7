"""The run store: everything expensive is done once and kept under a key.

    key = sha256(kind, parameters, sha256 of the data, version of the source files that matter)

An entry is a folder `<root>/<kind>/<key>/` with `record.json` and the artefacts (safetensors, ECSV, JSON; no
pickle). It is made in `<key>.partial`, where an interrupted run finds its checkpoint again, and renamed when
done, under a lock: of two processes that ask for the same entry one works and the other waits for it.

The record holds the sha256 of every artefact. They are compared when a process first uses the entry, and by
`Store.verify`. What is not as it was written is renamed to `<key>.damaged`, with a message, and made again.

What a store lacks it looks for, by the same key, among the entries that travel with the project
(`galgen.runs.packed`), and unpacks in `<key>.published`. One that is not what it says is named, and made
here. A training that is published has no weights: who asks for its folder has it trained, and is told so.

An answer is an artefact of its own kind: a tree of JSON values, in which a mapping whose keys are no texts is
a list of its items. The type that was promised says how it is read, and what does not fit is refused. Nothing
that is read can name a type, or run. NaN and infinities are kept: the files are for Python, which has them.
"""

import contextlib
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from filelock import FileLock, Timeout
from pydantic import BaseModel, GetPydanticSchema, StringConstraints, TypeAdapter, model_validator
from pydantic_core import core_schema

from galgen.runs.code import version
from galgen.runs.errors import Damaged, GalgenError, checked
from galgen.runs.files import (
    atomic_path,
    file_sha256,
    full_disk_told,
    project,
    read_json,
    regular,
    write_json,
)
from galgen.runs.machine import commit, vectors
from galgen.runs.packed import left_out, packed, unpack

__all__ = [
    "Array",
    "Record",
    "Run",
    "Sha256",
    "Store",
    "checksums",
    "processor",
    "provenance",
    "read_answer",
    "read_record",
    "sound",
    "write_answer",
]


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


def _numbers(value: object) -> np.ndarray:
    found = np.asarray(value)
    if not found.ndim or found.dtype.kind not in "biuf":
        raise ValueError("no array of numbers")
    return found


# A field of a dataclass that is an array of numbers; of a scale with no twins one is empty.
Array = Annotated[
    np.ndarray,
    GetPydanticSchema(
        lambda *_: core_schema.no_info_plain_validator_function(
            _numbers, serialization=core_schema.plain_serializer_function_ser_schema(np.ndarray.tolist)
        )
    ),
]

_ITEMS = "items"


def write_answer(path: Path, answer: object, kind: object) -> None:
    """Write an answer of that type, atomically."""
    tree = _plain(TypeAdapter(kind).dump_python(answer))
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(tree) + "\n")


def read_answer(path: Path, kind: object) -> Any:
    """Read an answer of that type.

    Raises:
        Damaged: If there is none, or it is of another type.
    """
    try:
        found = checked(kind, _again(json.loads(regular(path).read_text())), "the answer")
        if isinstance(found, np.ndarray) and not found.size:
            raise ValueError("an array of nothing")
        return found
    except (OSError, RecursionError, TypeError, ValueError, GalgenError) as error:
        raise Damaged(f"{path} holds no such answer ({error})") from error


def _plain(value: object) -> object:
    if isinstance(value, dict):
        if all(isinstance(key, str) and key != _ITEMS for key in value):
            return {key: _plain(each) for key, each in value.items()}
        return {_ITEMS: [[_plain(key), _plain(each)] for key, each in value.items()]}
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _again(value: object) -> object:
    if isinstance(value, dict):
        if set(value) != {_ITEMS}:
            return {key: _again(each) for key, each in value.items()}
        return {_frozen(key): _again(each) for key, each in value[_ITEMS]}
    return list(map(_again, value)) if isinstance(value, list) else value


def _frozen(key: object) -> object:
    return tuple(map(_frozen, key)) if isinstance(key, list) else key


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

# Entries that this process has compared with their checksums, or made.
_SOUND: set[Path] = set()
# Packed ones that it has found to be something else.
_REFUSED: set[Path] = set()


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
        weights = {found[:16] for found in self.sha256.values()}  # which name what is published
        if self.key not in {_key(self.kind, self.params, self.data, self.code), *weights}:
            raise ValueError("its key is not that of its kind, params, data and code")
        return self


@dataclass(frozen=True)
class Run:
    """A finished entry of the store.

    Attributes:
        folder: Where its record is, and all that is published of it.
        record: What is known of it.
        make: Makes what is not published of it.
    """

    folder: Path
    record: dict
    make: Callable[[], "Run"] | None = None

    @property
    def path(self) -> Path:
        """The folder that has all of it; what is not published is made now."""
        return self.make().path if self.make and not self.whole else self.folder

    @property
    def whole(self) -> bool:
        """Whether all of it is there."""
        return all((self.folder / name).is_file() for name in self.record["sha256"])

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
        beside: That of packed entries, by default as `galgen.runs.packed.packed` says.

    Raises:
        GalgenError: If the first is something else than a folder.
    """

    def __init__(self, root: str | os.PathLike | None = None, beside: str | os.PathLike | None = None):
        self.packed = packed(beside)
        self.root = Path(root or os.environ.get("GALGEN_STORE") or project() / "store").absolute()
        if self.root.exists() and not self.root.is_dir():
            raise GalgenError(f"{self.root} is no folder, and so no run store: see --store and GALGEN_STORE")

    def key(self, kind: str, params: dict, *, data: str = "", code: Iterable[str] = ()) -> str:
        """The key of an entry (16 hexadecimal digits)."""
        return _key(kind, params, data, version(code))

    def find(self, kind: str, params: dict, *, data: str = "", code: Iterable[str] = ()) -> Run | None:
        """The finished entry, or the published one, or None."""
        return self.at(kind, self.key(kind, params, data=data, code=code))

    def at(self, kind: str, key: str) -> Run | None:
        """The same, by its key."""
        path = self.root / kind / key
        with contextlib.suppress(Damaged):  # `run`, which holds the lock, says so and makes it again
            return sound(path) if path.is_dir() else self._unpacked(path)
        return None

    def _unpacked(self, path: Path) -> Run | None:
        """The published entry of that key; None without, or if it is not what it says, which is told."""
        file = self.packed and self.packed / path.parent.name / f"{path.name}.zip"
        if not file or file in _REFUSED or not file.is_file():
            return None
        there = path.with_suffix(".published")
        with contextlib.suppress(Damaged):  # it is not there yet, or not whole
            return sound(there)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path), full_disk_told(there):
            with contextlib.suppress(Damaged):  # another process may have unpacked it since
                return sound(there)
            try:
                shutil.rmtree(there, ignore_errors=True)
                unpack(file, there)
                return sound(there)
            except Damaged as error:
                shutil.rmtree(there, ignore_errors=True)
                _REFUSED.add(file)
                print(f"galgen: the published {file} is refused, and made here: {error}", file=sys.stderr)
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
        here = functools.partial(self._make, kind, params, make, data, code, megabytes)
        if found := self.find(kind, params, data=data, code=code):
            # without a lock: a finished store may lie where nothing can be written
            return replace(found, make=here)
        return here()

    def _make(
        self,
        kind: str,
        params: dict,
        make: Callable[[Path], dict],
        data: str,
        code: tuple[str, ...],
        megabytes: Callable[[], float] | None,
    ) -> Run:
        """The entry, made here unless another process has made it since."""
        path = self.root / kind / self.key(kind, params, data=data, code=code)
        if self.packed and path.with_suffix(".published").is_dir() and not path.is_dir():
            told = f"{kind} {path.name} is published without its weights, which are asked for"
            print(f"galgen: {told}: it is trained", file=sys.stderr)
        partial = path.with_suffix(".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path), full_disk_told(partial, megabytes):
            if found := _whole(path):
                return found
            partial.mkdir(exist_ok=True)
            started = time.monotonic()
            try:
                summary = make(partial)
            except Damaged as error:
                _set_aside(partial, error)
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
            _SOUND.add(path)
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

    def verify(self) -> tuple[int, int]:
        """Compare all finished entries with their checksums, and set aside what differs.

        Returns:
            The number of entries, and of those that were set aside.
        """
        paths, damaged = self.finished(), 0
        for path in paths:
            _SOUND.discard(path)
            try:
                sound(path)
            except Damaged as error:
                try:
                    with _lock(path):  # it may have been made again since, or removed
                        damaged += path.is_dir() and not _whole(path)
                except OSError as refused:
                    print(f"galgen: {error}; it cannot be set aside: {refused.strerror}", file=sys.stderr)
                    damaged += 1
        return len(paths), damaged

    def get(self, key: str) -> Run:
        """The finished entry whose key starts with `key`.

        Raises:
            GalgenError: If there is none, or more than one, or it is not finished.
        """
        path = self.folders(key)[0].with_suffix("")
        there = [place for place in (path, path.with_suffix(".published")) if place.is_dir()]
        return Run((there or [path])[0], read_record((there or [path])[0]))

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
                    _SOUND.discard(folder)
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


def sound(path: Path) -> Run:
    """The entry in the folder `path`, compared with its checksums if this process has not done so yet.

    Raises:
        Damaged: If the record is not whole, or an artefact is missing or has changed.
    """
    record = read_record(path)
    if path not in _SOUND:
        found, some = checksums(path), path.suffix == ".published"
        for name, expected in record["sha256"].items():
            if found.get(name) != expected and not (some and name not in found and left_out(name)):
                raise Damaged(f"{path / name} {'has changed' if name in found else 'is missing'}")
        _SOUND.add(path)
    return Run(path, record)


def _whole(path: Path) -> Run | None:
    """The finished entry, for whoever holds its lock; what is damaged is set aside."""
    try:
        return sound(path) if path.is_dir() else None
    except Damaged as error:
        _set_aside(path, error)


def _set_aside(path: Path, error: Damaged) -> None:
    """Rename a damaged entry, finished or not, in the place of an older one, and say so."""
    aside = path.with_suffix(".damaged")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    _SOUND.discard(path)
    print(f"galgen: {error}; it is set aside in {aside} and made again when needed", file=sys.stderr)
