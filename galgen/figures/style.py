"""House style of the figures: palette, stamp sheets, and a note with profile, data set and N.

The colors of the model families follow the paper's corner plots (validation red, diffusion blue, Glow green,
GAN cyan) in the tones of Okabe & Ito (2008), which color-blind readers can distinguish.
"""

import base64
import io
import math
import re
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from galgen.compare.uncertainty import Estimate
from galgen.runs.errors import printable

__all__ = ["COLOURS", "MODELS", "OTHERS", "Shown", "base64_image", "gray", "house_style", "intervals",
    "label", "legend_above", "shades", "show", "stamp_sheet", "tiled"]  # fmt: skip

COLOURS = {
    "validation": "#D55E00",
    "diffusion": "#0072B2",
    "glow": "#009E73",
    "gan": "#56B4E9",
    "conditional diffusion": "#CC79A7",
    "null": "#8C8C8C",  # nulls and controls are gray, as background
}
MODELS = {"A": "#0072B2", "B": "#E69F00"}  # a pair, blue and orange as in the paper's figure 10
OTHERS = ("#332288", "#882255", "#999933", "#661100", "#44AA99")  # Tol's muted, for all other lines
WIDEST = 7.0  # inches


def house_style() -> None:
    """Set Matplotlib's defaults to the book's style; call it in the first cell of a chapter."""
    plt.rcParams.update(
        {
            "figure.figsize": (7.0, 3.6),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=OTHERS),
            "legend.frameon": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )


def label(text: str) -> str:
    """Escape an external text so that Matplotlib renders it literally."""
    return printable(text).replace("$", r"\$")


def shades(sizes: Sequence[int]) -> dict[int, tuple[float, float, float, float]]:
    """Return a color (RGBA) for each N, from light (10) to dark (100 000), the same in every figure."""
    decades = {n: float(np.clip(np.log10(n) - 1, 0, 4)) / 4 for n in sizes}
    return {n: plt.cm.viridis(0.88 * (1 - part**0.75)) for n, part in decades.items()}


def stamp_sheet(
    images,
    *,
    columns: int = 10,
    titles: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    inches: float = 0.7,
) -> Figure:
    """Plot a sheet of galaxies on one common gray scale, 0 black and 1 white.

    Args:
        images: (n, H, W), (n, 1, H, W) or (n, H, W, 3), uint8 or floats in [0, 1]; array or CPU tensor.
        columns: Images per row.
        titles: A short text above each image, such as its PSNR.
        rows: A label to the left of each row.
        inches: Side of one stamp on the page.
    """
    stamps = np.asarray(images)
    if stamps.ndim == 4 and stamps.shape[1] == 1:
        stamps = stamps[:, 0]
    stamps = stamps / 255 if stamps.dtype == np.uint8 else np.clip(stamps.astype(np.float64), 0, 1)
    count, height, width = stamps.shape[:3]
    columns = min(columns, count)
    gap = max(1, width // 32)
    band = round(0.3 * width) if titles is not None else gap  # for the titles
    margins = [(0, 0), (band, 0), (0, gap)] + [(0, 0)] * (stamps.ndim - 3)
    sheet = tiled(np.pad(stamps, margins, constant_values=1), columns, empty=1)[:, :-gap]

    side = inches / width
    size_of_rows = max(9, 1.4 * sheet.shape[1] * side)  # points: a wide sheet is displayed smaller
    label = size_of_rows / 9 * max(0.9, 0.2 + 0.065 * max(map(len, rows))) if rows else 0.0
    dpi = math.ceil(plt.rcParams["figure.dpi"] * side) / side  # whole pixels, all of the same width
    size = (label + sheet.shape[1] * side, sheet.shape[0] * side)
    figure = plt.figure(figsize=size, dpi=dpi, layout="none")
    left = label / figure.get_figwidth()
    axes = figure.add_axes((left, 0, 1 - left, 1))
    axes.imshow(sheet, vmin=0, vmax=1, cmap="gray", interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    for k, text in enumerate(titles or ()):
        x, y = (k % columns) * (width + gap) + width / 2, (k // columns) * (band + height) + band
        axes.text(x, y - 1, text, ha="center", va="bottom", fontsize=min(9, 11 * inches))
    for k, text in enumerate(rows or ()):
        y = k * (band + height) + band + height / 2
        axes.text(-2 * gap, y, text, ha="right", va="center", fontsize=size_of_rows)
    return figure


def tiled(images: np.ndarray, columns: int, *, empty: float) -> np.ndarray:
    """Tile images (n, H, W[, 3]) in reading order; pad the last row with `empty`."""
    rows = -(-len(images) // columns)
    missing = [(0, rows * columns - len(images))] + [(0, 0)] * (images.ndim - 1)
    grid = np.pad(images, missing, constant_values=empty).reshape(rows, columns, *images.shape[1:])
    return np.concatenate(np.concatenate(grid, axis=1), axis=1)


def gray(images: np.ndarray) -> np.ndarray:
    """Convert images to uint8, black at 0 and white at 1, NaN black; return uint8 images unchanged."""
    if images.dtype == np.uint8:
        return images
    return (np.clip(np.nan_to_num(images), 0, 1) * 255).round().astype(np.uint8)


def base64_image(image: np.ndarray, format: str = "PNG", **options: object) -> str:
    """Encode an image (H, W[, 3]), uint8 or floats with white at 1, in Pillow's `format` as base64."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(gray(np.asarray(image)))).save(buffer, format, **options)
    return base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class Shown:
    """Output of a notebook cell: an image, by MIME type, and its alternative text."""

    content: dict[str, bytes]
    words: str

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        data = self.content | {"text/plain": self.words}
        return data, {kind: {"alt": self.words} for kind in self.content}


def show(figure: Figure, *, alt: str, note: str, title: str = "") -> Shown:
    """Return a figure as the last value of a cell, with a note below its corner and an alternative text.

    Phone screens are 360 pixels wide: plots are at most `WIDEST` wide, with no text below 8.5 points.

    Args:
        figure: The figure; it is closed, so that it does not appear twice.
        alt: Description of the figure; the book adds it to the page.
        note: Profile, data and N (`galgen.experiment.Experiment.note`).
        title: Title above all panels: a descriptive noun, or a result computed from the plotted numbers.
    """
    if figure.get_layout_engine() is not None:  # stamp sheets have none: their pixels are exact
        for text in figure.findobj(Text):
            text.set_fontsize(max(text.get_fontsize(), 8.5))
        if figure.get_figwidth() > WIDEST:
            figure.set_dpi(figure.dpi * figure.get_figwidth() / WIDEST)
            figure.set_figwidth(WIDEST)
    if title:
        figure.draw_without_rendering()  # after the layout, artists outside the axes stay below the title
        figure.set_layout_engine("none")
        for legend in figure.legends:
            legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
        size = 10 * max(1, figure.get_figwidth() / WIDEST)  # points: a wide sheet is displayed smaller
        style = {"va": "bottom", "weight": "bold", "fontsize": size, "parse_math": False}
        unbroken = re.sub(r" (?=[=%]|dB)|(?<==) ", "\N{NO-BREAK SPACE}", title)  # keeps N = 10 on one line
        lines = textwrap.fill(unbroken, int(100 * figure.get_figwidth() / size))
        figure.text(0, 1 + 0.06 / figure.get_figheight(), lines, **style)
        alt = f"{title}. {alt}"
    # Below the figure: saving with a tight bounding box includes it.
    small = {"ha": "right", "va": "top", "fontsize": 7, "color": "#595959", "parse_math": False}
    note_lines = textwrap.fill(note, int(figure.get_figwidth() / 0.055))
    figure.text(1, -0.04 / figure.get_figheight(), note_lines, **small)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # file names may have any characters
        figure.savefig(buffer, format="png", dpi=figure.dpi, bbox_inches="tight", pad_inches=0.06)
    plt.close(figure)
    return Shown({"image/png": buffer.getvalue()}, alt)


def intervals(axis: Axes, x: Sequence[float], estimates: Iterable[Estimate], **style) -> None:
    """Plot estimates with their intervals as error bars; `style` is passed to `Axes.errorbar`."""
    low, value, high = np.array([[e.low, e.value, e.high] for e in estimates]).T
    bars = np.clip([value - low, high - value], 0, None)  # an interval may end at its value, up to rounding
    axis.errorbar(x, value, bars, **{"marker": "o", "ms": 4, "capsize": 2} | style)


def legend_above(figure: Figure, ncols: int) -> None:
    """Add one legend for all panels above the figure, each entry once."""
    entries = {}
    for axis in figure.axes:
        entries |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=ncols, fontsize=8)
