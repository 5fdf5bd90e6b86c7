import numpy as np
import pytest
import torch

from galgen.compare.agreement import agreement_test
from galgen.compare.scales import by_scale
from galgen.data.unit import mean_image

SIDE, N = 8, 60


def galaxies(n, seed):
    """Random images whose variance falls with scale, about a blob."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((SIDE**2, SIDE**2)))[0]
    y, x = np.indices((SIDE, SIDE)) - 3.5
    blob = 0.3 + 0.3 * np.exp(-(x**2 + y**2) / 8)
    light = rng.standard_normal((n, SIDE**2)) * 0.3 / np.arange(1, SIDE**2 + 1) @ basis.T
    return torch.from_numpy(blob + light.reshape(n, 1, SIDE, SIDE)).float()


DATA = (255 * galaxies(2000, 1).clamp(0, 1)).round().numpy().astype(np.uint8)
MEAN = mean_image(DATA)


def test_agreement_by_scale_sees_at_which_scale_two_models_differ():
    a = galaxies(N, 2)
    flat = DATA.reshape(len(DATA), -1) / 255
    components = torch.from_numpy(np.linalg.svd(flat - flat.mean(0), full_matrices=False)[2]).float()
    small = components[20:]
    own = (galaxies(N, 3) - a).flatten(1) @ small.T @ small  # B has small scales of its own
    found = by_scale(a, a + own.reshape(a.shape), DATA)
    assert list(found) == ["component 1", "components 2-5", "components 6-20", "components 21-64"]
    *large, fine = (np.median(cosines) for cosines in found.values())
    assert large == pytest.approx([1, 1, 1], abs=1e-4) and abs(fine) < 0.2
    # which the cosine of whole images hardly sees
    assert agreement_test(a, a + own.reshape(a.shape), mean=MEAN, permutations=19).value > 0.95


def test_with_few_images_the_groups_end_at_their_components():
    assert list(by_scale(galaxies(4, 2), galaxies(4, 3), DATA[:4])) == ["component 1", "components 2-3"]


def test_models_that_share_no_more_than_gaussians_do_leave_nothing_in_common():
    linear, shared = galaxies(N, 4), 0.3 * (galaxies(N, 5) - galaxies(1, 5).mean(0))
    one, other = (0.3 * (galaxies(N, seed) - galaxies(N, seed + 10)) for seed in (6, 7))
    alike = agreement_test(linear + one, linear + other, mean=MEAN, permutations=199)
    assert alike.value > 0.8 and alike.p == 2 / 200  # as whole images they agree
    left = agreement_test(one, other, mean=MEAN, permutations=199)
    assert left.low < left.value < left.high and left.p > 0.05
    beyond = agreement_test(shared + one, shared + other, mean=MEAN, permutations=199)
    assert beyond.value > left.high and beyond.p == 2 / 200


def test_images_less_alike_than_strangers_are_not_unrelated():
    """As two Glows were: -.159, beside a null of -.059 to .041, and a one-sided p of 1."""
    shared, (one, other) = galaxies(N, 5), (galaxies(N, seed) - galaxies(N, seed + 10) for seed in (6, 7))
    mean = torch.from_numpy(MEAN)
    opposed = agreement_test(mean + shared + one, mean - shared + other, mean=MEAN, permutations=199)
    assert opposed.value < opposed.low < 0 and opposed.p == 2 / 200
