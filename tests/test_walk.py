"""The walk of the explorer: it ends where the model draws, in step, and says where the controls stand."""

import numpy as np
import pytest
import torch

from galgen.config import Parameters
from galgen.explorer import controls
from galgen.explorer.answers import Explorer
from galgen.explorer.walk import EIGENVECTORS, LADDER, answers, path


@pytest.fixture(scope="module")
def explorer(trained):
    return Explorer(Parameters(profile="smoke", N=12), trained)


def test_the_walk_begins_at_one_noise_and_ends_at_what_the_model_draws(explorer):
    a, b = (path(explorer, 12, half, 3) for half in "AB")
    assert len(a) == len(LADDER) and torch.equal(a[0], b[0])
    for half, places in (("A", a), ("B", b)):
        drawn = explorer.draw("conditional", 12, half, 3)  # by another solver, and with a last denoising
        assert (places[-1] - drawn).abs().max() < 0.05 * drawn.std() + 0.05


def test_each_model_has_a_row_with_the_image_and_its_eigenvectors(explorer):
    a, b, both = answers(explorer, 12, 3, len(LADDER) - 1)
    assert (a.label, b.label) == ("model A, N = 12", "model B, N = 12")
    for row in (a, b):
        assert len(row.stamps) == 2 + EIGENVECTORS
        values = [float(stamp.caption.split()[-1]) for stamp in row.stamps[2:]]
        assert values == sorted(values, reverse=True)
        extremes = [np.abs(stamp.image - 0.5).max() for stamp in row.stamps[2:]]
        assert np.allclose(extremes, 0.5)
    assert "agree by" in both.note


def test_both_sliders_change_the_picture(explorer):
    box = controls.walk(explorer)
    picture = box.children[-2]
    for control in box.children[1:3]:
        before = picture.value
        control.value = 5
        assert picture.value != before and 'alt="model A, N = 12: denoised"' in picture.value
