"""What chapter 14 asks, of models that can be written down, and what it says of numbers made by hand."""

from types import SimpleNamespace

import numpy as np
import torch

from galbook.why import directions as ways
from galbook.why import flow as maps
from galbook.why import local as machines
from galbook.why import shown as chapter_14
from galgen.compare.gaussian import Empirical, fit_gaussian
from galgen.profiles import ConditionalSettings

SIDE, N = 8, 24
RNG = np.random.default_rng(0)
BASIS = np.linalg.qr(RNG.standard_normal((SIDE**2, SIDE**2)))[0].T
FALLING = np.r_[200, 120, 70, np.linspace(40, 5, SIDE**2 - 3)]  # grey levels along each direction
ROWS = np.clip(128 + RNG.standard_normal((200, SIDE**2)) * FALLING @ BASIS, 0, 255)
GALAXIES = ROWS.round().astype(np.uint8).reshape(-1, 1, SIDE, SIDE)
OTHERS = np.ascontiguousarray(GALAXIES[..., ::-1])


def experiment(net_a, net_b, samples=None, other=None):
    """A pair on the first and the next N galaxies, with 100 held-out ones."""
    images = {"A": GALAXIES[:N], "B": GALAXIES[N : 2 * N]}
    networks = {"A": {"net": net_a}, "B": {"net": net_b}, "other": {"net": other}}
    flow = lambda gaussian, seeds, start: SimpleNamespace(images=gaussian.draw(seeds))  # noqa: E731
    return SimpleNamespace(
        images=SimpleNamespace(
            of=images.get,
            held_out=GALAXIES[100:200],
            split=lambda: SimpleNamespace(validation=np.arange(100, 200)),
            dataset=SimpleNamespace(images=GALAXIES),
            mean=GALAXIES.mean(0) / 255,
            compared=50,
            start=torch.from_numpy(GALAXIES.mean(0) / 255).float(),
        ),
        models=SimpleNamespace(
            pair=lambda N, k=0: ("A", "B"), pairs=lambda N: [("A", "B")], foreign=lambda: ["other"]
        ),
        networks=networks.get,
        samples=(samples or {}).get,
        latents=lambda: range(50),
        settings=ConditionalSettings(),
        family=SimpleNamespace(bits=8, flow=flow),
    )


def test_a_copier_is_explained_by_its_own_images_and_a_gaussian_by_nothing():
    own = Empirical(GALAXIES[:N])
    found = machines.local_test.__wrapped__(experiment(own, fit_gaussian(GALAXIES[:N])), N, 0.2)
    assert list(found.own) == [3, 5, 7, 15] and found.whole == 15 and found.best == 15
    assert found.own[15].value == 1 and found.own[3].value < 0.9
    assert found.twin.value == 0, "B is the Gaussian of A"
    assert found.memory[15].low > 0 and found.other[15].high < found.own[15].low
    assert found.images == 100 and found.known == N
    linear = fit_gaussian(GALAXIES[:N])
    none = machines.local_test.__wrapped__(experiment(linear, own), N, 0.2)
    assert none.twin is None and none.best is None and not any(none.own.values())
    assert all(none.machines.values()), "machines are no networks"


def test_a_network_that_saw_neither_set_leans_to_neither():
    neither, own = Empirical(GALAXIES[48:100]), Empirical(GALAXIES[N : 2 * N])
    found = machines.local_test.__wrapped__(experiment(neither, own), N, 0.3)
    assert found.memory[15].low < 0.1 and found.memory[15].high > -0.1


def test_models_may_agree_in_a_direction_that_is_none_of_the_galaxies():
    z = torch.randn(50, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    along = torch.from_numpy(BASIS[-1]).float().reshape(1, 1, SIDE, SIDE)  # where galaxies vary least
    rest = torch.rand(2, 50, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    samples = {which: 0.5 + 0.5 * z * along + 0.01 * part for which, part in zip("AB", rest, strict=True)}
    made = experiment(None, None, samples)
    found = ways.directions_test.__wrapped__(made, N)
    assert found.agreement[0].value > 0.9 and found.pairs[0][0].low > 0.9
    assert found.galaxies[0][0].high < 0.2 and len(found.galaxies) == 2
    assert found.gaussian[19].value > found.galaxies[0][19].value
    best = ways.ceiling.__wrapped__(made)
    assert best[2].low > found.galaxies[0][2].high
    said = chapter_14.certified({"blind": {N: found}}, best)
    overlap = [found.galaxies[0][2].value, found.gaussian[2].value, best[2].value]
    assert all(f"{value:.2f}" in said for value in overlap)


def test_a_twin_finds_the_latents_and_a_stranger_does_not():
    one = fit_gaussian(GALAXIES)
    found = maps.flow_inversions.__wrapped__(experiment(one, one, other=fit_gaussian(OTHERS)), N)
    assert list(found) == ["B", "other galaxies", "Gaussian of B's images"]
    assert min(each.test.correlation.value for each in found["B"].values()) > 0.99
    stranger = found["other galaxies"]["components 21-64"]
    assert stranger.apart.low > stranger.null[1]
    assert stranger.test.correlation.value < found["B"]["components 21-64"].test.correlation.value
    assert len(chapter_14.inverted_figure({N: found}).axes[0].lines)
