import numpy as np
import pytest
from conftest import floats

from galgen.compare.agreement import two_models
from galgen.compare.scales import principal_spread
from galgen.data.split import Split
from galgen.data.unit import mean_image


@pytest.fixture(scope="module")
def galaxies():
    rng = np.random.default_rng(3)
    y, x = np.mgrid[-8:8, -8:8] / 4
    blob = 60 * np.exp(-(x**2 + y**2)) + 20
    images = np.clip(blob + 12 * rng.standard_normal((240, 1, 16, 16)), 0, 255).astype(np.uint8)
    rows = np.arange(240)
    return images, Split(A=rows[:80], B=rows[80:160], validation=rows[160:])


def test_models_that_return_their_training_images_copy_and_do_not_agree(galaxies):
    images, sets = galaxies
    a, b = floats(images[sets.A[:40]]), floats(images[sets.B[:40]])
    test = two_models(a, b, images, sets, mean=mean_image(images))
    assert test.cosines["anomaly"].nearest == pytest.approx(1, abs=1e-5)
    assert test.p_closer.value == 1
    assert test.memorization.outcome.p < 0.001
    assert abs(test.agreement.value) < 0.15 and abs(test.agreement_null) < 0.15
    assert np.median(test.cosines["anomaly"].held_out) < 0.5


def test_models_that_draw_the_same_new_images_agree_and_do_not_copy(galaxies):
    images, sets = galaxies
    new = floats(images[sets.validation])
    test = two_models(new, new, images, sets, mean=mean_image(images))
    assert test.agreement.value == pytest.approx(1, abs=1e-5)
    # from one set of images A and B say nothing of whose they are
    assert test.p_closer.value == 0.5
    assert test.memorization.outcome.p == 1
    # its samples are the validation images, so every sample has its null's value
    for kind in ("pearson", "anomaly"):
        assert np.allclose(test.cosines[kind].nearest, test.cosines[kind].held_out)


def test_a_turned_copy_is_found_only_where_flips_count(galaxies):
    images, sets = galaxies
    a, b = (floats(images[rows[:40]]).flip(-1) for rows in (sets.A, sets.B))
    mean = mean_image(images)
    plain, turned = (two_models(a, b, images, sets, mean=mean, flips=flips) for flips in (False, True))
    assert turned.p_closer.value == 1
    assert turned.cosines["anomaly"].nearest == pytest.approx(1, abs=1e-5)
    assert np.median(plain.cosines["anomaly"].nearest) < 0.5


def test_the_spread_of_training_images_is_one_and_scales_with_the_square(galaxies):
    images, _ = galaxies
    same = principal_spread(floats(images), images)
    assert [name.split()[1] for name in same] == ["1", "2-5", "6-20", "21-100", "101-239"]
    assert np.allclose(list(same.values()), 1, atol=1e-3)
    mean = floats(images).mean(0)
    half = principal_spread(mean + 0.5 * (floats(images) - mean), images)
    assert np.allclose(list(half.values()), 0.25, atol=1e-3)
