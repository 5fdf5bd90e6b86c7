import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from galgen.compare.discriminator import ALIKE, GRADES, DiscriminatorTest, course, judge
from galgen.compare.uncertainty import Estimate
from galgen.figures import chapter_07 as figures
from galgen.figures.chapter_06 import game_figure


def drawn_test(seed, shift=0.0):
    """Two judges with scores of 40 images a set; samples score lower by a shift."""
    rng = np.random.default_rng(seed)
    scores = [{name: rng.normal(-shift * (name == "own"), 1, 40) for name in (*ALIKE, *GRADES)} for _ in "AB"]
    return DiscriminatorTest(*(judge(each, each, permutations=19) for each in scores))


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_four_curves_are_those_of_the_two_judges():
    test = drawn_test(0)
    assert list(test.curves) == [("A", "other"), ("A", "train"), ("B", "other"), ("B", "train")]
    assert test.curves["B", "train"] is test.B.curves["train"]


def test_each_test_has_a_panel_with_its_six_distributions_and_spare_panels_are_hidden():
    tests = {f"{k} images shown": drawn_test(k, shift=4.0 * (k == 1)) for k in range(4)}
    axes = figures.loss_panels(tests, columns=3).axes
    assert [axis.get_visible() for axis in axes] == [True] * 4 + [False] * 2
    assert [axis.get_title() for axis in axes[:4]] == list(tests)
    for axis in axes[:4]:
        assert len(axis.patches) == 6
        for patch in axis.patches:  # a density, what lies beyond the axis included
            x, y = patch.get_xy().T
            assert np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) == pytest.approx(1)
    losses = [curve.loss for curve in tests["1 images shown"].curves.values()]
    assert max(map(np.max, losses)) > 6 and axes[1].get_xlim() == (0, 6)


def test_the_history_is_that_of_the_means():
    history = {8: {100: drawn_test(0), 300: drawn_test(1)}, 24: {100: drawn_test(2)}}
    axes = figures.history_figure(history).axes
    for axis, tests in zip(axes, history.values(), strict=True):
        for line, which in zip(axis.lines, drawn_test(0).curves, strict=False):
            assert list(line.get_xdata()) == list(tests)
            assert list(line.get_ydata()) == [test.curves[which].mean.value for test in tests.values()]
        assert len(axis.collections) == 1  # the band of D_A with training images


def test_a_stage_shows_eight_samples_of_each_model_in_their_rows():
    samples = [torch.arange(9.0).reshape(9, 1, 1, 1).expand(9, 1, 2, 2) / 20 + k / 2 for k in range(2)]
    _, right = figures.stage_figure(drawn_test(0), samples).axes
    (image,) = right.images
    expected = np.array([[0, 1, 2, 3], [4, 5, 6, 7]]) / 20
    assert np.allclose(image.get_array()[::2, ::2], np.vstack([expected, expected + 0.5]))


def test_the_game_is_drawn_with_the_hinge_loss_and_the_spread():
    names = ("images", "D_real", "D_fake", "D_held_out", "hinge", "mode_collapse")
    log = [dict.fromkeys(names, 2.0) | {"images": 16 * (k + 1), "hinge": k} for k in range(5)]
    axes = game_figure({8: log, 24: log}).axes
    assert [axis.get_title() for axis in axes] == ["N = 8", "N = 24", "", ""]
    assert [len(axis.lines) for axis in axes] == [3, 3, 3, 3]
    hinge, spread, two = axes[2].lines
    assert hinge.get_xdata().tolist() == [16, 32, 48, 64, 80] and hinge.get_ydata().tolist() == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert set(spread.get_ydata()) == {0.5} and set(two.get_ydata()) == {2}


def test_power_is_drawn_over_the_number_of_images_none_behind_another():
    shares = [Estimate(value, value - 0.1, value + 0.1, 20) for value in (0.2, 0.7)]
    rejected = {side: {name: shares for name in ("null", "blurred", "GAN")} for side in (32, 8)}
    figure = figures.power_figure(rejected, [16, 64], ["gray", "black", "blue"])
    assert [axis.get_title() for axis in figure.axes] == ["32 pixels a side", "8 pixels a side"]
    for axis in figure.axes:
        lines = [container.lines[0] for container in axis.containers]
        assert [line.get_ydata().tolist() for line in lines] == [[0.2, 0.7]] * 3
        assert len({line.get_xdata()[0] for line in lines}) == 3 and lines[1].get_xdata().tolist() == [16, 64]
        assert axis.get_xticks().tolist() == [16, 64]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["null", "blurred", "GAN"]


def test_the_course_of_a_test_is_its_numbers_along_the_training_and_its_end():
    tests = {100: drawn_test(0), 300: drawn_test(1, shift=3.0)}
    found = course(tests)
    assert found.losses[300] == [curve.mean.value for curve in tests[300].curves.values()]
    assert found.p == {shown: test.apart().p for shown, test in tests.items()}
    assert found.verdict == tests[300].verdict() and found.distance == tests[300].apart().value
    assert found.fresh == tests[300].apart("held_out") and found.start <= 1
    assert found.memory == min(tests[300].A.memory.low, tests[300].B.memory.low)
