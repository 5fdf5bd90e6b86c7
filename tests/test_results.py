import copy
import io
import json
import os
import re
from math import inf
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image
from pydantic import TypeAdapter
from small_chapter import HOSTILE, NOTE, PARAMETERS, chapter
from test_anything import examples

from galbook import committed, morphology, readings, results
from galbook import compared as chapter_11
from galbook.claims.claims import Row, kept_rows
from galbook.judgement import Part
from galbook.press import chapters, settings
from galbook.press.typeset import typeset
from galbook.readings import Reading
from galbook.scoreboard import from_kept
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.figures.style import base64_image, house_style, show
from galgen.figures.tables import escaped
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError

KEEP = """
import numpy as np
from galbook import results

results.keep(score={"value": np.float32(1) / 3, "none": float("nan")}, rows=[(1, True), (np.int64(2), False)])
results.keep(other="x")
"""


def test_what_a_chapter_keeps_is_collected_with_what_it_ran_with(tmp_path):
    nbformat.write(chapter(KEEP), tmp_path / "source.ipynb")
    chapters.execute(tmp_path / "source.ipynb", tmp_path / "01_a.ipynb", PARAMETERS, NOTE)
    found = results.collect([tmp_path / "01_a.ipynb"])
    kept = {"score": {"value": 0.333333, "none": None}, "rows": [[1, True], [2, False]], "other": "x"}
    assert found["kept"] == {"01_a": kept}
    own = PARAMETERS.model_dump(mode="json") | {"data": Path(PARAMETERS.data).stem}  # not where it lay
    assert found["chapters"]["01_a"]["parameters"] == own
    assert {"commit", "versions", "machine"} <= found["chapters"]["01_a"].keys()


def test_a_strip_holds_its_images():
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), np.uint8)
    np.testing.assert_array_equal(committed.unstrip(committed.strip(images)), images)
    np.testing.assert_array_equal(committed.unstrip(committed.strip(images / 255)), images)


ROOT = Path(__file__).parents[1]
TYPES = {"a.json": committed.Book, "resolution.json": committed.MEASURED["resolution"]}
MARKUP = "<img src=x onerror=alert(1)> {doc}`y` $x$ [a](b) | ![c][d] &lt; *e* <b onclick=f>"


@pytest.fixture(scope="module")
def honest():
    """What is committed, as far as it is read: books of a claim, five scores and a family, and one size."""
    whole = [ROOT / "results" / name for name in ("laptop-simulated.json", "resolution.json")]
    types = map(TypeAdapter, TYPES.values())
    read = [(kind, kind.validate_json(path.read_bytes())) for kind, path in zip(types, whole, strict=True)]
    dumped = [kind.dump_python(value, mode="json", by_alias=True) for kind, value in read]
    found = dict(zip(TYPES, dumped, strict=True))
    book, kept = found["a.json"], found["a.json"]["kept"]["10_conclusions"]
    book["chapters"] = {"10_conclusions": book["chapters"]["10_conclusions"]}
    book["run"]["trainings"] = {}
    part = Part("diffusion", Estimate(0.5, 0.1, 0.9, 3), "copied", 2.0, "N = 100")
    kept["rows"] = kept_rows([Row("copied", "seen", [part], "time")])
    made = {"date": "2026-11-30", "commit": "0123456789ab", "machine": "Linux x86_64, 2 cores, AVX2"}
    told = kept["rows"][0] | {"counted": True, "repeats": {"seen": 1.0}}
    found["expected.json"] = {"a": made | {"profile": "laptop", "rows": [told]}}
    kept |= {"claims": kept["claims"][:1], "samples": {"GAN": kept["samples"]["GAN"]}}
    kept["scores"] = [s for s in kept["scores"] if s["pair"] == "diffusion" and s["N"] == 10]
    (sizes,) = found["resolution.json"].values()
    del sizes["64"]
    return found | {"b.json": copy.deepcopy(book)}


def chapter_shown(folder):
    """What chapter 11 shows of a folder of results, in Markdown, as its notebook has it."""
    runs = {name: run for name, run in results.load(folder).items() if "10_conclusions" in run["kept"]}
    if len(runs) < 2:
        raise GalgenError("results/ needs two runs with chapter 10")
    more = results.measured("resolution", folder)
    kept = {name: run["kept"]["10_conclusions"] for name, run in runs.items()}
    boards, checks = (
        {name: from_kept(found["scores"], kind) for name, found in kept.items()}
        for kind in ("family", "control")
    )
    told = {name: (kept[name]["data"], run["run"]["profile"]) for name, run in runs.items()}
    drawn = chapter_11.side_by_side({name: found["samples"] for name, found in kept.items()})
    for figure in (drawn, chapter_11.scoreboards(boards, checks), chapter_11.drawn_at(more)):
        show(figure, alt="", note=f"{results.whose(runs, '10_conclusions')} {results.made({})}")
    tables = [chapter_11.runs_table(runs), chapter_11.longer(boards, told), chapter_11.old_words(runs)]
    expected = results.measured("expected", folder)
    tables += [chapter_11.words(runs, expected), chapter_11.row_numbers(runs, expected)]
    tables += [chapter_11.of_more_pixels(more)]
    return "\n\n".join(typeset(table.data) for table in tables if table)


def places(value, at=()):
    """The place of every part of a JSON value."""
    yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*at, key))


def spoilt(value, at, new):
    """A JSON value with something else at a place; or, of `...`, nothing."""
    whole = part = {"": copy.deepcopy(value)}
    *way, last = "", *at
    for key in way:
        part = part[key]
    part[last] = new
    if new is ...:
        del part[last]
    return whole.get("", {})


def picture(*size, mode="L"):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "PNG")
    return base64_image(np.asarray(Image.open(buffer)))


OTHERS = [
    None,
    True,
    0,
    -1,
    1.5,
    2**70,
    1e300,
    "",
    "x",
    "1",
    MARKUP,
    [],
    [1],
    {},
    {"x": 1},
    {MARKUP: {}},
    ...,
]
OTHERS += [picture(8, 8), picture(8, 9), picture(24, 12), picture(8, 8, mode="RGB")]


@examples(150)
@given(data=st.data())
def test_what_is_of_another_type_is_one_line_with_file_and_place_and_no_text_is_markup(
    honest, tmp_path_factory, data
):
    name = data.draw(st.sampled_from(sorted({*TYPES, "expected.json"})))
    at = data.draw(st.sampled_from(list(places(honest[name]))))
    found = honest | {name: spoilt(honest[name], at, data.draw(st.sampled_from(OTHERS)))}
    folder = tmp_path_factory.mktemp("results")
    for each, value in found.items():
        (folder / each).write_text(json.dumps(value))
    try:
        html = MarkdownIt("gfm-like", {"linkify": False}).render(chapter_shown(folder))
        assert not re.search(r"<(img|b|a)\b", html)
    except GalgenError as error:
        assert "\n" not in str(error)
        of_two = "no family is in all of a, b", "needs two runs"
        assert any(told in str(error) for told in (str(folder / name), *of_two))
    finally:
        plt.close("all")


def test_what_is_committed_is_of_the_types(tmp_path):
    assert len(results.load()) >= 2 and all(map(results.measured, committed.MEASURED))
    assert results.load(tmp_path / "none") == {}


@pytest.mark.parametrize("name", ["b.json", "resolution.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "cut off", "deep"])
def test_what_is_no_file_of_JSON_in_results_is_one_line(tmp_path, name, kind):
    path = tmp_path / name
    (tmp_path / ".tmp-x.json").touch()  # of a writer that was killed
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("nothing")
    else:
        path.write_text("[" * 10**5 if kind == "deep" else '{"run":')
    with pytest.raises(GalgenError) as told:
        results.measured("resolution", tmp_path) if name == "resolution.json" else results.load(tmp_path)
    assert str(path) in str(told.value) and "remove it" in str(told.value) and "\n" not in str(told.value)


def test_the_name_of_a_file_is_text_in_tables_and_figures(honest, tmp_path):
    names = [f"{HOSTILE} {MARKUP}".replace("/", ""), "_$\\frac{", "\udcff\n"]
    for name in names:
        (tmp_path / f"{name}.json").write_text(json.dumps(honest["b.json"]))
    (tmp_path / "resolution.json").write_text(
        json.dumps({MARKUP: honest["resolution.json"]["sdss_real_9200_64"]})
    )
    house_style()
    html = MarkdownIt("gfm-like", {"linkify": False}).render(chapter_shown(tmp_path))
    assert "&lt;img src=x" in html and "<img" not in html and r"\udcff" in html


def test_the_book_sets_numbers_of_a_text_that_is_escaped_and_nothing_of_a_name():
    said = "p .5, [-0.14, 0.07] z'_B, N = 4\N{NO-BREAK SPACE}000, 1e-05 <i>"
    shown = MarkdownIt().render(typeset(escaped(said, typeset=True)))
    assert "p\xa00.5, [−0.14,\xa00.07] $z'_B$, N\xa0=\xa04\xa0000, 1\xa0×\xa010⁻⁵ &lt;i&gt;" in shown
    assert "D_A .5 [1, 2] &lt;i&gt;" in MarkdownIt().render(typeset(escaped("D_A .5 [1, 2] <i>")))


def test_committed_numbers_are_read_by_data_set_and_say_when_they_were_made(tmp_path):
    assert results.measured("power", tmp_path) == {}
    part = {"date": "2026-11-26", "commit": "0123456789ab", "machine": "Linux x86_64, 2 cores, AVX2"}
    tests = {"question": "a", "alternative": "", "level": 0.0, "N": 1, "tests": 8, "rejected": 1}
    part["records"] = [tests]
    other = part | {"commit": "c0ffee000000", "records": [tests | {"question": "b", "N": N} for N in (1, 2)]}
    run = {"profile": "laptop", "alpha": 0.01, "count": 8, "parts": [part, other]}
    runs = {"real": run | {"profile": "night", "parts": [part]}, "simulated": run}
    (tmp_path / "power.json").write_text(json.dumps(runs))
    found = results.measured("power", tmp_path)
    assert list(found) == ["simulated", "real"]
    said = results.made(found)
    assert "2026-11-26, commit 01234567, c0ffee00, AVX2; real" in said
    assert "01234567" not in results.made({"simulated": found["simulated"]}, "b")
    assert results.select(other["records"], question="b", N=2) == other["records"][1:]


@pytest.mark.parametrize(
    ("value", "words"),
    [(-1, "low"), (0.7, "low"), (0.71, "right"), (1.3, "right"), (9, "high"), (None, "not")],
)
def test_a_value_reads_as_the_first_limit_that_it_does_not_exceed_and_both_are_seen(value, words):
    reading = Reading("share", value, ((0.7, "low"), (1.3, "right"), (inf, "high")))
    assert reading.words.startswith(words) and "limits 0.7 and 1.3" in str(reading)
    row = readings.reading_table([reading]).data.splitlines()[-1]
    what, number, bold, rule = row.strip("| ").split(" | ")
    assert (what, bold, rule) == ("share", f"**{reading.words}**", "low ≤ 0.7 < right ≤ 1.3 < high")
    assert number == ("–" if value is None else f"{value:.2f}")


def test_kinds_of_galaxies_are_alike_where_p_is_small_for_all_that_were_asked():
    luck = Outcome(0.2, -0.19, 0.19, 0.04)  # of five coefficients one in five pairs has such a one
    found = {"gini": Outcome(0.6, -0.2, 0.2, 0.001), **dict.fromkeys(("m20", "asymmetry"), luck)}
    turned = {"gini": Outcome(-0.6, -0.2, 0.2, 0.001)}  # far from the null, and yet no agreement
    rows = morphology.kinds_table({"GAN": found, "alone": {"m20": luck}, "Glow": turned, "nothing": {}})
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in rows.data.splitlines()[2:]]
    assert cells[0] == ["GAN", "Gini", "+0.20"] and cells[1] == ["alone", "$M_{20}$", "+0.20"]
    assert cells[2] == ["Glow", "none", "-0.60"] and cells[3] == ["nothing", "not measurable", "–"]


def rows_of(markdown):
    """The cells of each row, without the heads of tables."""
    lines = (line.strip("|").split("|") for line in markdown.splitlines() if "|" in line)
    cells = [[cell.strip() for cell in line] for line in lines]
    return [row for row in cells if row[0] not in ("setting", "---", "")]


def test_what_differs_from_the_paper_is_bold_and_nothing_else():
    table = rows_of(settings.beside_the_paper(Parameters()))
    assert ["loss", "paper", "**weighted**"] in table
    assert ["blocks", "3", "3"] in table
    assert ["penalty", "10", "**0.05**"] in table
    assert ["decay", "0.995", "0.995"] in table
    for name, paper, ours in table:
        assert (ours == paper) is not ours.startswith("**"), name
