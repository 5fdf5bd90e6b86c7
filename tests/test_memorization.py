import numpy as np
import pytest
import torch

from galgen.compare.memorization import gap_ratio, memorized_fraction
from galgen.compare.similarity import nearest
from galgen.compare.uncertainty import bootstrap

RNG = np.random.default_rng(0)
POPULATION = RNG.integers(0, 256, (900, 1, 8, 8), dtype=np.uint8)
TRAIN, NEW = POPULATION[:300], POPULATION[600:]


def copies(n, seed=1):
    """Training images with a little noise, 7 % fainter, as a memorizing sampler makes them."""
    rng = np.random.default_rng(seed)
    return 0.93 * TRAIN[:n] / 255 + 0.02 * rng.normal(size=(n, 1, 8, 8))


def judge(samples):
    queries = torch.from_numpy(samples.astype(np.float32))
    return memorized_fraction(nearest(queries, TRAIN, 2, kind="pearson").cosine)


def test_all_copied_all_new_and_half():
    all_, none, half = (judge(x) for x in (copies(300), NEW / 255, np.r_[copies(150), NEW[:150] / 255]))
    assert all_.value == 1 and 0.98 < all_.low < all_.high == 1
    assert none.value == 0 and none.low == 0 and 0 < none.high < 0.02
    assert half.value == 0.5 and half.low == pytest.approx(0.5 - 1.96 * (0.25 / 300) ** 0.5, abs=0.01)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_interval_covers_the_truth_as_often_as_it_says(p):
    rng, covered = np.random.default_rng(int(100 * p)), 0
    for _ in range(400):
        hit = rng.random(120) < p
        found = memorized_fraction(np.stack([np.where(hit, 0.999, 0.5), np.full(120, 0.4)], 1))
        covered += found.low <= p <= found.high
    # 95 % nominal; the percentile bootstrap of a proportion is known to be a little short
    assert 0.89 < covered / 400 < 0.985


def test_the_bootstrap_of_a_median_covers_it():
    rng = np.random.default_rng(5)
    hits = [e.low <= 1 <= e.high for e in (bootstrap(rng.normal(1, 1, 100), seed=t) for t in range(200))]
    assert 0.89 < np.mean(hits) < 0.99


def test_gap_ratio_is_the_ratio_of_distances_between_unit_vectors():
    rng = np.random.default_rng(7)
    u = rng.normal(size=(50, 3, 9))
    u /= np.linalg.norm(u, axis=2, keepdims=True)
    cosines = np.sort((u[:, :1] * u[:, 1:]).sum(2), axis=1)[:, ::-1]
    distances = np.sort(np.linalg.norm(u[:, :1] - u[:, 1:], axis=2), axis=1)
    np.testing.assert_allclose(gap_ratio(cosines), distances[:, 0] / distances[:, 1])


def test_gap_ratio_at_its_ends():
    np.testing.assert_array_equal(gap_ratio(np.array([[1.0, 0.5], [1.0, 1.0], [0.3, 0.3]])), [0, 1, 1])
    # float32 cosines may pass 1 by rounding
    assert gap_ratio(np.array([[1.0000001, 0.5]], np.float32))[0] == 0
