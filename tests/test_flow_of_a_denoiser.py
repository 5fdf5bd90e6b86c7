"""The probability flow of denoisers in closed form: Gaussians, with all values known."""

import numpy as np
import pytest
import torch

from galbook.mechanisms.flow import decode, encode, integrate, inverted, paired_w1
from galgen.compare.gaussian import Gaussian
from galgen.models.sampling import noise_schedule

SIDE, D = 8, 64
LADDER = noise_schedule(10.0, 0.01, 60, 7.0)


def gaussian(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    basis, mean = np.linalg.qr(rng.standard_normal((D, D)))[0], rng.uniform(0, 1, (1, SIDE, SIDE))
    given = mean, basis.T, scale * 2.0 / np.arange(1, D + 1) ** 1.5
    return Gaussian(*(torch.tensor(each, dtype=torch.float64) for each in given))


def normal(n, seed=0):
    z = np.random.default_rng(seed).standard_normal((n, 1, SIDE, SIDE))
    return torch.tensor(z, dtype=torch.float64)


def test_a_gaussian_is_stretched_as_the_equation_says_and_comes_back():
    model, z = gaussian(0), normal(4)
    x = decode(model, z, model.mean, LADDER)
    v = model.variances
    shrunk = LADDER[0] * ((v + LADDER[-1] ** 2) / (v + LADDER[0] ** 2)).sqrt()
    expected = (z.flatten(1) @ model.components.T * shrunk) @ model.components
    assert (x.flatten(1) - model.mean.flatten() - expected).abs().max() < 0.01 * expected.std()
    assert (encode(model, x, model.mean, LADDER) - z).abs().max() < 0.01
    finer = noise_schedule(10.0, 0.01, 119, 7.0)
    back = [encode(model, decode(model, z, model.mean, by), model.mean, by) for by in (LADDER, finer)]
    errors = [(found - z).abs().max() for found in back]
    assert errors[1] < errors[0] / 3, "second order"


def test_the_same_model_gives_z_back_another_of_its_density_does_not_and_a_wider_one_is_seen():
    a, z = gaussian(0), normal(200)
    levels = noise_schedule(10.0, 0.01, 20, 7.0)
    x = decode(a, z, a.mean, levels)
    z_a = encode(a, x, a.mean, levels)
    components = a.components.numpy()
    for found in inverted(z, z_a, z_a, components).values():
        assert found.test.w1_a.value < 0.03 and found.test.correlation.value > 0.999
    # the same density, the latents turned by one of its symmetries: W1 is blind to that, correlation is not
    turned = (z.flatten(1) @ a.components.T * torch.tensor([1.0, -1.0] * (D // 2))) @ a.components
    for name, found in inverted(z, z_a, turned.reshape(z.shape), components).items():
        assert found.test.w1_b.value < 3 * found.test.floor + 0.03, name
        if name != "component 1":
            assert found.test.correlation.value < 0.6
            assert found.apart.value < 1.5 * found.null[1], name
    wide = gaussian(0, scale=2.0)
    for found in list(inverted(z, z_a, encode(wide, x, a.mean, levels), components).values())[:2]:
        assert found.test.w1_b.low > found.test.floor and found.test.correlation_null < 0.25
        assert found.apart.low > found.null[1], "the density is another"


def test_w1_is_held_against_normals_that_are_correlated_alike():
    z, rest, axes = normal(32, 1), normal(32, 2), np.eye(D)
    near = 0.98 * z + 0.04**0.5 * rest
    found = inverted(z, near, near, axes)["components 21-64"]
    assert found.null[0] < 1 < found.null[1] and found.apart.value < 1.5 * found.null[1]
    assert found.echo == pytest.approx(found.apart.value), "A finds what B finds"
    null = paired_w1(found.test.correlation.value, 32 * 44)
    assert found.apart.value * null.mean() == pytest.approx(found.test.w1_b.value)
    wide = inverted(z, near, 1.3 * near, axes)["components 21-64"]
    assert wide.apart.low > wide.null[1] and wide.test.correlation.value > 0.9


def test_latents_that_are_all_far_are_correlated_with_nothing():
    z = normal(8)
    for found in inverted(z, z, 1e9 * torch.ones_like(z), np.eye(D)).values():
        assert found.test.correlation.value == 0


def test_a_walk_may_stop_on_the_way():
    model, z = gaussian(2), normal(2)
    y = model.mean + LADDER[0] * z
    there = integrate(model, y, LADDER[:30])
    assert torch.allclose(integrate(model, there, LADDER[29:]), decode(model, z, model.mean, LADDER))
