import json
from math import inf
from pathlib import Path

import nbformat
import numpy as np
import pytest
from small_chapter import NOTE, PARAMETERS, chapter

from galgen.compare.uncertainty import Outcome
from galgen.config import Parameters
from galgen.figures import chapter_08, chapter_11, readings, results
from galgen.figures.readings import Reading
from galgen.runs.errors import GalgenError
from workflow.book import chapters, settings

KEEP = """
import numpy as np
from galgen.figures import results

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
    np.testing.assert_array_equal(results.unstrip(results.strip(images)), images)
    np.testing.assert_array_equal(results.unstrip(results.strip(images / 255)), images)


def test_a_folder_of_results_is_loaded_by_name_and_another_file_refused(tmp_path):
    assert results.load(tmp_path / "none") == {}
    (tmp_path / ".tmp-x.json").touch()  # of a writer that was killed
    (tmp_path / "a.json").write_text(json.dumps({"chapters": {}, "kept": {}, "run": {"N": [1]}}))
    assert results.load(tmp_path)["a"]["run"] == {"N": [1]}
    for text in ("[]", "{"):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(GalgenError, match=r"b\.json is no results\.json"):
            results.load(tmp_path)


def test_committed_numbers_are_read_by_data_set_and_say_when_they_were_made(tmp_path):
    assert results.measured("power", tmp_path) == {}
    part = {"date": "2026-11-26", "commit": "0123456789ab", "machine": "Linux x86_64, 2 cores, AVX2"}
    part["records"] = [{"question": "a", "N": 1}]
    other = part | {"commit": "c0ffee000000", "records": [{"question": "b", "N": N} for N in (1, 2)]}
    runs = {"real": part | {"profile": "night"}, "simulated": {"profile": "laptop", "parts": [part, other]}}
    (tmp_path / "power.json").write_text(json.dumps(runs))
    found = results.measured("power", tmp_path)
    assert list(found) == ["simulated", "real"]
    said = results.made(found)
    assert "2026-11-26, commit 01234567, c0ffee00, AVX2; real" in said
    assert "01234567" not in results.made({"simulated": found["simulated"]}, "b")
    assert results.select(other["records"], question="b", N=2) == [{"question": "b", "N": 2}]


def test_a_scale_that_smaller_images_do_not_have_is_one_dash():
    rows = chapter_11.of_more_pixels(results.measured("resolution")).data.splitlines()
    [row] = [row for row in rows if row.startswith("| AUC at 64 pixels")]
    assert row.startswith("| AUC at 64 pixels, A and B | – | 0.") and " and 0." in row


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
    rows = chapter_08.kinds_table({"GAN": found, "alone": {"m20": luck}, "Glow": turned, "nothing": {}})
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
