import numpy as np
import pytest
import torch

from galgen.compare.controls import blurred, controls, rounded
from galgen.compare.equivalent_blur import CalibrationCurve, area, calibration_curve
from galgen.compare.similarity import cosine
from galgen.compare.uncertainty import Estimate
from galgen.data.split import Split
from galgen.data.unit import mean_image
from galgen.models.glow import Glow


def galaxies(n, seed=0, side=16):
    """Round blobs of many sizes, uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side)) - (side - 1) / 2
    width = rng.uniform(1, 3, (n, 1, 1))
    images = 0.1 + 0.7 * np.exp(-(x**2 + y**2) / (2 * width**2)) + 0.01 * rng.standard_normal((n, side, side))
    return np.clip(np.rint(255 * images), 0, 255).astype(np.uint8)[:, None]


@pytest.mark.parametrize("bits", [3, 5, 8])
def test_rounding_is_that_of_glow(bits):
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    flow = Glow(size=16, steps=1, levels=2, width=4, bits=bits, channels=1)
    unit = torch.from_numpy(images).float() / 255
    wanted = flow.image(flow.dequantize(unit, torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(rounded(images, bits), wanted, atol=1e-7)
    np.testing.assert_array_equal(rounded(unit, bits), rounded(images, bits))
    # what a flow draws stays what it is
    np.testing.assert_allclose(rounded(wanted, bits), wanted, atol=1e-7)


def spread(image):
    """The variance along a side of what a point becomes, in pixels squared."""
    along = image.sum(0)
    x = np.arange(len(along)) - len(along) // 2
    return (along * x**2).sum() / along.sum()


@pytest.mark.parametrize("pixels", [0.1, 0.3, 0.5, 2.0])
def test_a_blur_has_the_width_that_is_asked_below_half_a_pixel_too(pixels):
    point = np.zeros((1, 1, 33, 33))
    point[..., 16, 16] = 1
    found = blurred(point, pixels)
    assert found.sum() == pytest.approx(1) and found.min() >= 0
    assert spread(found[0, 0]) == pytest.approx(pixels**2, rel=1e-4)
    np.testing.assert_allclose(found, found.swapaxes(2, 3), atol=1e-15)


def test_two_blurs_are_one_of_both_widths_and_no_width_is_none():
    images = galaxies(3).astype(float)
    np.testing.assert_allclose(blurred(blurred(images, 0.3), 0.4), blurred(images, 0.5), atol=1e-9)
    np.testing.assert_array_equal(blurred(images, 0.0), images)
    assert blurred(galaxies(3), 0.3).max() < 1 and blurred(np.float32(images), 0.3).dtype == np.float32


def sets(N, validation):
    rows = np.arange(2 * N + validation)
    return Split(rows[:N], rows[N : 2 * N], rows[2 * N :])


def test_the_sets_are_disjoint_of_the_stated_sizes_and_wrong_as_stated():
    images, rows = galaxies(430), sets(200, 30)
    found = controls(images, rows, 10)
    held_out = images[rows.validation]
    np.testing.assert_array_equal(found.reference, rounded(held_out[:20]))
    np.testing.assert_array_equal(found.pairs["held out"], (rounded(held_out[20:]), rounded(held_out[10:20])))
    for pair in found.pairs.values():
        for part in pair:
            assert part.shape == (10, 1, 16, 16)
            assert np.isin(np.rint(part * 255), np.arange(256)).all()
    # The blur moves light and keeps it; its strength is known from the peak of an isolated blob.
    for sharp, soft in zip(found.pairs["held out"], found.pairs["blurred"], strict=True):
        np.testing.assert_allclose(soft.mean((2, 3)), sharp.mean((2, 3)), atol=1e-3)
        assert (soft.max((2, 3)) < sharp.max((2, 3))).all()
    for copies, half in zip(found.pairs["empirical denoiser"], (rows.A, rows.B), strict=True):
        far = np.abs(copies[:, None] - images[half] / 255).mean((2, 3, 4)).min(1)
        assert far.max() < 0.5 / 255 and len(np.unique(copies, axis=0)) > 5


def test_the_gaussians_have_the_moments_of_their_halves_and_agree():
    images = galaxies(3400)
    a, b = controls(images, sets(1000, 1400), 400).pairs["Gaussian"]
    np.testing.assert_allclose(a.mean(0), images[:1000].mean(0) / 255, atol=0.05)
    agreement = cosine(torch.from_numpy(a), torch.from_numpy(b), kind="anomaly", mean=mean_image(images))
    assert np.median(agreement) > 0.9


IMAGES = galaxies(360, seed=3, side=32)
REFERENCE, UNSEEN, MODEL = rounded(IMAGES[:160]), rounded(IMAGES[160:260]), rounded(IMAGES[260:])


def test_an_amount_is_read_off_between_the_steps_and_open_above():
    steps = CalibrationCurve(np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.6, 0.9]))
    found = steps.amount(Estimate(0.75, 0.55, 0.95, 100))
    assert (found.value, found.low, found.high) == (pytest.approx(1.5), pytest.approx(0.5), np.inf)
    assert steps.amount(Estimate(0.4, 0.3, 0.5, 100)).value == 0
    flat = CalibrationCurve(np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.5, 0.9]))  # .5 is not seen
    assert flat.amount(Estimate(0.5, 0.5, 0.5, 9)).value == 0
    assert flat.amount(Estimate(0.9, 0.8, 0.95, 9)).value == np.inf
    assert flat.amount(Estimate(0.7, 0.7, 0.7, 9)).value == pytest.approx(1)


@pytest.mark.parametrize(("side", "width"), [(8, 0.5), (8, 0.7), (16, 0.35)])
def test_galaxies_blurred_by_a_known_width_are_as_far_off_as_that_blur(side, width):
    steps = calibration_curve("blur", UNSEEN, REFERENCE, side=side)
    found = steps.amount(area(rounded(blurred(MODEL, width)), REFERENCE, side=side))
    assert found.value == pytest.approx(width, abs=0.12)


def test_noise_of_known_strength_and_galaxies_without_a_fault():
    steps = calibration_curve("noise", UNSEEN, REFERENCE, side=16)
    noise = np.random.default_rng(5).standard_normal(MODEL.shape) * 1.2 / 255
    found = steps.amount(area(rounded(MODEL + noise), REFERENCE, side=16))
    assert found.value == pytest.approx(1.2, abs=0.4)
    assert steps.amount(area(MODEL, REFERENCE, side=16)).low == 0
