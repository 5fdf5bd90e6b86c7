"""Compare two books: files of their stores and figures of their chapters, by SHA-256.

    python benchmarks/same.py FOLDER OTHER      each with store/ and build/

Records, which contain dates and run times, are left out.
"""

import hashlib
import sys
from pathlib import Path

import nbformat

from galgen.runs.files import file_sha256

TIMES = ("record.json", "meta.json", "checkpoint.pt")  # files that contain dates or run times


def content(store: Path) -> dict[str, str]:
    """SHA-256 of the files of a store that are reproducible, by path."""
    files = [path for path in store.glob("*/*/**/*") if path.is_file() and path.name not in TIMES]
    return {str(path.relative_to(store)): file_sha256(path) for path in files if path.name[0] != "."}


def chapters(build: Path) -> dict[str, str]:
    """SHA-256 of each figure of the chapters of a book, by notebook, cell and output."""
    found = {}
    for path in build.glob("*/chapters/[!u.]*.ipynb"):
        for k, cell in enumerate(nbformat.read(path, 4).cells):
            for j, output in enumerate(cell.get("outputs", [])):
                if picture := output.get("data", {}).get("image/png"):
                    found[f"{path.name} {k} {j}"] = hashlib.sha256(picture.encode()).hexdigest()
    return found


def of(folder: Path) -> dict[str, str]:
    """SHA-256 of the files and figures of a project folder."""
    return content(folder / "store") | chapters(folder / "build")


def compared(whole: dict[str, str], other: dict[str, str]) -> dict[str, list[str]]:
    """Names of files that `other` lacks or has renamed as damaged, and of files that differ."""
    lost = sorted(whole.keys() - other.keys()) + [name for name in other if ".damaged/" in name]
    return {
        "lost": lost,
        "different": [name for name in whole if name in other and whole[name] != other[name]],
    }


def main() -> None:
    """Compare two folders and print the differences."""
    whole, other = (of(Path(folder)) for folder in sys.argv[1:3])
    found = compared(whole, other)
    weights = sum("/weights-" in name for name in whole)
    print(f"{len(whole)} compared, {weights} of them weights: ", {kind: len(n) for kind, n in found.items()})
    for kind, names in found.items():
        for name in names:
            print(f"{kind}: {name}")
    sys.exit(bool(found["lost"] or found["different"]))


if __name__ == "__main__":
    main()
