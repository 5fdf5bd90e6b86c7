import numpy as np
import pytest
import torch

from galgen.compare.gaussian import Empirical, fit_gaussian, shrunk_gaussian
from galgen.models.sampling import blind, dpm_solver_2m, noise_schedule


def blobs(n, seed, side=8):
    """Smooth images with a steep spectrum, as galaxies have."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(-1, 1, side)
    modes = np.stack([np.outer(np.cos(a * grid), np.cos(b * grid)) for a in range(4) for b in range(4)])
    weight = rng.normal(size=(n, 16)) / (1 + np.arange(16))
    images = 0.4 + 0.15 * np.tensordot(weight, modes, 1) + 0.01 * rng.normal(size=(n, side, side))
    return np.clip(np.rint(255 * images), 0, 255).astype(np.uint8)[:, None]


@pytest.mark.parametrize("n", [12, 64, 500])
def test_fit_has_the_images_mean_and_covariance(n):
    images = blobs(n, seed=1)
    g = fit_gaussian(images, chunk=50)
    flat = images.reshape(n, -1) / 255
    np.testing.assert_allclose(g.mean.flatten(), flat.mean(0), atol=1e-6)
    covariance = g.components.T @ torch.diag(g.variances) @ g.components
    np.testing.assert_allclose(covariance, np.cov(flat.T, bias=True), atol=1e-6)
    torch.testing.assert_close(g.components @ g.components.T, torch.eye(len(g.variances)), atol=1e-4, rtol=0)
    assert (g.variances.diff() <= 0).all() and len(g.variances) <= n - 1


@pytest.mark.parametrize("n", [5, 64, 500])
def test_a_shrunk_one_has_the_moments_of_its_images_and_as_many_others_as_pixels(n):
    own, others = blobs(n, seed=1), blobs(64, seed=2)  # 64 pixels
    found = shrunk_gaussian(own, fit_gaussian(others))
    both = np.concatenate([own, others]).reshape(n + 64, -1) / 255
    np.testing.assert_allclose(found.mean.flatten(), both.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(both.T, bias=True), atol=1e-6)


def test_denoise_is_the_conditional_mean_of_the_joint_gaussian():
    g = fit_gaussian(blobs(500, seed=1))
    flat = torch.from_numpy(blobs(500, seed=1).reshape(500, -1) / 255)
    covariance = torch.cov(flat.T, correction=0)
    y = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    gain = covariance @ torch.linalg.inv(covariance + 0.2**2 * torch.eye(64))
    expected = flat.mean(0) + (y.flatten(1).double() - flat.mean(0)) @ gain.T
    torch.testing.assert_close(g(y, 0.2).flatten(1).double(), expected, atol=1e-5, rtol=0)
    each = g(y, torch.full((5,), 0.2))
    torch.testing.assert_close(each, g(y, 0.2))


@pytest.mark.parametrize("n", [12, 500])
@pytest.mark.parametrize("sigma", [0.02, 0.3, 1.0])
def test_noise_level_is_read_off_the_image(n, sigma):
    g = fit_gaussian(blobs(n, seed=3))
    x = g.draw(range(400))
    y = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(4))
    levels = g.noise_level(y)
    assert abs(float(levels.mean()) / sigma - 1) < 0.04
    # 32 quiet directions of 8x8 pixels: a relative error of 1 / sqrt(2 * 32) = 0.125, less where more are
    # quiet
    assert float(levels.std()) / sigma < 0.2


def test_draws_have_the_gaussians_covariance():
    g = fit_gaussian(blobs(300, seed=5))
    z = (g.draw(range(4000)) - g.mean).flatten(1) @ g.components.T / g.variances.sqrt()
    assert (z.square().mean(0) - 1).abs().max() < 5 * (2 / 4000) ** 0.5
    assert torch.equal(g.draw([7, 3])[1], g.draw([3])[0])


IMAGES = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8), np.uint8)


def test_it_is_the_posterior_mean_under_the_training_images():
    y, sigma = torch.rand(3, 1, 8, 8), torch.tensor([0.2, 0.5, 2.0])
    known = torch.from_numpy(IMAGES).double() / 255
    found = Empirical(IMAGES)(y, sigma)
    for one, level, mean in zip(y.double(), sigma.double(), found, strict=True):
        weight = torch.exp(-(known - one).square().sum((1, 2, 3)) / (2 * level**2))
        wanted = (weight[:, None, None, None] * known).sum(0) / weight.sum()
        torch.testing.assert_close(mean.double(), wanted, atol=1e-6, rtol=0)


def test_a_blind_one_integrates_over_the_noise_levels():
    """Against a sum over a fine ladder of levels, evenly spread in their logarithm."""
    y = torch.rand(2, 1, 8, 8)
    known = torch.from_numpy(IMAGES).double() / 255
    square = (known - y.double()[:, None]).square().sum((2, 3, 4))[..., None]
    levels = torch.logspace(-3, 3, 4000, dtype=torch.float64)
    weight = torch.softmax((-square / (2 * levels**2) - 64 * levels.log()).logsumexp(2), 1)
    wanted = torch.einsum("bi,ichw->bchw", weight, known)
    torch.testing.assert_close(Empirical(IMAGES)(y).double(), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("N", [2, 12])
def test_every_sampler_ends_at_a_training_image(N):
    start, known = torch.full((1, 8, 8), 0.5), Empirical(IMAGES[:N])
    told = known, noise_schedule(10.0, 0.006, 30, 7.0)
    for denoise, levels in ((blind(known), noise_schedule(1.0, 0.02, 20)), told):
        drawn = dpm_solver_2m(denoise, start, range(16), levels)
        far = (drawn.images[:, None] - torch.from_numpy(IMAGES[:N]) / 255).abs().amax((2, 3, 4)).min(1)
        assert far.values.max() < 0.5 / 255
        assert len(far.indices.unique()) > 1
