"""Which images are memorized first: the partial correlation, its null, and confounding by contrast."""

import numpy as np
import pytest

from galbook.onset.configurations import Trace
from galbook.onset.isolation import features, isolation_test, memory, partial_spearman


def drawn(rng, effect, contrast=0.0, n=300):
    """Memory and features of images whose isolation and contrast are correlated."""
    v = rng.standard_normal(n)
    d = 0.7 * v + rng.standard_normal(n)
    return effect * d + contrast * v + rng.standard_normal(n), np.stack([d, v], axis=1)


def test_the_distance_is_to_the_nearest_other_image():
    train = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    found = features(train, train)
    assert np.exp(found[:, 0]) == pytest.approx([5, 1, 1])
    with np.errstate(divide="ignore"):
        other = features(np.array([[0.0, 1.0]]), train)
    assert np.exp(other[0]) == pytest.approx([1, 0.25])


def test_partial_correlation_is_that_of_residuals_of_ranks():
    rng = np.random.default_rng(0)
    m, of = drawn(rng, 0.5)
    ranks = [np.argsort(np.argsort(x)).astype(float) for x in (m, *of.T)]
    design = np.stack([np.ones(len(m)), ranks[2]], axis=1)
    left = [x - design @ np.linalg.lstsq(design, x)[0] for x in ranks[:2]]
    assert partial_spearman(m, of[:, 0], of[:, 1]) == pytest.approx(np.corrcoef(*left)[0, 1])


def test_isolated_images_are_found_and_contrast_alone_is_not_mistaken_for_isolation():
    rng = np.random.default_rng(1)
    found = isolation_test([drawn(rng, 0.3) for _ in range(6)], permutations=499)
    assert found.p == pytest.approx(1 / 500) and found.low < 0 < found.high < found.value
    confounded = [isolation_test([drawn(rng, 0, 1.0) for _ in range(3)], permutations=199) for _ in range(40)]
    assert np.mean([each.p <= 0.05 for each in confounded]) < 0.25
    assert np.mean([each.value for each in confounded]) == pytest.approx(0, abs=0.06)


def test_memory_is_the_gain_beyond_that_of_held_out_images_alike():
    """Training images that gain 2 dB more than f(d, v) have a memory of 2 dB, before the rate falls."""
    rng, shown = np.random.default_rng(2), np.array([512, 2048, 30_000, 80_000, 90_000, 100_000])
    own, held_out = rng.standard_normal((100, 2)), rng.standard_normal((400, 2))

    def psnr(of, more):
        gain = 1 + 0.5 * of[:, 0] - 0.2 * of[:, 1] ** 2
        rows = [0 * gain, 0 * gain, 0 * gain, gain, gain + more, gain + 50]
        return 20 + np.array(rows)

    trace = Trace(shown, psnr(own, 2.0), psnr(held_out, 0.0))
    assert memory(trace, 100, own, held_out) == pytest.approx(np.full(100, 2.0))
