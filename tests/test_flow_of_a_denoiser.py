"""The flow of denoisers that can be written down: of Gaussians, whose every number is known."""

import math

import numpy as np
import pytest
import torch

from galgen.compare.flow import decode, encode, grey_bits, inverted, log_density, resolution, walk
from galgen.compare.gaussian import Gaussian
from galgen.models.sampling import ladder
from galgen.runs.errors import GalgenError

SIDE, D = 8, 64
LADDER = ladder(10.0, 0.01, 60, 7.0)


def gaussian(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((D, D)))[0]
    variances = scale * 2.0 / np.arange(1, D + 1) ** 1.5
    return Gaussian(*(torch.tensor(v, dtype=torch.float64) for v in (
        rng.uniform(0, 1, (1, SIDE, SIDE)), basis.T, variances)))  # fmt: skip


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
    finer = ladder(10.0, 0.01, 119, 7.0)
    errors = [
        (encode(model, decode(model, z, model.mean, ladder), model.mean, ladder) - z).abs().max()
        for ladder in (LADDER, finer)
    ]
    assert errors[1] < errors[0] / 3, "second order"


def test_the_log_density_of_a_gaussian_is_that_of_the_formula_without_bias():
    model = gaussian(1)
    x = decode(model, normal(3, 1), model.mean, LADDER)
    v, m = model.variances, model.mean.flatten()
    # the flow begins at N(m, sigma^2), not at that with v added
    ends = LADDER[0] ** 2 * (v + LADDER[-1] ** 2) / (v + LADDER[0] ** 2)
    u = (x.flatten(1) - m) @ model.components.T
    known = -0.5 * (u.square() / ends + ends.log() + math.log(2 * math.pi)).sum(1).numpy()
    turns = np.array([
        log_density(model, x, model.mean, LADDER, seeds=range(3 * k, 3 * k + 3)) for k in range(30)
    ])  # fmt: skip
    error = turns.std(0) / len(turns) ** 0.5
    assert (np.abs(turns.mean(0) - known) < 4 * error + 0.05).all()
    assert (turns.std(0) > 0.1).all(), "a probe is not the trace itself"


def test_what_the_integral_cannot_tell_apart_is_its_error_and_two_standard_errors():
    known = np.random.default_rng(0).normal(3.5, 0.3, 400)
    told = known + np.random.default_rng(1).normal(0.02, 0.04, 400)
    assert resolution(told, known) == pytest.approx(0.02 + 2 * 0.04 / 20, abs=0.004)
    assert resolution(known, known) == 0 and resolution(2 * known - told, known) > 0.015


def test_one_dimension_is_one_grey_level_of_255():
    # uniform on [0, 1] has density 1: 255 values that are equally likely cost a little less than 8 bits
    assert grey_bits(np.zeros(1), D) == pytest.approx(math.log2(255))


def test_the_same_model_gives_z_back_another_of_its_density_does_not_and_a_wider_one_is_seen():
    a, z = gaussian(0), normal(200)
    levels = ladder(10.0, 0.01, 20, 7.0)
    x = decode(a, z, a.mean, levels)
    z_a = encode(a, x, a.mean, levels)
    components = a.components.numpy()
    for test in inverted(z, z_a, z_a, components).values():
        assert test.w1_a.value < 0.03 and test.correlation.value > 0.999
    # the same density, the latents turned by one of its symmetries: W1 is blind to that, correlation is not
    turned = (z.flatten(1) @ a.components.T * torch.tensor([1.0, -1.0] * (D // 2))) @ a.components
    for name, test in inverted(z, z_a, turned.reshape(z.shape), components).items():
        assert test.w1_b.value < 3 * test.floor + 0.03, name
        if name != "component 1":
            assert test.correlation.value < 0.6
    wide = gaussian(0, scale=2.0)
    for test in list(inverted(z, z_a, encode(wide, x, a.mean, levels), components).values())[:2]:
        assert test.w1_b.low > test.floor and test.correlation_null < 0.25


def test_a_walk_may_stop_on_the_way_and_a_ladder_goes_down():
    model, z = gaussian(2), normal(2)
    y = model.mean + LADDER[0] * z
    there = walk(model, y, LADDER[:30])[0]
    assert torch.allclose(walk(model, there, LADDER[29:])[0], decode(model, z, model.mean, LADDER))
    with pytest.raises(GalgenError, match="no ladder"):
        ladder(1.0, 2.0, 40)
