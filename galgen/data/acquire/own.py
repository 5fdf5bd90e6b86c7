"""The user's own images as an entry of the run store."""

import hashlib
from pathlib import Path

from galgen.data.acquire.importing import called, import_images, write_imported
from galgen.data.acquire.readers import files_of
from galgen.data.dataset import Dataset
from galgen.data.manifest import load_manifest
from galgen.data.prepare import Making
from galgen.runs.errors import GalgenError
from galgen.runs.files import file_sha256

__all__ = ["imported"]


def imported(path: Path, size: int) -> Making:
    """How a data set is made of the images at `path`, of `size` pixels a side."""
    sha256 = _path_sha256(path)

    def make(directory: Path) -> Dataset:
        try:
            found = import_images(path, size=size, progress=True)
        except GalgenError as error:
            hint = "; that is an option of galgen data import, and DATA the folder that it makes"
            raise GalgenError(f"{error}{hint * ('--' in str(error))}") from error
        return write_imported(
            directory,
            found,
            source=called(path),
            manifest=load_manifest().name_of(sha256),
        )

    return Making({"name": path.name, "size": size}, [import_images], make, sha256)


def _path_sha256(path: Path) -> str:
    """The checksum of a file, or of the names and checksums of the images in a folder."""
    files = files_of(path)
    if files == [path]:
        return file_sha256(path)
    lines = [f"{file.relative_to(path)} {file_sha256(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
