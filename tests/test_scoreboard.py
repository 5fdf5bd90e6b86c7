import numpy as np
import pytest
import torch

from galgen.compare.agreement import two_models
from galgen.compare.controls import controls
from galgen.compare.scoreboard import EXPECTED, QUESTIONS, scores
from galgen.data import similarity
from galgen.data.dataset import Split

N = 64


@pytest.fixture(scope="module")
def galaxies():
    """Blobs of many sizes, elongations and angles in the noise of a sky, and a split of them."""
    rng = np.random.default_rng(0)
    n, (y, x) = 2 * 200 + 3 * N, np.indices((16, 16)) - 7.5
    size, axis, angle = (rng.uniform(*ends, (n, 1, 1)) for ends in ((1, 3), (0.4, 1), (0, np.pi)))
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    light = rng.uniform(0.3, 0.8, (n, 1, 1)) * np.exp(-np.hypot(along, across / axis) / size)
    images = np.clip(np.rint(255 * (0.05 + light + rng.normal(0, 0.012, light.shape))), 0, 255)
    rows = np.arange(n)
    return images.astype(np.uint8)[:, None], Split(rows[:200], rows[200:400], rows[400:])


def asked(a, b, galaxies, **options):
    images, sets = galaxies
    mean = similarity.mean_image(images)
    reference = controls(images, sets, N).reference
    pair = two_models(*map(torch.as_tensor, (a, b)), images, sets, mean=mean)
    return scores(a, b, reference, pair, mean=mean, permutations=199, **options)


def test_every_control_shows_what_it_must_and_nothing_it_must_not(galaxies):
    for name, pair in controls(*galaxies, N).pairs.items():
        found = asked(*pair, galaxies, both=False)
        told = {question: found[question].p < 0.01 for question in EXPECTED[name] if question in found}
        assert told == {question: EXPECTED[name][question] for question in told}, (name, found)


def test_two_models_that_draw_the_same_agree_and_their_null_is_that_of_strangers(galaxies):
    a, _ = controls(*galaxies, N).pairs["held out"]
    noisy = a + 0.003 * np.random.default_rng(1).standard_normal(a.shape, np.float32)
    agreement = asked(a, noisy, galaxies)["agreement"]
    assert agreement.value > 0.9 and agreement.p == 1 / 200
    assert -0.2 < agreement.low < 0 < agreement.high < 0.2


def test_a_fault_of_b_alone_is_found(galaxies):
    pairs = controls(*galaxies, N).pairs
    a, blurred = pairs["held out"][0], pairs["blurred"][1]
    alone, either = (asked(a, blurred, galaxies, both=both)["distribution"] for both in (False, True))
    assert alone.p > 0.01 and either.value > alone.value and either.p == 2 / 200


def test_each_question_is_asked_where_it_can_be(galaxies):
    pair = controls(*galaxies, N).pairs["held out"]
    assert set(asked(*pair, galaxies)) == set(QUESTIONS) - {"morphology"}
    few = [part[:8] for part in pair]
    assert not {"distribution", "coarse distribution"} & set(asked(*few, galaxies))
