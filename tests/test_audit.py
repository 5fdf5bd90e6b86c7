"""The audit of a generator, on arrays and from the command line: results and errors."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from astropy.table import Table
from PIL import Image
from test_copies import FRESH, planted, population, split

import galgen
from galgen.auditing.audit import _checked
from galgen.auditing.report import numbers
from galgen.cli import main
from galgen.data.dataset import write_dataset
from galgen.runs.errors import GalgenError

TRAIN, HELD_OUT = split(0, 120, 120)
SAMPLES = planted(TRAIN, 0.4, 0, n=100)


@pytest.fixture(scope="module")
def found():
    return galgen.audit(SAMPLES, TRAIN, HELD_OUT, morphology=0)


def test_the_package_stays_cheap_to_import():
    code = "import sys, galgen; assert not {'torch', 'numpy', 'scipy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        galgen.nothing  # noqa: B018
    assert {"audit", "sample", "denoise", "__version__"} <= {*dir(galgen)} & {*galgen.__all__}


def test_copies_are_called_so_and_are_right(found):
    assert found.verdict == "copies" and found.counts == {"samples": 100, "train": 120, "held_out": 120}
    assert {*found.answers} == {"memory", "classifier, 8 pixels", "energy distance"}
    assert found.adjusted["memory"] == pytest.approx(3 * found.answers["memory"].p)
    assert min(p for name, p in found.adjusted.items() if name != "memory") > 0.01
    assert found.biases.flux.low < 0 < found.biases.flux.high
    assert found.faults["blur"].low == 0 and found.pair == {}


@pytest.mark.parametrize("wrong", [lambda x: x // 2, lambda x: 255 - x])
def test_what_is_wrong_is_found(wrong):
    found = galgen.audit(wrong(FRESH[:100]), TRAIN, HELD_OUT, morphology=0)
    assert found.verdict == "no copies found"
    assert found.adjusted["classifier, 8 pixels"] <= 0.01 and found.adjusted["energy distance"] <= 0.01


def test_the_amount_of_a_fault_is_read_off_in_its_own_unit():
    noise = np.random.default_rng(0).normal(scale=12, size=FRESH[:200].shape)
    samples = np.clip(FRESH[:200] + noise, 0, 255).astype(np.uint8)
    found = galgen.audit(samples, *split(1, 150, 300), morphology=0).faults["noise"]
    assert 6 < found.value < 24 and 2 < found.low < found.value < found.high


def test_the_form_of_the_arrays_does_not_matter(found):
    last = np.moveaxis(np.repeat(SAMPLES, 3, 1), 1, -1)
    for form in (SAMPLES[:, 0], SAMPLES / 255, SAMPLES.astype(np.float32) / 255, last):
        assert (_checked("samples", form) == SAMPLES).all()
    a_little_beyond = torch.from_numpy(SAMPLES / 255 - 0.001).to(torch.float64).requires_grad_()
    gray = [np.repeat(images, 3, 1) for images in (TRAIN, HELD_OUT)]
    other = galgen.audit(a_little_beyond.repeat(1, 3, 1, 1), *gray, morphology=0)
    assert other.answers == found.answers and other.faults == found.faults


def test_colour_is_asked_in_colour():
    colour = [np.concatenate([x, x[::-1], 255 - x], 1) for x in (SAMPLES, TRAIN, HELD_OUT)]
    colour[0] = colour[0][:, ::-1]  # of a wrong order, by which gray images would be the same
    assert galgen.audit(*colour, morphology=0).adjusted["classifier, 8 pixels"] <= 0.01


def test_large_images_are_averaged_down():
    sets = [np.kron(x, np.ones((1, 1, 9, 9), np.uint8)) for x in (SAMPLES[:40], TRAIN[:40], HELD_OUT[:40])]
    found = galgen.audit(*sets, morphology=0)
    sides = [name for name in found.answers if name.startswith("classifier")]
    assert found.side == 64 and sides == [f"classifier, {side} pixels" for side in (64, 32, 16, 8)]


def test_a_second_model_is_asked_whether_it_draws_the_same():
    known, other = split(2, 100, 100)
    same_map = np.clip(FRESH[:60] + np.random.default_rng(0).normal(scale=5, size=(60, 1, 8, 8)), 0, 255)
    asked = {"other_train": other, "floor": FRESH[100:160], "morphology": 0}
    found = galgen.audit(FRESH[:60], known, HELD_OUT, other_samples=same_map.astype(np.uint8), **asked)
    agreement, closer = found.answers["agreement"], found.pair["P(train closer)"]
    assert agreement.p < 0.01 and agreement.value > 0.9 > found.pair["floor"].high
    assert closer.low <= 0.5 <= closer.high
    found = galgen.audit(known[:60], known, HELD_OUT, other_samples=other[:60], **asked)
    assert found.answers["agreement"].p > 0.01 and found.pair["P(train closer)"].value == 1
    assert found.answers["own training images"].p < 0.01


BAD = {
    "train": (population(40, 5, side=16), TRAIN[:1]),
    "held_out": (TRAIN, HELD_OUT[:9], None, [[1, 2], [3]], torch.zeros(12, 1, 8, 8).to_sparse()),
    "samples": (
        *(SAMPLES.astype(int), SAMPLES[..., :7], SAMPLES / 127.5 - 1, np.full((20, 8, 8), np.nan), "text"),
        *(np.zeros((20, 300, 300), np.uint8), np.ma.masked_array(SAMPLES, SAMPLES > 3)),
        torch.zeros(12, 1, 8, 8, device="meta"),
    ),
    "other_samples": (SAMPLES[:50], 3),
    "other_train": (TRAIN,),
    "flips": ("no", 1.5, None),
    "morphology": (-1, 1.5, "x", 10**400),
    "seed": (-1, None, [1], float("nan")),
    "zz": (1,),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, of in BAD.items() for value in of])
def test_a_bad_argument_is_one_line(name, value):
    given = {"samples": SAMPLES, "train": TRAIN, "held_out": HELD_OUT, "morphology": 0} | {name: value}
    with pytest.raises(GalgenError) as told:
        galgen.audit(**given)
    assert "\n" not in str(told.value) and len(str(told.value)) < 500


def test_samples_that_repeat_one_image_acquit_nobody_and_are_counted(found):
    same = galgen.audit(np.repeat(TRAIN[:1], 80, 0), TRAIN, HELD_OUT, morphology=0)
    assert same.verdict == "inconclusive: all samples are nearest to one image"
    told = numbers(same)
    assert told["samples that are near-duplicates of other samples"] == "80"
    assert told["least fraction of copies detected with 80 % power"] == "not measured"
    mine = galgen.audit(HELD_OUT[:50], TRAIN, HELD_OUT, morphology=0)
    assert numbers(mine)["samples equal to held-out images, or nearly"] == "50"


# The command

HOSTILE = 'a<b onload="x"> & $\x1b[1m{{ 7 * 7 }}.npy'


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Samples in an npy file of a hostile name, training images as PNG, held-out ones as a data set."""
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / HOSTILE, SAMPLES)
    (tmp_path / "train").mkdir()
    for k, image in enumerate(TRAIN[:, 0]):
        Image.fromarray(image).save(tmp_path / "train" / f"{k:03}.png")
    ids = Table({"id": [f"{k}" for k in range(len(HELD_OUT))]})
    about = {"source": "made up", "manifest": "local", "parameters": {}, "dropped": {}}
    write_dataset(tmp_path / "held-out", HELD_OUT, ids, **about)
    return ["audit", "--samples", HOSTILE, "--train", "train", "--held-out", "held-out", "--morphology", "0"]


def test_the_report_is_one_page_with_the_same_numbers_beside_it(files, found, tmp_path, capsys):
    for _ in range(2):  # a report replaces a report
        assert main([*files, "--out", "reports/mine"]) == 0
    said = capsys.readouterr()
    assert "Memorization: copies." in said.out and "reports/mine.html" in said.out and "\x1b" not in said.out
    assert "about 1 min" in said.err
    page, beside = (tmp_path / "reports" / f"mine.{kind}" for kind in ("html", "json"))
    text, kept = page.read_text(), json.loads(beside.read_text())
    assert text.count("data:image/png;base64,") == 1
    assert not re.search(r"https?:|<script|<link|url\(|<b onload", text)
    assert "a&lt;b onload=" in text and "{{ 7 * 7 }}" in text and "\x1b" not in text
    assert kept["verdict"] == "copies" and kept["answers"].keys() == found.answers.keys()
    assert kept["memory"]["outcome"]["value"] == pytest.approx(found.memory.outcome.value, rel=1e-5)
    assert sorted(path.name for path in page.parent.iterdir()) == ["mine.html", "mine.json"]


def test_nothing_but_a_report_is_replaced(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("galgen.auditing.audit.copies", lambda *given, **how: pytest.fail("work has begun"))
    for name in ("mine.html", "mine.json", "other.json"):
        (tmp_path / name).write_text('{"memory": 1}')
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "away.html").symlink_to("nowhere")
    there = {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in tmp_path.rglob("*")}
    for out in ("mine", "other.json", "pipe", "away", "held-out/meta", "..", "x" * 300):
        assert main([*files, "--out", out]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and out.removesuffix(".json") in said
    assert {path: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in tmp_path.rglob("*")} == there


def test_flaws_in_single_images_are_told_or_refused_where_latents_are_shared(files, tmp_path, capsys):
    spoilt = np.concatenate([SAMPLES / 255, np.full((2, 1, 8, 8), np.nan)])
    spoilt[0, 0, 0, 0] = 1.01  # of a model: clipped, and no flux
    np.savez(tmp_path / "spoilt.npz", samples=spoilt, other=spoilt)
    files[2] = "spoilt.npz"
    assert main([*files, "--key", "samples"]) == 0
    assert "refused spoilt.npz[100]" in capsys.readouterr().err
    assert main([*files, "--key", "samples", "--other-samples", "held-out"]) == 2
    assert "2 of 102 objects cannot be used" in capsys.readouterr().err
    assert main(files[:3]) == 2
    assert "an audit of samples needs --train, --held-out" in capsys.readouterr().err
