import numpy as np
import pytest
from test_controls import galaxies

from galgen.compare.controls import blurred, rounded
from galgen.compare.how_far import Ladder, area, ladder
from galgen.compare.uncertainty import Estimate

IMAGES = galaxies(360, seed=3, side=32)
REFERENCE, UNSEEN, MODEL = rounded(IMAGES[:160]), rounded(IMAGES[160:260]), rounded(IMAGES[260:])


def test_an_amount_is_read_off_between_the_steps_and_open_above():
    steps = Ladder(np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.6, 0.9]))
    found = steps.amount(Estimate(0.75, 0.55, 0.95, 100))
    assert (found.value, found.low, found.high) == (pytest.approx(1.5), pytest.approx(0.5), np.inf)
    assert steps.amount(Estimate(0.4, 0.3, 0.5, 100)).value == 0
    flat = Ladder(np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.5, 0.9]))  # half a pixel of blur is not seen
    assert flat.amount(Estimate(0.5, 0.5, 0.5, 9)).value == 0
    assert flat.amount(Estimate(0.9, 0.8, 0.95, 9)).value == np.inf
    assert flat.amount(Estimate(0.7, 0.7, 0.7, 9)).value == pytest.approx(1)


@pytest.mark.parametrize(("side", "width"), [(8, 0.5), (8, 0.7), (16, 0.35)])
def test_galaxies_blurred_by_a_known_width_are_as_far_off_as_that_blur(side, width):
    steps = ladder("blur", UNSEEN, REFERENCE, side=side)
    found = steps.amount(area(rounded(blurred(MODEL, width)), REFERENCE, side=side))
    assert found.value == pytest.approx(width, abs=0.12)


def test_noise_of_known_strength_and_galaxies_without_a_fault():
    steps = ladder("noise", UNSEEN, REFERENCE, side=16)
    noise = np.random.default_rng(5).standard_normal(MODEL.shape) * 1.2 / 255
    found = steps.amount(area(rounded(MODEL + noise), REFERENCE, side=16))
    assert found.value == pytest.approx(1.2, abs=0.4)
    assert steps.amount(area(MODEL, REFERENCE, side=16)).low == 0
