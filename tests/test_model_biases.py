"""The record of chapters 08 and 10: of models whose fault is known, and of models that were trained."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_controls import galaxies

from galbook import biases
from galbook.biases import BLURS, SIDES, held_out
from galgen.compare.controls import blurred, rounded

model_biases = biases.model_biases.__wrapped__  # asked anew: what stands in has no store

IMAGES = galaxies(460, seed=3, side=32)
COUNT = 100


def stand_in(label, drawn, bits=8, count=COUNT):
    """An experiment whose models draw what is given, by half."""
    sets = SimpleNamespace(validation=np.arange(3 * COUNT))
    return SimpleNamespace(
        family=SimpleNamespace(label=label, bits=bits),
        images=SimpleNamespace(dataset=SimpleNamespace(images=IMAGES), compared=count, split=lambda N: sets),
        models=SimpleNamespace(pair=lambda N: ("A", "B")),
        sizes=(10, 40),
        samples=lambda half: torch.as_tensor(drawn[half]),
    )


FRESH = IMAGES[3 * COUNT :] / 255  # that the tests see nowhere else
BLURRED = {"A": blurred(FRESH, 0.5).astype(np.float32), "B": blurred(FRESH, 0.7).astype(np.float32)}


@pytest.fixture(scope="module")
def found():
    broken = BLURRED["B"].copy()
    broken[:95] = np.nan
    exact = {"A": FRESH.astype(np.float32), "B": broken}
    coarse = {"A": rounded(FRESH, 5), "B": FRESH}
    models = [("blurred", BLURRED, 8), ("exact", exact, 8), ("coarse", coarse, 5)]
    return model_biases(stand_in(*model) for model in models)


def test_models_that_draw_blurred_galaxies_are_as_far_off_as_that_blur(found):
    for half, pixels in (("A", 0.5), ("B", 0.7)):
        off = found.models["blurred"][half].far_off
        assert off[8].blur.value == pytest.approx(pixels, abs=0.12)
        assert off[16].auc.low > 0.9 and off[16].noise.value > 2
    assert found.farther("blurred") is found.models["blurred"]["B"]


def test_models_that_draw_galaxies_are_not_off_and_what_is_not_finite_is_left_out(found):
    exact = found.models["exact"]["A"]
    assert all(exact.far_off[side].blur.low == 0 for side in SIDES)
    for bias in (exact.biases.flux, exact.biases.size, exact.biases.size_at_flux, *exact.biases.profile[:8]):
        assert abs(bias.value) < 3 * (bias.high - bias.low) / 4  # three standard errors
    half_broken = found.models["exact"]["B"]
    assert half_broken.far_off == {} and found.farther("exact") is None
    assert half_broken.biases.size is None and 0 < half_broken.biases.measured <= 0.05


def test_galaxies_of_fewer_grey_levels_are_held_against_such(found):
    for model in found.models["coarse"].values():
        assert model.far_off[16].blur.low == 0
        assert model.biases.flux.low < 0 < model.biases.flux.high


def test_the_null_and_the_controls_stand_beside_them(found):
    null, half, one = found.galaxies.values()
    assert [*found.galaxies] == ["as they are", *BLURS] and found.count == COUNT
    assert null.profile[0].low < 0 < null.profile[0].high
    assert one.profile[0].value < half.profile[0].value < null.profile[0].value - 0.2
    assert one.size.value > half.size.value > null.size.value
    assert found.sizes == {"blurred": 40, "exact": 40, "coarse": 40}


def test_the_record_of_trained_models(smoke):
    experiments = smoke.values()
    found = model_biases(experiments)
    assert [*found.models] == [e.family.label for e in experiments]
    known, unseen = held_out([*experiments])
    assert len(known) == 2 * len(unseen) == 2 * found.count
    shared = [set(map(bytes, part)) for part in (known, unseen)]
    seen = {bytes(image) for e in experiments for model in e.models.pair(12) for image in e.images.of(model)}
    assert not shared[0] & shared[1] and not (shared[0] | shared[1]) & seen
    for pair in found.models.values():
        for model in pair.values():
            assert len(model.biases.profile) == 7
            assert [*model.far_off] == [8, 16]
