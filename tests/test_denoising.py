import numpy as np
import torch

from galgen.compare.denoising import denoising_curve, training_gap

IMAGES = np.random.default_rng(0).integers(40, 216, (30, 1, 16, 16), dtype=np.uint8)
SIGMAS = [0.01, 0.1, 1.0]


def memorizer(images):
    """Returns the training image nearest to y: what a network that has memorized does."""
    bank = torch.from_numpy(images).float() / 255

    return lambda y, sigma: bank[torch.cdist(y.flatten(1), bank.flatten(1)).argmin(1)]


def test_noise_of_sigma_has_a_psnr_of_minus_20_log_sigma_and_doing_nothing_keeps_it():
    curve = denoising_curve(lambda y, sigma: y, IMAGES, SIGMAS)
    np.testing.assert_array_equal(curve.noisy, curve.denoised)
    # 30 x 256 pixels: 4 standard errors of the mean level are 0.3 dB
    np.testing.assert_allclose(curve.noisy.mean(1), -20 * np.log10(SIGMAS), atol=0.3)


def test_models_levels_images_and_chunks_share_one_noise():
    seen = {}

    def spy(name):
        def f(y, sigma):
            seen.setdefault(name, []).append(y.clone())
            return 0.9 * y

        return f

    a = denoising_curve(spy("a"), IMAGES, SIGMAS, chunk=30)
    b = denoising_curve(spy("b"), IMAGES, SIGMAS[1:], chunk=30)
    assert torch.equal(seen["a"][1], seen["b"][0])
    np.testing.assert_array_equal(a.denoised[1:], b.denoised)
    part = denoising_curve(spy("c"), IMAGES[:7], SIGMAS, chunk=3)
    np.testing.assert_array_equal(part.denoised, a.denoised[:, :7])
    other = denoising_curve(spy("d"), IMAGES, SIGMAS, seed=1000)
    assert (other.noisy != a.noisy).all()


def test_a_denoiser_is_told_the_level_of_the_noise():
    def wiener(y, sigma):  # of white noise about gray, the best there is
        return 0.5 + (y - 0.5) * (0.2**2 / (0.2**2 + sigma**2))[:, None, None, None]

    pixels = np.random.default_rng(2).normal(127.5, 0.2 * 255, (200, 1, 8, 8)).clip(0, 255)
    found = denoising_curve(wiener, pixels.round().astype(np.uint8), SIGMAS).denoised.mean(1)
    sigma = np.array(SIGMAS)
    np.testing.assert_allclose(found, -10 * np.log10(sigma**2 * 0.2**2 / (sigma**2 + 0.2**2)), atol=0.3)


def test_the_gap_of_training_is_that_of_two_denoisers_on_the_same_images():
    rng = np.random.default_rng(1)
    easy, hard = (rng.integers(128 - w, 128 + w, (20, 1, 16, 16), dtype=np.uint8) for w in (4, 100))

    def gray(y, sigma):
        return torch.full_like(y, 0.5)

    # neither has seen more than the other: B's images being harder is no gap
    assert training_gap((gray, gray), (easy, hard), SIGMAS).tolist() == [0, 0, 0]
    pair = memorizer(IMAGES[:15]), memorizer(IMAGES[15:])
    assert (training_gap(pair, (IMAGES[:15], IMAGES[15:]), SIGMAS[:2]) > 20).all()
