import numpy as np
import pytest
from test_inversion import ROTATION, Linear, latents

from galgen.compare.agreement import beyond
from galgen.compare.family_tests import falls, latents_test


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
    # All A hold one density, all B another: their latents are 1.5 times wider.
    pairs = [(Bounded(rotation=turn), Bounded(1.5, turn)) for turn in (None, ROTATION, ROTATION.T, None)]
    apart = latents_test(pairs, latents(n=60))
    assert apart.p == pytest.approx([1 / 35] * len(apart.p))  # 2 of 70 ways
    assert min(apart.ratio) > 5
    deepest = apart.deepest()
    assert deepest.low < deepest.high < 0.1 < deepest.value and deepest.p == apart.p[-1]
    assert max(apart.echo) < 1e-5 < min(apart.floor)
    single = latents_test(pairs[:1], latents(n=60))
    assert single.ratio == [] and single.same[-1] == [] and single.p == [1.0] * len(single.p)


def test_pairs_of_one_density_do_not_depend_on_the_letters():
    turned = [Bounded(rotation=turn) for turn in (None, ROTATION, ROTATION.T, ROTATION @ ROTATION)]
    found = latents_test([tuple(turned[:2]), tuple(turned[2:])], latents(n=60))
    assert min(found.p) >= 1 / 3 - 1e-9 and max(found.ratio) < 2
    assert len(found.apart[0]) == 2


def test_falling_distances_have_the_exact_p_of_the_ranks():
    assert falls([4, 5, 6, 7], [0, 1, 2, 3]) == pytest.approx(1 / 70)
    assert falls([0, 1, 2, 3], [4, 5, 6, 7]) == 1
    assert falls([4, 5], [0, 1]) == pytest.approx(1 / 6)
