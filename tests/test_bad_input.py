"""Bad input to models, comparisons and data is an error that names it: one table, a line a case."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_clock import drawn as onsets
from test_controls import galaxies, sets
from test_discriminator import drawn
from test_distances import NAMES, rows
from test_inversion import Linear, invert, latents

from galbook.clock.gap import START, memory_gap
from galbook.clock.law import LAWS, fit
from galbook.press.runs import asked
from galbook.share.scale import agreements, scale
from galbook.why.directions import directions
from galbook.why.local import Local
from galgen.auditing.report import free
from galgen.compare.agreement import agreement_test
from galgen.compare.biases import photometry
from galgen.compare.controls import controls
from galgen.compare.discriminator import ALIKE, GRADES, contrast, image_sets, judge, score
from galgen.compare.distances import distances
from galgen.compare.memorization import exchange_test
from galgen.compare.morphology import measure
from galgen.compare.similarity import cosine, nearest, shuffled_cosine
from galgen.compare.twosample import auc, c2st, features
from galgen.compare.uncertainty import bootstrap
from galgen.data.acquire.download import Network
from galgen.data.acquire.survey import fetch
from galgen.data.manifest import load_manifest
from galgen.data.preprocess import flux_to_gray
from galgen.data.simulate.images import simulate
from galgen.data.simulate.leaves import dead_leaves
from galgen.data.unit import mean_image
from galgen.models.conditional import ConditionalUNet
from galgen.models.gan import Discriminator, Generator, draw
from galgen.models.glow import Glow
from galgen.models.sampling import dpm_solver_2m, ladder, stochastic_ascent
from galgen.models.unet import UNet
from galgen.profiles import Parameters
from galgen.runs.errors import GalgenError, checked
from galgen.runs.schedules import cosine as schedule
from galgen.runs.stream import Stream
from galgen.runs.training import train


def zeros(*shape):
    return np.zeros(shape)


def ones(*shape):
    return np.ones(shape)


def bytes_(*shape, value=7):
    return np.full(shape, value, np.uint8)


START_8, QUERIES = torch.zeros(1, 8, 8), torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
DATA = np.random.default_rng(0).integers(0, 256, (20, 1, 12, 12), np.uint8)
BROKEN, KNOWN = QUERIES / torch.tensor([0, 1]).reshape(2, 1, 1, 1), bytes_(9, 1, 16, 16)


def walk(start, seeds):
    return dpm_solver_2m(lambda y, sigma: y, start, seeds, ladder(1.0, 0.02, 5))


def ascent(f, **options):
    return stochastic_ascent(f, torch.zeros(1, 16, 16), range(3), **options)


def trained(images):
    return train(None, images, "nowhere", Stream(3, 8, 4, 0, 0, schedule))


def scored(**changes):
    return judge(dict.fromkeys((*ALIKE, *GRADES), ones(3)), changes)


def changed(name, value):
    table = rows(20, np.random.default_rng(7))
    table[name][3 if np.isnan(value) else slice(None)] = value
    return table


class OneLevel(Linear):
    def encode(self, x):
        return [x.flatten(1)[:, :, None, None]], torch.zeros(len(x))


Z = latents(n=8)
GOOD = rows(20, np.random.default_rng(7))


def gapped(**changes):
    return memory_gap(**{"shown": [START, 4096, 9000], "own": zeros(3, 4), "held_out": zeros(3, 4)} | changes)


def fetched(**options):
    return fetch("no.csv", "nowhere", **{"template": "http://host/?{ra}{dec}{bands}"} | options)


def gray(x, **options):
    return flux_to_gray(x, **{"size": 4, "crop": 8} | options)


HOLE, FAR = np.array([[1.0, 2], [3, np.nan], [5, 6]]), np.array([[1.0, 2], [3, 4], [np.inf, 6]])
CASES = [
    # models
    (lambda: UNet(2)(torch.zeros(1, 1, 20, 16)), r"20 x 16 pixels.*multiples of 8"),
    (lambda: ConditionalUNet(3, 1, size=8).initialize(bytes_(3, 1, 8, 8)), "all 3 training images are equal"),
    (lambda: Glow(size=12, steps=1, levels=3), "no Glow with 3 levels and .* 12 pixels"),
    (lambda: Glow(size=8, steps=1, levels=0), "no Glow with 0 levels"),
    (lambda: Glow(size=8, steps=1, levels=2, bits=9), "no Glow with .* 9 bits"),
    (lambda: Generator(size=48), r"1 x 48 x 48.*resize"),
    (lambda: Discriminator(size=64, channels=2), r"2 x 64 x 64.*resize"),
    (lambda: draw(Generator(size=32, latent=4, width=4, widest=8), [1]), r"call eval\(\)"),
    (lambda: walk(START_8, []), "no seeds"),
    (lambda: ascent(lambda y: -y), r"none of 3 samples.*use the probability flow"),
    (lambda: ascent(lambda y: y * torch.nan), "none of 3 samples"),
    (lambda: ascent(lambda y: y, max_steps=5), "raise max_steps"),
    (lambda: walk(START_8, [2**32]), "seed 4294967296 is outside"),
    (lambda: walk(START_8, [-1]), "seed -1 is outside"),
    (lambda: walk(START_8[0], [1]), "give one image"),
    (lambda: walk(torch.zeros(3, 1, 8, 8), [1, 2]), r"\(3, 1, 8, 8\): give one image"),
    (lambda: ladder(1.0, 2.0, 20), "no ladder from 1.0 to 2.0"),
    (lambda: ladder(1.0, 0.02, 1), "no ladder .* in 1 steps"),
    (lambda: trained(bytes_(3, 8, 8)), r"training images must be uint8 \(3, C, H, W\).*\(3, 8, 8\)"),
    (lambda: trained(zeros(3, 1, 8, 8)), r"training images must be uint8 .*float64"),
    (lambda: trained(bytes_(0, 1, 8, 8)), r"training images must be uint8 .*\(0, 1, 8, 8\)"),
    # two models
    (lambda: bootstrap(ones(1)), "two samples or more, not 1"),
    (lambda: exchange_test(np.array([np.nan, 1]), ones(2)), "converge"),
    (lambda: invert(Linear(), Linear(), [Z[0], Z[1][:4]]), "as many images"),
    (lambda: invert(Linear(), OneLevel(), Z), "different shapes"),
    (lambda: distances(GOOD, changed("m20", np.nan), NAMES), "other set"),
    (lambda: distances(GOOD[:2], GOOD, NAMES), "reference set has 2 rows"),
    (lambda: distances(changed("gini", 0.5), GOOD, NAMES), "no spread in .* gini"),
    (lambda: score(lambda x: x[:, 0, 0], drawn(4, 1)), "one finite number"),
    (lambda: score(lambda x: x[:, 0, 0, 0] / 0, drawn(4, 1)), "one finite number"),
    (lambda: score(torch.nn.Dropout().train(), drawn(4, 1)), r"eval\(\)"),
    (lambda: judge({"own": ones(3)}, {}), "blurred"),
    (lambda: scored(), "wanted: held_out, .'noise"),
    (lambda: contrast(ones(3), ones(4), paired=True), "3 and 4 scores"),
    (lambda: contrast(ones(3), ones(0)), "3 and 0 scores"),
    (lambda: image_sets(drawn(9, 1), drawn(8, 1), KNOWN, bytes_(40, 1, 16, 16)), "shapes"),
    (lambda: image_sets(drawn(9, 1), drawn(9, 1), KNOWN, bytes_(30, 1, 16, 16)), "30 held-out"),
    (lambda: c2st(ones(20, 2), ones(22, 2), paired=True), "20 and 22 images are no pairs"),
    (lambda: c2st(ones(9, 2), ones(20, 2)), "10 finite rows"),
    (lambda: auc(ones(3), np.array([0.0, np.nan])), "not numbers"),
    (lambda: c2st(np.full((20, 2), np.nan), ones(20, 2)), "finite"),
    (lambda: features(torch.zeros(3, 1, 12, 12)), "H = 8, 16"),
    (lambda: Local(DATA, 4), "give"),
    (lambda: Local(DATA, 0), "give"),
    (lambda: Local(DATA[:0], 3), "give"),
    (lambda: Local(DATA[:, 0], 3), "give"),
    (lambda: directions(zeros(2, 1, 8, 8), 2), "give three or more"),
    (lambda: directions(np.full((5, 1, 8, 8), np.nan), 2), "not finite"),
    (lambda: agreement_test(BROKEN, QUERIES, mean=mean_image(DATA)), "some not finite"),
    (lambda: agreements([BROKEN, QUERIES], mean=mean_image(DATA)), "some not finite: leave out"),
    (lambda: scale(np.eye(9), ["A"] * 9), "name each, A and B among them"),
    (lambda: scale(np.eye(9), ["A", "B"] * 4), "name each, A and B among them"),
    (lambda: controls(galaxies(28), sets(10, 8), 3), "8 held-out images"),
    (lambda: photometry(zeros(4, 3, 16, 16)), "square gray images"),
    (lambda: photometry(zeros(4, 1, 16, 12)), "square gray images"),
    (lambda: photometry(zeros(4, 1, 4, 4)), "square gray images"),
    (lambda: measure(zeros(4, 3, 16, 16)), "n, 1, H, W"),
    (lambda: measure(zeros(1, 1, 4, 4)), "n, 1, H, W"),
    (lambda: gapped(shown=[START, START, 9000]), "milestones must grow"),
    (lambda: gapped(shown=[1000, 4096, 9000]), "t_0, 2048 images shown, must be a milestone"),
    (lambda: gapped(start=9000), "t_0, 9000 images shown, must be a milestone before the last"),
    (lambda: gapped(own=zeros(3, 1)), "two own images or more, not 1"),
    (lambda: gapped(held_out=zeros(3, 0)), "two held-out images or more, not 0"),
    (lambda: gapped(own=zeros(2, 5)), "PSNR of own images: "),
    (lambda: gapped(held_out=HOLE), "held-out image 1 after 4096 images shown is nan"),
    (lambda: gapped(own=FAR), "own image 0 after 9000 images shown is inf"),
    (lambda: gapped().at(10_000), "known between 2048 and 9000 images shown, not after 10000"),
    (lambda: fit(LAWS["L"], onsets("L", n=1)), "a cell of two trainings with an onset"),
    (lambda: fit(LAWS["L"], onsets("L")[:1]), "L has 2 parameters, and there are 1 cells"),
    # data
    (lambda: nearest(QUERIES, DATA, kind="cosine"), "unknown kind"),
    (lambda: nearest(QUERIES, DATA, kind="anomaly", mean=ones(1, 12, 12)), "constant"),
    (lambda: cosine(QUERIES, QUERIES[:1], kind="raw"), "pairs"),
    (lambda: shuffled_cosine(QUERIES[:1], QUERIES[:1], kind="raw"), "two samples"),
    (lambda: gray(zeros(1, 3, 8, 8), crop=9), "crop 9"),
    (lambda: gray(zeros(1, 3, 8, 8), crop=0), "crop 0"),
    (lambda: gray(zeros(1, 3, 8, 6), crop=None), "not square"),
    (lambda: gray(zeros(1, 3, 8, 8), size=16), "averaged to 16"),
    (lambda: gray(zeros(1, 3, 8, 8), size=0), "averaged to 0"),
    (lambda: fetched(workers=0), "workers must be positive"),
    (lambda: fetched(bands=("g", "g")), "bands: .*different"),
    (lambda: fetched(template="http://host/?{ra:d}{dec}{bands}"), "template: .*placeholder with a format"),
    (lambda: fetched(template="http://host/?{ra!z}{dec}{bands}"), "template: .*placeholder with a format"),
    (lambda: free(Path(".")), "names no file"),
    (lambda: free(Path("/")), "names no file"),
    (lambda: fetched(template="host/?ra={ra}&dec={dec}&{bands}"), "does not start with http"),
    (lambda: checked(Network, {"deadline": float("nan")}, "fetch"), "deadline"),
    (lambda: load_manifest().source("sdss"), r"no source 'sdss'.*'sdss-legacy'"),
    (lambda: load_manifest("nothing.yaml"), r"nothing\.yaml"),
    (lambda: dead_leaves(3, size=128, crop=64), "8 <= size <= crop"),
    (lambda: simulate(0), "count"),
    (lambda: simulate(2, seed=-1), "seed"),
    (lambda: simulate(2, start=-3), "start"),
    (lambda: simulate(2, workers=0), "workers"),
    (lambda: simulate(2, size=65), "size 65"),
    (lambda: simulate(2, crop=1000), "crop 1000"),
    (lambda: simulate(2, population="spirals"), "ellipticals"),
    # what was asked: of a notebook, in which papermill turns numbers into texts; of the workflow
    (
        lambda: Parameters.of_notebook({"M": 500, "np": np, "In": []}),
        "unknown parameter M; .* profile, data, N",
    ),
    (lambda: Parameters.of_notebook({"N": [10, "30"]}), "parameters: N"),
    (lambda: Parameters.of_notebook({"seed": "0"}), "parameters: seed"),
    (lambda: Parameters.of_notebook({"profile": 3}), "parameters: profile"),
    (lambda: asked({"sizes": "8 1.5"}), r"N\.1: .*'1\.5'"),
    (lambda: asked({"seed": 1.5}), r"seed: .*1\.5"),
    (lambda: asked({"data": 202411}), "data: .*202411"),  # what Snakemake makes of 2024_11
]


@pytest.mark.parametrize(("call", "words"), CASES, ids=[words for _, words in CASES])
def test_bad_input_is_named(call, words):
    with pytest.raises(GalgenError, match=words) as told:
        call()
    assert len(str(told.value)) < 2000
