"""Size and power of every test of `galgen.compare`.

For two sets of one density, p is uniform, so a test rejects at its nominal level; for a set with an effect, p
is small. A p of the worst of several results, or of counts, is a bound, so only its level is checked.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from astropy.table import Table
from scipy import ndimage, stats
from test_exchange import asked, copies, memorization, of_gaussians, other_galaxies, split
from test_twosample import galaxies

from galbook.onset.gap import START, memory_gap
from galgen.compare.agreement import agreement_test
from galgen.compare.discriminator import ALIKE, GRADES, DiscriminatorTest, Evaluation, contrast, evaluate
from galgen.compare.distances import distances, energy_of_pixels
from galgen.compare.gaussian import shrunk_gaussian
from galgen.compare.scoreboard import same_fraction
from galgen.compare.twosample import c2st, features

FEW = {"permutations": 99}


@dataclass
class Test:
    """p by a seed and by whether one set is wrong; how often it is asked, and whether it is uniform."""

    __test__ = False
    p: Callable[[int, int], float]
    repeats: int = 200
    uniform: bool = True


def normals(seed, wrong, d=1, common=0.0, n=40):
    """Two sets of normal rows (n, d), that may have something in common, the second shifted if wrong."""
    rng = np.random.default_rng(seed)
    x, y = common * rng.normal(size=(n, d)) + rng.normal(size=(2, n, d))
    return x, y + 3 * wrong * np.eye(d)[0]


def of_scores(seed, wrong, paired):
    x, y = (rows[:, 0] for rows in normals(seed, wrong, common=3 * paired))
    return contrast(x, y, paired=paired, seed=seed, **FEW).p


def of_dropped(seed, wrong):
    """Galaxies without the brightest are no repetitions: scores without information find no dropped mode."""
    rng = np.random.default_rng(seed)
    scores = {name: rng.normal(size=40) for name in (*ALIKE, *GRADES)}
    scores["dropped", 0.75] = rng.normal(2 * wrong, 1, 10)
    return evaluate(scores, scores, **FEW).contrasts["held_out", ("dropped", 0.75)].p


def of_judges(seed, wrong):
    def judged(seed):
        rng = np.random.default_rng(seed)
        scores = {name: rng.normal(-2 * wrong * (name == "own"), 1, 40) for name in ALIKE[:3]}
        pairs = itertools.combinations(scores, 2)
        options = {"permutations": 199, "seed": seed}
        return Evaluation({}, {(x, y): contrast(scores[x], scores[y], **options) for x, y in pairs}, {})

    return DiscriminatorTest(judged(seed), judged(seed + 1000)).apart().p


def of_rows(seed, wrong, paired):
    x, y = normals(seed, wrong, d=3, common=2 * paired)
    return c2st(x, y if paired else y[:-7], paired=paired, seed=seed, **FEW).p


SKY = galaxies(300, 0)
REAL, SOFT = (features(x) for x in (SKY, torch.from_numpy(ndimage.gaussian_filter(SKY, (0, 0, 0.6, 0.6)))))


def of_images(seed, wrong):
    rows = np.random.default_rng(seed).permutation(len(REAL))
    return c2st(REAL[rows[:100]], (SOFT if wrong else REAL)[rows[100:200]], seed=seed, **FEW).p


def of_coefficients(seed, wrong, name):
    one, other = (dict(zip("xyz", rows.T, strict=True)) for rows in normals(seed, wrong, d=3))
    found = distances(one, other, ["x", "y", "z"], seed=seed, **FEW)
    return (found.w1[name] if name else found.energy).p


def of_pixels(seed, wrong):
    x, y = normals(seed, wrong, d=3)
    return energy_of_pixels(x, y, seed=seed, **FEW).p


def of_pairs(seed, wrong, sign):
    a, b = torch.randn(2, 12, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    ramp = np.linspace(0, 1, 64).reshape(1, 8, 8)
    return agreement_test(a, b + sign * wrong * a, mean=ramp, seed=seed, **FEW).p


def of_rises(seed, wrong):
    """PSNR of images of unequal difficulty, that learn at unequal rates, with heavy tails."""
    rng = np.random.default_rng(seed)
    rate = 1 + 0.3 * rng.standard_t(4, 60)
    psnr = rng.normal(34, 2, 60) + np.log2([[1], [2], [3]]) * rate + 0.5 * rng.standard_t(5, (3, 60))
    own = rng.permutation(60) < (10, 30)[seed % 2]
    psnr[2, own] += 3 * wrong
    return memory_gap([START, 4096, 8192], psnr[:, own], psnr[:, ~own], permutations=199, seed=seed).p[2]


def of_margins(seed, wrong, biased):
    """Of held-out images in the place of samples, also where B has all bright galaxies; or of copies."""
    sets = split(10, 64, np.random.default_rng([biased, seed]), biased=biased)
    return asked(*copies(sets, 0.5 * wrong, 64, seed), sets, permutations=199, seed=seed).margin.p


def of_memory(seed, wrong, N, gaussian):
    """Of held-out images, or of shrunk Gaussians, in the place of samples; or of copies."""
    sets = split(N, 64, np.random.default_rng([N, seed]))
    images = copies(sets, 0.5 * wrong, 64, seed)
    if gaussian and not wrong:
        others = other_galaxies(sets)
        images = of_gaussians(sets, 64, lambda own: shrunk_gaussian(own, others))
    return memorization(*images, sets, permutations=199, seed=seed).outcome.p


def of_shares(seed, wrong):
    rng = np.random.default_rng(seed)
    shares = 0.2, 0.2 + 0.6 * wrong
    return same_fraction(*(Table({"reason": np.where(rng.random(60) < p, "bad", "")}) for p in shares))


bound = partial(Test, uniform=False)
TESTS = {
    "scores": Test(partial(of_scores, paired=False)),
    "scores of shared latents": Test(partial(of_scores, paired=True)),
    "scores of a dropped mode": Test(of_dropped, 40),
    "scores of three sets by two judges": bound(of_judges),
    "classifier": Test(partial(of_rows, paired=False), 100),
    "classifier of exchangeable pairs": Test(partial(of_rows, paired=True), 100),
    "classifier of images": Test(of_images, 60),
    "W1": Test(partial(of_coefficients, name="x")),
    "energy distance": Test(partial(of_coefficients, name="")),
    "energy distance of pixels": Test(of_pixels),
    "agreement": Test(partial(of_pairs, sign=1)),
    "less alike than strangers": Test(partial(of_pairs, sign=-1)),
    "gap of own and held-out images": Test(of_rises),
    "exchange": Test(partial(of_margins, biased=False), 80),
    "exchange, of a biased split": Test(partial(of_margins, biased=True), 80),
    "memorization, N = 10": bound(partial(of_memory, N=10, gaussian=False), 20),
    "memorization, N = 100": bound(partial(of_memory, N=100, gaussian=False), 20),
    "memorization of Gaussians, N = 10": bound(partial(of_memory, N=10, gaussian=True), 20),
    "share of valid rows": bound(of_shares),
}


def keeps_its_level(test, repeats):
    p = np.array([test.p(seed, 0) for seed in range(repeats)])
    for level in (0.01, 0.05, 0.2):
        assert stats.binomtest(int((p <= level).sum()), repeats, level, "greater").pvalue > 0.002, (level, p)
    if test.uniform:
        assert stats.kstest(p, "uniform").pvalue > 0.002, p  # thirty tests are asked


@pytest.mark.parametrize("name", TESTS)
def test_p_is_uniform_where_there_is_nothing_to_find_and_small_where_there_is(name):
    test = TESTS[name]
    keeps_its_level(test, test.repeats)
    found = [test.p(seed, 1) for seed in range(10)]
    assert sum(p <= 0.05 for p in found) >= 9, found


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTS)
def test_a_test_keeps_its_level_over_many_repetitions(name):
    keeps_its_level(TESTS[name], 10 * TESTS[name].repeats)
