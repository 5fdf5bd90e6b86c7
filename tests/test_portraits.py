import numpy as np
import pytest
from astropy.table import Table

from galgen.compare.morphology import COEFFICIENTS
from galgen.compare.portraits import Portrait, apart, portrait, same_share
from galgen.compare.twosample import C2ST
from galgen.compare.uncertainty import Outcome


def rows(n=40, bad=0, shift=0.0, seed=0):
    """A table as `measure` gives it: n rows, of which the first `bad` are not valid."""
    rng = np.random.default_rng(seed)
    table = Table({name: rng.normal(shift, 1, n) for name in COEFFICIENTS})
    table["reason"] = ["bad"] * bad + [""] * (n - bad)
    return table


def test_tables_of_one_distribution_are_not_apart_and_shifted_ones_are():
    assert apart(rows(), rows(seed=1), COEFFICIENTS).energy.p > 0.05
    assert apart(rows(), rows(shift=2, seed=1), COEFFICIENTS).energy.p < 0.01


def test_only_valid_rows_count():
    other = rows(bad=10, seed=1)
    other["gini"][:10] = np.nan
    assert apart(rows(), other, COEFFICIENTS).n == 30


def test_there_are_no_distances_of_too_few_rows_or_of_what_has_no_spread():
    flat = rows()
    flat["m20"] = -1.5
    assert apart(rows(), rows(bad=38), COEFFICIENTS) is None
    assert apart(rows(bad=38), rows(), COEFFICIENTS) is None
    assert apart(rows(), rows(), []) is None
    assert apart(flat, rows(), COEFFICIENTS) is None
    assert apart(flat, rows(), COEFFICIENTS[:4]) is not None


def test_a_share_of_valid_rows_is_held_against_another():
    assert same_share(rows(bad=3), rows(bad=3, seed=1)) == pytest.approx(1)
    assert same_share(rows(bad=20), rows()) < 1e-5


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


@pytest.mark.parametrize(
    ("ps", "shape", "faults"),
    [
        ((0.5, 0.5), 0.5, []),
        ((0.01, 0.5), 0.5, ["the classifier"]),
        ((0.5, 0.01), 0.5, ["the classifier at 8 pixels"]),
        ((0.5, 0.5), 0.01, ["morphology"]),
        ((0.01, 0.5), None, ["the classifier"]),
    ],
)
def test_the_faults_are_the_tests_that_reject(ps, shape, faults):
    tests = {side: C2ST(None, Outcome(0.5, 0.4, 0.6, p)) for side, p in zip((32, 8), ps, strict=True)}
    other = apart(rows(), rows(shift=2 if shape == 0.01 else 0, seed=1), COEFFICIENTS) if shape else None
    assert Portrait(1, {}, tests, other, 1).faults() == faults
