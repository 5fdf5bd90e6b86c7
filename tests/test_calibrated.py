import numpy as np
import pytest
from pqm import pqm_chi2

from galgen.compare.calibrated import calibrated, pqmass, prdc, repeated, spaces
from galgen.compare.controls import blurred


def normal(n, seed, shift=0.0, d=3):
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


def test_the_chi2_is_that_of_the_authors_package():
    x, y = normal(600, 0), normal(500, 1, 0.25)
    ours = calibrated(x, y, statistics=["PQMass"], permutations=2, tessellations=40)["PQMass"].value
    theirs = np.mean([pqm_chi2(x, y, num_refs=100) for _ in range(40)]) / 99
    assert ours == pytest.approx(theirs, rel=0.06)
    assert ours > 1.2


def test_draws_of_the_training_set_are_too_close_to_it_only_when_there_are_as_many():
    train, other = normal(400, 0), normal(400, 1)
    rng = np.random.default_rng(2)
    found = {n: {"training set": [], "held-out galaxies": []} for n in (40, 400)}
    for n, by in found.items():
        for _ in range(8):
            drawn = train[rng.integers(400, size=n)]
            for name, reference in (("training set", train), ("held-out galaxies", other)):
                options = {"statistics": ["PQMass"], "permutations": 99}
                by[name].append(calibrated(drawn, reference, **options)["PQMass"])
        for name, expected in repeated(400, n, 400).items():
            assert np.mean([each.value for each in by[name]]) == pytest.approx(expected, abs=0.12)
    assert all(each.verdict() == "too close" for each in found[400]["training set"])
    assert sum(each.verdict() == "too close" for each in found[40]["training set"]) <= 5
    assert sum(each.verdict() == "" for each in found[40]["held-out galaxies"]) >= 6


def test_pqmass_of_images_is_asked_on_the_side_that_is_meant():
    rng = np.random.default_rng(0)
    galaxies, train = rng.random((2, 64, 1, 4, 4))
    far = pqmass(galaxies * 1.6, train, permutations=199)
    assert far.p == 1 / 200 and far.value > far.high
    assert pqmass(galaxies * 1.6, train, close=True, permutations=199).p > 0.9
    copies = np.tile(train[:32], (2, 1, 1, 1))
    close = pqmass(copies, train[:32], close=True, permutations=199)
    assert close.p == 1 / 200 and close.value < close.low


def test_precision_and_recall_are_those_of_sets_whose_answer_is_known():
    def of(x, y):
        both = np.concatenate([x, y])
        D = np.abs(both - both.T)
        n = len(x)
        return prdc(D[n:, :n], D[:n, :n], D[n:, n:])

    line = np.arange(60.0)[:, None]
    precision, recall, density, coverage = of(line, line)
    assert (precision, recall, coverage) == (1, 1, 1) and 1 < density < 1.5  # 5 neighbours, itself and ties
    half, whole = line[:30], line
    precision, recall, _, coverage = of(half, whole)  # all that is drawn is real, half of the real is drawn
    assert precision == 1 and 0.5 <= recall <= 0.6 and 0.5 <= coverage <= 0.6
    assert of(line + 1000, line) == (0, 0, 0, 0)


def test_a_blur_is_found_in_features_and_other_galaxies_in_neither_space():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-8:8, -8:8] / 4
    radius = rng.uniform(0.6, 1.4, (120, 1, 1, 1))
    galaxies = np.clip(np.exp(-(x**2 + y**2) / radius**2) + 0.1 * rng.standard_normal((120, 1, 16, 16)), 0, 1)
    options = {"statistics": ["PQMass", "energy", "MMD"], "permutations": 99}
    for rows in spaces([galaxies[:60], galaxies[60:]]).values():
        assert all(found.p > 0.01 for found in calibrated(*rows, **options).values())
    wrong = spaces([blurred(galaxies[:60], 0.8), galaxies[60:]])["features"]
    assert all(found.verdict() == "too far" for found in calibrated(*wrong, **options).values())
