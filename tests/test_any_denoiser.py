"""The denoising gap of any denoiser, and denoisers of networks that predict epsilon at integer timesteps."""

import numpy as np
import pytest
import torch
from scipy import stats

import galgen
from galgen.models.sampling import dpm_solver_2m, noise_schedule
from galgen.runs.errors import GalgenError

BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)  # the schedule of DDPM
ABAR = (1 - BETAS).cumprod(0)
MEAN, SPREAD = 0.3, 0.2  # of the pixels of Gaussian images in [0, 1]


def epsilon(low, high):
    """The exact network of these images: E[eps | x_t] on the scale from low to high."""
    mean, spread = low + (high - low) * MEAN, (high - low) * SPREAD

    def net(x, t):
        assert t.dtype == torch.int64 and t.shape == (len(x),)
        abar = ABAR[t][:, None, None, None]
        return ((1 - abar).sqrt() * (x - abar.sqrt() * mean) / (abar * spread**2 + 1 - abar)).to(x)

    return net


def exact(y, sigma):
    """The posterior mean of these images."""
    sigma = torch.as_tensor(sigma).to(y).expand(len(y))[:, None, None, None]
    return MEAN + SPREAD**2 / (SPREAD**2 + sigma**2) * (y - MEAN)


@pytest.mark.parametrize("scale", [(-1, 1), (0, 1), (-0.5, 0.5), (0, 255)])
def test_the_denoiser_of_an_exact_epsilon_is_the_posterior_mean(scale):
    D, (low, high) = galgen.from_epsilon(epsilon(*scale), ABAR, scale), scale
    t = torch.tensor([3, 40, 250, 999])
    sigma = ((1 - ABAR[t]) / ABAR[t]).sqrt() / (high - low)
    y = MEAN + torch.randn(4, 1, 8, 8).double() * (SPREAD**2 + sigma[:, None, None, None] ** 2) ** 0.5
    assert torch.allclose(D(y, sigma), exact(y, sigma), rtol=0, atol=1e-12)
    assert torch.allclose(D(y, float(sigma[1])), exact(y, sigma[1]), rtol=0, atol=1e-12)
    between = (sigma[1] * ((1 - ABAR[41]) / ABAR[41] * ABAR[40] / (1 - ABAR[40])) ** 0.2).expand(4)
    y = y[1:2].expand(4, 1, 8, 8)
    off = D(y, between) - exact(y, between)  # only the timestep is rounded
    assert 0 < off.abs().max() < 0.05 * float(between.max())


def test_samplers_take_it():
    start, levels = torch.full((1, 4, 4), MEAN), noise_schedule(1, 0.01, 30)
    D = galgen.from_epsilon(epsilon(-1, 1), ABAR)
    found, wanted = (dpm_solver_2m(each, start, range(8), levels).images for each in (D, exact))
    assert torch.allclose(found, wanted, atol=0.01) and wanted.std() > 0.1


def test_a_level_or_a_schedule_that_the_network_does_not_have_is_refused():
    D = galgen.from_epsilon(epsilon(-1, 1), ABAR)
    for sigma in (0, 0.004, 100, None, float("nan"), torch.tensor([0.1, 0.004])):
        with pytest.raises(GalgenError, match=r"needs a level from 0\.005 to 78\.\d"):
            D(torch.zeros(2, 1, 4, 4), sigma)
    for wrong in (BETAS, 1 - ABAR, ABAR.flip(0), ABAR[:1], ABAR * np.nan, ABAR[None]):
        with pytest.raises(GalgenError, match="alphas_cumprod must decrease"):
            galgen.from_epsilon(epsilon(-1, 1), wrong)
    with pytest.raises(GalgenError, match="values of black and of white"):
        galgen.from_epsilon(epsilon(-1, 1), ABAR, (1, 1))


RNG = np.random.default_rng(0)
OWN, HELD_OUT = (RNG.integers(64, 192, (n, 1, 8, 8), np.uint8) for n in (12, 40))


def shrinks(off, own=()):
    """A denoiser that leaves the fraction `off` of the noise, and half of it in images of `own`."""
    clean = torch.from_numpy(np.concatenate([OWN, HELD_OUT]) / np.float32(255))

    def denoiser(y, sigma):
        index = torch.cdist(y.flatten(1), clean.flatten(1)).argmin(1)
        left = torch.where(torch.isin(index, torch.tensor(own)), off / 2, off)[:, None, None, None]
        return clean[index] + left * (y - clean[index])

    return denoiser


def test_the_gap_is_that_of_the_noise_left_in_training_images_with_welchs_interval():
    known = shrinks(0.5, range(12))
    found = galgen.denoising_gap(known, OWN, HELD_OUT, baseline=shrinks(0.5))
    assert found.value == pytest.approx(20 * np.log10(2), abs=1e-4) and found.n == 52
    assert found.high - found.low < 1e-3  # difficulty, here the noise of an image, cancels
    alone = galgen.denoising_gap(known, OWN, HELD_OUT)
    y = galgen.denoising_gap(known, torch.from_numpy(OWN[:, 0] / 255), HELD_OUT / 255)
    assert y.value == pytest.approx(alone.value, abs=1e-4)
    assert alone.low < 20 * np.log10(2) < alone.high and alone.high - alone.low > 0.1
    assert "difficulty does not cancel" in f"{alone}" and "6.02 [6.02, 6.02] dB (n = 52)" in str(found)
    nothing = galgen.denoising_gap(shrinks(0.5), OWN, HELD_OUT, baseline=shrinks(0.5))
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)


def test_the_interval_without_a_baseline_contains_0_as_often_as_it_says():
    x, missed = RNG.integers(0, 256, (400, 1, 8, 8), np.uint8), 0  # a pool that nobody was trained on
    for _ in range(60):
        gap = galgen.denoising_gap(lambda y, sigma: y * 0 + 0.5, *np.split(RNG.permutation(x), [150]))
        missed += not gap.low <= 0 <= gap.high
    assert missed <= stats.binom.ppf(0.999, 60, 0.05)


MISTAKES = [
    ({"train": OWN[:1]}, "train: an array"),
    ({"train": OWN[:, :, :4]}, "different shapes"),
    ({"held_out": OWN.astype(int)}, "held_out: an array"),
    ({"held_out": OWN / 60}, "black at 0, white at 1"),
    ({"train": OWN * np.nan}, "black at 0, white at 1"),
    ({"sigma": 0}, "sigma"),
    ({"denoiser": 3}, "denoiser"),
    ({"denoiser": lambda y, sigma: y / 0}, "the PSNR of 52 of 52 images is not finite"),
]


@pytest.mark.parametrize(("changed", "message"), MISTAKES)
def test_a_mistake_is_one_line(changed, message):
    with pytest.raises(GalgenError, match=message) as told:
        galgen.denoising_gap(**{"denoiser": shrinks(0.5), "train": OWN, "held_out": HELD_OUT} | changed)
    assert "\n" not in str(told.value)
