import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table

from galgen.compare.agreement import Shared
from galgen.compare.distances import Distances
from galgen.compare.morphology import COEFFICIENTS
from galgen.compare.uncertainty import Outcome
from galgen.figures import chapter_08
from galgen.figures.morphology import RANGES
from galgen.figures.style import legend_above


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    return Table({name: rng.uniform(*RANGES[name], n) for name in COEFFICIENTS})


def apart(value, high=0.2, **w1):
    found = {name: Outcome(*numbers) for name, numbers in w1.items()}
    return Distances(found, Outcome(value, 0.0, high, 0.01234), n=7)


def test_the_first_sentences_of_reasons_are_counted_together():
    said = {"Bad sky. Look: 3": 4, "Bad sky; other": 2, "Small.": 3, "a": 1, "b": 1}
    assert chapter_08.first_reasons(said) == "6 x Bad sky; 3 x Small; 1 x a"
    assert chapter_08.first_reasons({}) == ""


def test_a_distance_is_bold_above_its_null_and_what_was_not_asked_is_empty():
    cells = chapter_08.distance_cells(apart(0.5, gini=(0.3, 0, 0.2, 0.01), m20=(0.1, 0, 0.2, 0.5)))
    assert cells == [7, "", "", "", "**0.300** (0.200)", "0.100 (0.200)", "0.500 (0.200)", "0.012"]
    assert chapter_08.distance_cells(None, 2) == [2, "", "", "", "", "", "not measurable", ""]


def test_a_correlation_is_bold_where_it_is_significant():
    shared = {"gini": Shared(0.61, 0.25, 0.05, 40), "m20": Shared(-0.1, 0.25, 0.06, 40)}
    cells = chapter_08.correlation_cells(shared)
    assert cells == [40, "", "", "", "**+0.61** (0.25)", "-0.10 (0.25)"]
    assert chapter_08.correlation_cells({}) == ["too few valid", "", "", "", "", ""]


def test_what_lies_beyond_the_axes_is_said():
    inside, beyond = rows(100), rows(100)
    beyond["gini"][:25] = 2
    beyond["m20"][:1] = 2
    text = chapter_08.beyond_axes({"galaxies": inside, "samples": beyond, "nothing": inside[:0]})
    assert text == (
        "Beyond the axes lie: of the galaxies hardly any; of the samples 25 % in Gini, 1 % in $M_{20}$; of "
        "the nothing none is valid."
    )


def test_energies_are_drawn_where_they_are_known():
    figure, (left, right) = chapter_08.size_panels({"one": [10, 100], "two": [30]})
    known = {"null": apart(0.01, high=0.05), "blurred": apart(0.2), "other": None}
    models = {"A": {10: apart(0.3), 100: None}, "B": {10: None, 100: None}}
    chapter_08.plot_energy(left, known, models, {10: apart(0.4)})
    drawn = {line.get_label(): line for line in left.lines}
    assert set(drawn) == {"null", "blurred", "model A", "copies"}
    np.testing.assert_allclose(drawn["model A"].get_xydata(), [[10, 0.3]])
    np.testing.assert_allclose(drawn["null"].get_ydata(), 0.01)
    assert left.patches[0].get_height() == 0.05
    chapter_08.plot_energy(right, {"null": None}, {"A": {30: apart(0.6)}, "B": {}}, {})
    legend_above(figure, ncols=4)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["null", "blurred", "model A", "copies"]
    assert [axis.get_title() for axis in figure.axes] == ["one", "two"]
    plt.close(figure)


def test_correlations_are_drawn_with_the_stranger_at_the_right_edge():
    figure, (axis,) = chapter_08.size_panels({"one": [10, 100]}, right=3.5)
    shared = {10: {"gini": Shared(0.2, 0.3, 0.5, 9)}, 100: {"gini": Shared(0.6, 0.25, 0.01, 9)}}
    chapter_08.plot_correlations(axis, shared, {"gini": Shared(0.4, 0.2, 0.1, 9)})
    gini, stranger = axis.lines[:2]
    np.testing.assert_allclose(gini.get_xydata(), [[10, 0.2], [100, 0.6]])
    assert stranger.get_xydata()[0][0] < axis.get_xlim()[1] and stranger.get_color() == gini.get_color()
    assert axis.patches[0].get_y() == -0.3 and axis.patches[0].get_height() == 0.6
    plt.close(figure)


def test_a_panel_without_anything_has_no_legend():
    figure, (axis,) = chapter_08.size_panels({"one": [10]})
    chapter_08.plot_correlations(axis, {10: {}}, {})
    legend_above(figure, ncols=5)
    assert not figure.legends
    plt.close(figure)


def test_a_walk_shows_the_nearest_of_each_set_and_says_how_far_they_are():
    reference = rows(60)
    near = reference.copy()
    far = reference.copy()
    far["gini"] = far["gini"] + 10
    images = np.random.default_rng(0).random((60, 1, 8, 8))
    pools = {"near": (near, images), "far": (far, images), "empty": (near[:0], images[:0])}
    shown = chapter_08.plane_walk(reference, pools)
    assert "15 frames" in shown.words and "Median distance of the six: near 0." in shown.words
    distance = float(shown.words.split("far ")[-1])
    assert distance > 20 and "empty" not in shown.words


def test_there_is_no_walk_where_nothing_varies_or_nearly_nothing_was_measured():
    flat = rows(60)
    flat["m20"] = -1.5
    assert chapter_08.plane_walk(rows(4), {}) is None and chapter_08.plane_walk(rows(0), {}) is None
    assert chapter_08.plane_walk(flat, {}) is None
