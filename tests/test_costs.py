import json
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError

from galbook.press.__main__ import main as press
from galgen import costs
from galgen.cli import main, prepare
from galgen.experiment import Experiment
from galgen.models.families import FAMILIES, STUDIES
from galgen.profiles import Parameters
from galgen.runs import checkpoint
from galgen.runs.errors import GalgenError

PLAN = [
    {"name": "diffusion-N8-A0-0", "disk_mb": 30.0, "memory_mb": 500},
    {"name": "gan-N8-A0-0", "disk_mb": 80.0, "memory_mb": 900},
]
OPTIONS = ["--profile", "smoke", "--N", "8"]


@pytest.fixture
def room(monkeypatch):
    """Sets what the machine says it has, MB."""

    def give(disk=1e6, memory=1e6):
        monkeypatch.setattr(costs, "free_disk_mb", lambda path: disk)
        monkeypatch.setattr(costs, "available_memory_mb", lambda: memory)

    give()
    return give


def test_flops_of_a_step_are_shared_by_the_images_of_a_batch():
    """Each image costs a product of (16, 9) and (9, 4), and each step one of (8, 8) and (8, 8)."""

    def matrices(images, noise, rate):
        torch.ones(8, 8) @ torch.ones(8, 8)
        torch.ones(len(images) * 16, 9) @ torch.ones(9, 4)

    each, step = 2 * 16 * 9 * 4, 2 * 8**3
    for batch_size in (1, 2, 16):
        found = costs.of_step(SimpleNamespace(step=matrices), torch.zeros(2, 1, 4, 4), batch_size)[0]
        assert found == pytest.approx(each + step / batch_size)


def test_what_is_kept_for_the_backward_pass_is_counted_by_image():
    """Of each image of 16 numbers, itself and its square."""

    def cubes(images, noise, rate):
        x = images * torch.ones(100, requires_grad=True)[0]  # keeps images, for the weight
        (x * x.detach().square()).sum().backward()  # and the square

    found = costs.of_step(SimpleNamespace(step=cubes), torch.zeros(3, 1, 4, 4), 8)[1]
    assert found == 2 * 16 * 4


@pytest.mark.parametrize(
    ("has", "says"),
    [
        ({"disk": 131}, r"2 models .* 132 MB in store, a margin included, and 131 MB .*GALGEN_STORE"),
        ({"memory": 899}, r"gan-N8-A0-0 needs about 900 MB of memory, and 899 MB"),
    ],
)
def test_what_just_fits_may_start_and_what_does_not_is_refused_with_the_ways_out(room, has, says):
    room(disk=1.2 * 110, memory=900)
    costs.check("store", PLAN)
    room(**has)
    with pytest.raises(GalgenError, match=says):
        costs.check("store", PLAN)
    costs.check("store", PLAN[:1])
    room(disk=0, memory=0)
    costs.check("store", [])


@pytest.fixture
def own(fresh, monkeypatch):
    """A store with the galaxies alone, which is that of the command line too."""
    monkeypatch.setenv("GALGEN_STORE", str(fresh.root))
    return fresh


@pytest.mark.parametrize("short", [{"disk": 0.01}, {"memory": 1}])
def test_no_training_starts_without_room(room, own, tmp_path, monkeypatch, capsys, short):
    monkeypatch.chdir(tmp_path)
    room(**short)
    experiment = Experiment(Parameters(profile="smoke", N=8), own)
    monkeypatch.setattr(experiment, "_train_apart", lambda name: pytest.fail(f"{name} was started"))
    with pytest.raises(GalgenError, match=r"2 models|training diffusion-N8"):
        experiment.ensure(experiment.models.pair(8))
    said = capsys.readouterr().out
    assert "minutes" in said and "MB" in said, "what it would have cost is said first"
    assert press(["prepare", *OPTIONS]) == 2, "the workflow's trainings wait for this step"
    assert main(["train", "diffusion-N8-A0-0", *OPTIONS]) == 2
    assert experiment.store.runs("diffusion") == []


@pytest.mark.parametrize("others", [True, False])
def test_preparing_data_takes_no_step_of_any_family(own, monkeypatch, capsys, others):
    for of in (FAMILIES | STUDIES).values():
        monkeypatch.setattr(of.learner, "step", lambda *given: pytest.fail("a step was taken"))
    prepare(asked=Parameters(profile="smoke", N=8), others=others)
    assert ("galaxies" in json.loads(capsys.readouterr().out)) == others


def test_a_model_that_is_in_the_store_needs_no_room(room, own):
    assert main(["train", "diffusion-N8-A0-0", *OPTIONS]) == 0
    room(disk=0, memory=0)
    assert main(["train", "diffusion-N8-A0-0", *OPTIONS]) == 0
    experiment = Experiment(Parameters(profile="smoke", N=8), own)
    wanted = experiment.models.trainings()
    left = {record["name"] for record in experiment.to_train(wanted)}
    assert left == {t.name for t in wanted} - {"diffusion-N8-A0-0"}


def test_a_disk_that_fills_during_a_training_is_told_with_what_was_needed(room, own, monkeypatch, capsys):
    save, written = checkpoint.save_file, []

    def full(tensors, path, metadata):
        if len(written) == 2:
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        written.append(path)
        save(tensors, path, metadata)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        assert main(["train", "diffusion-N8-A0-0", *OPTIONS]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("galgen")]
    experiment = Experiment(Parameters(profile="smoke", N=8), own)
    needed = max(record["disk_mb"] for record in experiment.plan())
    assert len(said) == 1 and f"needs about {needed:.1f} MB" in said[0] and "it goes on where" in said[0]
    assert main(["train", "diffusion-N8-A0-0", *OPTIONS]) == 0


@pytest.mark.parametrize("family", ["diffusion", "glow", "gan"])
def test_what_a_training_leaves_on_the_disk_is_no_more_than_was_said(fresh, family):
    experiment = Experiment(Parameters(profile="smoke", N=8), fresh, family=family)
    model = experiment.models.pair(8)[0]
    said = {record["name"]: record["disk_mb"] for record in experiment.plan()}[model.name]
    run = experiment.train(model)
    for shown in run.summary["weights"]:
        experiment.samples(model, shown)
    kept = [p for kind in (family, "samples") for p in (fresh.root / kind).rglob("*.safetensors")]
    assert len(kept) > 3
    assert sum(path.stat().st_size for path in kept) / 2**20 < said + 0.05 * len(kept)


@pytest.mark.parametrize("family", FAMILIES | STUDIES)
def test_there_is_room_for_all_weights_that_the_laptop_keeps_and_for_a_sample_of_each(family, fresh):
    planned = Experiment(Parameters(profile="laptop"), fresh, family=family)
    each = 4 * (planned.weights + planned.profile.samples * planned.images.size**2) / 2**20
    for record in planned.plan():
        assert record["disk_mb"] > len(planned.settings.kept(record["N"])) * each
