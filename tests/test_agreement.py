import numpy as np
import pytest
from conftest import floats
from scipy import stats

from galgen.compare.agreement import shared_latents, two_models
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
    assert test.nearest_cosine.value == pytest.approx(1, abs=1e-5)
    assert test.p_closer.value == 1 and test.memorized.value == 1 and test.memorized_null == 0
    assert test.memorization.outcome.p < 0.001
    assert abs(test.agreement.value) < 0.15 and abs(test.agreement_null) < 0.15
    assert np.median(test.cosines["anomaly"].held_out) < 0.5 < test.nearest_cosine.low


def test_models_that_draw_the_same_new_images_agree_and_do_not_copy(galaxies):
    images, sets = galaxies
    new = floats(images[sets.validation])
    test = two_models(new, new, images, sets, mean=mean_image(images))
    assert test.agreement.value == pytest.approx(1, abs=1e-5)
    # from one set of images A and B say nothing of whose they are
    assert test.p_closer.value == 0.5
    assert test.memorization.outcome.p == 1
    assert test.memorized.value == 0
    # its samples are the validation images, so every sample has its null's value
    for kind in ("pearson", "anomaly"):
        assert np.allclose(test.cosines[kind].nearest, test.cosines[kind].held_out)


def test_the_null_of_the_memorized_fraction_finds_training_images_among_the_held_out_ones(galaxies):
    images, sets = galaxies
    new, mixed = floats(images[sets.validation]), Split(sets.A, sets.B, validation=sets.A)
    assert two_models(new, new, images, mixed, mean=mean_image(images)).memorized_null == 1


def test_a_turned_copy_is_found_only_where_flips_count(galaxies):
    images, sets = galaxies
    a, b = (floats(images[rows[:40]]).flip(-1) for rows in (sets.A, sets.B))
    mean = mean_image(images)
    plain, turned = (two_models(a, b, images, sets, mean=mean, flips=flips) for flips in (False, True))
    assert turned.p_closer.value == 1 and turned.nearest_cosine.value == pytest.approx(1, abs=1e-5)
    assert plain.nearest_cosine.value < 0.5


def test_the_spread_of_training_images_is_one_and_scales_with_the_square(galaxies):
    images, _ = galaxies
    same = principal_spread(floats(images), images)
    assert [name.split()[1] for name in same] == ["1", "2-5", "6-20", "21-100", "101-239"]
    assert np.allclose(list(same.values()), 1, atol=1e-3)
    mean = floats(images).mean(0)
    half = principal_spread(mean + 0.5 * (floats(images) - mean), images)
    assert np.allclose(list(half.values()), 0.25, atol=1e-3)


NAMES = ("gini", "m20")


def table(gini, m20, reason=None):
    return {"gini": gini, "m20": m20, "reason": np.array(reason or [""] * len(gini))}


def test_the_correlation_is_spearmans_and_independent_models_have_none():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 2, 200))
    other[0] += one[0]
    other[0] = np.exp(3 * other[0])  # a monotone map changes no rank
    found = shared_latents(table(*one), table(*other), NAMES)
    assert found["gini"].value == pytest.approx(stats.spearmanr(one[0], other[0]).statistic)
    assert found["gini"].p == 0.001 and found["gini"].value > 4 * found["gini"].high
    assert found["m20"].p > 0.05
    assert found["m20"].high == pytest.approx(1.96 / 200**0.5, rel=0.15)


def test_only_latents_valid_in_both_count_and_too_few_or_constant_are_left_out():
    x = np.arange(8.0)
    spoiled = np.where(x < 2, np.nan, x)
    reason = ["bad", "bad"] + [""] * 6
    found = shared_latents(table(spoiled, np.ones(8), reason), table(x, x), NAMES)
    assert set(found) == {"gini"} and found["gini"].value == pytest.approx(1)
    assert shared_latents(table(x, x, ["bad"] * 5 + [""] * 3), table(x, x), NAMES) == {}
