import numpy as np
import pytest
import torch

from galgen.models.diffusion import DenoiserLearner
from galgen.models.unet import BiasFreeNormReLU, UNet
from galgen.profiles import DiffusionSettings


def net(seed=0, **size):
    """A float64 network in evaluation mode whose running statistics are not all one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        f = UNet(**size).double()
        for _ in range(3):
            f(torch.rand(4, f.down[0][0].in_channels, 16, 16, dtype=torch.float64))
    return f.eval()


def still(module):
    """The same, its running statistics no longer moving to speak of."""
    for norm in module.modules():
        if isinstance(norm, BiasFreeNormReLU):
            norm.momentum = 0.0
            norm.batches.fill_(10**15)
    return module


def test_network_is_positively_homogeneous_in_evaluation_mode():
    f = net(base_channels=4)
    y = torch.randn(3, 1, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for a in (1e-3, 0.3, 7.0, 1e4):
        torch.testing.assert_close(f(a * y), a * f(y), rtol=1e-12, atol=1e-14 * a)
    assert torch.equal(f(4 * y), 4 * f(y))  # a power of two rounds nowhere


@pytest.mark.parametrize("blocks", [1, 2])
def test_shifting_by_the_pooling_period_shifts_the_interior(blocks):
    f, period = net(base_channels=3, blocks=blocks), 2**blocks
    y = torch.randn(1, 1, 96, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    moved = f(y.roll((period, 2 * period), (2, 3)))
    inner = slice(32, 64)  # further from the border than the receptive field reaches
    expected = f(y).roll((period, 2 * period), (2, 3))
    torch.testing.assert_close(moved[..., inner, inner], expected[..., inner, inner], rtol=1e-10, atol=1e-12)
    off = f(y.roll(1, 3)) - f(y).roll(1, 3)
    assert off[..., inner, inner].abs().max() > 1e-6  # pooling: by one pixel it does not commute


@pytest.mark.parametrize("conditions", [0, 2])
@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_the_norm_and_its_gradient_are_those_of_the_definition(statistics, conditions):
    norm = still(BiasFreeNormReLU(3, statistics, conditions=conditions).double().train())
    generator = torch.Generator().manual_seed(4)
    x, gain, told, slopes = (
        torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
        for shape in ((2, 3, 4, 4), (3,), (2, 2), (2, 3))
    )

    def f(x, gain, *told):
        slopes = {"gain_slopes": told[1]} if told else {}
        return torch.func.functional_call(norm, {"gain": gain} | slopes, (x, *told[:1]))

    given = (x, gain, told, slopes)[: 2 + conditions]
    assert torch.autograd.gradcheck(f, given)
    mean_square = x.square().mean((0, 2, 3)) if statistics == "batch" else torch.ones(3)
    of_each = (gain + told @ slopes)[..., None, None] if conditions else gain[:, None, None]
    expected = torch.relu(x / (mean_square + 1e-5).sqrt()[:, None, None] * of_each)
    torch.testing.assert_close(f(*given), expected)


def test_running_mean_square_is_a_mean_over_many_batches():
    norm = BiasFreeNormReLU(2, "running", momentum=0.1).train()
    x = torch.full((1, 2, 2, 2), 3.0)
    norm(x)
    torch.testing.assert_close(norm.mean_square, torch.full((2,), 9.0))  # the first counts alone
    for k in range(200):
        norm(x * (1 + k % 2))
    before = norm.mean_square.clone()
    norm(2 * x)
    torch.testing.assert_close(norm.mean_square, 0.9 * before + 0.1 * 36)
    norm.eval()(x)
    torch.testing.assert_close(norm.mean_square, 0.9 * before + 0.1 * 36)


def test_running_statistics_make_training_and_evaluation_one_function():
    y = torch.rand(4, 1, 16, 16, dtype=torch.float64)
    apart = {}
    for statistics in ("batch", "running"):
        f = still(net(base_channels=3, statistics=statistics)).train()
        apart[statistics] = (f(5 * y) - f.eval()(5 * y)).abs().max().item()
    assert apart["running"] < 1e-12 < 1e-2 < apart["batch"]


class Ask(torch.nn.Module):
    """A 'network' that answers a constant and keeps the question."""

    def __init__(self):
        super().__init__()
        self.answer = torch.nn.Parameter(torch.zeros(()))

    def forward(self, y):
        self.asked = y.detach()
        return self.answer * torch.ones_like(y)


@pytest.mark.parametrize("loss", ["paper", "weighted"])
def test_loss_and_noise_levels_are_those_of_the_definition(loss):
    ask, n = Ask(), 16384
    learner = DenoiserLearner({"net": ask}, None, None, DiffusionSettings(learning_rate=0.0, loss=loss))
    value = learner.step(torch.zeros(n, 1, 8, 8), torch.Generator().manual_seed(0), 1.0)["loss"]
    sigma = ask.asked.square().mean((1, 2, 3)).sqrt().sort().values
    quantiles = np.quantile(sigma, [0.25, 0.5, 0.75])
    # sigma = u^2, as in the paper
    np.testing.assert_allclose(quantiles, np.square([0.25, 0.5, 0.75]), rtol=0.06)
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    weight = (u**2 + 0.02) ** -2 if loss == "weighted" else 1.0
    assert value.item() == pytest.approx((weight * u**4).mean().item(), rel=0.05)


def test_weighted_loss_has_one_noise_level_in_each_stratum():
    ask = Ask()
    learner = DenoiserLearner({"net": ask}, None, None, DiffusionSettings(learning_rate=0.0, loss="weighted"))
    learner.step(torch.zeros(8, 1, 64, 64), torch.Generator().manual_seed(0), 1.0)
    u = ask.asked.square().mean((1, 2, 3)).sqrt().sqrt()
    assert ((u * 8 + 0.1).floor() - torch.arange(8)).abs().max() <= 1
    assert (u.diff() > 0).all()
