import numpy as np
import pytest

from galgen.compare.likelihood import Divergence
from galgen.compare.uncertainty import Estimate
from galgen.figures import sentences
from galgen.figures.findings import at_sizes

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


@pytest.mark.parametrize(
    "ordered, said, unsaid",
    [
        (
            (True, True),
            ("largest at level 0: 0.300 to 0.200, level 1: 0.100 to 0.050.", "every level"),
            "do not",
        ),
        ((False, False), ("do not at level 0: 0.300 to 0.200, level 1", "own table at level 0."), "All four"),
        ((True, False), ("largest at level 0: 0.300 to 0.200.", "do not at level 1"), "own table"),
        (
            (False, True),
            ("largest at level 1", "do not at level 0: 0.300 to 0.200:", "own table"),
            "every level",
        ),
    ],
)
def test_order_in_size_names_the_levels_that_fall_and_those_that_do_not(ordered, said, unsaid):
    text = sentences.order_in_size(ordered, smallest=(0.3, 0.1), largest=(0.2, 0.05))
    assert all(part in text for part in said) and unsaid not in text


@pytest.mark.parametrize("factors, said", [((2.0, 2.9), "same as far"), ((2.0, 12.4), "not the same")])
def test_a_distance_near_its_floor_is_that_of_one_density(factors, said):
    text = sentences.floor_reached(factors)
    assert said in text and f"is 2, {factors[1]:.0f} times" in text


@pytest.mark.parametrize("factors, said", [((1.0, 1.4), "no longer see"), ((1.0, 1.6), "still matter")])
def test_the_images_matter_where_disjoint_ones_are_farther_apart_than_the_same(factors, said):
    text = sentences.data_beside_training(factors)
    assert said in text and f"1.0, {factors[1]} times as far apart" in text


def test_the_positive_control_is_found_or_the_test_has_little_power():
    assert sentences.power_of_the_control(True) == "lies beyond all tests at every level."
    assert "does not lie" in sentences.power_of_the_control(False)
    assert "little power" in sentences.power_of_the_control(False)


@pytest.mark.parametrize("end, moves", [((2.1, 1.9), True), ((2.6, 2.0), False), ((3.0, 3.0), False)])
def test_losses_move_towards_two_if_they_end_near_and_have_been_far(end, moves):
    text = sentences.towards_two({100: (2.5, 2.7), 1000: (3.5, 2.0), 5000: end})
    assert "are 2.50 to 2.70 at the first stage, up to 3.50 after" in text
    assert f"1{SPACE}000 images shown, and {min(end):.2f} to {max(end):.2f} at the last" in text
    assert ("That is the movement" in text) is moves and ("That is not the" in text) is not moves


def test_losses_that_never_were_far_from_two_have_not_moved_there():
    assert "not the movement" in sentences.towards_two({100: (2.2, 2.2), 200: (2.2, 2.2)})
    assert "not the movement" in sentences.towards_two({100: (2.2, 2.2)})


@pytest.mark.parametrize(
    "distance, said",
    [
        ({10: (0.9, 0.8), 100: (0.6, 0.5), 1000: (0.2, 0.3)}, "is there, at every step."),
        (
            {10: (0.9, 0.8), 100: (0.9, 0.5), 1000: (0.2, 0.3)},
            "is there, though not from each size to the next.",
        ),
        ({10: (0.9, 0.25), 1000: (0.2, 0.3)}, "is not established here."),
        ({10: (0.9, 0.8)}, "is not established here."),
    ],
)
def test_the_distance_depends_on_the_size_if_both_pairs_say_so(distance, said):
    text = sentences.distance_by_size(distance)
    assert text.endswith(said)
    assert text.startswith(f"{min(distance[10]):.2f} to 0.90") and at_sizes(distance) in text


def test_a_size_is_named_where_every_judge_knows_its_training_images():
    known, unknown = interval(0.6, 0.8), interval(0.4, 0.7)
    text = sentences.memory_of_the_judge({10: [known, known], 100: [known, unknown]})
    assert "At N = 10 every judge" in text and "(P up to 0.70)" in text
    assert sentences.memory_of_the_judge({100: [known, unknown]}).startswith("No judge")


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
