import copy
import hashlib
import shutil
import types

import numpy as np
import pytest
import torch
from test_code import edited

from galgen.config import PROFILES, DenoiserSettings, Parameters, profile
from galgen.data.prepare import parts, prepare, simulate_part
from galgen.experiment import Experiment, every_family, training_named
from galgen.models import glow_learner
from galgen.models.families import FAMILIES
from galgen.runs import schedules, training
from galgen.runs import store as store_module
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
    with pytest.raises(GalgenError, match="smoke, laptop, night, paper"):
        profile("laptops")
    with pytest.raises(ValueError, match="kernel"):
        DenoiserSettings(kernel=16)
    assert all(name == found.name for name, found in PROFILES.items())


def test_a_trial_has_the_networks_of_its_profile_and_five_steps():
    whole, trial = profile("paper"), profile("paper-trial")
    assert trial.name == "paper-trial" and trial.image_size == whole.image_size
    for part in ("denoiser", "conditional", "glow", "gan"):
        one, other = getattr(whole, part), getattr(trial, part)
        assert other.images_shown(8) == other.images_shown(24) == 5 * other.batch_size
        changed = {name for name, value in one if value != getattr(other, name)}
        few = {"N", "design_N", "batch_size", "images_cap", "milestones", "passes_per_image", "sampler_steps"}
        few |= {"learning_rate", "muon_rate"}
        assert changed <= few, "networks and optimizers are those of the profile"
    with pytest.raises(GalgenError, match="no profile 'papers'"):
        profile("papers-trial")


def test_the_budget_is_passes_per_image_up_to_a_cap_in_whole_batches():
    denoiser = DenoiserSettings(batch_size=8, passes_per_image=3, images_cap=1001)
    assert [denoiser.images_shown(n) for n in (1, 10, 100, 10_000)] == [8, 24, 296, 1000]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("profile", ["smoke", "laptop"])  # the paper's networks take long to build
def test_every_family_can_be_planned(profile, family, tmp_path):
    planned = Experiment(Parameters(profile=profile), Store(tmp_path), family=family)
    pairs = len(planned.pairs(planned.sizes[0]))
    # The 2x2, if there is one, but for model B, and for A of a second pair.
    beyond_pairs = (3 if pairs == 1 else 2) * bool(planned.design())
    beyond_pairs += planned.family.has_control
    records = planned.plan()
    assert len(records) == len({r["name"] for r in records}) == 2 * pairs * len(planned.sizes) + beyond_pairs
    assert min(record["minutes"] for record in records) >= 0
    assert all(planned.settings.schedule in schedules.SCHEDULES for _ in records)


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


def test_no_two_models_of_the_pairs_share_initialisation_order_or_noise(experiment):
    flow = Experiment(experiment.parameters, experiment.store, family="glow")
    models = [model for pair in flow.pairs(6) for model in pair]
    assert len(models) == 8 and [model.half for model in models] == ["A", "B"] * 4
    assert len({m.init for m in models}) == len({m.order for m in models}) == 8


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


def keys(experiment):
    return {t: experiment.store.key(**experiment.identity(t)) for t in experiment.pair(4)}


EDITS = {
    "a schedule": ("unet", schedules, "0.5 * (1 + math.cos(", "0.4 * (1 + math.cos("),
    "the warm-up of a schedule": ("gan", schedules, "(shown + 1) / 1000,", "(shown + 1) / 2000,"),
    "the images that initialise Glow": ("glow", glow_learner, "images[:256]", "images[:255]"),
}


@pytest.mark.parametrize(("family", "module", "old", "new"), EDITS.values(), ids=EDITS)
def test_an_edit_that_changes_a_training_gives_it_another_key(
    experiment, monkeypatch, family, module, old, new
):
    asked = Experiment(experiment.parameters, experiment.store, family=family)
    before = keys(asked)
    edited(monkeypatch, module.__name__, old, new)
    assert not set(before.values()) & set(keys(asked).values())


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("_seeds", lambda self, training: {"init": 7 + training.init, "order": training.order}),
        ("_seeds", lambda self, training: {"init": training.init, "order": 7 + training.order}),
        ("_milestones", lambda self, N: [self.settings.images_shown(N)]),
    ],
    ids=["initialisation", "order and noise", "milestones"],
)
def test_seeds_and_milestones_are_part_of_the_key(experiment, monkeypatch, name, edit):
    before = keys(experiment)
    monkeypatch.setattr(Experiment, name, edit)
    assert not set(before.values()) & set(keys(experiment).values())


def test_flips_are_part_of_the_key(experiment, monkeypatch):
    before = keys(experiment)
    monkeypatch.setattr(type(experiment.family), "flips", not experiment.family.flips)
    assert not set(before.values()) & set(keys(experiment).values())


@pytest.fixture
def fresh(experiment, tmp_path):
    """A store that holds the data set and nothing else."""
    shutil.copytree(experiment.dataset.directory.parents[1], tmp_path / "store" / "dataset")
    return Store(tmp_path / "store")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_is_made_with_what_its_key_says(fresh, monkeypatch, family):
    experiment = Experiment(Parameters(profile="smoke", N=4), fresh, family=family)
    model, made = experiment.pair(4)[1], {}

    def states(learner):
        return {name: copy.deepcopy(net.state_dict()) for name, net in learner.networks.items()}

    def resume(learner, images, directory, **options):
        made.update(options, images=images, networks=states(learner))
        return {}

    monkeypatch.setattr(training, "resume", resume)
    record = experiment.train(model).record
    params = record["params"]
    for name in ("images_shown", "flips", "milestones", "batch_size"):
        assert made[name] == params[name]
    assert made["schedule"].__name__ == params["schedule"]
    assert made["seed_order"] == made["seed_noise"] == params["seeds"]["order"] == 1
    assert hashlib.sha256(made["images"].tobytes()).hexdigest() == record["data"]
    torch.manual_seed(params["seeds"]["init"])
    given = (experiment.family.networks(), made["images"], made["images"], "cpu")
    for name, state in states(experiment.family.learner(*given)).items():
        for key, value in state.items():
            assert torch.equal(value, made["networks"][name][key]), (name, key)


def flip_a_byte(path):
    """In the last number of a file, which is read without complaint."""
    content = bytearray(path.read_bytes())
    content[-2] ^= 64
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [flip_a_byte, lambda path: path.write_bytes(path.read_bytes()[:999])])
def test_finished_weights_that_are_damaged_are_not_used_but_made_again(fresh, capsys, spoil):
    experiment = Experiment(Parameters(profile="smoke", N=4), fresh)
    model = experiment.pair(4)[0]
    run = experiment.train(model)
    path = run.path / f"weights-{run.summary['images_shown']}.safetensors"
    whole = path.read_bytes()
    spoil(path)
    store_module._SOUND.clear()
    assert not experiment.trained(model)
    experiment.networks(model)
    assert path.read_bytes() == whole
    assert f"{path} has changed; it is set aside" in capsys.readouterr().err


def test_a_last_checkpoint_without_weights_is_trained_anew(fresh, capsys):
    experiment = Experiment(Parameters(profile="smoke", N=4), fresh)
    model = experiment.pair(4)[0]
    run = experiment.train(model)
    whole = {path.name: path.read_bytes() for path in run.path.glob("weights-*")}
    partial = run.path.rename(run.path.with_suffix(".partial"))
    (partial / "record.json").unlink()
    for name in whole:
        (partial / name).unlink()
    assert {path.name: path.read_bytes() for path in experiment.train(model).path.glob("weights-*")} == whole
    assert "is missing or not whole, though the checkpoint has passed it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: flip_a_byte(folder / "images.npy"),
        lambda folder: (folder / "meta.json").write_text('{"shape": [1'),
        lambda folder: (folder / "catalogue.ecsv").unlink(),
    ],
    ids=["images", "meta.json", "catalogue"],
)
def test_a_damaged_data_set_in_the_store_is_made_again(tmp_path, capsys, spoil):
    asked = {"source": "simulated", "size": 16, "crop": 64, "count": 2}
    dataset = prepare(Store(tmp_path), **asked)
    spoil(dataset.directory)
    store_module._SOUND.clear()
    again = prepare(Store(tmp_path), **asked)
    again.verify()
    assert again.sha256 == dataset.sha256
    assert "it is set aside" in capsys.readouterr().err


def test_a_data_set_outside_the_store_that_has_changed_is_refused(experiment, tmp_path):
    given = shutil.copytree(experiment.dataset.directory, tmp_path / "mine")
    asked = Parameters(profile="smoke", N=4, data=str(given))
    assert len(Experiment(asked, experiment.store).dataset) == len(experiment.dataset)
    flip_a_byte(given / "images.npy")
    with pytest.raises(GalgenError, match=r"images\.npy has changed"):
        Experiment(asked, experiment.store).split()


def test_a_large_set_is_simulated_in_parts_of_which_each_is_made_once(tmp_path, monkeypatch):
    asked = {"size": 16, "crop": 64, "count": 7, "seed": 3}
    whole = prepare(Store(tmp_path / "one"), "simulated", **asked)
    monkeypatch.setattr("galgen.data.prepare.PART", 3)
    store, made = Store(tmp_path / "parts"), parts("simulated", **asked)
    assert [part["count"] for part in made] == [3, 3, 1] and parts("mine.npz", **asked) == []
    images, truth = simulate_part(store, made[1])
    assert (images == whole.images[3:6]).all() and list(truth["id"]) == list(whole.catalogue["id"][3:6])
    (first,) = store.runs("part")
    again = prepare(store, "simulated", **asked)
    assert again.sha256 == whole.sha256 and (again.catalogue == whole.catalogue).all()
    assert len(store.runs("part")) == 3 and store.get(first.key).record["created"] == first.record["created"]
