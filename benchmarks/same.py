"""Are two books the same? The files of their stores by sha256, numbers and pictures of their chapters.

    python benchmarks/same.py FOLDER OTHER      each with store/ and build/

Left out are records, which hold when something was made and how long that took.
"""

import hashlib
import json
import sys
from pathlib import Path

import nbformat

from galgen.runs.files import file_sha256

TIMES = ("record.json", "meta.json", "checkpoint.pt")  # files that hold when, or for how long


def content(store: Path) -> dict[str, str]:
    """The sha256 of every file of a store that is the same in two runs, by its path."""
    files = [path for path in store.glob("*/*/**/*") if path.is_file() and path.name not in TIMES]
    return {str(path.relative_to(store)): file_sha256(path) for path in files if path.name[0] != "."}


def chapters(build: Path) -> dict[str, str]:
    """The sha256 of the numbers that the chapters of a book have kept, and of each of their pictures."""
    found = {}
    for path in build.glob("*/results.json"):
        kept = json.dumps(json.loads(path.read_text())["kept"], sort_keys=True)
        found["kept"] = hashlib.sha256(kept.encode()).hexdigest()
    for path in build.glob("*/chapters/[!u.]*.ipynb"):
        for k, cell in enumerate(nbformat.read(path, 4).cells):
            for j, output in enumerate(cell.get("outputs", [])):
                if picture := output.get("data", {}).get("image/png"):
                    found[f"{path.name} {k} {j}"] = hashlib.sha256(picture.encode()).hexdigest()
    return found


def of(folder: Path) -> dict[str, str]:
    """Both, of a project's folder."""
    return content(folder / "store") | chapters(folder / "build")


def compared(whole: dict[str, str], other: dict[str, str]) -> dict[str, list[str]]:
    """What `other` lacks, what it has that was set aside as damaged, and what in it differs."""
    lost = sorted(whole.keys() - other.keys()) + [name for name in other if ".damaged/" in name]
    return {
        "lost": lost,
        "different": [name for name in whole if name in other and whole[name] != other[name]],
    }


def main() -> None:
    """Compare, and print what differs."""
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
