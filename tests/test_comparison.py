"""Each branch of what the chapters say, from plain values."""

import pytest

from galgen.compare.portraits import Portrait
from galgen.compare.shared_latents import Shared
from galgen.compare.twosample import C2ST
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.figures import comparison

GOOD, BAD = Outcome(0.1, 0.0, 0.2, 0.5), Outcome(0.7, 0.0, 0.2, 0.001)


def test_an_energy_distance_in_words():
    assert comparison.spoken(GOOD) == "E = 0.100, p = 0.500"
    assert comparison.spoken(None) == "not measurable"


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
    assert end in comparison.measure(null, seen, blind, 9)


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
    assert comparison.copies(found, GOOD).endswith(end)


def test_grey_levels_show_in_the_coefficients_named():
    assert "would be blamed in A, S for its grey levels." in comparison.grey_levels(5, BAD, GOOD, ["A", "S"])
    assert comparison.grey_levels(5, GOOD, GOOD, []).endswith("Here the cut shows in no coefficient.")


def test_uneven_shares_of_valid_rows_are_named():
    assert "for 2 of the sets of Glow: there" in comparison.same_share({"Glow": 2})
    assert comparison.same_share({}).startswith("**Valid rows.** No model's share")


def test_kinds_of_galaxies_are_shared_beyond_a_stranger():
    found = {"gini": Shared(0.6, 0.2, 0.001, 50), "m20": Shared(0.1, 0.2, 0.5, 50)}
    text = comparison.kinds("Glow, N = 10", found, {"gini": Shared(0.3, 0.2, 0.01, 50)})
    assert "beyond shuffled latents in Gini (median +0.35 over the coefficients)." in text
    assert text.endswith("has a median of +0.30; A and B agree more than that in Gini.")
    text = comparison.kinds("Glow", {"m20": found["m20"]}, {"m20": Shared(0.3, 0.2, 0.01, 50)})
    assert "in no coefficient (median +0.10)." in text and text.endswith("more than that in none.")
    assert comparison.kinds("GAN", found, {}).endswith("over the coefficients).")
    assert comparison.kinds("GAN", {}, {}).endswith("A and B could not be measured.")
    turned = {"gini": Shared(-0.6, 0.2, 0.001, 50)}  # far from the null, and yet no agreement
    assert "in no coefficient (median -0.60)" in comparison.kinds("GAN", turned, {})


def portrait(p, area):
    auc = Estimate(area, 0, 1, n=9)
    tests = {32: C2ST(auc, Outcome(area, 0.4, 0.6, p)), 8: C2ST(auc, Outcome(area, 0.4, 0.6, 0.5))}
    return Portrait(1, {}, tests, None, 1)


def test_a_family_is_judged_by_all_tests_of_both_models():
    text = comparison.family([portrait(0.5, 0.51), portrait(0.5, 0.52)])
    assert text == (
        "AUC 0.51 and 0.52, at 8 pixels 0.51 and 0.52, for A and B, morphology not measurable. "
        "No test distinguishes A or B from galaxies."
    )
    text = comparison.family([portrait(0.5, 0.51), portrait(0.001, 0.99)])
    assert text.endswith("Distinguished from galaxies: A by none; B by the classifier.")
