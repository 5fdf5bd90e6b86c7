"""Figures and statistics of the first chapters, of images made by hand: that each shows what it is given."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from galgen.compare import denoising, scales
from galgen.compare.agreement import copy_threshold, strangers, two_models
from galgen.compare.memorization import Exchange, Memorization
from galgen.compare.similarity import KINDS
from galgen.compare.uncertainty import Estimate, Outcome
from galgen.data.dataset import Split
from galgen.data.unit import mean_image
from galgen.figures.chapter_01 import gray_histogram, side_by_side, strangers_figure
from galgen.figures.chapter_02 import denoising_sheet, denoising_slider, psnr_curves
from galgen.figures.cosines import controls_figure, latent_slider, sample_sheet
from galgen.figures.curves import gain_curves
from galgen.figures.style import COLOURS

SETS = Split(A=np.arange(40), B=np.arange(40, 80), validation=np.arange(80, 120))


@pytest.fixture(scope="module")
def images():
    y, x = np.mgrid[-8:8, -8:8] / 4
    blob = 60 * np.exp(-(x**2 + y**2)) + 20
    texture = 12 * np.random.default_rng(3).standard_normal((120, 1, 16, 16))
    return np.clip(blob + texture, 0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def floats(images):
    return torch.from_numpy(images).float() / 255


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def captions(slider):
    page = slider.content["text/html"]
    return json.loads(re.search(r"const figure = (\{.*\});", page).group(1))["captions"]


def test_strangers_are_unlike_but_for_the_look_of_any_galaxy_and_the_nearest_of_more_is_nearer(images):
    train = {4: images[SETS.A[:4]], 40: images[SETS.A]}
    found = strangers(floats(images[SETS.validation]), train, mean=mean_image(images))
    assert list(found) == list(KINDS)
    assert np.median(found["raw"].random) > 0.8 > 0.1 > abs(np.median(found["anomaly"].random))
    for cosines in found.values():
        assert (cosines.nearest[40] > cosines.nearest[4] - 1e-6).all()
        assert np.median(cosines.nearest[40]) > np.median(cosines.random)
    figure = strangers_figure(found)
    assert [axis.get_title() for axis in figure.axes] == list(KINDS)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["random pairs", "nearest of 4", "nearest of 40"]


def test_a_copy_is_nearer_than_all_but_one_stranger_in_a_hundred():
    nearest = np.random.default_rng(0).permutation(np.arange(1000) / 1000)
    assert (nearest > copy_threshold(nearest)).mean() == 0.01


def test_images_of_several_sizes_stand_in_a_row_under_their_names():
    figure = side_by_side({"large": np.ones((8, 8)), "small": np.zeros((4, 4))})
    assert [axis.get_title() for axis in figure.axes] == ["large", "small"]
    assert [axis.images[0].get_array().shape for axis in figure.axes] == [(8, 8), (4, 4)]


def test_the_gray_values_have_a_step_each_beside_the_mean_image(images):
    shares = np.bincount(images.ravel(), minlength=256) / images.size
    left, right = gray_histogram(shares, mean_image(images)).axes
    values, edges, _ = left.patches[0].get_data()
    assert np.array_equal(values, shares) and edges[0] < 0 < edges[1] and edges[-2] < 1 < edges[-1]
    assert np.array_equal(right.images[0].get_array(), mean_image(images)[0])


def test_the_first_component_is_the_direction_of_largest_spread():
    rng = np.random.default_rng(0)
    brightness = rng.normal(0, 20, (500, 1, 1, 1))
    made = np.clip(120 + brightness + rng.normal(0, 2, (500, 1, 4, 4)), 0, 255).round().astype(np.uint8)
    # the whole frame rises and falls together: sqrt(16) pixels times the deviation of each
    assert scales.first_component(made) == pytest.approx(4 * 20 / 255, rel=0.1)
    many = np.concatenate([made] * 4)  # 2000 define it
    assert scales.first_component(np.concatenate([many, 0 * made])) == scales.first_component(many)


@pytest.fixture(scope="module")
def nets():
    """Denoisers: one that finds no noise, one that takes the whole image for it."""
    return {10: lambda y, sigma: y, 4000: lambda y, sigma: 0 * y}


def test_the_denoising_sheet_has_a_row_for_each_model_and_the_psnr_over_each_image(images, nets):
    panel = denoising.denoise_panel(nets, images[0], [0.1, 0.4])
    found = texts(denoising_sheet(panel, [0.1, 0.4]))
    noisy = [f"{value:.1f}" for value in panel.noisy_psnr]
    assert found[:3] == ["clean", f"σ=0.1: {noisy[0]}", f"σ=0.4: {noisy[1]}"]
    assert found[3:6] == ["", *noisy], "nothing done"
    assert found[6] == "" and found[7] == found[8]
    assert found[9:] == ["noisy", "N = 10", "N = 4\N{NO-BREAK SPACE}000"]


def test_the_curve_of_a_denoiser_that_does_nothing_is_the_diagonal(images, nets):
    levels = [0.05, 0.2]
    parts = (images[SETS.A], images[SETS.validation])
    curves = {n: [denoising.denoising_curve(net, part, levels) for part in parts] for n, net in nets.items()}
    lines = psnr_curves(curves).axes[0].get_lines()
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-", "--", ":"]
    assert np.allclose(lines[1].get_ydata(), lines[1].get_xdata())
    assert np.allclose(lines[3].get_ydata(), lines[3].get_ydata()[0]), "a denoiser that returns one image"
    assert [lines[0].get_label(), lines[2].get_label()] == ["N = 10", "N = 4\N{NO-BREAK SPACE}000"]


def test_the_denoising_slider_has_a_frame_and_the_mean_psnr_for_each_level(images, nets):
    panels = [denoising.denoise_panel(nets, image, [0.1, 0.4]) for image in images[:3]]
    found = captions(denoising_slider(panels, [0.1, 0.4], title="t", alt="a"))
    noisy = np.mean([panel.noisy_psnr for panel in panels], axis=0)
    assert [caption.split(". ")[0] for caption in found] == ["Noise 0.10", "Noise 0.40"]
    for caption, value in zip(found, noisy, strict=True):
        assert f"noisy {value:.1f}, N = 10: {value:.1f}, N = 4\N{NO-BREAK SPACE}000: " in caption


def test_copies_stand_above_themselves_and_what_a_model_was_shown_is_found(images):
    samples, mean = {40: [floats(images[SETS.A[:5]]), floats(images[SETS.B[:5]])]}, mean_image(images)
    figure = sample_sheet(samples, {40: images[SETS.A]}, mean=mean, count=4)
    assert texts(figure) == ["N = 40, A", "N = 40, B", "nearest to A"]
    a, b, near = np.asarray(figure.axes[0].images[0].get_array()).reshape(3, 17, -1)
    assert np.allclose(a, near) and not np.allclose(a, b)


def test_the_latent_slider_goes_through_the_sizes_of_a_latent_and_then_to_the_next(images):
    copies = [floats(images[SETS.A[:5]]), floats(images[SETS.B[:5]])]
    both = floats(images[SETS.validation[:5]])
    train = [images[SETS.A], images[SETS.B]]
    found = captions(
        latent_slider({10: copies, 40: [both, both]}, {10: train, 40: train}, mean=mean_image(images))
    )
    assert len(found) == 10
    assert all(text.endswith("to the nearest training image 1.00 (A), 1.00 (B)") for text in found[::2])
    assert all(text.startswith("Anomaly cosine of A and B 1.00;") for text in found[1::2])


def estimate(value):
    return Estimate(value, value - 0.1, value + 0.1, 64)


def memorization(value):
    found = Exchange(estimate(value), Outcome(0.1, -0.1, 0.1, 0.5))
    return Memorization(found, found, 0.5)


def test_the_controls_are_drawn_beside_the_networks(images):
    same = floats(images[SETS.validation])
    test = two_models(same, same, images, SETS, mean=mean_image(images))
    linear, across = ({n: estimate(value) for n in (10, 40)} for value in (0.3, 0.6))
    (axis,) = controls_figure({10: test, 40: test}, linear, across, estimate(0.2)).axes
    heights = {bar.get_label(): bar.lines[0].get_ydata().tolist() for bar in axis.containers}
    assert heights.pop("two U-Nets") == pytest.approx([1, 1], abs=1e-5)
    assert heights == {
        "two Gaussians": [0.3, 0.3],
        "U-Net and Gaussian on A": [0.6, 0.6],
        "U-Net on other galaxies": [0.2],
    }
    assert axis.get_lines()[-1].get_ydata().tolist() == [test.null, test.null]


def test_the_gain_over_the_linear_filter_is_the_median_of_the_same_images():
    linear = denoising.Denoising(np.zeros((2, 3)), np.array([[30.0, 31.0, 35.0], [20.0, 21.0, 25.0]]))
    better = denoising.Denoising(linear.noisy, np.array([[31.0, 33.0, 44.0], [17.0, 20.0, 25.0]]))
    (axis,) = gain_curves([0.1, 1.0], linear, {"diffusion": better, "conditional diffusion": linear}).axes
    one, same, zero = axis.get_lines()
    assert one.get_ydata().tolist() == [2, -1] and same.get_ydata().tolist() == [0, 0]
    assert one.get_color() == COLOURS["diffusion"] and one.get_label() == "diffusion"
    assert zero.get_linestyle() == "--"
