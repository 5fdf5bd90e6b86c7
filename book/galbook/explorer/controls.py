"""Controls of the explorer: ipywidgets for `galbook.explorer.answers.Explorer`.

Each function returns a box for the last line of a cell. Images are HTML with alternative text for screen
readers, and wrap in narrow windows.
"""

import threading
from collections.abc import Callable, Sequence

import ipywidgets as widgets
import torch
from jinja2 import Environment

from galbook.explorer.answers import Explorer, Row
from galgen.figures.style import base64_image
from galgen.figures.words import spaced
from galgen.runs.errors import GalgenError

__all__ = ["denoiser", "flow", "latent"]

_STYLE = """<style>
.galgen-live{width:100%;overflow:hidden}
.galgen-live .widget-label{white-space:normal;line-height:1.2;height:auto}
.galgen-live .widget-inline-hbox{align-items:center}
.galgen-row{margin:0 0 .9rem;line-height:1.3}
.galgen-row div{display:flex;flex-wrap:wrap;gap:.5rem;margin:.2rem 0}
.galgen-row figure{margin:0;width:min(7rem,29vw)}
.galgen-row img{width:100%;image-rendering:pixelated;display:block}
.galgen-row figcaption,.galgen-note{font-size:.85em;overflow-wrap:anywhere}
</style>"""

# JupyterLab handles the first change of a control in the main thread of the kernel and later ones in another.
# The result of an earlier change must not replace that of a later one.
_ONE_AT_A_TIME = threading.RLock()

_HTML = Environment(autoescape=True)
_HTML.filters["png"] = base64_image

_ROWS = _HTML.from_string("""\
{% for row in rows -%}
<div class="galgen-row" role="group" aria-label="{{ row.label }}"><b>{{ row.label }}</b>
<div>{% for stamp in row.stamps -%}
<figure><img src="data:image/png;base64,{{ stamp.image | png }}" alt="{{ row.label }}: {{ stamp.caption }}">\
<figcaption>{{ stamp.caption }}</figcaption></figure>
{%- endfor %}</div>
<span class="galgen-note">{{ row.note }}</span></div>
{%- endfor %}""")

_LABEL = {"description_width": "9rem"}
_WIDE = {"style": _LABEL, "layout": {"width": "auto", "max_width": "34rem"}}


def _slider(name: str, first: float, last: float, value: float, step: float | None = None) -> widgets.Widget:
    if step is None:
        return widgets.IntSlider(value, min=first, max=last, description=name, **_WIDE)
    return widgets.FloatSlider(value, min=first, max=last, step=step, description=name, **_WIDE)


def _sizes(sizes: Sequence[int]) -> widgets.Widget:
    """Slider over training-set sizes, initially at the largest."""
    options = [(spaced(N), N) for N in sizes]
    return widgets.SelectionSlider(options=options, value=sizes[-1], description="N", **_WIDE)


def _toggle(name: str, options: Sequence) -> widgets.Widget:
    return widgets.ToggleButtons(options=options, description=name, style=_LABEL | {"button_width": "auto"})


def _box(controls: Sequence[widgets.Widget], answer: Callable[..., list[Row]]) -> widgets.VBox:
    """Box of controls, and below them the rows that `answer` returns for their values, updated on change."""
    picture = widgets.HTML()

    def update(change: object = None) -> None:
        with _ONE_AT_A_TIME:
            try:
                rows = answer(*(control.value for control in controls))
            except (GalgenError, torch.linalg.LinAlgError) as error:  # the latter: a singular flow
                rows = [Row("No result", note=str(error))]
            picture.value = _ROWS.render(rows=rows)

    for control in controls:
        control.observe(update, "value")
    update()
    box = widgets.VBox([widgets.HTML(_STYLE), *controls, picture])
    box.add_class("galgen-live")
    return box


def latent(explorer: Explorer) -> widgets.VBox:
    """Samples of models A and B of every family from one latent, with their nearest training images."""
    controls = [_slider("latent", 0, explorer.profile.samples - 1, 0), _sizes(explorer.sizes)]
    return _box(controls, explorer.latent)


def denoiser(explorer: Explorer) -> widgets.VBox:
    """Image with a chosen noise level, denoised by models A and B."""
    families = {
        e.family.label: name for name, e in explorer.experiments.items() if hasattr(e.family, "denoiser")
    }
    controls = [
        _toggle("denoiser", list(families.items())),
        _toggle("images", [("held out", "validation"), ("A's", "A"), ("B's", "B")]),
        _slider("image", 0, min(explorer.profile.validation, 256) - 1, 0),
        widgets.FloatLogSlider(0.1, min=-2, max=0, step=0.05, description="noise sigma", **_WIDE),
        _sizes(explorer.sizes),
    ]

    return _box(controls, explorer.denoise)


def flow(explorer: Explorer) -> widgets.VBox:
    """Mixtures of Glow's latents of two galaxies, with a weight and a temperature per level."""
    experiment = explorer.experiments["glow"]
    levels = experiment.settings.levels
    names = [f"level {k}" + {0: " (finest)", levels - 1: " (coarsest)"}.get(k, "") for k in range(levels)]
    last = min(explorer.profile.validation, explorer.profile.samples) - 1
    controls = [
        _toggle("mix two", ["held-out images", "latents"]),
        _slider("first", 0, last, 0),
        _slider("second", 0, last, 1),
        _sizes(experiment.sizes),
        *(_slider(f"w, {name}", -0.5, 1.5, 0.5, 0.05) for name in names),
        *(_slider(f"T, {name}", 0, 1.5, 1, 0.05) for name in names),
    ]

    def answer(source: str, first: int, second: int, N: int, *values: float) -> list[Row]:
        return explorer.mix(N, source, first, second, values[:levels], values[levels:])

    return _box(controls, answer)
