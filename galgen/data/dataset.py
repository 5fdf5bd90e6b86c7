"""The data set on disk.

A data set is a folder with `images.npy` (uint8, (n, 1, H, W), memory-mapped), `catalogue.ecsv` (n rows, a
column `id`) and `meta.json` (source, parameters, sha256 of both files, provenance, what was dropped and why).
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
    """The sha256 of the files of a data set."""

    images: Sha256 = Field(alias="images.npy")
    catalogue: Sha256 = Field(alias="catalogue.ecsv")


class _Meta(BaseModel, strict=True, allow_inf_nan=False):
    """What `meta.json` holds, beside its provenance."""

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
        directory: The folder it lies in.
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
            GalgenError: If the folder holds no data set, or a file of it is missing or of the wrong shape.
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
        except Exception as error:  # of a damaged header NumPy may raise anything
            raise GalgenError(f"{path} cannot be read ({error}); import it again") from error
        if images.dtype != np.uint8 or list(images.shape) != shape or shape[1] != 1 or shape[2] != shape[3]:
            raise GalgenError(
                f"{path} is {images.dtype} {images.shape}, but meta.json says uint8 {shape}, and square gray "
                "images are wanted; import it again"
            )
        return cls(directory, images, meta)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sha256(self) -> str:
        """The sha256 of `images.npy`, by which runs know the data they were made from."""
        return self.meta["sha256"]["images.npy"]

    @property
    def name(self) -> str:
        """The name of the source, as written on figures."""
        return printable(self.meta["source"])

    @property
    def catalogue(self) -> Table:
        """The catalogue, one row an image, read from disk.

        Raises:
            GalgenError: If it is missing or damaged.
        """
        path = self.directory / "catalogue.ecsv"
        try:
            return Table.read(regular(path), format="ascii.ecsv", encoding="utf-8")
        except Exception as error:  # of a damaged table astropy may raise anything
            told = " ".join(str(error).split())
            raise GalgenError(f"{path} cannot be read ({told:.200}); import the data set again") from error

    @functools.cached_property
    def distinct(self) -> np.ndarray:
        """Rows of one image of each class, in growing order: those that splits draw from."""
        return distinct(self.images)

    def verify(self) -> None:
        """Compare both files with the checksums in `meta.json`.

        Raises:
            GalgenError: If a file is missing or has changed.
        """
        for name, expected in self.meta["sha256"].items():
            path = self.directory / name
            if not path.is_file():
                raise GalgenError(f"{path} is missing; import the data set again")
            if (found := file_sha256(path)) != expected:
                raise GalgenError(f"{path} has changed: sha256 {found}, expected {expected}; import it again")
        if (rows := len(self.catalogue)) != len(self):
            raise GalgenError(f"{self.directory}: {rows} rows in the catalogue for {len(self)} images")


def check_free(directory: str | Path) -> Path:
    """The folder, if a data set can be written there; nothing is made yet.

    Raises:
        GalgenError: If there is something already, or no such folder can be made.
    """
    directory = Path(directory)
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise GalgenError(f"{directory} exists already; choose another name or remove it first")
        above = next(folder for folder in directory.absolute().parents if folder.exists())
        if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
            raise PermissionError(0, f"{above} is no folder that can be written to")
    except OSError as error:
        raise GalgenError(f"no data set can be written to {directory}: {error.strerror}") from error
    return directory


def check_ids(ids: Sequence[str], of: object) -> None:
    """Refuse names of galaxies that name none, or more than one.

    Raises:
        GalgenError: With the first that does, and `of` what.
    """
    wrong = next((id_ for id_, count in Counter(ids).items() if count > 1 or not id_.strip()), None)
    if wrong is not None:
        raise GalgenError(f"{of}: the id '{wrong:.80}' names no galaxy or more than one; make the ids unique")


def write_catalogue(catalogue: Table, path: Path) -> None:
    """Write a table as ECSV, in UTF-8 whatever the locale, and each value quoted: a row may begin with #."""
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
    """Write a data set; the folder appears whole or not at all.

    Args:
        directory: The folder to make. It may not exist, or must be empty.
        images: uint8 array of shape (n, 1, H, W), n >= 1.
        catalogue: n rows with a string column `id`.
        source: Name of the source, as it is to stand on figures.
        manifest: The entry of `data_manifest.yaml` that says whom to credit.
        parameters: How the images were made (JSON values).
        dropped: Number of objects left out, by reason.

    Raises:
        GalgenError: If the folder is in use, or the catalogue is not that of the images.
    """
    directory, ids = check_free(directory), [str(id_) for id_ in catalogue["id"]]
    check_ids(ids, directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    told = explain_full_disk(directory, lambda: (images.nbytes + 400 * len(images)) / 2**20)
    work = tempfile.TemporaryDirectory(prefix=".tmp-", dir=directory.parent, ignore_cleanup_errors=True)
    with told, work as folder:
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
                f"{directory}: {len(ids)} rows of the catalogue do not name {len(images)} images"
            )
        temporary.chmod(0o755)  # temporary folders are private
        temporary.replace(directory)
    return Dataset.open(directory)
