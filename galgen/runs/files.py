"""Atomic files: what a reader finds under a name is always whole.

A writer works under a temporary name in the same folder, flushes to the disk and renames; a killed
process leaves a `.tmp-*` file, which `visible` leaves out.
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
    """Yield a temporary path beside `path`; on success flush it and rename it to `path`.

    Args:
        path: The name under which the finished file is to appear. Its folder is created.

    Yields:
        A path with the same suffix, for the caller to write. It is removed if the block raises.

    Raises:
        FullDisk: Names the folder.
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
            os.chmod(temporary, 0o644)  # mkstemp makes private files; results are for everybody
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder; on success it takes the place of `folder`, which `in_place` then finds whole.

    Of whoever is killed, the next one removes what it left. One process at a time may write a folder.
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
    """The folder; if who wrote another was killed just before it took its place, the one of before."""
    if not folder.is_dir():
        with contextlib.suppress(OSError):  # there is none, or another process has done it
            os.rename(_before(folder), folder)
    return folder


def _before(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.before")


@contextlib.contextmanager
def explain_full_disk(folder: Path, megabytes: Callable[[], float] | None = None) -> Iterator[None]:
    """Turn the errors of a full disk, of any library, into one message.

    Args:
        folder: What is being written, or the folder that is written to.
        megabytes: About how much room it takes, asked only when the disk is full.

    Raises:
        FullDisk: Names the folder, and says how much room there is.
    """
    try:
        yield
    except (OSError, SafetensorError, FullDisk) as error:
        full = isinstance(error, FullDisk) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        # safetensors and numpy give no error number
        if not full and not re.search(r"No space left|quota exceeded|requested and \d+ written", str(error)):
            raise
        needed = ""
        if megabytes:
            written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
            needed = f" needs about {megabytes():.1f} MB, has {written:.1f} MB so far"
        raise FullDisk(folder, needed) from error


def visible(folder: Path, pattern: str) -> list[Path]:
    """The paths in a folder that match, in order, without those whose name begins with a dot."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))


def project() -> Path:
    """The first folder with a `data_manifest.yaml`, from the working directory upwards; else that itself."""
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / "data_manifest.yaml").is_file()), here)


def write_json(path: str | os.PathLike, value: object) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinities are refused (they are not JSON)."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n")


def read_json(path: str | os.PathLike) -> dict:
    """Read a JSON file written by `write_json`.

    Raises:
        OSError: If it is missing or no regular file: a pipe would be waited for.
        ValueError: If it is no JSON, which NaN and infinities are not.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(regular(path).read_text(encoding="utf-8"), parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def check_replaceable(path: str | os.PathLike, ours: Callable[[Path], bool]) -> None:
    """Refuse a path at which a command would write over what is not its own.

    Args:
        path: Where it will write.
        ours: Whether the regular file that is there is what such a command writes.

    Raises:
        GalgenError: If something else is there, or no file can be.
    """
    try:
        replaceable, told = ours(regular(path)), "is there already, and nothing that this command wrote"
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not os.path.islink(path):
            return
        replaceable, told = False, f"cannot be written over ({getattr(error, 'strerror', None) or error})"
    if not replaceable:
        raise GalgenError(f"{path} {told}; name another with --out")


def has_fields(path: Path, names: Set[str]) -> bool:
    """Whether a file is JSON of an object that has these fields."""
    found = read_json(path)
    return isinstance(found, dict) and names <= found.keys()


def regular(path: str | os.PathLike) -> Path:
    """The path, if it is that of a regular file.

    Raises:
        OSError: If it is missing, or a folder, a pipe or a device.
    """
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return path


def file_sha256(path: str | os.PathLike) -> str:
    """Hexadecimal sha256 of a regular file's bytes, read in pieces."""
    with open(regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json_values(value: object) -> object:
    """A value as JSON has it, floats with six digits; NaN and infinities become None."""
    if isinstance(value, dict):
        return {str(key): to_json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_values(item) for item in value]
    if hasattr(value, "dtype"):  # a number of numpy
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def results_file(given: Path | None, name: str, *, trial: bool) -> Path:
    """Return where a benchmark writes: where it was told to, else into `results/`.

    Raises:
        GalgenError: If a trial, which measures nothing, was not told where.
    """
    if given is None and trial:
        raise GalgenError(f"a trial does not write into results/{name}: say where with --out")
    return given or project() / "results" / name
