import functools
import math

import pytest
import torch
from scipy import stats

from galgen.compare.gaussian import Gaussian
from galgen.models.sampling import (
    blind,
    dpm_solver_2m,
    from_residual,
    noise,
    noise_schedule,
    seeded,
    stochastic_ascent,
)
from galgen.models.unet import UNet

SIDE = 16
SEEDS = range(2000)


def blind_flow(denoiser, start, seeds, *, sigma_max=1.0, sigma_min=0.02, steps=20, chunk=16):
    """Samples of a denoiser that is not given the noise level."""
    levels = noise_schedule(sigma_max, sigma_min, steps)
    return dpm_solver_2m(blind(denoiser), start, seeds, levels, chunk=chunk)


def told_flow(denoiser, start, seeds, *, sigma_max=10.0, sigma_min=0.006, rho=7.0, steps=30, chunk=16):
    """Samples of a denoiser that is given the noise level."""
    return dpm_solver_2m(
        denoiser, start, seeds, noise_schedule(sigma_max, sigma_min, steps, rho), chunk=chunk
    )


def orthonormal(seed=0):
    square = torch.randn(SIDE**2, SIDE**2, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(square)[0].T


def gaussian(variances):
    mean, components = torch.full((1, SIDE, SIDE), 0.3), orthonormal()[: len(variances)]
    return Gaussian(mean, components, torch.tensor(variances))


def variance_ratio(g, images):
    coefficients = (images - g.mean).flatten(1) @ g.components.T
    return coefficients.square().mean(0) / g.variances


def assert_is_drawn(g, images, rounding):
    """Normal, uncorrelated, about the mean, and nothing outside of the components."""
    z = (images - g.mean).flatten(1) @ g.components.T / g.variances.sqrt()
    assert z.mean(0).abs().max() < 4 / len(SEEDS) ** 0.5
    assert (z.T @ z / len(z)).fill_diagonal_(0).abs().max() < 4 / len(SEEDS) ** 0.5
    assert all(stats.kstest(column, "norm").pvalue > 1e-4 for column in z.numpy().T)
    outside = (images - g.mean).flatten(1) @ orthonormal()[len(g.variances) :].T
    assert outside.abs().max() < rounding


class Mixture:
    """Three Gaussians in a plane: the exact posterior mean, sigma read off the other 254 directions."""

    weights = torch.tensor([0.5, 0.3, 0.2])
    variance = 0.01

    def __init__(self, radius):
        angles = 2 * math.pi * torch.arange(3) / 3
        self.centres = radius * torch.stack([angles.cos(), angles.sin()], 1)
        self.plane = orthonormal(1)[:2]
        self.base = torch.full((1, SIDE, SIDE), 0.3)
        self.mean = self.base + (self.weights @ self.centres @ self.plane).reshape(self.base.shape)

    def coordinates(self, y):
        return (y - self.base).flatten(1) @ self.plane.T

    def __call__(self, y, sigma=None):
        q = self.coordinates(y)
        quiet = (y - self.base).flatten(1).square().sum(1) - q.square().sum(1)
        sigma2 = (quiet / (SIDE**2 - 2)).clamp_min(1e-8)[:, None]
        away = q[:, None] - self.centres
        posterior = (self.weights.log() - away.square().sum(2) / (2 * (self.variance + sigma2))).softmax(1)
        shrunk = self.centres + away * (self.variance / (self.variance + sigma2))[:, :, None]
        return self.base + ((posterior[:, :, None] * shrunk).sum(1) @ self.plane).reshape(y.shape)

    def summary(self, images):
        q = self.coordinates(images)
        label = (q[:, None] - self.centres).square().sum(2).argmin(1)
        parts = [q[label == k] for k in range(3)]
        shift = max(float((p.mean(0) - c).norm()) for p, c in zip(parts, self.centres, strict=True))
        spread = sum(float((p - p.mean(0)).square().sum()) for p in parts) / (2 * len(q) * self.variance)
        return [len(p) for p in parts], shift, spread


def weights_agree(counts, weights):
    intervals = (stats.binomtest(k, sum(counts)).proportion_ci(0.999) for k in counts)
    return all(ci.low <= float(w) <= ci.high for ci, w in zip(intervals, weights, strict=True))


def test_ladder_from_far_out_returns_a_gaussian():
    g = gaussian([1.0, 0.3, 0.1, 0.03, 0.01])
    images = blind_flow(g, g.mean, SEEDS, sigma_max=10, steps=30, chunk=500).images
    # 4 standard errors of a variance from 2000 draws are 0.13; sigma_min and blindness cost up to 0.03
    assert (variance_ratio(g, images) - 1).abs().max() < 0.15
    assert_is_drawn(g, images, 1e-4)


def test_told_the_noise_level_the_ladder_returns_a_gaussian():
    g = gaussian([4.0, 1.0, 0.3, 0.1, 0.03, 0.01, 1e-3])
    images = told_flow(g, g.mean, SEEDS, chunk=500).images
    # the flow's own answer: v sigma^2 / (v + sigma^2) of the start, and the last denoising at .006
    expected = 100 / (100 + g.variances) * g.variances / (g.variances + 0.006**2)
    ratio = variance_ratio(g, images) / expected
    assert (ratio - 1).abs().max() < 4 * (2 / len(SEEDS)) ** 0.5 + 0.01
    assert_is_drawn(g, images, 1e-5)


def test_each_sample_of_the_dpm_solver_2m_is_what_the_exact_flow_makes_of_its_noise():
    g = gaussian([1.0, 0.1, 0.01])
    z = noise(seeded(range(8)), g.mean.shape).flatten(1) @ g.components.T
    exact = z * (g.variances * 100 / (g.variances + 100)).sqrt()

    def error(steps):
        images = told_flow(g, g.mean, range(8), steps=steps, sigma_min=1e-3).images
        return float(((images - g.mean).flatten(1) @ g.components.T - exact).norm())

    errors = [error(steps) for steps in (15, 30, 60)]
    assert errors[0] / errors[1] > 2.8 and errors[1] / errors[2] > 2.8, "second order"
    assert errors[1] < 0.02 * float(exact.norm())


def test_a_common_start_at_sigma_1_narrows_a_component_of_variance_v_to_v_over_1_plus_v():
    g = gaussian([4.0, 1.0, 0.1])
    images = blind_flow(g, g.mean, SEEDS, chunk=500).images
    torch.testing.assert_close(variance_ratio(g, images), 1 / (1 + g.variances), atol=0.05, rtol=0.1)


FAR = functools.partial(blind_flow, sigma_max=10, steps=30)


@pytest.mark.parametrize(
    ("sampler", "least", "most"),
    # the last denoising of the ascent is a posterior mean at .1: it keeps v / (v + .1^2) = 1/2 of the spread
    [(FAR, 0.88, 1.12), (stochastic_ascent, 0.4, 0.55)],
)
def test_a_mixture_is_returned_with_its_modes_and_weights(sampler, least, most):
    f = Mixture(radius=1.0)
    samples = sampler(f, f.mean, SEEDS, chunk=500)
    assert samples.converged.all()
    counts, shift, spread = f.summary(samples.images)
    assert weights_agree(counts, f.weights)
    assert shift < 0.02  # 4 standard errors are 0.02
    assert least < spread < most


def test_ascent_keeps_three_quarters_of_a_gaussians_variance():
    # not a tolerance but the sampler's own bias, with the exact denoiser and the paper's settings
    g = gaussian([0.3, 0.1])
    samples = stochastic_ascent(g, g.mean, SEEDS, chunk=500)
    ratio = variance_ratio(g, samples.images)
    assert (ratio > 0.68).all() and (ratio < 0.88).all()
    assert samples.converged.all() and (samples.sigma <= 0.1).all()
    assert 50 < samples.calls.min() < samples.calls.max() < 110


def untrained():
    torch.manual_seed(0)
    net = UNet(8).eval().to(memory_format=torch.channels_last)
    # noise in, some of it out: enough of a denoiser for a walk that ends at another step for each seed
    return from_residual(lambda y: 0.5 * y + 0.05 * net(y.to(memory_format=torch.channels_last)))


@pytest.mark.parametrize("sampler", [blind_flow, stochastic_ascent])
def test_a_seed_is_the_same_picture_in_any_company_and_order(sampler):
    f, start = untrained(), torch.full((1, SIDE, SIDE), 0.2)
    together = sampler(f, start, range(37))
    if sampler is stochastic_ascent:
        assert len(set(together.calls.tolist())) > 1  # samples do leave the batch one by one
    order = torch.randperm(37, generator=torch.Generator().manual_seed(3))
    assert torch.equal(sampler(f, start, order.tolist()).images, together.images[order])
    for part in (slice(36, 37), slice(5, 10), slice(15, 32)):
        assert torch.equal(sampler(f, start, range(37)[part]).images, together.images[part])
    assert not torch.equal(together.images[0], together.images[1])


def test_reusing_the_noise_injects_the_starting_noise_again():
    seen = []

    def f(y, sigma):
        seen.append(y.clone())
        return 0 * y

    start, z = torch.zeros(1, SIDE, SIDE), noise(seeded([5]), (1, SIDE, SIDE))
    for reuse in (True, False):
        seen.clear()
        stochastic_ascent(f, start, [5], reuse_noise=reuse, chunk=1)
        gamma = ((1 - 0.1 * 0.01) ** 2 - (1 - 0.01) ** 2) ** 0.5 * z.square().mean().sqrt()
        injected = (seen[1] - (1 - 0.01) * seen[0]) / gamma
        assert torch.allclose(injected, z, atol=1e-3) == reuse


def test_each_start_belongs_to_its_seed():
    g = gaussian([0.1])
    start = torch.stack([g.mean, g.mean + 0.1])
    for walk, f in ((blind_flow, g), (told_flow, g)):
        both = walk(f, start, [1, 2]).images
        assert torch.equal(both[1], walk(f, g.mean + 0.1, [2]).images[0])


def test_samples_that_run_away_are_given_up_and_reported():
    g = gaussian([0.1])

    def f(y, sigma):  # bright images grow without end
        return torch.where(y.mean((1, 2, 3), keepdim=True) > 1, y + 5 * y.abs(), g(y))

    start = torch.stack([g.mean, g.mean + 1.0] * 10)
    samples = stochastic_ascent(f, start, range(20))
    assert samples.converged.tolist() == [True, False] * 10
    assert (samples.sigma[::2] <= 0.1).all()
    assert (samples.calls[1::2] < 50).all()


def test_ladder_reports_an_image_that_is_not_finite():
    def f(y, sigma):
        return torch.where(y[:, :, :1, :1] > 0, 0 * y, torch.inf)

    assert 0 < blind_flow(f, torch.zeros(1, 8, 8), range(9)).converged.sum() < 9
