import numpy as np
import pytest
from astropy import units as u

from galgen.data.preprocess import flux_to_gray
from galgen.data.simulate.images import PIXEL, draw_flux, simulate, simulate_flux
from galgen.data.simulate.leaves import dead_leaves
from galgen.data.simulate.population import draw_galaxies


@pytest.fixture(scope="module")
def sample():
    return simulate(140, seed=3)  # more than are drawn at once


@pytest.fixture(scope="module")
def catalogue():
    return draw_galaxies(0, 20_000, seed=1, population="main", area=280.0)


def alone(index, crop, seed=1, **changes):
    """One galaxy without neighbours or noise, (3, crop, crop), and its row of the truth."""
    truth, fluxes = draw_galaxies(index, 1, seed=seed, population="main", area=0.0)
    galaxy = {name: truth[name].tolist()[0] for name in truth.colnames} | changes
    return draw_flux(galaxy, fluxes[0], np.random.default_rng([seed, index, 1]), crop), galaxy


def test_images_and_truth_have_the_promised_form(sample):
    images, truth = sample
    assert images.shape == (140, 1, 32, 32) and images.dtype == np.uint8
    assert len(truth) == len(set(truth["id"])) == 140 and truth["id"].dtype.kind == "U"
    assert truth["half_light_radius"].unit == u.arcsec and truth["flux_g"].unit == u.nmgy


@pytest.mark.parametrize("start, count, workers", [(0, 140, 2), (100, 30, 1), (139, 1, 1)])
def test_a_galaxy_does_not_depend_on_count_start_or_workers(sample, start, count, workers):
    images, truth = simulate(count, seed=3, start=start, workers=workers)
    np.testing.assert_array_equal(images, sample[0][start : start + count])
    for name in truth.colnames:
        np.testing.assert_array_equal(truth[name], sample[1][name][start : start + count])


def test_images_are_the_common_preprocessing_of_the_flux(sample):
    flux, _ = simulate_flux(6, seed=3)
    np.testing.assert_array_equal(flux_to_gray(flux, size=32, crop=64), sample[0][:6])


def test_magnitudes_follow_euclidean_counts_to_the_limit_of_the_sample(catalogue):
    r_mag = catalogue[0]["r_mag"].value
    assert r_mag.min() >= 14 and r_mag.max() <= 17.77
    fainter, brighter = (r_mag < 17.5).sum(), (r_mag < 16.5).sum()
    expected = 10**0.6
    assert abs(fainter / brighter - expected) < 4 * expected / np.sqrt(brighter)


def test_the_truth_agrees_with_the_fluxes_of_the_components(catalogue):
    truth, fluxes = catalogue
    total = fluxes.sum(axis=1)
    np.testing.assert_allclose(total[:, 1], 10 ** (0.4 * (22.5 - truth["r_mag"].value)))
    for i, band in enumerate("grz"):
        np.testing.assert_allclose(total[:, i], truth[f"flux_{band}"].value)
    np.testing.assert_allclose(fluxes[:, 0, 1] / total[:, 1], truth["bulge_fraction"])
    np.testing.assert_allclose(-2.5 * np.log10(total[:, 0] / total[:, 1]), truth["g_r"].value)


def test_the_image_holds_the_flux_of_the_truth():
    for index in range(40):
        image, galaxy = alone(index, 256)
        truth = [galaxy[f"flux_{band}"] for band in "grz"]
        # De Vaucouleurs wings may reach out of 67 arcsec; discs of this size do not.
        tolerance = 0.03 if galaxy["type"] in ("elliptical", "lenticular") else 0.005
        if galaxy["half_light_radius"] < 5:
            np.testing.assert_allclose(image.sum(axis=(1, 2)) / truth, 1, atol=tolerance, err_msg=str(galaxy))


def test_light_outside_the_frame_is_cut_and_not_squeezed_in():
    truth, _ = draw_galaxies(0, 300, seed=1, population="main", area=0.0)
    large = np.flatnonzero((truth["half_light_radius"] > 5) & (truth["type"] == "spiral"))[:6]
    assert len(large) == 6
    for index in large:
        narrow, wide = alone(index, 48)[0], alone(index, 256)[0]
        assert narrow.sum() < 0.95 * wide.sum()
        assert abs(narrow.sum() / wide[:, 104:152, 104:152].sum() - 1) < 0.08


def test_half_the_light_of_a_face_on_elliptical_is_within_its_radius():
    truth, fluxes = draw_galaxies(0, 40, seed=2, population="ellipticals", area=0.0)
    i = int(np.argmin(abs(truth["half_light_radius"].value - 3)))
    galaxy = {name: truth[name].tolist()[i] for name in truth.colnames} | {"axis_ratio": 1.0}
    image = draw_flux(galaxy, fluxes[i], np.random.default_rng(0), 256)[1]
    steps = (np.arange(256) - 127.5) * PIXEL
    inside = np.hypot(steps, steps[:, None]) < galaxy["half_light_radius"]
    # The seeing carries some light out.
    assert 0.40 < image[inside].sum() / fluxes[i, :, 1].sum() < 0.52


def test_spiral_arms_leave_their_order_in_the_azimuthal_fourier_modes():
    truth, _ = draw_galaxies(0, 1500, seed=1, population="main", area=0.0)
    large = (truth["half_light_radius"] > 3.5) & (truth["inclination"] < 35)
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = np.linspace(2, 5, 12)[:, None] / PIXEL
    columns, rows = (np.round(47.5 + radius * f(turn)).astype(int) for f in (np.cos, np.sin))

    def strength(index):
        modes = abs(np.fft.rfft(alone(index, 96)[0][0][rows, columns], axis=1))
        return np.median(modes[:, 2:5].max(axis=1) / modes[:, 0])

    armed = [strength(i) for i in np.flatnonzero(large & (truth["arms"] > 0))[:12]]
    smooth = [strength(i) for i in np.flatnonzero(large & (truth["type"] == "lenticular"))[:12]]
    assert len(armed) == 12 and len(smooth) >= 3
    assert np.median(armed) > 2 * np.median(smooth)


def test_noise_of_the_empty_sky_is_that_of_the_depth():
    flux, truth = simulate_flux(12, seed=6)
    for image, depth, fwhm in zip(flux, truth["depth_r"].value, truth["psf_fwhm"].value, strict=True):
        sigma = 1.4826 * np.median(abs(np.diff(image[1], axis=1))) / np.sqrt(2)
        # A point source is measured through about 4 pi sigma_psf^2 pixels, somewhat more for a Moffat.
        pixels = 4 * np.pi * (fwhm / 2.355 / PIXEL) ** 2
        expected = 10 ** (0.4 * (22.5 - depth)) / 5 / np.sqrt(pixels)
        assert 0.6 < sigma / expected < 1.5


def test_the_control_population_has_the_same_magnitudes_and_only_ellipticals():
    main, _ = draw_galaxies(0, 50, seed=1, population="main", area=280.0)
    control, fluxes = draw_galaxies(0, 50, seed=1, population="ellipticals", area=280.0)
    assert set(control["type"]) == {"elliptical"}
    np.testing.assert_array_equal(main["r_mag"], control["r_mag"])
    assert not fluxes[:, 1:].any()


def test_dead_leaves_are_named_by_seed_and_number_and_cover_the_frame():
    images, table = dead_leaves(70, seed=3, size=16)
    assert images.shape == (70, 1, 16, 16) and images.dtype == np.uint8 and table["id"][5] == "leaves-3-5"
    again, _ = dead_leaves(2, seed=3, start=66, size=16)
    assert np.array_equal(images[66:68], again) and not np.array_equal(images[:2], again)
    large = dead_leaves(8, size=64)[0][:, 0]
    flat = (np.diff(large.astype(int), axis=2) == 0).mean()
    assert flat > 0.5, "discs have one grey each, and most neighbours lie on one disc"
    assert images.std() > 50 and abs(images.mean() - 127) < 15
