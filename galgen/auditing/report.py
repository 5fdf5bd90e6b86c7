"""The report of an audit: what was found in words and pictures, in one HTML file; and the numbers in JSON."""

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
from galgen.auditing.audit import NEAR, OF_PAIR, SIDE, Audit
from galgen.auditing.copies import ALIKE, LEVEL, REPEATED
from galgen.compare.similarity import FLIPS
from galgen.compare.uncertainty import Estimate, p_text
from galgen.figures.style import gray, house_style, show, stamp_sheet
from galgen.runs.errors import FullDisk, GalgenError, printable
from galgen.runs.files import atomic_path, check_replaceable, has_fields, plain, write_json

__all__ = ["free", "pairs_figure", "percent", "rows_of", "words", "write_report"]

# (n, C, H, H), uint8 or floats with white at 1, by the name of the argument of the audit
Sets = Mapping[str, np.ndarray]

_TEXT = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
_PAGE = Environment(autoescape=True, trim_blocks=True).from_string(_TEXT)
_HEAD = _TEXT.partition("{{")[0]  # of every report
_BIASES = {"light": "flux", "half-light radius": "size", "ellipticity": "ellipticity"}
_BIASES |= {"half-light radius at fixed light": "size_at_flux"}
_OF_PAIR = {"floor": " (what is beyond it counts)", "P(train closer)": " (0.50 favours neither)"}
_MORE = {
    "copies": " That is more than mean and covariance give.",
    "favours its training set": " Mean and covariance give as much, so copies are not said.",
}


def words(found: Audit) -> dict[str, str]:
    """The answers in words, by question."""
    said = {f"Memory: {found.verdict}.": _memory(found)}
    if found.memory.repeats:
        said["Repeated samples:"] = _repeated(found)
    said["Right?"] = _right(found)
    if "agreement" in found.answers:
        beside = [
            f" {name[0].upper()}{name[1:]}: {value}{_OF_PAIR[name]}." for name, value in found.pair.items()
        ]
        agree = f"Median anomaly cosine of two models' images of one latent: {found.answers['agreement']}."
        said["Two models:"] = "".join([agree, *beside])
    return said


def _memory(found: Audit) -> str:
    memory, counts = found.memory, (found.counts["train"], found.counts["held_out"])
    known = f" {memory.known[1]} of {found.counts['samples']} samples are held-out images, or nearly."
    known *= memory.known[1] > 0
    if memory.outcome is None:
        return memory.missing + known
    seen = "no share of copies would be seen by four of five such tests: too few images are held out, or the "
    seen += "samples that are close to one image are close to too few of them"
    if memory.smallest is not None:
        seen = "four of five such tests or more, asked alone, find copies that are "
        seen += f"{memory.smallest:.1%} of the samples"
    if max(counts) > 10 * min(counts):
        seen += f", and by chance {memory.chance:.1%} are nearest to a training image: with sets of like "
        seen += "size a smaller share would be seen"
    if not memory.difference:
        seen += ". That training and held-out images are of one pool is taken on trust: too few to ask"
    o, p = memory.outcome, p_text(found.adjusted["memory"])
    return (
        f"Weighed by how close they are, {o.value:.3f} of the samples are nearest to a training image "
        f"({o.low:.3f} to {o.high:.3f} by chance; p {p_text(o.p)}, of all questions {p}: "
        f"found at {LEVEL:g} or less; the least that p can be here is {p_text(memory.least)})."
        f"{_MORE.get(found.verdict, '')} Excess share of samples nearest to training images: "
        f"{percent(memory.excess)}; {seen}.{known}"
    )


def _repeated(found: Audit) -> str:
    asked, groups = min(found.counts["samples"], REPEATED), found.memory.repeats
    listed = ", ".join(f"{count} like sample {row}" for row, count in groups[:3])
    listed += f", and {len(groups) - 3} more such groups" * (len(groups) > 3)
    return (
        f"{sum(count for _, count in groups)} of {asked} samples are near-duplicates of others (anomaly "
        f"cosine {ALIKE:g} or more): {listed}. Every other p takes samples as independent; these are not."
    )


def percent(share: Estimate) -> str:
    """An estimate and its interval, in per cent."""
    return f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"


def _right(found: Audit) -> str:
    finds = [name for name, p in found.adjusted.items() if name not in ("memory", *OF_PAIR) and p <= LEVEL]
    said = f"What distinguishes the samples from held-out images: {'; '.join(finds) or 'nothing we ask'}."
    if found.faults:
        blur, noise = found.faults["blur"], found.faults["noise"]
        said += f" At {min(SIDE, found.side)} pixels they are found as easily as held-out images with {blur} "
        said += f"pixels of blur (of {min(found.side, NEAR)} a side), or {noise} gray levels of noise"
        said += "; ∞: more than any tried." if "∞" in f"{blur}{noise}" else "."
    return said


def rows_of(found: Audit) -> list[list[str]]:
    """Each question with its value, null, p, and p by Holm's method."""
    return [
        [name, f"{o.value:.3f}", f"{o.low:.3f} to {o.high:.3f}", p_text(o.p), p_text(found.adjusted[name])]
        for name, o in found.answers.items()
    ]


def pairs_figure(found: Audit, sets: Sets) -> Figure:
    """The samples that lie closest to one image of the pool, and that image below each."""
    stamps, titles, N, nearest = [], [], found.counts["train"], found.memory.nearest
    columns = min(10, len(nearest))
    for first in range(0, len(nearest) - columns + 1, columns):  # full rows, so that each lies over its own
        row = nearest[first : first + columns]
        pool = [("train", pair.image) if pair.image < N else ("held_out", pair.image - N) for pair in row]
        stamps += [_shown(sets["samples"][pair.sample]) for pair in row]
        stamps += [
            _shown(np.flip(sets[of][k], FLIPS[pair.flip])) for pair, (of, k) in zip(row, pool, strict=True)
        ]
        titles += [f"{pair.sample}: {pair.weight:.2f}" for pair in row]
        titles += [f"{of.replace('_', ' ')} {k}" for of, k in pool]
    return stamp_sheet(np.stack(stamps), columns=columns, titles=titles, inches=0.8)


def _shown(image: np.ndarray) -> np.ndarray:
    """An image (C, H, H), uint8 or floats with white at 1, in 8 bits and three channels."""
    return np.broadcast_to(np.moveaxis(gray(image), 0, -1), (*image.shape[1:], 3))


def repeats_figure(found: Audit, sets: Sets) -> Figure:
    """A sample of each of the largest groups of samples that are near-duplicates."""
    groups = found.memory.repeats[:10]
    stamps = np.stack([_shown(sets["samples"][row]) for row, _ in groups])
    titles = [f"{row}: {count} alike" for row, count in groups]
    return stamp_sheet(stamps, columns=len(groups), titles=titles, inches=0.8)


def free(out: Path) -> tuple[Path, Path]:
    """OUT.html and OUT.json, if nothing is there but a report of an audit.

    Raises:
        GalgenError: If they cannot be written, or are something else.
    """
    stem = out.with_suffix("") if out.suffix in (".html", ".json") else out
    if stem.name in ("", ".."):
        raise GalgenError(f"--out {str(out)!r} names no file")
    pages = stem.with_name(f"{stem.name}.html"), stem.with_name(f"{stem.name}.json")
    stem.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(stem.parent, os.W_OK):
        raise GalgenError(f"no report can be written to {pages[0]}: name another with --out")
    check_replaceable(pages[0], lambda page: page.open(encoding="utf-8").read(len(_HEAD)) == _HEAD)
    check_replaceable(pages[1], lambda numbers: has_fields(numbers, {"memory", "said", "version"}))
    return pages


def write_report(found: Audit, sets: Sets, names: Mapping[str, str], pages: tuple[Path, Path]) -> None:
    """Write the page and the numbers; both appear whole, or none of them.

    Args:
        found: The audit.
        sets: The images.
        names: Of each set, as its reader calls it.
        pages: `free`.

    Raises:
        GalgenError: If the disk is full.
    """
    house_style()
    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    kept = {"said": words(found), "names": {name: printable(of) for name, of in names.items()}, "made": made}
    kept |= {"verdict": found.verdict, "version": galgen.__version__, "numbers": printable(pages[1].name)}
    biases = {name: getattr(found.biases, field) for name, field in _BIASES.items()}
    drawn = {"rows": rows_of(found), "level": LEVEL, "picture": _png(pairs_figure(found, sets))}
    drawn["repeats"] = _png(repeats_figure(found, sets)) if found.memory.repeats else ""
    drawn["sets"] = [(name.replace("_", " "), n, kept["names"][name]) for name, n in found.counts.items()]
    drawn["biases"] = {name: f"{bias:+.1f}" if bias else "cannot be said" for name, bias in biases.items()}
    page = _PAGE.render(found=found, **drawn, **kept)
    try:
        with atomic_path(pages[1]) as numbers, atomic_path(pages[0]) as temporary:
            write_json(numbers, plain(dataclasses.asdict(found)) | kept)
            temporary.write_text(page, encoding="utf-8")
    except FullDisk as error:  # of which is told that work goes on
        raise GalgenError(
            f"the disk is full: no report was written to {pages[0].parent.absolute()}. Make room, or name "
            "another folder with --out, and give the command again: an audit begins anew"
        ) from error


def _png(figure: Figure) -> str:
    return base64.b64encode(show(figure, alt="", note="").content["image/png"]).decode()
