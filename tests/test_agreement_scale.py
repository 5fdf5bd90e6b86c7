"""What an experiment is asked for the scale of agreement, and how it is drawn and worded."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from galbook.agreement import worth_table
from galbook.share import asked
from galbook.share.asked import IMAGES, ONE, OWN, agreement_along
from galgen.data.dataset import Split
from galgen.models.families import Training
from galgen.models.sampling import noise, seeded

# What stands in for an experiment has no store: nothing is kept.
agreement, early = (question.__wrapped__ for question in (asked.agreement, asked.early))

RNG = np.random.default_rng(0)
N, SIDE = 30, 8
IMAGES_OF = {half: RNG.integers(0, 256, (N, 1, SIDE, SIDE), np.uint8) for half in "AB"}
SHARED = torch.from_numpy(RNG.standard_normal((64, 1, SIDE, SIDE))).float()


def made(foreign=(), pairs=3, fails=0):
    """An experiment whose models draw noise at first, and then what all share, foreign ones a tenth of it.

    At 0 images shown so many of A's images are not finite.
    """
    models = {k: tuple(Training(N, "AB"[i], 2 * k + i, 2 * k + i) for i in (0, 1)) for k in range(pairs)}
    others = [Training(N, "AB"[k], 100 + k, 100 + k, name) for k, name in enumerate(foreign)]

    def flow(gaussian, seeds, start):
        return SimpleNamespace(images=gaussian.draw(seeds))

    def samples(model, shown=None, count=64):
        own = torch.from_numpy(np.random.default_rng(model.init).standard_normal(SHARED.shape)).float()
        if shown == 0:
            drawn = noise(seeded(range(64)), (1, SIDE, SIDE)) + 0.01 * own
            drawn[: fails * (model.half == "A")] = torch.nan
        else:
            drawn = (0.1 if model.foreign else 1) * SHARED + 0.3 * own
        return drawn[: count or 64]

    mean = np.zeros((1, SIDE, SIDE))
    mean[:, 4:] = 1
    rows = np.arange(N)
    return SimpleNamespace(
        sizes=(N,),
        models=SimpleNamespace(
            pair=lambda n, k=0: models[k], pairs=lambda n: list(models.values()), foreign=lambda: others
        ),
        images=SimpleNamespace(
            of=lambda model: IMAGES_OF[model.half],
            start=torch.zeros(1, SIDE, SIDE),
            mean=mean,
            split=lambda n: Split(rows, rows + N, rows),
            dataset=SimpleNamespace(images=np.concatenate([*IMAGES_OF.values()])),
        ),
        samples=samples,
        latents=lambda count=None: range(count or 64),
        family=SimpleNamespace(flow=flow, name="diffusion"),
        profile=SimpleNamespace(samples=64, name="smoke"),
        train=lambda model: SimpleNamespace(summary={"weights": [8, 16, 32]}),
    )


def test_all_pairs_and_all_foreign_networks_are_asked_at_the_largest_size():
    found = agreement(made(["galaxies", "galaxies"]))
    assert set(found.scales) == set(found.untrained) == {IMAGES, OWN, ONE} and found.N == N
    for each in found.scales.values():
        assert len(each.pairs) == 9 and len(each.same) == 6 and len(each.foreign["galaxies"]) == 2
    images = found.scales[IMAGES]
    assert images.pairs.mean() == pytest.approx(1 / 1.09, abs=0.02) and images.foreign["galaxies"].max() < 0.5
    assert images.share.low < 1 < images.share.high  # nothing is of the images that A's models have seen
    assert found.untrained[IMAGES] > 0.99 and found.latents == 64


def test_the_own_gaussian_is_taken_from_models_of_the_same_images_alike():
    """The models know nothing of their images, so what is taken away is all that those of one half share."""
    found = agreement(made(["galaxies", "galaxies"])).scales
    assert found[OWN].same.mean() > found[OWN].pairs.mean() + 0.02
    assert found[ONE].same.mean() == pytest.approx(found[ONE].pairs.mean(), abs=0.02)


def test_the_training_is_followed_from_no_images_on_also_where_some_are_not_finite():
    experiment = made(["leaves", "galaxies"], fails=10)
    found, other = agreement_along.__wrapped__(experiment, "galaxies")
    assert list(found[N]) == list(other) == [0, 8, 16, 32] and found[N][0].n == 54
    assert found[N][0].value > 0.99 > found[N][8].value > other[8].value
    assert (
        agreement_along.__wrapped__(experiment)[1] == agreement_along.__wrapped__(made(), "galaxies")[1] == {}
    )
    assert 0 not in agreement_along.__wrapped__(made(fails=64))[0][N]


def test_early_agreement_is_what_the_noise_makes_and_later_agreement_is_not():
    found = early(made())
    assert list(found) == [0, 8, 16, 32]
    assert found[0].agree.value == pytest.approx(found[0].noise.value, abs=0.01)
    assert found[32].agree.value > 0.8 > 0.1 > abs(found[32].noise.value)
    assert all(each.closer.low <= 0.5 <= each.closer.high for each in found.values())


def test_the_models_of_a_smoke_run_are_asked_as_they_are_kept(smoke):
    experiment = smoke["diffusion"]
    found = early(experiment)
    kept = experiment.train(experiment.models.pair(12)[0]).summary["weights"]
    assert list(found) == list(dict.fromkeys([0, *kept[:2], kept[-1]]))
    assert found[0].agree.value > 0.9 and found[0].noise.value > 0.9 and found[0].left.value > 0.9


def test_worth_of_the_same_images_is_told_by_n_where_copying_begins():
    def one(value):
        worth = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 4}
        return {"twins": [0.9], "pairs": [0.9 - value], "strangers": {}, "worth": worth}

    def told(values):
        found = {f"{N} at 1": one(value) for N, value in values.items()} | {"10 at 3": one(0.5)}
        return worth_table({"onsets": {"found": found}}).data

    falling = told({100: 0.05, 10: 0.12, 30: 0.11})
    assert "0.120, 0.110, 0.050 of agreement for N = 10, 30, 100, in the mean the less the more" in falling
    assert [row.split("|")[1].strip() for row in falling.splitlines()[4:]] == ["10", "10", "30", "100"]
    assert "the less" not in told({10: 0.05, 30: 0.11})
