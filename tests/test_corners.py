import matplotlib.pyplot as plt
import numpy as np
import pytest

from galgen.figures.morphology import LABELS, RANGES, corner_plot, outside


def rows(n, seed=0):
    """Values that fill a third of each axis."""
    rng = np.random.default_rng(seed)
    return {
        name: (low + high) / 2 + (high - low) / 6 * rng.standard_normal(n)
        for name, (low, high) in RANGES.items()
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [0, 1, 12, 29, 30, 300])
def test_a_set_of_any_size_is_drawn_without_a_warning(count, caplog):
    figure = corner_plot(
        {"validation": rows(200), "samples": rows(count, 1)}, {"validation": "k", "samples": "r"}
    )
    figure.canvas.draw()
    assert not caplog.records
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "validation (200)",
        f"samples ({count})",
    ]
    plt.close(figure)


@pytest.mark.filterwarnings("error")
def test_values_beyond_every_axis_or_all_alike_are_drawn_without_a_warning(caplog):
    far = {name: np.full(50, 99.0) for name in RANGES}
    same = {name: np.full(50, (low + high) / 2) for name, (low, high) in RANGES.items()}
    figure = corner_plot({"far": far, "same": same}, {"far": "k", "same": "r"})
    figure.canvas.draw()
    assert not caplog.records
    plt.close(figure)


def test_the_lower_triangle_has_the_papers_axes_and_their_names():
    figure = corner_plot({"validation": rows(100)}, {"validation": "k"})
    axes = np.array(figure.axes).reshape(5, 5)
    names = list(RANGES)
    for (i, j), axis in np.ndenumerate(axes):
        assert axis.get_visible() == (j <= i)
        if j <= i:
            assert axis.get_xlim() == pytest.approx(RANGES[names[j]])
        if j < i:
            assert axis.get_ylim() == pytest.approx(RANGES[names[i]])
    assert [axis.get_xlabel() for axis in axes[-1]] == list(LABELS.values())
    plt.close(figure)


def test_the_share_beyond_the_axes_is_counted_on_both_sides():
    columns = rows(8) | {"gini": np.array([0.1, 0.25, 0.5, 0.5, 0.5, 0.75, 0.8, 0.9])}
    assert outside(columns)["gini"] == 3 / 8
    assert np.isnan(outside(rows(0))["gini"])
