import types

import numpy as np
import pytest
import torch

from galgen.config import PROFILES, DenoiserSettings, Parameters, profile
from galgen.experiment import Experiment, every_family, training_named
from galgen.models.families import FAMILIES
from galgen.runs import training
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    return Experiment(Parameters(profile="smoke", N=[4, 6]), Store(root))


def test_a_misspelt_parameter_of_a_notebook_is_refused_with_the_names_there_are():
    with pytest.raises(GalgenError, match="unknown parameter M; the parameters are profile, data, N, seed"):
        Parameters.of_notebook({"profile": "smoke", "M": 500, "__name__": "x", "In": [], "np": np})


@pytest.mark.parametrize(
    "values", [{"N": "500"}, {"N": 5.5}, {"N": [10, "30"]}, {"seed": "0"}, {"profile": 3}, {"seed": -1}]
)
def test_what_papermill_turned_into_another_type_is_refused(values):
    with pytest.raises(GalgenError, match=next(iter(values))):
        Parameters.of_notebook(values)


def test_what_is_not_a_parameter_of_a_notebook_is_left_alone():
    namespace = {"N": 500, "Parameters": Parameters, "torch": torch, "get_ipython": print, "_": 3, "Out": {}}
    assert Parameters.of_notebook(namespace) == Parameters(N=500)
    assert isinstance(torch, types.ModuleType)


@pytest.mark.parametrize("N", [0, 1, [], [30, 10], [10, 10]])
def test_an_impossible_N_is_refused(N, tmp_path):
    with pytest.raises(GalgenError, match="N must be"):
        Experiment(Parameters(N=N), Store(tmp_path))


def test_profiles_refuse_unknown_names():
    with pytest.raises(GalgenError, match="smoke, laptop, paper"):
        profile("laptops")
    with pytest.raises(ValueError, match="kernel"):
        DenoiserSettings(kernel=16)
    assert all(name == found.name for name, found in PROFILES.items())


def test_the_budget_is_passes_per_image_up_to_a_cap_in_whole_batches():
    denoiser = DenoiserSettings(batch_size=8, passes_per_image=3, images_cap=1001)
    assert [denoiser.images_shown(n) for n in (1, 10, 100, 10_000)] == [8, 24, 296, 1000]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("profile", ["smoke", "laptop"])  # the paper's networks take long to build
def test_every_family_can_be_planned(profile, family, tmp_path):
    planned = Experiment(Parameters(profile=profile), Store(tmp_path), family=family)
    pairs = len(planned.pairs(planned.sizes[0]))
    beyond_pairs = {1: 3, 2: 1}[pairs]  # the 2x2 but for model B, or but for the swapped pair
    beyond_pairs += planned.family.has_control
    records = planned.plan()
    assert len(records) == len({r["name"] for r in records}) == 2 * pairs * len(planned.sizes) + beyond_pairs
    assert min(record["minutes"] for record in records) >= 0
    assert all(planned.settings.schedule in training.SCHEDULES for _ in records)


def test_all_families_share_one_data_set_whatever_their_sizes(tmp_path):
    counts = []
    for experiment in every_family(Parameters(profile="smoke"), Store(tmp_path)).values():
        counts.append(experiment.dataset.sha256)
    assert len(set(counts)) == 1


def test_a_name_of_the_plan_finds_its_family_and_an_unknown_one_lists_them(tmp_path):
    parameters = Parameters(profile="smoke")
    experiment, training = training_named("glow-N8-B11", parameters, Store(tmp_path))
    assert (experiment.family.name, training.N, training.half, training.init) == ("glow", 8, "B", 1)
    with pytest.raises(GalgenError, match=r"no training 'glow-N7'.*unet-N8-A00"):
        training_named("glow-N7", parameters, Store(tmp_path))


def test_models_differ_in_images_initialisation_and_order_as_their_names_say(experiment):
    a, b = experiment.pair(6)
    images = {t: {x.tobytes() for x in experiment.images(t)} for t in (a, b)}
    assert len(images[a]) == len(images[b]) == 6
    assert not images[a] & images[b]
    design = experiment.design()
    assert (
        np.array_equal(experiment.images(design["other", "same"]), experiment.images(experiment.pair(6)[0]))
        is False
    )
    small = experiment.pair(design["same", "same"].N)[0]
    assert np.array_equal(experiment.images(design["other", "same"]), experiment.images(small))
    weights = {
        t: torch.cat([p.flatten() for p in experiment._networks(t.init)["net"].parameters()])
        for t in design.values()
    }
    assert torch.equal(weights[design["same", "same"]], weights[design["same", "disjoint"]])
    assert not torch.equal(weights[design["same", "same"]], weights[design["other", "same"]])
    assert experiment.control().init != a.init and experiment.control().order != a.order


def test_the_networks_before_a_training_are_those_it_began_with(experiment):
    model = experiment.pair(4)[0]
    begin, end = (experiment.networks(model, shown)["net"] for shown in (0, None))
    first = experiment._networks(experiment._seeds(model)["init"])["net"]
    vectors = [torch.cat([p.flatten() for p in net.parameters()]) for net in (first, begin, end)]
    assert torch.equal(vectors[0], vectors[1]) and not torch.equal(vectors[1], vectors[2])
    assert not begin.training


def test_a_model_is_trained_once_and_its_samples_are_kept(experiment):
    model = experiment.pair(4)[0]
    first = experiment.samples(model, count=5)
    runs = len(experiment.store.runs())
    again = Experiment(experiment.parameters, experiment.store).samples(model, count=5)
    assert len(experiment.store.runs()) == runs
    assert torch.equal(first, again)
    assert first.shape == (5, 1, 16, 16)
    assert torch.equal(experiment.samples(model, count=3), first[:3])


def test_the_latents_are_shared_and_the_weights_along_the_way_are_there(experiment):
    a, b = experiment.pair(4)
    early = experiment.train(a).summary["weights"][0]
    assert not torch.equal(experiment.samples(a, early, 4), experiment.samples(a, count=4))
    assert experiment.latents(4) == Experiment(experiment.parameters, experiment.store).latents(4)
    assert experiment.samples(b, count=4).shape == experiment.samples(a, count=4).shape


def test_missing_models_are_trained_in_processes_of_their_own(experiment, capfd):
    wanted = [experiment.pair(6)[0], experiment.pair(6)[1]]
    runs = experiment.ensure(wanted)
    assert "2 models to train" in capfd.readouterr().out
    assert set(runs) == set(wanted)
    experiment.ensure(wanted)
    assert "to train" not in capfd.readouterr().out
