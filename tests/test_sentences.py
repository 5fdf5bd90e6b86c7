import numpy as np
import pytest

from galgen.compare.agreement import Shared
from galgen.compare.likelihood import Divergence
from galgen.compare.scoreboard import Portrait
from galgen.compare.twosample import C2ST
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.config import PROFILES
from galgen.figures import sentences
from galgen.settings import ConditionalSettings

SPACE = "\N{NO-BREAK SPACE}"


def interval(low, high):
    return Estimate((low + high) / 2, low, high, 100)


def test_numbers_and_ranges_are_written_as_the_chapters_have_them():
    assert sentences.listed([0.5, -0.25]) == "0.50, -0.25"
    assert sentences.listed([0.5, -0.25], "+.1f") == "+0.5, -0.2"
    assert sentences.span([0.3, 0.1, 0.2]) == "0.10 to 0.30"
    assert sentences.mean_span(np.array([0.1, 0.2, 0.6])) == "0.300 (0.100 to 0.600)"


def test_an_estimate_takes_the_format_of_a_number():
    estimate = interval(-0.125, 0.375)
    assert str(estimate) == f"{estimate}" == "0.12 [-0.12, 0.38]"
    assert f"{estimate:+.3f}" == "+0.125 [-0.125, +0.375]"
    assert str(Divergence(estimate, 0)) == "0.125 [-0.125, 0.375]"
    assert str(Divergence(estimate, 3)) == "0.125 [-0.125, 0.375] (3 beyond)"


@pytest.mark.parametrize("share, word", [(1.4, "grainier"), (1.0, "about their share"), (0.5, "too little")])
def test_small_scales_have_too_much_or_enough_or_too_little(share, word):
    assert word in sentences.small_scales(share)


def test_the_positive_control_is_found_or_the_test_has_little_power():
    assert sentences.power_of_the_control(True) == "lies beyond all tests at every level."
    assert "does not lie" in sentences.power_of_the_control(False)
    assert "little power" in sentences.power_of_the_control(False)


@pytest.mark.parametrize(
    "p, shown, said",
    [
        ((0.002, 0.004), "(p < 0.01)", "none of these"),
        ((0.002, 0.03), "(p up to 0.03)", "none of these"),
        ((0.002, 0.2), "(p up to 0.20)", "not all of them"),
        ((0.002,), "(p < 0.01)", "none of these"),
    ],
)
def test_the_independent_judge_rejects_all_generators_or_not_all(p, shown, said):
    text = sentences.independent_judge(p)
    assert shown in text and said in text


def test_a_run_that_draws_one_image_collapsed():
    fine = sentences.collapsed({30: 0.9, 4000: 1.1})
    assert "0.90, 1.10 for N = 30, 4" in fine and fine.endswith("no run collapsed (below 0.2).")
    assert sentences.collapsed({30: 0.9, 4000: 0.1}).endswith(f"collapsed at N = 4{SPACE}000.")


def around(value, width=0.1):
    return Estimate(value, value - width, value + width, 64)


def test_sizes_are_listed_with_their_thousands_apart():
    assert sentences.at_sizes((10, 4000)) == "N = 10, 4\N{NO-BREAK SPACE}000"


@pytest.mark.parametrize("gaussians, text", [(0.3, "agree beyond that"), (0.9, "converged, on something")])
def test_networks_that_agree_no_more_than_gaussians_have_only_converged(gaussians, text):
    assert text in sentences.convergence(around(0.8), around(gaussians))


@pytest.mark.parametrize("deviation, share, short", [(1.7, 0.6, True), (1.7, 0.9, False), (0.5, 0.6, False)])
def test_noise_is_too_little_where_galaxies_spread_more_and_samples_less(deviation, share, short):
    text = sentences.first_component(deviation, share)
    assert text.startswith(f"Galaxies spread by {deviation:.1f} along")
    assert ("too little" in text) is short and (f"it has {share:.2f} of their variance" in text) is short


@pytest.mark.parametrize(
    "first, text",
    [(0.91, "range of noise is not what cuts it"), (0.3, "does no better"), (None, "does not converge")],
)
def test_the_ascent_says_whether_the_range_of_noise_cuts_the_variance(first, text):
    ascent = judged(0.9, 0.8, spread=(first, 1.0)) if first else None
    assert text in sentences.way_or_range(judged(0.9, 0.8, spread=(0.28, 1.0)), ascent)


def test_two_sets_of_samples_are_compared_at_each_side():
    said = sentences.against(judged(0.99, 0.6), judged(0.8, 0.65))
    assert said.startswith("at 16 pixels 0.99 [") and "(farther from galaxies), at 8 pixels 0.60 [" in said
    assert said.endswith("(no clear difference)")
    assert "(nearer to galaxies), at 8" in sentences.against(judged(0.8, 0.6), judged(0.99, 0.6))


@pytest.mark.parametrize("difference, text", [(0.12, "control is +0.12."), (-0.05, "do **not** agree more")])
def test_agreement_beyond_the_stronger_control(difference, text):
    assert text in sentences.beyond(difference)


def judged(fine, coarse, p=(0.001, 0.5), spread=(1.0, 1.0)):
    """A portrait with those areas under the curve at 16 and at 8 pixels."""
    tests = {
        side: C2ST(around(auc, 0.05), Outcome(auc, 0.45, 0.55, value))
        for side, auc, value in zip((16, 8), (fine, coarse), p, strict=True)
    }
    return Portrait(1.0, dict(zip(("component 1", "components 2-5"), spread, strict=True)), tests, None, 1.0)


@pytest.mark.parametrize(
    "p, spread, text",
    [
        (
            (0.001, 0.5),
            (1.0, 1.3),
            "at 16 pixels a side, and not at 8. Of the galaxies' variance they have 1.00 to 1.30, in all",
        ),
        (
            (0.001, 0.001),
            (1.5, 0.7),
            "at 16, 8 pixels a side. Of the galaxies' variance they have 1.50 in comp",
        ),
        (
            (0.5, 0.5),
            (1.0, 0.7),
            "at no number of pixels a side. Of the galaxies' variance they have 0.70 in",
        ),
    ],
)
def test_what_gives_samples_away_is_named_by_scale(p, spread, text):
    assert text in sentences.gives_away(judged(0.9, 0.6, p, spread))


@pytest.mark.parametrize(
    "coarse, text",
    [(0.7, "the way of this book."), (0.84, "no clear difference"), (0.95, "a clear difference")],
)
def test_the_best_way_to_sample_is_named_and_how_far_ours_is_from_it(coarse, text):
    ways = {"ours": judged(0.9, coarse), "another": judged(0.99, 0.8)}
    found = sentences.best_of(ways, "ours")
    assert f" are those of *{'ours' if coarse < 0.8 else 'another'}*" in found and text in found


def test_the_optimizer_is_named_with_its_rates():
    muon = ConditionalSettings(batch_size=16, muon_rate=0.02, learning_rate=0.004)
    said = "Muon at 0.02 (Adam at 0.004 for gains and both ends) and batches of 16"
    assert sentences.optimizer(muon) == said
    assert sentences.optimizer(PROFILES["paper"].diffusion) == "Adam at 0.001 and batches of 512"


def test_what_a_denoiser_loses_to_the_linear_filter_is_named_by_scale():
    linear = {"component 1": 0.9, "components 2-5": 1.0, "all": 2.0, "bias": 0.5}
    worse = {"component 1": 0.8, "components 2-5": 1.6, "all": 2.5, "bias": 0.1}
    text = sentences.lost(worse, linear)
    assert (
        "above that of the linear filter by 0.50; the largest part of that, 0.60, is in components 2-5."
        in text
    )
    assert (
        "Its bias exceeds the filter's by -0.40. In component 1, brightness and size, it errs less "
        "(-0.10): that it may not know" in text
    )
    assert (
        sentences.lost(linear, worse)
        == "Its squared error is below that of the linear filter by 0.50 in all."
    )


GOOD, BAD = Outcome(0.1, 0.0, 0.2, 0.5), Outcome(0.7, 0.0, 0.2, 0.001)


def test_an_energy_distance_in_words():
    assert sentences.spoken(GOOD) == "E = 0.100, p = 0.500"
    assert sentences.spoken(None) == "not measurable"


@pytest.mark.parametrize(
    ("null", "seen", "blind", "end"),
    [
        (
            GOOD,
            ["a"],
            [],
            "0.500, as it must be. It sees the fault of: a. None of the wrong sets passes.",
        ),
        (GOOD, ["a"], ["b", "c"], "with 9 images, to: b; c. A model that passes may have such a fault."),
        (
            BAD,
            [],
            ["b"],
            "bad luck or a fault; read all that follows with that in mind. It is blind, with ",
        ),
        (None, [], [], "not measurable: too few images at this size to say anything of the models. "),
    ],
)
def test_the_measure_is_judged_by_its_null_and_what_it_sees(null, seen, blind, end):
    assert end in sentences.measure(null, seen, blind, 9)


@pytest.mark.parametrize(
    ("found", "end"),
    [
        ({10: BAD}, "diffusion of that N: E = 0.100, p = 0.500. This measure sees a memoriser of so few "
         "images as a different distribution, which the paper's does not."),
        ({10: GOOD}, "A memoriser passes this measure, as the paper says."),
        ({10: BAD, 100: GOOD, 200: BAD, 300: None}, "of the larger sets of copies 100 passes, 200 fails."),
        ({10: None, 100: GOOD}, "The copies could not be measured; of the larger sets of copies 100 passes."),
        ({}, "The copies could not be measured."),
    ],
)  # fmt: skip
def test_copies_pass_or_fail(found, end):
    assert sentences.copies(found, GOOD).endswith(end)


def test_grey_levels_show_in_the_coefficients_named():
    assert "would be blamed for it in A, S." in sentences.grey_levels(5, BAD, GOOD, ["A", "S"])
    assert sentences.grey_levels(5, GOOD, GOOD, []).endswith("Here the cut shows in no coefficient.")


def test_uneven_shares_of_valid_rows_are_named():
    assert "for 2 of the sets of Glow: there" in sentences.same_share({"Glow": 2})
    assert sentences.same_share({}).startswith("**Valid rows.** No model's share")


def test_kinds_of_galaxies_are_shared_beyond_a_stranger():
    found = {"gini": Shared(0.6, 0.2, 0.001, 50), "m20": Shared(0.1, 0.2, 0.5, 50)}
    text = sentences.kinds("Glow, N = 10", found, {"gini": Shared(0.3, 0.2, 0.01, 50)})
    assert "beyond shuffled latents in Gini (median over the coefficients +0.35)" in text
    assert text.endswith("that of A and a model of other galaxies in Gini (median +0.30).")
    text = sentences.kinds("Glow", {"m20": found["m20"]}, {"m20": Shared(0.3, 0.2, 0.01, 50)})
    assert "in no coefficient (median over the coefficients +0.10)" in text
    assert sentences.kinds("GAN", found, {}).endswith("(median over the coefficients +0.35).")
    assert sentences.kinds("GAN", {}, {}).endswith("A and B could not be measured.")
    turned = {"gini": Shared(-0.6, 0.2, 0.001, 50)}  # far from the null, and yet no agreement
    assert "in no coefficient (median over the coefficients -0.60)" in sentences.kinds("GAN", turned, {})


def portrait(p, area):
    auc = Estimate(area, 0, 1, n=9)
    tests = {32: C2ST(auc, Outcome(area, 0.4, 0.6, p)), 8: C2ST(auc, Outcome(area, 0.4, 0.6, 0.5))}
    return Portrait(1, {}, tests, None, 1)


def test_a_family_is_judged_by_all_tests_of_both_models():
    text = sentences.family([portrait(0.5, 0.51), portrait(0.5, 0.52)])
    assert text == (
        "AUC 0.51 and 0.52, at 8 pixels 0.51 and 0.52, for A and B, morphology not measurable. "
        "No test distinguishes A or B from galaxies."
    )
    text = sentences.family([portrait(0.5, 0.51), portrait(0.001, 0.99)])
    assert text.endswith("Distinguished from galaxies: A by none; B by the classifier.")
