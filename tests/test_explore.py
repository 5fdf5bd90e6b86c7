import math
import re
import threading

import ipywidgets as widgets
import numpy as np
import pytest

from galgen.config import Parameters
from galgen.explorer import controls as explore_widgets
from galgen.explorer.answers import Explorer, Missing, Row
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store

PARAMETERS = Parameters(profile="smoke", N=12)
FAMILIES = [f"{name}, N = 12" for name in ("diffusion", "conditional diffusion", "Glow", "GAN")]


@pytest.fixture(scope="module")
def explorer(trained):
    return Explorer(PARAMETERS, trained)


def test_a_latent_gives_the_picture_of_the_books_samples_beside_its_nearest_training_image(explorer):
    rows = explorer.latent(3, 12)
    assert [row.label for row in rows] == FAMILIES
    for row, experiment in zip(rows, explorer.experiments.values(), strict=True):
        assert [stamp.image.shape for stamp in row.stamps] == [(16, 16)] * 4
        for half, k in (("A", 0), ("B", 2)):
            training = experiment.pair(12)["AB".index(half)]
            drawn = experiment.samples(training)[3, 0].numpy()
            assert np.abs(row.stamps[k].image - drawn).max() < 1e-4
            train = explorer.training_images(12, half)
            turns = [np.flip(train, axes) for axes in ((), -1, -2, (-2, -1))]
            assert any((turned == row.stamps[k + 1].image).all((1, 2, 3)).any() for turned in turns)
    assert (explorer.training_images(12, "A") == explorer.experiments["gan"].images(
        explorer.experiments["gan"].pair(12)[0])).all()  # fmt: skip


@pytest.mark.parametrize("family", ["diffusion", "conditional"])
def test_the_denoiser_says_the_psnr_of_what_it_shows(explorer, family):
    clean = explorer.training_images(12, "A")[2]
    noisy, a, b = explorer.denoise(family, 12, clean, 0.2)
    for stamp in (noisy.stamps[0], a.stamps[0], b.stamps[0]):
        said = float(re.search(r"([\d.]+) dB", stamp.caption)[1])
        error = np.mean((stamp.image.astype(float) - clean[0] / 255) ** 2)
        assert said == pytest.approx(-10 * math.log10(error), abs=0.06)
    assert np.allclose(a.stamps[1].image, 0.5 + 2.5 * (a.stamps[0].image - clean[0] / 255))


def test_a_model_that_was_not_trained_is_named_by_the_command_that_trains_it(tmp_path):
    explorer = Explorer(Parameters(profile="smoke", N=[6, 12]), Store(tmp_path))
    options = f"--profile smoke --data=simulated --seed 0 --precision auto --N 6 12 --store {tmp_path}"
    wanted = [f".venv/bin/galgen train diffusion-N6-{model} {options}" for model in ("A0-0", "B1-1")]
    with pytest.raises(Missing) as caught:
        explorer.pair("diffusion", 6)
    assert str(caught.value).splitlines() == wanted
    assert all(not row.stamps and "galgen train" in row.commands for row in explorer.latent(0, 6))
    page = explore_widgets.latent(explorer).children[-2].value
    assert "not trained yet" in page and "galgen train diffusion-N12-A0-0" in page
    experiment = explorer.experiments["diffusion"]
    for training in experiment.pair(6):
        experiment.train(training)
    assert len(explorer.latent(0, 6)[0].stamps) == 4


def test_every_control_changes_the_answer_and_an_error_is_a_sentence(explorer, monkeypatch):
    box = explore_widgets.latent(explorer)
    picture = box.children[-2]
    for control in box.children[1:-2]:
        before = picture.value
        if hasattr(control, "options"):
            control.index = len(control.options) - 1
        else:
            control.value = control.max
        assert picture.value != before or len(getattr(control, "options", "12")) == 1, control.description
        assert 'alt="Glow, N = 12: model A"' in picture.value

    def fail(*values):
        raise GalgenError("a <mistake>")

    monkeypatch.setattr(explorer, "latent", fail)
    assert "a &lt;mistake&gt;" in explore_widgets.latent(explorer).children[-2].value


def test_an_answer_to_an_earlier_move_does_not_replace_that_to_the_last():
    begun, go_on = threading.Event(), threading.Event()

    def answer(number):
        if number == 1:
            begun.set()
            assert go_on.wait(60)
        return [Row(f"of latent {number}")]

    latent = widgets.IntSlider(0)
    picture = explore_widgets._box([latent], answer).children[-2]
    moves = [threading.Thread(target=setattr, args=(latent, "value", number)) for number in (1, 2)]
    moves[0].start()
    assert begun.wait(60)
    moves[1].start()
    moves[1].join(1)  # it waits for the first, or would be done by now
    go_on.set()
    for move in moves:
        move.join(60)
    assert "of latent 2" in picture.value
