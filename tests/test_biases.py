"""Photometry and biases of images with known values."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

from galgen.compare.biases import FEWEST, Photometry, biases, photometry
from galgen.compare.controls import rounded

SIDE, FINE = 32, 9  # pixels, and samples a pixel along each axis


def galaxies(profile, *, x=0.0, y=0.0, q=1.0, angle=0.0, side=SIDE):
    """Images (n, 1, H, H) of profile(r), averaged over each pixel; numbers, or one for each image."""
    x, y, q, angle = np.broadcast_arrays(*map(np.atleast_1d, (x, y, q, angle)))
    places = (np.arange(side * FINE) + 0.5) / FINE - side / 2
    images = []
    for a, b, ratio, turn in zip(x, y, q, angle, strict=True):
        across, up = places - a, (places - b)[:, None]
        major = across * np.cos(turn) + up * np.sin(turn)
        minor = (up * np.cos(turn) - across * np.sin(turn)) / ratio
        image = profile(np.hypot(major, minor), len(images))
        images.append(image.reshape(side, FINE, side, FINE).mean((1, 3)))
    return np.array(images)[:, None]


def gaussian(sigma):
    return lambda r, _: np.exp(-(r**2) / (2 * sigma**2))


@pytest.mark.parametrize(
    ("profile", "size"),
    [(gaussian(3.0), 3.0 * (2 * np.log(2)) ** 0.5), (lambda r, _: np.exp(-r / 2.0), 2.0 * 1.6783)],
    ids=["Gaussian", "exponential"],
)
def test_a_round_galaxy_has_its_half_light_radius_its_light_and_no_ellipticity(profile, size):
    images = 0.8 * galaxies(profile, x=[0, 0.3, -0.5], y=[0, -0.2, 0.5])
    found = photometry(images)
    # pixel and aperture blur it; the aperture ends at 14 pixels
    assert found.size == pytest.approx(size, rel=0.02)
    assert found.flux == pytest.approx(images.sum((1, 2, 3)), rel=0.015)  # its border is not all sky
    assert (found.ellipticity < 0.01).all()


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.3])
def test_a_flat_galaxy_has_the_distortion_of_its_axis_ratio_at_any_angle(angle):
    images = galaxies(gaussian(3.5), q=[0.4, 0.7, 1.0], angle=angle)
    # squared, with the pixel's width
    q = (3.5**2 * np.array([0.4, 0.7, 1.0]) ** 2 + 1 / 12) / (3.5**2 + 1 / 12)
    assert photometry(images).ellipticity == pytest.approx((1 - q) / (1 + q), abs=0.01)


def test_photometry_does_not_depend_on_sky_flips_or_the_other_images():
    images = galaxies(gaussian(2.5), x=[0.4, -1.0], y=[0.1, 0.7], q=[0.5, 0.8], angle=[0.3, 2.0])
    plain = photometry(images)
    others = images / 2 + 0.3, images[..., ::-1], images.transpose(0, 1, 3, 2), torch.from_numpy(images)
    for found in map(photometry, others):
        assert found.size == pytest.approx(plain.size, rel=1e-6)
        assert found.ellipticity == pytest.approx(plain.ellipticity, rel=1e-6)
    assert photometry(images[1:]).size[0] == pytest.approx(plain.size[1])
    eight = photometry((255 * images).round().astype(np.uint8))
    assert eight.flux == pytest.approx(plain.flux, rel=0.01)


def population(count, magnified=1.0, seed=0):
    """Galaxies of many sizes; brighter ones are larger, as light^0.3."""
    rng = np.random.default_rng(seed)
    peak = rng.uniform(0.3, 0.9, count)
    sigma = 2.6 * peak**0.75 * np.exp(0.05 * rng.standard_normal(count))
    shape = {"q": rng.uniform(0.5, 1, count), "angle": rng.uniform(0, np.pi, count)}
    return galaxies(lambda r, i: peak[i] * np.exp(-(r**2) / (2 * (magnified * sigma[i]) ** 2)), **shape)


def test_galaxies_magnified_by_five_per_cent_are_five_per_cent_too_large():
    known, found = (photometry(rounded(population(60, m))) for m in (1.0, 1.05))
    found = biases(found, known)
    assert found.size.value == pytest.approx(5, abs=0.4)
    assert found.flux.value == pytest.approx(10.25, abs=0.4)
    assert found.ellipticity.value == pytest.approx(0.5, abs=0.7)  # the pixel rounds small galaxies
    assert found.measured == 1 and found.size.n == 60


def test_the_interval_covers_no_bias_as_often_as_it_says():
    rng, trials = np.random.default_rng(5), 300
    hits = np.zeros(3)
    for trial in range(trials):
        sets = []
        for n in (60, 120):
            light = np.exp(rng.normal(3, 0.5, n))
            size = light**0.4 * np.exp(0.2 * rng.standard_normal(n))
            sets.append(Photometry(light, size, rng.uniform(0, 0.6, n)))
        found = biases(*sets, resamplings=400, seed=trial)
        hits += [bias.low <= 0 <= bias.high for bias in (found.flux, found.size, found.ellipticity)]
    assert ((hits / trials > 0.90) & (hits / trials < 0.985)).all(), hits / trials


def test_what_cannot_be_measured_is_left_out_and_counted():
    images = population(40)
    broken = images.copy()
    broken[0, 0, 3, 3], broken[1], broken[2] = np.nan, 0.4, np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, known = photometry(broken), photometry(images)
        assert np.isnan(found.size[:3]).all() and np.isnan(found.ellipticity[:3]).all()
        assert np.isnan(found.flux[[0, 2]]).all() and found.flux[1] == pytest.approx(0, abs=1e-9)
        assert np.array_equal(found.size[3:], known.size[3:])
        said = biases(found, known)
        assert said.measured == pytest.approx(37 / 40)
        assert said.size.n == 37 and said.flux.n == 38
        few = Photometry(**{name: value[:FEWEST] for name, value in vars(found).items()})
        assert biases(few, known).size is None


def test_of_a_mean_that_may_be_zero_there_is_no_per_cent():
    rng = np.random.default_rng(1)
    galaxies = Photometry(rng.normal(0, 1, 50), rng.normal(9, 1, 50), np.ones(50))
    found = biases(dataclasses.replace(galaxies), galaxies)
    assert found.flux is None and found.size.value == 0
