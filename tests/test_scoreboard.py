import numpy as np
import pytest
import torch
from scipy import ndimage

from galgen.compare import similarity
from galgen.compare.scoreboard import EXPECTED, QUESTIONS, control_pairs, scores
from galgen.data.dataset import Split
from galgen.errors import GalgenError

N = 64


@pytest.fixture(scope="module")
def galaxies():
    """Smooth random images, and a split of them."""
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=(2 * N + 3 * N, 16, 16)), (0, 1.2, 1.2))
    images = np.clip(110 + 200 * smooth + rng.normal(scale=4, size=smooth.shape), 0, 255)
    rows = np.arange(len(images))
    return images.astype(np.uint8)[:, None], Split(rows[:N], rows[N : 2 * N], rows[2 * N :])


def asked(a, b, galaxies, **options):
    images, sets = galaxies
    mean = similarity.mean_image(images)
    return scores(a, b, images[sets.validation[:N]], images, sets, mean=mean, permutations=199, **options)


def test_every_control_shows_what_it_must_and_nothing_it_must_not(galaxies):
    for name, pair in control_pairs(*galaxies, N).items():
        found = asked(*pair, galaxies)
        told = {question: found[question].p < 0.01 for question in EXPECTED[name] if question in found}
        assert told == {question: EXPECTED[name][question] for question in told}, (name, found)


def test_two_models_that_draw_the_same_agree_and_their_null_is_that_of_strangers(galaxies):
    a, _ = control_pairs(*galaxies, N)["held out"]
    noisy = a + 0.02 * torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    agreement = asked(a, noisy, galaxies)["agreement"]
    assert agreement.value > 0.9 and agreement.p == 1 / 200
    assert agreement.low < 0 < agreement.high < 0.2


def test_each_question_is_asked_where_it_can_be(galaxies):
    pair = control_pairs(*galaxies, N)["held out"]
    assert set(asked(*pair, galaxies)) == set(QUESTIONS) - {"morphology"}
    few = [part[:8] for part in pair]
    assert "distribution" not in asked(*few, galaxies)


def test_controls_are_disjoint_and_leave_the_reference_alone(galaxies):
    images, sets = galaxies
    reference = {row.tobytes() for row in images[sets.validation[:N]]}
    a, b = ((255 * x).round().to(torch.uint8).numpy() for x in control_pairs(images, sets, N)["held out"])
    assert not reference & {x.tobytes() for x in a} and not {x.tobytes() for x in a} & {
        x.tobytes() for x in b
    }
    with pytest.raises(GalgenError, match=r"195 validation images, not 192"):
        control_pairs(images, sets, 65)
