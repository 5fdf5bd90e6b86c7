import functools
from types import SimpleNamespace

import galsim
import numpy as np
import pytest
import statmorph
from scipy.optimize import brentq
from scipy.special import gamma, gammainc, gammaincinv

from galbook.measure import morphology as of_book
from galgen.compare import morphology
from galgen.compare.controls import rounded
from galgen.compare.morphology import COEFFICIENTS, measure, segment, valid
from galgen.runs.store import Store

quietly = functools.partial(measure, workers=1, progress=False)


def sersic(n, *, size=64, radius=6.0, seed=0, noise=0.003, shear=0.0, companion=0.0):
    """Gray (1, size, size), peak 0.8, without a point spread function; the companion is off the centre."""
    profile = galsim.Sersic(n, half_light_radius=radius).shear(g1=shear)
    if companion:
        profile += companion * galsim.Gaussian(half_light_radius=radius / 4).shift(1.2 * radius, radius / 3)
    stamp = profile.drawImage(nx=size, ny=size, scale=1.0).array.astype(float)
    sky = noise * np.random.default_rng(seed).standard_normal(stamp.shape)
    return (0.8 * stamp / stamp.max() + sky)[None]


def small(count, seed=0):
    """Cheap images (count, 1, 16, 16), all different."""
    return np.stack([sersic(1, size=16, radius=2, seed=seed + i, shear=0.02 * i) for i in range(count)])


def exact_concentration(n):
    """C of a circular Sersic profile, from its radii with 20 and 80 % of what 1.5 Petrosian radii hold."""
    b = gammaincinv(2 * n, 0.5)

    def light(r):
        return gammainc(2 * n, b * r ** (1 / n))

    def petrosian(r):  # surface brightness at r over its mean within r
        x = b * r ** (1 / n)
        density = x ** (2 * n - 1) * np.exp(-x) / gamma(2 * n) * b * r ** (1 / n - 1) / n
        return density * r / (2 * light(r))

    total = light(1.5 * brentq(lambda r: petrosian(r) - 0.2, 0.5, 10))
    r20, r80 = (brentq(lambda r, part=part: light(r) - part * total, 1e-4, 30) for part in (0.2, 0.8))
    return 5 * np.log10(r80 / r20)


def same(one, other):
    """Bit for bit, NaN equal to NaN, nothing masked."""
    assert not one.has_masked_values and one.colnames == other.colnames and len(one) == len(other)
    return all(np.array_equal(one[c], other[c], equal_nan=one[c].dtype.kind == "f") for c in one.colnames)


@pytest.fixture(scope="module")
def profiles():
    """Sersic n = 1/2, 1, 2, 4, and n = 1 with a companion."""
    images = [*(sersic(n) for n in (0.5, 1, 2, 4)), sersic(1, companion=0.1)]
    return np.stack(images), quietly(np.stack(images))


def test_concentration_is_that_of_the_profile(profiles):
    table = profiles[1]
    assert (table["reason"] == "").all() and (table["flag"] == 0).all()
    # Pixels blur the core, which matters where r20 is a pixel or so: n = 4 has r20 = 1.1 pixels here.
    for row, n, error in zip(table[:4], (0.5, 1, 2, 4), (0.01, 0.03, 0.06, 0.15), strict=True):
        assert row["concentration"] == pytest.approx(exact_concentration(n), abs=error)
    assert exact_concentration(4) - exact_concentration(1) > 1.5


def test_gini_grows_and_m20_falls_with_the_sersic_index(profiles):
    table = profiles[1][:4]
    assert (np.diff(table["gini"]) > 0.03).all() and (np.diff(table["m20"]) < -0.1).all()
    # Lotz et al. 2004: an exponential disc has G = 0.47 and M20 = -1.8, a de Vaucouleurs profile about
    # 0.6 and -2.4.
    assert [table["gini"][k] for k in (1, 3)] == pytest.approx([0.48, 0.6], abs=0.03)
    assert table["m20"][1] == pytest.approx(-1.8, abs=0.05) and -2.5 < table["m20"][3] < -2.3


def test_a_companion_makes_a_symmetric_galaxy_asymmetric(profiles):
    alone, with_companion = profiles[1][1], profiles[1][4]
    assert abs(alone["asymmetry"]) < 0.01 < 0.1 < with_companion["asymmetry"]


def test_the_numbers_are_those_of_plain_statmorph(profiles):
    images, table = profiles
    for image, row in zip(images[1::3], table[1::3], strict=True):
        subtracted, galaxy, _ = segment(image[0])
        plain = statmorph.SourceMorphology(subtracted, galaxy.astype(int), 1, gain=10_000)
        for name in (*COEFFICIENTS, "flag"):
            assert row[name] == pytest.approx(plain[name], rel=1e-9), name


def test_neither_a_pedestal_nor_the_scale_matters():
    galaxy = sersic(1, size=32, radius=3, seed=3, noise=0.01, companion=0.1)
    table = quietly(np.stack([galaxy, galaxy + 0.25, 0.5 * galaxy, galaxy - 0.05]))
    for name in COEFFICIENTS:
        np.testing.assert_allclose(table[name], table[name][0], rtol=1e-5, atol=1e-5, err_msg=name)
    (_, _, sky), (_, _, half) = (segment(galaxy[0] * scale) for scale in (1, 0.5))
    assert half == pytest.approx(sky / 2)


def test_the_sky_and_the_segment_are_found_under_noise_quantisation_and_a_neighbour():
    image = sersic(1, size=64, radius=5, noise=0.02)[0] + 0.1
    subtracted, galaxy, sigma = segment(image)
    assert np.median(image - subtracted) == pytest.approx(0.1, abs=0.01)
    assert sigma == pytest.approx(0.02, rel=0.2)
    assert galaxy[32, 32] and 100 < galaxy.sum() < 900
    image[2:8, 2:8] += 0.5  # brightens the border too
    shifted, again, noise = segment(image)
    assert (again == galaxy)[8:, 8:].all() and not again[:8, :8].any()
    assert noise == pytest.approx(0.02, rel=0.3) and np.allclose(shifted[40:], subtracted[40:], atol=0.005)
    # All of the border on one of 32 levels: the noise is the rounding error of 8 bits, not nothing.
    coarse = np.floor(32 * np.clip(sersic(1, size=64, radius=5, noise=0.001)[0] + 0.015, 0, 1)) / 32
    _, galaxy, sigma = segment(coarse)
    assert sigma == pytest.approx(1 / 255 / 12**0.5) and 100 < galaxy.sum() < 900


def test_an_image_that_cannot_be_measured_is_a_row_with_a_reason_in_its_place():
    good = small(1)[0]
    hole, nothing = good.copy(), np.zeros_like(good)
    hole[0, 4, 4] = np.nan
    speck = nothing.copy()
    speck[0, 8, 8] = 1
    images = np.stack([nothing, good, hole, nothing + 0.7, speck, np.full_like(good, np.inf), -good])
    table = quietly(images)
    assert [bool(reason) for reason in table["reason"]] == [True, False, True, True, True, True, True]
    assert "finite" in table["reason"][2] and "sky" in table["reason"][0]
    for name in COEFFICIENTS:
        assert np.isfinite(table[name]).tolist() == [i == 1 for i in range(7)]
        assert not (table[name] == -99).any()
    assert len(valid(table)) == 1 and valid(table)["gini"][0] == table["gini"][1]


def test_a_row_that_statmorph_flags_as_bad_keeps_its_numbers_and_says_why():
    image = small(1)[0] + 0.3 * np.linspace(0, 1, 16)  # a sky that is not flat
    (row,) = quietly(image[None])
    assert row["flag"] == 2 and "background" in row["reason"] and np.isfinite(row["gini"])
    assert len(valid(quietly(image[None]))) == 0


def test_neither_workers_nor_chunks_matter_and_the_order_is_kept(monkeypatch):
    images = small(7)
    expected = quietly(images)
    assert len(np.unique(expected["gini"])) == 7
    monkeypatch.setattr(morphology, "_CHUNK", 2)
    for workers in (1, 2):
        assert same(measure(images, workers=workers, progress=False), expected)
    reverse = quietly(images[::-1])
    np.testing.assert_array_equal(reverse["gini"][::-1], expected["gini"])


def test_the_store_measures_a_set_once(monkeypatch, tmp_path):
    images, store = small(2), Store(tmp_path)
    experiment = SimpleNamespace(store=store)
    table = of_book._measured(experiment, images, 8)
    assert list(table["reason"]) == list(quietly(rounded(images))["reason"])
    monkeypatch.setattr(of_book, "measure", SimpleNamespace(__module__=morphology.__name__))
    assert same(of_book._measured(experiment, images, 8), table)
    (run,) = store.runs("morphology")
    assert run.summary["images"] == 2 and run.record["params"]["statmorph"] == statmorph.__version__


def test_a_line_is_refused_with_its_reason_and_not_searched_for_minutes():
    image = np.random.default_rng(0).normal(0.02, 0.002, (1, 1, 64, 64))
    image[0, 0, 29:36, 3:61] += 0.005
    image[0, 0, 32, 3:61] += 0.9
    (row,) = quietly(image)
    assert "a line, not a galaxy" in row["reason"]
