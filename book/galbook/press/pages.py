"""The pages that the workflow writes: execution status, the workflow as a picture, the list of runs.

    build/RUN/run.json or failed.json, thumbnail.jpg  ->  the list of runs in the books beside it

Words lie in `templates/`. What a template is given is escaped: as Markdown in `*.md.j2`, as HTML in the
others; `| safe` there marks what is no one's text, as a key or the name of a chapter, and `| code` takes what
backticks do not hold.
"""

import base64
import io
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup
from PIL import Image

from galbook.press.runs import AGAIN, Failed, Run, Trained, data_name, digest
from galgen.experiment import every_family
from galgen.figures.style import COLOURS, OTHERS
from galgen.figures.tables import escaped
from galgen.figures.words import spaced
from galgen.models.families import FAMILIES
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, checked, printable
from galgen.runs.files import atomic_path, read_json, visible
from galgen.runs.reading import Written, read_as
from galgen.runs.store import Store

THUMBNAIL_BYTES = 30_000
_PICTURES = re.compile(r"fig-(\w+-)?(gallery|pairs)")  # sheets of samples
_COLOURS = {"data": OTHERS[0]} | {name: COLOURS[one.label.lower()] for name, one in FAMILIES.items()}


class BookRun(Written):
    """What `record` says of a run: `run.json`, and `run` of `results.json`."""

    profile: str
    data: str
    source: str
    N: list[int]
    seed: int
    error: str
    minutes: float
    key: str
    trainings: dict[str, str]


def _markdown(value: object) -> object:
    """A text as Markdown that shows it letter by letter, on one line; a count by its thousands."""
    if type(value) is int:
        return spaced(value)
    if isinstance(value, str) and not isinstance(value, Markup):
        return escaped(value)
    return value


def _html(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_COMMON = {
    "loader": FileSystemLoader(Path(__file__).with_name("templates")),
    "trim_blocks": True,
    "undefined": StrictUndefined,
}
_MARKDOWN = Environment(finalize=_markdown, **_COMMON)
_MARKDOWN.filters["code"] = lambda text: Markup(re.sub(r"[^\w.+-]", "", text))  # between backticks
_HTML = Environment(autoescape=True, finalize=_html, **_COMMON)


def rendered(template: str, **values: object) -> str:
    """A template with its values put in: Markdown, or HTML that Markdown may hold as it is."""
    environment = _MARKDOWN if template.endswith(".md.j2") else _HTML
    text = environment.get_template(template).render(values)
    return text if environment is _MARKDOWN else Markup(text)


def status(chapters: Mapping[str, dict], trainings: Sequence[dict]) -> str:
    """Tables of what ran, for how long, where and with which versions.

    Args:
        chapters: What `chapters.execute` noted of each, by name.
        trainings: What `galgen train` wrote of each.
    """
    made = {stamp["name"]: Store().get(stamp["key"]).record for stamp in trainings}
    last = list(chapters.values())[-1]
    return rendered("status.md.j2", chapters=chapters, trainings=made, last=last, moment=_moment)


def _moment(moment: str) -> str:
    return moment[:16].replace("T", " ")


def workflow(plan: Sequence[dict], chapters: Sequence[str]) -> str:
    """The graph data -> trainings -> chapters -> book, drawn and as a table.

    The drawing is one narrow SVG in the page's own colours, so that it reads on a phone and on a dark page.
    Trainings that differ only in their half and seeds share a box.

    Args:
        plan: Trainings, as the plan of a run has them: family, N, chapters that read it, minutes.
        chapters: Names of all chapters, in reading order.
    """
    found: dict[tuple[str, int], list[dict]] = {}
    for training in plan:
        found.setdefault((training["family"], training["N"]), []).append(training)
    groups = [
        {
            "name": f"{family} N{N}",
            "family": family,
            "models": len(members),
            "minutes": sum(each["minutes"] for each in members),
            "chapters": sorted({chapter for each in members for chapter in each["chapters"]}),
        }
        for (family, N), members in found.items()
    ]
    return rendered("workflow.md.j2", picture=_picture(groups, chapters), groups=groups)


def measured(results: Path, name: str) -> str:
    """What a benchmark has recorded in results/ or results/robustness/; or that it has not.

    Raises:
        GalgenError: If a file holds something else.
    """
    files = [folder / f"{name}.json" for folder in (results, results / "robustness")]
    path = next(filter(os.path.lexists, files), None)
    labels = {name: family.label for name, family in FAMILIES.items()}
    try:
        found = read_json(path) if path else {}
        if name == "gpu" and found:
            found["families"] = _as_planned(found)
        sizes = sorted({size for row in found.get("steps", {}).values() for size in row}, key=int)
        return rendered(f"{name}.md.j2", found=found, sizes=sizes, labels=labels)
    except (OSError, TypeError, ValueError, LookupError, AttributeError, TemplateError) as error:
        raise GalgenError(f"{path} is not what was measured ({error}); copy it anew") from error


def _as_planned(found: dict) -> dict[str, dict]:
    """What `benchmarks/gpu.py` says of each family, for the trainings that its profile plans today."""
    rows = {}
    for name, experiment in every_family(Parameters(profile=found["profile"])).items():
        if row := found["families"].get(name):
            trainings = experiment.models.trainings()
            shown = sum(experiment.settings.images_shown(training.N) for training in trainings)
            of_all = {
                key: row[key] * shown / row["images"]
                for key in ("exaflop", "core_hours", "hours")
                if key in row
            }
            rows[name] = row | {"trainings": len(trainings), "images": shown} | of_all
    return rows


def _picture(groups: Sequence[dict], chapters: Sequence[str]) -> str:
    """The SVG: trainings on the left, chapters on the right, pixels of a picture 424 wide."""
    width, side, top = 424, 32, 60
    bottom = top + 46 * max(len(groups), len(chapters), 1)
    boxes, edges = [], []

    def box(x: float, middle: float, width: float, text: str, colour: str, link: str = "") -> None:
        shape = {
            "x": x,
            "y": middle - side / 2,
            "width": width,
            "colour": _COLOURS.get(colour, COLOURS["null"]),
        }
        boxes.append(shape | {"text": text, "link": link})

    def middles(names: Sequence[str]) -> dict[str, float]:
        return {name: top + (bottom - top) * (k + 0.5) / len(names) for k, name in enumerate(names)}

    box(102, 24, 220, "data", "data")
    heights, read = middles(chapters), {name for group in groups for name in group["chapters"]}
    starts = middles([group["name"] for group in groups])
    for group in groups:
        y, count = starts[group["name"]], group["models"]
        text = f"{group['name']} × {count}" if count > 1 else group["name"]
        box(18, y, 158, text, group["family"])
        edges.append(f"M102 24H8V{y}H18")
        ends = [heights[name] for name in group["chapters"] if name in heights]
        edges += [f"M176 {y}C208 {y} 194 {end} 226 {end}" for end in ends]
    for name, y in heights.items():
        box(226, y, 180, name.replace("_", " "), "chapter", f"chapters/{name}.html")
        if name not in read:  # it needs the data alone
            edges.append(f"M201 40V{y}H226")
        edges.append(f"M406 {y}H416V{bottom + 24}H322")
    box(102, bottom + 24, 220, "book", "data")
    size = {"width": width, "height": bottom + 48, "side": side}
    return rendered("workflow.svg.j2", boxes=boxes, edges=edges, **size)


def record(
    parameters: Parameters,
    N: Sequence[int],
    chapters: Sequence[dict],
    trainings: Sequence[dict],
    error: str = "",
) -> dict:
    """What `run.json` says of a run.

    Args:
        parameters: Those of the run.
        N: Its sizes.
        chapters: What `chapters.execute` noted of each.
        trainings: What `galgen train` wrote of each.
        error: What there is instead of a book; empty if the run is done.
    """
    keys = {stamp["name"]: stamp["key"] for stamp in trainings}
    seconds = sum(item["seconds"] for item in (*chapters, *trainings))
    return {
        "profile": parameters.profile,
        "data": Path(parameters.data).stem,
        "source": data_name(parameters.data),
        "N": list(N),
        "seed": parameters.seed,
        "status": "failed" if error else "done",
        "error": error,
        "minutes": round(seconds / 60, 1),
        "key": digest(sorted(set(keys.values()))) if keys else "",
        "trainings": keys,
    }


def _record_of(folder: Path) -> dict:
    """The record of a run in its folder under build/: done, or failed as far as it came."""
    if not (folder / "failed.json").is_file():
        return read_as(folder / "run.json", BookRun, AGAIN)
    failed = read_as(folder / "failed.json", Failed, AGAIN)
    run = Run(checked(Parameters, failed["parameters"], "parameters"))
    trainings = [read_as(path, Trained, AGAIN) for path in visible(folder / "trainings", "*.json")]
    executed = [p for p in visible(folder / "chapters", "*.ipynb") if not p.name.startswith("unfinished-")]
    chapters = [nbformat.read(path, as_version=4).metadata["galgen"] for path in executed]
    return record(run.parameters, run.sizes, chapters, trainings, f"failed: {failed['error']}")


def thumbnail(executed: Sequence[Path], width: int = 320) -> bytes | None:
    """The first sheet of samples or pairs in the executed chapters, as a small JPEG, or None."""
    for path in executed:
        for cell in nbformat.read(path, as_version=4).cells:
            name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name", "")
            shown = [output.get("data", {}).get("image/png") for output in cell.get("outputs", [])]
            if any(shown) and _PICTURES.fullmatch(name):
                picture = base64.b64decode(next(filter(None, shown)))
                return _small(Image.open(io.BytesIO(picture), formats=("PNG", "JPEG")).convert("RGB"), width)
    return None


def _small(image: Image.Image, width: int) -> bytes:
    while True:
        shrunk = image.copy()
        shrunk.thumbnail((width, width))
        buffer = io.BytesIO()
        shrunk.save(buffer, "JPEG", quality=80, optimize=True)
        if buffer.tell() < THUMBNAIL_BYTES:
            return buffer.getvalue()
        width = width * 3 // 4


def _place(item: tuple[Path, dict]) -> tuple:
    """Where a run stands in the list: by seed, then those of one size before those of many."""
    _, run = item
    return run["seed"], len(run["N"]), run["N"]


def add_runs(work: Path, build: Path, own: dict, executed: Sequence[Path]) -> None:
    """Write the list of runs, and their pictures, into the sources of a book.

    Only runs of the same profile and data are listed, because only those can be compared.

    Args:
        work: The sources: `_generated/runs.md` and `_extra/runs/` are made in it.
        build: The folder of this run; the others lie beside it.
        own: The record of this run, which is written down only when its book is whole.
        executed: The executed chapters of this run.
    """
    if picture := thumbnail(executed):
        with atomic_path(build / "thumbnail.jpg") as temporary:
            temporary.write_bytes(picture)
    folders = {path.parent for name in ("run.json", "failed.json") for path in build.parent.glob(f"*/{name}")}
    runs = {build: own}
    for folder in folders - {build}:
        try:
            run = _record_of(folder)
            if all(run[key] == own[key] for key in ("profile", "source")):
                runs[folder] = run
        except (GalgenError, OSError, ValueError, KeyError) as error:  # damaged, or older
            print(f"galgen: {folder} is in no list of runs: {error}", file=sys.stderr)
    rows = []
    for folder, run in sorted(runs.items(), key=_place):
        row = run | {"folder": folder.name, "book": "", "picture": ""}
        if folder == build:
            row["book"] = "index.html"
        elif not run["error"] and (folder / "html" / "index.html").is_file():
            row["book"] = f"../../{folder.name}/html/index.html"
        if (folder / "thumbnail.jpg").is_file():
            row["picture"] = f"runs/{folder.name}.jpg"
            (work / "_extra" / "runs").mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "thumbnail.jpg", work / "_extra" / row["picture"])
        rows.append(row)
    # Raw HTML, because a link to another book is none that Sphinx could follow.
    text = rendered("runs.md.j2", own=own, table=rendered("runs.html.j2", rows=rows))
    (work / "_generated" / "runs.md").write_text(text)
