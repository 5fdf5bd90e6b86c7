import json
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError

from galgen import costs
from galgen.cli import main, prepare
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, STUDIES
from galgen.profiles import Parameters
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError

OPTIONS = ["--profile", "smoke", "--N", "8"]


@pytest.fixture
def room(monkeypatch):
    """Sets how much of the disk is free, MB."""

    def give(disk):
        monkeypatch.setattr(costs.shutil, "disk_usage", lambda path: SimpleNamespace(free=disk * 2**20))

    return give


def test_flops_of_a_step_are_shared_by_the_images_of_a_batch():
    """Each image costs a product of (16, 9) and (9, 4), and each step one of (8, 8) and (8, 8)."""

    def matrices(images, noise, rate):
        torch.ones(8, 8) @ torch.ones(8, 8)
        torch.ones(len(images) * 16, 9) @ torch.ones(9, 4)

    each, step = 2 * 16 * 9 * 4, 2 * 8**3
    for batch_size in (1, 2, 16):
        found = costs.of_step(SimpleNamespace(step=matrices), torch.zeros(2, 1, 4, 4), batch_size)
        assert found == pytest.approx(each + step / batch_size)


@pytest.fixture
def own(fresh, monkeypatch):
    """A store with the galaxies alone, which is that of the command line too."""
    monkeypatch.setenv("GALGEN_STORE", str(fresh.root))
    return fresh


def test_no_training_starts_without_room(room, own, monkeypatch, capsys):
    room(0.01)
    experiment = Experiment(Parameters(profile="smoke", N=8), own)
    monkeypatch.setattr(experiment, "_train_apart", lambda name: pytest.fail(f"{name} was started"))
    with pytest.raises(
        GalgenError, match=r"2 models .* MB in .*, a margin included, but 0 MB .*GALGEN_STORE"
    ):
        experiment.ensure(experiment.models.pair(8))
    assert "minutes" in capsys.readouterr().out, "what it would have cost is said first"
    assert main(["train", "diffusion-N8-A0-0", *OPTIONS]) == 2
    assert experiment.store.runs("diffusion") == []


def test_preparing_data_takes_no_step_of_any_family(own, monkeypatch, capsys):
    for of in (FAMILIES | STUDIES).values():
        monkeypatch.setattr(of.learner, "step", lambda *given: pytest.fail("a step was taken"))
    prepare(parameters=Parameters(profile="smoke", N=8))
    assert {"dataset", "galaxies"} <= set(json.loads(capsys.readouterr().out))


def test_a_model_that_is_in_the_store_needs_no_room(room, own):
    assert main(["train", "diffusion-N8-A0-0", *OPTIONS]) == 0
    room(0)
    assert main(["train", "diffusion-N8-A0-0", *OPTIONS]) == 0
    experiment = Experiment(Parameters(profile="smoke", N=8), own)
    wanted = experiment.models.trainings()
    left = {record["name"] for record in experiment.to_train(wanted)}
    assert left == {t.name for t in wanted} - {"diffusion-N8-A0-0"}


def test_a_disk_that_fills_during_a_training_is_told_with_what_was_needed(own, monkeypatch, capsys):
    def full(tensors, path, metadata):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        assert main(["train", "diffusion-N8-A0-0", *OPTIONS]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("galgen")]
    experiment = Experiment(Parameters(profile="smoke", N=8), own)
    needed = max(record["disk_mb"] for record in experiment.plan())
    assert len(said) == 1 and f"needs about {needed:.1f} MB" in said[0] and "it resumes where" in said[0]
    assert main(["train", "diffusion-N8-A0-0", *OPTIONS]) == 0


@pytest.mark.parametrize("family", ["diffusion", "glow", "gan"])
def test_what_a_training_leaves_on_the_disk_is_no_more_than_was_said(fresh, family):
    experiment = Experiment(Parameters(profile="smoke", N=8), fresh, family=family)
    model = experiment.models.pair(8)[0]
    said = {record["name"]: record["disk_mb"] for record in experiment.plan()}[model.name]
    run = experiment.train(model)
    for shown in run.summary["weights"]:
        experiment.samples(model, shown)
    kept = [
        p for kind in (family, "samples") for p in (fresh.root / kind).rglob("*.*") if p.suffix != ".json"
    ]
    assert len(kept) > 3
    assert sum(path.stat().st_size for path in kept) / 2**20 < said + 0.05 * len(kept)


@pytest.mark.parametrize("family", FAMILIES | STUDIES)
def test_there_is_room_for_all_weights_that_the_laptop_keeps_and_for_a_sample_of_each(family, fresh):
    planned = Experiment(Parameters(profile="laptop"), fresh, family=family)
    each = 4 * (planned.weights + planned.profile.samples * planned.images.size**2) / 2**20
    for record in planned.plan():
        assert record["disk_mb"] > len(planned.settings.milestones_at(record["N"])) * each
