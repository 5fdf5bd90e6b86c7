"""The tables, curves and dot plots that several chapters share, of values made by hand."""

import json
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from galgen.compare.scales import Group, brightness
from galgen.compare.scoreboard import portrait
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.evidence.pairs import design_of
from galgen.figures import tables
from galgen.figures.cosines import sample_sheet
from galgen.figures.curves import plot_losses, smoothed
from galgen.figures.scoreboard import dot_plot
from galgen.figures.style import intervals
from galgen.models.families import Training
from galgen.runs.store import Run

A = {n: Training(n, "A", 0, 0) for n in (10, 2000)}


@pytest.fixture
def runs(tmp_path):
    """Two trainings of eighty steps, whose losses are 0, 1, 2 .. and 100 more for the larger N."""
    found = {}
    for n, training in A.items():
        path = tmp_path / training.name
        path.mkdir()
        lines = [{"images": 8 * (k + 1), "loss": k + 100 * (n > 10)} for k in range(80)]
        (path / "losses.jsonl").write_text("\n".join(map(json.dumps, lines)))
        summary = {"images_shown": 640, "seconds": 90, "images_per_second": 7.1, "device": "cpu"}
        summary["losses"] = {"loss": lines[-1]["loss"]}
        found[training] = Run(path, {"key": n, "summary": summary})
    return found


def cells(markdown):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.data.splitlines()
        if "|" in line
    ]


def test_points_are_a_list():
    assert tables.points(["a", "**b** c"]).data == "- a\n- **b** c"


def test_a_training_has_a_row_that_says_what_it_took(runs):
    shown = tables.training_table(runs, "A network.", {"last loss": "loss"})
    head, _, small, large = cells(shown)
    assert shown.data.startswith("A network.\n\n|")
    assert head[-1] == "last loss" and len(head) == len(small) == len(large)
    assert small == ["10", "640", "64", "1.5", "7", "cpu", "79.000"]
    assert large[0] == "2\N{NO-BREAK SPACE}000" and large[2] == "0" and large[-1] == "179.000"
    assert cells(tables.training_table(runs, ""))[0] == head[:-1]


def test_the_spread_has_a_column_for_each_group_and_names_the_largest_size():
    spread = {
        10: {"component 1": 0.5, "components 2-5": 2.0},
        2000: {"component 1": 1.0, "components 2-5": 0.25},
    }
    drawn = {n: torch.full((64, 1, 4, 4), light) for n, light in ((10, 0.9), (2000, 1.1))}
    shown = tables.spread_table(spread, drawn, dict.fromkeys(drawn, np.full((9, 1, 4, 4), 255, np.uint8)))
    assert cells(shown)[0] == ["N", "mean brightness", "component 1", "components 2-5"]
    assert cells(shown)[2:] == [
        ["10", "0.90", "0.50", "2.00"],
        ["2\N{NO-BREAK SPACE}000", "1.10", "1.00", "0.25"],
    ]
    assert "all at N = 2\N{NO-BREAK SPACE}000" in shown.data and "64 samples" in shown.data


def test_brightness_is_one_for_the_training_images_and_a_half_for_half_their_light():
    images = np.arange(1, 65, dtype=np.uint8).reshape(4, 1, 4, 4)
    same = torch.from_numpy(images).float() / 255
    assert brightness(same, images) == pytest.approx(1)
    assert brightness(same / 2, images) == pytest.approx(0.5)


@pytest.mark.parametrize("what, moved", [("images", (1.0, 0.0)), ("initialisation", (0.0, 1.0))])
def test_the_design_says_what_moves_the_cosine(what, moved):
    """Models whose samples depend on their images alone, or on their initialisation alone."""
    rng = np.random.default_rng(0)
    drawn = {
        key: torch.from_numpy(rng.standard_normal((40, 1, 16, 16))).float() for key in ("same", "another")
    }
    mean = np.zeros((1, 16, 16))
    mean[:, 8:] = 1
    design = {
        ("same", "same"): Training(10, "A", 0, 1),
        ("other", "same"): Training(10, "A", 1, 1),
        ("same", "disjoint"): Training(10, "B", 0, 1),
        ("other", "disjoint"): Training(10, "B", 1, 1),
    }

    def samples(training):
        another = training.half == "B" if what == "images" else training.init == 1
        return drawn["another" if another else "same"]

    experiment = SimpleNamespace(
        design=lambda: design, pair=lambda n: (Training(n, "A", 0, 0), None), samples=samples, mean_image=mean
    )
    shown, sentence = tables.design_table(design_of(experiment), "nothing")
    found = [float(part.split("by ")[1].rstrip(".")) for part in sentence.split(",")]
    assert found == pytest.approx(moved, abs=0.06)
    assert shown.data.endswith(f"\n\n{sentence}") and "at N = 10:" in shown.data
    head, _, same, other = cells(shown)
    assert head == ["", "same images", "disjoint images"]
    assert (
        same[0] == "same initialisation" and same[1].startswith("1.00") and other[0] == "other initialisation"
    )


def test_the_sample_sheet_has_two_rows_for_each_size_and_no_more_latents_than_there_are():
    samples = {n: [torch.full((3, 1, 8, 8), level) for level in (0.25, 0.75)] for n in (10, 2000)}
    figure = sample_sheet(samples)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [
        "N = 10, A",
        "N = 10, B",
        "N = 2\N{NO-BREAK SPACE}000, A",
        "N = 2\N{NO-BREAK SPACE}000, B",
    ]
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    assert sheet.shape == (4 * 9, 3 * 9 - 1)
    assert [sheet[9 * row + 4, 4] for row in range(4)] == [0.25, 0.75, 0.25, 0.75]
    plt.close(figure)


def test_smoothed_losses_are_means_over_windows_and_short_logs_are_left_alone():
    log = [{"images": 8 * (k + 1), "loss": float(k % 2)} for k in range(80)]
    means = smoothed(log)
    assert means["loss"] == pytest.approx(np.full(79, 0.5)), "windows of two lines"
    assert means["images"].tolist() == [line["images"] for line in log[1:]]
    assert smoothed(log[:39])["loss"].tolist() == [line["loss"] for line in log[:39]]


def test_every_model_has_its_curve(runs):
    figure, axis = plt.subplots()
    plot_losses(axis, runs, "loss")
    small, large = axis.get_lines()
    assert [small.get_label(), large.get_label()] == ["N = 10", "N = 2\N{NO-BREAK SPACE}000"]
    assert np.allclose(large.get_ydata() - small.get_ydata(), 100) and small.get_color() != large.get_color()
    plt.close(figure)


def test_intervals_are_drawn_where_they_lie():
    figure, axis = plt.subplots()
    intervals(axis, [10, 20], [Estimate(1.0, 0.5, 1.25, 8), Estimate(2.0, 2.0 + 1e-12, 3.0, 8)])
    (bars,) = axis.containers
    ends = [segment[:, 1].tolist() for segment in bars.lines[2][0].get_segments()]
    assert np.allclose(ends, [[0.5, 1.25], [2.0, 3.0]])
    plt.close(figure)


def dots(figure):
    """(x, y, whether filled) of every dot, by axis."""
    found = []
    for axis in figure.axes:
        marks = [line for line in axis.get_lines() if line.get_marker() == "o"]
        filled = [mark.get_markerfacecolor() != "white" for mark in marks]
        places = [(mark.get_xdata()[0], mark.get_ydata()[0]) for mark in marks]
        found.append([(*place, full) for place, full in zip(places, filled, strict=True)])
    return found


def test_a_dot_is_filled_where_the_null_is_left_and_what_is_missing_is_not_drawn():
    answers = [{"copies": Outcome(0.9, 0.4, 0.6, 0.001)}, {"copies": Outcome(0.5, 0.4, 0.6, 0.5)}, {}]
    figure = dot_plot(
        {"": answers},
        ["model", "held out", "few"],
        {"copies": "P", "shape": "E"},
        colours={"": ["#111111", "#222222", "#333333"]},
        alpha=0.01,
        controls=2,
    )
    assert dots(figure) == [[(0.9, 0, True), (0.5, 1, False)], []]
    copies, shape = figure.axes
    assert [text.get_text() for text in shape.texts] == ["too few images\nto ask"] and not copies.texts
    assert [label.get_text() for label in copies.get_yticklabels()] == ["model", "held out", "few"]
    assert copies.get_xlabel() == "P" and not figure.legends
    assert [line.get_ydata()[0] for line in shape.get_lines()] == [0.5], "the line above the controls"
    plt.close(figure)


def test_two_series_stand_apart_within_a_row_and_in_a_legend():
    one = [{"q": Outcome(0.1, 0.0, 0.2, 0.5)}]
    figure = dot_plot(
        {"a": one, "b": one}, ["row"], {"q": ""}, colours={"a": ["C0"], "b": ["C1"]}, alpha=0.01
    )
    ((first, second),) = dots(figure)
    assert first[1] == pytest.approx(-0.15) and second[1] == pytest.approx(0.15)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    plt.close(figure)


def test_a_run_that_was_not_asked_a_question_is_named_beneath_it():
    one = [{"q": Outcome(0.1, 0.0, 0.2, 0.5)}]
    colours = {"old": ["C0"], "new": ["C1"]}
    figure = dot_plot({"old": [{}], "new": one}, ["row"], {"q": "P"}, colours=colours, alpha=0.01)
    assert figure.axes[0].get_xlabel() == "P\nnot asked in\nold" and not figure.axes[0].texts
    plt.close(figure)


def test_sets_stand_beside_galaxies_by_component_and_by_scale():
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 16, 16), np.uint8)
    found = portrait(images[:20] / 255, images[20:], images)
    assert found.morphology is None and np.isnan(found.valid)
    shown = cells(tables.portrait_table({"*these*": found}, "before", "after"))
    assert shown[0][1:2] == ["component 1"] and shown[0][-2:] == ["AUC at 16 pixels", "AUC at 8 pixels"]
    assert shown[2][:2] == ["*these*", f"{found.spread['component 1']:.2f}"]
    assert shown[2][-1].startswith(f"{found.c2st[8].auc.value:.2f} (p ")


def test_scales_have_the_medians_of_networks_and_gaussians():
    signs, own, others = np.array([1.0, 1.0, -1.0, 1.0]), np.array([0.1, 0.2, 0.9]), np.array([0.0, 0.1, 0.3])
    pairs = {"A and B": own, "two Gaussians": own, "A and another": others}
    scales = {name: {Group(1, 1): signs, Group(2, 5): found} for name, found in pairs.items()}
    shown = tables.scale_table({10: scales})
    assert cells(shown)[2] == ["10", "A and B", "0.75", "0.20"]
    assert cells(shown)[4] == ["10", "A and another", "0.75", "0.10"]
    assert "or better, at N = 10 in component 1: there" in shown.data


def test_without_a_design_the_table_says_so():
    shown, sentence = tables.design_table(design_of(SimpleNamespace(design=dict)), "there is none")
    assert shown.data == sentence == "there is none"
