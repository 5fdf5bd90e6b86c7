"""Atomic file and folder writes, JSON, and checksums: readers never see a partial file.

A writer uses a temporary name in the same folder, flushes to disk and renames; a killed process leaves a
`.tmp-*` file, which `visible` ignores.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Set
from pathlib import Path

from safetensors import SafetensorError

from galgen.runs.errors import FullDisk, GalgenError

__all__ = [
    "atomic_folder",
    "atomic_path",
    "check_replaceable",
    "explain_full_disk",
    "file_sha256",
    "has_fields",
    "in_place",
    "project",
    "read_json",
    "regular",
    "results_file",
    "to_json_values",
    "visible",
    "write_json",
]


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success flush it and rename it to `path`.

    Args:
        path: Final path of the file. Its folder is created if missing.

    Yields:
        A path with the same suffix, for the caller to write. It is removed if the block raises.

    Raises:
        FullDisk: If the disk is full; names the folder.
    """
    path = Path(path)
    with explain_full_disk(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".tmp-", suffix=path.suffix, dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # mkstemp creates private files; results are readable by all
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `folder` on success; read it through `in_place`.

    Leftovers of a killed process are removed by the next one. Only one process may write a folder at a time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    new, before = folder.with_name(f".{folder.name}.new"), _before(in_place(folder))
    for path in (new, before):
        shutil.rmtree(path, ignore_errors=True)
    new.mkdir()
    try:
        with explain_full_disk(new):
            yield new
        if folder.is_dir():
            os.rename(folder, before)
        os.rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(_before(in_place(folder)), ignore_errors=True)


def in_place(folder: Path) -> Path:
    """Return the folder, after restoring the previous one if a writer was killed during replacement."""
    if not folder.is_dir():
        with contextlib.suppress(OSError):  # no previous folder, or another process restored it
            os.rename(_before(folder), folder)
    return folder


def _before(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.before")


@contextlib.contextmanager
def explain_full_disk(folder: Path, megabytes: Callable[[], float] | None = None) -> Iterator[None]:
    """Convert the full-disk errors of any library to one message.

    Args:
        folder: The folder that is written, or written to.
        megabytes: Estimate of the space required, called only when the disk is full.

    Raises:
        FullDisk: Names the folder and the free space.
    """
    try:
        yield
    except (OSError, SafetensorError, FullDisk) as error:
        full = isinstance(error, FullDisk) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        # safetensors and numpy do not set an error number
        if not full and not re.search(r"No space left|quota exceeded|requested and \d+ written", str(error)):
            raise
        needed = ""
        if megabytes:
            written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
            needed = f" needs about {megabytes():.1f} MB, has {written:.1f} MB so far"
        raise FullDisk(folder, needed) from error


def visible(folder: Path, pattern: str) -> list[Path]:
    """Return the paths in a folder that match a pattern, sorted, without hidden ones."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def project() -> Path:
    """Return the nearest folder with a `data_manifest.yaml`, from the working directory up, or the latter."""
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / "data_manifest.yaml").is_file()), here)


def write_json(path: str | os.PathLike, value: object) -> None:
    """Write `value` as indented JSON, atomically; raise ValueError for NaN and infinities."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n")


def read_json(path: str | os.PathLike) -> dict:
    """Read a JSON file written by `write_json`.

    Raises:
        OSError: If it is missing or not a regular file (a pipe would block).
        ValueError: If it is not valid JSON; NaN and infinities are not.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not valid JSON")

    try:
        return json.loads(regular(path).read_text(encoding="utf-8"), parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def check_replaceable(path: str | os.PathLike, ours: Callable[[Path], bool]) -> None:
    """Raise if a command would overwrite a file that it did not write.

    Args:
        path: Output path of the command.
        ours: Tests whether an existing regular file is an output of the command.

    Raises:
        GalgenError: If another file exists at the path, or the path cannot hold a file.
    """
    try:
        replaceable, reason = ours(regular(path)), "exists already and was not written by this command"
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not os.path.islink(path):
            return
        replaceable, reason = False, f"cannot be overwritten ({getattr(error, 'strerror', None) or error})"
    if not replaceable:
        raise GalgenError(f"{path} {reason}; choose another path with --out")


def has_fields(path: Path, names: Set[str]) -> bool:
    """Whether a JSON file contains an object with these fields."""
    value = read_json(path)
    return isinstance(value, dict) and names <= value.keys()


def regular(path: str | os.PathLike) -> Path:
    """Return the path if it is a regular file.

    Raises:
        OSError: If it is missing, or a folder, a pipe or a device.
    """
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path


def file_sha256(path: str | os.PathLike) -> str:
    """Return the hexadecimal sha256 of a regular file, read in blocks."""
    with open(regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json_values(value: object) -> object:
    """Convert a value to JSON types, floats to six significant digits, NaN and infinities to None."""
    if isinstance(value, dict):
        return {str(key): to_json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_values(item) for item in value]
    if hasattr(value, "dtype"):  # a NumPy scalar
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def results_file(given: Path | None, name: str, *, trial: bool) -> Path:
    """Return the output path of a benchmark: `given`, or by default `results/<name>`.

    Raises:
        GalgenError: If it is a trial run, whose timings mean nothing, and no path is given.
    """
    if given is None and trial:
        raise GalgenError(f"a trial does not write results/{name}; choose a path with --out")
    return given or project() / "results" / name
