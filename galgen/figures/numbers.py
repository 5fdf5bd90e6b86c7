"""The numbers behind a figure: what is drawn in its axes, as a small npz that the book offers beside it.

Whatever draws a figure hands its numbers to Matplotlib, and there they are read back: nothing has to be kept
twice, and no figure can be without. An entry is named by the axes, its kind, and the label in the legend,

    0 line 2 "model A"     (n, 2) x and y
    0 points 0             (n, 2) dots, the ends of error bars, or the corners of a band
    0 bars                 (n, 4) left, bottom, width and height of each
    1 area 3               (n, 2) corners of another shape, as the outline of a histogram
    1 picture 0            (H, W[, 3]) uint8 gray levels or colours, or floats on a colour scale

and `0 axes` has the title and the labels of axes 0. `numpy.load` reads it.
"""

import base64
import io
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

__all__ = ["MIME", "numbers", "packed"]

MIME = "application/vnd.galgen.numbers"  # of an npz in base64, in the output of a cell


def numbers(figure: Figure) -> dict[str, np.ndarray]:
    """All that is drawn in the axes of a figure, by name."""
    return {f"{k} {name}": x for k, axes in enumerate(figure.axes) for name, x in _of(axes).items()}


def packed(arrays: Mapping[str, np.ndarray]) -> str:
    """Arrays as an npz, in base64."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return base64.b64encode(buffer.getvalue()).decode()


def _of(axes: Axes) -> dict[str, np.ndarray]:
    words = [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
    found = {"axes": np.array(words)} if any(words) else {}
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    if bars:
        found["bars"] = np.array([[*bar.get_xy(), bar.get_width(), bar.get_height()] for bar in bars])
    kinds = {"line": axes.lines, "picture": axes.images, "points": axes.collections}
    kinds["area"] = [patch for patch in axes.patches if patch not in bars]
    for kind, artists in kinds.items():
        for j, artist in enumerate(artists):
            label = str(artist.get_label() or "").replace("/", "|")
            name = f"{kind} {j}" + (f' "{label}"' if label and not label.startswith("_") else "")
            found[name] = _drawn(artist)
    return found


def _drawn(artist: object) -> np.ndarray:
    """The numbers of one thing in an axes."""
    if isinstance(artist, AxesImage):
        pixels = np.ma.filled(artist.get_array(), 0)
        gray = artist.get_cmap().name == "gray" and artist.get_clim() == (0, 1) and pixels.dtype.kind == "f"
        return (np.nan_to_num(pixels) * 255).round().astype(np.uint8) if gray else pixels
    if isinstance(artist, LineCollection):
        return np.concatenate([np.empty((0, 2)), *artist.get_segments()])
    if isinstance(artist, PathCollection):
        return np.ma.filled(artist.get_offsets(), np.nan)
    if isinstance(artist, Collection):
        return np.concatenate([np.empty((0, 2)), *(path.vertices for path in artist.get_paths())])
    if hasattr(artist, "get_xydata"):
        return artist.get_xydata()
    return artist.get_patch_transform().transform(artist.get_path().vertices)
