import functools

import numpy as np
import pytest
import torch

from galbook.measure import inversion as measured
from galgen.compare.distances import iid_floor, wasserstein
from galgen.compare.inversion import Inversion, compare_levels, invert
from galgen.compare.likelihood import bits_per_dim, likelihood_gap, ratio_auc
from galgen.models.glow import Glow
from galgen.runs.errors import GalgenError

invert = functools.partial(invert, limit=np.inf)  # the images of the flows below have no bounds
SHAPES = [(2, 4, 4), (4, 2, 2)]
ROTATION = torch.linalg.qr(torch.randn(48, 48, generator=torch.Generator().manual_seed(0)).double()).Q


class Linear(torch.nn.Module):
    """Both levels side by side are z, and x = scale * rotation z: N(0, scale^2 I) for every rotation."""

    def __init__(self, scale=1.0, rotation=None):
        super().__init__()
        self.scale, self.rotation = scale, torch.eye(48).double() if rotation is None else rotation

    def decode(self, latents):
        z = torch.cat([level.flatten(1) for level in latents], 1)
        return (self.scale * z.double() @ self.rotation.T).reshape(-1, 3, 4, 4)

    def encode(self, x):
        z = x.flatten(1) @ self.rotation / self.scale
        log = -0.5 * (z.square() + np.log(2 * np.pi)).sum(1) - 48 * np.log(self.scale)
        return [z[:, :32].reshape(-1, 2, 4, 4), z[:, 32:].reshape(-1, 4, 2, 2)], log


def latents(n=1000, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, *shape, generator=generator) for shape in SHAPES]


def test_a_model_against_itself_returns_its_latents():
    inversion = invert(Linear(2.0), Linear(2.0), latents(n=50))
    for level in compare_levels(inversion):
        assert level.w1_a.value < 1e-7 and level.w1_b.value < 1e-7
        assert level.correlation.value == pytest.approx(1)
        assert level.shared == pytest.approx(1)
    assert np.all(inversion.log_ratio == 0)


@pytest.mark.parametrize("level", [0, 1])
def test_the_same_density_through_a_rotation_is_at_the_floor_and_uncorrelated(level):
    found = compare_levels(invert(Linear(), Linear(rotation=ROTATION), latents()))[level]
    assert 0.5 * found.floor < found.w1_b.value < 2 * found.floor
    assert found.w1_a.value < 1e-6
    assert abs(found.correlation.value) < 0.2 and found.shared < 0.3
    assert found.norm_spread.low < 1 < found.norm_spread.high


def test_mixed_and_flipped_channels_are_shared_though_uncorrelated():
    z = latents()[1].numpy()
    mixing = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]], np.float32)
    z_b = np.einsum("ij,njhw->nihw", mixing, z)
    found = compare_levels(Inversion([z], [z], [z_b], z, z, z))[0]
    assert abs(found.correlation.value) < 0.02
    assert found.shared == pytest.approx(1)
    assert found.shared_null < 0.05


@pytest.mark.parametrize("scale", [0.9, 1.25])
def test_a_wrong_variance_has_the_distance_of_two_gaussians(scale):
    for level in compare_levels(invert(Linear(scale), Linear(1.0), latents())):
        expected = abs(scale - 1) * (2 / np.pi) ** 0.5
        assert level.w1_b.low < expected < level.w1_b.high
        assert level.w1_b.high - level.w1_b.low < 0.15 * expected
        assert level.norm_spread.low < 1 < level.norm_spread.high
        assert level.correlation.value == pytest.approx(1)


def test_partial_correlation_has_its_closed_form_and_interval():
    z, other = latents()[0].numpy(), latents(seed=3)[0].numpy()
    z_b = 1 + 0.6 * z + 0.8 * other
    found = compare_levels(Inversion([z], [z], [z_b], z, z, z))[0]
    assert found.correlation.value == pytest.approx(np.corrcoef(z.ravel(), z_b.ravel())[0, 1], abs=1e-9)
    assert found.correlation.low < 0.6 < found.correlation.high
    # Fisher: the standard error of r is (1 - r^2) / sqrt(m)
    expected = 2 * 1.96 * (1 - 0.6**2) / z.size**0.5
    assert found.correlation.high - found.correlation.low == pytest.approx(expected, rel=0.15)
    assert found.shared == pytest.approx(0.6, abs=0.01)


def test_norm_spread_sees_neighbours_that_the_pooled_distance_does_not():
    noise = np.random.default_rng(0).standard_normal((1000, 1, 1, 256))
    rho, chain = 0.7, noise.copy()
    for k in range(1, 256):
        chain[..., k] = rho * chain[..., k - 1] + (1 - rho**2) ** 0.5 * noise[..., k]
    z = np.random.default_rng(1).standard_normal(chain.shape)
    found = compare_levels(Inversion([z], [z], [chain], z, z, z))[0]
    lags = np.arange(1, 256)
    expected = (1 + 2 * np.sum((1 - lags / 256) * rho ** (2 * lags))) ** 0.5  # sqrt(tr C^2 / d)
    assert expected > 1.6
    assert found.norm_spread.low < expected < found.norm_spread.high
    assert found.w1_b.value < 3 * found.floor


def test_interval_of_the_distance_covers_at_its_rate_when_an_image_shares_a_scale():
    rng, hits = np.random.default_rng(0), 0
    # half of the images with deviation 1.2, half with 2: F_x < F_z above 0, so W1 = E|x| - E|z|
    expected = (1.6 - 1) * (2 / np.pi) ** 0.5
    for seed in range(100):
        scales = rng.choice([1.2, 2.0], (200, 1))
        x, z = rng.standard_normal((2, 200, 64))
        found = wasserstein(scales * x, z, seed=seed)
        hits += found.low < expected < found.high
    assert 88 <= hits <= 100


def test_floor_is_the_asymptotic_mean_and_the_papers():
    for count in (100, 5000):
        x, y = np.sort(np.random.default_rng(0).standard_normal((2, 400, count)), axis=2)
        assert np.abs(x - y).mean() == pytest.approx(iid_floor(count), rel=0.06)
    for count, floor in ((6144, 7e-4), (3072, 1e-3)):  # below the paper's Table 1
        assert iid_floor(1000 * count) == pytest.approx(floor, rel=0.06)


def test_an_image_does_not_depend_on_how_many_others_there_are():
    z = latents(n=40)
    few, many = (invert(Linear(), Linear(1.1, ROTATION), [w[:n] for w in z], chunk=16) for n in (17, 40))
    assert np.array_equal(few.z_b[1], many.z_b[1][:17]) and np.array_equal(few.log_b, many.log_b[:17])
    assert few.x.shape == (17, 3, 4, 4) and few.z_a[0].shape == (17, 2, 4, 4)


def test_images_with_infinite_latents_are_counted():
    z = [w.numpy() for w in latents(n=100)]
    z_b = [w.copy() for w in z]
    z_b[1][7, 0, 0, 0], z_b[0][8, 0, 0, 0] = np.inf, np.nan
    z_b[0][9, 0, 0, 0] = 1e30  # finite, but carries any mean: counts as `FAR`
    levels = compare_levels(Inversion(z, z, z_b, z[0], z[0], z[0]))
    for level in levels:
        assert level.lost == 2 and level.w1_b.n == 98
        assert np.isfinite([level.norm_spread.value, level.shared]).all()
        assert level.w1_b.value < 0.01
    z_b[0][1:] = np.nan
    with pytest.raises(GalgenError, match="1 of 100 images"):
        compare_levels(Inversion(z, z, z_b, z[0], z[0], z[0]))


def test_images_beyond_the_limit_are_lost_whatever_the_other_model_says():
    limit = 2.5
    found = invert(Linear(), Linear(), latents(n=64), limit=limit)
    plain = invert(Linear(), Linear(), latents(n=64))
    beyond = np.abs(plain.x).max((1, 2, 3)) > limit
    assert 0 < beyond.sum() < 62
    assert (np.isnan(found.x).all((1, 2, 3)) == beyond).all()
    assert np.isnan(found.log_ratio[beyond]).all() and np.isfinite(found.log_ratio[~beyond]).all()
    assert {level.lost for level in compare_levels(found)} == {beyond.sum()}
    assert {level.lost for level in compare_levels(plain)} == {0}


def test_an_image_far_from_the_data_returns_its_latents_in_double_precision_only():
    torch.manual_seed(0)
    flow = Glow(size=8, channels=1, steps=2, levels=2, width=8, bits=8)
    flow.initialize(torch.rand(64, 1, 8, 8), torch.Generator().manual_seed(0))
    z = [1000 * torch.randn(6, *shape) for shape in flow.latent_shapes]
    single, double = (
        max(np.abs(a - b).max() for a, b in zip(found.z, found.z_a, strict=True))
        for found in (invert(flow, flow, z, dtype=dtype) for dtype in (torch.float32, torch.float64))
    )
    assert double < 1e-5 < 1e-3 < single
    assert next(flow.parameters()).dtype == torch.float32  # the flow itself is left as it is


def test_one_density_by_another_map_cannot_be_told_by_its_ratio():
    a, b = Linear(), Linear(rotation=ROTATION)
    of_a, of_b = invert(a, b, latents(500)).log_ratio, invert(b, a, latents(500, seed=2)).log_ratio
    assert np.abs(of_a).max() < 1e-9
    found = ratio_auc(of_a.round(9), of_b.round(9))
    assert found.value == 0.5 and found.low < 0.5 < found.high


def test_images_that_are_nothing_to_the_other_model_are_told_and_those_that_have_no_ratio_left_out():
    of_a, of_b = np.array([np.inf, np.nan, 1.0, 2.0]), np.array([3.0, np.nan])
    found = ratio_auc(of_a, of_b)
    assert found.value == 1 and found.n == 1


class Uniform:
    """Density 1 on the unit cube of 8-bit images, and a log of what it was given."""

    def dequantize(self, images, generator):
        return (images * 255 + torch.rand(images.shape, generator=generator)) / 256

    def encode(self, x):
        self.seen = x.clone()
        return [], torch.zeros(len(x)).where(((x >= 0) & (x < 1)).flatten(1).all(1), -torch.inf)

    def bits_per_dim(self, log_likelihood):
        return 8 - log_likelihood / (16 * np.log(2))


IMAGES = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4), dtype=np.uint8)


def test_bits_of_the_uniform_density_are_the_bits_of_a_pixel():
    assert np.array_equal(bits_per_dim(Uniform(), IMAGES, range(40)), np.full(40, 8.0))


def test_both_models_see_the_same_noise_whatever_the_batch():
    whole, part = Uniform(), Uniform()
    bits_per_dim(whole, IMAGES, range(40), chunk=64)
    bits_per_dim(part, IMAGES[20:], range(20, 40), chunk=32)
    assert torch.equal(whole.seen[20:40], part.seen[:20])
    assert not torch.equal(part.seen[0] % (1 / 256), part.seen[1] % (1 / 256))


def test_gap_covers_a_difference_of_means_at_its_rate():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(300):
        found = likelihood_gap(rng.normal(3, 1, 40), rng.normal(3.5, 0.5, 25))
        hits += found.low < 0.5 < found.high
    assert 275 <= hits <= 297
    assert found.n == 65


def ratio(factor, seed=0, k=4):
    """The ratio of disjoint to the same training sets, of k pairs that are made up, with its interval."""
    rng, same = np.random.default_rng(seed), np.equal.outer(np.arange(2 * k) < k, np.arange(2 * k) < k)
    row = next(measured._exchanged(np.exp(0.1 * rng.standard_normal(same.shape)) * np.where(same, 1, factor)))
    return row["low"], row["value"], row["high"]


def test_flows_of_other_images_are_farther_apart_than_flows_of_the_same():
    low, value, high = ratio(1.5)
    assert 1 < low < 1.5 < high and value == pytest.approx(1.5, rel=0.1)
    covered = [low < 1 < high for low, _, high in (ratio(1.0, seed) for seed in range(100))]
    assert np.mean(covered) > 0.9
    assert not list(measured._exchanged(np.ones((2, 2)))), "a single pair has no comparison"
