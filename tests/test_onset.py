"""Onset of the denoising gap: gap, null, onset, laws and predictions, on synthetic curves."""

from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from galbook.onset.gap import LEVELS, START, memory_gap, psnr_along, settled
from galbook.onset.law import LAWS, Place, fit, log_density, power
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment, every_family
from galgen.models.onset_study import AveragedLearner
from galgen.models.sampling import from_residual
from galgen.profiles import Parameters
from galgen.runs.store import Store

WEIGHTS = {2: 8_000, 4: 30_000, 8: 120_000, 16: 480_000}


def without_a_gap(end, seed, *, count=16):
    """g of a training that learns training and held-out images alike, after up to `end` images shown."""
    rng = np.random.default_rng([seed, 10])
    shown = np.unique([*np.geomspace(START, end, count).round().astype(int), int(0.9 * end)])
    psnr = rng.normal(34, 2, 210) + 0.5 * rng.normal(size=(len(shown), 210))
    return memory_gap(shown, psnr[:, :10], psnr[:, 10:], permutations=99, start=START)


# The gap


def test_the_gap_is_what_a_hand_computes():
    shown = [100, 200, 400]
    own = np.array([[30, 32], [31, 35], [36, 36]])
    held_out = np.array([[28, 31, 34], [29, 31, 36], [29, 32, 35]])
    found = memory_gap(shown, own, held_out, start=100)
    assert found.value == pytest.approx([0, 2 - 1, 5 - 1])
    # variances of the rises over their number: 2/2 + 1/3, and 2/2 + 0
    assert found.error == pytest.approx([0, np.sqrt(1 + 1 / 3), 1])
    assert found.onset(2) == pytest.approx(200 * 2 ** (1 / 3)) and found.onset(4.5) is None
    assert found.at(200 * 2**0.5).value == pytest.approx(2.5)
    assert found.gained(400).value == pytest.approx(3)
    half = stats.t.ppf(0.975, 1)  # Welch: the held-out images rise alike
    assert found.at(400).high == pytest.approx(4 + half) and found.at(400).n == 5
    assert found.p[0] == 1 and (found.null[0] <= found.null[1]).all()


def test_an_onset_is_for_good_and_all_before_t0_is_left_out():
    own = np.zeros((7, 2)) + np.array([-9, 0, 2, 0.5, 1.5, 2.5, 4])[:, None]
    found = memory_gap([512, START, 4096, 8192, 16384, 32768, 65536], own, np.zeros((7, 3)))
    assert found.shown[0] == START and found.value[0] == 0
    onsets = [8192 * 2**0.5, 16384 * 2**0.5, 32768 * 2 ** (1 / 3)]
    assert [found.onset(level) for level in LEVELS] == pytest.approx(onsets)


def test_the_interval_of_the_gap_covers_its_share():
    covered = []
    for seed in range(300):
        found = without_a_gap(16_384, seed, count=4).at(16_384)
        covered.append(found.low <= 0 <= found.high)
    low, high = stats.binom.interval(0.99, len(covered), 0.95)
    assert low <= sum(covered) <= high


def test_networks_that_favour_nothing_have_no_onset():
    found = [without_a_gap(100_000, seed).onset() for seed in range(100)]
    assert sum(onset is not None for onset in found) <= 1


def test_psnr_along_a_training_has_one_noise_and_sees_what_is_copied():
    images = np.random.default_rng(0).integers(40, 216, (30, 1, 8, 8), dtype=np.uint8)
    own, held_out = images[:10], images[10:]
    bank = torch.from_numpy(own).float() / 255

    def denoiser(share):
        """Keeps y, but for a share of the training image nearest to it."""
        near = lambda y: bank[torch.cdist(y.flatten(1), bank.flatten(1)).argmin(1)]  # noqa: E731
        return lambda y, sigma: (1 - share) * y + share * near(y)

    shown, a, b = psnr_along(zip([START, 4096, 8192], [0, 0, 0.5], strict=True), denoiser, own, held_out)
    assert a.shape == (3, 10) and b.shape == (3, 20) and shown.tolist() == [START, 4096, 8192]
    np.testing.assert_array_equal(a[0], a[1])  # the same noise at every milestone
    noise = np.concatenate([a[0], b[0]])
    assert len(np.unique(noise)) > 25 and noise.mean() == pytest.approx(20, abs=0.5)  # each its own
    np.testing.assert_array_equal(psnr_along([(0, 0)], denoiser, own[:3], held_out)[2][0], b[0])
    found = memory_gap(shown, a, b)
    assert found.value[1] == 0 and found.value[2] > 3 and found.onset() and found.p[2] < 0.01
    untrained = psnr_along(zip([START, 4096], [0, 0.0], strict=True), denoiser, own, held_out)
    assert memory_gap(*untrained).onset() is None


# The laws


def test_t0_is_after_sixty_passes_and_never_the_last_milestone():
    shown = [512, 2048, 4096, 8192, 16384]
    assert [settled(N, shown) for N in (10, 50, 100, 300)] == [2048, 4096, 8192, 2048]
    assert settled(10, [64, 128]) == 64


# Bits


# Laws

PLACES = [(4, 10), (4, 30), (4, 100), (4, 300), (8, 10), (8, 30), (8, 100), (16, 100), (16, 1000)]
TRUE = {
    "load": {"A": np.log(1500), "b": 0.5, "l_0": np.log(0.4)},
    "power": {"c": np.log(700), "a": 0.37, "b": 1.0},
    "proportional": {"A_4": np.log(2000), "A_8": np.log(700), "A_16": np.log(320)},
}


def drawn(law, seed=0, *, places=PLACES, n=6, s=0.3, end=None):
    """Trainings whose onsets follow a law; beyond `end` epochs they are censored."""
    rng, rows = np.random.default_rng(seed), []
    for (width, N), training in product(places, range(n)):
        load = N * 256 / WEIGHTS[width]
        y = LAWS[law].value(TRUE[law], Place(width, N, load)) + rng.normal(0, s)
        rows.append(
            (
                width,
                N,
                load,
                training // 2,
                "AB"[training % 2],
                min(y, np.log(end or np.inf)),
                bool(end) and y > np.log(end),
            )
        )
    of = pd.DataFrame(rows, columns=["width", "N", "load", "seed", "model", "log_epochs", "censored"])
    return of.assign(onset=of.N * np.exp(of.log_epochs))


@cache
def fitted(law, seed):
    """A law fitted to trainings that follow it."""
    return fit(LAWS[law], drawn(law, seed))


@pytest.mark.parametrize("law", LAWS)
def test_a_law_finds_its_own_constants(law):
    inside = []
    for seed in range(20):
        of = fitted(law, seed)
        half = stats.t.ppf(0.975, of.freedom) * np.sqrt(of.covariance.diagonal())
        inside += [
            abs(of.values[name] - TRUE[law][name]) < h for name, h in zip(of.values, half, strict=True)
        ]
    assert sum(inside) >= stats.binom.interval(0.999, len(inside), 0.95)[0] - 3  # constants move together


def test_trainings_that_ended_before_their_onset_count():
    whole, cut = (fit(LAWS["load"], of) for of in (drawn("load", 3), drawn("load", 3, end=1500)))
    left_out = fit(LAWS["load"], drawn("load", 3, end=1500).query("not censored"))
    assert abs(cut.values["A"] - TRUE["load"]["A"]) < 2.5 * np.sqrt(cut.covariance[0, 0])
    assert cut.values["l_0"] < left_out.values["l_0"], "without them the late ones are missed"
    assert whole.values["l_0"] == pytest.approx(cut.values["l_0"], abs=0.5)


@pytest.mark.parametrize(("law", "other"), [("load", "power"), ("power", "load")])
def test_a_prediction_covers_new_onsets_and_excludes_those_of_another_law(law, other):
    at, inside, out, scores = Place(16, 300, 300 * 256 / WEIGHTS[16]), [], [], []
    for seed in range(40):
        predicted, error = fitted(law, seed).predicted(at, 6)
        new = {name: drawn(name, 1000 + seed, places=[(16, 300)]) for name in (law, other)}
        come = {name: np.exp(np.log(of.onset).mean()) for name, of in new.items()}
        inside.append(predicted.low <= come[law] <= predicted.high)
        out.append(not predicted.low <= come[other] <= predicted.high)
        scores.append([log_density(predicted, error, of) for of in new.values()])
    low, high = stats.binom.interval(0.999, len(inside), 0.95)
    assert low <= sum(inside) <= high
    true, shifted = (
        Estimate(300 * np.exp(LAWS[name].value(TRUE[name], at)), 0, 0, 6) for name in (law, other)
    )
    assert power(true, error, shifted, fitted(law, 0).freedom) == pytest.approx(np.mean(out), abs=0.15)
    mine, its = np.mean(scores, axis=0)
    assert mine > its


# Its networks: small blind denoisers whose averages draw


@pytest.fixture(scope="module")
def study(store):
    return Experiment(Parameters(profile="smoke", N=[6, 12]), Store(store), family="onset8")


def test_the_average_is_the_mean_that_it_says(study):
    networks = study._networks(0)
    learner = study.family.learner(networks, None, None, study.settings)
    assert isinstance(learner, AveragedLearner)
    wanted = None
    for step in range(1, 13):
        learner.step(torch.rand(4, 1, 16, 16), torch.Generator().manual_seed(step), 1.0)
        now = torch.cat([p.flatten() for p in learner.net.parameters()]).double()
        share = min(1.0, 8 / step)
        wanted = now if wanted is None else wanted + share * (now - wanted)
    found = torch.cat([p.flatten() for p in learner.average.parameters()]).double()
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert (now - found).norm() > 1e-3


def test_a_study_is_in_no_comparison_and_its_average_draws(study):
    asked = (every_family(study.parameters, studies=studies) for studies in (False, True))
    assert ["onset8" in families for families in asked] == [False, True]
    model = study.models.pair(6)[0]
    drawn = study.samples(model, count=3)
    average = from_residual(study.networks(model)["average"])
    again = study.family.flow(average, study.latents(3), study.images.start).images
    assert torch.equal(drawn, again)


def test_its_images_are_those_of_the_profile_averaged_over_blocks(fresh):
    parameters = Parameters(profile="smoke")
    study = Experiment(parameters, fresh, family="onset8")
    study.settings = study.images.settings = study.settings.model_copy(update={"image_size": 8})
    wanted = Experiment(parameters, fresh).images.dataset.images.reshape(-1, 1, 8, 2, 8, 2).mean((3, 5))
    assert np.abs(study.images.dataset.images - wanted).max() <= 0.5 + 1e-6
