"""The data set on disk, and the splits that every two-models test rests on.

A data set is a folder with `images.npy` (uint8, (n, 1, H, W), memory-mapped), `catalogue.ecsv` (n rows, a
column `id`) and `meta.json` (source, parameters, sha256 of both files, provenance, what was dropped and why).

Splits. Two images are the same galaxy when one equals the other under a flip or a rotation by a multiple of
90 degrees (the dihedral group D4). One image of each class is kept. With a seeded permutation s of the n'
kept images, V for validation and N for each model,

    validation = s[:V],   A = s[V : V + N],   B = s[n' - N : n'],        2 N + V <= n'

so A, B and validation are disjoint by content, and the sets of a smaller N lie in those of a larger one.
"""

import csv
import datetime
import functools
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from astropy.io import ascii
from astropy.table import Table
from pydantic import BaseModel, Field, PositiveInt

from galgen.runs.errors import GalgenError, checked, printable
from galgen.runs.files import file_sha256, full_disk_told, read_json, regular, write_json
from galgen.runs.store import Sha256, provenance

__all__ = ["Dataset", "Split", "check_free", "check_ids", "dihedral_keys", "split", "write_catalogue",
    "write_dataset"]  # fmt: skip


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
        return np.sort(np.unique(dihedral_keys(self.images), return_index=True)[1])

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
    told = full_disk_told(directory, lambda: (images.nbytes + 400 * len(images)) / 2**20)
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


@dataclass(frozen=True)
class Split:
    """Row numbers of disjoint sets of images; A and B have N each.

    `starts`, at most as many as validation, is what no model is trained on and few tests see: samplers may
    begin there.
    """

    A: np.ndarray
    B: np.ndarray
    validation: np.ndarray
    starts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


def dihedral_keys(images: np.ndarray) -> np.ndarray:
    """One 64-bit key an image, equal for the images of one orbit of D4 (flips and quarter turns).

    The key is the least of eight hashes h_g(x) = sum_p w_g(p) x(p) mod 2^64, with random odd weights w
    moved by the eight elements g. Two different images share a key with probability about 2^-61.

    Args:
        images: uint8 array of shape (n, 1, H, W) with H = W.

    Returns:
        uint64 array of shape (n,).

    >>> image = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    >>> dihedral_keys(image) == dihedral_keys(np.rot90(image, axes=(2, 3)))
    array([ True])
    """
    side = images.shape[-1]
    weights = 2 * np.random.default_rng(0).integers(2**63, size=(side, side), dtype=np.uint64) + 1
    turned = [np.rot90(w, k).ravel() for w in (weights, weights.T) for k in range(4)]
    keys = np.empty(len(images), np.uint64)
    for part in (slice(first, first + 4096) for first in range(0, len(images), 4096)):
        pixels = images[part].reshape(-1, side * side).astype(np.uint64)
        keys[part] = np.min([pixels @ w for w in turned], axis=0)
    return keys


def split(dataset: Dataset, N: int, validation: int, seed: int = 0, *, source: str = "") -> Split:
    """Draw A, B (N images each), validation and, of the rest, starts: disjoint by content and nested in N.

    Args:
        dataset: Where to draw from.
        N: Images for each of the two models.
        validation: Held-out images, that no model sees.
        seed: Names the permutation.
        source: What to call the data set in a message; by default its folder.

    Raises:
        GalgenError: If 2 N + validation is more than there is.
    """
    kept = dataset.distinct
    if 2 * N + validation > len(kept):
        most = (len(kept) - validation) // 2
        way_out = f"N can be at most {most}" if most > 1 else f"at least {validation + 4} are needed"
        raise GalgenError(
            f"two models with N = {N} and {validation} validation images need {2 * N + validation} images, "
            f"but {source or dataset.directory} has {len(kept)} distinct ones: {way_out}"
        )
    order = np.random.default_rng([seed, 0x5B117]).permutation(kept)
    held_out, A, rest, B = np.split(order, [validation, validation + N, len(order) - N])
    return Split(A, B, held_out, rest[:validation])
