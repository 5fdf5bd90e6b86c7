"""Entries of a run store that travel with a project: one packed file each, written by who publishes alone.

    <folder>/<kind>/<key>.zip     `record.json` and the artefacts that it lists
    <folder>/book.json            which book they are of, and where it was computed (`About`)

They are found by key, or not at all: a record must hash to the key that the file is named by, and every
artefact to its checksum in the record. Of a training the weights may be left out, not record and losses.
"""

import os
import re
import zipfile
from collections.abc import Iterable
from lzma import LZMAError
from pathlib import Path
from typing import Any

from galgen.runs.errors import Damaged
from galgen.runs.files import atomic_path, in_place, project, regular
from galgen.runs.reading import Written, read_as

__all__ = ["About", "about", "left_out", "pack", "packed", "place", "unpack"]

_WEIGHTS = re.compile(r"(weights-\d+|checkpoint)\.safetensors")
_LARGEST = 2**30  # bytes of an entry: more is none of ours
_DAY = (1980, 1, 1, 0, 0, 0)  # of every file in a zip, whose bytes are then those of its contents


class About(Written):
    """Of which book the entries are: what was asked, in which precision, where and when it was computed."""

    parameters: dict
    precision: str
    commit: str
    machine: str
    date: str
    begun: dict[str, list[dict[str, float]]]  # by training, the losses of its first steps


def place(folder: str | os.PathLike | None = None) -> Path:
    """The folder of entries that travel with the project, by default `results/published/`."""
    return Path(folder).absolute() if folder else in_place(project() / "results" / "published")


def packed(folder: str | os.PathLike | None = None) -> Path | None:
    """The same; None if it is not named and everything is to be made here, as RECOMPUTE=1 says."""
    return place(folder) if folder or os.environ.get("RECOMPUTE", "0") in ("", "0") else None


def about(folder: Path | None) -> dict[str, Any] | None:
    """What `book.json` says of a folder of entries, or None where nothing is published.

    Raises:
        GalgenError: If it is damaged.
    """
    file = folder and folder / "book.json"
    return read_as(file, About, "take it from the repository again") if file and file.exists() else None


def left_out(name: str) -> bool:
    """Whether an artefact of that name may be missing: the weights of a training."""
    return bool(_WEIGHTS.fullmatch(name))


def pack(folder: Path, names: Iterable[str], to: Path) -> None:
    """Pack the record of an entry and these of its artefacts, all that are not left out; atomic."""
    with atomic_path(to) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for name in ("record.json", *sorted(name for name in names if not left_out(name))):
            told = zipfile.ZipInfo(name, _DAY)
            told.compress_type = zipfile.ZIP_LZMA  # of images four fifths of what deflate leaves
            file.writestr(told, (folder / name).read_bytes())


def unpack(file: Path, folder: Path) -> None:
    """Unpack an entry into a folder, which is made.

    Raises:
        Damaged: If it is no such file, or not whole.
    """
    try:
        with zipfile.ZipFile(regular(file)) as found:
            if sum(each.file_size for each in found.infolist()) > _LARGEST:
                raise ValueError("it is too large")
            found.extractall(folder)  # which keeps all names below the folder, and compares every CRC
    except (OSError, ValueError, EOFError, RuntimeError, LZMAError, zipfile.BadZipFile) as error:
        if getattr(error, "errno", None):  # of the system; what is no whole LZMA has no number
            raise
        raise Damaged(f"{file} is no whole entry ({error})") from error
