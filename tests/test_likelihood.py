import numpy as np
import torch

from galgen.compare.inversion import invert
from galgen.compare.likelihood import bits_per_dim, gap, ratio_auc

D = 16


class Gaussian(torch.nn.Module):
    """N(mean, covariance) over 1 x 4 x 4 images by its Cholesky factor, with all latents at one level."""

    def __init__(self, mean, covariance):
        super().__init__()
        self.mean, self.covariance = torch.as_tensor(mean), torch.as_tensor(covariance)
        self.factor = torch.linalg.cholesky(self.covariance)

    def decode(self, latents):
        return (self.mean + latents[0].flatten(1).double() @ self.factor.T).reshape(-1, 1, 4, 4)

    def encode(self, x):
        centred = (x.flatten(1).double() - self.mean).T
        z = torch.linalg.solve_triangular(self.factor, centred, upper=False).T
        log = -0.5 * (z.square() + np.log(2 * np.pi)).sum(1) - self.factor.diagonal().log().sum()
        return [z.reshape(-1, D, 1, 1)], log


def random_pair():
    rng = np.random.default_rng(0)
    first, second = 0.3 * rng.standard_normal((2, D, D))
    a = Gaussian(np.zeros(D), np.eye(D) + first @ first.T)
    return a, Gaussian(0.2 * rng.standard_normal(D), 1.5 * np.eye(D) + second @ second.T)


def log_ratio(a, b, n, seed):
    z = torch.randn(n, D, 1, 1, generator=torch.Generator().manual_seed(seed))
    return invert(a, b, [z], limit=np.inf, chunk=n).log_ratio


def test_one_density_by_another_map_cannot_be_told():
    a, _ = random_pair()
    b = Gaussian(a.mean, a.covariance)
    rotation = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(0)).double()).Q
    b.decode = lambda latents: a.decode([latents[0].flatten(1).double() @ rotation])
    of_a, of_b = log_ratio(a, b, 500, 0), -log_ratio(b, a, 500, 1)
    assert np.abs(of_a).max() < 1e-9
    found = ratio_auc(of_a.round(9), -of_b.round(9))
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
        return 8 - log_likelihood / (D * np.log(2))


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
        found = gap(rng.normal(3, 1, 40), rng.normal(3.5, 0.5, 25))
        hits += found.low < 0.5 < found.high
    assert 275 <= hits <= 297
    assert found.n == 65
