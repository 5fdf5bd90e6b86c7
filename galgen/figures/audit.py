"""The report of an audit: what was found in words and pictures, in one HTML file; and the numbers in JSON."""

import base64
import dataclasses
import datetime
import os
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown
from jinja2 import Environment
from matplotlib.figure import Figure

import galgen
from galgen.compare.audit import SIDE, Audit
from galgen.compare.clock_size import Elapsed
from galgen.compare.copies import LEVEL, Copies
from galgen.compare.similarity import FLIPS
from galgen.compare.uncertainty import Estimate, Outcome, p_text
from galgen.figures.results import plain
from galgen.figures.style import COLOURS, gray, house_style, show, stamp_sheet
from galgen.figures.tables import table
from galgen.runs.errors import GalgenError, printable
from galgen.runs.files import atomic_path, write_json
from galgen.words import spaced

__all__ = ["audits_table", "chances_figure", "free", "how_many", "pairs_figure", "planted_table", "words",
    "write_report"]  # fmt: skip

# (n, C, H, H), uint8 or floats with white at 1, by the name of the argument of the audit
Sets = Mapping[str, np.ndarray]

_PAGE = Environment(autoescape=True, trim_blocks=True).from_string(
    Path(__file__).with_name("audit.html.j2").read_text(encoding="utf-8")
)


def words(found: Audit) -> dict[str, str]:
    """The answers in words, by question."""
    said = {f"Memory: {found.verdict}.": _memory(found), "Right?": _right(found)}
    return said | ({"Two models:": _pair(found)} if found.pair else {})


def _memory(found: Audit) -> str:
    memory, train, held_out = found.memory, found.counts["train"], found.counts["held_out"]
    if memory.outcome is None:
        return memory.missing
    share, null = memory.outcome.value, f"{memory.outcome.low:.3f} to {memory.outcome.high:.3f} by chance"
    p, p_of_all = p_text(memory.outcome.p), p_text(found.adjusted["memory"])
    linear = f"weight beyond chance {memory.leaning:.3f}, of draws of a Gaussian of the training images "
    linear += f"{memory.gaussian:.3f}; p {p_text(memory.beyond)}"
    more = {
        "copies": f" That is more than mean and covariance give ({linear}).",
        "favours its training set": f" Mean and covariance give as much, so copies are not said ({linear}).",
        "favours held-out images": " Too few: were the sets exchanged, or has the model seen both?",
    }.get(found.verdict, "")
    seen = "not even samples that are all copies would be found"
    if memory.smallest:
        seen = "copies are found in four of five such tests or more if they are "
        seen += f"{memory.smallest:.1%} of the samples"
    if max(train, held_out) > 10 * min(train, held_out):
        seen += f". Fewer cannot be seen with {spaced(train)} training and {spaced(held_out)} held-out "
        seen += f"images, where {memory.chance:.1%} of the samples are nearest to a training image by "
        seen += "chance: sets of like size show more"
    if not memory.difference:
        seen += (
            ". That training and held-out images are of one pool is taken on trust: they are too few to ask"
        )
    return (
        f"Weighed by how close they are, {share:.3f} of the samples are nearest to a training image ({null}; "
        f"p {p}, of all questions {p_of_all}).{more} Excess share of samples nearest to training images: "
        f"{_percent(memory.excess)}; {seen}."
    )


def _percent(share: Estimate) -> str:
    return f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"


def _share(smallest: float | None) -> str:
    return f"{smallest:.1%}" if smallest else "none"


def _right(found: Audit) -> str:
    right, told = found.right, []
    of_pair = ("memory", "agreement", "own training images")
    finds = [name for name, p in found.adjusted.items() if name not in of_pair and p <= LEVEL]
    said = "Nothing that was asked distinguishes the samples from held-out images."
    if finds:
        said = f"The samples are distinguished from held-out images by: {'; '.join(sorted(finds))}."
    for name, of in (
        ("blur", f"pixels of blur (of {right.faulty} a side)"),
        ("noise", "grey levels of noise"),
    ):
        if amount := right.faults.get(name):
            ends = ["more" if end == np.inf else f"{end:.2g}" for end in (amount.low, amount.high)]
            value = "more than any tried" if amount.value == np.inf else f"{amount.value:.2g}"
            told.append(f"{value} [{ends[0]}, {ends[1]}] {of}")
    if told:
        side = min(SIDE, right.faulty)
        said += f" At {side} pixels they are found as easily as held-out images with {', or '.join(told)}."
    if light := right.biases.flux:
        said += f" Their light is off by {light:+.1f} %."
    return said


def _pair(found: Audit) -> str:
    pair = found.pair
    said = f"Median anomaly cosine of two models' images of {spaced(pair.n)} latents: {pair.agreement}."
    if pair.floor:
        said += (
            f" A network of other images agrees with the first at {pair.floor}: what is beyond that counts."
        )
    if pair.exchange:
        said += f" P(train closer) {pair.exchange.closer}, 0.50 if neither favours its own training images"
        said += f" (p {p_text(pair.exchange.margin.p)})."
    return said


def outcomes(found: Audit) -> dict[str, Outcome]:
    """By question its value with its null."""
    of = {"memory": found.memory.outcome, "energy distance": found.right.energy}
    of |= {f"classifier, {side} pixels": test.outcome for side, test in found.right.classifier.items()}
    of |= {"morphology": found.right.morphology.energy} if found.right.morphology else {}
    if found.pair:
        of |= {"agreement": found.pair.agreement}
        of |= {"own training images": found.pair.exchange.margin} if found.pair.exchange else {}
    return {name: of[name] for name in found.p}


def audits_table(found: Mapping[int, Audit]) -> Markdown:
    """By N all questions, each value with its null, and p by Holm's method."""
    rows = []
    for N, each in found.items():
        for name, o in outcomes(each).items():
            p = f"{p_text(o.p)} | {p_text(each.adjusted[name])}"
            rows.append([spaced(N), name, f"{o.value:.3f}", f"{o.low:.3f} to {o.high:.3f}", p])
    return table(["N", "question", "value", "95 % of its null", "p", "p, Holm"], rows)


def planted_table(found: Mapping[float, Copies]) -> Markdown:
    """By the share of copies that were planted what the test of memory says."""
    rows = [
        [f"{share:.0%}", each.verdict(), p_text(each.outcome.p), _percent(each.excess), _share(each.smallest)]
        if each.outcome
        else [f"{share:.0%}", each.verdict(), "", "", ""]
        for share, each in found.items()
    ]
    return table(["copies planted", "memory", "p", "excess share", "smallest share it finds"], rows)


def how_many(found: Mapping[int, Audit], elapsed: Elapsed, side: int, weights: int) -> str:
    """What a run can say to those who ask how many images a model needs."""
    said = "; ".join(f"{spaced(N)}: {each.verdict}" for N, each in found.items())
    words = f"By N, this run: {said}. {elapsed.words} "
    if elapsed.confounded:
        words += (
            "So this run does not say that so many are enough: it may have ended too early to copy them. "
        )
    return words + (
        f"All of that is of images of {side} pixels a side and of one network of {spaced(weights)} weights, "
        "trained by one recipe. Of other images, other networks and longer trainings it says nothing."
    )


def pairs_figure(found: Audit, sets: Sets) -> Figure:
    """The samples that lie closest to one image of the pool, and that image below each."""
    stamps, titles, nearest = [], [], found.memory.nearest
    for row in (nearest[first : first + 10] for first in range(0, len(nearest), 10)):
        stamps += [_shown(sets["samples"][pair.sample]) for pair in row]
        titles += [f"{pair.sample}: {pair.weight:.2f}" for pair in row]
        stamps += [_shown(np.flip(sets[pair.of][pair.row], FLIPS[pair.flip])) for pair in row]
        titles += [f"{pair.of.replace('_', ' ')} {pair.row}" for pair in row]
    return stamp_sheet(np.stack(stamps), columns=min(10, len(nearest)), titles=titles, inches=0.8)


def sets_figure(sets: Sets) -> Figure:
    """Ten images of each set, evenly spread over it."""
    names = ("samples", "train", "held_out")
    rows = [sets[name][np.linspace(0, len(sets[name]) - 1, 10).astype(int)] for name in names]
    labels = [name.replace("_", " ") for name in names]
    return stamp_sheet(np.stack([_shown(x) for row in rows for x in row]), columns=10, rows=labels)


def chances_figure(found: Audit) -> Figure:
    """Memory and the classifier, whose values are chances, beside their nulls."""
    asked = {name: o for name, o in outcomes(found).items() if name.startswith(("memory", "classifier"))}
    figure, axis = plt.subplots(figsize=(6.5, 0.8 + 0.32 * len(asked)))
    for y, outcome in enumerate(asked.values()):
        axis.barh(y, outcome.high - outcome.low, left=outcome.low, color=COLOURS["null"], alpha=0.35)
        axis.plot(outcome.value, y, "o", color=COLOURS["diffusion"], clip_on=False, zorder=3)
    axis.set(yticks=range(len(asked)), yticklabels=asked, xlim=(0, 1), ylim=(len(asked) - 0.5, -0.5))
    axis.set_xlabel("memory: weighed share nearest to training images; classifier: AUC")
    return figure


def _shown(image: np.ndarray) -> np.ndarray:
    """An image (C, H, H), uint8 or floats with white at 1, in 8 bits and three channels."""
    return np.broadcast_to(np.moveaxis(gray(image), 0, -1), (*image.shape[1:], 3))


def free(out: Path) -> tuple[Path, Path]:
    """OUT.html and OUT.json, if they can be written.

    Raises:
        GalgenError: If they cannot.
    """
    stem = out.with_suffix("") if out.suffix in (".html", ".json") else out
    pages = stem.with_name(f"{stem.name}.html"), stem.with_name(f"{stem.name}.json")
    stem.parent.mkdir(parents=True, exist_ok=True)
    if not stem.name or any(page.is_dir() for page in pages) or not os.access(stem.parent, os.W_OK):
        raise GalgenError(f"no report can be written to {pages[0]}: name another with --out")
    return pages


def write_report(found: Audit, sets: Sets, names: Mapping[str, str], pages: tuple[Path, Path]) -> None:
    """Write the page and the numbers; each appears whole or not at all.

    Args:
        found: The audit.
        sets: The images.
        names: Of each set, as its reader calls it.
        pages: `free`.
    """
    house_style()
    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    kept = {"said": words(found), "names": {name: printable(of) for name, of in names.items()}, "made": made}
    kept |= {
        "verdict": found.verdict,
        "version": galgen.__version__,
        "page": pages[0].name,
        "numbers": pages[1].name,
    }
    rows = []
    for name, o in outcomes(found).items():
        p = found.adjusted[name]
        rows.append(
            (name, f"{o.value:.3f}", f"{o.low:.3f} to {o.high:.3f}", p_text(o.p), p_text(p), p <= LEVEL)
        )
    drawn = {
        "Ten images of each set, evenly spread over it.": sets_figure(sets),
        "Values (blue) beside 95 % of their nulls (gray).": chances_figure(found),
        "The samples that lie closest to one image, by number and w (1: a copy; 0: between images), and that "
        "image below each.": pairs_figure(found, sets),
    }
    pictures = [(_encoded(figure, caption), caption) for caption, figure in drawn.items()]
    named = {"light": "flux", "half-light radius": "size", "ellipticity": "ellipticity"}
    named |= {"half-light radius at fixed light": "size_at_flux"}
    biases = {name: getattr(found.right.biases, field) for name, field in named.items()}
    biases = {name: f"{bias:+.1f}" if bias else "cannot be said" for name, bias in biases.items()}
    asked = {"found": found, "rows": rows, "pictures": pictures, "biases": biases, "level": LEVEL}
    apart = found.memory.difference
    asked |= {"difference": f"AUC {apart.auc}, p {p_text(apart.p)}" if apart else "too few images to ask"}
    write_json(pages[1], plain(dataclasses.asdict(found)) | kept)
    with atomic_path(pages[0]) as temporary:
        temporary.write_text(_PAGE.render(asked | kept), encoding="utf-8")


def _encoded(figure: Figure, caption: str) -> str:
    return base64.b64encode(show(figure, alt=caption, note="").content["image/png"]).decode()
