from types import SimpleNamespace

import numpy as np
import pytest
import torch

from galgen.compare.agreement import two_models
from galgen.data.dataset import Split
from galgen.figures.evidence import LEVELS, LITTLE, before_memory, denoisers, gaps, pairs

RNG = np.random.default_rng(0)
UNSEEN, A, B = (RNG.integers(low, low + 100, (60, 1, 8, 8), dtype=np.uint8) for low in (0, 50, 100))


def experiment(known):
    """One whose D scores brightness, and so the training images higher, from so many images shown on."""

    def networks(model, shown):
        sign = 1 if shown >= known[model] else -1
        return {"discriminator": lambda x: sign * x.mean((1, 2, 3))}

    return SimpleNamespace(
        pair=lambda n: ("A", "B"),
        train=lambda model: SimpleNamespace(summary={"weights": [8, 16, 32, 64]}),
        networks=networks,
        images={"A": A, "B": B}.get,
        unseen=UNSEEN,
    )


@pytest.mark.parametrize(
    ("known", "last"),
    [
        ({"A": 32, "B": 64}, 16),
        ({"A": 64, "B": 16}, 8),
        ({"A": 100, "B": 100}, 64),  # never
        ({"A": 8, "B": 100}, 8),  # from the first on
    ],
)
def test_the_reading_before_memory_is_the_last_at_which_neither_judge_knows_its_images(known, last):
    assert before_memory(experiment(known), 60) == last


def test_a_judge_of_images_it_cannot_know_has_no_memory():
    same = experiment({"A": 0, "B": 0})
    same.images = lambda model: np.roll(UNSEEN, 7, 0)
    assert before_memory(same, 60) == 64


@pytest.mark.parametrize("flips", [False, True])
def test_pairs_have_the_samples_of_a_and_b_and_the_test_that_looks_where_the_family_does(flips):
    images, drawn = (
        np.concatenate([A, B, UNSEEN]),
        {"A": torch.rand(20, 1, 8, 8), "B": torch.rand(20, 1, 8, 8)},
    )
    sets, mean = Split(np.arange(60), np.arange(60, 120), np.arange(120, 180)), images.mean(0) / 255
    family, data = SimpleNamespace(flips=flips), SimpleNamespace(images=images)
    made = SimpleNamespace(sizes=(60,), pair=lambda n: ("A", "B"), samples=drawn.get, split=lambda n: sets)
    made.family, made.dataset, made.mean_image = family, data, mean
    samples, tests = pairs(made)
    assert list(samples) == [60] and samples[60] == [drawn["A"], drawn["B"]]
    wanted = two_models(*samples[60], images, sets, mean=mean, flips=flips)
    assert (tests[60].copy, tests[60].closer) == (wanted.copy, wanted.closer)


def test_the_gap_of_a_denoiser_is_what_it_gains_by_its_own_images():
    """One that returns its training image where it sees one, and else the noisy image."""

    def denoiser(known):
        known = torch.from_numpy(known) / 255

        def denoise(y, sigma):
            far = (y[:, None] - known).square().mean((2, 3, 4))
            near = known[far.argmin(1)]
            return torch.where((far.min(1).values < 0.05)[:, None, None, None], 0.9 * near + 0.1 * y, y)

        return denoise

    made = SimpleNamespace(sizes=(60,), pair=lambda n: ("A", "B"), images={"A": A, "B": B}.get)
    made.networks, made.family = made.images, SimpleNamespace(denoiser=denoiser)
    made.dataset, made.split = (
        SimpleNamespace(images=UNSEEN),
        lambda: SimpleNamespace(validation=np.arange(60)),
    )
    (found,) = gaps(made).values()
    assert found.shape == LEVELS.shape and found[4] == pytest.approx(
        20, abs=0.5
    )  # a tenth of the noise is left
    kept = denoisers(made)
    assert kept["gaps"] == {60: found.max()} and list(kept["unseen"]) == LITTLE.tolist()
