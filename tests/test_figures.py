"""Sheets of stamps, error bars and titles: every picture in its place."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from galgen.compare.uncertainty import Estimate
from galgen.figures import style as figures


def stamps(n, side=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), dtype=np.uint8)


def test_every_stamp_is_on_the_sheet_in_reading_order():
    images, figure = stamps(7), figures.stamp_sheet(stamps(7), columns=3)
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    step = 9  # a stamp of 8 and a gap of 1
    for k in range(7):
        row, column = divmod(k, 3)
        found = sheet[row * step + 1 : row * step + 9, column * step : column * step + 8]
        np.testing.assert_array_equal(found, images[k] / 255)
    assert (sheet[2 * step + 1 :, step:] == 1).all(), "what is left of the last row is paper"


def test_intervals_are_drawn_where_they_lie():
    _, axis = plt.subplots()
    figures.intervals(axis, [10, 20], [Estimate(1.0, 0.5, 1.25, 8), Estimate(2.0, 2.0 + 1e-12, 3.0, 8)])
    (bars,) = axis.containers
    ends = [segment[:, 1].tolist() for segment in bars.lines[2][0].get_segments()]
    assert np.allclose(ends, [[0.5, 1.25], [2.0, 3.0]])


def test_a_title_stands_above_all_and_makes_no_figure_wider():
    def drawn(title):
        figure, axis = plt.subplots(figsize=(4, 2), layout="constrained")
        axis.plot([0, 1], label="a line")
        figure.legend(loc="outside upper center")
        shown = figures.show(figure, alt="a line", note="a note", title=title)
        assert shown.words == (f"{title}. a line" if title else "a line")
        return np.asarray(Image.open(io.BytesIO(shown.content["image/png"])).convert("L")) / 255

    with plt.rc_context({"figure.dpi": 100, "savefig.dpi": 100}):
        plain, titled = drawn(""), drawn("Two networks agree at 0.98 (N = 4 000), two Gaussians at 0.99")
    height = len(titled) - len(plain)
    assert titled.shape[1] <= 4 * 100 + 2 * 6 + 1, "as wide as the figure and the paper about it"
    assert height > 20 and titled[: height - 4].min() < 0.4
    legend = [(1 - each)[:30].sum() for each in (plain, titled[height:])]
    assert legend[1] == pytest.approx(legend[0], rel=0.1), "it stays below the title"


def test_gray_cuts_off_what_is_no_grey_and_leaves_bytes_alone():
    floats = np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]])
    with np.errstate(all="raise"):
        assert figures.gray(floats).tolist() == [[0, 0, 128, 255, 255, 0]]
    assert figures.gray(floats).dtype == np.uint8
    bytes_ = np.arange(6, dtype=np.uint8)
    assert figures.gray(bytes_) is bytes_
