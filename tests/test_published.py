"""Published models: keys, contents of their files, and samples close to those of the trainings."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import galgen
from galbook.explorer.answers import Explorer
from galgen.cli import main
from galgen.compare.similarity import cosine
from galgen.experiment import every_family
from galgen.models.families import FAMILIES
from galgen.profiles import Parameters
from galgen.published import StoreWithPublished, model_cards, publish, published, start_of, weights_of
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError
from galgen.runs.store import Store

PARAMETERS = Parameters(profile="smoke", N=12)


@pytest.fixture
def elsewhere(folder, trained, tmp_path):
    """A store that has the data and no models, beside the published set."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "dataset").symlink_to(trained.root / "dataset")
    return StoreWithPublished(tmp_path / "store", folder)


def test_they_draw_nearly_what_the_trainings_drew(trained, elsewhere):
    originals, copies = (every_family(PARAMETERS, store).values() for store in (trained, elsewhere))
    for there, here in zip(originals, copies, strict=True):
        for training in here.models.pair(12):
            assert here.train(training).key != there.train(training).key
            drawn, original = here.samples(training, count=8), there.samples(training, count=8)
            assert cosine(drawn, original, kind="raw").min() > 0.999
    assert not [path for path in elsewhere.root.iterdir() if path.name in FAMILIES]


def test_convolutions_alone_are_halved_and_no_discriminator_is_kept(folder):
    for run in published(folder).runs():
        state = checkpoint.load_weights(weights_of(run))
        assert not {"discriminator", "generator"} & state.keys() and start_of(run).ndim == 3
        tensors = [t for name, net in state.items() if name != "start" for t in net.values()]
        assert {t.dtype for t in tensors if t.ndim >= 4} == {torch.float16}
        assert torch.float16 not in {t.dtype for t in tensors if t.ndim < 4}


def test_other_parameters_and_other_images_are_not_theirs(elsewhere):
    for other in ({"seed": 1}, {"N": (13,)}):
        experiment = every_family(PARAMETERS.model_copy(update=other), elsewhere)["gan"]
        assert not experiment.trained(experiment.models.pair(experiment.sizes[0])[0])


def test_a_training_of_the_store_goes_before_the_published(folder, trained):
    experiment = every_family(PARAMETERS, StoreWithPublished(trained.root, folder))["diffusion"]
    run = experiment.train(experiment.models.pair(12)[0])
    assert trained.root in run.path.parents


def test_the_explorer_answers_on_them_and_says_so(elsewhere):
    explorer = Explorer(PARAMETERS, elsewhere)
    assert [len(row.stamps) for row in explorer.latent(3, 12)] == [4] * 4


def test_publishing_again_replaces(folder, trained):
    experiment = every_family(PARAMETERS, trained)["gan"]
    publish(experiment, experiment.models.pair(12)[0], folder)
    assert len(published(folder).runs()) == 2 * len(FAMILIES)


def test_publishing_writes_nothing_into_the_store_which_may_be_read_only(trained, tmp_path):
    for kind in ("dataset", "gan"):
        shutil.copytree(trained.root / kind, tmp_path / "store" / kind)
    experiment = every_family(PARAMETERS, Store(tmp_path / "store"))["gan"]
    before = set(experiment.store.root.rglob("*"))
    publish(experiment, experiment.models.pair(12)[0], tmp_path / "set")
    assert set(experiment.store.root.rglob("*")) == before


def test_what_is_not_trained_cannot_be_published(elsewhere, tmp_path):
    experiment = every_family(PARAMETERS.model_copy(update={"seed": 1}), Store(elsewhere.root))["diffusion"]
    with pytest.raises(GalgenError, match="galgen train diffusion-N12-A0-0 --profile smoke"):
        publish(experiment, experiment.models.pair(12)[0], tmp_path)


def test_the_header_of_the_weights_says_what_they_are_and_a_store_of_trainings_is_not_written_over(
    folder, trained
):
    run = next(run for run in published(folder).runs("gan"))
    about = checkpoint.about_weights(weights_of(run))
    assert about["key"] == run.path.name and about["N"] == "12" and about["license"] == "BSD-3-Clause"
    experiment = every_family(PARAMETERS, trained)["gan"]
    with pytest.raises(GalgenError, match="is a run store of trainings"):
        publish(experiment, experiment.models.pair(12)[0], trained.root)


def test_the_published_models_of_the_project_stand_for_todays_trainings():
    experiments = every_family(Parameters(), StoreWithPublished(Path("/nowhere")))
    for experiment in experiments.values():
        for N in (experiment.sizes[0], experiment.sizes[-1]):
            assert all(experiment.trained(model) for model in experiment.models.pair(N))


PACKAGED = ("conditional-N4000-A0", "conditional-N4000-B1", "diffusion-N4000-A0", "diffusion-N4000-B1")


@pytest.mark.parametrize("name", [*PACKAGED, "diffusion-N10-A0"])
def test_a_model_of_the_wheel_is_the_training_of_the_published_tables(name):
    """Its samples are those of the training in full precision, whose gray levels are in the table."""
    family, N, model = name.split("-")
    with np.load("results/laptop-simulated/arrays/samples.npz") as arrays:
        trained = torch.from_numpy(arrays[f"{family}-{N[1:]}/{model}"])[:, None] / 255
    drawn = torch.from_numpy(galgen.sample(name[:-1], len(trained)).clip(0, 1))[:, None]
    mean = trained.mean(0).numpy()
    assert np.median(cosine(drawn, trained, kind="anomaly", mean=mean)) >= 0.999


def test_what_is_trained_is_published_and_the_rest_named(trained, tmp_path, capsys):
    options = ["--profile", "smoke", "--store", str(trained.root)]
    assert main(["train", "gan-N8-A0-0", *options]) == 0
    asked = ["models", "export", "--N", "8", *options, "--out", str(tmp_path)]
    capsys.readouterr()
    assert main(asked) == 0
    said, names = capsys.readouterr().out, {run.summary["name"] for run in published(tmp_path).runs()}
    both = [f"{family}-N8-{half}" for family in FAMILIES for half in ("A0-0", "B1-1")]
    assert "gan-N8-A0-0" in names and len(said.splitlines()) == len(both)
    assert all((name in names) != (f"not trained: {name}\n" in said) for name in both)
    assert main([*asked, "--seed", "7"]) == 2
    assert "nothing to publish" in capsys.readouterr().err


def test_the_model_cards_are_those_of_the_published_records():
    store = published()
    assert (store.root / "README.md").read_text() == model_cards(store), "run galgen publish"
