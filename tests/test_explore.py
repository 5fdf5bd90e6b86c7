import math
import re
import threading

import ipywidgets as widgets
import numpy as np
import pytest

from galbook.explorer import controls as explore_widgets
from galbook.explorer.answers import Explorer, Row
from galgen.models.families import FAMILIES
from galgen.profiles import Parameters, profile
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store

PARAMETERS = Parameters(profile="smoke", N=12)
LABELS = [f"{family(profile('smoke')).label}, N = 12" for family in FAMILIES.values()]


@pytest.fixture(scope="module")
def explorer(trained):
    return Explorer(PARAMETERS, trained)


def test_a_latent_gives_the_picture_of_the_books_samples_beside_its_nearest_training_image(explorer):
    rows = explorer.latent(3, 12)
    assert [row.label for row in rows] == LABELS
    for row, experiment in zip(rows, explorer.experiments.values(), strict=True):
        assert [stamp.image.shape for stamp in row.stamps] == [(16, 16)] * 4
        for half, k in (("A", 0), ("B", 2)):
            training = experiment.models.pair(12)["AB".index(half)]
            drawn = experiment.samples(training)[3, 0].numpy()
            assert np.abs(row.stamps[k].image - drawn).max() < 1e-4
            train = explorer.training_images(12, half)
            turns = [np.flip(train, axes) for axes in ((), -1, -2, (-2, -1))]
            assert any((turned == row.stamps[k + 1].image).all((1, 2, 3)).any() for turned in turns)
    gan = explorer.experiments["gan"]
    assert (explorer.training_images(12, "A") == gan.images.of(gan.models.pair(12)[0])).all()


@pytest.mark.parametrize("family", ["diffusion", "conditional"])
def test_the_denoiser_says_the_psnr_of_what_it_shows_and_whether_the_model_saw_the_image(explorer, family):
    image, a, b = explorer.denoise(family, "A", 2, 0.2, 12)
    clean, noisy = image.stamps
    assert ((clean.image * 255).round() == explorer.training_images(12, "A")[2, 0]).all()
    assert ", trained on it" in a.label and "not trained on it" in b.label
    for stamp in (noisy, a.stamps[0], b.stamps[0]):
        said = float(re.search(r"([\d.]+) dB", stamp.caption)[1])
        error = np.mean((stamp.image.astype(float) - clean.image) ** 2)
        assert said == pytest.approx(-10 * math.log10(error), abs=0.06)
    assert np.allclose(a.stamps[1].image, 0.5 + 2.5 * (a.stamps[0].image - clean.image))
    assert "not trained on it" in explorer.denoise(family, "validation", 0, 0.2, 12)[1].label


def test_weights_0_and_1_return_the_two_galaxies_and_temperature_0_one_and_the_same(explorer):
    for source in ("held-out images", "latents"):
        for weight, place in ((0, 0), (1, 1)):
            for row in explorer.mix(12, source, 4, 5, [weight] * 3, [1] * 3):
                assert (row.stamps[2].image == row.stamps[place].image).all()
        cold = [explorer.mix(12, source, first, 7, [0.5] * 3, [0] * 3)[0].stamps[2].image for first in (1, 2)]
        assert (cold[0] == cold[1]).all()
    shown = explorer.mix(12, "held-out images", 4, 5, [0] * 3, [1] * 3)[0].stamps[0].image
    given = explorer.images[explorer.split(12).validation[4], 0] / 255
    assert np.abs(shown - given).max() <= 4 / 255  # five bits
    finest = explorer.mix(12, "latents", 4, 5, [1, 0, 0], [1] * 3)[0].stamps
    assert not any((finest[2].image == finest[k].image).all() for k in (0, 1)), "each level has a weight"


def test_a_model_that_was_not_trained_is_named_by_the_command_that_trains_it(tmp_path):
    explorer = Explorer(Parameters(profile="smoke", N=[6, 12]), Store(tmp_path))
    options = f"--profile smoke --data=simulated --seed 0 --precision auto --N 6 12 --store {tmp_path}"
    with pytest.raises(GalgenError) as told:
        explorer.pair("diffusion", 6)
    for model in ("A0-0", "B1-1"):
        assert f".venv/bin/galgen train diffusion-N6-{model} {options}" in str(told.value)
    assert all(not row.stamps and "galgen train" in row.note for row in explorer.latent(0, 6))
    assert "galgen train diffusion-N12-A0-0" in explore_widgets.denoiser(explorer).children[-1].value
    experiment = explorer.experiments["diffusion"]
    for training in experiment.models.pair(6):
        experiment.train(training)
    assert len(explorer.latent(0, 6)[0].stamps) == 4


def test_every_control_changes_the_answer_and_an_error_is_a_sentence(explorer, monkeypatch):
    box = explore_widgets.flow(explorer)
    picture = box.children[-1]
    for control in box.children[1:-1]:
        before = picture.value
        if hasattr(control, "options"):
            control.index = len(control.options) - 1
        else:
            control.value = control.max if control.value != control.max else control.min
        assert picture.value != before or len(getattr(control, "options", "12")) == 1, control.description
        assert 'alt="model A, N = 12: mixture"' in picture.value

    def fail(*values):
        raise GalgenError("a <mistake>")

    monkeypatch.setattr(explorer, "denoise", fail)
    assert "a &lt;mistake&gt;" in explore_widgets.denoiser(explorer).children[-1].value


def test_an_answer_to_an_earlier_move_does_not_replace_that_to_the_last():
    begun, go_on = threading.Event(), threading.Event()

    def answer(number):
        if number == 1:
            begun.set()
            assert go_on.wait(60)
        return [Row(f"of latent {number}")]

    latent = widgets.IntSlider(0)
    picture = explore_widgets._box([latent], answer).children[-1]
    moves = [threading.Thread(target=setattr, args=(latent, "value", number)) for number in (1, 2)]
    moves[0].start()
    assert begun.wait(60)
    moves[1].start()
    moves[1].join(1)  # it waits for the first, or would be done by now
    go_on.set()
    for move in moves:
        move.join(60)
    assert "of latent 2" in picture.value
