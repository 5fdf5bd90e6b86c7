"""The files of images in a folder, found by their names: none is opened, and the others are left alone."""

import os
from pathlib import Path

from galgen.runs.errors import GalgenError

__all__ = ["SUFFIXES", "images_below"]

SUFFIXES = {
    "FITS": (".fits", ".fit", ".fits.gz", ".fits.fz"),
    "npy": (".npy",),
    "picture": (".png", ".jpg", ".jpeg"),
}
ASIDE = 20_000  # files that are no images: with more of them than images it is a disk, or /proc


def images_below(path: Path) -> tuple[str, list[Path]]:
    """The sort of the images in a folder, at any depth and behind symbolic links, and their files in order.

    Pipes, devices and names that begin with a dot are passed by, and each folder is looked at once.

    Raises:
        GalgenError: If there are none, more than one sort, or they are lost among other files.
    """
    found: dict[str, list[Path]] = {}
    seen, aside = set(), 0
    for folder, below, names in os.walk(path, followlinks=True):
        below.sort()
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(real)
        for name in sorted(names):
            form = next((form for form, of in SUFFIXES.items() if name.lower().endswith(of)), "")
            if form and name[0] != "." and (file := Path(folder, name)).is_file():
                found.setdefault(form, []).append(file)
            else:
                aside += 1
        if len(found) > 1:
            which = " and ".join(f"{form} files ({of[0].relative_to(path)})" for form, of in found.items())
            raise GalgenError(f"{path} mixes {which}; give a folder that has one sort only")
        if aside > max(ASIDE, sum(map(len, found.values()))):
            raise GalgenError(
                f"{path} holds {aside} files and more that are no images; give the folder of these"
            )
    if not found:
        raise GalgenError(f"{path} holds no images: no FITS, npy, PNG or JPEG files")
    ((form, files),) = found.items()
    return form, sorted(files)
