"""The clock's networks: small blind denoisers whose averages draw. Their gap is in test_clock."""

import numpy as np
import pytest
import torch

from galgen.config import Parameters
from galgen.evidence import denoisers
from galgen.experiment import Experiment, every_family
from galgen.models.clock import AveragedLearner
from galgen.runs.store import Store


@pytest.fixture(scope="module")
def study(store):
    return Experiment(Parameters(profile="smoke", N=[4, 6]), Store(store), family="clock8")


def test_the_average_is_the_mean_that_it_says(study):
    networks = study._networks(0)
    learner = study.family.learner(networks, None, None, study.settings)
    assert isinstance(learner, AveragedLearner)
    wanted = None
    for step in range(1, 21):
        learner.step(torch.rand(4, 1, 16, 16), torch.Generator().manual_seed(step), 1.0)
        now = torch.cat([p.flatten() for p in learner.net.parameters()]).double()
        share = min(1.0, 8 / step)
        wanted = now if wanted is None else wanted + share * (now - wanted)
    found = torch.cat([p.flatten() for p in learner.average.parameters()]).double()
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert (now - found).norm() > 1e-3


def test_a_study_is_in_no_comparison_and_its_average_draws(study):
    asked = (every_family(study.parameters, studies=studies) for studies in (False, True))
    assert ["clock8" in families for families in asked] == [False, True]
    model = study.pair(4)[0]
    drawn = study.samples(model, count=3)
    average = study.networks(model)["average"]
    again = study.family.flow(average, study.latents(3), study.start).images
    assert torch.equal(drawn, again)


def test_its_images_are_those_of_the_profile_averaged_over_blocks(fresh):
    parameters = Parameters(profile="smoke")
    study = Experiment(parameters, fresh, family="clock8")
    study.settings = study.settings.model_copy(update={"image_size": 8})
    wanted = Experiment(parameters, fresh).dataset.images.reshape(-1, 1, 8, 2, 8, 2).mean((3, 5))
    assert np.abs(study.dataset.images - wanted).max() <= 0.5 + 1e-6


def test_the_gap_of_the_clock_is_asked_of_A_and_B_at_every_milestone(study):
    cells = denoisers.clock([study])
    assert [(cell.kernels, cell.N, len(cell.gaps)) for cell in cells] == [(4, 4, 2), (4, 6, 2)]
    kept = study.train(study.pair(4)[0]).summary["weights"]
    for gap in cells[0].gaps:
        assert gap.shown.tolist() == kept and gap.own.shape[1] == 4 and gap.value[0] == 0
    assert cells[1].load == pytest.approx(6 * 256 / study.weights)
