"""Tests that every registered family of models must pass; tests of one family are in a separate file."""

import itertools

import numpy as np
import pytest
import torch

from galgen import profiles
from galgen.figures.style import COLOURS
from galgen.models.families import FAMILIES, STUDIES
from galgen.runs import checkpoint
from galgen.runs.batches import BatchSampler
from galgen.runs.schedules import cosine
from galgen.runs.training import train

SMOKE = profiles.profile("smoke")
# Of the studies one: they differ in their width, and by little in this profile.
ALL = FAMILIES | {"onset8": STUDIES["onset8"]}
every_family = pytest.mark.parametrize("name", ALL)

PAPER = {"diffusion": 7_659_264, "glow": 44_055_504, "gan": 35_761_163}  # "7.7", "44.1", "36 million"
LOSS = {"gan": "reconstruction"}  # that falls most; of the others it is the first
# Batch norm and softmax take out what a bias before them adds: of that a gradient is rounding alone.
IDLE = ("generator.up.", "generator.first.0.", "generator.excite.32.attention")


def galaxies(n=12, seed=0):
    """One bright spot each, uint8 (n, 1, 16, 16)."""
    rng = np.random.default_rng(seed)
    place, (y, x) = rng.uniform(4, 12, (2, n, 1, 1)), np.indices((16, 16))
    spots = np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / rng.uniform(2, 20, (n, 1, 1)))
    return (20 + 200 * spots).astype(np.uint8)[:, None]


IMAGES, HELD_OUT = galaxies(), galaxies(8, 1)


def made(name, seed=0, precision="fp32", held_out=HELD_OUT):
    family = ALL[name](SMOKE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        given = family.networks(), IMAGES, held_out, family.settings
        return family, family.learner(*given, precision=precision)


def taught(learner, steps):
    """The losses of so many steps on one batch, each with noise of its own."""
    x = torch.from_numpy(IMAGES).float() / 255
    return [learner.step(x, torch.Generator().manual_seed(k), 1.0) for k in range(steps)]


def weights(learner):
    return {name: net.state_dict() for name, net in learner.networks.items()}


def equal(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("name", PAPER)
def test_paper_size_has_the_papers_number_of_parameters(name):
    with torch.device("meta"):
        networks = FAMILIES[name](profiles.profile("paper")).networks()
    learning = [p for net in networks.values() for p in net.parameters() if p.requires_grad]
    assert sum(p.numel() for p in learning) == PAPER[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_a_colour_under_its_label(name):
    assert FAMILIES[name](SMOKE).label.lower() in COLOURS


@every_family
def test_every_parameter_gets_a_gradient(name):
    _, learner = made(name)
    learning = {f"{n}.{k}": p for n, net in learner.networks.items() for k, p in net.named_parameters()}
    largest = {key: 0.0 for key, p in learning.items() if p.requires_grad}

    def see(p, key):
        largest[key] = max(largest[key], p.grad.abs().max().item())

    for key in largest:
        learning[key].register_post_accumulate_grad_hook(lambda p, key=key: see(p, key))
    taught(learner, 3)  # a flow's couplings begin at zero, and let nothing through in the first
    without = [key for key, value in largest.items() if value < 1e-6]
    assert not [key for key in without if not (key.endswith("bias") and key.startswith(IDLE))]


@every_family
def test_steps_learn(name):
    _, learner = made(name)
    said = taught(learner, 50)
    losses = [step[LOSS.get(name, next(iter(step)))].item() for step in said]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:3])


@every_family
def test_held_out_images_enter_no_gradient(name):
    (_, one), (_, other) = (made(name, held_out=images) for images in (HELD_OUT, 255 - HELD_OUT))
    losses = [taught(learner, 3)[-1] for learner in (one, other)]
    equal(weights(one), weights(other))
    assert name != "gan" or losses[0]["D_held_out"] != losses[1]["D_held_out"]


@every_family
def test_a_sample_is_named_by_its_seed_and_not_by_its_batch(name):
    family, learner = made(name)
    taught(learner, 3)
    networks = {key: net.eval() for key, net in learner.networks.items()}
    start = torch.from_numpy(IMAGES.mean(0) / 255).float()
    together = family.draw(networks, range(11), start, chunk=4)
    assert together.shape == (11, 1, 16, 16) and together.isfinite().all()
    equal(family.draw(networks, [7], start, chunk=4)[0], together[7])
    equal(family.draw(networks, [10, 3], start, chunk=4), together[[10, 3]])
    in_fives = family.draw(networks, range(11), start, chunk=5)
    torch.testing.assert_close(in_fives, together, rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


def run(name, folder, *, seed=0, precision="fp32", killed_at=None):
    """Train for twelve steps, with a checkpoint after every other, or until killed in one of them."""
    family, learner = made(name, seed, precision)
    step, count = learner.step, itertools.count()

    def until_killed(*given):
        if next(count) == killed_at:
            raise KeyboardInterrupt
        return step(*given)

    learner.step = until_killed
    stream = BatchSampler(12, 96, 8, 1, 2, cosine, flips=family.flips)
    options = {"milestones": (40,), "report_every": 2, "save_every_seconds": 0.0, "progress": False}
    train(learner, IMAGES, folder, stream, **options)
    return checkpoint.load(folder / "checkpoint.pt")


@every_family
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_training_resumes_bit_for_bit(name, precision, tmp_path):
    whole = run(name, tmp_path / "whole", precision=precision)
    with pytest.raises(KeyboardInterrupt):
        run(name, tmp_path / "killed", precision=precision, killed_at=7)
    assert checkpoint.load(tmp_path / "killed" / "checkpoint.pt")["shown"] == 48
    resumed = run(name, tmp_path / "killed", precision=precision, seed=9)  # all comes from the checkpoint
    equal(resumed["networks"], whole["networks"])
    for optimizer, state in whole["optimizers"].items():
        equal(resumed["optimizers"][optimizer]["state"], state["state"])
    for file in ("losses.jsonl", "weights-40.safetensors", "weights-96.safetensors"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
