import math

import numpy as np
import pytest
import torch
from scipy import stats

from galgen.models.conditional import ConditionalDiffusion, ConditionalLearner, ConditionalUNet
from galgen.profiles import PROFILES, ConditionalSettings

GIVEN = ConditionalSettings()


def images(n=12, side=8):
    return np.random.default_rng(0).integers(0, 200, (n, 1, side, side), np.uint8)


def net(seed=0, base_channels=3, blocks=1):
    """A network that knows its images and whose running statistics are not all one, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        D = ConditionalUNet(base_channels, blocks, size=8)
        D.initialize(images())
        for _ in range(3):
            D(torch.rand(4, 1, 8, 8), torch.full((4,), 0.3))
    return D.eval()


def learner(D, settings=GIVEN):  # which tells D the mean of the images
    return ConditionalLearner({"net": D}, images(), None, settings)


def test_mean_and_spread_are_those_of_the_training_images_and_travel_with_the_weights():
    x, D, other = images() / 255, net(), ConditionalUNet(3, 1, size=8)
    np.testing.assert_allclose(D.mean, x.mean(0), rtol=1e-6)
    assert D.spread.item() == pytest.approx((x - x.mean(0)).std(), rel=1e-6)
    other.load_state_dict(D.state_dict())
    assert torch.equal(other.mean, D.mean) and torch.equal(other.spread, D.spread)


def test_little_noise_leaves_the_image_and_much_the_mean_and_what_the_network_adds():
    D, y = net(), torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(D(y, torch.full((3,), 1e-6)), y, atol=1e-5, rtol=0)
    far = 1e4
    told = torch.full_like(y, math.log(far) / 4)
    body = D.body(torch.cat([(y - D.mean) / far, torch.ones_like(y), told], 1))
    torch.testing.assert_close(D(y, torch.full((3,), far)), D.mean + D.spread * body, atol=1e-5, rtol=1e-5)


def test_input_and_target_of_the_network_have_unit_variance_at_every_level():
    D, generator = net(), torch.Generator().manual_seed(0)
    x = D.mean + D.spread * torch.randn(2000, 1, 8, 8, generator=generator)
    z = torch.randn(2000, 1, 8, 8, generator=generator)
    for level in (0.01, 0.3, 1.0, 20.0):
        c_skip, c_out, c_in = (c[0, 0, 0, 0] for c in D.scales(torch.tensor([level])))
        y = x + level * z
        assert (c_in * (y - D.mean)).var().item() == pytest.approx(1, rel=0.02)
        assert ((x - D.mean - c_skip * (y - D.mean)) / c_out).var().item() == pytest.approx(1, rel=0.02)


def test_noise_levels_are_log_normal_one_in_each_stratum_and_bounded():
    sigma = learner(net()).levels(5000, torch.Generator().manual_seed(0))
    inside = (sigma > 0.005) & (sigma < 15.0)
    u = stats.norm.cdf((sigma.log() - GIVEN.noise_mean) / 1.5)
    assert np.abs(u * 5000 - np.arange(5000) - 0.5)[inside].max() < 0.6
    assert sigma.min() == pytest.approx(0.005) and sigma.max() == 15.0
    normal = stats.norm(GIVEN.noise_mean, 1.5)
    beyond = normal.cdf(math.log(0.005)) + normal.sf(math.log(15))
    assert (~inside).float().mean().item() == pytest.approx(beyond, abs=1e-3)


def test_loss_is_one_where_the_network_adds_nothing():
    D = ConditionalUNet(2, 1, size=8)
    D.initialize(images())
    torch.nn.init.zeros_(D.body.merge[-1][-1].weight)  # F = 0: the best linear answer of one number
    still = learner(D, ConditionalSettings(learning_rate=0.0, optimizer="adam"))
    generator = torch.Generator().manual_seed(1)
    x = D.mean + D.spread * torch.randn(4000, 1, 8, 8, generator=generator)
    assert still.step(x, generator, 1.0)["loss"].item() == pytest.approx(1, rel=0.02)


def test_a_network_that_runs_away_draws_images_that_are_finite():
    family = ConditionalDiffusion(PROFILES["smoke"])
    drawn = family.draw({"net": lambda y, sigma: 1e12 * y}, range(3), torch.zeros(1, 8, 8))
    assert drawn.shape == (3, 1, 8, 8) and drawn.min() == -1 and drawn.max() == 2
