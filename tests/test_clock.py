"""The clock: the gap, its null and its onset, and the statements on time and on size, on made-up curves."""

import numpy as np
import pytest
import torch
from scipy import stats

from galbook.clock import asked
from galbook.clock.asked import clock_figure, size_or_time
from galbook.clock.crossing import DURATION, crossing, elapsed, plateau, predicted_onset, readings
from galbook.clock.gap import LEVELS, MOST, START, mean_onset, memory_gap, psnr_along
from galbook.clock.in_proportion import Cell, Statement, in_proportion, power_laws
from galgen.compare.uncertainty import Estimate
from galgen.experiment import Experiment, every_family
from galgen.models.clock import AveragedLearner
from galgen.profiles import Parameters
from galgen.runs.store import Store

NO = "not testable here"
WEIGHTS = {2: 8_000, 4: 30_000, 8: 120_000, 16: 480_000}


def curve(N, true, end, *, seed=0, scatter=0.5, held=200, start=START, count=16):
    """g of a training whose gap is, but for the images, `true(t)` dB after t images shown."""
    rng = np.random.default_rng([seed, N])
    shown = np.unique([*np.geomspace(start, end, count).round().astype(int), int(0.9 * end)])
    own, rest = min(N, MOST), held
    psnr = rng.normal(34, 2, own + rest) + scatter * rng.normal(size=(len(shown), own + rest))
    psnr[:, :own] += np.where(shown > start, true(shown), 0)[:, None]
    return memory_gap(shown, psnr[:, :own], psnr[:, own:], permutations=99, start=start)


def rising(onset):
    """1 dB at the onset, and a decibel or more for every doubling after it."""
    return lambda t: np.log2(1 + (t / onset) ** 1.5)


def flat(level):
    return lambda t: np.full(len(t), float(level))


def cell(kernels, N, onsets, end, *, seed=0, true=rising, **how):
    """Trainings with these onsets."""
    curves = [curve(N, true(onset), end, seed=[seed, kernels, k], **how) for k, onset in enumerate(onsets)]
    return Cell(kernels, N, curves, N * 256 / WEIGHTS[kernels])


def hour(powers, *, factor=1.05, scatter=0.2, at_100=None):
    """Six cells of two trainings each, A a factor later than the law and B as much sooner."""
    at_100 = at_100 or {8: 80_000, 4: 190_000}
    found = []
    for kernels, power in powers.items():
        for N in (10, 30, 100):
            onset = at_100[kernels] * (N / 100) ** power
            found.append(cell(kernels, N, [onset * factor, onset / factor], 4 * onset, scatter=scatter))
    return found


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
    assert found.gained(400).value == pytest.approx(3) and found.optimum == 1
    half = stats.t.ppf(0.975, 1)  # Welch: the held-out images rise alike
    assert found.at(400).high == pytest.approx(4 + half) and found.at(400).n == 5
    assert found.p[0] == 1 and (found.null[0] <= found.null[1]).all()


def test_an_onset_is_for_good_and_all_before_t0_is_left_out():
    own = np.zeros((7, 2)) + np.array([-9, 0, 2, 0.5, 1.5, 2.5, 4])[:, None]
    found = memory_gap([512, START, 4096, 8192, 16384, 32768, 65536], own, np.zeros((7, 3)))
    assert found.shown[0] == START and found.value[0] == 0
    onsets = [8192 * 2**0.5, 16384 * 2**0.5, 32768 * 2 ** (1 / 3)]
    assert [found.onset(level) for level in LEVELS] == pytest.approx(onsets)


def test_the_onset_of_several_trainings_is_their_geometric_mean():
    shown, flat_ = [START, 4 * START], np.zeros((2, 2))
    early, late, never = (memory_gap(shown, np.full((2, 2), [[0], [top]]), flat_) for top in (4, 2, 0))
    assert mean_onset([early, late]) == pytest.approx(START * 4**0.375)  # a quarter and a half of the way
    assert mean_onset([early, never]) is None and mean_onset([]) is None


def test_the_interval_of_the_gap_covers_its_share():
    covered = []
    for seed in range(300):
        found = curve(10, flat(0), 16_384, seed=seed, count=4).at(16_384)
        covered.append(found.low <= 0 <= found.high)
    low, high = stats.binom.interval(0.99, len(covered), 0.95)
    assert low <= sum(covered) <= high


def test_networks_that_favour_nothing_have_no_onset():
    found = [curve(10, flat(0), 100_000, seed=seed).onset() for seed in range(100)]
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
    assert len(np.unique(noise)) == 30 and noise.mean() == pytest.approx(20, abs=0.5)  # each its own
    np.testing.assert_array_equal(psnr_along([(0, 0)], denoiser, own[:3], held_out)[2][0], b[0])
    found = memory_gap(shown, a, b)
    assert found.value[1] == 0 and found.value[2] > 3 and found.onset() and found.p[2] < 0.01
    untrained = psnr_along(zip([START, 4096], [0, 0.0], strict=True), denoiser, own, held_out)
    assert memory_gap(*untrained).onset() is None
    many = np.repeat(images, 9, axis=0)
    assert psnr_along([(1, 0)], denoiser, many, many)[1].shape == (1, MOST)


# Time

SLOW = {"at_100": {8: 300_000, 4: 900_000}}


def one_training(cells):
    return [*cells[1:], Cell(8, 10, cells[0].gaps[:1], 0)]


def never(cells):
    """One training of one cell without an onset."""
    return [*cells[1:], cell(8, 10, [8e3, 1], 40_000, true=lambda t: rising(t) if t > 1 else flat(0))]


TIME = [
    (lambda: hour({8: 1.0, 4: 1.05}), "held", "N to the power of"),
    (lambda: hour({8: 0.0, 4: 0.0}, **SLOW), "not held", ""),
    (lambda: hour({8: 2.0, 4: 2.0}, **SLOW), "not held", ""),
    (lambda: hour({8: 1.0, 4: 0.2}, **SLOW), "not held", ""),
    (lambda: hour({8: 1.0, 4: 1.0}, factor=2), "underpowered", ""),
    (lambda: hour({8: 1.25, 4: 1.0}, factor=1.15), "underpowered", ""),
    (lambda: [c for c in hour({8: 1.0, 4: 1.0}) if c.kernels == 8], NO, "1 of 2 widths have 3 N"),
    (lambda: [c for c in hour({8: 1.0, 4: 1.0}) if c.N > 10], NO, "0 of 2 widths"),
    (lambda: one_training(hour({8: 1.0, 4: 1.0})), NO, "fewer than 2 trainings: 8 kernels at N = 10"),
    (lambda: never(hour({8: 1.0, 4: 1.0})), NO, "a training without an onset: 8 kernels at N = 10"),
    (lambda: [], NO, "0 of 2 widths"),
]


@pytest.mark.parametrize(("cells", "verdict", "words"), TIME)
def test_whether_the_onset_is_in_proportion_and_what_is_missing(cells, verdict, words):
    found = in_proportion(cells())
    assert found.verdict == verdict and words in found.reason and (verdict != NO or not found.numbers)


def test_the_numbers_of_the_onset_are_its_powers_and_curvatures():
    found = in_proportion(hour({8: 1.0, 4: 1.05}))
    assert len(found.numbers) == 2 and found.numbers["8 kernels"].value == pytest.approx(1, abs=0.1)
    assert abs(found.beside["curvature, 8 kernels"].value) < 0.1
    assert {"power at 2 dB, 8 kernels", "power at 3 dB, 4 kernels"} <= set(found.beside)
    bent = {n: [n * np.exp(0.5 * np.log(n / 30) ** 2 + e) for e in (0.1, -0.1)] for n in (10, 30, 100)}
    law = power_laws({8: bent})[8]
    assert law.curvature.low > 0 and law.curvature.value == pytest.approx(0.5)


def test_sets_above_the_scale_and_widths_with_few_N_do_not_count():
    cells = hour({8: 1.0, 4: 1.0})
    others = [cell(8, 300, [1e6, 1e6], 4_000_000), cell(16, 100, [4e3, 4e4], 200_000)]
    assert in_proportion(cells + others) == in_proportion(cells)


@pytest.mark.parametrize("scatter", [0.05, 0.4])
def test_the_interval_of_the_power_covers_it(scatter):
    rng = np.random.default_rng(0)
    covered, verdicts = [], 2000
    for _ in range(verdicts):
        onsets = {
            kernels: {N: 800 * N**b * np.exp(rng.normal(0, scatter, 2)) for N in (10, 30, 100)}
            for kernels, b in ((8, 1.0), (4, 0.8))
        }
        laws = power_laws(onsets)
        covered.append([laws[k].power.low <= b <= laws[k].power.high for k, b in ((8, 1.0), (4, 0.8))])
        covered[-1].append(laws[8].curvature.low <= 0 <= laws[8].curvature.high)
    low, high = stats.binom.interval(0.999, verdicts, 0.95)
    assert all(low <= total <= high for total in np.sum(covered, axis=0))


# Size


def large(kernels, N, *, at_100, onset=None, level=0.1, through=DURATION, trainings=2):
    """Trainings through so many predicted onsets, with an onset in units of the predicted one, or without."""
    predicted = at_100[kernels] * N / 100
    what = [onset * predicted if onset else level] * trainings
    end = int(1.05 * through * predicted)
    return cell(kernels, N, what, end, true=rising if onset else flat, scatter=0.3)


AT_100 = {4: 190_000, 8: 80_000, 16: 40_000}


def night(**large_cells):
    """The scale of three widths, and cells such as `w4_1000` above it."""
    cells = [cell(k, 100, [t * 1.05, t / 1.05], 3.2 * t) for k, t in AT_100.items()]
    for name, how in large_cells.items():
        kernels, N = map(int, name[1:].split("_"))
        cells.append(large(kernels, N, at_100=AT_100, **how))
    return cells


def test_predicted_onsets_are_those_of_the_same_width_in_proportion():
    cells = night()
    assert predicted_onset(cells, 8, 1000) == pytest.approx(800_000, rel=0.1)
    assert predicted_onset(cells, 2, 1000) is None
    assert predicted_onset([Cell(8, 100, cells[1].gaps[:1], 0)], 8, 1000) is None


LATE = {"w4_1000": {"onset": 3.5}, "w8_1000": {"onset": 1}}  # and still rising
SEEN = {"w4_300": {"onset": 1}, "w4_1000": {"onset": 1.1, "through": 2}, "w8_1000": {"onset": 1}}
SHORT = {"w4_1000": {"trainings": 1}, "w8_1000": {"through": 1}}
BOTH = {"w4_300": {"onset": 1.2}, "w4_1000": {}, "w8_1000": {"onset": 1.5}, "w16_1000": {"onset": 1}}
SIZE = [  # cells, what is said of the plateau and of the crossing at 1 000, and words of the first
    (BOTH, "held", "held", "(8.5 training pixels a weight): not memorized, g = "),
    (SEEN, "not held", "not held", "time, as far as we could see: even 4 kernels at N = 1"),
    ({"w4_1000": {}}, "held", NO, ""),
    ({"w4_1000": {}, "w16_1000": {}}, "held", "underpowered", ""),  # no width memorizes it
    # what is neither memorized nor clearly not
    ({"w8_1000": {"onset": 1}}, "underpowered", NO, ""),  # the narrowest network was not asked
    ({"w4_1000": {"level": 0.7}, "w8_1000": {"onset": 1}}, "underpowered", "underpowered", ""),
    (LATE, "underpowered", "underpowered", ""),
    ({"w8_300": {}, "w8_1000": {"onset": 1}}, "underpowered", NO, ""),  # a larger set is memorized
    ({"w8_300": {}, "w4_300": {"onset": 1}, "w4_1000": {"level": 0.7}}, "underpowered", NO, ""),
    ({}, NO, NO, "no N above 100"),
    ({"w4_1000": {"through": 2}}, NO, NO, "fewer than 3 predicted onsets shown"),
    (SHORT, NO, NO, "training pixels a weight): fewer than 2 trainings"),
]


@pytest.mark.parametrize(("cells", "verdict", "crossed", "words"), SIZE)
def test_whether_size_decides_and_what_is_missing(cells, verdict, crossed, words):
    cells = night(**cells)
    said, both = plateau(cells), crossing(cells)
    assert said.verdict == verdict and both.verdict == crossed and words in said.reason
    assert said.verdict not in ("held", "not held") or said.load == pytest.approx(1000 * 256 / 30_000)
    begins = {"held": "It is size, ", "not held": "It is time, "}.get(crossed, "Size or time stays open: ")
    steep = Statement("", "underpowered", "", "", {"4 kernels": Estimate(1.4, 1.1, 1.7, 6)})
    assert size_or_time(in_proportion([]), both).startswith(begins)
    assert ("steeply" in size_or_time(steep, both)) == (crossed != "not held")


def test_slow_growth_below_the_level_and_a_jump_as_the_rate_falls_are_no_plateau():
    end = 6_000_000
    growing = lambda t: np.minimum(0.35, 0.3 * np.log2(np.maximum(t / 3e6, 1)))  # noqa: E731
    jump = lambda t: np.where(t >= 0.95 * end, 0.9, 0.0)  # noqa: E731
    for true in (growing, jump):
        cells = [*night(), cell(4, 1000, [1, 2], end, true=lambda _, true=true: true, scatter=0.2)]
        assert readings(cells)[4, 1000].state == "undecided"


# The main models


def test_how_many_onsets_of_its_own_recipe_went_by():
    main = curve(4000, flat(0.05), 72_000, scatter=0.2)
    smaller = {
        10: [curve(10, rising(8000), 72_000, scatter=0.1)],
        100: [curve(100, rising(60_000), 144_000, scatter=0.1)] * 2,
        1000: [curve(1000, flat(0), 72_000)],
    }
    found = elapsed(main, 4000, smaller)
    assert list(found.predicted) == [10, 100] and found.predicted[10] == pytest.approx(3.2e6, rel=0.1)
    assert found.onsets == pytest.approx(72_000 / 2.4e6, rel=0.1) and found.confounded
    assert (
        "so that the training saw 0.03 times that (if the onset grew only as √N, 0.19 times)" in found.words
    )
    nothing = elapsed(main, 4000, {1000: smaller[1000]})
    assert nothing.onsets is None and nothing.confounded and "no smaller N has an onset" in nothing.words
    long = elapsed(curve(4000, flat(0), 10_000_000), 4000, smaller)
    assert long.onsets > 3 and not long.confounded
    copies = elapsed(curve(4000, rising(20_000), 72_000), 4000, smaller)
    assert not copies.confounded, "it had time"


# The figure


def test_the_figure_marks_the_onsets_and_where_size_is_read_and_does_without():
    given = [*night(w4_1000={}, w8_1000={"through": 2}), cell(2, 10, [0, 0], 40_000, true=flat)]
    figure = clock_figure(given)
    least, narrow, wide, _, onsets = figure.axes
    assert not any(line.get_marker() == "v" for line in least.lines) and len(onsets.lines) == 3 * 2 + 1
    assert sum(line.get_marker() == "v" and line.get_mfc() == "white" for line in narrow.lines) == 1
    assert sum(line.get_marker() == "v" for line in wide.lines) == 1  # the training ended before
    assert clock_figure(given[-1:]).axes[-1].texts[0].get_text().startswith("no training")


# Its networks: small blind denoisers whose averages draw


@pytest.fixture(scope="module")
def study(store):
    return Experiment(Parameters(profile="smoke", N=[4, 6]), Store(store), family="clock8")


def test_the_average_is_the_mean_that_it_says(study):
    networks = study._networks(0)
    learner = study.family.learner(networks, None, None, study.settings)
    assert isinstance(learner, AveragedLearner)
    wanted = None
    for step in range(1, 21):
        learner.step(torch.rand(4, 1, 16, 16), torch.Generator().manual_seed(step), 1.0)
        now = torch.cat([p.flatten() for p in learner.net.parameters()]).double()
        share = min(1.0, 8 / step)
        wanted = now if wanted is None else wanted + share * (now - wanted)
    found = torch.cat([p.flatten() for p in learner.average.parameters()]).double()
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert (now - found).norm() > 1e-3


def test_a_study_is_in_no_comparison_and_its_average_draws(study):
    asked = (every_family(study.parameters, studies=studies) for studies in (False, True))
    assert ["clock8" in families for families in asked] == [False, True]
    model = study.models.pair(4)[0]
    drawn = study.samples(model, count=3)
    average = study.networks(model)["average"]
    again = study.family.flow(average, study.latents(3), study.images.start).images
    assert torch.equal(drawn, again)


def test_its_images_are_those_of_the_profile_averaged_over_blocks(fresh):
    parameters = Parameters(profile="smoke")
    study = Experiment(parameters, fresh, family="clock8")
    study.settings = study.images.settings = study.settings.model_copy(update={"image_size": 8})
    wanted = Experiment(parameters, fresh).images.dataset.images.reshape(-1, 1, 8, 2, 8, 2).mean((3, 5))
    assert np.abs(study.images.dataset.images - wanted).max() <= 0.5 + 1e-6


def test_the_gap_of_the_clock_is_asked_of_A_and_B_at_every_milestone(study):
    cells = asked.clock([study])
    assert [(cell.kernels, cell.N, len(cell.gaps)) for cell in cells] == [(4, 4, 2), (4, 6, 2)]
    kept = study.train(study.models.pair(4)[0]).summary["weights"]
    for each in cells[0].gaps:
        assert each.shown.tolist() == kept and each.own.shape[1] == 4 and each.value[0] == 0
    assert cells[1].load == pytest.approx(6 * 256 / study.weights)
