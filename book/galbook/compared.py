"""Chapter 11: the words of several runs beside each other, and models of more pixels."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations, cycle

import numpy as np
from matplotlib.figure import Figure

from galbook.claims.claims import CLAIMS, COMMITTED, Row, from_kept
from galbook.committed import unstrip
from galbook.judgement import LIMITS, NOT_ASKED, NOT_SEEN, SEEN
from galbook.results import made
from galbook.scoreboard import UNITS, Boards, dot_plot
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.data.manifest import load_manifest
from galgen.figures.style import OTHERS, label, stamp_sheet
from galgen.figures.tables import Markdown, escaped, table
from galgen.figures.words import spaced
from galgen.profiles import PROFILES
from galgen.runs.errors import GalgenError

__all__ = ["decided", "drawn_at", "drawn_said", "foretold", "longer", "of_more_pixels", "old_words",
    "row_numbers", "runs_table", "scoreboards", "side_by_side", "words"]  # fmt: skip


def runs_table(runs: Mapping[str, Mapping]) -> Markdown:
    """What each run was, and what it was made on."""
    rows, galaxies = [], {}
    for name, run in runs.items():
        asked, data = run["run"], run["kept"]["10_conclusions"]["data"]
        ran = run["chapters"]["10_conclusions"]
        sizes, finished = ", ".join(map(spaced, asked["N"])), ran["finished"][:16].replace("T", " ")
        counts = spaced(ran["images"]), sizes, f"{asked['minutes']:.0f}"
        told = escaped(data), *counts, f"`{ran['commit']}`", escaped(finished)
        rows.append([escaped(name), asked["profile"], *told])
        galaxies[data] = load_manifest().described(data)
    machines = sorted({run["chapters"]["10_conclusions"]["machine"] for run in runs.values()})
    said = " ".join(f"*{escaped(data)}:* {text}" for data, text in sorted(galaxies.items()) if text)
    head = ["run", "profile", "galaxies", "images", "N", "minutes of work", "commit", "finished (UTC)"]
    after = f"Made on {'; '.join(machines)}. Minutes add up what trainings and chapters took, one core each; "
    return table(head, rows, after=f"{after}chapters that found their answers stored took less. {said}")


def scoreboards(boards: Mapping[str, Boards], checks: Mapping[str, Boards]) -> Figure:
    """Every answer of each run, a colour a run: its pairs, and below a line its controls."""
    pairs, controls = (list(dict.fromkeys(chain(*found.values()))) for found in (boards, checks))
    first = [family for family, _ in pairs]
    pairs.sort(key=lambda pair: (first.index(pair[0]), pair[1]))
    rows = [f"{family}, N = {spaced(n)}" for family, n in pairs] + [name for name, _ in controls]
    series = {
        label(name): [(boards[name] | checks[name]).get(key, {}) for key in pairs + controls]
        for name in boards
    }
    colours = {name: [tone] * len(rows) for name, tone in zip(series, cycle(OTHERS), strict=False)}
    return dot_plot(
        series,
        list(map(label, rows)),
        UNITS,
        colours=colours,
        alpha=LIMITS["scored"].high,
        controls=len(controls),
    )


def words(runs: Mapping[str, Mapping], expected: Mapping[str, Mapping]) -> Markdown:
    """A row a claim, a column of words a run: of the books that have the table, else of older books' numbers.

    Args:
        runs: Books, as `galbook.results.load` gives them.
        expected: `results/expected.json`, as `galbook.results.measured` does.
    """
    columns = _columns(runs) or {f"{name}, numbers of before": rows for name, rows in _rows(expected).items()}
    found = {name: {row.key: row.word for row in rows} for name, rows in columns.items()}
    cells = [[claim.text, *(of.get(claim.key, NOT_ASKED) for of in found.values())] for claim in CLAIMS]
    return table(["the paper says", *map(_in_column, columns)], cells, after=foretold(runs, expected))


def decided(runs: Mapping[str, Mapping]) -> str:
    """The claims that all books of the table see, and that none does; not the row that each has alike."""
    words = [{row.key: row.word for row in rows} for rows in _columns(runs).values()]
    same = {
        word: [
            c.text for c in CLAIMS if c.key != COMMITTED and words and {w.get(c.key) for w in words} == {word}
        ]
        for word in (SEEN, NOT_SEEN)
    }
    said = "; ".join(f"**{word}**: “{'”, “'.join(texts)}”" for word, texts in same.items() if texts)
    return f"In all {len(words)} books of the table {said}.\n\n" if said else ""


def _in_column(name: str) -> str:
    """A name that may be broken, so that its column is no wider than its words."""
    return escaped(name).replace("_", "_\N{ZERO WIDTH SPACE}")


def _columns(runs: Mapping[str, Mapping]) -> dict[str, list[Row]]:
    kept = {name: run["kept"].get("10_conclusions", {}).get("rows") for name, run in runs.items()}
    return {name: from_kept(rows) for name, rows in kept.items() if rows}


def _rows(expected: Mapping[str, Mapping]) -> dict[str, list[Row]]:
    return {name: from_kept(found["rows"]) for name, found in expected.items()}


def foretold(runs: Mapping[str, Mapping], expected: Mapping[str, Mapping]) -> str:
    """How many words of two runs of one data set and two seeds are the same, beside how many were foretold.

    Counted are rows whose intervals are over trainings, in both runs and in the committed expectation.
    """
    columns, said = _columns(runs), []
    told = {
        name: {r["key"]: r["repeats"].get(r["word"], 0.0) for r in of["rows"] if r["counted"]}
        for name, of in expected.items()
    }
    for one, other in combinations(columns, 2):
        a, b = (runs[name]["run"] for name in (one, other))
        known = told.get(one) or told.get(other)
        if known and all(a[x] == b[x] for x in ("data", "profile")) and a["seed"] != b["seed"]:
            first, second = ({row.key: row for row in columns[name] if row.counted} for name in (one, other))
            asked = [key for key in first if key in second and key in known]
            same = sum(first[key].word == second[key].word for key in asked)
            shares = np.array([known[key] for key in asked])
            likely = f"{shares.sum():.1f} ± {np.sqrt((shares * (1 - shares)).sum()):.1f} were expected"
            against = sum({first[key].word, second[key].word} == {SEEN, NOT_SEEN} for key in asked)
            turned = f"{against or 'none'} turned from seen to not seen or back"
            of = f"{same} of {len(asked)}, where {likely}, and {turned}"
            seeds = " and ".join(map(str, sorted((a["seed"], b["seed"]))))
            said.append(f"{escaped(a['data'])}, profile {a['profile']}, seeds {seeds}: {of}")
    if not said:
        for name, rows in told.items():
            said.append(f"{escaped(name)} {sum(rows.values()):.1f} of {len(rows)}, expected")
    return f"Words that a second seed repeats: {'; '.join(said) or 'not drawn yet'}."


def row_numbers(runs: Mapping[str, Mapping], expected: Mapping[str, Mapping]) -> Markdown:
    """What the words rest on: a row a claim and run."""
    columns, cells = _columns(runs) or _rows(expected), []
    for claim in CLAIMS:
        for name, row in (
            (n, r) for n, rows in columns.items() for r in rows if r.key == claim.key and r.parts
        ):
            numbers = escaped("; ".join(map(str, row.parts)), typeset=True)
            cells.append([claim.text, _in_column(name), f"**{row.word}**: {numbers}"])
    return table(["the paper says", "run", "numbers"], cells)


def old_words(runs: Mapping[str, Mapping]) -> Markdown | None:
    """The words of books from before the table, frozen: by rules that are gone, and not of this table."""
    claims = {name: run["kept"].get("10_conclusions", {}).get("claims") or [] for name, run in runs.items()}
    old = {
        name: {(c["claim"], c["family"]): c["verdict"] for c in kept} for name, kept in claims.items() if kept
    }
    places = dict.fromkeys(chain(*old.values()))
    rows = [
        [escaped(text), escaped(family), *(escaped(kept.get((text, family), "")) for kept in old.values())]
        for text, family in places
    ]
    before = (
        "What older books said, by rules and gates that are gone; their numbers stand, these words do not:"
    )
    return table(["claim", "family", *map(_in_column, old)], rows, before=before) if rows else None


def side_by_side(drawn: Mapping[str, Mapping[str, Mapping]]) -> Figure:
    """Models A and B of each family that all runs have, at its largest N: a run a group of columns.

    Args:
        drawn: By run, family and N, the strips of A and of B from the same latents.

    Raises:
        GalgenError: If no family is in all runs.
    """
    shared = [f for f in dict.fromkeys(chain(*drawn.values())) if all(f in run for run in drawn.values())]
    pairs = [[run[f][max(run[f], key=int)] for run in drawn.values()] for f in shared]
    strips = [_enlarged([unstrip(pair[k]) for pair in of]) for of in pairs for k in (0, 1)]
    if not strips:
        raise GalgenError(
            f"no family is in all of {', '.join(drawn)}: leave in results/ what can be compared"
        )
    width = min(max(3, 12 // len(drawn)), *(len(strip) for row in strips for strip in row))
    columns, white = len(drawn) * (width + 1) - 1, np.full_like(strips[0][0][:1], 255)
    rows = [white] * columns  # where the names stand
    for first, *others in strips:
        rows += [first[:width], *chain(*((white, other[:width]) for other in others))]
    labels = [label(f"{family}, {model}") for family in shared for model in "AB"]
    sheet = stamp_sheet(np.concatenate(rows), columns=columns, rows=["", *labels], inches=0.55)
    [axes] = sheet.axes
    style = {"transform": axes.transAxes, "ha": "center", "va": "center", "fontsize": 11}
    for k, name in enumerate(drawn):
        middle = (k * (width + 1) + width / 2) / columns
        axes.text(middle, 1 - 0.5 / (1 + len(labels)), textwrap.fill(label(name), 8 * width), **style)
    return sheet


def longer(boards: Mapping[str, Boards], told: Mapping[str, tuple[str, str]]) -> Markdown | None:
    """Agreement and margin of two denoisers at one N, in books of the same galaxies and of two profiles.

    Args:
        boards: The scoreboard of each book's families.
        told: Its galaxies and its profile.
    """
    rows, order = [], list(PROFILES)
    for one, other in combinations(sorted(boards, key=lambda name: order.index(told[name][1])), 2):
        same = told[one][0] == told[other][0] and told[one][1] != told[other][1]
        for place in [place for place in boards[one] if same and place in boards[other]]:
            found = [boards[name][place] for name in (one, other)]
            if "diffusion" in place[0] and all({"agreement", "memorization"} <= e.keys() for e in found):
                numbers = [
                    " and ".join(f"{e[q].value:.3f} ({e[q].low:.3f} to {e[q].high:.3f})" for e in found)
                    for q in ("agreement", "memorization")
                ]
                books = f"{escaped(one)} and {escaped(other)}"
                rows.append([f"{escaped(place[0])}, N = {spaced(place[1])}", books, *numbers])
    before = (
        "The same galaxies and N in books of two profiles, the later of which trains larger networks for "
        "longer; first pairs, each with 95 % of its null. Where agreement falls and the margin to the own "
        "training images rises, these led back to them, and N alone does not place the transition:"
    )
    head = ["pair", "books", "agreement", "margin to the own set"]
    return table(head, rows, before=before) if rows else None


def of_more_pixels(found: Mapping[str, Mapping[str, Mapping]]) -> Markdown:
    """What `benchmarks/resolution.py` kept, by data set and pixels: a column a size; nothing judges it.

    Raises:
        GalgenError: If it kept nothing.
    """
    if not found:
        raise GalgenError("there is no results/resolution.json; the project comes with it")
    runs = _of_sizes(found)
    rows = {"images shown": [spaced(run["images_shown"]) for run in runs.values()]}
    rows["minutes of a core, A"] = [f"{run['minutes']['A0']:.0f}" for run in runs.values()]
    marks = {"floor": "A and another kind", "pair": "A and B", "ceiling": "two of the same images"}
    for mark, name in marks.items():
        rows[f"agreement, {name}"] = [f"{run['agreement'][mark]:.3f}" for run in runs.values()]
    shares = (run["share"] for run in runs.values())
    rows["share of the way"] = ["–" if share is None else f"{share:.2f}" for share in shares]
    rows["P(train closer)"] = [Estimate(**run["closer"]) for run in runs.values()]
    for side in sorted({int(side) for run in runs.values() for side in run["auc"]["A0"]}, reverse=True):
        areas = ([run["auc"][name].get(str(side)) for name in ("A0", "B1")] for run in runs.values())
        rows[f"AUC at {side} pixels, A and B"] = [_both(pair) for pair in areas]
    for bias, unit in {"size": "half-light radius", "ellipticity": "ellipticity"}.items():
        off = ([run["biases"][name].get(bias) for name in ("A0", "B1")] for run in runs.values())
        rows[f"{unit}, %, A and B"] = [_both(pair, ".1f") for pair in off]
    energy = (run["scores"].get("morphology") for run in runs.values())
    rows["morphology, energy distance"] = [Outcome(**one) if one else "–" for one in energy]
    one = next(iter(runs.values()))
    before = (
        f"Conditional denoisers, {one['kernels']} kernels, N = {spaced(one['N'])}, {one['latents']} latents: "
        "A, B, a second A and one of other galaxies. One training each, so intervals are over images:"
    )
    head = ["", *map(escaped, runs)]
    last = {data: list(sizes.values())[-1] for data, sizes in found.items()}
    return table(
        head, ([name, *cells] for name, cells in rows.items()), before=before, after=escaped(made(last))
    )


def drawn_at(found: Mapping[str, Mapping[str, Mapping]]) -> Figure:
    """Samples of A and B at each size, a row each; small images are enlarged."""
    rows = {}
    for size, run in _of_sizes(found).items():
        rows |= {label(f"{name[0]}, {size}"): unstrip(strip) for name, strip in run["samples"].items()}
    large = np.concatenate(_enlarged(list(rows.values())))
    return stamp_sheet(large, columns=len(next(iter(rows.values()))), rows=list(rows))


def drawn_said(found: Mapping[str, Mapping[str, Mapping]]) -> str:
    """Agreement of A and B at each size: the title."""
    each = (f"{run['agreement']['pair']:.2f} ({size})" for size, run in _of_sizes(found).items())
    return f"Likeness of A's and B's picture of one noise: {', '.join(each)}"


def _enlarged(sets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Sets of images (n, C, H, W), all of as many pixels as the largest."""
    side = max(x.shape[-1] for x in sets)
    pixels = [np.arange(side) * x.shape[-1] // side for x in sets]
    return [x[:, :, k[:, None], k] for x, k in zip(sets, pixels, strict=True)]


def _of_sizes(found: Mapping[str, Mapping[str, Mapping]]) -> dict[str, Mapping]:
    return {f"{data}, {pixels} pixels": run for data, runs in found.items() for pixels, run in runs.items()}


def _both(pair: Iterable[Mapping[str, float] | None], form: str = ".2f") -> str:
    """The values of A and of B, with intervals over images; one dash where neither has any."""
    values = [format(Estimate(**one), form) if one else "–" for one in pair]
    return " and ".join(values) if any(value != "–" for value in values) else "–"
