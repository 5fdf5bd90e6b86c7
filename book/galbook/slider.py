"""Slider figures, which need no kernel.

Every frame is drawn beforehand into one picture, the sprite sheet.

    frame (i, j) = cell i * n_2 + j of the sheet

A slider moves the sheet behind a window of one frame. The HTML is self-contained (no library, no request): it
works in the static book, in JupyterLab (which is told to leave the arrow keys alone) and in a saved page, and
shows its initial state where scripts are disabled.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jinja2 import Environment

from galgen.figures.style import Shown, base64_image, gray, tiled
from galgen.runs.errors import GalgenError

__all__ = ["slider_figure"]

# `tojson` escapes < and >, so that no text can end the script.
_PAGE = Environment(autoescape=True).from_string("""\
<div class="galgen-slider" id="{{ id }}" role="group" aria-label="{{ title }}">
<style>
.galgen-slider{max-width:40rem;margin:1rem auto;color:inherit;font-size:.9rem}
.galgen-slider .frame{width:100%;margin:0 auto;background-repeat:no-repeat;border-radius:2px}
.galgen-slider label{display:flex;align-items:center;gap:.6rem;margin:.4rem 0 0}
.galgen-slider label span{flex:0 1 7rem}
.galgen-slider input{flex:1 1 6rem;min-width:0;height:1.6rem;accent-color:#0072B2;cursor:pointer}
.galgen-slider output{flex:0 0 4.5rem;font-variant-numeric:tabular-nums;text-align:right}
.galgen-slider p{margin:.4rem 0 0;min-height:1.4em;text-align:center}
#{{ id }} .frame{max-width:{{ width }}px;aspect-ratio:{{ ratio }};image-rendering:{{ rendering }};\
background-image:url(data:image/webp;base64,{{ sheet }});background-size:{{ size }};\
background-position:{{ data.positions[first] }}}
</style>
<div class="frame" role="img" aria-label="{{ alt }}"></div>
{% for name, k, texts in controls -%}
<label><span>{{ name }}</span>\
<input type="range" min="0" max="{{ texts | length - 1 }}" step="1" value="{{ k }}" \
aria-valuetext="{{ texts[k] }}" data-lm-suppress-shortcuts="true"><output>{{ texts[k] }}</output></label>
{% endfor -%}
<p aria-live="polite">{{ data.captions[first] }}</p>
<noscript><p>The sliders need JavaScript; this is one frame of {{ data.captions | length }}.</p></noscript>
<script>
(() => {
  const figure = {{ data | tojson }};
  for (const root of document.querySelectorAll('[id="{{ id }}"]')) {
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


def slider_figure(
    frames: np.ndarray,
    *,
    sliders: Mapping[str, Sequence[object]],
    captions: Sequence[str],
    title: str,
    alt: str,
    start: Sequence[int] | None = None,
    width: int | None = None,
) -> Shown:
    """A figure with one or two sliders over precomputed frames; a sentence where HTML is not shown.

    Args:
        frames: (n_1, H, W), (n_1, n_2, H, W), or the same with a last axis of 3 colours;
            uint8, or floats with white at 1.
        sliders: Name of each slider -> the value shown at each of its positions.
        captions: A sentence for each frame, the second slider running fastest.
        title: Names the group of controls for a screen reader.
        alt: What the picture shows, in words.
        start: Initial position of each slider; by default the first.
        width: Width of a frame on the page, CSS pixels; by default its own; enlarged pixels keep sharp edges.
    """
    counts = [len(values) for values in sliders.values()]
    count = math.prod(counts)
    start = list(start or [0] * len(counts))
    frames = gray(np.asarray(frames))
    if len(captions) != count:
        raise GalgenError(f"{len(captions)} captions for {count} frames")
    frames = frames.reshape(count, *frames.shape[len(counts) :])
    frame = np.array(frames.shape[2:0:-1])  # width and height
    # Each frame's edge is repeated by a pixel: at fractional scales no neighbour shows at its border.
    frames = np.pad(frames, [(0, 0), (1, 1), (1, 1)] + [(0, 0)] * (frames.ndim - 3), mode="edge")
    columns = math.ceil(math.sqrt(count))
    cells = np.array([columns, -(-count // columns)])
    whole = cells * (frame + 2)
    corners = np.stack([np.arange(count) % columns, np.arange(count) // columns], 1) * (frame + 2) + 1
    # CSS: p % of (sheet - window) is how far the sheet is moved.
    positions = [f"{x:.4f}% {y:.4f}%" for x, y in 100 * corners / (whole - frame)]
    sheet = tiled(frames, columns, empty=0)
    encoded = [base64_image(sheet, "WEBP", method=6, **how) for how in ({"lossless": True}, {"quality": 90})]

    first = int(np.ravel_multi_index(start, counts))
    texts = [[str(value) for value in axis] for axis in sliders.values()]
    fields = {
        "title": title,
        "alt": alt,
        "sheet": min(encoded, key=len),
        "width": width or int(frame[0]),
        "ratio": "{}/{}".format(*frame),
        "rendering": "pixelated" if width and width > frame[0] else "auto",
        "size": "{:.4f}% {:.4f}%".format(*(100 * whole / frame)),
        "controls": list(zip(sliders, start, texts, strict=True)),
        "first": first,
        "data": {"values": texts, "positions": positions, "captions": list(captions)},
    }
    name = "slider-" + hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:12]
    words = f"{title}: {' x '.join(sliders)}, {count} frames. {captions[first]}"
    return Shown({"text/html": _PAGE.render(fields, id=name)}, words)
