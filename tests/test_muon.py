import copy

import pytest
import torch
from torch import nn

from galgen.models import muon
from galgen.models.muon import Muon, orthogonalized
from galgen.models.unet import UNet
from galgen.profiles import DiffusionSettings

RATES = DiffusionSettings(optimizer="muon", learning_rate=1e-3, muon_rate=0.02)


def matrix(rows, columns, seed=0, dtype=torch.float32):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def usual(G):
    """The iteration as published, on X itself."""
    X = G / G.norm()
    for _ in range(5):
        A = X @ X.T
        X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X
    return X


@pytest.mark.parametrize("shape", [(16, 144), (64, 576), (128, 1152)])
def test_iteration_on_the_gram_matrix_is_the_usual_one(shape):
    G = matrix(*shape)
    torch.testing.assert_close(orthogonalized(G), usual(G), atol=1e-5, rtol=0)
    torch.testing.assert_close(orthogonalized(G.T), usual(G).T, atol=1e-5, rtol=0)
    torch.testing.assert_close(orthogonalized(1e-6 * G), orthogonalized(G), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(16, 144), (60, 30), (64, 64)])
def test_singular_values_become_nearly_one_and_the_directions_stay(shape):
    U, _, Vh = torch.linalg.svd(matrix(*shape, dtype=torch.float64), full_matrices=False)
    S = torch.logspace(0, -1.7, len(Vh), dtype=torch.float64)  # from 1 down to .02
    found = orthogonalized(U * S @ Vh)
    inside = U.T @ found @ Vh.T
    assert (inside.diagonal() > 0.65).all() and (inside.diagonal() < 1.2).all()
    torch.testing.assert_close(inside, inside.diagonal().diag(), atol=1e-10, rtol=0)


@pytest.mark.parametrize("size", [1e-9, 3e-22, 1e-30])
def test_what_is_left_of_a_dead_layers_momentum_moves_it_ever_less(size):
    left = torch.outer(torch.ones(64), torch.ones(72)) / (64 * 72) ** 0.5
    assert torch.linalg.matrix_norm(orthogonalized(size * left), 2) < 1.2
    assert orthogonalized(size**2 * left).abs().max() < 1e-6


def test_step_is_nesterovs_with_the_rate_of_the_shape():
    weight = nn.Parameter(torch.zeros(8, 2, 3, 3))
    optimizer = Muon([weight], lr=0.1, momentum=0.5)
    gradients = [matrix(8, 18, seed).reshape(8, 2, 3, 3) for seed in range(2)]
    expected = 0
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    for ahead in (1.5 * gradients[0], 1.5 * gradients[1] + 0.25 * gradients[0]):
        expected = expected - 0.1 * 4**0.5 * orthogonalized(ahead.flatten(1)).reshape(weight.shape)
    torch.testing.assert_close(weight.detach(), expected, atol=1e-6, rtol=1e-5)


def test_stacked_weights_move_as_each_would_alone():
    stack = matrix(6, 36).reshape(3, 2, 4, 3, 3)
    gradient = matrix(6, 36, 1).reshape(stack.shape)
    together, alone = nn.Parameter(stack.clone()), [nn.Parameter(part.clone()) for part in stack]
    together.grad = gradient
    for part, its in zip(alone, gradient, strict=True):
        part.grad = its
    for weights in ([together], alone):
        Muon(weights, lr=0.1).step()
    torch.testing.assert_close(together, torch.stack(list(alone)), atol=1e-6, rtol=0)


def shares(net, **options):
    """The names of the parameters that each optimizer has."""
    names = {id(p): name for name, p in net.named_parameters()}
    found = muon.optimizers(net, RATES, **options)
    return {k: {names[id(p)] for p in o.param_groups[0]["params"]} for k, o in found.items()}


def test_muon_has_the_convolutions_but_the_first_and_the_last_and_adam_the_rest():
    net = UNet(4, 2)
    found = shares(net)
    assert found["muon"] | found["adam"] == {name for name, _ in net.named_parameters()}
    assert not found["muon"] & found["adam"]
    assert {name for name in found["adam"] if "gain" not in name} == {"down.0.0.weight", "merge.1.2.weight"}
    assert not [name for name in found["muon"] if "gain" in name]
    assert shares(net, ends="muon")["adam"] == {name for name, _ in net.named_parameters() if "gain" in name}


def test_rate_multiplies_both_learning_rates_and_gradients_are_used_up():
    net = UNet(4, 1).eval()
    optimizers = muon.optimizers(net, RATES)
    before = copy.deepcopy(net.state_dict())
    for rate in (0.0, 0.5):
        net(torch.randn(1, 1, 8, 8)).square().sum().backward()
        muon.step(optimizers, rate)
        assert [o.param_groups[0]["lr"] for o in optimizers.values()] == [1e-3 * rate, 0.02 * rate]
        assert all(p.grad is None for p in net.parameters())
        moved = [not torch.equal(p, before[name]) for name, p in net.named_parameters()]
        assert all(moved) if rate else not any(moved)
