import numpy as np
import pytest
from astropy.table import Table
from astropy.visualization import make_lupton_rgb
from PIL import Image

from galgen.data.dataset import write_dataset
from galgen.data.preprocess import crop_centre, flux_to_gray, resize_area, to_uint8
from galgen.data.split import dihedral_keys, split
from galgen.runs.errors import GalgenError


def make(directory, images):
    catalogue = Table({"id": [str(i) for i in range(len(images))]})
    about = {"source": "test", "manifest": "local", "parameters": {}, "dropped": {"not finite": 2}}
    return write_dataset(directory, images, catalogue=catalogue, **about)


@pytest.fixture
def noise():
    return np.random.default_rng(1).integers(256, size=(60, 1, 8, 8), dtype=np.uint8)


def test_an_existing_folder_is_not_overwritten(tmp_path, noise):
    make(tmp_path / "set", noise)
    with pytest.raises(GalgenError, match="exists already"):
        make(tmp_path / "set", noise)


def test_keys_are_equal_for_flips_and_turns_alone(noise):
    keys = dihedral_keys(noise)
    assert len(np.unique(keys)) == len(noise)
    for turned in (noise[..., ::-1], noise[..., ::-1, :], np.rot90(noise, 1, (2, 3)), noise.swapaxes(2, 3)):
        assert np.array_equal(dihedral_keys(np.ascontiguousarray(turned)), keys)
    changed = noise.copy()
    changed[:, 0, 3, 4] ^= 1
    assert not np.any(dihedral_keys(changed) == keys)


def test_sets_are_disjoint_by_content_also_when_images_are_repeated_turned(tmp_path, noise):
    repeated = np.concatenate([noise, np.rot90(noise, 3, (2, 3)), noise[..., ::-1]])
    dataset = make(tmp_path / "set", repeated)
    sets = split(dataset.distinct, 20, 15)
    keys = dihedral_keys(repeated)
    drawn = np.concatenate([keys[sets.A], keys[sets.B], keys[sets.validation]])
    assert len(np.unique(drawn)) == 55


def test_smaller_sets_lie_in_larger_ones_and_validation_stays(tmp_path, noise):
    dataset = make(tmp_path / "set", noise)
    small, large = split(dataset.distinct, 5, 10), split(dataset.distinct, 25, 10)
    assert set(small.A) < set(large.A)
    assert set(small.B) < set(large.B)
    assert np.array_equal(small.validation, large.validation)
    assert not np.array_equal(small.A, split(dataset.distinct, 5, 10, seed=1).A)


def test_too_large_an_N_says_how_many_images_there_are(tmp_path, noise):
    dataset = make(tmp_path / "set", np.concatenate([noise, noise]))
    split(dataset.distinct, 25, 10)
    with pytest.raises(GalgenError, match=r"need 62 images.* 60 distinct .*at most 25"):
        split(dataset.distinct, 26, 10)
    with pytest.raises(GalgenError, match="60 distinct ones: at least 61 are needed"):
        split(dataset.distinct, 10, 57)  # one image for each model is none for a comparison


def flux(n=5, bands=3, side=16, seed=0):
    rng = np.random.default_rng(seed)
    # from negative sky to saturated nuclei, so that both clips of the stretch are met
    return rng.normal(0, 0.02, (n, bands, side, side)) + 50 * rng.random((n, bands, side, side)) ** 12


def stretched(x, Q=8.0, stretch=0.2):
    return 0.1 * np.arcsinh(Q * x / stretch) / np.arcsinh(0.1 * Q)


def test_it_is_the_channel_mean_of_make_lupton_rgb_whatever_the_order_of_colours():
    x = flux(n=1, side=12)
    g, r, z = x[0]
    here = flux_to_gray(x, size=12, crop=12)[0, 0].astype(int)
    for order in ((z, g, r), (z, r, g), (g, r, z)):
        rgb = make_lupton_rgb(*order, Q=8, stretch=0.2)  # rounds each channel to 8 bits first
        assert np.abs(rgb.mean(axis=-1) - here).max() <= 1


def test_gray_sky_and_saturation_follow_the_closed_form():
    value = np.array([-1.0, 0.0, 0.004, 0.2, 3.0, 1e4])
    x = np.broadcast_to(value[:, None, None, None], (6, 3, 4, 4))
    expected = to_uint8(np.where(value > 0, stretched(value), 0))
    assert np.array_equal(flux_to_gray(x, size=1, crop=4)[:, 0, 0, 0], expected)
    assert expected[0] == expected[1] == 0 and expected[-1] == 255 and 0 < expected[2] < expected[3]


@pytest.mark.parametrize("bands", [1, 2])
def test_fewer_bands_are_the_same_stretch_of_their_mean(bands):
    x = 0.01 + np.abs(flux(n=3, bands=bands, side=8)) / 50  # no band negative or too bright: gray is f(I)
    expected = to_uint8(stretched(x.mean(axis=1, keepdims=True)))
    assert np.array_equal(flux_to_gray(x, size=8, crop=8), expected)


@pytest.mark.parametrize(("side", "crop"), [(8, 4), (9, 4), (8, 5), (9, 5), (7, 7), (8, 8), (8, 1)])
def test_the_centre_pixel_stays_the_centre_pixel(side, crop):
    image = np.zeros((2, 1, side, side))
    image[..., side // 2, side // 2] = 1
    cut = crop_centre(image, crop)
    assert cut.shape == (2, 1, crop, crop) and (cut[..., crop // 2, crop // 2] == 1).all()


@pytest.mark.parametrize(("side", "size"), [(53, 32), (64, 48), (57, 1), (64, 16)])
def test_area_resize_keeps_the_mean_and_agrees_with_pillow(side, size):
    x = np.random.default_rng(side).random((side, side)).astype(np.float32)
    small = resize_area(x, size)
    assert np.isclose(small.mean(), x.mean(), rtol=1e-6)
    if side % size == 0:  # otherwise Pillow's box takes whole pixels
        pillow = Image.fromarray(x).resize((size, size), Image.Resampling.BOX)
        assert np.allclose(small, np.asarray(pillow), atol=1e-5)


def test_the_resize_comes_before_the_rounding():
    faint = np.full((1, 1, 2, 2), 0.00043)
    level = stretched(0.00043) * 255
    assert 0.5 < level < 0.5 / 0.75
    assert flux_to_gray(faint, size=1, crop=2).item() == 1
    faint[0, 0, 0, 0] = 0  # rounded first, the mean of 0, 1, 1, 1 would be 1 again
    assert flux_to_gray(faint, size=1, crop=2).item() == 0
