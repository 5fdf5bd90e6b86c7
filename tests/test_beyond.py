"""Pictures and sentences of what `make beyond` keeps, of records made by hand."""

import numpy as np
import pytest

from galgen.compare.calibrated import STATISTICS
from galgen.figures import beyond


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


def test_a_set_too_far_is_of_one_colour_and_one_too_close_of_the_other():
    figure = beyond.verdict_figure(DISTANCES, "held-out galaxies")
    axis, _ = figure.axes
    shown = np.asarray(axis.images[0].get_array().filled(np.nan))
    assert [label.get_text() for label in axis.get_yticklabels()][:2] == ["Glow, N = 10", "held out"]
    assert np.allclose(shown[0, : len(STATISTICS)], -np.log10(0.02))
    assert np.allclose(np.abs(shown[1, : len(STATISTICS)]), -np.log10(0.8))
    assert shown[2, 0] == pytest.approx(np.log10(0.01)) and np.isnan(shown[2, 1])
    assert axis.patch.get_hatch(), "white would say that what was not measured is of one density"


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.data.splitlines()]


def test_the_table_says_when_a_memorizer_is_seen_and_how_many_models_differ():
    *_, row = cells(beyond.distances_table({"simulated": DISTANCES}))
    assert row[:3] == ["simulated", "2 of 3", "1 of 1"]
    assert [cell.split(",")[0] for cell in row[3:]] == ["1 of 8 sets of 10 draws", "8 of 8 sets of 100 draws"]


def test_galaxies_that_are_found_by_chance_are_counted_and_named():
    odd = {"records": [*DISTANCES["records"], record("training images", "MMD", 1.0, 0.005)]}
    *_, none, one = cells(beyond.chance_table({"x": DISTANCES, "y": odd}))
    assert none[:2] == ["x", "0 of 7"] and none[3] == "none"
    assert one[:3] == ["y", "1 of 8", "0.4"] and one[3] == "training images, MMD of pixels: too close, p 0.01"
