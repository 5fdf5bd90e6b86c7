"""Whether a model was trained on an image: the score of two models, its quantile, and the command."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from galgen.cli import main
from galgen.compare.membership import NOISES, SIGMA, Membership, losses, membership
from galgen.inference.loading import load_model
from galgen.inference.trained_on import measured_pairs, trained_on, true_positive_rate
from galgen.runs.errors import GalgenError

RNG = np.random.default_rng(0)
OWN, OTHERS, HELD_OUT = (RNG.integers(0, 256, (n, 1, 8, 8), np.uint8) for n in (5, 6, 40))


def knows(images):
    """A denoiser that has its images by heart: of another one it says the mean gray."""
    kept = torch.from_numpy(images / np.float32(255))

    def denoise(y, sigma):
        off = (y[:, None] - kept[None]).square().mean((2, 3, 4))
        nearest, index = off.min(1)
        return torch.where((nearest < 2 * SIGMA**2)[:, None, None, None], kept[index], 0.5)

    return denoise


def test_the_loss_is_the_mean_square_over_noises():
    x = HELD_OUT[:3] / 255
    assert np.allclose(
        losses(lambda y, sigma: torch.full_like(y, 0.5), HELD_OUT[:3]), ((x - 0.5) ** 2).mean((1, 2, 3))
    )
    left = losses(lambda y, sigma: y, HELD_OUT[:3])  # the noise itself
    assert np.allclose(left, left[0]) and abs(left[0] / SIGMA**2 - 1) < 5 * (2 / (64 * NOISES)) ** 0.5


def test_own_images_are_found_and_others_are_placed_among_the_held_out():
    found = membership(knows(OWN), knows(OTHERS), np.concatenate([OWN, OTHERS, HELD_OUT[:2]]), HELD_OUT)
    assert (found.score[:5] > 0).all() and (found.score[5:11] < 0).all() and (found.score[11:] == 0).all()
    assert np.allclose(found.rate[:5], 1 / 41) and np.allclose(found.rate[5:], 1)
    assert membership(knows(OWN), knows(OTHERS), OWN, HELD_OUT).auc.value == 1
    nobody = membership(knows(OTHERS), knows(OTHERS), OWN, HELD_OUT)
    assert nobody.auc.value == 0.5 and (nobody.rate == 1).all()


def test_a_score_is_of_its_image_alone():
    one, many = (membership(knows(OWN), knows(OTHERS), x, HELD_OUT).score for x in (OWN[3:4], OWN))
    assert np.allclose(one, many[3:4])


def test_nothing_to_ask_is_said():
    with pytest.raises(GalgenError, match="0 images and 40 held-out ones"):
        membership(knows(OWN), knows(OTHERS), OWN[:0], HELD_OUT)


def test_the_true_false_positive_rate_scatters_as_told():
    held_out = np.random.default_rng(0).random((500, 199))  # of uniform scores it is 1 - threshold
    rates = 1 - np.sort(held_out)[:, -2]
    power, (low, high) = true_positive_rate(Membership(np.sort(held_out[0])[-4:], held_out[0], np.empty(4)))
    assert power.value == 0.25 and rates.mean() == pytest.approx(0.01, abs=0.001)
    assert 0.92 < np.mean((low < rates) & (rates < high)) < 0.98


@pytest.fixture
def sets(smoke, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    book = smoke["diffusion"]
    dataset, split = book.images.dataset, book.images.split(12)
    others = dataset.images[np.setdiff1d(dataset.distinct, [*split.A, *split.B])]
    np.save("own.npy", book.images.of(book.models.pair(12)[0]))
    files = {"held-out": others[:110], "few": others[:98], "dark": others[110:] // 3, "among": others[:4]}
    for name, images in files.items():
        np.save(f"{name}.npy", images)
    np.savez("large.npz", images=RNG.integers(0, 256, (3, 24, 24), np.uint8))
    np.save("colour.npy", RNG.integers(0, 256, (3, 16, 16, 3), np.uint8))
    return folder


ASKED = ["audit", "--model=diffusion-N12-A", "--other-model=diffusion-N12-B", "--images=own.npy"]
ASKED += ["--held-out=held-out.npy"]


def test_the_command_prints_each_image_and_what_can_be_found_at_all(smoke, sets, capsys):
    for _ in range(2):  # an answer is written over an answer
        assert main([*ASKED, f"--models={sets}", "--out", "mine"]) == 0
    (said, progress), kept = capsys.readouterr(), json.loads(open("mine.json").read())
    assert "membership: 100 % of 7.81k images" in progress
    book = smoke["diffusion"]
    assert len(kept["score"]) == 12 and len(kept["held_out"]) == 110
    about = {"model": "diffusion-N12-A0-0", "data": "simulated", "profile": "smoke", "seed": 0}
    assert about.items() <= kept["model"].items() and len(kept["model"]["key"]) == 16
    D = [book.family.denoiser(book.networks(t)) for t in book.models.pair(12)]
    wanted = membership(*D, *(np.load(f"{name}.npy") for name in ("own", "held-out")))
    assert np.allclose(kept["score"], wanted.score, atol=2e-3 * np.abs(wanted.score).max())
    assert f"{kept['rate'][0]:.4f}" in said and "not measured for" in said
    measured = [{"model": "x", "other_model": "y", "auc": [0.52, 0.46, 0.58]}]
    try:
        (sets / "membership.json").write_text(json.dumps(measured))
        assert measured_pairs(sets) == ["x with y: AUC 0.52 [0.46, 0.58]"]
        (sets / "membership.json").write_text('[{"auc": 1}]')
        with pytest.raises(GalgenError, match=r"membership\.json cannot be read"):
            measured_pairs(sets)
    finally:
        os.remove(sets / "membership.json")


def test_a_copy_of_the_weights_is_the_same_model_whatever_its_name(sets, tmp_path):
    model = load_model("diffusion-N12-A", models=sets)
    copied = shutil.copy(model.weights, tmp_path / "b.safetensors")
    other = replace(model, name="b", weights=copied, images=model.images.replace("of A", "of B"))
    with pytest.raises(GalgenError, match="A0-0 and b share weights or images"):
        trained_on(model, other, HELD_OUT, HELD_OUT)


def test_what_was_measured_of_the_projects_own_models_is_of_them_and_near_a_half_where_many_were_seen():
    found = measured_pairs()
    many = [line for line in found if "N4000" in line]
    assert len(found) == 8 and len(many) == 4
    assert all(abs(float(line.split("AUC ")[1][:4]) - 0.5) < 0.1 for line in many)
    assert all(float(line.split("AUC ")[1][:4]) > 0.75 for line in found if line not in many)


MISTAKES = {
    "--images=large.npz": "was trained on images of 16 x 16 pixels",
    "--images=colour.npy": "colour.npy is in color",
    "--images=nothing": "nothing cannot be read",
    "--model=nothing": "no model 'nothing'",
    "--model=gan-N12-A": "GAN models are not denoisers",
    "--other-model=diffusion-N12-A": "share weights or images",
    "--other-model=conditional-N12-A": "diffusion-N12-A0-0 and conditional-N12-A0-0 share weights or images",
    "--held-out=few.npy": "98 held-out images: 1 % false positives need 99 or more",
    "--images=among.npy": "4 of 4 images are among the held-out ones",
    "--images=dark.npy": "distinguishable from the held-out ones without any model",
    "--seed=7": "is published for profile smoke, data simulated, seed 0, not for seed 7",
    "--out=there": "there.json exists already",
    "--out=..": "is not a file name",
    "--out=/dev/null": "is not a file name",
    "--other-model=": "needs --other-model",
}


@pytest.mark.parametrize("changed", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(changed, sets, capsys):
    open("there.json", "w").write("{}")
    name = changed.partition("=")[0]
    options = [each for each in ASKED if not each.startswith(f"{name}=")] + [changed] * (changed[-1] != "=")
    assert main([*options, f"--models={sets}"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("galgen: error: ") and MISTAKES[changed] in error
    assert not os.path.exists("audit.json")
