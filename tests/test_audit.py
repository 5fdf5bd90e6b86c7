"""The audit of a generator, on arrays and from the command line: results and errors."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from astropy.table import Table
from PIL import Image
from scipy import stats
from test_copies import FRESH, planted, population, split

import galgen
from galgen.auditing.audit import _checked
from galgen.auditing.copies import copies
from galgen.auditing.near_copies import near_copies
from galgen.auditing.report import numbers, summary
from galgen.auditing.sensitivity import nearest_rows
from galgen.cli import main
from galgen.commands import _duration
from galgen.compare.memorization import distance_ratio
from galgen.compare.uncertainty import Estimate
from galgen.data.dataset import write_dataset
from galgen.data.preprocess import to_uint8
from galgen.data.simulate.images import simulate
from galgen.data.unit import unit
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
    copied = "samples equal to training images, near-copies of training images, training-set bias"
    assert found.verdict == f"found ({copied})"
    assert found.counts == {"samples": 100, "train": 120, "held_out": 120} and found.equal == 40
    assert {*found.answers} == {"memory", "classifier, 8 pixels", "energy distance"}
    assert found.adjusted["memory"] == pytest.approx(3 * found.answers["memory"].p)
    assert min(p for name, p in found.adjusted.items() if name != "memory") > 0.01
    assert found.biases.flux.low < 0 < found.biases.flux.high
    assert found.faults["blur"].low == 0 and found.pair == {}


@pytest.mark.parametrize("wrong", [lambda x: x // 2, lambda x: 255 - x])
def test_what_is_wrong_is_found(wrong):
    found = galgen.audit(wrong(FRESH[:100]), TRAIN, HELD_OUT, morphology=0)
    assert found.verdict.startswith("not found") and found.equal == 0
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


def test_samples_that_repeat_one_image_acquit_nobody_and_are_counted():
    same = galgen.audit(np.repeat(TRAIN[:1], 80, 0), TRAIN, HELD_OUT, morphology=0)
    assert same.verdict == "found (samples equal to training images, near-copies of training images)"
    told = summary(same)
    assert told["Samples that are near-duplicates of other samples"] == "80"
    assert told["Training-set bias f - f0"].endswith("(inconclusive: all samples are nearest to one image)")
    mine = galgen.audit(np.repeat(HELD_OUT[:1], 50, 0), TRAIN, HELD_OUT, morphology=0)
    assert mine.verdict.startswith("inconclusive (no test of training-set bias: all samples are nearest to")
    assert numbers(mine)["samples that are near-duplicates of held-out images"] == "50"


def test_near_copies_are_counted_among_samples_and_held_out_images_and_shown():
    noise = np.random.default_rng(0).normal(scale=5, size=TRAIN[:20].shape)
    copied = np.clip(TRAIN[:20] + noise, 0, 255).round().astype(np.uint8)
    samples = np.concatenate([copied[:5, :, :, ::-1], copied[5:], FRESH[:80]])
    near = near_copies(samples, TRAIN, HELD_OUT)
    options = {"mean": np.concatenate([TRAIN, HELD_OUT]).mean(0) / 255, "flips": True}
    k, null = ((distance_ratio(unit(x), TRAIN, **options) < 1 / 3).sum() for x in (samples, HELD_OUT))
    assert k >= 18 and (near.fraction.value, near.held_out.value) == (k / 100, null / 120)
    assert near.p == pytest.approx(stats.hypergeom.sf(k - 1, 220, k + null, 100))
    for (row, image, _), (sample, nearest) in zip(near.nearest, near.stamps, strict=True):
        turned = TRAIN[row, :, :, ::-1] if row < 5 else TRAIN[row]
        assert row == image and (sample == samples[row]).all() and (nearest == turned).all()


def test_samples_equal_to_training_images_are_counted_in_all_eight_orientations():
    near = TRAIN[:9] ^ (np.arange(64) == 0).reshape(8, 8).astype(np.uint8)  # one level of one pixel
    turned = np.concatenate([TRAIN[:3], TRAIN[3:5, :, ::-1], np.rot90(TRAIN[5:9], axes=(2, 3)), near])
    assert galgen.audit(turned, TRAIN, HELD_OUT, morphology=0).equal == 9


VERDICTS = {  # near-copies of 100 samples and of 100 held-out images, equal samples, p of the bias
    "not found (no near-copies, no training-set bias)": (0, 0, 0, 0.5),
    "not found (near-copies not above chance, no training-set bias)": (1, 1, 0, 0.5),
    "found (training-set bias)": (0, 0, 0, 0.01),
    "found (near-copies of training images)": (9, 0, 0, 0.5),
    "found (samples equal to training images)": (3, 0, 1, 0.5),
    "inconclusive (near-copies, not significantly more than among held-out images)": (3, 0, 0, 0.5),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_verdict_follows_from_what_is_shown(found, verdict):
    k, null, equal, p = VERDICTS[verdict]
    p_near = stats.hypergeom.sf(k - 1, 200, k + null, 100)
    parts = {"fraction": Estimate(k / 100, 0, 1, 100), "held_out": Estimate(null / 100, 0, 1, 100)}
    memory = replace(found.memory, outcome=replace(found.memory.outcome, p=p))
    changed = replace(found, near=replace(found.near, p=p_near, **parts), memory=memory, equal=equal)
    lines = str(changed).splitlines()
    assert lines[0] == f"Memorization: {verdict}" and len(lines) == 10
    assert verdict in changed._repr_html_() and changed._repr_html_().count("<tr>") == 10
    assert ("0 of 100 (95 %: below 3 %)" in str(changed)) == (null == 0)  # 1 - 0.97^100 = 0.95
    few = replace(changed, counts={"samples": 100, "train": 4000, "held_out": 100})
    assert few.verdict.startswith("found") == verdict.startswith("found") and "not found" not in few.verdict


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(200, 250, 250), (100, 1000, 1000)])
def test_the_table_of_sensitivity_holds_for_the_audits_test(sizes):
    row = nearest_rows(dict(zip(("samples", "held_out", "train"), sizes, strict=True)))["simulated"]
    pool, n, found = simulate(sum(sizes) + 200)[0], sizes[0], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        fresh, held_out, train = np.split(rng.permutation(pool)[: sum(sizes)], np.cumsum(sizes)[:2])
        copied = rng.choice(train, round(row["fraction"] * n))
        noisy = to_uint8(copied / 255 + 0.02 * rng.standard_normal(copied.shape))
        outcome = copies(np.concatenate([noisy, fresh])[:n], train, held_out, seed=seed).outcome
        found.append(outcome is not None and outcome.p <= 0.01)
    low, high = stats.binom.interval(0.998, 40, row["power"][0])
    assert low <= sum(found) <= high


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
    assert str(found) in said.out and "reports/mine.html" in said.out and "\x1b" not in said.out
    assert re.search(r"about \d+ s on one core", said.err)
    page, beside = (tmp_path / "reports" / f"mine.{kind}" for kind in ("html", "json"))
    text, kept = page.read_text(), json.loads(beside.read_text())
    assert text.count("data:image/png;base64,") == 1
    assert not re.search(r"https?:|<script|<link|url\(|<b onload", text)
    assert "a&lt;b onload=" in text and "{{ 7 * 7 }}" in text and "\x1b" not in text
    assert kept["verdict"] == found.verdict and kept["answers"].keys() == found.answers.keys()
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


IGNORED = {
    "--samples s.npy": "an audit of samples needs --train, --held-out",
    "--samples s --train s --held-out s --models . --N 9": "an audit of samples does not use --N, --models",
    "--demo --flips --seed 3": "--demo does not use --flips, --seed",
    "--model a --other-model b --images s --held-out s --train s --morphology 0": "use --train, --morphology",
}


@pytest.mark.parametrize("options", IGNORED)
def test_options_that_a_question_lacks_or_ignores_are_named(options, capsys):
    assert main(["audit", *options.split()]) == 2
    assert IGNORED[options] in capsys.readouterr().err


def test_the_demonstration_finds_what_it_planted_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("galgen.auditing.demo.simulate", lambda n: (population(n, 4), None))
    assert main(["audit", "--demo", "--out", "x"]) == 0
    clean, copied, _ = capsys.readouterr().out.split("\n\n")
    assert "Memorization: not found" in clean and "found (near-copies of training images" in copied
    assert len(list(tmp_path.glob("x-clean.*"))) == len(list(tmp_path.glob("x-near-copies.*"))) == 2


def test_the_time_that_is_announced_is_that_which_an_idle_core_took():
    """Seconds of three audits of SDSS galaxies: samples, training and held-out images, morphology."""
    took = {(32, 200, 200, 400, 200): 45, (64, 200, 400, 400, 64): 31, (32, 1000, 1000, 1000, 0): 27}
    for (side, *counts, morphology), seconds in took.items():
        sets = {
            name: np.empty((n, 1, side, side))
            for name, n in zip(("samples", "train", "held_out"), counts, strict=True)
        }
        said = int(_duration(sets, False, morphology).removesuffix(" s"))
        assert seconds / 1.5 < said < 1.5 * seconds
