"""The audit of anyone's generator, on arrays and by the command: what it says, and what it refuses."""

import dataclasses
import json
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
from galgen import auditing
from galgen.cli import main
from galgen.compare.audit import _checked
from galgen.compare.uncertainty import Estimate
from galgen.data.dataset import write_dataset
from galgen.figures.audit import pairs_figure, words
from galgen.figures.style import pixels
from galgen.runs.errors import GalgenError

TRAIN, HELD_OUT = split(0, 120, 120)
SAMPLES = planted(TRAIN, 0.4, 0, n=100)


@pytest.fixture(scope="module")
def found():
    return galgen.audit(SAMPLES, TRAIN, HELD_OUT, morphology=0)


def test_the_package_stays_cheap_to_import():
    code = "import sys, galgen; assert not {'torch', 'numpy', 'scipy'} & {*sys.modules}; galgen.audit"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        galgen.nothing  # noqa: B018


def test_copies_are_called_so_and_are_right(found):
    assert found.verdict == "copies" and found.counts == {"samples": 100, "train": 120, "held_out": 120}
    assert {*found.answers} == {"memory", "classifier, 8 pixels", "energy distance"}
    assert found.adjusted["memory"] == pytest.approx(3 * found.answers["memory"].p)
    assert min(p for name, p in found.adjusted.items() if name != "memory") > 0.01
    assert found.biases.flux.low < 0 < found.biases.flux.high
    assert found.faults["blur"].low == 0 and found.pair == {} and found.notes == ()
    assert "At 8 pixels they are found as easily" in words(found)["Right?"]


def test_tensors_of_any_kind_are_taken_and_what_is_beyond_all_faults_is_said(found):
    x = torch.from_numpy(SAMPLES / 255).to(torch.bfloat16).requires_grad_()
    assert _checked("samples", x).dtype == np.uint8 and _checked("samples", x).shape == SAMPLES.shape
    beyond = Estimate(np.inf, 2.5, np.inf, 10)
    said = words(dataclasses.replace(found, faults=found.faults | {"blur": beyond}))["Right?"]
    assert "∞ [2.50, ∞]" in said and said.endswith("∞: more than any tried.")


def test_a_key_is_for_files_that_have_arrays_with_names(files, tmp_path):
    np.savez(tmp_path / "two.npz", samples=SAMPLES, other=SAMPLES)
    files[2] = "two.npz"
    assert main(files) == 2 and main([*files, "--key", "samples"]) == 0


@pytest.mark.parametrize("wrong", [lambda x: x // 2, lambda x: 255 - x])
def test_what_is_wrong_is_found_and_how_much(wrong):
    found = galgen.audit(wrong(FRESH[:100]), TRAIN, HELD_OUT, morphology=0)
    assert found.verdict == "none found"
    assert found.adjusted["classifier, 8 pixels"] <= 0.01 and found.adjusted["energy distance"] <= 0.01


def test_the_amount_of_a_fault_is_read_off_in_its_own_unit():
    noise = np.random.default_rng(0).normal(scale=12, size=FRESH[:200].shape)
    samples = np.clip(FRESH[:200] + noise, 0, 255).astype(np.uint8)
    found = galgen.audit(samples, *split(1, 150, 300), morphology=0).faults["noise"]
    assert 6 < found.value < 24 and 2 < found.low < found.value < found.high


def test_the_form_of_the_arrays_does_not_matter(found):
    last = np.moveaxis(np.repeat(SAMPLES, 3, 1), 1, -1)
    for form in (SAMPLES[:, 0], SAMPLES / 255, torch.from_numpy(SAMPLES.astype(np.float32) / 255), last):
        assert (_checked("samples", form) == SAMPLES).all()
    gray = (np.repeat(images, 3, 1) for images in (SAMPLES, TRAIN, HELD_OUT))
    other = galgen.audit(*gray, morphology=0)
    assert other.answers == found.answers and other.faults == found.faults


def test_colour_is_asked_in_colour():
    colour = [np.concatenate([x, x[::-1], 255 - x], 1) for x in (SAMPLES, TRAIN, HELD_OUT)]
    colour[0] = colour[0][:, ::-1]  # of a wrong order, by which gray images would be the same
    assert galgen.audit(*colour, morphology=0).adjusted["classifier, 8 pixels"] <= 0.01


def test_large_images_are_averaged_down_and_it_says_so():
    sets = [np.kron(x, np.ones((1, 1, 9, 9), np.uint8)) for x in (SAMPLES[:40], TRAIN[:40], HELD_OUT[:40])]
    found = galgen.audit(*sets, morphology=0)
    assert found.side == 64 and any(
        "72 pixels a side were averaged down to 64" in note for note in found.notes
    )
    sides = [name for name in found.answers if name.startswith("classifier")]
    assert sides == [f"classifier, {side} pixels" for side in (64, 32, 16, 8)]


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": population(40, 5, side=16)}, "unequal shapes: samples 1 x 8 x 8; train 1 x 16 x 16"),
        ({"samples": SAMPLES[:1]}, "samples: 1 image; an audit needs 10 or more"),
        ({"held_out": HELD_OUT[:9]}, "held_out: 9 images; an audit needs 10"),
        (
            {"samples": np.full((20, 8, 8), np.nan)},
            "samples: 20 of 20 images have pixels that are not finite",
        ),
        ({"samples": SAMPLES / 127.5 - 1}, "samples: pixels from -1 to .*black at 0, white at 1"),
        ({"samples": SAMPLES.astype(int)}, "of int64; give square images"),
        ({"samples": SAMPLES[..., :7]}, r"\(100, 1, 8, 7\)"),
        ({"samples": np.zeros((20, 300, 300), np.uint8)}, "8 to 256 pixels a side"),
        ({"held_out": TRAIN}, "120 of 120 training images and 120 of 120 held-out ones are in both sets"),
        ({"other_samples": SAMPLES[:50]}, "equal numbers, not 100 of samples, 50 of other_samples"),
        ({"other_train": TRAIN}, "say nothing without the other model's samples"),
    ],
)
def test_bad_input_is_told_in_a_line(change, message):
    given = {"samples": SAMPLES, "train": TRAIN, "held_out": HELD_OUT, "morphology": 0} | change
    with pytest.raises(GalgenError, match=message):
        galgen.audit(**given)


# The command

HOSTILE = 'a<b onload="x"> & $\x1b[1m{{ 7 * 7 }}.npy'


def data_set(path, images):
    """One of these images."""
    ids = Table({"id": [f"{k}" for k in range(len(images))]})
    about = {"source": "made up", "manifest": "local", "parameters": {}, "dropped": {}}
    write_dataset(path, images, ids, **about)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Samples in an npy file of a hostile name, training images as PNG, held-out ones as a data set."""
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / HOSTILE, SAMPLES)
    (tmp_path / "train").mkdir()
    for k, image in enumerate(TRAIN[:, 0]):
        Image.fromarray(image).save(tmp_path / "train" / f"{k:03}.png")
    data_set(tmp_path / "held-out", HELD_OUT)
    return ["audit", "--samples", HOSTILE, "--train", "train", "--held-out", "held-out", "--morphology", "0"]


def test_the_report_is_one_page_with_the_same_numbers_beside_it(files, found, tmp_path, capsys):
    assert main([*files, "--out", "reports/mine"]) == 0
    said = capsys.readouterr().out
    assert "Memory: copies." in said and "reports/mine.html" in said and "\x1b" not in said
    page, numbers = (tmp_path / "reports" / f"mine.{kind}" for kind in ("html", "json"))
    text, kept = page.read_text(), json.loads(numbers.read_text())
    assert text.count("data:image/png;base64,") == 1
    assert not re.search(r"https?:|<script|<link|url\(|<b onload", text)
    assert "a&lt;b onload=" in text and "{{ 7 * 7 }}" in text and "\x1b" not in text
    assert kept["verdict"] == "copies" and kept["answers"].keys() == found.answers.keys()
    assert kept["memory"]["outcome"]["value"] == pytest.approx(found.memory.outcome.value, rel=1e-5)
    assert sorted(path.name for path in page.parent.iterdir()) == ["mine.html", "mine.json"]


def test_flaws_in_single_images_are_counted_or_refused_where_latents_are_shared(files, tmp_path, capsys):
    spoilt = np.concatenate([SAMPLES / 255, np.full((2, 1, 8, 8), np.nan)])
    np.save(tmp_path / "spoilt.npy", spoilt)
    files[2] = "spoilt.npy"
    assert main(files) == 0
    assert "refused spoilt.npy[100]: pixels not finite" in capsys.readouterr().err
    assert "2 left out" in (tmp_path / "audit.html").read_text()
    assert main([*files, "--other-samples", "spoilt.npy"]) == 2
    assert "2 of 102 objects cannot be used" in capsys.readouterr().err


def test_a_data_set_is_cropped_and_averaged_like_a_folder(tmp_path):
    images = population(12, 7, side=16)
    data_set(tmp_path / "set", images)
    (tmp_path / "folder").mkdir()
    for k, image in enumerate(images[:, 0]):
        Image.fromarray(image).save(tmp_path / "folder" / f"{k:03}.png")
    for asked in ({"crop": 12, "size": 8}, {"crop": 12, "size": None}, {"crop": None, "size": 8}):
        one, other = (auditing._read(tmp_path / name, **asked)[0] for name in ("set", "folder"))
        assert one.shape[-1] == (asked["size"] or 12) and np.array_equal(one[:, 0], other[:, 0])


def claimed(path, count):
    """An npy file that claims to hold so many images, and has none."""
    with open(path, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, 8, 8)}
        np.lib.format.write_array_header_1_0(file, header)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--samples", "nothing"], "nothing does not exist"),
        (["--samples", "claims.npy"], "claims.npy cannot be read"),
        (["--samples", "many.npy"], "many.npy has 5000000 images, more than 4194304; take a part of them"),
        (["--samples", "large.npy"], "unequal shapes: samples 1 x 16 x 16; train 1 x 8 x 8"),
        (["--samples", "one.npy"], "samples: 1 image"),
        (["--samples", "range.npy"], "must lie in [0, 1], not -1 to"),
        (["--held-out", "train"], "are in both sets"),
        (["--out", "train"], "train.html"),
        (["--out", "/dev/null/x"], "/dev/null"),
        (["--size", "1.5"], "--size: '1.5' is no whole number"),
        (["--size", "0"], "size: Input should be greater than 0"),
        (["--key", "nothing"], "--key nothing names an array of an npz or HDF5 file, and no set is one"),
        (["--seed", "-1"], "seed"),
        (["--seed", "700000000"], "a seed below 700000000"),
        (["--morphology", "-1"], "morphology"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(files, tmp_path, capsys, options, message):
    np.save(tmp_path / "large.npy", population(20, 3, side=16))
    np.save(tmp_path / "one.npy", SAMPLES[:1])
    np.save(tmp_path / "range.npy", SAMPLES / 127.5 - 1)
    np.save(tmp_path / "many.npy", np.zeros((5_000_000, 1, 1), np.uint8))
    claimed(tmp_path / "claims.npy", 10**9)
    (tmp_path / "train.html").mkdir()
    kept = [x for k in range(1, len(files), 2) if files[k] not in options for x in files[k : k + 2]]
    assert main(["audit", *kept, *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("galgen: error: ") and message in error


def test_a_sheet_shows_floats_and_bytes_on_one_scale(found):
    sets = {"samples": SAMPLES / 255, "train": TRAIN, "held_out": HELD_OUT}
    sheets = [pixels(pairs_figure(found, each)) for each in (sets, sets | {"samples": SAMPLES})]
    assert np.array_equal(*sheets)
