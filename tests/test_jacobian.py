import numpy as np
import pytest
import torch

from galgen.compare.directions import overlap
from galgen.compare.gaussian import Gaussian
from galgen.compare.jacobian import leading
from galgen.models.conditional import ConditionalUNet


@pytest.fixture(scope="module")
def net():
    """A network of 16 pixels that nobody trained, but for gains that make it more than the identity."""
    torch.manual_seed(0)
    net = ConditionalUNet(4, 2, size=16)
    net.initialize(np.random.default_rng(0).integers(0, 256, (20, 1, 16, 16), np.uint8))
    return net.eval()


@pytest.fixture(scope="module")
def y():
    return torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(1))


def whole(denoise, y, sigma):
    """The Jacobian, by autograd, one row a pixel."""

    def flat(x):
        return denoise(x.reshape(1, *y.shape), torch.tensor([sigma]).to(x)).flatten()

    return torch.autograd.functional.jacobian(flat, y.flatten(), vectorize=True).double().numpy()


def test_a_gaussian_keeps_its_principal_components_and_has_a_symmetric_jacobian(y):
    basis = np.linalg.qr(np.random.default_rng(2).standard_normal((256, 256)))[0].astype(np.float32)
    variances = (2.0 / np.arange(1, 257) ** 2).astype(np.float32)
    model = Gaussian(torch.zeros(1, 16, 16), torch.from_numpy(basis.T.copy()), torch.from_numpy(variances))
    known = variances / (variances + 0.1**2)
    found = leading(model, y, 0.1, 6)
    assert np.allclose(found.values, known[:6], atol=1e-3) and found.asymmetry < 1e-4
    assert overlap(found.vectors, basis.T[:6]) > 0.99
    assert overlap(found.vectors, basis.T[6:12]) < 0.01


@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_the_randomised_solver_finds_what_the_whole_jacobian_has(net, y, sigma):
    J = whole(net, y, sigma)
    found = leading(net, y, sigma, 4)
    assert np.allclose(found.values, np.linalg.eigvalsh((J + J.T) / 2)[::-1][:4], atol=2e-3)
    asymmetry = np.linalg.norm(J - J.T) / np.linalg.norm(J + J.T)
    assert found.asymmetry == pytest.approx(asymmetry, rel=0.3) and asymmetry > 1e-3
    for value, vector in zip(found.values, found.vectors, strict=True):
        step = 1e-3 * torch.from_numpy(vector).float()  # v^T J v, without any derivative
        with torch.inference_mode():
            both = net(torch.stack([y + step, y - step]), torch.full((2,), sigma))
        assert float(((both[0] - both[1]) * step).sum() / (2e-6)) == pytest.approx(value, abs=0.02)
