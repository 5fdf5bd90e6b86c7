import numpy as np
import pytest
from scipy import stats

from galgen.compare.shared_latents import shared_latents

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


def test_the_same_images_correlate_perfectly_and_turned_round_to_minus_one():
    x = np.random.default_rng(1).standard_normal(30)
    found = shared_latents(table(x, x), table(x, -x), NAMES)
    assert found["gini"].value == pytest.approx(1) and found["m20"].value == pytest.approx(-1)


def test_p_is_level_under_the_null():
    rng = np.random.default_rng(2)
    p = [
        shared_latents(*(table(*rng.standard_normal((2, 12))) for _ in "ab"), NAMES, permutations=99)["m20"].p
        for _ in range(300)
    ]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.05)


def test_only_latents_valid_in_both_count_and_too_few_or_constant_are_left_out():
    x = np.arange(8.0)
    spoiled = np.where(x < 2, np.nan, x)
    reason = ["bad", "bad"] + [""] * 6
    found = shared_latents(table(spoiled, np.ones(8), reason), table(x, x), NAMES)
    assert set(found) == {"gini"} and found["gini"].n == 6 and found["gini"].value == pytest.approx(1)
    assert shared_latents(table(x, x, ["bad"] * 5 + [""] * 3), table(x, x), NAMES) == {}
