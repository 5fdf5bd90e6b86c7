"""The numbers behind a figure are those that were drawn, whatever kind of drawing it is."""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np

from galgen.figures import behind
from galgen.figures.style import stamp_sheet

X = np.linspace(0, 1, 7)


def kept(figure):
    """What a reader finds in the file."""
    packed = behind.packed(behind.numbers(figure))
    plt.close(figure)
    with np.load(io.BytesIO(base64.b64decode(packed))) as file:  # no pickle
        return {name: file[name] for name in file.files}


def test_lines_points_bars_areas_and_error_bars_come_back():
    figure, (first, second) = plt.subplots(1, 2)
    first.plot(X, X**2, label="model A/B")
    first.scatter(X, 2 * X, label="dots")
    first.errorbar(X, X, 0.1)
    first.set(xlabel="N", ylabel="cosine")
    second.bar([1, 2], [3, 4], width=0.5)
    second.fill_between(X, X, 1 + X)
    second.hist(X, bins=3, histtype="step")
    found = kept(figure)
    assert found["0 axes"].tolist() == ["", "N", "cosine"]
    assert (found['0 line 0 "model A|B"'] == np.stack([X, X**2], 1)).all()
    assert (found['0 points 0 "dots"'] == np.stack([X, 2 * X], 1)).all()
    assert np.allclose(found["0 points 1"][:, 1].reshape(-1, 2), np.stack([X - 0.1, X + 0.1], 1))
    assert found["1 bars"].tolist() == [[0.75, 0, 0.5, 3], [1.75, 0, 0.5, 4]]
    assert {tuple(point) for point in np.stack([X, 1 + X], 1)} <= {tuple(p) for p in found["1 points 0"]}
    assert found["1 area 0"][:, 1].max() == 3  # of seven, the fullest bin


def test_a_sheet_of_stamps_has_their_gray_levels():
    images = np.random.default_rng(0).integers(0, 256, (1, 8, 8), np.uint8)
    sheet = kept(stamp_sheet(images))["0 picture 0"]
    assert sheet.dtype == np.uint8 and (sheet[1:9, :8] == images[0]).all()
    scale = plt.figure()
    scale.add_subplot().imshow(np.full((2, 2), -3.5))
    assert (kept(scale)["0 picture 0"] == -3.5).all()
