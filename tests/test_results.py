import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from small_chapter import NOTE, PARAMETERS, chapter

from galgen.figures import results
from galgen.runs.errors import GalgenError
from workflow.book import chapters

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
    (tmp_path / "a.json").write_text(json.dumps({"chapters": {}, "kept": {}, "run": {"N": [1]}}))
    assert results.load(tmp_path)["a"]["run"] == {"N": [1]}
    (tmp_path / "b.json").write_text("[]")
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
    assert "2026-11-26, commit 01234567, AVX2, 2026-11-26, commit c0ffee00, AVX2; real" in said
    assert "01234567" not in results.made({"simulated": found["simulated"]}, "b")
    assert results.select(other["records"], question="b", N=2) == [{"question": "b", "N": 2}]
