import numpy as np
import pytest
import torch
from astropy.table import Table
from blobs import galaxies as blobs

from galgen.compare.agreement import two_models
from galgen.compare.controls import controls
from galgen.compare.morphology import COEFFICIENTS
from galgen.compare.scoreboard import morphology_distances
from galgen.compare.twosample import c2st, features
from galgen.data.split import Split
from galgen.data.unit import mean_image

N = 64
# What each test must find of a control, and what it must not. At 8 pixels little is left of a blur.
EXPECTED = {
    "held out": dict.fromkeys(("agreement", "memorization", "distribution", "coarse distribution"), False),
    # alike sets have alike images near: it may agree
    "empirical denoiser": {"memorization": True},
    "blurred": {"agreement": False, "memorization": False, "distribution": True},
    # two Gaussians of similar covariance draw similar images; of fewer images than pixels they memorize
    "Gaussian": {"agreement": True, "distribution": True, "coarse distribution": True},
}


@pytest.fixture(scope="module")
def galaxies():
    rows = np.arange(2 * 200 + 3 * N)
    return blobs(len(rows)), Split(rows[:200], rows[200:400], rows[400:])


def p_values(a, b, galaxies):
    """p of each test of a pair; the classifiers are given the first of the two sets."""
    images, sets = galaxies
    pair = two_models(*map(torch.as_tensor, (a, b)), images, sets, mean=mean_image(images))
    p = {"agreement": pair.permutation.p, "memorization": pair.memorization.outcome.p}
    reference = controls(images, sets, N).reference
    for name, side in (("distribution", None), ("coarse distribution", 8)):
        p[name] = c2st(*(features(x, side=side) for x in (reference, a)), permutations=399).p
    return p


def test_every_control_shows_what_it_must_and_nothing_it_must_not(galaxies):
    for name, pair in controls(*galaxies, N).pairs.items():
        found = p_values(*pair, galaxies)
        assert {test: found[test] < 0.01 for test in EXPECTED[name]} == EXPECTED[name], (name, found)


def rows(n=40, bad=0, shift=0.0, seed=0):
    """A table as `measure` gives it: n rows, of which the first `bad` are not valid."""
    rng = np.random.default_rng(seed)
    table = Table({name: rng.normal(shift, 1, n) for name in COEFFICIENTS})
    table["reason"] = ["bad"] * bad + [""] * (n - bad)
    return table


def test_there_are_no_distances_of_too_few_rows_or_of_what_has_no_spread():
    flat = rows()
    flat["m20"] = -1.5
    assert morphology_distances(rows(), rows(bad=38), COEFFICIENTS) is None
    assert morphology_distances(rows(bad=38), rows(), COEFFICIENTS) is None
    assert morphology_distances(rows(), rows(), []) is None
    assert morphology_distances(flat, rows(), COEFFICIENTS) is None
    assert morphology_distances(flat, rows(), COEFFICIENTS[:4]) is not None
