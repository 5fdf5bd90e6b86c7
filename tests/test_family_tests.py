import numpy as np
import pytest
from test_inversion import ROTATION, Linear, latents

from galgen.compare.alike import beyond
from galgen.compare.inversion import beyond_same_images, model_pairs


def test_models_that_agree_more_than_others_are_found_and_others_are_not():
    rng = np.random.default_rng(0)
    linear = rng.uniform(0.5, 0.9, 100)
    more = beyond(linear + 0.1, linear)
    assert more.value == pytest.approx(0.1) and more.p < 1e-10
    assert beyond(linear - 0.1, linear).p > 0.99
    assert beyond(linear + rng.normal(0, 0.05, 100), linear).p > 0.01


class Bounded(Linear):
    """Whose images are small enough to be images."""

    def decode(self, latents):
        return super().decode(latents) / 100

    def encode(self, x):
        return super().encode(100 * x)


def test_flows_of_other_images_are_farther_apart_than_flows_of_the_same():
    # A and A2 hold one density, B and B2 another: their latents are 1.5 times wider.
    a, a2, b, b2 = Bounded(), Bounded(rotation=ROTATION), Bounded(1.5), Bounded(1.5, ROTATION)
    apart = beyond_same_images(model_pairs([(a, b), (a2, b2)]), latents(n=200))
    assert apart.p == pytest.approx(1 / 70)  # four values above four others
    assert apart.low < apart.high < 0.05 < apart.value
    alike = beyond_same_images(model_pairs([(a, a2), (a2, a)]), latents(n=200))
    assert alike.p > 0.1


def test_the_null_of_flows_is_the_range_of_those_on_the_same_images():
    a, b = Bounded(), Bounded(1.5)
    pairs = {"disjoint": [(a, b)], "same": [(a, a), (b, a)]}
    found = beyond_same_images(pairs, latents(n=50))
    assert found.low == pytest.approx(0, abs=1e-6)
    assert found.high == pytest.approx(0.5 * (2 / np.pi) ** 0.5, rel=0.1)
