"""The list of runs: what each book under build/ was made of, what it cost, and a picture from it.

A run leaves `run.json` and `thumbnail.jpg` in its folder under build/; the page "Runs" of a book lists the
runs with its own profile and data, because only those can be compared.
"""

import base64
import hashlib
import html
import io
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import nbformat
from PIL import Image

from galgen.runs.files import atomic_path, read_json

__all__ = ["THUMBNAIL_BYTES", "add_page", "record", "thumbnail"]

THUMBNAIL_BYTES = 30_000
_PICTURES = re.compile(r"fig-(\w+-)?(gallery|pairs)")  # sheets of samples


def record(
    parameters: dict, N: Sequence[int], chapters: Sequence[dict], trainings: Sequence[dict], error: str = ""
) -> dict:
    """What `run.json` says of a run.

    Args:
        parameters: Its profile, data and seed.
        N: Its sizes.
        chapters: What `chapters.execute` noted of each.
        trainings: What `galgen train` wrote of each.
        error: The first line of what went wrong; empty if the run is done.
    """
    keys = {stamp["name"]: stamp["key"] for stamp in trainings}
    seconds = sum(item.get("seconds") or 0 for item in (*chapters, *trainings))
    return {
        "profile": parameters["profile"],
        "data": Path(parameters["data"]).stem,
        "N": list(N),
        "seed": parameters["seed"],
        "status": "failed" if error else "done",
        "error": error,
        "minutes": round(seconds / 60, 1),
        "key": hashlib.sha256(" ".join(sorted(set(keys.values()))).encode()).hexdigest()[:16] if keys else "",
        "trainings": keys,
    }


def thumbnail(executed: Sequence[Path], width: int = 320) -> bytes | None:
    """The first sheet of samples or pairs in the executed chapters, as a small JPEG, or None."""
    for path in executed:
        for cell in nbformat.read(path, as_version=4).cells:
            name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name", "")
            pictures = [
                o["data"]["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})
            ]
            if pictures and _PICTURES.fullmatch(name):
                image = Image.open(io.BytesIO(base64.b64decode(pictures[0]))).convert("RGB")
                return _small(image, width)
    return None


def _small(image: Image.Image, width: int) -> bytes:
    while True:
        shrunk = image.copy()
        shrunk.thumbnail((width, width))
        buffer = io.BytesIO()
        shrunk.save(buffer, "JPEG", quality=80, optimize=True)
        if buffer.tell() < THUMBNAIL_BYTES:
            return buffer.getvalue()
        width = width * 3 // 4


def _row(name: str, run: dict, book: str, picture: str) -> str:
    sizes = ", ".join(map(str, run["N"]))
    link = f'<a href="{html.escape(book)}">{sizes}</a>' if book else sizes
    status = f"failed: {run['error']}" if run["error"] else run["status"]
    key = f'<code title="{run["key"]}">{run["key"][:8]}</code>' if run["key"] else ""
    image = (
        f'<img src="{html.escape(picture)}" alt="Samples of the run with N = {sizes}, seed {run["seed"]}" '
        'width="140" style="max-width: none">'
        if picture
        else ""
    )
    status = f'<div style="min-width: 9rem; overflow-wrap: anywhere">{html.escape(status)}</div>'
    cells = (link, image, status, run["minutes"], run["seed"], key)
    return f'<tr id="{html.escape(name)}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def add_page(work: Path, build: Path, own: dict, executed: Sequence[Path]) -> None:
    """Write the list of runs, and their pictures, into the sources of a book.

    Args:
        work: The sources: `_generated/sweep.md` and `_extra/runs/` are made in it.
        build: The folder of this run; the others lie beside it.
        own: The record of this run, which is written down only when its book is whole.
        executed: The executed chapters of this run.
    """
    if picture := thumbnail(executed):
        with atomic_path(build / "thumbnail.jpg") as temporary:
            temporary.write_bytes(picture)
    runs = {path.parent: read_json(path) for path in build.parent.glob("*/run.json")} | {build: own}
    same = [
        (folder, run) for folder, run in runs.items() if all(run[k] == own[k] for k in ("profile", "data"))
    ]
    rows = []
    for folder, run in sorted(same, key=lambda item: (item[1]["seed"], len(item[1]["N"]), item[1]["N"])):
        book, picture = "", ""
        if folder == build:
            book = "index.html"
        elif run["status"] == "done" and (folder / "html" / "index.html").is_file():
            book = f"../../{quote(folder.name)}/html/index.html"
        if (folder / "thumbnail.jpg").is_file():
            (work / "_extra" / "runs").mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "thumbnail.jpg", work / "_extra" / "runs" / f"{folder.name}.jpg")
            picture = f"runs/{quote(folder.name)}.jpg"
        rows.append(_row(folder.name, run, book, picture))
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("N", "samples", "status", "minutes", "seed", "models")
    )
    # Raw HTML, because a link to another book is none that Sphinx could follow.
    (work / "_generated" / "sweep.md").write_text(
        f"Profile **{own['profile']}**, data **{own['data']}**; this book is "
        f"*N* = {', '.join(map(str, own['N']))}, seed {own['seed']}.\n\n"
        f'```{{raw}} html\n<div style="overflow-x: auto" tabindex="0" role="region" aria-label="Runs">\n'
        f'<table class="table">\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>\n```\n"
    )
