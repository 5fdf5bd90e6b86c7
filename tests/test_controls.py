import numpy as np
import pytest
import torch

from galgen.compare.controls import controls, rounded
from galgen.errors import GalgenError
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


def test_rounding_clips_and_changes_no_input():
    images = torch.tensor([[[[-0.2, 0.4999, 1.3]]]])
    before = images.clone()
    np.testing.assert_allclose(rounded(images), np.array([[[[0, 127 / 255, 1]]]]), atol=1e-7)
    torch.testing.assert_close(images, before)


def test_the_sets_are_disjoint_of_the_stated_sizes_and_wrong_as_stated():
    held_out, train = galaxies(30), galaxies(200, seed=1)
    found = controls(held_out, train, 10)
    np.testing.assert_array_equal(found.reference, rounded(held_out[:20]))
    np.testing.assert_array_equal(found.null, rounded(held_out[20:]))
    assert len(found.blurred) == len(found.gaussian) == 10
    # The blur moves light and keeps it; its strength is known from the peak of an isolated blob.
    np.testing.assert_allclose(found.blurred.mean((2, 3)), found.null.mean((2, 3)), atol=1e-3)
    assert (found.blurred.max((2, 3)) < found.null.max((2, 3))).all()
    many = controls(np.concatenate([held_out] * 60), train, 500).gaussian
    np.testing.assert_allclose(many.mean(0), train.mean(0) / 255, atol=0.05)


def test_all_sets_have_the_grey_levels_asked_for():
    found = controls(galaxies(12), galaxies(40, seed=1), 4, bits=5)
    for part in (found.reference, found.null, found.blurred, found.gaussian):
        assert np.isin(np.rint(part * 510), 2 * 8 * np.arange(32) + 7).all()


def test_too_few_held_out_images_are_refused():
    with pytest.raises(GalgenError, match="8 held-out images"):
        controls(galaxies(8), galaxies(10), 3)
