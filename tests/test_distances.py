import numpy as np
import pytest
from astropy.table import Table
from scipy import stats
from scipy.spatial.distance import cdist

from galgen.compare.distances import distances, energy, energy_of_pixels, with_spread

NAMES = ("gini", "m20", "asymmetry")
SPREAD = np.array([0.1, 0.3, 0.05])


def rows(n, rng, shift=0.0):
    """Correlated normal coefficients of very different spread; the shift is in units of it."""
    z = rng.standard_normal((n, 3)) @ np.linalg.cholesky([[1, 0.6, 0], [0.6, 1, 0], [0, 0, 1]]).T
    return Table((z + shift) * SPREAD + [0.5, -1.6, 0.1], names=NAMES)


def test_the_distances_of_shifted_gaussians_are_the_known_ones():
    rng = np.random.default_rng(0)
    found = distances(rows(3000, rng), rows(2000, rng, shift=[0.5, 0, -1]), NAMES, permutations=99)
    assert found.n == 2000
    for name, spread, shift in zip(NAMES, SPREAD, (0.5, 0, 1), strict=True):
        # Of two equal Gaussians of that size, W1 is 0.04 spreads or less.
        assert found.w1[name].value == pytest.approx(shift * spread, abs=0.08 * spread)
    assert found.w1["gini"].p == found.w1["asymmetry"].p == found.energy.p == 0.01
    assert found.w1["m20"].p > 0.05
    assert found.w1["gini"].value > 3 * found.w1["gini"].high > found.w1["gini"].low > 0


def test_the_distances_are_those_of_their_definitions():
    rng = np.random.default_rng(1)
    one, other = rows(1500, rng), rows(70, rng, shift=0.3)
    one["gini"], other["gini"] = np.round(one["gini"], 2), np.round(other["gini"], 2)  # ties
    found = distances(one, other, NAMES, permutations=9)
    for name in NAMES:
        assert found.w1[name].value == pytest.approx(stats.wasserstein_distance(one[name], other[name]))
    scale = [stats.median_abs_deviation(one[name], scale="normal") for name in NAMES]
    x, y = (np.stack([table[name] for name in NAMES], 1) / scale for table in (one, other))
    energy = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert found.energy.value == pytest.approx(energy, rel=1e-9)


def test_the_energy_distance_of_pixels_is_that_of_its_definition():
    x, y = np.random.default_rng(0).random((2, 40, 64))
    y = y[:30] + 0.05
    found = energy_of_pixels(x, y, permutations=199)
    assert found.value == pytest.approx(2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean())
    assert found.p == 1 / 200 and found.value > found.high and energy_of_pixels(x, x).p == 1


def test_the_energy_distance_sees_what_no_coefficient_shows_alone():
    rng = np.random.default_rng(2)
    one, other = rows(800, rng), rows(800, rng)
    other["gini"] = rng.permutation(other["gini"])  # the correlation with M20 is gone
    found = distances(one, other, NAMES)
    assert found.energy.p <= 0.01 and len(NAMES) * min(w1.p for w1 in found.w1.values()) > 0.05


def test_a_coefficient_that_half_of_the_set_shares_has_no_spread():
    table = rows(10, np.random.default_rng(5))
    table["m20"][:6] = -1.5
    assert with_spread(table, NAMES) == ["gini", "asymmetry"]
    assert with_spread(table[:0], NAMES) == []
    distances(table, rows(10, np.random.default_rng(6)), with_spread(table, NAMES), permutations=9)


def test_the_energy_distance_of_few_rows_has_no_bias():
    rng = np.random.default_rng(0)
    found = np.array([energy(rows(20, rng), rows(10, rng), NAMES) for _ in range(300)])
    assert abs(found.mean()) < 3 * found.std() / 300**0.5 < 0.05
    near, far = (energy(rows(400, rng), rows(300, rng, shift), NAMES) for shift in (0.2, 1.0))
    biased = distances(sets := rows(400, rng), other := rows(300, rng, 1.0), NAMES, permutations=9)
    assert near < far and energy(sets, other, NAMES) == pytest.approx(biased.energy.value, abs=0.03)
