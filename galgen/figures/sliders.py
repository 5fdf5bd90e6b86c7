"""A slider figure that needs no kernel: every frame is drawn beforehand into one picture, the sprite sheet.

    frame (i, j) = cell i * n_2 + j of the sheet

A slider moves the sheet behind a window of one frame. The HTML is self-contained (no library, no request): it
works in the static book, in JupyterLab (which is told to leave the arrow keys alone) and in a saved page, and
shows its first state where scripts are off.
"""

import base64
import hashlib
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template

import numpy as np
from PIL import Image

from galgen.figures.style import gray
from galgen.runs.errors import GalgenError

__all__ = ["SliderFigure", "slider_figure"]

_PAGE = Template("""\
<div class="galgen-slider" id="$id" role="group" aria-label="$title">
<style>
.galgen-slider{max-width:40rem;margin:1rem auto;color:inherit;font-size:.9rem}
.galgen-slider .frame{width:100%;margin:0 auto;background-repeat:no-repeat;border-radius:2px}
.galgen-slider label{display:flex;align-items:center;gap:.6rem;margin:.4rem 0 0}
.galgen-slider label span{flex:0 1 7rem}
.galgen-slider input{flex:1 1 6rem;min-width:0;height:1.6rem;accent-color:#0072B2;cursor:pointer}
.galgen-slider output{flex:0 0 4.5rem;font-variant-numeric:tabular-nums;text-align:right}
.galgen-slider p{margin:.4rem 0 0;min-height:1.4em;text-align:center}
#$id .frame{max-width:${width}px;aspect-ratio:$ratio;image-rendering:$rendering;\
background-image:url($uri);background-size:$size;background-position:$position}
</style>
<div class="frame" role="img" aria-label="$alt"></div>
$controls
<p aria-live="polite">$caption</p>
<noscript><p>The sliders need JavaScript; this is one frame of $count.</p></noscript>
<script>
(() => {
  const figure = $data;
  for (const root of document.querySelectorAll('[id="$id"]')) {
    if (root.dataset.ready) continue;
    root.dataset.ready = "1";
    const inputs = [...root.querySelectorAll("input")];
    const move = () => {
      let k = 0;
      inputs.forEach((input, axis) => {
        const text = figure.values[axis][input.value];
        input.setAttribute("aria-valuetext", text);
        input.nextElementSibling.textContent = text;
        k = k * figure.values[axis].length + Number(input.value);
      });
      root.querySelector(".frame").style.backgroundPosition = figure.positions[k];
      root.querySelector("p").textContent = figure.captions[k];
    };
    inputs.forEach((input) => input.addEventListener("input", move));
    move();
  }
})();
</script>
</div>""")

_CONTROL = Template(
    '<label><span>$name</span><input type="range" min="0" max="$last" step="1" value="$value" '
    'aria-valuetext="$text" data-lm-suppress-shortcuts="true"><output>$text</output></label>'
)


@dataclass(frozen=True)
class SliderFigure:
    """What a cell returns: HTML for the page, a sentence where there is no HTML."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def _sprite_sheet(frames: np.ndarray, columns: int) -> str:
    """Frames (n, H, W[, 3]) in one picture, as a data URI: the smaller of lossless and quality 90."""
    n, height, width = frames.shape[:3]
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, *frames.shape[1:]), np.uint8)
    sheet[:n] = frames
    sheet = sheet.reshape(rows, columns, *frames.shape[1:]).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, *frames.shape[3:])

    def encode(**options) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "WEBP", method=6, **options)
        return buffer.getvalue()

    smallest = min(encode(lossless=True), encode(quality=90), key=len)
    return "data:image/webp;base64," + base64.b64encode(smallest).decode()


def slider_figure(
    frames: np.ndarray,
    *,
    sliders: Mapping[str, Sequence[object]],
    captions: Sequence[str],
    title: str,
    alt: str,
    start: Sequence[int] | None = None,
    width: int | None = None,
) -> SliderFigure:
    """A figure with one or two sliders over precomputed frames.

    Args:
        frames: (n_1, H, W), (n_1, n_2, H, W), or the same with a last axis of 3 colours;
            uint8, or floats with white at 1.
        sliders: Name of each slider -> the value shown at each of its positions.
        captions: A sentence for each frame, the second slider running fastest.
        title: Names the group of controls for a screen reader.
        alt: What the picture shows, in words.
        start: Position of each slider at first; the first by default.
        width: Width of a frame on the page, CSS pixels; by default its own; magnified pixels stay hard.

    Raises:
        GalgenError: If frames, sliders and captions do not fit together.
    """
    counts = [len(values) for values in sliders.values()]
    count = math.prod(counts)
    start = list(start or [0] * len(counts))
    frames = gray(np.asarray(frames))
    if not 1 <= len(counts) <= 2 or list(frames.shape[: len(counts)]) != counts:
        raise GalgenError(
            f"sliders of {counts} positions need frames {(*counts, 'H', 'W')}, not {frames.shape}"
        )
    if len(captions) != count:
        raise GalgenError(f"{len(captions)} captions for {count} frames")
    if len(start) != len(counts) or not all(0 <= k < n for k, n in zip(start, counts, strict=True)):
        raise GalgenError(f"start {start} is outside the sliders' {counts} positions")

    frames = frames.reshape(count, *frames.shape[len(counts) :])
    height, pixels = frames.shape[1:3]
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    # One pixel of the frame's own edge around it: at a fractional scale no neighbour shines through.
    padded = np.pad(frames, [(0, 0), (1, 1), (1, 1)] + [(0, 0)] * (frames.ndim - 3), mode="edge")

    def percent(k: int, cells: int, side: int) -> float:
        return round(100 * (k * (side + 2) + 1) / (cells * (side + 2) - side), 4)

    positions = [
        f"{percent(k % columns, columns, pixels)}% {percent(k // columns, rows, height)}%"
        for k in range(count)
    ]
    size = f"{100 * columns * (pixels + 2) / pixels:.4f}% {100 * rows * (height + 2) / height:.4f}%"
    first = np.ravel_multi_index(start, counts)
    values = [[str(value) for value in axis] for axis in sliders.values()]
    data = json.dumps({"values": values, "positions": positions, "captions": list(captions)})
    fields = {
        "title": html.escape(title),
        "alt": html.escape(alt),
        "uri": _sprite_sheet(padded, columns),
        "width": width or pixels,
        "ratio": f"{pixels}/{height}",
        "rendering": "pixelated" if (width or pixels) > pixels else "auto",
        "size": size,
        "position": positions[first],
        "caption": html.escape(captions[first]),
        "count": count,
        "data": data.replace("<", "\\u003c"),  # so that no text can end the script
        "controls": "\n".join(
            _CONTROL.substitute(
                name=html.escape(name), last=len(axis) - 1, value=k, text=html.escape(axis[k])
            )
            for name, axis, k in zip(sliders, values, start, strict=True)
        ),
    }
    fields["id"] = "slider-" + hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:12]
    text = f"{title}: {' x '.join(sliders)}, {count} frames. {captions[first]}"
    return SliderFigure(_PAGE.substitute(fields), text)
