"""What Gaussians leave of two models' images, where it is known what that is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from galgen.compare.gaussian import fit_gaussian
from galgen.config import PROFILES
from galgen.evidence import denoisers
from galgen.evidence.denoisers import gaussian_image, own_test
from galgen.models.families import FAMILIES
from galgen.models.sampling import blind, dpm_solver_2m, ladder

IMAGES = np.random.default_rng(0).integers(0, 256, (120, 1, 8, 8), np.uint8)
ROWS = {"A": slice(0, 40), "B": slice(40, 80), "other": slice(80, 120)}
START, SEEDS = torch.full((1, 8, 8), 0.5), range(24)


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch):
    """Nothing is kept: these experiments have no store."""
    for name in ("_residuals", "_stranger"):
        monkeypatch.setattr(denoisers, name, getattr(denoisers, name).__wrapped__)


def extra(seed):
    return 0.2 * torch.randn(len(SEEDS), 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def experiment(family, beyond):
    """Models whose images are those of their Gaussians and `beyond`, by model."""
    made = SimpleNamespace(
        family=FAMILIES[family](PROFILES["smoke"]),
        sizes=(40,),
        pair=lambda n: ("A", "B"),
        foreign=lambda: ["other"],
        images=lambda model: IMAGES[ROWS[model]],
        latents=lambda: SEEDS,
        start=START,
        mean_image=IMAGES.mean(0) / 255,
    )
    made.samples = lambda model: gaussian_image(made, model) + beyond[model]
    return made


@pytest.mark.parametrize("family", ["diffusion", "conditional"])
def test_a_gaussian_goes_through_the_sampler_of_the_family(family):
    given = experiment(family, {})
    gaussian = fit_gaussian(IMAGES[ROWS["B"]])
    denoise = gaussian if family == "conditional" else blind(gaussian)
    levels = ladder(**given.family.settings.sampler)
    assert torch.equal(gaussian_image(given, "B"), dpm_solver_2m(denoise, START, SEEDS, levels).images)


@pytest.mark.parametrize("family", ["diffusion", "conditional"])
def test_what_the_gaussians_leave_is_found_where_two_models_share_it_and_only_there(family):
    shared = {"A": extra(1), "B": extra(1), "other": extra(2)}
    found, stranger, more = own_test(experiment(family, shared))
    assert found[40].value == pytest.approx(1, abs=1e-3) and found[40].p < 0.01
    assert abs(stranger) < 0.1 and more.value > 0.9 and more.p < 0.001
    found, stranger, more = own_test(experiment(family, {"A": extra(1), "B": extra(2), "other": extra(3)}))
    assert found[40].p > 0.01 and abs(found[40].value) < 0.1 and more.p > 0.01


def test_what_every_network_leaves_is_not_beyond_a_model_of_other_galaxies():
    _, stranger, more = own_test(experiment("conditional", dict.fromkeys(ROWS, extra(1))))
    assert stranger == pytest.approx(1, abs=1e-3) and abs(more.value) < 1e-3
