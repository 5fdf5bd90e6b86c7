"""Measurements of chapter 14 on models in closed form."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from galbook.measure import mechanisms
from galgen.compare.gaussian import Empirical, fit_gaussian
from galgen.models.families import Training
from galgen.profiles import ConditionalSettings

SIDE, N = 8, 24
RNG = np.random.default_rng(0)
BASIS = np.linalg.qr(RNG.standard_normal((SIDE**2, SIDE**2)))[0].T
FALLING = np.r_[200, 120, 70, np.linspace(40, 5, SIDE**2 - 3)]  # gray levels along each direction
ROWS = np.clip(128 + RNG.standard_normal((200, SIDE**2)) * FALLING @ BASIS, 0, 255)
GALAXIES = ROWS.round().astype(np.uint8).reshape(-1, 1, SIDE, SIDE)
OTHERS = np.ascontiguousarray(GALAXIES[..., ::-1])
A, B = Training(N, "A", 0, 0), Training(N, "B", 1, 1)
OTHER = Training(N, "A", 100, 100, "galaxies")


def experiment(net_a, net_b, samples=None, other=None):
    """A pair on the first and the next N galaxies, with 100 held-out ones."""
    networks = {A: {"net": net_a}, B: {"net": net_b}, OTHER: {"net": other}}
    flow = lambda gaussian, seeds, start: SimpleNamespace(images=gaussian.draw(seeds))  # noqa: E731
    return SimpleNamespace(
        images=SimpleNamespace(
            of={A: GALAXIES[:N], B: GALAXIES[N : 2 * N]}.get,
            held_out=GALAXIES[100:200],
            split=lambda: SimpleNamespace(validation=np.arange(100, 200)),
            dataset=SimpleNamespace(images=GALAXIES),
            mean=GALAXIES.mean(0) / 255,
            compared=50,
            start=torch.from_numpy(GALAXIES.mean(0) / 255).float(),
        ),
        models=SimpleNamespace(
            pair=lambda N, k=0: (A, B), pairs=lambda N: [(A, B)], out_of_domain=lambda: [OTHER]
        ),
        networks=networks.get,
        samples=(samples or {}).get,
        latents=lambda: range(50),
        settings=ConditionalSettings(),
        family=SimpleNamespace(bits=8, flow=flow),
    )


def rows_of(question, of):
    return pd.DataFrame(question.function(of, N)[0])


def test_a_copier_is_explained_by_its_own_images_and_a_gaussian_by_nothing():
    own = Empirical(GALAXIES[:N])
    rows = rows_of(mechanisms.patch_denoisers, experiment(own, fit_gaussian(GALAXIES[:N])))
    found = rows[(rows["at"] == 0.2) & (rows.statistic == "explained_fraction")]
    patches = found[found.model == "A0-patches"].set_index(["training_sets", "level"]).value
    assert list(patches["same"].index) == [3, 5, 7, 15]
    assert patches["same", 15] == 1 and patches["same", 3] < 0.9 and patches["disjoint", 15] < 1
    assert found[found.model == "A0-B1"].value.item() == 0, "B is the Gaussian of A"
    excess = rows[(rows.statistic == "explained_fraction_excess") & (rows["at"] == 0.2) & (rows.level == 15)]
    assert excess.low.item() > 0
    none = rows_of(mechanisms.patch_denoisers, experiment(fit_gaussian(GALAXIES[:N]), own))
    assert set(none.model) == {"patches"}, "a Gaussian leaves nothing that could be explained"


def test_models_may_agree_in_a_direction_that_is_none_of_the_galaxies():
    z = torch.randn(50, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    along = torch.from_numpy(BASIS[-1]).float().reshape(1, 1, SIDE, SIDE)  # where galaxies vary least
    rest = torch.rand(2, 50, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    samples = {model: 0.5 + 0.5 * z * along + 0.01 * part for model, part in zip((A, B), rest, strict=True)}
    rows = rows_of(mechanisms.principal_directions, experiment(None, None, samples))
    assert rows[rows.statistic == "agreement"].value.item() > 0.9
    overlap = rows[rows.statistic == "principal_overlap"].set_index(["model", "at"])
    assert overlap.low["A0-B1", 1] > 0.9 and overlap.high["A0", 1] < 0.2
    assert overlap.value["gaussian", 10] > overlap.value["A0", 10]
    assert overlap.low["held-out", 3] > overlap.value["A0", 3]


def test_a_model_of_the_same_images_finds_the_latents_and_an_out_of_domain_one_does_not():
    one = fit_gaussian(GALAXIES)
    rows = rows_of(mechanisms.flow_inversion, experiment(one, one, other=fit_gaussian(OTHERS)))
    assert set(rows.model) == {"A0", "A0-B1", "A0-A100-galaxies", "A0-gaussian"}
    found = rows.set_index(["model", "statistic", "at"])
    correlation = found.value.xs("latent_correlation", level="statistic")
    assert correlation["A0-B1"].min() > 0.99
    last = correlation["A0-B1"].index.max()
    assert correlation["A0-A100-galaxies", last] < correlation["A0-B1", last]
    other = "A0-A100-galaxies"
    assert (
        found.low[other, "latent_wasserstein_ratio", last]
        > found.high[other, "latent_wasserstein_ratio_null", last]
    )
