"""Sheets of stamps, error bars and titles: every image in its position."""

import matplotlib.pyplot as plt
import numpy as np

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


def test_gray_cuts_off_what_is_no_grey_and_leaves_bytes_alone():
    floats = np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]])
    with np.errstate(all="raise"):
        assert figures.gray(floats).tolist() == [[0, 0, 128, 255, 255, 0]]
    assert figures.gray(floats).dtype == np.uint8
    bytes_ = np.arange(6, dtype=np.uint8)
    assert figures.gray(bytes_) is bytes_
