"""Pictures and sentences of what `make beyond` keeps, of records made by hand."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from galgen.compare.calibrated import STATISTICS
from galgen.figures import beyond


def estimate(value, n=9):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


def memorizer(n, close, against="training set", far=1):
    record = {"N": 100, "n": n, "kind": "with repeats", "against": against, "tests": 8}
    return record | {"value": 0.5, "low": 0.4, "high": 0.6, "too far": far, "too close": close}


def record(name, statistic, far, close, space="pixels"):
    found = {"set": name, "N": 10, "against": "held-out galaxies", "space": space, "statistic": statistic}
    return found | {"value": 1.0, "low": 0.9, "high": 1.1, "far": far, "close": close}


DISTANCES = {
    "memorizer": [
        *(memorizer(10, 1), memorizer(100, 8)),
        *(memorizer(n, 0, "held-out galaxies", far) for n, far in ((10, 0), (100, 7))),
    ],
    "records": [
        *(record("Glow, N = 10", s, 0.01, 1.0) for s in STATISTICS),
        *(record("held out", s, 0.6, 0.4) for s in STATISTICS),
        *(record("GAN, N = 10", s, 0.9, 0.005) for s in STATISTICS[:1]),
        *(record("edm, N = 10", s, 0.3, 0.7) for s in STATISTICS[:1]),
        record("edm, N = 10", "PQMass", 0.005, 1.0, "features"),
    ],
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_nothing_is_shown_where_nothing_was_made_and_the_note_says_whose_numbers_these_are(tmp_path):
    assert beyond.committed("distances", tmp_path) == {}
    made = {
        "profile": "laptop",
        "date": "2026-11-26",
        "commit": "0123456789ab",
        "machine": "Linux x86_64, 2 cores, AVX2",
    }
    (tmp_path / "beyond.json").write_text(
        json.dumps({"simulated": {"distances": made}, "real": {"others": made}})
    )
    assert list(found := beyond.committed("distances", tmp_path)) == ["simulated"]
    assert beyond.note(found) == ("committed: profile laptop · simulated, 2026-11-26, commit 01234567, AVX2")


def test_a_set_too_far_is_of_one_colour_and_one_too_close_of_the_other():
    figure = beyond.verdict_figure(DISTANCES, "held-out galaxies")
    axis, _ = figure.axes
    shown = np.asarray(axis.images[0].get_array().filled(np.nan))
    assert [label.get_text() for label in axis.get_yticklabels()][:2] == ["Glow, N = 10", "held out"]
    assert np.allclose(shown[0, : len(STATISTICS)], -np.log10(0.02))
    assert np.allclose(np.abs(shown[1, : len(STATISTICS)]), -np.log10(0.8))
    assert shown[2, 0] == pytest.approx(np.log10(0.01)) and np.isnan(shown[2, 1])
    assert axis.patch.get_hatch(), "white would say that what was not measured is of one density"


def test_the_answer_says_when_a_memorizer_is_seen_and_how_many_models_differ():
    said = beyond.distances_answer({"simulated": DISTANCES})
    assert "of the models 2 of 3 in pixels and 1 of 1 in features differ from galaxies" in said
    assert (
        "a memorizer of 100 images is given away by 1 of 8 sets of 10 draws and by 8 of 8 sets of 100" in said
    )


def test_galaxies_that_are_found_by_chance_are_counted_and_named():
    said = beyond.chance_answer({"x": DISTANCES})
    assert "0 of 7 have p < 0.05, 0.3 would by chance (none)" in said
    odd = {"records": [*DISTANCES["records"], record("training images", "MMD", 1.0, 0.005)]}
    assert "1 of 8 have p < 0.05" in (said := beyond.chance_answer({"x": odd}))
    assert "training images, MMD of pixels: too close, p 0.01" in said


def test_values_are_estimates_or_means_with_their_range():
    first, second = beyond.values([{"v": estimate(0.5)}, {"v": [1.0, 2.0, 6.0]}], "v")
    assert first.high == 0.6 and (second.value, second.low, second.high, second.n) == (3.0, 1.0, 6.0, 3)
