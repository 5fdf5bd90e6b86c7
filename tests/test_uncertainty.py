"""Intervals and null distributions with known answers."""

import warnings

import numpy as np
import pytest
from scipy import stats

from galgen.compare.uncertainty import (
    bootstrap,
    holm,
    over_trainings,
    permuted,
    permuted_sums,
    proportion,
    ratio,
)


def drawn(rng, top, bottom, count, correlation=0.6):
    """The means of so many pairs of unit spread, and the covariance of the means."""
    pairs = rng.multivariate_normal([top, bottom], [[1, correlation], [correlation, 1]], count)
    return pairs.mean(0), np.cov(pairs.T) / count


@pytest.mark.parametrize(("top", "bottom"), [(1.0, 2.0), (-0.5, 1.5), (0.0, 1.5), (3.0, -2.0)])
def test_the_interval_of_a_ratio_covers_it_of_five_pairs(top, bottom):
    """With the normal's 1.96 in the place of t it would cover 88 %."""
    rng, inside, quoted = np.random.default_rng(0), 0, 0
    for _ in range(2000):
        (a, b), covariance = drawn(rng, top, bottom, 5)
        if (found := ratio(a, b, covariance, freedom=4, n=5)) is not None:
            quoted += 1
            inside += found.low <= top / bottom <= found.high
            assert found.low <= found.value <= found.high
    assert quoted > 1000 and 0.93 < inside / quoted < 0.97


def test_there_is_no_ratio_where_the_interval_of_the_denominator_holds_0():
    covariance, t = np.diag([0.01, 0.04]), stats.t.ppf(0.975, 4)
    assert ratio(1.0, 0.99 * 0.2 * t, covariance, freedom=4, n=5) is None
    assert ratio(1.0, -0.99 * 0.2 * t, covariance, freedom=4, n=5) is None
    assert ratio(1.0, 1.01 * 0.2 * t, covariance, freedom=4, n=5).high > 50
    rng, none = np.random.default_rng(1), 0
    for _ in range(1000):
        (a, b), covariance = drawn(rng, 1.0, 0.0, 5)
        none += ratio(a, b, covariance, freedom=4, n=5) is None
    assert none / 1000 == pytest.approx(0.95, abs=0.03)


def test_a_well_known_ratio_has_the_interval_of_its_linear_error():
    covariance = np.array([[4e-4, 1e-4], [1e-4, 1e-4]])
    found = ratio(1.0, 2.0, covariance, freedom=1e6, n=9)
    error = np.sqrt(4e-4 - 2 * 0.5 * 1e-4 + 0.25 * 1e-4) / 2
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.01) and found.n == 9
    turned = ratio(-1.0, -2.0, covariance, freedom=1e6, n=9)
    assert (turned.value, turned.low, turned.high) == pytest.approx((found.value, found.low, found.high))


@pytest.mark.parametrize("interval", [bootstrap, proportion])
def test_numbers_that_are_drawn_together_are_one_draw(interval):
    """Two equal columns have the interval of one, and not that of as many independent numbers."""
    values = np.random.default_rng(0).random((101, 2))
    values[:, 1] = values[:, 0]
    assert interval(values) == interval(values[:, 0])
    apart = interval(values.ravel())
    assert apart.value == interval(values).value and apart.n == 202
    assert apart.high - apart.low < 0.85 * (interval(values).high - interval(values).low)
    assert proportion(np.ones((9, 2))).n == 9
    half = proportion(np.full(9, 0.5))
    assert half.value == 0.5 and half.high - 0.5 == pytest.approx(0.5 - half.low) and half.low < 0.3


def test_sums_over_permuted_labels_are_those_of_the_permutations():
    rng = np.random.default_rng(0)
    labels, values, groups = rng.random(40) < 0.3, rng.random((40, 2)), np.repeat([0, 1], [15, 25])
    found = permuted_sums(labels, values, 50, 3, groups=groups)
    assert np.allclose(found, permuted(labels, 50, 3, groups=groups) @ values)
    first = permuted_sums(labels, (groups == 0).astype(float), 500, 3, groups=groups)
    assert (first == labels[:15].sum()).all(), "labels stay in their group"
    opposite = np.repeat([0.5, -0.5], 20)
    exchanged = permuted_sums(opposite, values, 50, 3, paired=True)
    assert np.allclose(exchanged, permuted(opposite, 50, 3, paired=True) @ values)
    nothing = permuted_sums(opposite, np.full(40, 0.1), 50, 3, paired=True)
    assert (nothing == 0).all(), "what is 0 is 0, and not the last bits of a sum"
    large = permuted_sums(rng.random(2**21) < 0.5, np.ones(2**21), 5, 0)  # in parts of two arrangements
    assert large.shape == (6,) and (large == large[0]).all()


def test_holm_multiplies_by_the_questions_that_are_left_and_keeps_the_order():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({}) == {} and holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}


def test_an_interval_over_trainings_is_students_and_equal_ones_warn_of_nothing():
    values = np.random.default_rng(0).normal(size=3)
    given, found = stats.ttest_1samp(values, 0).confidence_interval(), over_trainings(values)
    assert (found.low, found.high) == pytest.approx((given.low, given.high))
    with warnings.catch_warnings(action="error"):
        same = over_trainings([0.1, 0.1 + 1e-17, np.nextafter(0.1, 1)])
    assert same.low <= 0.1 <= same.high and same.high - same.low < 1e-15
