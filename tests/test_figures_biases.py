"""The figure, the table and the sentences say what was found, and what was not measured."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from galgen.compare.biases import Biases
from galgen.compare.scoreboard import Portrait
from galgen.compare.twosample import C2ST
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.evidence.biases import Beside, FarOff, ModelBiases
from galgen.figures.biases import bias_table, biases_in_short, profile_figure, told_apart


def estimate(value, half=1.0):
    return Estimate(value, value - half, value + half, 50)


def biases(size, ellipticity=0.0, profile=(0.0, -2.0, None)):
    rings = tuple(one if one is None else estimate(one, 0.5) for one in profile)
    given = None if size is None else estimate(size)
    return Biases(estimate(0.2), given, estimate(ellipticity, 4.0), estimate(0.4), rings, 1.0)


def off(blur, auc=0.8):
    return FarOff(estimate(auc, 0.05), estimate(blur, 0.1), Estimate(9.0, 8.0, np.inf, 50))


def record(**models):
    galaxies = {
        name: biases(0.1 * k) for k, name in enumerate(("as they are", "blurred a little", "blurred"))
    }
    return ModelBiases(50, galaxies, models, dict.fromkeys(models, 4000))


GOOD = {
    half: Beside(biases(x), {8: off(x, auc), 16: off(0.3)})
    for half, x, auc in (("A", 1.4, 0.6), ("B", 0.3, 0.5))
}
BAD = {half: Beside(biases(3.0, -20.0), {8: off(np.inf, 0.97), 16: off(0.9)}) for half in "AB"}
LOST = {half: Beside(biases(None), {}) for half in "AB"}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_sentences_name_the_nearest_family_and_the_farthest_by_the_model_that_is_farther_off():
    nearest, farthest = biases_in_short(record(bad=BAD, good=GOOD)).split(". **")
    assert "Of all families at their largest N, **good** comes nearest" in nearest
    assert "half-light radius of its galaxies is off by +1.4 [+0.4, +2.4] %" in nearest
    assert "ellipticity by +0.0 [-4.0, +4.0] %" in nearest
    assert "blurred by 1.4 [1.3, 1.5] pixels (to a classifier, where all are averaged to 8 pixels" in nearest
    assert farthest.startswith("bad** is farthest off: ") and "by -20.0 [-24.0, -16.0] %" in farthest
    assert farthest.endswith("blurred by more than any width tried.")


def test_where_a_model_was_not_measured_nothing_is_said_of_the_families():
    assert "nothing can be said" in biases_in_short(record(good=GOOD, lost=LOST))
    assert biases_in_short(record(good=GOOD)).count("**") == 2


def test_a_bias_is_bold_where_its_interval_leaves_zero_out_and_a_dash_where_there_is_none():
    lines = bias_table(record(good=GOOD, lost=LOST)).data.splitlines()
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in lines if line.startswith("| ")}
    assert rows["good, A"][1] == "**+1.4 [+0.4, +2.4]**" and rows["good, B"][1] == "+0.3 [-0.7, +1.3]"
    assert rows["good, A"][5:] == ["9.0 [8.0, inf]", "1.40 [1.30, 1.50]", "0.30 [0.20, 0.40] |"]
    assert rows["lost, A"][1] == "–" and rows["lost, A"][5:] == ["", "", " |"]
    assert rows["galaxies, blurred"][1] == "+0.2 [-0.8, +1.2]"
    assert "N: good 4\xa0000, lost 4\xa0000." in lines[0]


def test_a_panel_a_family_with_the_null_as_a_band_and_rings_that_are_measured():
    figure = profile_figure(record(good=GOOD, bad=BAD))
    assert [axis.get_title() for axis in figure.axes] == ["good", "bad"]
    axis = figure.axes[0]
    control, a, b, _ = axis.lines
    assert list(a.get_xdata()) == [0.5, 1.5] and list(a.get_ydata()) == [0.0, -2.0]
    assert control.get_label() == "galaxies blurred" and b.get_label() == "model B"
    ends = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == (-2.5, 0.5)


def test_nothing_measured_is_an_empty_panel():
    nothing = {half: Beside(biases(None, profile=(None, None)), {}) for half in "AB"}
    figure = profile_figure(record(nothing=nothing))
    assert len(figure.axes[0].lines[1].get_xdata()) == 0


@pytest.mark.parametrize(("p", "verb"), [(0.002, "tells"), (0.3, "does not tell")])
def test_the_classifier_is_quoted_where_it_sees_the_fewest_pixels(p, verb):
    tests = {
        side: C2ST(estimate(area, 0.05), Outcome(area, 0.4, 0.6, p)) for side, area in ((32, 0.9), (8, 0.7))
    }
    said = told_apart(Portrait(1.0, {}, tests, None, np.nan), 4000)
    assert said.startswith(f"A fresh classifier {verb} the samples at N = 4\xa0000 from galaxies at 8 pixels")
    assert "0.70 [0.65, 0.75], where 0.50 is chance" in said
