"""What chapter 14 asks, of models that can be written down, and what it says of numbers made by hand."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from galgen.compare.flow import ScaleTest
from galgen.compare.gaussian import Empirical, fit_gaussian
from galgen.compare.uncertainty import Estimate
from galgen.evidence import directions as ways
from galgen.evidence import inverted as maps
from galgen.evidence import local as machines
from galgen.figures import chapter_14
from galgen.settings import ConditionalSettings

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
        split=lambda: SimpleNamespace(validation=np.arange(100, 200)),
        dataset=SimpleNamespace(images=GALAXIES),
        mean_image=GALAXIES.mean(0) / 255,
        compared=50,
        pair=lambda N, k=0: ("A", "B"),
        pairs=lambda N: [("A", "B")],
        foreign=lambda: ["other"],
        images=images.get,
        networks=networks.get,
        samples=(samples or {}).get,
        latents=lambda: range(50),
        start=torch.from_numpy(GALAXIES.mean(0) / 255).float(),
        settings=ConditionalSettings(),
        family=SimpleNamespace(bits=8, flow=flow),
    )


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


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
    found = [
        machines.local_test.__wrapped__(experiment(Empirical(GALAXIES[48:100]), None or own), N, sigma)
        for sigma, own in ((0.3, Empirical(GALAXIES[N : 2 * N])), (0.8, fit_gaussian(GALAXIES[48:100])))
    ]
    assert all(test.memory[15].low < 0.1 and test.memory[15].high > -0.1 for test in found)


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
    assert said.startswith("Agreement does not certify a distribution: of the first 3 directions")
    assert (
        f"blind at N = 24, which agrees at {found.agreement[0].value:.2f}" in said
        and "(its Gaussian, by the same" in said
    )
    real = {which: torch.from_numpy(GALAXIES[rows]).float() / 255 for which, rows in
            (("A", slice(150, 200)), ("B", slice(150, 200)))}  # fmt: skip
    known = ways.directions_test.__wrapped__(experiment(None, None, real), N)
    assert chapter_14.certified({"x": {N: known}}, best).startswith("Here agreement comes with the")


def test_a_twin_finds_the_latents_and_a_stranger_does_not():
    one = fit_gaussian(GALAXIES)
    found = maps.inversions.__wrapped__(experiment(one, one, other=fit_gaussian(OTHERS)), N)
    assert list(found) == ["B", "other galaxies", "Gaussian of B's images"]
    assert min(each.test.correlation.value for each in found["B"].values()) > 0.99
    stranger = found["other galaxies"]["components 21-64"]
    assert stranger.apart.low > stranger.null[1]
    assert stranger.test.correlation.value < found["B"]["components 21-64"].test.correlation.value
    figure = chapter_14.inverted_figure({N: found})
    assert figure.axes[0].get_title() == "N = 24"
    assert chapter_14.found_again({N: found}).startswith("Over the scales, latents are found with a corr")


def estimate(value, half=0.1):
    return Estimate(value, value - half, value + half, 9)


def local_test(N, sigma, memory):
    own = {3: estimate(0.1), 5: estimate(0.4), 63: estimate(-3.0)}
    more = {side: estimate(memory) for side in own}
    return machines.LocalTest(N, sigma, 63, 32, N, estimate(0.8), own, own, more, own)


def test_what_explains_and_where_a_leans_are_said():
    tests = {
        (n, s): local_test(n, s, 0.3 if n == 10 and s == 0.2 else 0.0) for n in (10, 100) for s in (0.05, 0.2)
    }
    assert chapter_14.explained_by(tests) == (
        "Of what second moments leave of model A, at N = 100 and noise 0.05, 0.2, model B explains 0.80, "
        "0.80, and the best machine of patches of A's images, with no network, 0.40 (5 pixels), 0.40 "
        "(5 pixels)"
    )
    said = chapter_14.leaning(tests)
    assert "N = 10, at noise 0.2 (by 0.30 [0.20, 0.40]); N = 100, not seen at any noise level." in said
    assert chapter_14.local_table(tests).data.count("5 pixels") == 4
    figure = chapter_14.local_figure(tests)
    assert len(figure.axes) == 4 and figure.axes[3].get_title() == "N = 100, $\\sigma$ = 0.2"
    assert [t.get_text() for t in figure.axes[2].get_xticklabels()] == ["3", "5", "all"]
    nothing = machines.LocalTest(10, 0.2, 15, 32, 10, None, {3: None}, {3: None}, {15: None}, {3: None})
    assert chapter_14.explained_by({(10, 0.2): nothing}).endswith(
        "second moments may leave nothing of model A"
    )
    assert "| - |" in chapter_14.local_table({(10, 0.2): nothing}).data
    assert len(chapter_14.local_figure({(10, 0.2): nothing}).axes) == 1


def test_directions_are_drawn_and_listed_by_family_and_N():
    curve = [estimate(0.9)] * 30
    test = ways.DirectionsTest([estimate(0.7)] * 2, [curve] * 2, [curve] * 4, curve)
    tests = {"blind": {10: test, 100: test}, "told": {100: test}}
    figure = chapter_14.directions_figure(tests, curve, 1024)
    assert [axis.get_title().split(chr(10))[0] for axis in figure.axes] == [
        "blind, N = 10", "blind, N = 100", "told, N = 100", ""]  # fmt: skip
    rows = chapter_14.directions_table(tests, curve).data.splitlines()
    assert rows[-1].startswith("| told | 100 | 0.70 [0.60, 0.80] | 0.90") and "0.90 to 0.90 (4)" in rows[-1]


def test_a_scale_at_which_the_density_differs_is_named():
    def scale(span, apart):
        latents = SimpleNamespace(correlation=estimate(0.9), correlation_null=0.2)
        return ScaleTest(span, latents, estimate(apart, 0.2), (0.8, 1.3), 0.01)

    scales = {"component 1": scale("1", 1.1), "components 2-5": scale("2-5", 3.0)}
    said = chapter_14.found_again({10: {"B": scales, "other galaxies": scales}})
    assert said.endswith("B's density is seen not to be A's in components 2-5.")
