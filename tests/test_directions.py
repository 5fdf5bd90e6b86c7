"""Overlap of leading directions, of sets whose directions are known."""

import numpy as np
import pytest

from galgen.compare.directions import GROUPS, directions, overlap, shared

SIDE, D = 8, 64
BASIS = np.linalg.qr(np.random.default_rng(0).standard_normal((D, D)))[0].T
FALLING = 1 / np.arange(1, D + 1)


def drawn(seed, n=200, basis=BASIS, spread=FALLING):
    rows = np.random.default_rng(seed).standard_normal((n, D)) * spread @ basis
    return (3 + rows).reshape(n, 1, SIDE, SIDE)


def test_random_subspaces_share_k_of_d_and_the_same_one_all():
    rng = np.random.default_rng(0)
    frames = [np.linalg.qr(rng.standard_normal((256, 16)))[0].T for _ in range(40)]
    found = [overlap(a, b) for a, b in zip(frames[::2], frames[1::2], strict=True)]
    assert np.mean(found) == pytest.approx(16 / 256, rel=0.1)
    turn = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    assert overlap(frames[0], turn @ frames[0]) == pytest.approx(1)


def test_the_directions_are_those_of_the_singular_values_also_without_a_group():
    images = drawn(1)
    whole, *without = directions(images, 5)
    assert len(without) == GROUPS
    kept = np.arange(200) % GROUPS
    for found, rows in ((whole, images), (without[3], images[kept != 3])):
        flat = rows.reshape(len(rows), -1)
        known = np.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:5]
        assert np.allclose(np.abs((found * known).sum(1)), 1) and np.allclose(found @ found.T, np.eye(5))


def test_a_set_shares_all_with_itself_and_a_known_part_with_one_that_is_turned():
    images = drawn(2)
    for estimate in shared(*[directions(images, 6)] * 2):
        assert estimate.value == pytest.approx(1) and estimate.low == pytest.approx(1)
    angle = np.radians(40)
    turned = BASIS.copy()
    turned[0] = np.cos(angle) * BASIS[0] + np.sin(angle) * BASIS[40]
    turned[40] = np.cos(angle) * BASIS[40] - np.sin(angle) * BASIS[0]
    coarse = FALLING * np.where(np.arange(D) < 3, 1, 0.01)
    sets = (drawn(3, basis=basis, spread=coarse) for basis in (BASIS, turned))
    first, _, third, *_ = shared(*(directions(part, 6) for part in sets))
    assert first.value == pytest.approx(np.cos(angle) ** 2, abs=0.03)
    assert third.value == pytest.approx((np.cos(angle) ** 2 + 2) / 3, abs=0.03)


def test_directions_that_a_set_has_not_share_nothing():
    few = np.tile(drawn(4, n=4), (5, 1, 1, 1))  # four images have three directions
    known = directions(drawn(5), 6)
    found = directions(few, 6)
    assert np.abs(found[0][3:]).max() == 0 and np.allclose(found[0][:3] @ found[0][:3].T, np.eye(3))
    third, sixth = (shared(found, known)[k].value for k in (2, 5))
    assert sixth < 0.8 and shared(found, found)[5].value == pytest.approx(0.5) and 0 < third <= 1
    assert shared(directions(np.ones((20, 1, SIDE, SIDE)), 6), known)[0].value == 0


def test_the_interval_holds_what_other_sets_give_and_tells_apart_what_is_turned():
    flat = 1 / np.arange(1, D + 1) ** 0.5
    pairs = [shared(*(directions(drawn(2 * k + i, 128, spread=flat), 10) for i in (0, 1))) for k in range(40)]
    for k in (0, 9):
        mean = np.mean([pair[k].value for pair in pairs])
        assert np.mean([pair[k].low <= mean <= pair[k].high for pair in pairs]) >= 0.8
        assert all(0 <= pair[k].low <= pair[k].high <= 1 for pair in pairs)
    other = np.linalg.qr(np.random.default_rng(9).standard_normal((D, D)))[0].T
    apart = shared(directions(drawn(1, 128, spread=flat), 10), directions(drawn(2, 128, other, flat), 10))
    assert apart[9].high < np.mean([pair[9].low for pair in pairs])
