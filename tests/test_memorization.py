import numpy as np
import pytest
import torch

from galgen.compare.memorization import gap_ratio, memorized_fraction, train_closer
from galgen.compare.uncertainty import bootstrap
from galgen.data.similarity import nearest
from galgen.runs.errors import GalgenError

RNG = np.random.default_rng(0)
POPULATION = RNG.integers(0, 256, (900, 1, 8, 8), dtype=np.uint8)
TRAIN, HELD_OUT, NEW = POPULATION[:300], POPULATION[300:600], POPULATION[600:]


def copies(n, seed=1):
    """Training images with a little noise, 7 % fainter, as a memorizing sampler makes them."""
    rng = np.random.default_rng(seed)
    return 0.93 * TRAIN[:n] / 255 + 0.02 * rng.normal(size=(n, 1, 8, 8))


def judge(samples):
    queries = torch.from_numpy(samples.astype(np.float32))
    train = nearest(queries, TRAIN, 2, kind="pearson").cosine
    held_out = nearest(queries, HELD_OUT, 1, kind="pearson").cosine
    return train_closer(train[:, 0], held_out[:, 0]), memorized_fraction(train)


def test_all_copied():
    closer, memorized = judge(copies(300))
    assert closer.value == 1 and memorized.value == 1
    assert 0.98 < closer.low < closer.high == 1 and 0.98 < memorized.low < memorized.high == 1


def test_all_new():
    closer, memorized = judge(NEW / 255)
    assert closer.low < 0.5 < closer.high
    assert memorized.value == 0 and memorized.low == 0 and 0 < memorized.high < 0.02


def test_half_copied():
    closer, memorized = judge(np.concatenate([copies(150), NEW[:150] / 255]))
    assert closer.low < 0.75 < closer.high
    assert memorized.value == 0.5
    assert memorized.low == pytest.approx(0.5 - 1.96 * (0.25 / 300) ** 0.5, abs=0.01)


def test_copies_of_held_out_images_turn_the_sign():
    queries = torch.from_numpy(HELD_OUT.astype(np.float32) / 255)
    train, held_out = (nearest(queries, images, kind="pearson").cosine[:, 0] for images in (TRAIN, HELD_OUT))
    assert train_closer(train, held_out).value == 0


def test_wilson_interval_is_the_closed_form():
    n, hits, z = 80, 60, 1.959963984540054
    train = np.where(np.arange(n) < hits, 1.0, 0.0)
    found = train_closer(train, np.full(n, 0.5))
    p, centre = hits / n, (hits / n + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    assert (found.value, found.n) == (p, n)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))
    assert str(found) == "0.75 [0.65, 0.83]"


def test_ties_count_for_neither_side():
    found = train_closer(np.array([0.9, 0.9, 0.2, 0.5]), np.array([0.1, 0.9, 0.3, 0.4]))
    assert found.n == 3 and found.value == pytest.approx(2 / 3)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_intervals_cover_the_truth_as_often_as_they_say(p):
    rng = np.random.default_rng(int(100 * p))
    covered = np.zeros(2)
    for trial in range(400):
        hit = rng.random(120) < p
        cosines = np.stack([np.where(hit, 0.999, 0.5), np.full(120, 0.4)], 1)
        estimates = (
            train_closer(np.where(hit, 1.0, 0.0), np.full(120, 0.5)),
            memorized_fraction(cosines, seed=trial),
        )
        covered += [e.low <= p <= e.high for e in estimates]
    # 95 % nominal; 400 trials scatter by 1.1 %; the percentile bootstrap of a proportion is known to be a
    # little short
    assert 0.91 < covered[0] / 400 < 0.985
    assert 0.89 < covered[1] / 400 < 0.985


def test_the_bootstrap_of_a_median_covers_it():
    rng = np.random.default_rng(5)
    hits = [e.low <= 1 <= e.high for e in (bootstrap(rng.normal(1, 1, 100), seed=t) for t in range(200))]
    assert 0.89 < np.mean(hits) < 0.99


def test_another_choice_of_ten_images_matters_more_than_the_interval_says():
    # what the docstring warns of: without memorization, over choices of N = 10 images, 1/2 is missed far
    # too often
    rng = np.random.default_rng(6)
    queries = torch.from_numpy(rng.random((1000, 1, 4, 4), dtype=np.float32))
    missed = 0
    for _ in range(100):
        train, held_out = rng.integers(0, 256, (2, 10, 1, 4, 4), dtype=np.uint8)
        found = train_closer(
            *(nearest(queries, part, kind="pearson").cosine[:, 0] for part in (train, held_out))
        )
        missed += not found.low <= 0.5 <= found.high
    assert missed > 15


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train_closer(np.ones(3), np.ones(3)), "disjoint"),
        (lambda: train_closer(np.ones(3), np.ones(2)), "3 cosines"),
        (lambda: train_closer(np.array([np.nan]), np.ones(1)), "converge"),
        (lambda: train_closer(np.array([]), np.array([])), "no values"),
        (lambda: gap_ratio(np.ones((4, 1))), "k=2"),
        (lambda: bootstrap(np.ones(1)), "two samples"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(GalgenError, match=message):
        call()
