"""Distances of maps, the network's share of an agreement, and variance components, where they are known."""

import numpy as np
import pytest
import torch

from galgen.compare.gaussian import fit_gaussian
from galgen.compare.maps import WHOLE, crossing, map_distance, network_share
from galgen.compare.seeds import components
from galgen.runs.errors import GalgenError


@pytest.fixture(scope="module")
def galaxies():
    return fit_gaussian(np.random.default_rng(0).integers(0, 256, (400, 1, 8, 8), np.uint8))


def drawn(seed, n=120):
    return torch.from_numpy(np.random.default_rng(seed).random((n, 1, 8, 8), np.float32))


def test_one_map_is_at_0_strangers_at_1_and_a_blend_between(galaxies):
    a, b = drawn(1), drawn(2)
    mean = galaxies.mean
    assert map_distance(a, a, galaxies)[WHOLE].value.value == 0
    apart = map_distance(a, b, galaxies)
    for name, found in apart.items():
        if name != "component 1":
            assert found.value.low < 1.05 and found.value.high > 0.95 and found.null > 0.8, name
    half = mean + ((a - mean) + (b - mean)) / 2**0.5  # half of its variance is a's
    found = map_distance(a, half, galaxies)[WHOLE]
    assert found.value.low < 1 - 2**-0.5 < found.value.high and found.value.high < found.null
    assert map_distance(a, 2 * mean - a, galaxies)[WHOLE].value.value == pytest.approx(2, abs=1e-5)


def test_the_scale_at_which_two_maps_differ_is_named(galaxies):
    a, b = drawn(1), drawn(2)
    finest = galaxies.components[20:]
    other = a + ((b - a).flatten(1) @ finest.T @ finest).reshape(a.shape)
    found = map_distance(a, other, galaxies)
    assert found["component 1"].value.value < 1e-6 < 0.9 < list(found.values())[-2].value.value


def test_the_share_of_the_network_is_0_for_the_exact_gaussian_1_for_the_other_model(galaxies):
    a, noise = drawn(1), [0.5 * (drawn(k) - galaxies.mean) for k in (2, 3, 4)]
    b, exact = a + 0.4 * noise[0], a + 2 * noise[1]
    assert network_share(a, b, exact, exact, galaxies)[WHOLE].value == 0
    assert network_share(a, b, exact, b, galaxies)[WHOLE].value == pytest.approx(1)
    half = a + noise[2]
    assert 0.2 < network_share(a, b, exact, half, galaxies)[WHOLE].value < 0.9


def test_there_is_no_share_of_an_agreement_that_may_be_none(galaxies):
    """One was printed as 2.22 [-7.47, 10.4]."""
    a, noise = drawn(1, 40), [0.5 * (drawn(k, 40) - galaxies.mean) for k in (2, 3, 4)]
    b, exact, trained = (a + part for part in noise)
    assert network_share(a, b, exact, trained, galaxies)[WHOLE] is None
    assert network_share(a, a, exact, trained, galaxies)[WHOLE] is not None


def test_where_a_falling_distance_passes_a_level():
    assert crossing({1: 0.9, 100: 0.1, 10: 0.9}, 0.5) == pytest.approx(10 * 10**0.5)
    assert crossing({1: 0.9, 10: 0.8}, 0.5) is None


def test_components_are_found_within_their_intervals_and_none_where_there_is_none():
    rng, inside, nothing = np.random.default_rng(0), [], []
    true = {"latents": (0.2**2 + 0.1**2 + 0.1**2) ** 0.5 / 100**0.5, "training": 0.03, "split": 0.05}
    for _ in range(60):
        base = 0.2 * rng.standard_normal((1, 1, 100)) + 0.1 * rng.standard_normal((3, 1, 100))
        base = base + 0.1 * rng.standard_normal((3, 3, 100))
        effects = 0.03 * rng.standard_normal((3, 3, 1)) + 0.05 * rng.standard_normal((3, 1, 1))
        found = components(base + effects, draws=2000)
        inside.append([found[name].low <= value <= found[name].high for name, value in true.items()])
        none = components(base, draws=2000)
        nothing.append(none["training"].low == 0 and none["split"].low == 0)
        assert none["latents"].value == pytest.approx(true["latents"], rel=0.4)
    assert (np.mean(inside, 0) >= 0.87).all() and np.mean(nothing) > 0.9
    assert found["wider"].value > 1.3
    with pytest.raises(GalgenError, match="two splits"):
        components(np.zeros((1, 3, 10)))
