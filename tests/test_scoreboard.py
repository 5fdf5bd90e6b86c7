import numpy as np
import pytest
import test_exchange
import torch
from astropy.table import Table

from galgen.compare.agreement import two_models
from galgen.compare.controls import controls
from galgen.compare.morphology import COEFFICIENTS
from galgen.compare.scoreboard import QUESTIONS, apart, portrait, scores
from galgen.data.split import Split
from galgen.data.unit import mean_image

N = 64
# What each question must find of a control, and what it must not.
EXPECTED = {
    "held out": dict.fromkeys(QUESTIONS, False),
    # alike sets have alike images near: it may agree
    "empirical denoiser": {"memorization": True},
    "blurred": {"agreement": False, "memorization": False, "distribution": True, "morphology": True},
    # two Gaussians of similar covariance draw similar images; of fewer images than pixels they memorize
    "Gaussian": {"agreement": True, "distribution": True, "coarse distribution": True, "morphology": True},
}


@pytest.fixture(scope="module")
def galaxies():
    rows = np.arange(2 * 200 + 3 * N)
    return test_exchange.galaxies(len(rows), 0), Split(rows[:200], rows[200:400], rows[400:])


def asked(a, b, galaxies, **options):
    images, sets = galaxies
    mean = mean_image(images)
    reference = controls(images, sets, N).reference
    pair = two_models(*map(torch.as_tensor, (a, b)), images, sets, mean=mean)
    return scores(a, b, reference, pair, **{"permutations": 199} | options)


def test_every_control_shows_what_it_must_and_nothing_it_must_not(galaxies):
    for name, pair in controls(*galaxies, N).pairs.items():
        found = asked(*pair, galaxies, both=False, permutations=399)
        told = {question: found[question].p < 0.01 for question in EXPECTED[name] if question in found}
        assert told == {question: EXPECTED[name][question] for question in told}, (name, found)


def test_two_models_that_draw_the_same_agree_and_their_null_is_that_of_strangers(galaxies):
    a, _ = controls(*galaxies, N).pairs["held out"]
    noisy = a + 0.003 * np.random.default_rng(1).standard_normal(a.shape, np.float32)
    agreement = asked(a, noisy, galaxies)["agreement"]
    assert agreement.value > 0.9 and agreement.p == 2 / 501  # of 500 permutations
    assert -0.2 < agreement.low < 0 < agreement.high < 0.2


def test_a_fault_of_b_alone_is_found(galaxies):
    pairs = controls(*galaxies, N).pairs
    a, blurred = pairs["held out"][0], pairs["blurred"][1]
    alone, either = (asked(a, blurred, galaxies, both=both)["distribution"] for both in (False, True))
    assert alone.p > 0.01 and either.value > alone.value and either.p == 2 / 200


def test_each_question_is_asked_where_it_can_be(galaxies):
    pair = controls(*galaxies, N).pairs["held out"]
    assert set(asked(*pair, galaxies)) == set(QUESTIONS) - {"morphology"}
    few = [part[:5] for part in pair]
    assert set(asked(*few, galaxies)) == {"agreement", "memorization"}


def rows(n=40, bad=0, shift=0.0, seed=0):
    """A table as `measure` gives it: n rows, of which the first `bad` are not valid."""
    rng = np.random.default_rng(seed)
    table = Table({name: rng.normal(shift, 1, n) for name in COEFFICIENTS})
    table["reason"] = ["bad"] * bad + [""] * (n - bad)
    return table


def test_there_are_no_distances_of_too_few_rows_or_of_what_has_no_spread():
    flat = rows()
    flat["m20"] = -1.5
    assert apart(rows(), rows(bad=38), COEFFICIENTS) is None
    assert apart(rows(bad=38), rows(), COEFFICIENTS) is None
    assert apart(rows(), rows(), []) is None
    assert apart(flat, rows(), COEFFICIENTS) is None
    assert apart(flat, rows(), COEFFICIENTS[:4]) is not None


def test_a_portrait_knows_galaxies_from_a_darker_and_smoother_set():
    rng = np.random.default_rng(0)
    train, reference, held_out = rng.integers(0, 256, (3, 60, 1, 16, 16)).astype(np.uint8)
    asked = {"names": COEFFICIENTS, "measure": lambda images: rows(len(images), bad=6)}
    good = portrait(held_out, reference, train, **asked)
    dull = portrait((held_out + 255.0) / 1020, reference, train, **asked)
    assert good.faults() == []
    assert good.brightness == pytest.approx(1, abs=0.03) and dull.brightness == pytest.approx(0.75, abs=0.03)
    assert list(good.c2st) == [16, 8]
    assert good.valid == 0.9 and good.morphology.n == 54
    for group, spread in good.spread.items():  # a quarter of the contrast
        assert dull.spread[group] == pytest.approx(spread / 16, rel=0.02)
    assert dull.faults() == ["the classifier", "the classifier at 8 pixels"]
