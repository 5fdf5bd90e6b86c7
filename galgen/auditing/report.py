"""Report of an audit: statistics and a figure in one HTML page, and the same numbers in JSON."""

import base64
import dataclasses
import datetime
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jinja2 import Environment
from matplotlib.figure import Figure

import galgen
from galgen.auditing.audit import NEAR, SIDE, Audit
from galgen.auditing.copies import LEVEL
from galgen.compare.similarity import FLIPS
from galgen.compare.uncertainty import p_text
from galgen.figures.style import gray, house_style, show, stamp_sheet
from galgen.runs.errors import GalgenError, printable
from galgen.runs.files import atomic_path, check_replaceable, has_fields, to_json_values, write_json

__all__ = ["check_output_path", "numbers", "outcomes", "pairs_figure", "write_report"]

# (n, C, H, H), uint8 or floats with white at 1, by the name of the argument of the audit
Sets = Mapping[str, np.ndarray]

_TEXT = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
_PAGE = Environment(autoescape=True, trim_blocks=True).from_string(_TEXT)
_HEAD = _TEXT.partition("{{")[0]  # identical in every report


def outcomes(found: Audit) -> list[tuple[str, ...]]:
    """Return name, value, 95 % range of the null, p, and Holm-adjusted p of each test, as text."""
    return [
        (name, f"{o.value:.3f}", f"{o.low:.3f} to {o.high:.3f}", p_text(o.p), p_text(found.adjusted[name]))
        for name, o in found.answers.items()
    ]


def numbers(found: Audit) -> dict[str, str]:
    """Return all other statistics with their 95 % intervals, as text by name."""
    memory, bias = found.memory, found.biases
    pixels, side = min(found.side, NEAR), min(found.side, SIDE)
    values = {
        "excess fraction of samples nearest to training images": memory.excess,
        "least fraction of copies detected with 80 % power": memory.smallest,
        "least p that the memory test can have": memory.least,
        "p of being nearer to training images than a shrunk Gaussian": memory.beyond,
        "AUC of training against held-out images": memory.difference and memory.difference.auc,
        "p of training against held-out images": memory.difference and memory.difference.p,
        "samples equal to training images, or nearly": memory.known[0],
        "samples equal to held-out images, or nearly": memory.known[1],
        "samples that are near-duplicates of other samples": sum(count for _, count in memory.repeats),
        "training images left out, with near-duplicates among held-out ones": memory.mixed[0],
        "held-out images left out, with near-duplicates among training ones": memory.mixed[1],
        "bias of the mean flux, %": bias.flux,
        "bias of the mean half-light radius, %": bias.size,
        "bias of the half-light radius at fixed flux, %": bias.size_at_flux,
        "bias of the mean ellipticity, %": bias.ellipticity,
        f"equivalent blur, pixels of {pixels} x {pixels}, with the AUC at {side} x {side}": (
            found.faults.get("blur")
        ),
        f"equivalent noise, gray levels, with the AUC at {side} x {side}": found.faults.get("noise"),
    } | found.pair
    return {name: _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    if value is None:
        return "not measured"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def pairs_figure(found: Audit, sets: Sets) -> Figure:
    """Plot the samples with the largest weights w, and the nearest image of the pool below each."""
    N, pairs, stamps, titles = found.counts["train"], found.memory.nearest[:10], [], []
    for pair in pairs:
        stamps.append(_rgb(sets["samples"][pair.sample]))
        titles.append(f"{pair.sample}: {pair.weight:.2f}")
    for pair in pairs:
        name, row = ("train", pair.image) if pair.image < N else ("held_out", pair.image - N)
        stamps.append(_rgb(np.flip(sets[name][row], FLIPS[pair.flip])))
        titles.append(f"{name.replace('_', ' ')} {row}")
    return stamp_sheet(np.stack(stamps), columns=len(pairs), titles=titles, inches=0.8)


def _rgb(image: np.ndarray) -> np.ndarray:
    """Convert an image (C, H, H), uint8 or floats with white at 1, to 8 bits and three channels."""
    return np.broadcast_to(np.moveaxis(gray(image), 0, -1), (*image.shape[1:], 3))


def check_output_path(out: Path) -> tuple[Path, Path]:
    """Return OUT.html and OUT.json, if they do not exist or are an earlier report.

    Raises:
        GalgenError: If they cannot be written, or are other files.
    """
    stem = out.with_suffix("") if out.suffix in (".html", ".json") else out
    if stem.name in ("", ".."):
        raise GalgenError(f"--out {str(out)!r} is not a file name")
    pages = stem.with_name(f"{stem.name}.html"), stem.with_name(f"{stem.name}.json")
    stem.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(stem.parent, os.W_OK):
        raise GalgenError(f"cannot write the report {pages[0]}: choose another name with --out")
    check_replaceable(pages[0], lambda page: page.open(encoding="utf-8").read(len(_HEAD)) == _HEAD)
    check_replaceable(pages[1], lambda file: has_fields(file, {"memory", "verdict", "version"}))
    return pages


def write_report(found: Audit, sets: Sets, names: Mapping[str, str], pages: tuple[Path, Path]) -> None:
    """Write the HTML page and the JSON file, atomically: both or none.

    Args:
        found: The audit.
        sets: The images.
        names: Name of each set in the report.
        pages: Paths returned by `check_output_path`.
    """
    house_style()
    about = {"verdict": found.verdict, "names": {name: printable(text) for name, text in names.items()}}
    about["made"] = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    about |= {"version": galgen.__version__, "numbers": printable(pages[1].name)}
    content = {"tests": outcomes(found), "statistics": numbers(found), "level": LEVEL}
    picture = show(pairs_figure(found, sets), alt="", note="").content["image/png"]
    content["picture"] = base64.b64encode(picture).decode()
    page = _PAGE.render(found=found, **content, **about)
    with atomic_path(pages[1]) as json_file, atomic_path(pages[0]) as html_file:
        write_json(json_file, to_json_values(dataclasses.asdict(found)) | about)
        html_file.write_text(page, encoding="utf-8")
