"""Onset of the denoising gap: gap, null, onset, bits, laws and predictions, on synthetic curves."""

from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from galbook.measure import onset_committed
from galbook.measure.onset_committed import _load_ratio, _preregistered
from galbook.onset import configurations
from galbook.onset.bits import approximated, exponent, memorized
from galbook.onset.configurations import CommittedConfiguration as Stored
from galbook.onset.configurations import Configuration, Trace, committed, key_of
from galbook.onset.gap import LEVELS, MOST, SIGMAS, START, memory_gap, psnr_along, settled
from galbook.onset.law import LAWS, Place, fit, largest_N, log_score, power
from galbook.onset.near_copies import INCONCLUSIVE, ONE, TWO, one_event
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment, every_family
from galgen.models.onset_study import AveragedLearner
from galgen.models.sampling import from_residual
from galgen.profiles import Parameters
from galgen.runs.files import project, read_json
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


def test_near_copies_and_onset_are_one_event_if_their_ratio_is_the_same_everywhere():
    known, same = np.zeros((4, 2), bool), np.full((4, 2), 5.0) * [0.99, 1.01]
    assert one_event(same, known)["verdict"] == ONE
    apart = same * np.array([[1], [1], [1], [4]])
    found = one_event(apart, known)
    assert found["verdict"] == TWO and found["low"] < 4 < found["high"] and found["value"] == pytest.approx(4)
    late = known.copy()
    late[3, 0] = True  # a lower limit: the ratio is at least as large
    found = one_event(apart, late)
    assert found["verdict"] == TWO and found["high"] == np.inf and found["freedom"] == 3
    late[:] = True
    assert one_event(apart, late)["verdict"] == INCONCLUSIVE
    noisy = 5 * np.exp(np.random.default_rng(0).normal(0, 0.15, (100, 4, 2)))
    words = [one_event(each, known)["verdict"] for each in noisy]
    assert TWO not in words  # the margin is far above the scatter


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
    assert len(a) == len(b) == 1  # a level
    a, b = a[0], b[0]
    assert a.shape == (3, 10) and b.shape == (3, 20) and shown.tolist() == [START, 4096, 8192]
    np.testing.assert_array_equal(a[0], a[1])  # the same noise at every milestone
    noise = np.concatenate([a[0], b[0]])
    assert len(np.unique(noise)) == 30 and noise.mean() == pytest.approx(20, abs=0.5)  # each its own
    np.testing.assert_array_equal(psnr_along([(0, 0)], denoiser, own[:3], held_out)[2][0][0], b[0])
    found = memory_gap(shown, a, b)
    assert found.value[1] == 0 and found.value[2] > 3 and found.onset() and found.p[2] < 0.01
    untrained = psnr_along(zip([START, 4096], [0, 0.0], strict=True), denoiser, own, held_out)
    assert memory_gap(untrained[0], untrained[1][0], untrained[2][0]).onset() is None
    many = np.repeat(images, 36, axis=0)
    levels = psnr_along([(1, 0)], denoiser, many, many[:5], sigmas=SIGMAS)
    assert levels[1].shape == (5, 1, MOST)
    alone = psnr_along([(1, 0)], denoiser, many, many[:5])
    np.testing.assert_allclose(levels[2][2], alone[2][0], rtol=1e-12)  # one level more changes no other


# Cells


def trace(N, onset, end, *, base_channels=8, seed=0, held=200, scatter=0.05):
    """PSNR along a training whose gap is 1 dB after `onset` images; without one it has no gap."""
    rng = np.random.default_rng([seed, N, base_channels])
    shown = np.unique(np.geomspace(START, end, 24).round().astype(int))
    own, rest = (
        rng.normal(34, 2, n) + scatter * rng.normal(size=(len(shown), n)) for n in (min(N, 1000), held)
    )
    rise = np.maximum(1 + 2 * np.log2(shown / onset), 0) if onset else np.zeros(len(shown))
    return Trace(shown, (own + rise[:, None]).round(2), rest.round(2))


def cell(base_channels, N, onsets, *, end=None, seed=0):
    """Trainings with these onsets in images shown."""
    last = end or int(4 * max(onsets))
    traces = [trace(N, t, last, base_channels=base_channels, seed=[seed, k]) for k, t in enumerate(onsets)]
    return Configuration(base_channels, N, N * 256 / WEIGHTS[base_channels], traces)


def test_t0_is_after_sixty_passes_and_never_the_last_milestone():
    shown = [512, 2048, 4096, 8192, 16384]
    assert [settled(N, shown) for N in (10, 50, 100, 300)] == [2048, 4096, 8192, 2048]
    assert settled(10, [64, 128]) == 64


def test_a_configuration_has_its_onsets_and_is_stored_to_a_hundredth_of_a_decibel(tmp_path):
    given = cell(8, 100, [60_000, 80_000])
    assert [gap.onset() for gap in given.gaps] == pytest.approx([60_000, 80_000], rel=0.1)
    one = Stored(given, 3, 320_000, ["a", "b"], [1.0, 2.0], {})
    configurations.write(tmp_path / "cells.json", [one])
    (again,) = configurations.read(tmp_path / "cells.json")
    for before, after in zip(given.traces, again.configuration.traces, strict=True):
        np.testing.assert_allclose(after.own, before.own, atol=1e-9)
        np.testing.assert_array_equal(after.shown, before.shown)
    assert again.configuration.gaps[0].onset() == given.gaps[0].onset()
    assert key_of(again) == (8, 100, 3, 320_000, 1.0)


# Bits


def test_bits_are_the_integral_that_a_gaussian_has_in_closed_form():
    # knowing a number of variance v exactly, beside not at all: int v / (1 + v / s^2) s^-3 ds over all noise
    sigmas = np.array(SIGMAS)[:, None]
    v, d, N = 0.01, 256, 50
    blind = d * v * sigmas**2 / (v + sigmas**2)
    found = memorized(np.zeros((5, 1)), blind, N)[0]
    low, high = SIGMAS[0], SIGMAS[-1]
    exact = N * d / 2 / np.log(2) * (np.log(1 + v / low**2) - np.log(1 + v / high**2))
    assert found == pytest.approx(exact, rel=0.05)
    assert approximated(np.array([10 * np.log10(4)]), N, d)[0] == pytest.approx(N * d)  # two bits a half
    assert memorized(blind, blind, N)[0] == 0


@pytest.mark.parametrize("power", [0, 1])
def test_the_exponent_of_bits_tells_size_from_time(power):
    rng = np.random.default_rng(power)
    inside = []
    for _ in range(400):
        found = exponent({N: list(N**power * np.exp(rng.normal(0, 0.15, 6))) for N in (100, 300)})
        inside.append(found.low <= power <= found.high)
        assert not found.low <= 1 - power <= found.high
    low, high = stats.binom.interval(0.999, len(inside), 0.95)
    assert low <= sum(inside) <= high


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
def test_a_law_finds_its_own_constants_and_another_law_does_not_fit(law):
    inside, lack = [], []
    for seed in range(20):
        of = fitted(law, seed)
        lack.append(stats.chi2.sf(of.chi_squared, of.spare))
        half = stats.t.ppf(0.975, of.freedom) * np.sqrt(of.covariance.diagonal())
        inside += [
            abs(of.values[name] - TRUE[law][name]) < h for name, h in zip(of.values, half, strict=True)
        ]
    assert sum(inside) >= stats.binom.interval(0.999, len(inside), 0.95)[0] - 3  # constants move together
    assert sum(p < 0.05 for p in lack) <= 6
    other = fit(LAWS[law], drawn("power" if law == "load" else "load", 1))
    assert stats.chi2.sf(other.chi_squared, other.spare) < 0.01


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
        scores.append([log_score(fitted(law, seed), of) for of in new.values()])
    low, high = stats.binom.interval(0.999, len(inside), 0.95)
    assert low <= sum(inside) <= high
    true, shifted = (
        Estimate(300 * np.exp(LAWS[name].value(TRUE[name], at)), 0, 0, 6) for name in (law, other)
    )
    assert power(true, error, shifted, fitted(law, 0).freedom) == pytest.approx(np.mean(out), abs=0.15)
    mine, its = np.mean(scores, axis=0)
    assert mine > its


def test_largest_N_is_where_the_law_meets_the_budget():
    N = largest_N(156, 0.39, 25e6, 4096, 7.66e6)
    assert 156 * N * (1 + N * 4096 / 7.66e6 / 0.39) == pytest.approx(25e6)


def test_no_two_committed_configurations_have_one_key():
    kept = next(iter(committed().values()))
    assert len({key_of(one) for one in kept}) == len(kept)


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


def test_a_preregistered_law_is_contradicted_by_onsets_of_another_one_only():
    file = read_json(project() / "results" / "predictions" / "onsets.json")
    (one,) = (of for of in file["configurations"]["simulated"] if (of["width"], of["N"]) == (4, 400))
    onset, sd = one["predicted"]["load"]["images"]["value"], np.array([-0.1, 0.1])
    fresh = pd.DataFrame({"width": 4, "N": 400, "onset": onset * np.exp(sd), "censored": False})
    fresh = fresh.assign(log_epochs=np.log(fresh.onset / 400))
    rows = {(of["statistic"], of["model"]): of for of in _preregistered(file, "simulated", fresh, fresh)}
    laws = [rows["onset_predicted", f"preregistered-{law}"] for law in LAWS]
    assert laws[0]["p"] == pytest.approx(1) and max(of["p"] for of in laws[1:]) < 0.01
    assert (
        rows["onset_observed", "preregistered"]["low"]
        < onset
        < rows["onset_observed", "preregistered"]["high"]
    )
    assert not [*_preregistered(file, "simulated", fresh, fresh[:1])], "one training of two is made"
    scores = [rows["log_score", f"preregistered-{law}"]["value"] for law in LAWS]
    assert scores[0] == pytest.approx(-np.log(one["predicted"]["load"]["error"] * np.sqrt(2 * np.pi)))
    assert scores[0] == max(scores)
    late = {
        of["statistic"]: of for of in _preregistered(file, "simulated", fresh, fresh.assign(censored=True))
    }
    assert "onset_observed_lower_limit" in late and "onset_observed" not in late


def test_the_load_of_given_galaxies_is_compared_with_that_of_simulated_ones():
    file, of = read_json(project() / "results" / "predictions" / "onsets.json"), drawn("load", 5, s=0.1)
    (ratio,) = _load_ratio(file, of)
    assert ratio["low"] < 0.4 / file["constants"]["load"]["l_0"]["value"] < ratio["high"]


@pytest.mark.parametrize("count", [1, 2])
def test_measurements_of_given_galaxies_are_written_before_all_are_trained(count, monkeypatch):
    made = {"date": "2026-12-02", "commit": "-"}
    pair = cell(4, 100, [2e5, 2.2e5], end=400_000)
    stored = [Stored(pair, 21 + k, 400_000, [], [], made) for k in range(count)]
    monkeypatch.setattr(onset_committed, "committed", lambda: {"sdss_real_9200_64": stored})
    rows = onset_committed.committed_onsets("sdss_real_9200_64")
    assert (rows.statistic == "onset").sum() > 0
    assert (rows.model == "preregistered-load").any() == (count == 2), "four trainings were predicted"
