import numpy as np
import pytest
import torch
from blobs import galaxies
from conftest import floats

from galgen.compare.gaussian import fit_gaussian, shrunk_gaussian
from galgen.compare.memorization import exchange_test, gap_ratio, gaussian_margins, margins, memorization_test
from galgen.data.split import Split
from galgen.data.unit import mean_image

POOL = galaxies(1500, 0)
MEAN = mean_image(POOL)
FLUX = POOL.reshape(len(POOL), -1).mean(1)


def split(N, n, rng, *, biased=False):
    """A split of the pool: random, or with the brighter half of 2 N galaxies for B."""
    rows = rng.permutation(len(POOL))[: 2 * N + 2 * n]
    training = rows[: 2 * N]
    if biased:
        training = training[np.argsort(FLUX[training])]
    return Split(training[:N], training[N:], rows[2 * N :])


def asked(a, b, sets, **options):
    return exchange_test(*(margins(x, POOL, sets, mean=MEAN) for x in (a, b)), **options)


def held_out(sets, n):
    return (floats(POOL[sets.validation[k * n : (k + 1) * n]]) for k in range(2))


def copies(sets, share_of, n, seed):
    """Held-out images for A and B, of which a share are training images of each with a little noise."""
    rng = np.random.default_rng(seed)
    count, images = round(share_of * n), []
    for x, rows in zip(held_out(sets, n), (sets.A, sets.B), strict=True):
        shown = POOL[rng.choice(rows, count)] / 255 + rng.normal(0, 0.01, (count, 1, 16, 16))
        images.append(torch.cat([torch.from_numpy(shown).float(), x[count:]]))
    return images


def test_p_and_margin_are_those_of_their_definitions():
    of_a, of_b = np.array([0.2, 0.1, -0.3, 0.0]), np.array([-0.1, 0.3, -0.1, -0.2])
    found = exchange_test(of_a, of_b, permutations=9)
    # [a > 0] and [b < 0] by latent: 1 and 1, 1 and 0, 0 and 1, a tie and 1
    assert found.p_closer.value == pytest.approx((2 + 1 + 1 + 1.5) / 8)
    assert found.margin.value == pytest.approx(np.mean([0.15, -0.1, -0.1, 0.1]))


def test_two_models_with_the_same_images_favour_nothing():
    margin = np.full(256, 0.1)
    found = exchange_test(margin, margin, permutations=999)
    assert found.margin.value == 0 and found.margin.p == 1 and found.p_closer.low < 0.46


def test_the_interval_knows_that_two_images_of_a_latent_are_one_draw():
    # Both images of a latent share one fate: 100 draws, not 200.
    rng, covered = np.random.default_rng(2), 0
    for seed in range(200):
        fate = np.where(rng.random(100) < 0.6, 1.0, -1.0)
        closer = exchange_test(fate, -fate, permutations=1, seed=seed).p_closer
        covered += closer.low <= 0.6 <= closer.high
    assert 0.89 < covered / 200 < 0.99


def memorization(a, b, sets, **options):
    models = [margins(x, POOL, sets, mean=MEAN) for x in (a, b)]
    return memorization_test(models, gaussian_margins(POOL, sets, len(a), mean=MEAN), **options)


def other_galaxies(sets):
    return fit_gaussian(np.delete(POOL, np.concatenate([sets.A, sets.B]), axis=0))


def of_gaussians(sets, n, fit):
    return [fit(POOL[rows]).draw(range(n)) for rows in (sets.A, sets.B)]


def test_shrunk_gaussians_favour_their_own_images_and_do_not_memorize():
    sets = split(100, 400, np.random.default_rng(4))
    others = other_galaxies(sets)
    drawn = of_gaussians(sets, 400, lambda images: shrunk_gaussian(images, others))
    found = memorization(*drawn, sets, permutations=999)
    assert found.models.p_closer.low > 0.5 and found.models.margin.p < 0.01
    assert found.beyond > 0.01 and found.outcome.p == found.beyond
    # the band reaches to what the Gaussians have
    assert found.outcome.high == found.gaussians.margin.value > found.models.margin.high


def test_gaussians_of_ten_images_draw_in_their_span_and_memorize():
    """As the second null they would hide what is to be found, the more so the fewer the images."""
    sets = split(10, 100, np.random.default_rng(4))
    found = memorization(*of_gaussians(sets, 100, fit_gaussian), sets, permutations=999)
    assert found.models.p_closer.value > 0.9 > 0.6 > found.gaussians.p_closer.value
    assert found.outcome.p == 0.001


@pytest.mark.parametrize("N", [10, 30])
def test_copies_are_found_however_few_the_training_images(N):
    """At the level of the verdicts, .01; with the Gaussians of the sets alone it was 0 of 20 at N = 10."""
    p = []
    for seed in range(10):
        sets = split(N, 128, np.random.default_rng([N, seed]))
        p.append(memorization(*copies(sets, 0.2, 128, seed), sets, permutations=199).outcome.p)
    assert sum(value <= 0.01 for value in p) >= 9, p


def test_gap_ratio_is_the_ratio_of_distances_between_unit_vectors():
    rng = np.random.default_rng(7)
    u = rng.normal(size=(50, 3, 9))
    u /= np.linalg.norm(u, axis=2, keepdims=True)
    cosines = np.sort((u[:, :1] * u[:, 1:]).sum(2), axis=1)[:, ::-1]
    distances = np.sort(np.linalg.norm(u[:, :1] - u[:, 1:], axis=2), axis=1)
    np.testing.assert_allclose(gap_ratio(cosines), distances[:, 0] / distances[:, 1])
    np.testing.assert_array_equal(gap_ratio(np.array([[1.0, 0.5], [1.0, 1.0], [0.3, 0.3]])), [0, 1, 1])
    assert gap_ratio(np.array([[1.0000001, 0.5]], np.float32))[0] == 0, "cosines that rounding takes past 1"
