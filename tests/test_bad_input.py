"""Input that would give wrong numbers raises an error that names it; one line per case."""

import numpy as np
import pytest
import torch
from test_inversion import Linear, invert, latents

from galgen.compare.agreement import agreement_test
from galgen.compare.biases import photometry
from galgen.compare.memorization import exchange_test
from galgen.compare.morphology import measure
from galgen.compare.similarity import cosine, nearest
from galgen.compare.twosample import c2st, features
from galgen.compare.uncertainty import bootstrap
from galgen.data.preprocess import flux_to_gray
from galgen.data.unit import mean_image
from galgen.models.glow import Glow
from galgen.models.sampling import dpm_solver_2m, noise_schedule, stochastic_ascent
from galgen.models.unet import UNet
from galgen.profiles import Parameters
from galgen.runs.batches import BatchSampler
from galgen.runs.errors import GalgenError
from galgen.runs.schedules import cosine as schedule
from galgen.runs.training import train

zeros, ones = np.zeros, np.ones
START_8, QUERIES = torch.zeros(1, 8, 8), torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
DATA = np.random.default_rng(0).integers(0, 256, (20, 1, 12, 12), np.uint8)
BROKEN = QUERIES / torch.tensor([0, 1]).reshape(2, 1, 1, 1)
Z = latents(n=8)


def walk(start, seeds):
    return dpm_solver_2m(lambda y, sigma: y, start, seeds, noise_schedule(1.0, 0.02, 5))


CASES = [
    (lambda: UNet(2)(torch.zeros(1, 1, 20, 16)), "multiples of 8"),
    (lambda: Glow(size=12, steps=1, levels=3), "Glow cannot have 3 levels"),
    (lambda: walk(START_8, [2**32]), "seed 4294967296 is outside"),
    (lambda: walk(START_8[0], [1]), "give one image"),
    (lambda: noise_schedule(1.0, 2.0, 20), "noise from 1.0 to 2.0"),
    (lambda: stochastic_ascent(lambda y, _: y * torch.nan, START_8, range(3)), "none of 3 samples"),
    (lambda: stochastic_ascent(lambda y, _: 0 * y, START_8, range(3), max_steps=5), "increase max_steps"),
    (lambda: train(None, zeros((3, 1, 8, 8)), "x", BatchSampler(3, 8, 4, 0, 0, schedule)), "must be uint8"),
    (lambda: bootstrap(ones(1)), "two samples or more"),
    (lambda: exchange_test(np.array([np.nan, 1]), ones(2)), "converge"),
    (lambda: invert(Linear(), Linear(), [Z[0], Z[1][:4]]), "as many images"),
    (lambda: c2st(ones((20, 2)), ones((22, 2)), paired=True), "not pairs"),
    (lambda: c2st(np.full((20, 2), np.nan), ones((20, 2))), "finite"),
    (lambda: features(torch.zeros(3, 1, 12, 12)), "H = 8, 16"),
    (lambda: agreement_test(BROKEN, QUERIES, mean=mean_image(DATA)), "some not finite"),
    (lambda: photometry(zeros((4, 1, 16, 12))), "square gray images"),
    (lambda: measure(zeros((4, 3, 16, 16))), "n, 1, H, W"),
    (lambda: nearest(QUERIES, DATA, kind="cosine"), "unknown kind"),
    (lambda: cosine(QUERIES, QUERIES[:1], kind="raw"), "pairs"),
    (lambda: flux_to_gray(zeros((1, 3, 8, 8)), size=4, crop=9), "crop 9"),
    (lambda: Parameters.of_notebook({"M": 500, "np": np, "In": []}), "unknown parameter M"),
    (lambda: Parameters.of_notebook({"N": [10, "30"]}), "parameters: N"),
]


@pytest.mark.parametrize(("call", "words"), CASES, ids=[words for _, words in CASES])
def test_bad_input_is_named(call, words):
    with pytest.raises(GalgenError, match=words):
        call()
