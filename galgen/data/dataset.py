"""Data sets on disk: open, verify and write.

A data set is a folder with `images.npy` (uint8, (n, 1, H, W), memory-mapped), `catalogue.ecsv` (n rows, a
column `id`) and `meta.json` (source, parameters, sha256 of both files, provenance, dropped objects).
"""

import csv
import datetime
import functools
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from astropy.io import ascii
from astropy.table import Table
from pydantic import BaseModel, Field, PositiveInt

from galgen.data.split import distinct
from galgen.runs.errors import GalgenError, checked, printable
from galgen.runs.files import explain_full_disk, file_sha256, read_json, regular, write_json
from galgen.runs.store import Sha256, provenance

__all__ = ["Dataset", "check_free", "check_ids", "write_catalogue", "write_dataset"]


class _Sums(BaseModel, extra="forbid"):
    """Checksums (sha256) of the files of a data set."""

    images: Sha256 = Field(alias="images.npy")
    catalogue: Sha256 = Field(alias="catalogue.ecsv")


class _Meta(BaseModel, strict=True, allow_inf_nan=False):
    """Fields of `meta.json`, in addition to the provenance."""

    format: Literal[1]
    source: str
    manifest: str
    shape: Annotated[list[PositiveInt], Field(min_length=4, max_length=4)]
    parameters: dict
    dropped: dict[str, int]
    sha256: _Sums
    created: str


@dataclass(frozen=True)
class Dataset:
    """An opened data set.

    Attributes:
        directory: Folder of the data set.
        images: Memory-mapped uint8 array of shape (n, 1, H, W).
        meta: The contents of `meta.json`.
    """

    directory: Path
    images: np.ndarray
    meta: dict

    @classmethod
    def open(cls, directory: str | Path) -> "Dataset":
        """Open the data set in `directory`.

        Raises:
            GalgenError: If the folder is not a data set, or a file is missing or has an unexpected shape.
        """
        directory = Path(directory)
        if not (directory / "meta.json").is_file():
            raise GalgenError(
                f"{directory} is not a galgen data set (no meta.json); make one with `galgen data import` "
                "or `galgen data simulate`"
            )
        try:
            meta = read_json(directory / "meta.json")
            checked(_Meta, meta, "its fields")
        except (OSError, ValueError, GalgenError) as error:
            raise GalgenError(f"{directory / 'meta.json'} is damaged ({error}); import it again") from error
        shape, path = meta["shape"], directory / "images.npy"
        try:
            images = np.lib.format.open_memmap(regular(path), mode="r")
        except Exception as error:  # NumPy may raise anything for a damaged header
            raise GalgenError(f"{path} cannot be read ({error}); import it again") from error
        if images.dtype != np.uint8 or list(images.shape) != shape or shape[1] != 1 or shape[2] != shape[3]:
            raise GalgenError(
                f"{path} is {images.dtype} {images.shape}, but must be square gray images, uint8 {shape} as "
                "in meta.json; import it again"
            )
        return cls(directory, images, meta)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sha256(self) -> str:
        """Checksum (sha256) of `images.npy`, which identifies the data in store keys."""
        return self.meta["sha256"]["images.npy"]

    @property
    def name(self) -> str:
        """Name of the source on figures."""
        return printable(self.meta["source"])

    @property
    def catalogue(self) -> Table:
        """Catalogue with one row per image, read from disk.

        Raises:
            GalgenError: If it is missing or damaged.
        """
        path = self.directory / "catalogue.ecsv"
        try:
            return Table.read(regular(path), format="ascii.ecsv", encoding="utf-8")
        except Exception as error:  # astropy may raise anything for a damaged table
            reason = " ".join(str(error).split())
            raise GalgenError(f"{path} cannot be read ({reason:.200}); import the data set again") from error

    @functools.cached_property
    def distinct(self) -> np.ndarray:
        """Rows of distinct images, one per D4 class, ascending; splits are subsets of these."""
        return distinct(self.images)

    def verify(self) -> None:
        """Verify the checksums of both files against `meta.json`.

        Raises:
            GalgenError: If a file is missing or has changed.
        """
        for name, expected in self.meta["sha256"].items():
            path = self.directory / name
            if not path.is_file():
                raise GalgenError(f"{path} is missing; import the data set again")
            if (now := file_sha256(path)) != expected:
                raise GalgenError(f"{path} has changed: sha256 {now}, expected {expected}; import it again")
        if (rows := len(self.catalogue)) != len(self):
            raise GalgenError(f"{self.directory}: the catalogue has {rows} rows for {len(self)} images")


def check_free(directory: str | Path) -> Path:
    """Return the folder if a data set can be written there, without creating it.

    Raises:
        GalgenError: If it exists and is not empty, or cannot be created.
    """
    directory = Path(directory)
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise GalgenError(f"{directory} exists already; choose another name or remove it first")
        parent = next(folder for folder in directory.absolute().parents if folder.exists())
        if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
            raise PermissionError(0, f"{parent} is not a writable folder")
    except OSError as error:
        raise GalgenError(f"no data set can be written to {directory}: {error.strerror}") from error
    return directory


def check_ids(ids: Sequence[str], of: object) -> None:
    """Check that ids are unique and not blank.

    Raises:
        GalgenError: Names the first invalid id and the source `of` the ids.
    """
    invalid = next((id_ for id_, count in Counter(ids).items() if count > 1 or not id_.strip()), None)
    if invalid is not None:
        raise GalgenError(f"{of}: the id '{invalid:.80}' is blank or not unique; make the ids unique")


def write_catalogue(catalogue: Table, path: Path) -> None:
    """Write a table as ECSV, in UTF-8 in any locale; all values are quoted, as rows may begin with #."""
    writer = ascii.get_writer(writer_cls=ascii.Ecsv)
    writer.data.splitter.quoting = csv.QUOTE_ALL
    path.write_text("\n".join(writer.write(catalogue)) + "\n", encoding="utf-8")


def write_dataset(
    directory: str | Path,
    images: np.ndarray,
    catalogue: Table,
    *,
    source: str,
    manifest: str,
    parameters: dict,
    dropped: dict[str, int],
) -> Dataset:
    """Write a data set atomically and return it.

    Args:
        directory: The folder to create; if it exists, it must be empty.
        images: uint8 array of shape (n, 1, H, W), n >= 1.
        catalogue: n rows with a string column `id`.
        source: Name of the source on figures.
        manifest: Entry of `data_manifest.yaml` with the credits.
        parameters: Parameters that the images were made with (JSON values).
        dropped: Number of dropped objects, by reason.

    Raises:
        GalgenError: If the folder is in use, or catalogue and images do not match.
    """
    directory, ids = check_free(directory), [str(id_) for id_ in catalogue["id"]]
    check_ids(ids, directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    disk = explain_full_disk(directory, lambda: (images.nbytes + 400 * len(images)) / 2**20)
    work = tempfile.TemporaryDirectory(prefix=".tmp-", dir=directory.parent, ignore_cleanup_errors=True)
    with disk, work as folder:
        temporary = Path(folder)
        np.save(temporary / "images.npy", images, allow_pickle=False)
        write_catalogue(catalogue, temporary / "catalogue.ecsv")
        meta = {
            "format": 1,
            "source": printable(source),
            "manifest": manifest,
            "shape": list(images.shape),
            "parameters": parameters,
            "dropped": dropped,
            "sha256": {name: file_sha256(temporary / name) for name in ("images.npy", "catalogue.ecsv")},
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **provenance(),
        }
        write_json(temporary / "meta.json", meta)
        read_back = [str(id_) for id_ in Dataset.open(temporary).catalogue["id"]]
        if read_back != ids or len(ids) != len(images):
            raise GalgenError(
                f"{directory}: the {len(ids)} rows of the catalogue do not match the {len(images)} images"
            )
        temporary.chmod(0o755)  # temporary folders are private
        temporary.replace(directory)
    return Dataset.open(directory)
