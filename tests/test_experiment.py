import copy
import re
import shutil

import numpy as np
import pytest
import torch
from test_code import edited

from galbook.measure.normalized_agreement import agreement_in_training, normalized_agreement
from galgen import profiles as settings
from galgen.data import preprocess
from galgen.data.prepare import prepare
from galgen.data.simulate import source
from galgen.data.split import dihedral_keys
from galgen.experiment import Experiment
from galgen.figures import style
from galgen.models import diffusion, families, gan, glow, glow_learner, sampling, unet
from galgen.models.families import FAMILIES
from galgen.profiles import PROFILES, DiffusionSettings, Parameters, profile
from galgen.runs import checkpoint, schedules, training
from galgen.runs import store as store_module
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store


@pytest.fixture(scope="module")
def experiment(galaxies_of_smoke, tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    for folder in galaxies_of_smoke:
        shutil.copytree(folder, root / "dataset" / folder.name)
    return Experiment(Parameters(profile="smoke", N=[4, 6]), Store(root))


def test_a_trial_has_the_networks_of_its_profile_and_five_steps():
    whole, trial = profile("paper"), profile("paper-trial")
    assert trial.name == "paper-trial" and trial.image_size == whole.image_size
    for part in ("diffusion", "conditional", "glow", "gan"):
        one, other = getattr(whole, part), getattr(trial, part)
        assert other.images_shown(8) == other.images_shown(24) == 5 * other.batch_size
        changed = {name for name, value in one if value != getattr(other, name)}
        few = {"N", "design_N", "batch_size", "images_cap", "milestones", "epochs", "sampler_steps"}
        few |= {"learning_rate", "muon_rate", "more_pairs"}
        assert changed <= few, "networks and optimizers are those of the profile"
    whole, trial = profile("laptop").diffusion, profile("laptop-trial").diffusion
    assert [trial.pairs_at(N) for N in trial.N] == [whole.pairs_at(N) for N in (whole.N[0], whole.N[-1])]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("profile", ["smoke", "laptop"])  # the paper's networks take long to build
def test_every_family_can_be_planned(profile, family, tmp_path):
    planned = Experiment(Parameters(profile=profile), Store(tmp_path), family=family)
    first, *larger = (len(planned.models.pairs(N)) for N in planned.sizes)
    # The 2x2, if there is one, but for model B, and for A of a second pair.
    beyond_pairs = (3 if first == 1 else 2) * bool(planned.models.design())
    beyond_pairs += len(planned.settings.out_of_domain)
    records = planned.plan()
    assert len(records) == len({r["name"] for r in records}) == 2 * (first + sum(larger)) + beyond_pairs


def test_no_two_models_of_the_pairs_share_initialisation_order_or_noise(experiment):
    flow = Experiment(experiment.parameters, experiment.store, family="glow")
    models = [model for pair in flow.models.pairs(6) for model in pair]
    assert len(models) == 8 and [model.half for model in models] == ["A", "B"] * 4
    assert len({m.init for m in models}) == len({m.order for m in models}) == 8


def test_models_differ_in_images_initialisation_and_order_as_their_names_say(experiment):
    a, b = experiment.models.pair(6)
    images = {t: {x.tobytes() for x in experiment.images.of(t)} for t in (a, b)}
    assert len(images[a]) == len(images[b]) == 6 and not images[a] & images[b]
    design = experiment.models.design()
    small = experiment.models.pair(design["same", "same"].N)[0]
    assert np.array_equal(experiment.images.of(design["other", "same"]), experiment.images.of(small))
    nets = {t: experiment._networks(t.init)["net"].parameters() for t in design.values()}
    weights = {t: torch.cat([p.flatten() for p in net]) for t, net in nets.items()}
    assert torch.equal(weights[design["same", "same"]], weights[design["same", "disjoint"]])
    assert not torch.equal(weights[design["same", "same"]], weights[design["other", "same"]])
    other = experiment.models.out_of_domain()[0]
    assert other.init != a.init and other.order != a.order


@pytest.mark.parametrize("family", FAMILIES)
def test_an_untrained_model_draws_without_being_trained(fresh, family):
    asked = Experiment(Parameters(profile="smoke", N=4), fresh, family=family)
    model = asked.models.pair(4)[0]
    drawn = asked.samples(model, 0, 2)
    assert not asked.trained(model) and drawn.isfinite().all()
    assert not torch.equal(drawn, asked.samples(model, count=2))
    nets = [asked.networks(model, shown) for shown in (0, None)]
    assert set(nets[0]) == set(nets[1]) and not any(net.training for net in nets[0].values())


def test_foreign_models_share_no_seed_and_no_image_with_the_pairs_or_with_each_other(fresh):
    asked = Experiment(Parameters(profile="smoke", N=4), fresh)
    asked.settings = asked.settings.model_copy(update={"out_of_domain": ("galaxies", "galaxies", "leaves")})
    models = asked.models.out_of_domain()
    assert [model.name.rpartition("-")[2] for model in models] == ["galaxies", "galaxies", "leaves"]
    assert not {m.init for m in models} & {m.init for k in range(9) for m in asked.models.pair(4, k)}
    sets = [{image.tobytes() for image in asked.images.of(model)} for model in models]
    assert all(len(each) == 4 for each in sets) and not sets[0] & sets[1]
    assert not set(dihedral_keys(asked.images.dataset.images)) & set(
        dihedral_keys(asked.images.out_of_domain("galaxies").images)
    )
    leaves = asked.images.of(models[2])
    assert leaves.shape == (4, 1, 16, 16) and leaves.mean() > 2 * asked.images.of(models[0]).mean()


def test_a_run_below_the_published_N_trains_pairs_and_compares_with_the_published_run(fresh, monkeypatch):
    few = Experiment(Parameters(N=500), fresh)
    for question in (normalized_agreement, agreement_in_training):
        assert question.models(few, 500) == [*few.models.pair(500)]
    names = [f"diffusion-N{of}" for of in ("4000-A100-100-galaxies", "500-A0-0", "500-B1-1")]
    assert sorted(record["name"] for record in few.plan()) == names
    monkeypatch.setenv("RECOMPUTE", "1")
    assert [model.N for model in Experiment(Parameters(N=500), fresh).models.out_of_domain()] == [500] * 3
    monkeypatch.setattr("galgen.experiment.has_published", lambda _: True)
    few, every = (Experiment(Parameters(profile="smoke", N=N), fresh) for N in (8, None))
    assert torch.equal(few.images.start, every.images.start)
    assert normalized_agreement.identity(few, 8)["params"]["largest"] == [8, 24]


def test_weights_are_kept_at_the_same_counts_whatever_N():
    assert DiffusionSettings().milestones_at(4000) == [512, 2048, 8192, 24_000, 36_000, 48_000, 72_000]
    assert DiffusionSettings().milestones_at(10) == [512, 2048, 8192, 12_000, 24_000]
    clock = PROFILES["laptop"].onset8
    assert clock.images_shown(100) == 200_000 and {2048, 180_000, 200_000} < set(clock.milestones_at(100))
    assert len(clock.milestones_at(300)) == 18


@pytest.mark.parametrize(
    ("asked", "own"), [((100, 4000), (300,)), ((500,), (300,)), ((50,), (50,)), ((4, 6), (4, 6))]
)
def test_a_study_keeps_its_own_sizes_as_far_as_they_are_not_beyond_those_asked(fresh, asked, own):
    parameters = Parameters(profile="laptop", N=asked)
    assert Experiment(parameters, fresh, family="onset8").sizes == own
    assert Experiment(parameters, fresh).sizes == asked


def test_of_galaxies_of_ones_own_the_clock_is_asked_where_a_run_says_so(fresh):
    own = Parameters(data="mine.npz", onset_study=True)
    assert Experiment(own, fresh, family="onset8").sizes == (10, 100, 300)
    assert Experiment(own.model_copy(update={"onset_study": False}), fresh, family="onset8").sizes == ()
    assert Experiment(own, fresh, family="onset4").sizes == ()


def test_a_model_is_trained_once_and_its_samples_are_kept(experiment):
    model = experiment.models.pair(4)[0]
    first = experiment.samples(model, count=5)
    runs = len(experiment.store.runs())
    again = Experiment(experiment.parameters, experiment.store).samples(model, count=5)
    assert len(experiment.store.runs()) == runs
    assert torch.equal(first, again)
    assert first.shape == (5, 1, 16, 16)
    assert torch.equal(experiment.samples(model, count=3), first[:3])


def test_the_latents_are_shared_and_the_weights_along_the_way_are_there(experiment):
    a, b = experiment.models.pair(4)
    early = experiment.train(a).summary["weights"][0]
    assert not torch.equal(experiment.samples(a, early, 4), experiment.samples(a, count=4))
    before = experiment.samples(a, 0, 4)
    assert not torch.equal(before, experiment.samples(a, early, 4)) and before.isfinite().all()
    assert experiment.latents(4) == Experiment(experiment.parameters, experiment.store).latents(4)
    assert experiment.samples(b, count=4).shape == experiment.samples(a, count=4).shape


def test_missing_models_are_trained_in_processes_of_their_own(experiment, capfd):
    wanted = [experiment.models.pair(6)[0], experiment.models.pair(6)[1]]
    runs = experiment.ensure(wanted)
    assert "2 models to train" in capfd.readouterr().out
    assert set(runs) == set(wanted)
    experiment.ensure(wanted)
    assert "to train" not in capfd.readouterr().out


EVERY, DENOISERS = {*FAMILIES, "onset8"}, {"diffusion", "conditional", "onset8"}


def keys(experiment):
    """The keys of A and B at N = 4, by family."""
    asked = {name: Experiment(experiment.parameters, experiment.store, family=name) for name in EVERY}
    pairs = {name: each.models.pair(4) for name, each in asked.items()}
    return {name: {each.store.key(**each.identity(t)) for t in pairs[name]} for name, each in asked.items()}


EDITS = {  # and the families whose models are then trained again
    "a schedule": (EVERY, schedules, "0.5 * (1 + math.cos(", "0.4 * (1 + math.cos("),
    "the warm-up of a schedule": (EVERY, schedules, "(shown + 1) / 1000,", "(shown + 1) / 2000,"),
    "the gray levels": (EVERY, preprocess, "np.rint(", "np.floor("),
    "the U-Net": (DENOISERS, unet, "relu_()", "relu()"),
    "the images that initialise Glow": ({"glow"}, glow_learner, "images[:256]", "images[:255]"),
    "Glow": ({"glow"}, glow, "2 * (raw / 2)", "3 * (raw / 3)"),
    "the loss of the generator": ({"gan"}, gan, ".mean()  # Eq. (9)", ".sum()"),
    "a stricter check of a checkpoint": (set(), checkpoint, "save_file({name", "save_file({str(name)"),
    "the log cut elsewhere": (set(), training, "checkpoint.cut_log(log, shown)", "pass"),
    "more asked of a learner": (set(), training, "_require_finite(learner, shown)", "shown = int(shown)"),
    "words": (set(), schedules, "Keep the learning rate constant.", "Always one learning rate."),
    "another sampler": (set(), sampling, "(2 * previous_h)", "(3 * previous_h)"),
    "a new foreign set": (set(), settings, '"galaxies", "leaves"]', '"galaxies", "leaves", "blobs"]'),
    "another family": (set(), families, '"gan": ', '"own": "own:Own", "gan": '),
    "a rename in the figures": (set(), style, "def stamp_sheet(", "def sheet("),
    "how the store keeps": (set(), store_module, "partial.rename(path)", "os.replace(partial, path)"),
}


@pytest.mark.parametrize(("again", "module", "old", "new"), EDITS.values(), ids=EDITS)
def test_an_edit_gives_another_key_to_what_it_changes_alone(experiment, monkeypatch, again, module, old, new):
    before = keys(experiment)
    edited(monkeypatch, module.__name__, old, new)
    after = keys(experiment)
    assert {name for name in EVERY if not before[name] & after[name]} == again
    assert {name for name in EVERY if before[name] == after[name]} == EVERY - again


OTHER = {
    "initialisation": (Experiment, "_seeds", lambda self, t: {"init": 7 + t.init, "order": t.order}),
    "order and noise": (Experiment, "_seeds", lambda self, t: {"init": t.init, "order": 7 + t.order}),
    "where weights are kept": (DiffusionSettings, "milestones_at", lambda self, N: [self.images_shown(N)]),
    "flips": (diffusion.Diffusion, "flips", not diffusion.Diffusion.flips),
}


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_seeds_milestones_and_flips_are_part_of_the_key(experiment, monkeypatch, change):
    before = keys(experiment)
    monkeypatch.setattr(*change)
    assert not before["diffusion"] & keys(experiment)["diffusion"]


def test_how_many_models_there_are_is_no_part_of_how_one_is_trained():
    many = DiffusionSettings(N=(5,), pairs=3, more_pairs={5: 2}, out_of_domain=("leaves",), design_N=5)
    assert many.recipe() == DiffusionSettings().recipe()


def test_what_a_key_is_made_of(experiment):
    model = experiment.models.pair(4)[0]
    identity = experiment.identity(model)
    assert set(identity) == {"kind", "params", "code", "data"}
    assert set(identity["params"]) == {
        *("N", "images_shown", "milestones", "flips", "seeds", "precision", "schedule", "batch_size"),
        *("optimizer", "learning_rate", "muon_rate", "base_channels", "blocks", "statistics", "loss"),
    }
    assert identity["code"] - experiment.images.code() == {
        *("galgen.models.unet", "galgen.models.diffusion", "galgen.models.muon"),
        *("galgen.runs.batches", "galgen.runs.schedules", "galgen.data.split"),
    }
    assert re.fullmatch("[0-9a-f]{16}, split 0, 32 held out, 4 of A", identity["data"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_is_made_with_what_its_key_says(fresh, monkeypatch, family):
    experiment = Experiment(Parameters(profile="smoke", N=4), fresh, family=family)
    model, made = experiment.models.pair(4)[1], {}

    def states(learner):
        return {name: copy.deepcopy(net.state_dict()) for name, net in learner.networks.items()}

    def train(learner, images, directory, stream, **options):
        made.update(options, **vars(stream), images=images, networks=states(learner))
        return {}

    monkeypatch.setattr(training, "train", train)
    record = experiment.train(model).record
    params = record["params"]
    assert made["total"] == params["images_shown"] and made["N"] == params["N"]
    for name in ("flips", "milestones", "batch_size"):
        assert made[name] == params[name]
    assert made["schedule"].__name__ == params["schedule"]
    assert made["seed_order"] == made["seed_noise"] == params["seeds"]["order"] == 1
    assert (made["images"] == experiment.images.of(model)).all()
    torch.manual_seed(params["seeds"]["init"])
    given = (experiment.family.networks(), made["images"], made["images"], experiment.settings)
    for name, state in states(experiment.family.learner(*given)).items():
        for key, value in state.items():
            assert torch.equal(value, made["networks"][name][key]), (name, key)


def flip_a_byte(path):
    """In the last number of a file, which is read without complaint."""
    content = bytearray(path.read_bytes())
    content[-2] ^= 64
    path.write_bytes(content)


def test_finished_weights_that_are_damaged_are_not_used_but_made_again(fresh, capsys):
    experiment = Experiment(Parameters(profile="smoke", N=4), fresh)
    model = experiment.models.pair(4)[0]
    run = experiment.train(model)
    path = run.path / f"weights-{run.summary['images_shown']}.safetensors"
    whole = path.read_bytes()
    flip_a_byte(path)
    store_module._VERIFIED.clear()
    assert not experiment.trained(model)
    experiment.networks(model)
    assert path.read_bytes() == whole
    assert f"{path} has changed; moved to" in capsys.readouterr().err


def test_a_data_set_outside_the_store_that_has_changed_is_refused(experiment, tmp_path):
    given = shutil.copytree(experiment.images.dataset.directory, tmp_path / "mine")
    asked = Parameters(profile="smoke", N=4, data=str(given))
    assert len(Experiment(asked, experiment.store).images.dataset) == len(experiment.images.dataset)
    flip_a_byte(given / "images.npy")
    with pytest.raises(GalgenError, match=r"images\.npy has changed"):
        Experiment(asked, experiment.store).images.split()


def test_a_simulation_that_was_interrupted_begins_anew_and_comes_out_the_same(tmp_path, monkeypatch):
    asked = {"size": 16, "crop": 64, "count": 3, "seed": 3}
    whole = prepare(Store(tmp_path / "one"), "simulated", **asked)
    write, store = source.write_dataset, Store(tmp_path / "another")

    def interrupted(*given, **about):
        write(*given, **about)
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "write_dataset", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(store, "simulated", **asked)
    monkeypatch.setattr(source, "write_dataset", write)
    again = prepare(store, "simulated", **asked)
    assert again.sha256 == whole.sha256 and (again.catalogue == whole.catalogue).all()
