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
from galgen.auditing.audit import SIDE, Audit
from galgen.auditing.copies import LEVEL
from galgen.auditing.sensitivity import nearest_rows
from galgen.compare.uncertainty import Estimate, p_text
from galgen.figures.style import house_style, show, stamp_sheet
from galgen.runs.errors import GalgenError, printable
from galgen.runs.files import atomic_path, check_replaceable, has_fields, to_json_values, write_json

__all__ = ["check_output_path", "first_screen", "numbers", "output_stem", "summary", "write_report"]

_TEXT = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
_PAGE = Environment(autoescape=True, trim_blocks=True).from_string(_TEXT)
_HEAD = _TEXT.partition("{{")[0]  # identical in every report


def summary(found: Audit) -> dict[str, str]:
    """Return the ten most important results, as text by name: memorization first, then realism."""
    near, memory, counts, side = found.near, found.memory, found.counts, min(found.side, SIDE)
    bias, outcome, why = memory.bias, memory.outcome, memory.inconclusive
    tested = f"{bias}, f0 = {memory.chance:.2f}; {_p(outcome.p)}" if outcome else ""
    return {
        "Memorization": found.verdict,
        "Near-copies among samples": f"{_share(near.fraction)}; {_p(near.p)}",
        "Near-copies among held-out images, the null": _share(near.held_out),
        "Samples equal to training images, up to flips and turns": f"{found.equal} of {counts['samples']}",
        "Samples that are near-duplicates of other samples": str(sum(many for _, many in memory.repeats)),
        "Training-set bias f - f0": tested + (why and f" (inconclusive: {why})"),
        "Least fraction of copies that the test of bias finds": "none" if why else _sensitivity(counts),
        f"Realism beside held-out images, AUC, {side} pixels": _tested(found, f"classifier, {side} pixels"),
        "Realism beside held-out images, energy distance": _tested(found, "energy distance"),
        "Realism beside held-out images, blur in pixels": _text(found.faults.get("blur")),
    }


def _p(p: float) -> str:
    return f"p = {p_text(p)}".replace("= <", "<")


def _share(found: Estimate) -> str:
    """Return a count and its percentage; of a count of 0 the limit 3 / n."""
    count = f"{round(found.value * found.n)} of {found.n}"
    if found.value == 0:
        return f"{count} (95 %: below {300 / found.n:.2g} %)"
    value, low, high = (100 * each for each in (found.value, found.low, found.high))
    return f"{count}, {value:.1f} % [{low:.1f}, {high:.1f}]"


def _sensitivity(counts: Mapping[str, int]) -> str:
    """Return the nearest row of the table of `galgen.auditing.sensitivity`."""
    rows = nearest_rows(counts)
    parts = {name.partition("_")[0].replace("sdss", "SDSS"): row["fraction"] for name, row in rows.items()}
    least = ", ".join(f"{f'{100 * c:.0f} %' if c else 'none'} ({name} galaxies)" for name, c in parts.items())
    sizes = "{samples} samples, {held_out} held out, N = {train}".format(**next(iter(rows.values())))
    return f"{least}; power 0.8, measured with {sizes}"


def _tested(found: Audit, name: str) -> str:
    """Return the value of a test, with its null range and adjusted p."""
    outcome = found.answers[name]
    null = f"null {outcome.low:.3f} to {outcome.high:.3f}"
    return f"{outcome.value:.3f} ({null}); {_p(found.adjusted[name])}, adjusted"


def outcomes(found: Audit) -> list[tuple[str, ...]]:
    """Return name, value, 95 % range of the null, p, and Holm-adjusted p of all tests but bias, as text."""
    return [
        (name, f"{o.value:.3f}", f"{o.low:.3f} to {o.high:.3f}", p_text(o.p), p_text(found.adjusted[name]))
        for name, o in found.answers.items()
        if name != "memory"
    ]


def numbers(found: Audit) -> dict[str, str]:
    """Return all other statistics with their 95 % intervals, as text by name."""
    memory, bias = found.memory, found.biases
    values = {
        "p of a larger bias than that of a shrunk Gaussian of the training images": memory.beyond,
        "AUC of training against held-out images": memory.difference and memory.difference.auc,
        "p of training against held-out images": memory.difference and memory.difference.p,
        "samples that are near-duplicates of held-out images": memory.known[1],
        "training, held-out images omitted (near-duplicates in both sets)": "{}, {}".format(*memory.mixed),
        "bias of the mean flux, %": bias.flux,
        "bias of the mean half-light radius, %": bias.size,
        "bias of the mean ellipticity, %": bias.ellipticity,
        "equivalent noise, gray levels": found.faults.get("noise"),
    } | found.pair
    return {name: _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    if value is None:
        return "not measured"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def first_screen(found: Audit) -> str:
    """Return the first screen of the report, a part of an HTML page: summary and pairs."""
    return "".join(_PAGE.blocks["first"](_PAGE.new_context(_first(found))))


def _first(found: Audit) -> dict[str, object]:
    """Return the values of the first screen."""
    house_style()
    picture = show(pairs_figure(found), alt="", note="").content["image/png"]
    return {"summary": summary(found), "picture": base64.b64encode(picture).decode()}


def pairs_figure(found: Audit) -> Figure:
    """Plot the samples with the smallest d1 / d2, and the nearest training image below each."""
    pairs = found.near.nearest
    titles = [f"{sample}: {ratio:.2f}" for sample, _, ratio in pairs] + [
        f"train {row}" for _, row, _ in pairs
    ]
    return stamp_sheet(np.concatenate([*found.near.stamps.swapaxes(0, 1)]), titles=titles, inches=0.8)


def output_stem(out: Path) -> Path:
    """Return the path of a report without suffix; refuse what is not a file name."""
    stem = out.with_suffix("") if out.suffix in (".html", ".json") else out
    if stem.name in ("", "..") or (out.exists() and not (out.is_file() or out.is_dir())):
        raise GalgenError(f"--out {str(out)!r} is not a file name")
    return stem


def check_output_path(out: Path) -> tuple[Path, Path]:
    """Return OUT.html and OUT.json, if they do not exist or are an earlier report.

    Raises:
        GalgenError: If they cannot be written, or are other files.
    """
    stem = output_stem(out)
    pages = stem.with_name(f"{stem.name}.html"), stem.with_name(f"{stem.name}.json")
    stem.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(stem.parent, os.W_OK):
        raise GalgenError(f"cannot write the report {pages[0]}: choose another name with --out")
    check_replaceable(pages[0], lambda page: page.open(encoding="utf-8").read(len(_HEAD)) == _HEAD)
    check_replaceable(pages[1], lambda file: has_fields(file, {"memory", "verdict", "version"}))
    return pages


def write_report(found: Audit, names: Mapping[str, str], pages: tuple[Path, Path]) -> None:
    """Write the HTML page and the JSON file, atomically: both or none.

    Args:
        found: The audit.
        names: Name of each set in the report.
        pages: Paths returned by `check_output_path`.
    """
    about = {"verdict": found.verdict, "names": {name: printable(text) for name, text in names.items()}}
    about["made"] = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    about |= {"version": galgen.__version__, "numbers": printable(pages[1].name)}
    content = {"tests": outcomes(found), "statistics": numbers(found), "level": LEVEL}
    content["sets"] = [(k.replace("_", " "), n, about["names"][k]) for k, n in found.counts.items()]
    content |= _first(found)
    values = dataclasses.asdict(found)
    del values["near"]["stamps"]
    page = _PAGE.render(found=found, **content, **about)
    with atomic_path(pages[1]) as json_file, atomic_path(pages[0]) as html_file:
        write_json(json_file, to_json_values(values) | about | {"summary": content["summary"]})
        html_file.write_text(page, encoding="utf-8")
