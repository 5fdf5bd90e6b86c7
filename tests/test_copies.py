"""The exact test for copies: its statistic by hand, its size and power, and cases without a result."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from galgen.auditing.copies import copies
from galgen.compare.gaussian import Gaussian, fit_gaussian, shrunk_gaussian
from galgen.compare.memorization import distance_ratio, gap_ratio, near_copy_fraction
from galgen.compare.similarity import FLIPS, cosine_matrix, nearest
from galgen.data.unit import unit


def population(n, seed, side=8):
    """Blobs of random shape on a random field: no two alike, all of one density."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal((n, side, side)), (0, 1, 1))
    place = np.arange(side) - (side - 1) / 2
    blob = np.exp(-(place[:, None] ** 2 + place**2) / rng.uniform(3, 12, (n, 1, 1)))
    return np.clip(90 * blob + 120 * field + 60, 0, 255).astype(np.uint8)[:, None]


POOL, FRESH = population(500, 0), population(400, 1)


def split(seed, N, M, pool=POOL):
    """A random part of the pool for training and another one that is held out."""
    rows = np.random.default_rng(seed).permutation(len(pool))
    return pool[rows[:N]], pool[rows[N : N + M]]


def planted(train, share, seed, n=200):
    """Fresh images, of which a share are copies of training images."""
    rng, k = np.random.default_rng(seed), round(share * n)
    copied = train[rng.integers(len(train), size=k)]
    return np.concatenate([copied, FRESH[rng.permutation(len(FRESH))[: n - k]]])


def by_hand(samples, pool):
    """w_s and the nearest image of each sample, from distances of projected unit vectors."""
    mean = pool.mean(0).ravel() / 255
    one = np.ones(mean.size) / mean.size**0.5
    shape = mean - mean.mean()
    axes = np.stack([one, shape / np.linalg.norm(shape)])

    def vectors(images):
        x = images.reshape(len(images), -1) / 255
        x = x - x @ axes.T @ axes
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    d = np.linalg.norm(vectors(samples)[:, None] - vectors(pool)[None], axis=2)
    near = np.sort(d, axis=1)
    return 1 - near[:, 0] / near[:, 4], d.argmin(1)


def test_the_statistic_and_its_null_are_those_of_the_definition():
    train, held_out = split(0, 30, 20)
    samples = planted(train, 0.1, 0, n=60)
    found = copies(samples, train, held_out, permutations=4000)
    w, near = by_hand(samples, np.concatenate([train, held_out]))
    label = np.arange(50) < 30
    assert found.outcome.value == pytest.approx(w @ label[near] / w.sum(), abs=1e-3)
    rng = np.random.default_rng(9)
    null = [w @ rng.permutation(label)[near] / w.sum() for _ in range(4000)]
    assert (found.outcome.low, found.outcome.high) == pytest.approx(
        np.quantile(null, (0.025, 0.975)), abs=0.03
    )
    assert found.chance == pytest.approx(0.6) and found.mixed == (0, 0)
    share = label[near].mean()
    assert found.bias.value == pytest.approx(share - 0.6)
    assert found.bias.low < found.bias.value < found.bias.high


@pytest.mark.parametrize(("N", "M", "twice"), [(60, 60, 0), (96, 24, 0), (96, 24, 40)])
def test_where_nothing_leans_p_is_as_rarely_small_as_it_says(N, M, twice):
    """At equal sizes, at 4 : 1, and with near-duplicates that fall where they fall."""
    again = np.clip(
        POOL[:twice].astype(int) + np.random.default_rng(3).integers(-1, 2, POOL[:twice].shape), 0, 255
    )
    pool = np.concatenate([POOL[:160], again.astype(np.uint8)])
    found = [copies(FRESH[:80], *split(seed, N, M, pool), permutations=99, seed=seed) for seed in range(80)]
    p = np.array([each.outcome.p for each in found if each.outcome])
    assert len(p) > 70  # the others were refused, as training and held-out seemed to differ
    assert 1 <= (p <= 0.2).sum() <= 30 and (p <= 0.05).sum() <= 11  # a thousandth beyond
    assert (np.mean([sum(each.mixed) for each in found]) > 5) == (twice > 0)


@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_copies_are_found_and_their_share_is_measured(share):
    train, held_out = split(1, 150, 150)
    found = copies(planted(train, share, 1), train, held_out)
    assert found.verdict == "copies" and found.outcome.p < 0.01
    assert found.bias.low <= share * (1 - found.chance) <= found.bias.high and 0 < found.smallest < 0.1
    assert found.nearest[0].weight > 0.99 and found.nearest[0].image < 150


@pytest.mark.parametrize("tests", [14, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("N", "M", "n", "again"), [(150, 150, 200, 0), (240, 60, 200, 0), (60, 60, 400, 0), (150, 150, 200, 10)]
)
def test_the_smallest_share_is_found_in_four_of_five_tests_or_more_and_half_of_it_is_not(
    N, M, n, again, tests
):
    """Also beside samples that are one image again and again, of either set."""
    train, held_out = split(2, N, M)
    samples = np.concatenate([FRESH[: n - again], np.repeat(train[:1], again, 0)])
    least = copies(samples, train, held_out, permutations=999).smallest
    assert 0.02 < least < 0.2

    def drawn(A, other, share, seed):
        one = np.random.default_rng(seed).integers(N + M)
        repeated = np.repeat(np.concatenate([A, other])[one][None], again, 0)
        return np.concatenate([planted(A, share * n / (n - again), seed, n - again), repeated])

    def found(share):
        parts = ((seed, *split(100 + seed, N, M)) for seed in range(tests))
        outcomes = (
            copies(drawn(A, other, share, k), A, other, permutations=199, seed=k).outcome
            for k, A, other in parts
        )
        return sum(each is not None and each.p <= 0.01 for each in outcomes)

    # four of five, and less than two deviations of chance below
    assert found(least / 2) <= 0.75 * tests and found(least) >= 0.7 * tests


def test_few_images_drawn_again_and_again_acquit_nobody():
    """By the least p that their labels can have; or by the power that is left."""
    train, held_out = split(1, 120, 120)
    for drawn in (6, 1):
        found = copies(np.repeat(train[:drawn], 60, 0), train, held_out)
        assert "inconclusive: all samples are nearest to " in found.verdict and found.smallest is None
        assert found.least == pytest.approx(np.prod([(120 - k) / (240 - k) for k in range(drawn)]))
        assert found.outcome.p >= 0.8 * found.least
        assert sorted(count for _, count in found.repeats) == [60] * drawn and found.known == (60 * drawn, 0)
    assert copies(np.repeat(train[:8], 10, 0), train, held_out).verdict == "copies"
    found = copies(np.concatenate([np.repeat(train[:1], 70, 0), FRESH[100:120]]), train, held_out)
    assert found.least < 0.01 < found.outcome.p and found.smallest is None
    assert found.verdict == "inconclusive: the test has too little power"
    assert copies(np.zeros_like(FRESH[:20]), train, held_out).repeats == ((0, 20),)
    turned = np.concatenate([FRESH[:20], FRESH[:3, :, ::-1]])
    assert [len(copies(turned, train, held_out, flips=f).repeats) for f in (False, True)] == [0, 3]


def test_held_out_images_in_the_place_of_samples_are_no_copies_and_exchanged_sets_have_a_share_below_0():
    train, held_out = split(3, 150, 150)
    found = copies(planted(train, 0.3, 0), held_out, train)
    assert found.verdict == "no copies found" and found.outcome.p > 0.9 and found.bias.high < 0
    assert copies(FRESH[:200], train, held_out).verdict == "no copies found"


def test_what_has_only_learnt_second_moments_favours_its_training_set_and_is_not_said_to_copy():
    train, held_out = split(4, 20, 200)
    others = fit_gaussian(np.concatenate([train, held_out]))
    drawn = shrunk_gaussian(train, others).draw(range(7000, 8500)).numpy()
    found = copies((np.clip(drawn, 0, 1) * 255).round().astype(np.uint8), train, held_out)
    assert found.verdict == "biased towards its training set" and found.outcome.p < 0.01 < found.beyond


def test_where_training_and_held_out_images_differ_there_is_no_p():
    train, held_out = split(5, 150, 150)
    found = copies(FRESH[:100], train, (held_out * 0.8).astype(np.uint8))
    assert found.verdict.startswith("inconclusive: training and held-out images differ")
    assert found.outcome is None and found.smallest is None and found.difference.p <= 0.01
    assert len(found.nearest) == 20  # the pairs are still worth a look


def test_near_duplicates_are_one_and_groups_across_the_sets_are_left_out():
    train, held_out = split(6, 60, 60)
    turned = np.rot90(train[:10], axes=(2, 3))
    found = copies(
        FRESH[:100], np.concatenate([train, turned]), np.concatenate([held_out, train[20:25, :, ::-1]])
    )
    assert found.mixed == (5, 5) and found.grouped == 20
    again = copies(FRESH[:100], np.concatenate([train, turned]), np.concatenate([held_out, held_out[:10]]))
    assert again.grouped == 40


def test_a_training_set_of_doubles_alone_has_nothing_to_be_exchanged_with():
    train, held_out = split(7, 60, 60)
    found = copies(FRESH[:100], np.concatenate([train, train]), held_out)
    assert found.outcome is None and found.verdict.startswith("inconclusive: no sample is nearest")


def test_flipped_copies_are_found_where_flips_are_asked():
    train, held_out = split(9, 150, 150)
    samples = planted(train, 0.3, 2)
    samples[:60] = samples[:60, :, ::-1]
    found = copies(samples, train, held_out, flips=True)
    assert found.verdict == "copies"
    pair = found.nearest[0]
    assert np.array_equal(np.flip(train[pair.image], FLIPS[pair.flip]), samples[pair.sample])
    assert copies(samples, train, held_out).verdict == "no copies found"


def test_few_images_are_not_asked_whether_they_differ():
    train, held_out = split(10, 6, 100)
    found = copies(train[np.arange(100) % 6], train, held_out)
    assert found.difference is None and found.verdict == "copies"


def test_the_gaussian_beside_the_samples_draws_from_no_latent_of_a_model(monkeypatch):
    """Else it would share its noise with samples of small seeds, as those of the book are."""
    seen, draw = [], Gaussian.draw
    monkeypatch.setattr(Gaussian, "draw", lambda self, seeds: seen.extend(seeds) or draw(self, seeds))
    assert copies(FRESH[:40], *split(0, 40, 40), permutations=19).outcome
    assert len(seen) == 40 and min(seen) >= 3_000_000_000


def test_a_near_copy_is_found_beside_duplicates_of_its_training_image():
    """d2 is to the nearest image that is no near-duplicate, by hand; the plain ratio calls it no copy."""
    train, mean = POOL[:50].copy(), POOL.mean(0) / 255
    train[1:3] = np.clip(
        train[0].astype(int) + np.random.default_rng(0).integers(-1, 2, (2, 1, 8, 8)), 0, 255
    )
    queries = np.concatenate([train[:1], train[5:6], FRESH[:20]])
    drawn = unit(queries) + 0.002 * torch.randn(queries.shape, generator=torch.manual_seed(0))
    ratio = distance_ratio(drawn, train, mean=mean)
    cosines = cosine_matrix(drawn, unit(train), kind="anomaly", mean=mean)
    alike = cosine_matrix(unit(train), unit(train), kind="anomaly", mean=mean) >= 0.99
    assert alike[0, :3].all() and alike.sum() == 50 + 6
    for query, found in zip(cosines, ratio, strict=True):
        first = query.argmax()
        second = query[~alike[first]].max()
        assert found == pytest.approx(np.sqrt((2 - 2 * query[first]) / (2 - 2 * second)), abs=2e-3)
    assert (ratio[:2] < 1 / 3).all() and (ratio[2:] > 1 / 3).all()
    plain = gap_ratio(nearest(drawn, train, 2, kind="anomaly", mean=mean).cosine)
    assert plain[0] > 1 / 3 and plain[1] == ratio[1]
    turned = distance_ratio(drawn.flip(-1), train, mean=mean, flips=True)
    assert turned[:2] == pytest.approx(ratio[:2], abs=1e-2)
    assert distance_ratio(drawn[:1], train[:3], mean=mean) < 1 / 3  # of one image and its duplicates


def test_the_interval_of_a_fraction_of_near_copies_is_exact_and_over_latents():
    ratio = np.ones(256)
    ratio[:7] = 0.1
    found = near_copy_fraction(ratio)
    exact = stats.binomtest(7, 256).proportion_ci(method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((7 / 256, exact.low, exact.high))
    assert near_copy_fraction(np.zeros(20)).high == 1 and near_copy_fraction(np.ones(20)).low == 0
    both = near_copy_fraction(np.stack([ratio, ratio], axis=1))  # of two models: no more latents
    assert both == found
