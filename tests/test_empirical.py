import numpy as np
import pytest
import torch

from galgen.compare.empirical import Empirical
from galgen.models.sampling import dpm_solver_2m, noise, probability_flow_ode, seeded

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
    wanted = y.double() - torch.einsum("bi,ichw->bchw", weight, known)
    torch.testing.assert_close(Empirical(IMAGES)(y).double(), wanted, atol=1e-5, rtol=0)


def test_no_denoiser_has_less_loss_on_its_images():
    """Shrinking it or mixing in the noisy image makes it worse, by more than the scatter."""
    x = torch.from_numpy(IMAGES).float().repeat(40, 1, 1, 1) / 255
    z = noise(seeded(range(len(x))), (1, 8, 8))
    y = x + 0.5 * z
    best = Empirical(IMAGES)(y, torch.full((len(x),), 0.5))
    loss = (best - x).square().mean()
    assert ((0.9 * best + 0.1 * y - x).square().mean() > loss) and ((0.9 * best - x).square().mean() > loss)


@pytest.mark.parametrize("N", [2, 12])
def test_every_sampler_ends_at_a_training_image(N):
    start, given = torch.full((1, 8, 8), 0.5), {"chunk": 16}
    for drawn in (
        probability_flow_ode(Empirical(IMAGES[:N]), start, range(16), **given),
        dpm_solver_2m(Empirical(IMAGES[:N]), start, range(16), **given),
    ):
        far = (drawn.images[:, None] - torch.from_numpy(IMAGES[:N]) / 255).abs().amax((2, 3, 4)).min(1)
        assert far.values.max() < 0.5 / 255
        assert len(far.indices.unique()) > 1
