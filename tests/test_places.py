"""Figures and tables of the chapters: every number in its place, of values made by hand.

What a label says is not asked here; where a value is drawn, in which row and column it stands, and that what
was not measured is nowhere.
"""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from astropy.table import Table
from conftest import floats

from galbook import agreement, morphology, scoreboard
from galbook import biases as bias_figures
from galbook import denoising as pictures
from galbook.agreement import design_of, design_table
from galbook.biases import Beside, FarOff, ModelBiases
from galbook.curves import gain_curves, smoothed, training_table
from galbook.morphology import RANGES
from galbook.share import asked as scale
from galgen.compare import denoising, scales
from galgen.compare.agreement import strangers, two_models
from galgen.compare.biases import Biases
from galgen.compare.distances import Distances
from galgen.compare.morphology import COEFFICIENTS
from galgen.compare.similarity import KINDS
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.data.dataset import Split
from galgen.data.unit import mean_image
from galgen.models.families import Training
from galgen.runs.store import Run

SETS = Split(A=np.arange(40), B=np.arange(40, 80), validation=np.arange(80, 120))
THIN = "\N{NO-BREAK SPACE}"


@pytest.fixture(scope="module")
def images():
    y, x = np.mgrid[-8:8, -8:8] / 4
    blob = 60 * np.exp(-(x**2 + y**2)) + 20
    texture = 12 * np.random.default_rng(3).standard_normal((120, 1, 16, 16))
    return np.clip(blob + texture, 0, 255).astype(np.uint8)


def estimate(value, half=0.1):
    return Estimate(value, value - half, value + half, 64)


def cells(markdown):
    lines = (line.strip("|").split("|") for line in markdown.data.splitlines() if "|" in line)
    return [[cell.strip() for cell in line] for line in lines]


# Cosines, and what the eye sees beside them


def test_strangers_are_unlike_but_for_the_look_of_any_galaxy_and_the_nearest_of_more_is_nearer(images):
    train = {4: images[SETS.A[:4]], 40: images[SETS.A]}
    found = strangers(floats(images[SETS.validation]), train, mean=mean_image(images))
    assert list(found) == list(KINDS)
    assert np.median(found["raw"].random) > 0.8 > 0.1 > abs(np.median(found["anomaly"].random))
    for each in found.values():
        assert (each.nearest[40] > each.nearest[4] - 1e-6).all()
        assert np.median(each.nearest[40]) > np.median(each.random)


def test_the_sample_sheet_has_two_rows_for_each_size_and_no_more_latents_than_there_are(images):
    samples = {n: [torch.full((3, 1, 8, 8), level) for level in (0.25, 0.75)] for n in (10, 2000)}
    (axis,) = agreement.sample_sheet(samples).axes
    names = ["N = 10, A", "N = 10, B", f"N = 2{THIN}000, A", f"N = 2{THIN}000, B"]
    assert [text.get_text() for text in axis.texts] == names
    sheet = np.asarray(axis.images[0].get_array())
    assert sheet.shape == (4 * 9, 3 * 9 - 1)
    assert [sheet[9 * row + 4, 4] for row in range(4)] == [0.25, 0.75, 0.25, 0.75]
    copies = {40: [floats(images[SETS.A[:5]]), floats(images[SETS.B[:5]])]}
    figure = agreement.sample_sheet(copies, {40: images[SETS.A]}, mean=mean_image(images), count=4)
    a, b, near = np.asarray(figure.axes[0].images[0].get_array()).reshape(3, 17, -1)
    assert np.allclose(a, near) and not np.allclose(a, b)
    for half, copied in zip("AB", (4, 0), strict=True):
        drawn = {40: copies[40]["AB".index(half)]}
        said = agreement.copied_said(drawn, {40: images[SETS.A]}, mean=mean_image(images), count=4)
        assert said.endswith(f": {copied} of 4 at N = 40")


def test_the_controls_are_drawn_beside_the_networks(images):
    same = floats(images[SETS.validation])
    test = two_models(same, same, images, SETS, mean=mean_image(images))
    linear, across = ({n: estimate(value) for n in (10, 40)} for value in (0.3, 0.6))
    (axis,) = agreement.controls_figure({10: test, 40: test}, linear, across, estimate(0.2)).axes
    heights = [bar.lines[0].get_ydata().tolist() for bar in axis.containers]
    assert heights == [pytest.approx([1, 1], abs=1e-5), [0.3, 0.3], [0.6, 0.6], [0.2]]
    assert axis.get_lines()[-1].get_ydata().tolist() == [test.null, test.null]


@pytest.mark.parametrize(
    "what, moved",
    [("images", (1.0, 1.0, 0.0)), ("initialisation", (0.0, 0.0, 1.0)), ("both", (1.0, -1.0, 0.0))],
)
def test_the_design_says_what_moves_the_cosine(what, moved):
    """Models whose samples depend on their images alone, on their initialisation alone, or on both together.

    Of these the images move the cosine up in one row and down in the other: their mean would say nothing.
    """
    drawn = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 40, 1, 16, 16))).float()
    inits, halves = {"same": 0, "other": 1}, {"same": "A", "disjoint": "B"}
    design = {(i, h): Training(10, halves[h], inits[i], 1) for i in inits for h in halves}

    def samples(training):
        of = {"images": training.half == "B", "initialisation": training.init == 1}
        return drawn[int(of[what] if what in of else of["images"] != of["initialisation"])]

    mean = np.zeros((1, 16, 16))
    mean[:, 8:] = 1
    models = SimpleNamespace(design=lambda: design, pair=lambda n: (Training(n, "A", 0, 0), None))
    experiment = SimpleNamespace(models=models, images=SimpleNamespace(mean=mean), samples=samples)
    shown, sentence = design_table(design_of.__wrapped__(experiment), "")
    found = [float(number) for number in re.findall(r"by ([+-]\d\.\d\d)", sentence)]
    assert found == pytest.approx(moved, abs=0.06)
    head, _, same, _ = cells(shown)
    assert head == ["", "same images", "disjoint images"] and same[1].startswith("1.00")


def test_agreement_counts_where_it_exceeds_every_control_latent_by_latent():
    """A hundredth more at each latent is found among latents that differ by thirty times as much."""
    rng = np.random.default_rng(0)
    networks = rng.normal(0.5, 0.3, 64)
    weaker, stronger = (networks + shift + rng.normal(0, 0.005, 64) for shift in (-0.01, 0.01))
    assert scale.beyond(networks, [weaker]).value > 0 > scale.beyond(networks, [weaker, stronger]).value
    assert scale.beyond(networks, [networks]).value == 0  # as much as a control has is not more


# Denoising and training


def test_the_curve_of_a_denoiser_that_does_nothing_is_the_diagonal(images):
    nets = {10: lambda y, sigma: y, 4000: lambda y, sigma: 0 * y}  # the other takes all for noise
    parts = images[SETS.A], images[SETS.validation]
    curve = denoising.denoising_curve
    curves = {n: [curve(net, part, [0.05, 0.2]) for part in parts] for n, net in nets.items()}
    lines = pictures.psnr_curves(curves).axes[0].get_lines()
    assert np.allclose(lines[1].get_ydata(), lines[1].get_xdata())
    assert np.allclose(lines[3].get_ydata(), lines[3].get_ydata()[0]), "a denoiser that returns one image"


def test_the_gain_over_the_linear_filter_is_the_median_of_the_same_images():
    linear = denoising.Denoising(np.zeros((2, 3)), np.array([[30.0, 31.0, 35.0], [20.0, 21.0, 25.0]]))
    better = denoising.Denoising(linear.noisy, np.array([[31.0, 33.0, 44.0], [17.0, 20.0, 25.0]]))
    (axis,) = gain_curves([0.1, 1.0], linear, {"diffusion": better, "conditional diffusion": linear}).axes
    assert [line.get_ydata().tolist() for line in axis.get_lines()[:2]] == [[2, -1], [0, 0]]


def test_a_training_has_a_row_that_says_what_it_took(tmp_path):
    """Eighty steps, whose losses are 0, 1, 2 .. and 100 more for the larger N."""
    runs = {}
    for n in (10, 2000):
        log = [{"images": 8 * (k + 1), "loss": k + 100 * (n > 10)} for k in range(80)]
        summary = {"images_shown": 640, "seconds": 90, "images_per_second": 7.1, "device": "cpu"}
        summary["losses"] = {"loss": log[-1]["loss"]}
        runs[Training(n, "A", 0, 0)] = Run(tmp_path, {"key": n, "summary": summary})
    _, _, small, large = cells(training_table(runs, "", {"last loss": "loss"}))
    assert small == ["10", "640", "64", "1.5", "7", "cpu", "79.000"]
    assert large[0] == f"2{THIN}000" and large[2] == "0" and large[-1] == "179.000"
    means = smoothed(log)
    assert means["loss"] == pytest.approx(np.arange(79) + 100.5), "windows of two lines"
    assert means["images"].tolist() == [line["images"] for line in log[1:]]
    assert smoothed(log[:39])["loss"].tolist() == [line["loss"] for line in log[:39]]


def test_the_first_component_is_the_direction_of_largest_spread():
    rng = np.random.default_rng(0)
    brightness = rng.normal(0, 20, (500, 1, 1, 1))
    made = np.clip(120 + brightness + rng.normal(0, 2, (500, 1, 4, 4)), 0, 255).round().astype(np.uint8)
    # the whole frame rises and falls together: sqrt(16) pixels times the deviation of each
    assert scales.first_component(made) == pytest.approx(4 * 20 / 255, rel=0.1)


# The scoreboard


YES, NO = Outcome(0.5, 0.4, 0.6, 0.001), Outcome(0.5, 0.4, 0.6, 0.5)


def dots(figure):
    """(x, y, whether filled) of every dot, by axis."""
    found = []
    for axis in figure.axes:
        marks = [line for line in axis.get_lines() if line.get_marker() == "o"]
        places = [(*mark.get_xdata(), *mark.get_ydata()) for mark in marks]
        filled = [mark.get_markerfacecolor() != "white" for mark in marks]
        found.append([(*place, full) for place, full in zip(places, filled, strict=True)])
    return found


def test_a_dot_is_filled_where_the_null_is_left_and_what_is_missing_is_not_drawn():
    answers = [{"copies": Outcome(0.9, 0.4, 0.6, 0.001)}, {"copies": NO}, {}]
    rows, colours = ["model", "held out", "few"], {"": ["C0", "C1", "C2"]}
    asked = {"copies": "P", "shape": "E"}
    figure = scoreboard.dot_plot({"": answers}, rows, asked, colours=colours, alpha=0.01, controls=2)
    assert dots(figure) == [[(0.9, 0, True), (0.5, 1, False)], []]
    copies, shape = figure.axes
    assert [label.get_text() for label in copies.get_yticklabels()] == rows
    assert len(shape.texts) == 1 and not copies.texts, "what could not be asked is said"
    assert [line.get_ydata()[0] for line in shape.get_lines()] == [0.5], "the line above the controls"
    one, colours = [answers[1]], {"a": ["C0"], "b": ["C1"]}
    two = scoreboard.dot_plot({"a": one, "b": one}, ["row"], {"copies": ""}, colours=colours, alpha=0.01)
    assert [y for _, y, _ in dots(two)[0]] == pytest.approx([-0.15, 0.15]), "two series stand apart"


def test_a_question_is_of_use_when_it_finds_what_it_must_and_nothing_else():
    def use(**changes):
        found = {"held_out": NO, "empirical denoiser": YES, "blurred": NO, "Gaussian": NO} | changes
        checks = {name.replace("_", " "): {"memorization": answer} for name, answer in found.items()}
        return cells(scoreboard.use_table(checks, 0.01))[3][1:]

    copies = "empirical denoiser"  # of the Gaussian nothing is demanded
    assert use() == [copies, copies, "held out, blurred", "none", "yes"]
    assert use(**{copies: NO})[1] == "none" and use(held_out=YES)[3] == "held out"
    assert "yes" not in (use(**{copies: NO})[-1], use(held_out=YES)[-1])


def test_what_is_kept_of_a_board_is_the_board_again():
    one = {("Glow", 10): {"agreement": YES}, ("GAN", 100): {"agreement": NO, "morphology": YES}}
    controls = {("held out", 100): {"agreement": NO}}
    kept = scoreboard.kept(one, "family") + scoreboard.kept(controls, "control")
    assert scoreboard.from_kept(kept, "family") == one
    assert scoreboard.from_kept(kept, "control") == controls


# Morphology and biases


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    return Table({name: rng.uniform(*RANGES[name], n) for name in COEFFICIENTS})


def apart(value, high=0.2, **w1):
    found = {name: Outcome(*numbers) for name, numbers in w1.items()}
    return Distances(found, Outcome(value, 0.0, high, 0.01234), n=7)


def test_a_distance_is_bold_above_its_null_and_what_was_not_asked_is_empty():
    found = morphology.distance_cells(apart(0.5, gini=(0.3, 0, 0.2, 0.01), m20=(0.1, 0, 0.2, 0.5)))
    assert found == [7, "", "", "", "**0.300** (0.200)", "0.100 (0.200)", "0.500 (0.200)", "0.012"]


def test_energies_are_drawn_where_they_are_known():
    known = {"null": apart(0.01, high=0.05), "blurred": apart(0.2), "other": None}
    models = {"A": {10: apart(0.3), 100: None}, "B": {10: None, 100: None}}
    (left,) = morphology.energy_figure({"one": known}, {"one": models}, {"one": {10: apart(0.4)}}).axes
    drawn = {line.get_label(): line for line in left.lines}
    assert set(drawn) == {"null", "blurred", "model A", "copies"}
    np.testing.assert_allclose(drawn["model A"].get_xydata(), [[10, 0.3]])
    np.testing.assert_allclose(drawn["null"].get_ydata(), 0.01)
    assert left.patches[0].get_height() == 0.05


def biased(size, profile=(0.0, -2.0, None)):
    rings = tuple(one if one is None else estimate(one, 0.5) for one in profile)
    given = None if size is None else estimate(size, 1.0)
    return Biases(estimate(0.2), given, estimate(0.0, 4.0), estimate(0.4), rings, 1.0)


def record(**models):
    known = ("as they are", "blurred a little", "blurred")
    galaxies = {name: biased(0.1 * k) for k, name in enumerate(known)}
    return ModelBiases(50, galaxies, models, dict.fromkeys(models, 4000))


OFF = FarOff(estimate(0.6, 0.05), estimate(1.4), Estimate(9.0, 8.0, np.inf, 50))
GOOD = {"A": Beside(biased(1.4), {8: OFF, 16: OFF}), "B": Beside(biased(0.3), {8: OFF, 16: OFF})}
LOST = {half: Beside(biased(None, (None, None)), {}) for half in "AB"}


def test_a_bias_is_bold_where_its_interval_leaves_zero_out_and_a_dash_where_there_is_none():
    rows = {row[0]: row for row in cells(bias_figures.bias_table(record(good=GOOD, lost=LOST)))}
    assert rows["good, A"][1] == "**+1.4 [+0.4, +2.4]**" and rows["good, B"][1] == "+0.3 [-0.7, +1.3]"
    assert rows["good, A"][5:] == ["9.0 [8.0, ∞]", "1.40 [1.30, 1.50]", "1.40 [1.30, 1.50]"]
    assert rows["lost, A"][1] == "–" and rows["lost, A"][5:] == ["", "", ""]


def test_a_panel_a_family_with_the_null_as_a_band_and_rings_that_are_measured():
    figure = bias_figures.profile_figure(record(good=GOOD, lost=LOST))
    assert [axis.get_title() for axis in figure.axes] == ["good", "lost"]
    axis = figure.axes[0]
    assert list(axis.lines[1].get_xdata()) == [0.5, 1.5] and list(axis.lines[1].get_ydata()) == [0.0, -2.0]
    ends = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == (-2.5, 0.5)
    assert len(figure.axes[1].lines[1].get_xdata()) == 0
