"""The controls of the explorer: ipywidgets before the answers of `galgen.explorer.answers.Explorer`.

Each function returns a box for the last line of a cell. Pictures are HTML with a text for each image, so
that a screen reader knows them and a narrow window wraps them. ipywidgets has no click on a picture: the
plane of `morphology` writes where it was clicked into a hidden text field, as a person would type it, and
two sliders do the same from the keyboard.
"""

import base64
import html
import io
import time
from collections.abc import Callable, Sequence

import ipywidgets as widgets
import numpy as np
from PIL import Image

from galgen.explorer.answers import FRAME, PLANE, Explorer, Missing, Row, Stamp
from galgen.figures.style import gray
from galgen.runs.errors import GalgenError

__all__ = ["denoiser", "flow", "gallery", "latent", "morphology"]

_STYLE = """<style>
.galgen-live{width:100%;overflow:hidden}
.galgen-live .widget-label{white-space:normal;line-height:1.2;height:auto}
.galgen-live .widget-inline-hbox{align-items:center}
.galgen-row{margin:0 0 .9rem;line-height:1.3}
.galgen-row div{display:flex;flex-wrap:wrap;gap:.5rem;margin:.2rem 0}
.galgen-row figure{margin:0;width:min(7rem,29vw)}
.galgen-row img{width:100%;image-rendering:pixelated;display:block}
.galgen-row figcaption,.galgen-note{font-size:.85em}
.galgen-row pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0}
.galgen-plane{position:relative;width:100%;max-width:34rem;line-height:0}
.galgen-plane img{width:100%;cursor:crosshair}
.galgen-plane svg{position:absolute;inset:0;width:100%;height:100%;pointer-events:none}
</style>"""

_CLICK = """const b=this.getBoundingClientRect();
const t=this.closest('.galgen-live').querySelector('input[type=text]');
t.value=[(event.clientX-b.left)/b.width,(event.clientY-b.top)/b.height].join(' ');
for(const e of ['input','change'])t.dispatchEvent(new Event(e,{bubbles:true}))"""


def _source(image: np.ndarray) -> str:
    """An image (H, W[, 3]), uint8 or floats with white at 1, as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(gray(image))).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def gallery(rows: Sequence[Row]) -> str:
    """The rows as HTML; a command that trains a model is set as one."""

    def figure(row: Row, stamp: Stamp) -> str:
        caption = html.escape(stamp.caption)
        image = f'<img src="{_source(stamp.image)}" alt="{html.escape(row.label)}: {caption}">'
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"

    def note(text: str) -> str:
        if text.startswith(".venv/bin/galgen "):
            return f"not trained yet; in the folder of the project: <pre>{html.escape(text)}</pre>"
        return f'<span class="galgen-note">{html.escape(text)}</span>'

    def group(row: Row) -> str:
        label = html.escape(row.label)
        stamps = "".join(figure(row, stamp) for stamp in row.stamps)
        head = f'<div class="galgen-row" role="group" aria-label="{label}"><b>{label}</b>'
        return f"{head}<div>{stamps}</div>{note(row.note)}</div>"

    return "".join(map(group, rows))


def _slider(name: str, first: float, last: float, value: float, step: float | None = None) -> widgets.Widget:
    kind, more = (widgets.IntSlider, {}) if step is None else (widgets.FloatSlider, {"step": step})
    return kind(value, min=first, max=last, description=name, **_WIDE, **more)


def _choice(name: str, values: Sequence, value: object) -> widgets.Widget:
    options = [(f"{v:,}".replace(",", " ") if isinstance(v, int) else v, v) for v in values]
    return widgets.SelectionSlider(options=options, value=value, description=name, **_WIDE)


def _toggle(name: str, options: Sequence) -> widgets.Widget:
    return widgets.ToggleButtons(options=options, description=name, style=_LABEL | {"button_width": "auto"})


_LABEL = {"description_width": "9rem"}
_WIDE = {"style": _LABEL, "layout": {"width": "auto", "max_width": "34rem"}}


def _box(
    controls: Sequence[widgets.Widget], answer: Callable[..., list[Row]], *more: widgets.Widget
) -> widgets.VBox:
    """Controls, and under them the rows that `answer` makes of their values, now and at every change."""
    picture, seconds = widgets.HTML(), widgets.HTML()

    def update(change: object = None) -> None:
        began = time.perf_counter()
        try:
            rows = answer(*(control.value for control in controls))
        except Missing as error:
            rows = [Row("These models", note=str(error))]
        except GalgenError as error:
            rows = [Row("No answer", note=str(error))]
        picture.value = gallery(rows)
        seconds.value = f'<span class="galgen-note">answered in {time.perf_counter() - began:.2f} s</span>'

    for control in controls:
        control.observe(update, "value")
    update()
    box = widgets.VBox([widgets.HTML(_STYLE), *more, *controls, picture, seconds])
    box.add_class("galgen-live")
    box.update = update
    return box


def latent(explorer: Explorer) -> widgets.VBox:
    """One latent, all families, A beside B, each with its nearest training image."""
    latents, N = explorer.profile.samples, explorer.sizes
    return _box([_slider("latent", 0, latents - 1, 0), _choice("N", N, N[-1])], explorer.latent)


def denoiser(explorer: Explorer) -> widgets.VBox:
    """An image with noise of a chosen level, and what models A and B make of it."""
    N = explorer.experiments["unet"].sizes
    sets = [("held out", "validation"), ("A's", "A"), ("B's", "B")]
    controls = [
        _toggle("images", sets),
        _slider("image", 0, min(explorer.profile.validation, 256) - 1, 0),
        widgets.FloatLogSlider(0.1, min=-2, max=0, step=0.05, description="noise sigma", **_WIDE),
        _choice("N", N, N[-1]),
    ]
    return _box(controls, lambda which, number, sigma, N: explorer.denoise(N, which, number, sigma))


def flow(explorer: Explorer) -> widgets.VBox:
    """Glow's latents of two galaxies, mixed and cooled level by level."""
    experiment = explorer.experiments["glow"]
    levels, N = experiment.settings.levels, experiment.sizes
    names = [f"level {k}" + {0: " (finest)", levels - 1: " (coarsest)"}.get(k, "") for k in range(levels)]
    last = min(explorer.profile.validation, explorer.profile.samples) - 1
    controls = [
        _toggle("mix two", ["held-out images", "latents"]),
        _slider("first", 0, last, 0),
        _slider("second", 0, last, 1),
        _choice("N", N, N[-1]),
        *(_slider(f"w, {name}", -0.5, 1.5, 0.5, 0.05) for name in names),
        *(_slider(f"T, {name}", 0, 1.5, 1, 0.05) for name in names),
    ]

    def answer(source: str, first: int, second: int, N: int, *values: float) -> list[Row]:
        return explorer.mix(N, source, first, second, values[:levels], values[levels:])

    return _box(controls, answer)


def morphology(explorer: Explorer) -> widgets.VBox:
    """The Gini-M20 plane of held-out and made galaxies: a click shows those that are there."""
    N = _choice("N", explorer.sizes, explorer.sizes[-1])
    m20 = _slider("M20", *PLANE["M20"], -1.6, 0.01)
    gini = _slider("Gini", *PLANE["Gini"], 0.45, 0.01)
    clicked = widgets.Text(layout={"display": "none"})
    count = explorer.profile.samples
    button = widgets.Button(description="Measure these galaxies", layout={"width": "auto"})
    status, picture = widgets.HTML(), widgets.HTML()
    left, bottom, width, height = FRAME

    def answer(m20: float, gini: float, N: int) -> list[Row]:
        plane = explorer.planes.get(N)
        button.layout.display = None if plane is None or plane.missing else "none"
        if plane is None:
            picture.value = ""
            status.value = f"Up to {4 * count} galaxies at 0.1 s each, once: the store keeps the numbers."
            return []
        status.value = ""
        fractions = [
            (value - low) / (high - low)
            for value, (low, high) in zip((m20, gini), PLANE.values(), strict=True)
        ]
        x, y = 100 * (left + width * fractions[0]), 100 * (1 - bottom - height * fractions[1])
        ring = f'cx="{x:.2f}%" cy="{y:.2f}%" r="9" fill="none"'
        picture.value = (
            f'<div class="galgen-plane"><img src="{_source(plane.picture)}" onclick="{_CLICK}" '
            f'alt="Gini against M20 of {len(plane.sets)} sets of galaxies; a ring at {m20:.2f}, {gini:.2f}">'
            f'<svg><circle {ring} stroke="white" stroke-width="4"/>'
            f'<circle {ring} stroke="black" stroke-width="2"/></svg></div>'
        )
        return explorer.there(plane, m20, gini)

    box = _box([m20, gini, N], answer, picture, button, status, clicked)

    def go(change: object) -> None:
        try:
            x, y = map(float, clicked.value.split())
        except ValueError:
            return
        clicked.value = ""  # or a second click at the same place were no change
        with m20.hold_trait_notifications(), gini.hold_trait_notifications():  # never one without the other
            for slider, (low, high), fraction in (
                (m20, PLANE["M20"], (x - left) / width),
                (gini, PLANE["Gini"], (1 - y - bottom) / height),
            ):
                # In steps of the slider, or the browser rounds it and asks again.
                slider.value = round(low + (high - low) * min(max(fraction, 0), 1), 2)

    def measure(_: widgets.Button) -> None:
        button.disabled = True
        explorer.measure(N.value, lambda text: setattr(status, "value", text))
        button.disabled = False
        box.update()

    clicked.observe(go, "value")
    button.on_click(measure)
    return box
