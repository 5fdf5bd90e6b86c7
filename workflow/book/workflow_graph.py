"""The workflow of a run of the book as a picture: data -> trainings -> chapters -> book.

Drawn as one narrow SVG in the page's own colours, so that it reads on a phone and on a dark page. Trainings
on the left, chapters on the right; trainings that differ only in their half and seeds share a box.
"""

import html
from collections.abc import Sequence

__all__ = ["draw", "groups"]

_WIDTH, _ROW, _BOX = 360, 46, 32
_LEFT, _LEFT_WIDTH = 18, 112  # trainings
_RIGHT, _RIGHT_WIDTH = 184, 158  # chapters
_COLOURS = {
    "data": "#E69F00",
    "unet": "#0072B2",
    "edm": "#CC79A7",
    "glow": "#009E73",
    "gan": "#56B4E9",
    "chapter": "#8C8C8C",
}


def groups(plan: Sequence[dict]) -> dict[str, list[dict]]:
    """The trainings of a plan by family and size: `unet-N10-A00` is in `unet N10`."""
    found: dict[str, list[dict]] = {}
    for record in plan:
        found.setdefault(" ".join(record["name"].split("-")[:2]), []).append(record)
    return found


def _box(x: float, y: float, width: float, text: str, colour: str, link: str = "") -> str:
    text = f'<text x="{x + width / 2}" y="{y + _BOX / 2 + 4.5}">{html.escape(text)}</text>'
    if link:
        text = f'<a href="{html.escape(link)}">{text}</a>'
    shape = (
        f'<rect x="{x}" y="{y}" width="{width}" height="{_BOX}" rx="5" stroke="{colour}" fill="{colour}"/>'
    )
    return shape + text


def draw(plan: Sequence[dict], chapters: Sequence[str]) -> str:
    """The SVG.

    Args:
        plan: Trainings, as `galgen plan` prints them: name, chapters that read it, minutes.
        chapters: Names of all chapters, in reading order.
    """
    trainings = groups(plan)
    rows = max(len(trainings), len(chapters), 1)
    top, bottom = 60, 60 + rows * _ROW

    def middle(column: Sequence, index: int) -> float:
        step = rows * _ROW / max(len(column), 1)
        return top + step * (index + 0.5)

    edges, boxes = [], [_box(70, 8, _WIDTH - 140, "data", _COLOURS["data"])]
    heights = {name: middle(chapters, k) for k, name in enumerate(chapters)}
    read = {name for records in trainings.values() for record in records for name in record["chapters"]}
    for k, (group, records) in enumerate(trainings.items()):
        y = middle(list(trainings), k)
        label = f"{group} × {len(records)}" if len(records) > 1 else group
        colour = _COLOURS.get(group.split()[0], _COLOURS["chapter"])
        boxes.append(_box(_LEFT, y - _BOX / 2, _LEFT_WIDTH, label, colour))
        edges.append(f"M70 24H8V{y}H{_LEFT}")
        start, end = _LEFT + _LEFT_WIDTH, _RIGHT
        for name in sorted({name for record in records for name in record["chapters"]} & set(heights)):
            edges.append(f"M{start} {y}C{start + 34} {y} {end - 34} {heights[name]} {end} {heights[name]}")
    for name, y in heights.items():
        boxes.append(
            _box(
                _RIGHT,
                y - _BOX / 2,
                _RIGHT_WIDTH,
                name.replace("_", " "),
                _COLOURS["chapter"],
                f"chapters/{name}.html",
            )
        )
        if name not in read:  # it needs the data alone
            edges.append(f"M{_RIGHT - 22} {8 + _BOX}V{y}H{_RIGHT}")
        edges.append(f"M{_RIGHT + _RIGHT_WIDTH} {y}H{_WIDTH - 8}V{bottom + 24}H{_WIDTH - 70}")
    boxes.append(_box(70, bottom + 8, _WIDTH - 140, "book", _COLOURS["data"]))
    paths = "".join(f'<path d="{edge}"/>' for edge in edges)
    return (
        f'<svg class="workflow" viewBox="0 0 {_WIDTH} {bottom + 48}" xmlns="http://www.w3.org/2000/svg" '
        'role="group" aria-label="data, then trainings, then chapters, then the book">'
        '<marker id="arrow" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" '
        'orient="auto">'
        f'<path d="M0 0L6 3L0 6z"/></marker><g class="edges">{paths}</g>{"".join(boxes)}</svg>'
    )
