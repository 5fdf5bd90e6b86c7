import numpy as np
import pytest

from galgen.compare.likelihood import Divergence
from galgen.compare.uncertainty import Estimate
from galgen.figures import sentences

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
    assert str(Divergence(estimate, 3)) == "0.125 [-0.125, 0.375] (3 lost)"


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
