"""The audit of anyone's generator, on arrays and by the command: what it says, and what it refuses."""

import dataclasses
import errno
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_anything import WILD, arrays, examples, in_bounds
from test_copies import FRESH, planted, population, split

import galgen
from galgen.auditing import command as auditing
from galgen.auditing.audit import _checked
from galgen.auditing.questions import Questions
from galgen.auditing.report import free, pairs_figure, repeats_figure, words
from galgen.cli import main
from galgen.compare.uncertainty import Estimate
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


@pytest.fixture
def no_work(monkeypatch):
    """An audit ends where its work would begin."""

    def enough(*given, **how):
        raise GalgenError("enough")

    monkeypatch.setattr("galgen.auditing.audit.copies", enough)


ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()))
ANYTHING |= st.sampled_from(["no", "yes", "x", 0, 1, 1.5, float("nan"), [1], 5, 10**400])


@examples(200)
@given(name=st.sampled_from([*Questions.model_fields]), value=ANYTHING)
def test_any_value_of_an_argument_is_taken_or_a_GalgenError_that_names_it(no_work, name, value):
    with pytest.raises(GalgenError) as told:
        galgen.audit(SAMPLES, TRAIN, HELD_OUT, **{name: value})
    said = str(told.value)
    assert (said == "enough" or f"galgen.audit: {name}: " in said) and "\n" not in said and len(said) < 500
    if said == "enough" and name != "flips":
        assert name != "progress" and float(value) == int(value) >= 0
    assert said != "enough" or name != "flips" or isinstance(value, bool)


@st.composite
def sets(draw):
    """What somebody may take for a set of images."""
    x = draw(arrays())
    kinds = ["array", "masked", "list", "ragged", "nothing", "tensor", "sparse", "meta", "text"]
    match draw(st.sampled_from(kinds)):
        case "masked":
            return np.ma.masked_array(SAMPLES, SAMPLES > 3)
        case "list":
            return x.tolist()
        case "ragged":
            return [[1, 2], [3]]
        case "nothing":
            return None
        case "tensor":
            of = draw(st.sampled_from([torch.bfloat16, torch.float16, torch.bool, torch.complex64]))
            return torch.zeros(draw(st.sampled_from([(3, 16, 16), (12, 1, 8, 8), (0,)])), dtype=of)
        case "sparse":
            return torch.zeros(12, 1, 8, 8).to_sparse()
        case "meta":
            return torch.zeros(12, 1, 8, 8, device="meta")
        case "text":
            return draw(WILD)
    return x


SETS = ("samples", "train", "held_out", "other_samples", "other_train", "floor")


@examples(200)
@given(name=st.sampled_from(SETS), value=sets())
def test_any_object_in_the_place_of_a_set_is_taken_or_a_GalgenError_that_names_it(no_work, name, value):
    sound = {"samples": SAMPLES, "train": TRAIN, "held_out": HELD_OUT, "other_samples": SAMPLES}
    with pytest.raises(GalgenError) as told, in_bounds():
        galgen.audit(**sound | {name: value})
    said = str(told.value)
    assert "\n" not in said and len(said) < 500
    assert name in said or said == "enough" or "other model" in said
    assert not isinstance(value, np.ma.MaskedArray) or "fill what is masked" in said


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
    assert text.count("data:image/png;base64,") == 2  # copies repeat one another
    assert not re.search(r"https?:|<script|<link|url\(|<b onload", text)
    assert "a&lt;b onload=" in text and "{{ 7 * 7 }}" in text and "\x1b" not in text
    assert kept["verdict"] == "copies" and kept["answers"].keys() == found.answers.keys()
    assert kept["memory"]["outcome"]["value"] == pytest.approx(found.memory.outcome.value, rel=1e-5)
    assert sorted(path.name for path in page.parent.iterdir()) == ["mine.html", "mine.json"]


def test_a_second_audit_replaces_a_report_and_nothing_else(files, tmp_path, no_work, capsys):
    for name in ("mine.html", "mine.json", "other.json"):
        (tmp_path / name).write_text('{"memory": 1}')
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "away.html").symlink_to("nowhere")

    def files_there():  # but for when each was last read
        found = {path: path.lstat() for path in tmp_path.rglob("*")}
        return {path: (at.st_ino, at.st_mode, at.st_size, at.st_mtime_ns) for path, at in found.items()}

    there = files_there()
    for out in ("mine", "other.json", "pipe", "away", "held-out/meta", "..", "x" * 300):
        assert main([*files, "--out", out]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and out.removesuffix(".json") in said and "--out" in said
    assert files_there() == there


def test_a_report_of_a_name_that_is_no_utf8_replaces_itself(files, tmp_path):
    name = os.fsdecode(b"na\xffme")
    for _ in range(2):
        assert main([*files, "--out", name]) == 0
    assert "na\\udcffme.json" in (tmp_path / f"{name}.html").read_text()
    assert free(tmp_path / name)[1].name == f"{name}.json"


def test_of_a_full_disk_nothing_is_left_and_the_folder_is_named_once(files, tmp_path, monkeypatch, capsys):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("galgen.runs.files.os.fsync", full)
    assert main([*files, "--out", "reports/mine"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.count(str(tmp_path / "reports")) == 1 and "goes on" not in said
    assert [*(tmp_path / "reports").iterdir()] == []


def test_an_interrupted_audit_does_not_say_that_it_goes_on(files, monkeypatch, capsys):
    def interrupted(*given, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr("galgen.auditing.audit.copies", interrupted)
    assert main(files) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "galgen: interrupted; the same command begins anew"


def test_what_an_audit_takes_is_said_before_images_are_read_and_refused_without_room(
    files, monkeypatch, capsys
):
    monkeypatch.setattr(
        "galgen.data.acquire.importing.import_images", lambda *given, **how: pytest.fail("read")
    )
    monkeypatch.setattr("galgen.costs.available_memory_mb", lambda: 1000)
    assert main(files) == 2
    assert "an audit of 340 images needs about 1200 MB of memory, and 1000 MB" in capsys.readouterr().err


def test_a_pixel_a_little_above_white_is_clipped_by_the_command_and_in_a_call(files, tmp_path, capsys):
    x = SAMPLES / 255
    x[:, 0, 0, 0] = 1.01
    np.save(tmp_path / "drawn.npy", x)
    read = auditing._read(tmp_path / "drawn.npy", None, None, kind="display")[0]
    assert (read[:, :1] == _checked("samples", x)).all() and read[0, 0, 0, 0] == 255
    x[0, 0, 0, 0] = 1.51
    np.save(tmp_path / "drawn.npy", x)
    files[2] = "drawn.npy"
    assert main(files) == 2 and "must lie in [-0.5, 1.5], not 0" in capsys.readouterr().err
    with pytest.raises(GalgenError, match=r"to 1\.51; scale them"):
        _checked("samples", x)


COMMAND = ("--samples", "--train", "--held-out", "--other-samples", "--size", "--crop", "--key")
OPTIONS = st.dictionaries(st.sampled_from([*COMMAND, "--seed", "--morphology", "--out"]), WILD, max_size=3)


@examples(150)
@given(options=OPTIONS, flips=st.booleans())
def test_any_line_of_the_command_ends_in_one_line(files, no_work, capsys, options, flips):
    line = dict(zip(files[1::2], files[2::2], strict=True)) | options
    with in_bounds():
        assert (
            main(["audit", *(f"{name}={value}" for name, value in line.items()), *["--flips"] * flips]) == 2
        )
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("galgen: error: ") and len(last) < 1000


def test_samples_that_repeat_one_image_acquit_nobody_and_are_shown(capsys):
    sets = {"samples": np.repeat(TRAIN[:1], 80, 0), "train": TRAIN, "held_out": HELD_OUT}
    found = galgen.audit(**sets, morphology=0)
    said = words(found)
    assert found.verdict == "cannot be said: all samples are nearest to one image"
    assert f"Memory: {found.verdict}." in said
    assert "no share of copies would be seen" in said[f"Memory: {found.verdict}."]
    assert "80 of 80 samples are near-duplicates of others" in said["Repeated samples:"]
    assert len(repeats_figure(found, sets).axes) == 1


def test_samples_that_are_held_out_images_are_told(found):
    assert "held-out images, or nearly" not in "".join(words(found).values())
    mine = galgen.audit(HELD_OUT[:50], TRAIN, HELD_OUT, morphology=0)
    assert "50 of 50 samples are held-out images, or nearly." in words(mine)["Memory: none found."]


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
        kinds = {"set": None, "folder": "display"}
        one, other = (auditing._read(tmp_path / name, **asked, kind=of)[0] for name, of in kinds.items())
        assert one.shape[-1] == (asked["size"] or 12) and np.array_equal(one[:, 0], other[:, 0])


def claimed(path, count):
    """An npy file that claims to hold so many images, and has none."""
    with open(path, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, 8, 8)}
        np.lib.format.write_array_header_1_0(file, header)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--samples", "nothing"], "nothing cannot be read"),
        (["--samples", "claims.npy"], "claims.npy cannot be read"),
        (["--out", "train"], "train.html"),
        (["--out", "/dev/null/x"], "/dev/null"),
        (["--size", "1.5"], "--size: '1.5' is no whole number"),
        (["--size", "0"], "size: Input should be greater than 0"),
        (["--key", "nothing"], "--key nothing names an array of an npz or HDF5 file, and no set is one"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(files, tmp_path, capsys, options, message):
    claimed(tmp_path / "claims.npy", 10**9)
    (tmp_path / "train.html").mkdir()
    kept = [x for k in range(1, len(files), 2) if files[k] not in options for x in files[k : k + 2]]
    assert main(["audit", *kept, *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("galgen: error: ") and message in error


def test_a_sheet_shows_floats_and_bytes_on_one_scale(found):
    sets = {"samples": SAMPLES / 255, "train": TRAIN, "held_out": HELD_OUT}
    figures = [pairs_figure(found, each) for each in (sets, sets | {"samples": SAMPLES})]
    assert np.allclose(*(figure.axes[0].images[0].get_array() for figure in figures))
