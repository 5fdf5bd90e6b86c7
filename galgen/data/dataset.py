"""The data set on disk, and the splits that every two-models test rests on.

A data set is a folder with `images.npy` (uint8, (n, 1, H, W), memory-mapped), `catalogue.ecsv` (n rows, a
column `id`) and `meta.json` (source, parameters, sha256 of both files, provenance, what was dropped and why).

Splits. Two images are the same galaxy when one equals the other under a flip or a rotation by a multiple of
90 degrees (the dihedral group D4). One image of each class is kept. With a seeded permutation s of the n'
kept images, V for validation and N for each model,

    validation = s[:V],   A = s[V : V + N],   B = s[n' - N : n'],        2 N + V <= n'

so A, B and validation are disjoint by content, and the sets of a smaller N lie in those of a larger one.
"""

import datetime
import functools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.table import Table

from galgen.runs.errors import GalgenError
from galgen.runs.files import file_sha256, read_json, write_json
from galgen.runs.store import full_disk_told, provenance


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
            shape, _ = meta["shape"], meta["sha256"]["images.npy"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GalgenError(f"{directory / 'meta.json'} is damaged ({error!r}); import it again") from error
        try:
            images = np.load(directory / "images.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise GalgenError(f"{directory}/images.npy cannot be read ({error}); import it again") from error
        if images.dtype != np.uint8 or list(images.shape) != shape:
            raise GalgenError(
                f"{directory / 'images.npy'} is {images.dtype} {images.shape}, but meta.json says "
                f"uint8 {shape}; import it again"
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
        return self.meta["source"]

    @property
    def catalogue(self) -> Table:
        """The catalogue, one row an image, read from disk.

        Raises:
            GalgenError: If it is missing or damaged.
        """
        try:
            return Table.read(self.directory / "catalogue.ecsv")
        except (OSError, ValueError) as error:
            raise GalgenError(
                f"{self.directory / 'catalogue.ecsv'} cannot be read ({error}); import the data set again"
            ) from error

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
    """The folder, whose parent is made, if a data set can be written there.

    Raises:
        GalgenError: If there is something already, or no such folder can be made.
    """
    directory = Path(directory)
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise GalgenError(f"{directory} exists already; choose another name or remove it first")
        directory.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GalgenError(f"no data set can be written to {directory}: {error.strerror}") from error
    return directory


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
        GalgenError: If the folder is in use.
    """
    directory = check_free(directory)
    told = full_disk_told(directory, lambda: (images.nbytes + 400 * len(images)) / 2**20)
    work = tempfile.TemporaryDirectory(prefix=".tmp-", dir=directory.parent, ignore_cleanup_errors=True)
    with told, work as folder:
        temporary = Path(folder)
        np.save(temporary / "images.npy", images, allow_pickle=False)
        catalogue.write(temporary / "catalogue.ecsv")
        meta = {
            "format": 1,
            "source": source,
            "manifest": manifest,
            "shape": list(images.shape),
            "parameters": parameters,
            "dropped": dropped,
            "sha256": {name: file_sha256(temporary / name) for name in ("images.npy", "catalogue.ecsv")},
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **provenance(),
        }
        write_json(temporary / "meta.json", meta)
        temporary.chmod(0o755)  # temporary folders are private
        temporary.replace(directory)
    return Dataset.open(directory)


@dataclass(frozen=True)
class Split:
    """Row numbers of disjoint sets of images; A and B have N each.

    `starts`, at most as many as validation, is what neither models nor tests see: samplers may begin there.
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
