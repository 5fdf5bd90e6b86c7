import numpy as np
import pytest
import torch
from conftest import floats

from galgen.compare.similarity import FLIPS, KINDS, cosine, near_duplicates, nearest, shuffled_cosine
from galgen.data.unit import mean_image


def centred_blobs(n, seed, side=12):
    """uint8 'galaxies': one centred blob of varying brightness on a pedestal, with noise of their own."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(-2, 2, side)
    blob = np.exp(-(grid[:, None] ** 2) - grid**2)
    images = 20 + rng.uniform(80, 180, (n, 1, 1)) * blob + 12 * rng.normal(size=(n, side, side))
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)[:, None]


def reference(a, b, kind, mean):
    """All pairs in float64, straight from the definition: project both, then divide by both lengths."""
    d = a[0].size
    removed = {"raw": [], "pearson": [np.ones(d)], "anomaly": [np.ones(d), mean.astype(float).ravel()]}[kind]
    project = np.eye(d)
    if removed:
        q = np.linalg.qr(np.array(removed).T)[0]
        project = project - q @ q.T
    u, v = (x.reshape(len(x), -1).astype(float) @ project for x in (a, b))
    return (u / np.linalg.norm(u, axis=1)[:, None]) @ (v / np.linalg.norm(v, axis=1)[:, None]).T


DATA = centred_blobs(300, seed=1)
MEAN = mean_image(DATA)


@pytest.mark.parametrize("kind", KINDS)
def test_cosine_is_its_definition(kind):
    a, b = centred_blobs(20, seed=2), centred_blobs(20, seed=3)
    expected = np.diag(reference(a, b, kind, MEAN))
    np.testing.assert_allclose(cosine(floats(a), floats(b), kind=kind, mean=MEAN), expected, atol=2e-6)


def test_an_image_with_nothing_left_has_cosine_zero_not_nan():
    flat = torch.full((1, 1, 12, 12), 0.4)
    typical = 2 * torch.from_numpy(MEAN)[None] + 0.1
    other = floats(DATA[:1])
    assert cosine(flat, other, kind="pearson") == 0
    assert cosine(typical, other, kind="anomaly", mean=MEAN) == 0
    flats = np.full((2, 1, 12, 12), [[[[100]]], [[[0]]]], np.uint8)
    images = np.concatenate([flats, DATA[:1]])
    found = nearest(other, images, 3, kind="pearson")
    np.testing.assert_allclose(found.cosine, [[1, 0, 0]], atol=1e-6)


def test_an_image_that_is_not_finite_is_like_none_and_not_unlike():
    broken, other = floats(DATA[:2]), floats(DATA[2:4])
    broken[0, 0, 0, 0] = torch.nan
    for kind in KINDS:
        assert np.isnan(cosine(broken, other, kind=kind, mean=MEAN)).tolist() == [True, False]
        found = nearest(broken, DATA, 2, kind=kind, mean=MEAN)
        assert np.isnan(found.cosine[0]).all() and found.index[1, 0] == 1


def test_shuffling_removes_what_pairs_share_and_takes_no_pair_twice():
    a = floats(centred_blobs(50, seed=7))
    null = shuffled_cosine(a, a, kind="anomaly", mean=MEAN)
    assert null.shape == (8 * 50,)
    assert null.max() < 0.9 and abs(null.mean()) < 0.05
    assert len(shuffled_cosine(a[:3], a[:3], kind="raw")) == 2 * 3
    expected = reference(a.numpy(), a.numpy(), "anomaly", MEAN)
    off_diagonal = expected[~np.eye(50, dtype=bool)]
    assert all(np.abs(off_diagonal - value).min() < 1e-5 for value in null[::37])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [7, 64, 1000])
def test_nearest_is_brute_force_at_any_chunk(kind, chunk):
    queries = centred_blobs(15, seed=8)
    found = nearest(floats(queries), DATA, 4, kind=kind, mean=MEAN, chunk=chunk)
    expected = reference(queries, DATA, kind, MEAN)
    order = np.argsort(-expected, axis=1)[:, :4]
    np.testing.assert_array_equal(found.index, order)
    np.testing.assert_allclose(found.cosine, np.take_along_axis(expected, order, 1), atol=5e-6)


def test_every_image_finds_itself_and_its_flip_is_named():
    for which, axes in enumerate(FLIPS):
        flipped = np.flip(DATA[:40], axes)
        found = nearest(floats(np.ascontiguousarray(flipped)), DATA, 1, kind="pearson", flips=True, chunk=90)
        assert (found.index[:, 0] == np.arange(40)).all() and (found.flip == which).all()
        np.testing.assert_array_equal(found.first(DATA), flipped)
        np.testing.assert_allclose(found.cosine, 1, atol=1e-5)


def test_flips_list_an_image_once():
    found = nearest(floats(DATA[:5]), DATA[:9], 9, kind="pearson", flips=True, chunk=4)
    assert all(sorted(row) == list(range(9)) for row in found.index)


def test_near_duplicates_are_found_in_every_orientation():
    noise = np.random.default_rng(1).integers(256, size=(60, 1, 8, 8), dtype=np.uint8)
    smooth = np.random.default_rng(2).integers(0, 3, size=(4, 1, 8, 8))
    quarters = np.rot90(noise[2], 1, (1, 2)), np.rot90(noise[3], 3, (1, 2))[:, ::-1]
    turned = [noise[0], noise[1, :, ::-1], *quarters]
    images = np.concatenate([noise, np.clip(np.stack(turned) + smooth, 0, 255).astype(np.uint8)])
    assert near_duplicates(images, 0.95).tolist() == [[0, 60], [1, 61], [2, 62], [3, 63]]
    assert len(near_duplicates(noise, 0.95)) == 0


@pytest.mark.parametrize("components", [1, 5, 63])
def test_near_duplicates_are_all_that_a_look_at_all_pairs_finds(components):
    """Few components make more pairs to look at; none is lost. Images without contrast are in none."""
    images = np.concatenate([DATA[:120], np.full((3, 1, 12, 12), 9, np.uint8)])
    turns = [np.rot90(x, k, (2, 3)) for x in (images, images[..., ::-1]) for k in range(4)]
    most = np.max([reference(x[:120], images[:120], "anomaly", mean_image(images)) for x in turns], axis=0)
    threshold = 0.2
    assert not (np.abs(most - threshold) < 1e-5).any()  # none that rounding could decide
    wanted = np.argwhere(np.triu(most >= threshold, 1))
    assert 50 < len(wanted) < 5000
    assert np.array_equal(near_duplicates(images, threshold, components), wanted)
